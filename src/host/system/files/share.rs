//! Looking into a boot share. Root in the guest owns every name, byte, size and attribute in it, and a broken QEMU could
//! put real links and FIFOs there: nothing is followed, nothing is waited for, nothing is read without a bound.

use super::write::Draft;
use super::{is_missing, raw_stat, stat_of};
use crate::boot::{LINK_TEXT_LIMIT, MODE_XATTR, MappedKind, mapped_kind};
use crate::files::{Folder, Root, STATX};
use crate::inventory::{FileKind, RawEntry, RawFile};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::fchown;
use std::path::Path;

/// More names than any `/boot` has.
const NAME_LIMIT: usize = 4096;

/// The share with its names and its mapped links.
pub(super) fn look(path: &Path) -> io::Result<RawFile> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut entries = Vec::new();
    for name in names(&folder)? {
        match entry(&folder, name) {
            Ok(entry) => entries.push(entry),
            // The guest removed it meanwhile.
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(RawFile {
        entries: Some(entries),
        ..RawFile::only(stat_of(&folder)?)
    })
}

/// The names in it, sorted; those that are not UTF-8 are left out.
fn names(folder: &File) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for (count, entry) in Dir::read_from(folder)?.enumerate() {
        if count >= NAME_LIMIT + 2 {
            let why = format!("it holds more than {NAME_LIMIT} names");
            return Err(io::Error::other(why));
        }
        match entry?.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    names.sort();
    Ok(names)
}

fn entry(folder: &File, name: String) -> io::Result<RawEntry> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let stat = raw_stat(&rustix::fs::statx(folder, &name, flags, STATX)?);
    if stat.kind != FileKind::File || stat.size > LINK_TEXT_LIMIT as u64 {
        return Ok(RawEntry {
            name,
            stat,
            link: None,
        });
    }
    let file = open(folder, &name)?;
    let stat = stat_of(&file)?;
    let link = if stat.kind == FileKind::File && is_mapped_link(&file)? {
        target(&file)?
    } else {
        None
    };
    Ok(RawEntry { name, stat, link })
}

fn open(folder: &File, name: &str) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let confined = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    Ok(rustix::fs::openat2(folder, name, flags, Mode::empty(), confined)?.into())
}

fn is_mapped_link(file: &File) -> io::Result<bool> {
    let mut mode = [0; 4];
    match rustix::fs::fgetxattr(file, MODE_XATTR, &mut mode) {
        Ok(length) => Ok(mapped_kind(&mode[..length]) == MappedKind::Link),
        Err(Errno::NODATA | Errno::RANGE | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The link's text, unless it is none: too long, or not UTF-8.
fn target(file: &File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(LINK_TEXT_LIMIT as u64 + 1)
        .read_to_end(&mut bytes)?;
    let short = bytes.len() <= LINK_TEXT_LIMIT;
    Ok(String::from_utf8(bytes).ok().filter(|_| short))
}

/// Puts a file into a share, in place of whatever file or link has its name. It belongs to the share's owner, whose QEMU
/// gives it to the guest.
pub(in super::super) fn put(
    root: &Root,
    share: &str,
    name: &str,
    fill: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    // A share that is a link is none.
    let open = || -> io::Result<Folder> {
        let (parent, share) = root.holding(share)?;
        parent.sub(share)
    };
    let (scratch, into) = (open()?, open()?);
    let owner = rustix::fs::fstat(&into)?;
    let draft = Draft::begin(name, scratch)?;
    fill(&draft.file)?;
    fchown(&draft.file, Some(owner.st_uid), Some(owner.st_gid))?;
    draft.replace(&into, name, 0o600)
}
