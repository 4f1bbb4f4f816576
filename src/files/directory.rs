//! What choosing and staging a kernel need of a host: folders that are held open, the files in them, and boot shares. The
//! file system stands behind these traits, and a tree in memory; one contract holds for both.

use crate::boot::{BootFileName, Identity, ShareFolder};
use crate::paths;
use rustix::fs::{FileType, RenameFlags};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// What has a name: its kind, and what tells it from anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: FileType,
    /// Its number.
    pub ino: u64,
    /// Its birth, nanoseconds since 1970, where the file system keeps it.
    pub born_ns: Option<i64>,
}

/// A regular file that is open.
pub trait OpenFile: Read + Write + Seek {
    /// What tells whether a file is the one it was.
    ///
    /// # Errors
    /// As the system says.
    fn identity(&self) -> io::Result<Identity>;

    /// Gives a file so many bytes; those that it lacks are zero, and take no room.
    ///
    /// # Errors
    /// As the system says.
    fn extend(&mut self, bytes: u64) -> io::Result<()>;

    /// Gives a new file its group and mode, whatever the umask is.
    ///
    /// # Errors
    /// As the system says.
    fn give(&self, group: Option<u32>, mode: u32) -> io::Result<()>;

    /// The same, and puts it on disk.
    ///
    /// # Errors
    /// As the system says.
    fn finish(&self, group: Option<u32>, mode: u32) -> io::Result<()>;

    /// Has every later change of the file show in its times, and tells whether it will. It does not where the file was
    /// changed so lately that its next change could get the same time, nor where the file system gives no time to what is
    /// written through a mapping.
    ///
    /// # Errors
    /// As the system says.
    fn settle(&self) -> io::Result<bool>;

    /// Has an empty file hold what another holds, by the same blocks; false where the file system cannot.
    ///
    /// # Errors
    /// As the system says.
    fn share_blocks(&mut self, _from: &Self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A file with what it holds, and who could have written it.
pub struct OwnFile {
    /// Its bytes, one more than the limit if there are more.
    pub bytes: Vec<u8>,
    /// Its owner.
    pub uid: u32,
    /// Its mode.
    pub mode: u32,
}

impl OwnFile {
    /// Why another user than root could have written it; none if only root could.
    #[must_use]
    pub fn not_roots(&self) -> Option<String> {
        paths::not_roots(self.uid, self.mode & 0o7777)
    }
}

/// An open folder. Its methods follow no link, neither to a name in it nor at that name.
pub trait Directory: Sized {
    /// A file in it.
    type File: OpenFile;

    /// Its own path, for messages.
    fn path(&self) -> &Path;

    /// Where a name in it is, for messages.
    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Opens a folder below this one; the way to it has no links.
    ///
    /// # Errors
    /// [`super::LinkInTheWay`], or as the system says.
    fn sub(&self, path: &str) -> io::Result<Self>;

    /// Opens a folder in this one, which is made if it is not there. It gets the bits of this mode that it lacks, whatever
    /// the umask is, since one that a killed run made may be without.
    ///
    /// # Errors
    /// As [`Directory::sub`].
    fn sub_or_make(&self, name: &str, mode: u32) -> io::Result<Self>;

    /// The names in it, sorted; those that are not UTF-8 with replacement characters.
    ///
    /// # Errors
    /// As the system says.
    fn names(&self) -> io::Result<Vec<String>>;

    /// The kind of what has this name; none if nothing has.
    ///
    /// # Errors
    /// As the system says.
    fn kind(&self, name: &str) -> io::Result<Option<FileType>>;

    /// What has this name; none if nothing has.
    ///
    /// # Errors
    /// As the system says.
    fn inode(&self, name: &str) -> io::Result<Option<Inode>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// [`super::NotPlain`], or as the system says.
    fn open_file(&self, name: &str) -> io::Result<Self::File>;

    /// What a regular file holds, cut to one byte more than the limit, and whose it is.
    ///
    /// # Errors
    /// As [`Directory::open_file`].
    fn read_own(&self, name: &str, limit: u64) -> io::Result<OwnFile>;

    /// Creates a file where nothing has that name, readable by its owner alone.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// The target of a link.
    ///
    /// # Errors
    /// As the system says; what is no link has none.
    fn read_link(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a link.
    ///
    /// # Errors
    /// As the system says.
    fn link(&self, target: &str, name: &str) -> io::Result<()>;

    /// Gives a name in it another one, in a folder of the same file system.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &str, into: &Self, to: &str, how: RenameFlags) -> io::Result<()>;

    /// Removes whatever has this name and is no folder; tells whether there was something.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, name: &str) -> io::Result<bool>;

    /// Removes an empty folder; tells whether it is gone.
    ///
    /// # Errors
    /// As the system says.
    fn remove_empty(&self, name: &str) -> io::Result<bool>;

    /// Puts its names on disk.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&self) -> io::Result<()>;

    /// Removes a folder in which there are at most files of these names, and those files with it. What else is in it stays,
    /// and the folder, too: the names that keep it are the answer. A missing one is fine.
    ///
    /// # Errors
    /// [`super::LinkInTheWay`] where the name is a link, or as the system says.
    fn remove_folder(&self, name: &str, known: &[&str]) -> io::Result<Vec<String>> {
        let folder = match self.sub(name) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        for known in known {
            match folder.kind(known)? {
                None | Some(FileType::Directory) => {}
                Some(_) => drop(folder.remove(known)?),
            }
        }
        if self.remove_empty(name)? {
            return Ok(Vec::new());
        }
        folder.names()
    }
}

/// An open boot share. Root in the guest owns every name, byte, size and attribute in it.
pub trait BootShare: ShareFolder<Error = io::Error> {
    /// A file in it.
    type File: OpenFile;

    /// Opens a file of it.
    ///
    /// # Errors
    /// As the system says.
    fn open_file(&self, name: &BootFileName) -> io::Result<Self::File>;

    /// What tells whether a file is the one that was seen.
    fn identity_of(stat: &Self::Stat) -> Identity;
}
