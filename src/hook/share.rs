//! The share, as read by somebody who trusts nothing in it.
//!
//! Every open is confined to the folder and its filesystem, follows no link of the host's, and does not wait: a FIFO, a
//! device or a symlink is seen for what it is. Guests make none of these in mapped mode; a broken QEMU might.

use super::files::{FileFault, identity};
use crate::boot::{
    BootFileName, Candidate, Entry, Identity, LINK_TEXT_LIMIT, Listing, MODE_XATTR, MappedKind,
    Origin, is_of_interest, link_target, mapped_kind,
};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

/// How many entries are looked at. A guest with a hundred kernels has a few hundred.
const ENTRY_LIMIT: usize = 4096;
/// The links that are looked at even if there are more entries.
const LINKS: [&[u8]; 4] = [b"vmlinuz", b"initrd.img", b"vmlinuz.old", b"initrd.img.old"];

/// An open share.
pub(super) struct Share {
    folder: OwnedFd,
}

/// What was seen in it.
pub(super) struct Seen {
    pub(super) listing: Listing,
    identities: BTreeMap<BootFileName, Identity>,
}

impl Seen {
    /// What a candidate's kernel and initrd were when they were chosen.
    pub(super) fn origins(&self, pair: &Candidate) -> Option<(Origin, Origin)> {
        let (kernel_link, initrd_link) = pair.source.links().unzip();
        let origin = |name: &BootFileName, link: Option<&str>| {
            Some(Origin {
                name: name.to_string(),
                link: link.and_then(|link| self.identities.get(link)).copied(),
                file: *self.identities.get(name)?,
            })
        };
        Some((
            origin(&pair.kernel, kernel_link)?,
            origin(&pair.initrd, initrd_link)?,
        ))
    }
}

impl Share {
    pub(super) fn open(path: &Path) -> Result<Self, FileFault> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        let folder = folder.map_err(FileFault::new("open the share", path))?;
        Ok(Self { folder })
    }

    /// Looks at everything that can matter for the choice of a pair.
    pub(super) fn look(&self) -> io::Result<Seen> {
        let (mut names, cut) = self.names()?;
        names.extend(LINKS.iter().filter_map(|name| BootFileName::new(name).ok()));
        let mut seen = Seen {
            listing: Listing {
                cut,
                ..Listing::default()
            },
            identities: BTreeMap::new(),
        };
        for name in names {
            self.look_at(name, &mut seen)?;
        }
        let targets: Vec<_> = seen
            .listing
            .entries
            .values()
            .filter_map(target_of)
            .collect();
        for target in targets {
            self.look_at(target, &mut seen)?;
        }
        Ok(seen)
    }

    /// The names of interest, and whether there are more entries than were read.
    fn names(&self) -> io::Result<(Vec<BootFileName>, bool)> {
        let mut names = Vec::new();
        for (count, entry) in Dir::read_from(&self.folder)?.enumerate() {
            if count == ENTRY_LIMIT {
                return Ok((names, true));
            }
            let name = BootFileName::new(entry?.file_name().to_bytes());
            names.extend(name.ok().filter(is_of_interest));
        }
        Ok((names, false))
    }

    /// Adds an entry to what was seen, unless it is not there or known already.
    fn look_at(&self, name: BootFileName, seen: &mut Seen) -> io::Result<()> {
        if seen.listing.entries.contains_key(&name) {
            return Ok(());
        }
        let entry = match self.open_entry(&name) {
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::LOOP) => Entry::Other("a symbolic link of the host"),
            Err(Errno::NXIO | Errno::NODEV) => Entry::Other("a socket or a device"),
            Err(Errno::XDEV) => Entry::Other("on another filesystem"),
            Err(Errno::ACCESS | Errno::PERM) => Entry::Other("not readable"),
            Err(other) => return Err(other.into()),
            Ok(file) => {
                seen.identities.insert(name.clone(), identity(&file)?);
                kind_of(file)?
            }
        };
        seen.listing.entries.insert(name, entry);
        Ok(())
    }

    /// Opens a file of the share.
    pub(super) fn open_file(&self, name: &BootFileName) -> io::Result<File> {
        self.open_entry(name).map_err(io::Error::from)
    }

    /// Opens a file of the share that armfleet gave its name.
    pub(super) fn open_named(&self, name: &'static str) -> io::Result<File> {
        self.open_confined(name).map_err(io::Error::from)
    }

    /// Opens a file of the share by what a note says is its name.
    pub(super) fn open_by_name(&self, name: &str) -> io::Result<File> {
        let name = BootFileName::new(name.as_bytes()).map_err(io::Error::other)?;
        self.open_file(&name)
    }

    /// Whether this name is a link to this file.
    pub(super) fn has(&self, name: &'static str, file: &File) -> bool {
        let there = self.open_named(name).and_then(|there| identity(&there));
        there.is_ok_and(|there| identity(file).is_ok_and(|file| file == there))
    }

    /// Gives a file of the share another name, in place of whatever file or link has it.
    pub(super) fn link(&self, file: &File, name: &'static str) -> io::Result<()> {
        let draft = self.draft_of(name)?;
        rustix::fs::linkat(file, "", &self.folder, &draft, AtFlags::EMPTY_PATH)?;
        self.publish(&draft, name)
    }

    /// Writes a file of the share's owner, in place of whatever file or link has this name.
    pub(super) fn write(
        &self,
        name: &'static str,
        fill: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let draft = self.draft_of(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.folder, &draft, flags, Mode::RUSR)?);
        fill(&file)?;
        let share = rustix::fs::fstat(&self.folder)?;
        fchown(&file, Some(share.st_uid), Some(share.st_gid))?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.sync_all()?;
        self.publish(&draft, name)
    }

    /// Puts its names on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
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

    fn open_entry(&self, name: &BootFileName) -> Result<File, Errno> {
        self.open_confined(name.as_str())
    }

    fn open_confined(&self, name: &str) -> Result<File, Errno> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let confined = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        rustix::fs::openat2(&self.folder, name, flags, Mode::empty(), confined).map(File::from)
    }
}

/// The name in a link's text, if it is one.
fn target_of(entry: &Entry) -> Option<BootFileName> {
    match entry {
        Entry::Link(text) => link_target(text).ok(),
        _ => None,
    }
}

/// What an open file is to the guest.
fn kind_of(file: File) -> io::Result<Entry> {
    let seen = file.metadata()?;
    if seen.is_dir() {
        return Ok(Entry::Other("a folder"));
    }
    if !seen.is_file() {
        return Ok(Entry::Other("a FIFO or a device"));
    }
    let mut mode = [0; 4];
    let kind = match rustix::fs::fgetxattr(&file, MODE_XATTR, &mut mode[..]) {
        Ok(length) => mapped_kind(&mode[..length]),
        // Made by the host, or on a filesystem without such attributes.
        Err(Errno::NODATA | Errno::NOTSUP) => MappedKind::File,
        Err(Errno::RANGE) => MappedKind::Other,
        Err(other) => return Err(other.into()),
    };
    Ok(match kind {
        MappedKind::Link => {
            let mut text = Vec::new();
            file.take(LINK_TEXT_LIMIT as u64 + 1)
                .read_to_end(&mut text)?;
            Entry::Link(text)
        }
        MappedKind::File => Entry::File(seen.len()),
        MappedKind::Other => Entry::Other("a device, FIFO or socket of the guest"),
    })
}
