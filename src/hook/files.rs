//! The hook's stamps and its lock.

use crate::files::{self, Directory as _, OwnFileError, Root, holding};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

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
