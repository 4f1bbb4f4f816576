//! What the hook sees in a share.

use super::files::OwnFileError;
use crate::boot::{BootFileName, Candidate, Identity, Listing, Origin, is_of_interest, read_share};
use crate::files::{Share, identity, identity_of};
use crate::values::HostPath;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

/// What was seen in it.
pub(super) struct Seen {
    pub(super) listing: Listing,
    identities: BTreeMap<BootFileName, Identity>,
}

impl Seen {
    /// Looks at everything that can matter for the choice of a pair.
    pub(super) fn of(share: &Share) -> io::Result<Self> {
        let named = |name: &[u8]| BootFileName::new(name).ok();
        let contents = read_share(share, |name| {
            named(name).is_some_and(|name| is_of_interest(&name))
        })?;
        let entries = contents.entries.iter();
        let identities =
            entries.filter_map(|(name, (stat, _))| Some((named(name)?, identity_of(stat))));
        Ok(Self {
            listing: contents.listing(),
            identities: identities.collect(),
        })
    }

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

/// Opens a VM's share.
pub(super) fn open(path: &HostPath) -> Result<Share, OwnFileError> {
    let path = Path::new(path.as_str());
    Share::open(path).map_err(OwnFileError::new("open the share", path))
}

/// Opens a file of the share by what a note says is its name.
pub(super) fn open_by_name(share: &Share, name: &str) -> io::Result<File> {
    let name = BootFileName::new(name.as_bytes()).map_err(io::Error::other)?;
    share.open_file(&name)
}

/// Whether this name is a link to this file.
pub(super) fn has(share: &Share, name: &'static str, file: &File) -> bool {
    let there = share.open_named(name).and_then(|there| identity(&there));
    there.is_ok_and(|there| identity(file).is_ok_and(|file| file == there))
}
