//! A file system: names, owners, modes, inodes, symbolic links, and times.

mod content;
mod copies;
mod folders;
mod share;
mod tree;

pub(super) use content::Content;
pub(super) use tree::Tree;
pub use tree::{TreeFile, TreeFolder};

use crate::boot::{AddedFile, about_owners, appended_files, is_wrapped};
use crate::files::LinkInTheWay;
use crate::host::primitives::{CallError, CallErrorKind, Copied, Extended, Owner};
use crate::inventory::{Binds, Fact, FileKind, Look, RawFile, RawStat};
use crate::qcow2::Qcow2;
use crate::trust::Writer;
use crate::values::HostPath;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The device number of everything here, at first, and its file system's UUID.
const DEVICE: u64 = 0xfd01;
const UUID: &str = "6d61-7465";
/// The clock's first moment: 2023-11-14 22:13:20 UTC.
const EPOCH_NS: i64 = 1_700_000_000_000_000_000;
/// As Linux has it (`MAXSYMLINKS`).
const LINK_HOPS: usize = 40;
const ROOT: Owner = Owner { uid: 0, gid: 0 };
/// The largest text that is read.
const TEXT_LIMIT: u64 = 1 << 20;

#[derive(Debug, Clone)]
struct Node {
    content: Content,
    mode: u32,
    owner: Owner,
    dev: u64,
    ino: u64,
    /// How many names it has.
    links: u32,
    mtime_ns: i64,
    ctime_ns: i64,
    /// The attribute in which QEMU keeps the mode that the guest gave it.
    guest_mode: Option<Vec<u8>>,
    /// Whom its access control list lets write.
    acl: Option<Vec<Writer>>,
}

/// A file system with its clock.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// By absolute path, the root's being empty.
    nodes: BTreeMap<String, Node>,
    now_ns: i64,
    /// The device number of everything here.
    device: u64,
    /// Folders that were given another place.
    pub(super) binds: Binds,
    /// The UUID of the file system.
    uuid: String,
    /// How many files each path has had.
    made: BTreeMap<String, u64>,
    pub(super) unreadable: BTreeMap<String, String>,
    /// Folders that cannot be listed, and why.
    pub(super) unlisted: BTreeMap<String, String>,
    pub(super) without_xattrs: BTreeSet<String>,
    /// Folders on file systems that take no new file.
    pub(super) closed: BTreeMap<String, CallErrorKind>,
    /// Folders that are file systems of their own for whoever asks for their type.
    pub(super) mounted: BTreeMap<String, String>,
    /// The room in the file systems of these folders, in bytes.
    pub(super) room: BTreeMap<String, u64>,
}

impl Node {
    fn stat(&self) -> RawStat {
        RawStat {
            kind: self.content.kind(),
            size: self.content.size(),
            mode: self.mode,
            uid: self.owner.uid,
            gid: self.owner.gid,
            dev: self.dev,
            ino: self.ino,
            mtime_ns: self.mtime_ns,
            ctime_ns: self.ctime_ns,
            born_ns: None,
            acl: self.acl.clone().filter(|_| self.mode & 0o020 != 0),
            links: (self.content.kind() == FileKind::File).then_some(self.links),
            block: match self.content {
                Content::Device { number, .. } => Some(number),
                _ => None,
            },
        }
    }

    fn text(&self) -> Option<String> {
        match &self.content {
            Content::File { bytes, .. } => String::from_utf8(bytes.clone()).ok(),
            Content::Link(target) => Some(target.clone()),
            Content::Folder | Content::Device { .. } | Content::Special => None,
        }
    }
}

fn fails(kind: CallErrorKind, path: &str, why: &str) -> CallError {
    CallError {
        kind,
        why: format!("{path}: {why}"),
    }
}

fn missing(path: &str) -> CallError {
    fails(CallErrorKind::Missing, path, "No such file or directory")
}

fn exists(path: &str) -> CallError {
    fails(CallErrorKind::Exists, path, "File exists")
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Looking.
impl Files {
    pub(super) fn now_ns(&self) -> i64 {
        self.now_ns
    }

    pub(super) fn look(&self, path: &str, look: Look) -> Fact<RawFile> {
        if let Some(why) = self.unreadable.get(path) {
            return Fact::Unreadable(why.clone());
        }
        if let Some(link) = self.link_in_the_way(path) {
            return Fact::Unreadable(LinkInTheWay(link.into()).to_string());
        }
        let Some((place, node)) = self.find(path) else {
            return Fact::Absent;
        };
        let mut seen = RawFile::only(node.stat());
        match (look, node.content.kind()) {
            (Look::Text, FileKind::File) if node.content.size() > TEXT_LIMIT => {
                seen.no_text = Some("it is larger than 1 MiB".to_owned());
            }
            (_, FileKind::Symlink) if look.tells_target() => seen.text = node.text(),
            (Look::Tail, FileKind::File) => seen.text = node.text(),
            (Look::Text, FileKind::File) => match node.text() {
                Some(text) => seen.text = Some(text),
                None => seen.no_text = Some("it is not UTF-8 text".to_owned()),
            },
            (Look::Owners, FileKind::File) => {
                seen.text = node.text().as_deref().map(about_owners);
            }
            // What a holder wrote goes with its lock.
            (Look::Lock, FileKind::File) => seen.text = node.text().filter(|text| !text.is_empty()),
            (Look::Digest, FileKind::File) => seen.sha256 = node.content.sha256(),
            (_, FileKind::File) if look.is_source() => {
                seen.sha256 = node.content.sha256();
                seen.unfit = node.content.unfit(look);
                let head = || node.content.head().unwrap_or_default();
                seen.head = (look == Look::DeviceTree).then(head);
            }
            (Look::Image, FileKind::File) => {
                seen.blank = Some(node.content.is_blank());
                seen.allocated = Some(node.content.allocated());
                seen.head = node.content.head();
            }
            (Look::Device, FileKind::Special) => {
                seen.head = node.content.head();
                seen.device = node.content.device().cloned();
            }
            (Look::Log, FileKind::File) => seen.begins_as = node.content.begins_as(),
            (Look::Share, FileKind::Folder) => return Fact::Present(self.share(&place, node)),
            (Look::Place, FileKind::Folder) => seen.file_system = Some(self.file_system(&place)),
            (Look::Program, FileKind::File) => node.content.tell_program(&mut seen),
            (Look::Room, FileKind::Folder) => seen.free = self.room.get(&place).copied(),
            (Look::Folder, FileKind::Folder) => seen.entries = Some(self.entries(&place)),
            (Look::Generation, FileKind::Symlink) => {
                seen.text = node.text();
                let target = seen.text.as_deref().unwrap_or_default();
                seen.entries = Some(self.generation(&format!("{}/{target}", parent(&place))));
            }
            _ => {}
        }
        Fact::Present(seen)
    }

    pub(super) fn bytes(&self, path: &str) -> Option<&[u8]> {
        match &self.find(path)?.1.content {
            Content::File { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// Every file that holds something, with its path.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let nodes = self.nodes.iter();
        nodes.filter_map(|(path, node)| match &node.content {
            Content::File { bytes, .. } if !bytes.is_empty() => Some((path.as_str(), &**bytes)),
            _ => None,
        })
    }

    pub(super) fn stat(&self, path: &str) -> Option<RawStat> {
        self.find(path).map(|(_, node)| node.stat())
    }

    /// A path's node and where it really is; only links on the way are followed.
    fn find(&self, path: &str) -> Option<(String, &Node)> {
        let place = self.resolve(path)?;
        let node = self.nodes.get(&place)?;
        Some((place, node))
    }

    /// Where a path leads to when the links on the way are followed; nothing if they lead nowhere.
    fn resolve(&self, path: &str) -> Option<String> {
        let split = |path: &str| -> VecDeque<String> {
            path.split('/')
                .filter(|part| !matches!(*part, "" | "."))
                .map(str::to_owned)
                .collect()
        };
        let (mut place, mut parts, mut hops) = (String::new(), split(path), 0);
        while let Some(part) = parts.pop_front() {
            if part == ".." {
                place = parent(&place).to_owned();
                continue;
            }
            let next = format!("{place}/{part}");
            if parts.is_empty() {
                return Some(next);
            }
            match &self.nodes.get(&next)?.content {
                Content::Folder => place = next,
                Content::Link(target) if hops < LINK_HOPS => {
                    hops += 1;
                    if target.starts_with('/') {
                        place.clear();
                    }
                    let mut before = split(target);
                    before.append(&mut parts);
                    parts = before;
                }
                _ => return None,
            }
        }
        Some(place)
    }
}

/// Changing, as the primitive calls do.
impl Files {
    /// A file system with nothing in it.
    pub(super) fn new() -> Self {
        let mut files = Self {
            nodes: BTreeMap::new(),
            now_ns: EPOCH_NS,
            binds: Binds::new(),
            device: DEVICE,
            uuid: UUID.to_owned(),
            made: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            unlisted: BTreeMap::new(),
            without_xattrs: BTreeSet::new(),
            mounted: BTreeMap::new(),
            closed: BTreeMap::new(),
            room: BTreeMap::new(),
        };
        let root = files.node("", Content::Folder, 0o755, ROOT);
        files.nodes.insert(String::new(), root);
        files
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let ns = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        self.now_ns = self.now_ns.saturating_add(ns);
    }

    /// A number of its own, which does not depend on what is done elsewhere.
    fn inode(&mut self, place: &str) -> u64 {
        let count = self.made.entry(place.to_owned()).or_default();
        *count += 1;
        let digest = Sha256::digest(format!("{place} {count}"));
        digest
            .iter()
            .take(6)
            .fold(0, |ino, byte| ino << 8 | u64::from(*byte))
    }

    fn node(&mut self, place: &str, content: Content, mode: u32, owner: Owner) -> Node {
        Node {
            content,
            mode,
            owner,
            dev: self.device,
            ino: self.inode(place),
            links: 1,
            mtime_ns: self.now_ns,
            ctime_ns: self.now_ns,
            guest_mode: None,
            acl: None,
        }
    }

    /// Where a name can be made.
    fn place(&self, path: &str) -> Result<String, CallError> {
        self.no_links_within_own(path)?;
        let place = self.resolve(path).ok_or_else(|| missing(path))?;
        let parent = self.nodes.get(parent(&place));
        match parent.map(|node| &node.content) {
            Some(Content::Folder) => Ok(place),
            _ => Err(missing(path)),
        }
    }

    /// Where a name can be made that is not there yet.
    fn free_place(&self, path: &str) -> Result<String, CallError> {
        let place = self.place(path)?;
        self.has_room(&place)?;
        match self.nodes.get(&place) {
            Some(_) => Err(exists(path)),
            None => Ok(place),
        }
    }

    /// Edits the bytes and the size of a plain file.
    pub(super) fn edit_file(
        &mut self,
        path: &str,
        edit: impl FnOnce(&mut Vec<u8>, &mut u64) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let place = self.resolve(path).ok_or_else(|| missing(path))?;
        let node = self.nodes.get_mut(&place).ok_or_else(|| missing(path))?;
        let Content::File { bytes, size } = &mut node.content else {
            return Err(fails(
                CallErrorKind::Other,
                path,
                "it is not a regular file",
            ));
        };
        edit(bytes, size)?;
        (node.mtime_ns, node.ctime_ns) = (self.now_ns, self.now_ns);
        Ok(())
    }

    pub(super) fn make_folder(
        &mut self,
        path: &str,
        mode: u32,
        owner: Option<Owner>,
    ) -> Result<(), CallError> {
        self.no_links(path)?;
        let place = self.free_place(path)?;
        let folder = self.node(&place, Content::Folder, mode, owner.unwrap_or(ROOT));
        self.nodes.insert(place, folder);
        Ok(())
    }

    pub(super) fn probe_xattr(&self, folder: &str) -> Result<(), CallError> {
        match self.find(folder) {
            None => Err(missing(folder)),
            Some((place, _)) if self.without_xattrs.contains(&place) => Err(fails(
                CallErrorKind::Unsupported,
                folder,
                "files here cannot have extended attributes of the kind user.*",
            )),
            Some((place, _)) => self.has_room(&format!("{place}/probe")),
        }
    }

    pub(super) fn set_folder_owner(
        &mut self,
        path: &str,
        mode: u32,
        owner: Owner,
    ) -> Result<(), CallError> {
        self.no_links(path)?;
        match self.stat(path).map(|stat| stat.kind) {
            None => Err(missing(path)),
            Some(FileKind::Folder) => self.own(path, mode, owner),
            Some(_) => Err(fails(CallErrorKind::Other, path, "Not a directory")),
        }
    }

    /// Sets owner and mode of whatever has this name.
    pub(super) fn own(&mut self, path: &str, mode: u32, owner: Owner) -> Result<(), CallError> {
        let place = self.resolve(path).ok_or_else(|| missing(path))?;
        let node = self.nodes.get_mut(&place).ok_or_else(|| missing(path))?;
        (node.mode, node.owner, node.ctime_ns) = (mode, owner, self.now_ns);
        Ok(())
    }

    /// Puts a new thing where nothing or no folder is.
    pub(super) fn put(
        &mut self,
        path: &str,
        content: Content,
        mode: u32,
        owner: Owner,
    ) -> Result<(), CallError> {
        let place = self.place(path)?;
        if matches!(self.nodes.get(&place), Some(node) if node.content == Content::Folder) {
            return Err(fails(CallErrorKind::Other, path, "Is a directory"));
        }
        self.has_room(&place)?;
        let node = self.node(&place, content, mode, owner);
        self.nodes.insert(place, node);
        Ok(())
    }

    pub(super) fn write_file(
        &mut self,
        path: &str,
        scratch: &str,
        bytes: &[u8],
        mode: u32,
    ) -> Result<(), CallError> {
        match self.stat(scratch) {
            Some(stat) if stat.kind == FileKind::Folder => {
                self.put(path, Content::file(bytes), mode, ROOT)
            }
            _ => Err(missing(scratch)),
        }
    }

    pub(super) fn create_image(
        &mut self,
        path: &str,
        head: &[u8],
        size: u64,
    ) -> Result<(), CallError> {
        self.no_links(path)?;
        let place = self.free_place(path)?;
        let bytes = head.to_vec();
        let image = self.node(&place, Content::File { bytes, size }, 0o600, ROOT);
        self.nodes.insert(place, image);
        Ok(())
    }

    pub(super) fn grow_image(&mut self, path: &str, from: u64, to: u64) -> Result<(), CallError> {
        self.no_links(path)?;
        self.edit_file(path, |_, size| {
            if *size != from || to < from {
                let why = format!("it has {size} bytes and is not grown from {from} to {to}");
                return Err(fails(CallErrorKind::Other, path, &why));
            }
            *size = to;
            Ok(())
        })
    }

    pub(super) fn is_qcow2(&self, path: &str) -> bool {
        let node = self.find(path);
        node.is_some_and(|(_, node)| node.content.qcow2().is_some())
    }

    pub(super) fn grow_qcow2(&mut self, path: &str, from: u64, to: u64) -> Result<(), CallError> {
        self.no_links(path)?;
        self.edit_file(path, |bytes, _| {
            let grown = Qcow2::read(bytes).unwrap_or(Err("it is no qcow2 image"));
            let grown = grown.and_then(|image| content::grow_qcow2(bytes, &image, from, to));
            grown.map_err(|why| fails(CallErrorKind::Other, path, why))
        })
    }

    pub(super) fn copy_file(
        &mut self,
        from: &str,
        to: &str,
        limit: u64,
        mode: u32,
    ) -> Result<Copied, CallError> {
        let (_, node) = self.find(from).ok_or_else(|| missing(from))?;
        let (content, source) = (node.content.clone(), node.stat());
        let Some(sha256) = content.sha256() else {
            let why = "it is not a regular file";
            return Err(fails(CallErrorKind::Other, from, why));
        };
        let size = source.size;
        if size > limit {
            let why = format!("it has {size} bytes, more than the {limit} that are allowed");
            return Err(fails(CallErrorKind::Other, from, &why));
        }
        self.put(to, content, mode, ROOT)?;
        Ok(Copied { source, sha256 })
    }

    pub(super) fn extend_initrd(
        &mut self,
        base: &str,
        files: &BTreeMap<HostPath, HostPath>,
        to: &str,
        limit: u64,
        mode: u32,
    ) -> Result<Extended, CallError> {
        let mut added = Vec::new();
        let mut sources = BTreeMap::new();
        for (path, from) in files {
            let (bytes, copied) = self.whole(from.as_str())?;
            added.push(AddedFile {
                path: path.clone(),
                mode: copied.source.mode,
                bytes,
            });
            sources.insert(path.clone(), copied);
        }
        if !added.is_empty() && is_wrapped(&self.whole(base)?.0) {
            return Err(CallError::wrapped(base));
        }
        let base = self.copy_file(base, to, limit, mode)?;
        let (mut bytes, _) = self.whole(to)?;
        if !added.is_empty() {
            bytes.extend(appended_files(base.source.size, &added));
        }
        self.put(to, Content::file(bytes), mode, ROOT)?;
        let (bytes, Copied { sha256, .. }) = self.whole(to)?;
        Ok(Extended {
            base,
            files: sources,
            size: bytes.len() as u64,
            sha256,
        })
    }

    /// All the bytes of a file, which is none of the large ones.
    fn whole(&self, path: &str) -> Result<(Vec<u8>, Copied), CallError> {
        let (_, node) = self.find(path).ok_or_else(|| missing(path))?;
        match (&node.content, node.content.sha256()) {
            (Content::File { bytes, .. }, Some(sha256)) => Ok((
                bytes.clone(),
                Copied {
                    source: node.stat(),
                    sha256,
                },
            )),
            _ => Err(fails(
                CallErrorKind::Other,
                path,
                "it is not a regular file",
            )),
        }
    }

    pub(super) fn erase_image(&mut self, path: &str, bytes: u64) -> Result<(), CallError> {
        self.no_links(path)?;
        self.edit_file(path, |content, size| {
            content.clear();
            *size = bytes;
            Ok(())
        })
    }

    pub(super) fn remove_file(&mut self, path: &str) -> Result<(), CallError> {
        self.no_links_within_own(path)?;
        let Some((place, node)) = self.find(path) else {
            return Ok(());
        };
        if node.content == Content::Folder {
            return Err(fails(CallErrorKind::Other, path, "Is a directory"));
        }
        self.nodes.remove(&place);
        Ok(())
    }

    /// Removes whatever has this name, with all that is in it.
    pub(super) fn remove(&mut self, path: &str) {
        let Some(place) = self.resolve(path) else {
            return;
        };
        let inside = self
            .below(&place)
            .map(|(name, _)| format!("{place}/{name}"));
        for path in inside.chain([place.clone()]).collect::<Vec<_>>() {
            self.nodes.remove(&path);
        }
    }

    pub(super) fn rename_file(&mut self, from: &str, to: &str) -> Result<(), CallError> {
        let places = (self.place(from)?, self.place(to)?);
        let node = self.nodes.remove(&places.0);
        self.nodes
            .insert(places.1, node.ok_or_else(|| missing(from))?);
        Ok(())
    }

    pub(super) fn append_line(&mut self, path: &str, line: &str) -> Result<(), CallError> {
        if self.find(path).is_none() {
            self.put(path, Content::file(""), 0o600, ROOT)?;
        }
        self.edit_file(path, |bytes, size| {
            bytes.extend(format!("{line}\n").into_bytes());
            *size = bytes.len() as u64;
            Ok(())
        })
    }
}
