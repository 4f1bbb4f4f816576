//! The share, as read by somebody who trusts nothing in it.
//!
//! Every open is confined to the folder and its filesystem, follows no link of the host's, and does not wait: a FIFO, a
//! device or a symlink is seen for what it is. Guests make none of these in mapped mode; a broken QEMU might.

use super::files::{FileFault, identity};
use crate::boot::{
    BootFileName, Candidate, Entry, Identity, LINK_TEXT_LIMIT, Listing, MODE_XATTR, MappedKind,
    Origin, is_of_interest, link_target, mapped_kind,
};
use rustix::fs::{Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
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
