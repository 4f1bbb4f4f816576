//! The file calls: the only place of the host that names `std::fs` and `rustix`.

mod device;
pub(super) mod folder;
pub(super) mod image;
pub(super) mod initrd;
pub(super) mod lock;
pub(super) mod look;
pub(super) mod mounts;
mod place;
pub(super) mod process;
pub(super) mod seed;
pub(super) mod share;
#[cfg(test)]
mod tests;
mod text;
pub(super) mod write;

use crate::files::{self, ChangedMeanwhile, STATX, born_ns};
use crate::host::primitives::{CallError, CallErrorKind};
use crate::inventory::{FileKind, RawStat};
use rustix::fs::{AtFlags, FileType, Statx, StatxTimestamp, makedev};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Opens a regular file for reading. Never follows a link, and never waits for the other end of a FIFO to be opened.
fn open_plain(path: &Path) -> io::Result<(File, RawStat)> {
    let file = files::open_plain(path)?;
    let stat = stat_of(&file)?;
    Ok((file, stat))
}

fn stat_of(file: &File) -> io::Result<RawStat> {
    let stat = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, STATX)?;
    Ok(raw_stat(&stat))
}

fn raw_stat(stat: &Statx) -> RawStat {
    let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Special,
    };
    let is_block = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::BlockDevice;
    RawStat {
        kind,
        size: stat.stx_size,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        mtime_ns: time_ns(&stat.stx_mtime),
        ctime_ns: time_ns(&stat.stx_ctime),
        born_ns: born_ns(stat),
        acl: None,
        links: (kind == FileKind::File).then_some(stat.stx_nlink),
        block: is_block.then(|| makedev(stat.stx_rdev_major, stat.stx_rdev_minor)),
    }
}

fn time_ns(time: &StatxTimestamp) -> i64 {
    nanoseconds(time.tv_sec, time.tv_nsec.into())
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Whether this says that there is no such path.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Turns a failure at a path into the call's.
fn at(path: &Path) -> impl Fn(io::Error) -> CallError {
    move |error| CallError {
        kind: match error.kind() {
            _ if ChangedMeanwhile::is(&error) => CallErrorKind::Changed,
            ErrorKind::NotFound => CallErrorKind::Missing,
            ErrorKind::AlreadyExists => CallErrorKind::Exists,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => CallErrorKind::NoSpace,
            ErrorKind::ReadOnlyFilesystem => CallErrorKind::ReadOnly,
            ErrorKind::Unsupported => CallErrorKind::Unsupported,
            _ => CallErrorKind::Other,
        },
        why: format!("{}: {error}", path.display()),
    }
}
