//! armfleet's own files, and what is said when a call on one fails.

use super::{Directory, Folder, LinkInTheWay, OwnFile, Root};
use crate::format::{Format, FormatError};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Above any record, receipt or note; whoever parses them refuses more.
const OWN_FILE_LIMIT: u64 = 2 << 20;

/// A call on one of the host's own files that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
pub struct OwnFileError {
    act: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl OwnFileError {
    /// Names the act and the file of an error.
    pub fn new(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self { act, path, source }
    }

    /// Whether the file system has no room for it.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// What to do about it, where the failure alone tells.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let in_the_way = NotOurs::of(&self.source).or_else(|| LinkInTheWay::of(&self.source));
        if let Some(path) = in_the_way {
            let path = path.display();
            return Some(format!("move it away: mv {path} {path}.old"));
        }
        let path = self.path.display();
        match self.source.kind() {
            _ if self.is_no_room() => Some(format!("free some room in the file system of {path}")),
            io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!("mount the file system of {path} writable"))
            }
            _ => None,
        }
    }
}

/// Something that armfleet did not make, in the place of something of its own.
#[derive(Debug, thiserror::Error)]
#[error("{} is {what}, which armfleet did not make", path.display())]
pub struct NotOurs {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub what: &'static str,
}

impl NotOurs {
    fn of(error: &io::Error) -> Option<&Path> {
        let inner = error.get_ref()?.downcast_ref::<Self>()?;
        Some(&inner.path)
    }
}

/// A file that a later version of armfleet wrote.
#[derive(Debug, thiserror::Error)]
#[error("{} stays as it is", path.display())]
pub struct LaterFile {
    path: PathBuf,
    #[source]
    source: FormatError,
}

/// Whether a later version of armfleet wrote a file.
#[must_use]
pub fn later(root: &Root, path: &str, format: Format) -> Option<LaterFile> {
    let file = read_own(root, path).ok()??;
    LaterFile::of(&root.below(path), &file.bytes, format)
}

impl LaterFile {
    /// The same of bytes that were read from this path.
    #[must_use]
    pub fn of(path: &Path, bytes: &[u8], format: Format) -> Option<Self> {
        let source = format.later(bytes)?;
        let path = path.to_owned();
        Some(Self { path, source })
    }
}

/// The folder of a path of armfleet's own, and its name there.
///
/// # Errors
/// As the system says.
pub fn holding<'a>(root: &Root, path: &'a str) -> Result<(Folder, &'a str), OwnFileError> {
    let opened = root.holding(path);
    opened.map_err(OwnFileError::new("open the folder of", &root.below(path)))
}

/// Reads a file of one of armfleet's own kinds; `None` if it, or its folder, is not there. A file beyond the limit is cut to
/// one byte more, which whoever parses them refuses.
///
/// # Errors
/// As the system says.
pub fn read_own(root: &Root, path: &str) -> Result<Option<OwnFile>, OwnFileError> {
    let read = || -> io::Result<OwnFile> {
        let (folder, name) = root.holding(path)?;
        folder.read_own(name, OWN_FILE_LIMIT)
    };
    there(read()).map_err(OwnFileError::new("read", &root.below(path)))
}

/// The same of a file in an open folder.
///
/// # Errors
/// As the system says.
///
/// # Errors
/// As the system says.
pub fn read_owned(folder: &impl Directory, name: &str) -> Result<Option<OwnFile>, OwnFileError> {
    let read = folder.read_own(name, OWN_FILE_LIMIT);
    there(read).map_err(OwnFileError::new("read", &folder.at(name)))
}

/// The bytes of a file in an open folder.
///
/// # Errors
/// As the system says.
pub fn read_named(folder: &impl Directory, name: &str) -> Result<Option<Vec<u8>>, OwnFileError> {
    Ok(read_owned(folder, name)?.map(|file| file.bytes))
}

fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Creates a file that was not there, readable by root alone for now.
///
/// # Errors
/// As the system says.
pub fn create<D: Directory>(folder: &D, name: &str) -> Result<D::File, OwnFileError> {
    let created = folder.create(name);
    created.map_err(OwnFileError::new("create", &folder.at(name)))
}

/// Removes a file, if it is there; tells whether it was.
///
/// # Errors
/// As the system says.
pub fn remove_file(folder: &impl Directory, name: &str) -> Result<bool, OwnFileError> {
    let removed = folder.remove(name);
    removed.map_err(OwnFileError::new("remove", &folder.at(name)))
}

/// Puts a folder's entries on disk.
///
/// # Errors
/// As the system says.
pub fn sync_folder(folder: &impl Directory) -> Result<(), OwnFileError> {
    let synced = folder.sync();
    synced.map_err(OwnFileError::new("sync", folder.path()))
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
