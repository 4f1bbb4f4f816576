//! armfleet's own files, and what is said when a call on one fails.

use crate::files::{self, Folder, LinkInTheWay, Root};
use crate::format::{Format, FormatError};
use crate::paths;
use rustix::fs::OFlags;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Above any record, receipt or note; their parsers refuse more.
const OWN_FILE_LIMIT: u64 = 2 << 20;

/// A call on one of the host's own files that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
pub(super) struct OwnFileError {
    act: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl OwnFileError {
    /// Names the act and the file of an error.
    pub(super) fn new(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self { act, path, source }
    }

    /// What to do about it, where the failure alone tells.
    pub(super) fn remedy(&self) -> Option<String> {
        let in_the_way = NotOurs::of(&self.source).or_else(|| LinkInTheWay::of(&self.source));
        if let Some(path) = in_the_way {
            let path = path.display();
            return Some(format!("move it away: mv {path} {path}.old"));
        }
        let path = self.path.display();
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some(format!("free some room in the file system of {path}"))
            }
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
pub(super) struct NotOurs {
    pub(super) path: PathBuf,
    pub(super) what: &'static str,
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
pub(super) struct LaterFile {
    path: PathBuf,
    #[source]
    source: FormatError,
}

/// Whether a later version of armfleet wrote a file.
pub(super) fn later(root: &Root, path: &str, format: Format) -> Option<LaterFile> {
    let file = read_own(root, path).ok()??;
    LaterFile::of(&root.below(path), &file.bytes, format)
}

impl LaterFile {
    /// The same of bytes that were read from this path.
    pub(super) fn of(path: &Path, bytes: &[u8], format: Format) -> Option<Self> {
        let source = format.later(bytes)?;
        let path = path.to_owned();
        Some(Self { path, source })
    }
}

/// How long the share may be read, copied and checked: libvirtd holds the VM's lock for as long as the hook runs.
pub(super) const STAGING_TIME: Duration = Duration::from_secs(20);

/// A file of armfleet's own with what it holds.
pub(super) struct OwnFile {
    pub(super) bytes: Vec<u8>,
    uid: u32,
    mode: u32,
}

impl OwnFile {
    /// Why another user than root could have written it; none if only root could.
    pub(super) fn not_roots(&self) -> Option<String> {
        paths::not_roots(self.uid, self.mode & 0o7777)
    }
}

/// The folder of a path of armfleet's own, and its name there.
pub(super) fn holding<'a>(root: &Root, path: &'a str) -> Result<(Folder, &'a str), OwnFileError> {
    let opened = root.holding(path);
    opened.map_err(OwnFileError::new("open the folder of", &root.below(path)))
}

/// Reads a file of one of armfleet's own kinds; `None` if it, or its folder, is not there. A file beyond the limit is cut to
/// one byte more, which their parsers refuse.
pub(super) fn read_own(root: &Root, path: &str) -> Result<Option<OwnFile>, OwnFileError> {
    let read = || -> io::Result<OwnFile> {
        let (folder, name) = root.holding(path)?;
        read_in(&folder, name)
    };
    there(read()).map_err(OwnFileError::new("read", &root.below(path)))
}

/// The same of a file in an open folder.
pub(super) fn read_owned(folder: &Folder, name: &str) -> Result<Option<OwnFile>, OwnFileError> {
    there(read_in(folder, name)).map_err(OwnFileError::new("read", &folder.at(name)))
}

/// The bytes of a file in an open folder.
pub(super) fn read_named(folder: &Folder, name: &str) -> Result<Option<Vec<u8>>, OwnFileError> {
    Ok(read_owned(folder, name)?.map(|file| file.bytes))
}

fn read_in(folder: &Folder, name: &str) -> io::Result<OwnFile> {
    let (bytes, seen) = folder.read(name, OWN_FILE_LIMIT)?;
    Ok(OwnFile {
        bytes,
        uid: seen.stx_uid,
        mode: seen.stx_mode.into(),
    })
}

fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Creates a file that was not there, readable by root alone for now.
pub(super) fn create(folder: &Folder, name: &str) -> Result<File, OwnFileError> {
    let created = folder.create(name);
    created.map_err(OwnFileError::new("create", &folder.at(name)))
}

/// Removes a file, if it is there; tells whether it was.
pub(super) fn remove_file(folder: &Folder, name: &str) -> Result<bool, OwnFileError> {
    let removed = folder.remove(name);
    removed.map_err(OwnFileError::new("remove", &folder.at(name)))
}

/// Puts a folder's entries on disk.
pub(super) fn sync_folder(folder: &Folder) -> Result<(), OwnFileError> {
    let synced = folder.sync();
    synced.map_err(OwnFileError::new("sync", folder.path()))
}

/// Writes a file that may be there and may be read at any time; on a filesystem that a reboot empties.
pub(super) fn write_stamp(root: &Root, path: &str, text: &str) -> Result<(), OwnFileError> {
    let (folder, name) = holding(root, path)?;
    folder
        .open_with(name, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, 0o600)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(OwnFileError::new("write", &folder.at(name)))
}

/// Takes a lock, held until the file is dropped; `None` if another process keeps it for longer than the limit.
pub(super) fn lock(root: &Root, path: &str, limit: Duration) -> Result<Option<File>, OwnFileError> {
    let (folder, name) = holding(root, path)?;
    let file = folder
        .open_with(name, OFlags::WRONLY | OFlags::CREATE, 0o600)
        .map_err(OwnFileError::new("open", &folder.at(name)))?;
    let taken = files::lock(&file, limit).map_err(OwnFileError::new("lock", &folder.at(name)))?;
    Ok(taken.then_some(file))
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
