//! Folders and files that are held open in memory, for what the hook does.

use super::share::ShareTree;
use super::{Content, Files, Node, ROOT};
use crate::boot::{BootFileName, Entry, Identity, KernelKind, ShareFolder};
use crate::files::{BootShare, Directory, Inode, LinkInTheWay, NotPlain, OpenFile, OwnFile};
use crate::host::primitives::{CallError, CallErrorKind, Owner};
use crate::inventory::{FileKind, RawStat};
use rustix::fs::{FileType, RenameFlags};
use std::cell::{Ref, RefCell};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file system in memory that several folders and files are open in.
pub(in super::super) struct Tree<'f>(RefCell<&'f mut Files>);

/// An open folder in memory.
#[derive(Clone)]
pub struct TreeFolder<'a, 'f> {
    tree: &'a Tree<'f>,
    place: String,
    path: PathBuf,
}

/// An open file in memory.
pub struct TreeFile<'a, 'f> {
    tree: &'a Tree<'f>,
    place: String,
    at: u64,
}

/// An open boot share in memory.
pub(in super::super) struct TreeShare<'a, 'f> {
    folder: TreeFolder<'a, 'f>,
}

impl<'f> Tree<'f> {
    pub(in super::super) fn new(files: &'f mut Files) -> Self {
        Self(RefCell::new(files))
    }

    /// Whether an image holds no byte.
    pub(in super::super) fn is_blank(&self, path: &Path) -> io::Result<bool> {
        let files = self.0.borrow();
        let node = files.find(path.to_str().unwrap_or_default());
        let (_, node) = node.ok_or(ErrorKind::NotFound)?;
        Ok(node.content.is_blank())
    }

    /// Opens a folder by its path, whose links are followed.
    pub(in super::super) fn folder(&self, path: &str) -> io::Result<TreeFolder<'_, 'f>> {
        let place = self.0.borrow().resolve(path);
        let folder = TreeFolder {
            tree: self,
            place: place.ok_or(ErrorKind::NotFound)?,
            path: path.into(),
        };
        folder.is_one()?;
        Ok(folder)
    }

    /// Opens a boot share.
    pub(in super::super) fn share(&self, path: &str) -> io::Result<TreeShare<'_, 'f>> {
        let folder = self.folder(path)?;
        Ok(TreeShare { folder })
    }
}

impl<'a, 'f> TreeFolder<'a, 'f> {
    fn is_one(&self) -> io::Result<()> {
        match self.tree.0.borrow().nodes.get(&self.place) {
            None => Err(ErrorKind::NotFound.into()),
            Some(node) => match node.content {
                Content::Folder => Ok(()),
                Content::Link(_) => Err(io::Error::other(LinkInTheWay(self.path.clone()))),
                _ => Err(ErrorKind::NotADirectory.into()),
            },
        }
    }

    fn below(&self, name: &str) -> Self {
        Self {
            tree: self.tree,
            place: format!("{}/{name}", self.place),
            path: self.path.join(name),
        }
    }

    fn place_of(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    fn node(&self, name: &str) -> io::Result<Ref<'_, Node>> {
        let place = self.place_of(name);
        let files = self.tree.0.borrow();
        Ref::filter_map(files, |files| files.nodes.get(&place))
            .map_err(|_| ErrorKind::NotFound.into())
    }

    fn file(&self, name: &str) -> TreeFile<'a, 'f> {
        TreeFile {
            tree: self.tree,
            place: self.place_of(name),
            at: 0,
        }
    }
}

impl<'a, 'f> Directory for TreeFolder<'a, 'f> {
    type File = TreeFile<'a, 'f>;

    fn path(&self) -> &Path {
        &self.path
    }

    fn sub(&self, path: &str) -> io::Result<Self> {
        let mut folder = self.clone();
        for name in path.split('/') {
            folder = folder.below(name);
            folder.is_one()?;
        }
        Ok(folder)
    }

    fn sub_or_make(&self, name: &str, mode: u32) -> io::Result<Self> {
        let place = self.place_of(name);
        let mut files = self.tree.0.borrow_mut();
        match files.make_folder(&place, mode, None) {
            Err(error) if error.kind != CallErrorKind::Exists => return Err(io_error(error)),
            _ => {}
        }
        if let Some(node) = files.nodes.get_mut(&place) {
            node.mode |= mode;
        }
        drop(files);
        self.sub(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let files = self.tree.0.borrow();
        let names = files.children(&self.place);
        Ok(names.map(|(name, _)| name.to_owned()).collect())
    }

    fn kind(&self, name: &str) -> io::Result<Option<FileType>> {
        Ok(self.inode(name)?.map(|inode| inode.kind))
    }

    fn inode(&self, name: &str) -> io::Result<Option<Inode>> {
        match self.node(name) {
            Ok(node) => Ok(Some(Inode {
                kind: match node.content.kind() {
                    FileKind::File => FileType::RegularFile,
                    FileKind::Folder => FileType::Directory,
                    FileKind::Symlink => FileType::Symlink,
                    FileKind::Special => FileType::Socket,
                },
                ino: node.ino,
                born_ns: None,
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_file(&self, name: &str) -> io::Result<Self::File> {
        match self.node(name)?.content {
            Content::File { .. } => Ok(self.file(name)),
            _ => Err(io::Error::other(NotPlain)),
        }
    }

    fn read_own(&self, name: &str, limit: u64) -> io::Result<OwnFile> {
        let mut bytes = Vec::new();
        let file = self.open_file(name)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        let node = self.node(name)?;
        Ok(OwnFile {
            bytes,
            uid: node.owner.uid,
            mode: node.mode,
        })
    }

    fn create(&self, name: &str) -> io::Result<Self::File> {
        if self.kind(name)?.is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let mut files = self.tree.0.borrow_mut();
        let empty = Content::file("");
        let put = files.put(&self.place_of(name), empty, 0o600, ROOT);
        put.map_err(io_error)?;
        Ok(self.file(name))
    }

    fn read_link(&self, name: &str) -> io::Result<Vec<u8>> {
        match &self.node(name)?.content {
            Content::Link(target) => Ok(target.as_bytes().to_vec()),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn link(&self, target: &str, name: &str) -> io::Result<()> {
        if self.kind(name)?.is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let mut files = self.tree.0.borrow_mut();
        let link = Content::Link(target.to_owned());
        let put = files.put(&self.place_of(name), link, 0o777, ROOT);
        put.map_err(io_error)
    }

    fn rename(&self, from: &str, into: &Self, to: &str, how: RenameFlags) -> io::Result<()> {
        drop(self.node(from)?);
        let there = into.kind(to)?;
        if there.is_some() && how == RenameFlags::NOREPLACE {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let (from, to) = (self.place_of(from), into.place_of(to));
        let mut files = self.tree.0.borrow_mut();
        let (moved, replaced) = (files.take_tree(&from), files.take_tree(&to));
        files.put_tree(&to, moved);
        if how == RenameFlags::EXCHANGE {
            files.put_tree(&from, replaced);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<bool> {
        let there = self.kind(name)?.is_some();
        let removed = self.tree.0.borrow_mut().remove_file(&self.place_of(name));
        removed.map(|()| there).map_err(io_error)
    }

    fn remove_empty(&self, name: &str) -> io::Result<bool> {
        if self.kind(name)?.is_none() {
            return Ok(true);
        }
        let is_empty = self.sub(name)?.names()?.is_empty();
        if is_empty {
            self.tree.0.borrow_mut().remove(&self.place_of(name));
        }
        Ok(is_empty)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Files {
    /// Takes what has this place, and all that is in it, by what comes after the place.
    fn take_tree(&mut self, place: &str) -> Vec<(String, Node)> {
        let inside = format!("{place}/");
        let is_it = |path: &&String| *path == place || path.starts_with(&inside);
        let paths: Vec<_> = self.nodes.keys().filter(is_it).cloned().collect();
        let taken = paths.into_iter().filter_map(|path| {
            let node = self.nodes.remove(&path)?;
            Some((path[place.len()..].to_owned(), node))
        });
        taken.collect()
    }

    fn put_tree(&mut self, place: &str, tree: Vec<(String, Node)>) {
        let placed = tree.into_iter();
        self.nodes
            .extend(placed.map(|(rest, node)| (format!("{place}{rest}"), node)));
    }
}

impl TreeFile<'_, '_> {
    fn stat(&self) -> io::Result<RawStat> {
        let files = self.tree.0.borrow();
        let node = files.nodes.get(&self.place);
        node.map(Node::stat)
            .ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl OpenFile for TreeFile<'_, '_> {
    fn identity(&self) -> io::Result<Identity> {
        Ok(self.stat()?.identity())
    }

    fn extend(&mut self, bytes: u64) -> io::Result<()> {
        let mut files = self.tree.0.borrow_mut();
        let extended = files.edit_file(&self.place, |_, size| {
            *size = bytes;
            Ok(())
        });
        extended.map_err(io_error)
    }

    fn finish(&self, group: Option<u32>, mode: u32) -> io::Result<()> {
        self.give(group, mode)
    }

    fn settle(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn give(&self, group: Option<u32>, mode: u32) -> io::Result<()> {
        let RawStat { uid, gid, .. } = self.stat()?;
        let gid = group.unwrap_or(gid);
        let mut files = self.tree.0.borrow_mut();
        files
            .own(&self.place, mode, Owner { uid, gid })
            .map_err(io_error)
    }
}

impl Read for TreeFile<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let files = self.tree.0.borrow();
        let node = files.nodes.get(&self.place).ok_or(ErrorKind::NotFound)?;
        let Content::File { bytes, size } = &node.content else {
            return Err(io::Error::other(NotPlain));
        };
        let left = usize::try_from(size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let count = left.min(into.len());
        let start = usize::try_from(self.at).unwrap_or(usize::MAX);
        let kept = bytes.iter().copied().skip(start);
        // What comes after the bytes that are kept is zero.
        let all = kept.chain(std::iter::repeat(0));
        into.iter_mut()
            .zip(all)
            .take(count)
            .for_each(|(to, from)| *to = from);
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for TreeFile<'_, '_> {
    /// At the end: nobody writes elsewhere.
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        let mut files = self.tree.0.borrow_mut();
        let written = files.edit_file(&self.place, |bytes, size| {
            bytes.extend(more);
            *size = bytes.len() as u64;
            Ok(())
        });
        written.map_err(io_error)?;
        self.at += more.len() as u64;
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for TreeFile<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.stat()?.size, by),
        };
        self.at = from.checked_add_signed(by).ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl ShareFolder for TreeShare<'_, '_> {
    type Stat = RawStat;
    type Error = io::Error;

    fn names(&self, limit: usize) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let files = self.folder.tree.0.borrow();
        let Ok(names) = ShareTree::new(&files, &self.folder.place).names(limit);
        Ok(names)
    }

    fn see(&self, name: &[u8]) -> io::Result<Option<(RawStat, Entry)>> {
        let files = self.folder.tree.0.borrow();
        let Ok(seen) = ShareTree::new(&files, &self.folder.place).see(name);
        Ok(seen)
    }

    fn kernel(&self, name: &[u8]) -> Option<KernelKind> {
        let files = self.folder.tree.0.borrow();
        ShareTree::new(&files, &self.folder.place).kernel(name)
    }
}

impl<'a, 'f> BootShare for TreeShare<'a, 'f> {
    type File = TreeFile<'a, 'f>;

    fn open_file(&self, name: &BootFileName) -> io::Result<Self::File> {
        self.folder.open_file(name.as_str())
    }

    fn identity_of(stat: &RawStat) -> Identity {
        stat.identity()
    }
}

/// The system's error behind a call's.
fn io_error(error: CallError) -> io::Error {
    let kind = match error.kind {
        CallErrorKind::Missing => ErrorKind::NotFound,
        CallErrorKind::Exists => ErrorKind::AlreadyExists,
        CallErrorKind::NoSpace => ErrorKind::StorageFull,
        CallErrorKind::ReadOnly => ErrorKind::ReadOnlyFilesystem,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error.why)
}
