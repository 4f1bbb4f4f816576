//! Looking at paths.

use super::seed::Receipts;
use super::{Root, STATX, at, copy_hashed, image, is_missing, open_plain, raw_stat, share};
use crate::host::primitives::CallError;
use crate::inventory::{Fact, FileKind, Look, RawFile, RawStat};
use rustix::fs::{AtFlags, CWD};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The largest text that is read.
const TEXT_LIMIT: u64 = 1 << 20;
/// The largest file that is hashed: twice the largest initrd.
const DIGEST_LIMIT: u64 = 1 << 30;

/// Looks at a path. What the look asks for is there only if the path is what the look is for: text and digest of a
/// regular file, target of a link, names of a folder.
pub(in super::super) fn look(
    root: &Root,
    receipts: &Receipts,
    path: &str,
    look: Look,
) -> Fact<RawFile> {
    match seen(root, receipts, path, look) {
        Ok(file) => Fact::Present(file),
        Err(error) if is_missing(&error) => Fact::Absent,
        Err(error) => Fact::Unreadable(error.to_string()),
    }
}

fn seen(root: &Root, receipts: &Receipts, name: &str, look: Look) -> io::Result<RawFile> {
    let path = &root.below(name);
    let stat = lstat(path)?;
    match (look, stat.kind) {
        (Look::Text, FileKind::File) => text(path),
        (Look::Digest, FileKind::File) => digest(path),
        (Look::Seed, FileKind::File) => match receipts.digest(root, name, &stat) {
            None => digest(path),
            sha256 => Ok(RawFile {
                sha256,
                ..RawFile::only(stat)
            }),
        },
        (Look::Lock, FileKind::File) => Ok(RawFile {
            text: super::lock::held_by(path)?,
            ..RawFile::only(stat)
        }),
        (Look::Image, FileKind::File) => match open_plain(path) {
            Ok((file, stat)) => {
                let blank = image::is_blank(&file)?;
                let head = (!blank).then(|| image::head(&file)).transpose()?;
                Ok(RawFile {
                    blank: Some(blank),
                    head,
                    ..RawFile::only(stat)
                })
            }
            // Whoever is not root plans, too; what matters of these is not seen then, and said where it does.
            Err(_) => Ok(RawFile::only(stat)),
        },
        (Look::Link, FileKind::Symlink) => Ok(RawFile {
            text: Some(utf8(rustix::fs::readlink(path, Vec::new())?.into_bytes())?),
            ..RawFile::only(stat)
        }),
        (Look::Share, FileKind::Folder) => share::look(path),
        (Look::Room, FileKind::Folder | FileKind::Symlink) => {
            // A file system that cannot tell, and a link to nowhere, have nothing to compare with.
            let room = rustix::fs::statvfs(path).ok();
            Ok(RawFile {
                free: room.map(|room| room.f_bavail.saturating_mul(room.f_frsize)),
                ..RawFile::only(stat)
            })
        }
        _ => Ok(RawFile::only(stat)),
    }
}

fn lstat(path: &Path) -> io::Result<RawStat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(raw_stat(&rustix::fs::statx(CWD, path, flags, STATX)?))
}

pub(super) fn text(path: &Path) -> io::Result<RawFile> {
    let (file, stat) = open_plain(path)?;
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(RawFile {
        text: Some(utf8(bytes)?),
        ..RawFile::only(stat)
    })
}

fn digest(path: &Path) -> io::Result<RawFile> {
    let (file, stat) = open_plain(path)?;
    let sha256 = copy_hashed(&file, &stat, DIGEST_LIMIT, io::sink())?;
    Ok(RawFile {
        sha256: Some(sha256),
        ..RawFile::only(stat)
    })
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// The `record.json` of each folder in a folder, sorted.
pub(in super::super) fn records(root: &Root, folder: &str) -> Result<Vec<String>, CallError> {
    let path = root.below(folder);
    let names = match fs::read_dir(&path) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(&path)(error)),
    };
    let mut records = Vec::new();
    for name in names {
        let name = name.map_err(at(&path))?.file_name();
        // armfleet makes no such names.
        let Some(name) = name.to_str() else { continue };
        let record = format!("{folder}/{name}/record.json");
        let path = root.below(&record);
        match lstat(&path) {
            Ok(_) => records.push(record),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(at(&path)(error)),
        }
    }
    records.sort();
    Ok(records)
}
