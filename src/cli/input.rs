//! Files that the user names: regular ones, and no others.

use rustix::fs::{Mode, OFlags, open};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("it is not a regular file")]
    NotRegular,
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// Opens a regular file. It waits for nothing: a FIFO may have no writer.
pub(super) fn open_regular(path: &Path, more: OFlags) -> Result<(File, Metadata), InputError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags | more, Mode::empty()).map_err(io::Error::from)?;
    let file = File::from(file);
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err(InputError::NotRegular),
    }
}

/// At most so many bytes of a regular file.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, InputError> {
    let (file, _) = open_regular(path, OFlags::empty())?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
