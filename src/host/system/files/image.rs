//! Disk images: created where nothing is, grown, never shrunk or overwritten. Their bytes are the guest's and are not
//! looked at; only whether there are any.

use super::{at, stat_of};
use crate::files::{Draft, Root};
use crate::host::primitives::CallError;
use crate::inventory::{LOG_HEAD_LENGTH, begins_as};
use crate::qcow2::{HEAD_LENGTH, Qcow2};
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Creates a sparse image, mode 0600, which begins so and holds nothing else.
pub(in super::super) fn create(
    root: &Root,
    path: &str,
    head: &[u8],
    bytes: u64,
) -> Result<(), CallError> {
    let create = || {
        let (folder, name) = root.place(path)?;
        let draft = Draft::begin(name, &folder)?;
        draft.file.write_all_at(head, 0)?;
        draft.file.set_len(bytes)?;
        draft.place(&folder, name)
    };
    create().map_err(at(&root.below(path)))
}

/// Erases every byte of an image, which has this size afterwards.
pub(in super::super) fn erase(root: &Root, path: &str, bytes: u64) -> Result<(), CallError> {
    let erase = || {
        let (folder, name) = root.place(path)?;
        let file = folder.open_with(name, OFlags::WRONLY, 0)?;
        file.set_len(0)?;
        file.set_len(bytes)?;
        file.sync_all()
    };
    erase().map_err(at(&root.below(path)))
}

/// The first bytes of an image, in lower-case hexadecimal.
pub(super) fn head(image: &File) -> io::Result<String> {
    let mut bytes = [0; HEAD_LENGTH];
    let count = image.read_at(&mut bytes, 0)?;
    let first = Qcow2::head(&bytes[..count]);
    Ok(first.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How many bytes of its file system an image has.
pub(super) fn allocated(image: &File) -> io::Result<u64> {
    /// The unit of `st_blocks` (stat(2)), whatever the file system's own is.
    const BLOCK: u64 = 512;
    Ok(image.metadata()?.blocks() * BLOCK)
}

/// What a console's log begins as, if that is no log.
pub(super) fn log_head(log: &File) -> io::Result<Option<Box<str>>> {
    let mut bytes = [0; LOG_HEAD_LENGTH];
    let count = log.read_at(&mut bytes, 0)?;
    Ok(begins_as(&bytes[..count]))
}

/// Grows an image that has this size.
pub(in super::super) fn grow(root: &Root, path: &str, from: u64, to: u64) -> Result<(), CallError> {
    let grow = || {
        let (folder, name) = root.place(path)?;
        let file = folder.open_with(name, OFlags::RDWR, 0)?;
        let stat = stat_of(&file)?;
        if stat.size != from || to < from {
            return Err(io::Error::other(format!(
                "it has {} bytes and is not grown from {from} to {to}",
                stat.size
            )));
        }
        file.set_len(to)?;
        file.sync_all()
    };
    grow().map_err(at(&root.below(path)))
}

/// Grows a qcow2 image that has this size for its guest. Its tables stay: they reach further than it.
pub(in super::super) fn grow_qcow2(
    root: &Root,
    path: &str,
    from: u64,
    to: u64,
) -> Result<(), CallError> {
    let grow = || {
        let (folder, name) = root.place(path)?;
        let file = folder.open_with(name, OFlags::RDWR, 0)?;
        let mut head = [0; HEAD_LENGTH];
        let count = file.read_at(&mut head, 0)?;
        let image = Qcow2::read(head.get(..count).unwrap_or_default());
        let image = image.unwrap_or(Err("it is no qcow2 image"));
        let size = image.and_then(|image| image.grown(from, to));
        let size = size.map_err(io::Error::other)?;
        file.write_all_at(&size, Qcow2::SIZE_OFFSET)?;
        file.sync_all()
    };
    grow().map_err(at(&root.below(path)))
}
