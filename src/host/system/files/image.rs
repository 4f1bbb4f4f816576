//! Disk images: created where nothing is, grown, never shrunk or overwritten. Their bytes are the guest's and are not
//! looked at; only whether there are any.

use super::{at, stat_of};
use crate::files::{ChangedMeanwhile, Draft, Root, copy_blocks, digest};
use crate::fleet::DiskFormat;
use crate::host::primitives::{CallError, ImageSize, wrong_digest};
use crate::inventory::{LOG_HEAD_LENGTH, begins_as};
use crate::plan::BaseFile;
use crate::qcow2::{Growth, HEAD_LENGTH, Qcow2};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
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

/// Copies a base image to where nothing has that name, grown to its size.
pub(in super::super) fn copy(
    root: &Root,
    base: &BaseFile,
    from: &str,
    to: &str,
    grown: ImageSize,
) -> Result<(), CallError> {
    let (from, place) = (root.below(from), root.below(to));
    let (file, _) = super::open_plain(&from).map_err(at(&from))?;
    is_planned(&file, base).map_err(at(&from))?;
    let (folder, name) = root.place(to).map_err(at(&place))?;
    let draft = Draft::begin(name, &folder).map_err(at(&place))?;
    copy_blocks(&file, &draft.file, base.size).map_err(at(&place))?;
    is_planned(&file, base).map_err(at(&from))?;
    let finish = || {
        has_digest(&draft.file, base)?;
        grow_draft(&draft.file, grown)?;
        draft.place(&folder, name)
    };
    finish().map_err(at(&place))
}

/// Whether a base image is what the plan saw.
fn is_planned(file: &File, base: &BaseFile) -> io::Result<()> {
    let stat = stat_of(file)?;
    match (stat.ino, stat.size, stat.mtime_ns) == (base.ino, base.size, base.mtime_ns) {
        true => Ok(()),
        false => Err(io::Error::other(ChangedMeanwhile)),
    }
}

fn has_digest(copy: &File, base: &BaseFile) -> io::Result<()> {
    let Some(wanted) = &base.sha256 else {
        return Ok(());
    };
    let seen = digest(copy)?;
    match seen.as_str() == wanted.as_str() {
        true => Ok(()),
        false => Err(io::Error::other(wrong_digest(base, wanted, seen.as_str()))),
    }
}

fn grow_draft(draft: &File, grown: ImageSize) -> io::Result<()> {
    match grown.format {
        DiskFormat::Raw if stat_of(draft)?.size < grown.to => draft.set_len(grown.to),
        DiskFormat::Raw => Ok(()),
        DiskFormat::Qcow2 => {
            let image = read_qcow2(draft)?;
            match image.size < grown.to {
                true => set_qcow2_size(draft, &image, image.size, grown.to),
                false => Ok(()),
            }
        }
    }
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

/// Grows a qcow2 image that has this size for its guest. Its tables stay where they are.
pub(in super::super) fn grow_qcow2(
    root: &Root,
    path: &str,
    from: u64,
    to: u64,
) -> Result<(), CallError> {
    let grow = || {
        let (folder, name) = root.place(path)?;
        let file = folder.open_with(name, OFlags::RDWR, 0)?;
        set_qcow2_size(&file, &read_qcow2(&file)?, from, to)?;
        file.sync_all()
    };
    grow().map_err(at(&root.below(path)))
}

fn read_qcow2(file: &File) -> io::Result<Qcow2> {
    let mut head = [0; HEAD_LENGTH];
    let count = file.read_at(&mut head, 0)?;
    let image = Qcow2::read(Qcow2::head(&head[..count]));
    image
        .unwrap_or(Err("it is no qcow2 image"))
        .map_err(io::Error::other)
}

fn set_qcow2_size(file: &File, image: &Qcow2, from: u64, to: u64) -> io::Result<()> {
    let grown = image.grown(from, to).map_err(io::Error::other)?;
    let mut blank = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(grown.blank.start))?;
    let length = grown.blank.end - grown.blank.start;
    file.take(length).read_to_end(&mut blank)?;
    if blank.iter().any(|byte| *byte != 0) {
        return Err(io::Error::other(Growth::NOT_BLANK));
    }
    file.write_all_at(&grown.header, Growth::OFFSET)
}
