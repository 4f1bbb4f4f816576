//! Disk images: created where nothing is, grown, never shrunk or overwritten. Their bytes are the guest's and are not
//! looked at; only whether there are any.

use super::write::Draft;
use super::{at, folder_of, stat_of};
use crate::host::primitives::CallError;
use crate::inventory::{FileKind, HEAD_LENGTH};
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Creates a sparse image of zero bytes, mode 0600.
pub(in super::super) fn create(path: &Path, bytes: u64) -> Result<(), CallError> {
    let create = || {
        let draft = Draft::begin(path, folder_of(path))?;
        draft.file.set_len(bytes)?;
        draft.place(path)
    };
    create().map_err(at(path))
}

/// Erases every byte of an image, which has this size afterwards.
pub(in super::super) fn erase(path: &Path, bytes: u64) -> Result<(), CallError> {
    let erase = || {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        if stat_of(&file)?.kind != FileKind::File {
            return Err(io::Error::other("it is not a regular file"));
        }
        file.set_len(0)?;
        file.set_len(bytes)?;
        file.sync_all()
    };
    erase().map_err(at(path))
}

/// Whether an image holds no byte since it was created or erased; `false` where the filesystem cannot tell.
pub(super) fn is_blank(image: &File) -> io::Result<bool> {
    match rustix::fs::seek(image, SeekFrom::Data(0)) {
        Err(Errno::NXIO) => Ok(true),
        Ok(_) | Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The first bytes of an image, in lower-case hexadecimal.
pub(super) fn head(image: &File) -> io::Result<String> {
    let mut bytes = [0; HEAD_LENGTH];
    let count = image.read_at(&mut bytes, 0)?;
    let first = bytes.iter().take(count);
    Ok(first.map(|byte| format!("{byte:02x}")).collect())
}

/// Grows an image that has this size.
pub(in super::super) fn grow(path: &Path, from: u64, to: u64) -> Result<(), CallError> {
    let grow = || {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let stat = stat_of(&file)?;
        if stat.kind != FileKind::File {
            return Err(io::Error::other("it is not a regular file"));
        }
        if stat.size != from || to < from {
            return Err(io::Error::other(format!(
                "it has {} bytes and is not grown from {from} to {to}",
                stat.size
            )));
        }
        file.set_len(to)?;
        file.sync_all()
    };
    grow().map_err(at(path))
}
