//! An open boot share. Root in the guest owns every name, byte, size and attribute in it.
//!
//! Every open is confined to the folder and its file system, follows no link of the host's, and does not wait: a FIFO, a
//! device or a symbolic link is seen for what it is. Guests make none of these in mapped mode; a broken QEMU might.

use super::Folder;
use super::{BootShare, OpenFile as _, STATX};
use crate::boot::{
    BootFileName, CONFIRMATION_LIMIT, Entry, Identity, KernelKind, LINK_TEXT_LIMIT, MODE_XATTR,
    MappedKind, ShareFolder, Timestamp, Unusual, mapped_kind,
};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Statx, StatxTimestamp};
use rustix::io::Errno;
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

/// An open share.
#[derive(Debug)]
pub struct Share {
    folder: OwnedFd,
}

impl Share {
    /// Opens a folder that is no link itself. Links on the way are followed.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_at(CWD, path)
    }

    /// The same in an open folder, by its name there.
    ///
    /// # Errors
    /// As the system says.
    pub fn open_in(folder: &Folder, name: &str) -> io::Result<Self> {
        Self::open_at(folder, name)
    }

    fn open_at(folder: impl AsFd, name: impl rustix::path::Arg) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(folder, name, flags, Mode::empty())?;
        Ok(Self { folder })
    }

    /// The folder itself.
    ///
    /// # Errors
    /// As the system says.
    pub fn stat(&self) -> io::Result<Statx> {
        Ok(rustix::fs::statx(
            &self.folder,
            "",
            AtFlags::EMPTY_PATH,
            STATX,
        )?)
    }

    /// Opens a file of it that armfleet gave its name.
    ///
    /// # Errors
    /// As the system says.
    pub fn open_named(&self, name: &'static str) -> io::Result<File> {
        Ok(self.open_confined(name.as_bytes())?)
    }

    /// A small file in which its guest says something of itself.
    #[must_use]
    pub fn word(&self, name: &'static str) -> Option<(Identity, Vec<u8>)> {
        let file = self.open_named(name).ok()?;
        let seen = file.identity().ok()?;
        if !file.metadata().ok()?.is_file() || seen.size > CONFIRMATION_LIMIT {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(CONFIRMATION_LIMIT).read_to_end(&mut bytes).ok()?;
        Some((seen, bytes))
    }

    /// Writes a file of the share's owner, in place of whatever file or link has this name.
    ///
    /// # Errors
    /// As the system says, or as `fill`.
    pub fn write(&self, name: &str, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let draft = self.draft_of(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.folder, &draft, flags, Mode::RUSR)?);
        let finish = || {
            fill(&file)?;
            let share = rustix::fs::fstat(&self.folder)?;
            fchown(&file, Some(share.st_uid), Some(share.st_gid))?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.sync_all()?;
            self.publish(&draft, name)
        };
        finish().inspect_err(|_| drop(self.draft_of(name)))
    }

    /// Puts its names on disk.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.folder)?)
    }

    /// A name to rename from, with nothing behind it.
    fn draft_of(&self, name: &str) -> io::Result<String> {
        let draft = format!("{name}.new");
        match rustix::fs::unlinkat(&self.folder, &draft, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(draft),
            Err(other) => Err(other.into()),
        }
    }

    fn publish(&self, draft: &str, name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(
            &self.folder,
            draft,
            &self.folder,
            name,
        )?)
    }

    fn open_confined(&self, name: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let confined = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        rustix::fs::openat2(&self.folder, name, flags, Mode::empty(), confined).map(File::from)
    }

    /// What an open file is to the guest.
    fn seen(file: File) -> Result<(Statx, Entry), Errno> {
        let stat = rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, STATX)?;
        let entry = match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::RegularFile => regular(file, stat.stx_size)?,
            FileType::Directory => Entry::Unusual(Unusual::Folder),
            _ => Entry::Unusual(Unusual::HostSpecial),
        };
        Ok((stat, entry))
    }

    /// What cannot be opened or read: why, and what it is by its name alone.
    fn unopened(&self, name: &[u8], why: Unusual) -> io::Result<Option<(Statx, Entry)>> {
        match rustix::fs::statx(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW, STATX) {
            Ok(stat) => Ok(Some((stat, Entry::Unusual(why)))),
            Err(Errno::NOENT) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }
}

/// What a name is whose file the system does not give. Whatever it says, only this name is the worse for it.
fn why_not_given(error: Errno) -> Unusual {
    match error {
        Errno::LOOP => Unusual::HostLink,
        Errno::NXIO | Errno::NODEV => Unusual::HostSpecial,
        Errno::XDEV => Unusual::OtherFileSystem,
        Errno::AGAIN => Unusual::Leased,
        _ => Unusual::Unreadable,
    }
}

impl BootShare for Share {
    type File = File;

    fn open_file(&self, name: &BootFileName) -> io::Result<File> {
        Ok(self.open_confined(name.as_str().as_bytes())?)
    }

    fn identity_of(stat: &Statx) -> Identity {
        let time = |at: StatxTimestamp| Timestamp(at.tv_sec, at.tv_nsec.into());
        Identity {
            dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            size: stat.stx_size,
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
        }
    }
}

impl ShareFolder for Share {
    type Stat = Statx;
    type Error = io::Error;

    fn names(&self, limit: usize) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if names.len() == limit {
                return Ok((names, true));
            }
            names.push(name.to_vec());
        }
        Ok((names, false))
    }

    fn see(&self, name: &[u8]) -> io::Result<Option<(Statx, Entry)>> {
        match self.open_confined(name).and_then(Self::seen) {
            Ok(seen) => Ok(Some(seen)),
            Err(Errno::NOENT) => Ok(None),
            Err(other) => self.unopened(name, why_not_given(other)),
        }
    }

    fn kernel(&self, name: &[u8]) -> Option<KernelKind> {
        KernelKind::read(&mut self.open_confined(name).ok()?)
    }
}

/// What a regular file is to the guest.
fn regular(file: File, size: u64) -> Result<Entry, Errno> {
    let mut mode = [0; 4];
    let kind = match rustix::fs::fgetxattr(&file, MODE_XATTR, &mut mode[..]) {
        Ok(length) => mapped_kind(&mode[..length]),
        // Made by the host, or on a file system without such attributes.
        Err(Errno::NODATA | Errno::NOTSUP) => MappedKind::File,
        Err(Errno::RANGE) => MappedKind::Other,
        Err(other) => return Err(other),
    };
    Ok(match kind {
        MappedKind::Link => {
            let mut text = Vec::new();
            let read = file.take(LINK_TEXT_LIMIT as u64 + 1).read_to_end(&mut text);
            read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            Entry::Link(text)
        }
        MappedKind::File => Entry::File(size),
        MappedKind::Other => Entry::Unusual(Unusual::GuestSpecial),
    })
}
