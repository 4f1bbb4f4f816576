//! What is seen in a share.

use crate::boot::{BootFileName, Candidate, Identity, Listing, Origin, is_of_interest, read_share};
use crate::files::BootShare;
use std::collections::BTreeMap;
use std::io;

/// What was seen in it.
pub(super) struct Seen {
    pub(super) listing: Listing,
    identities: BTreeMap<BootFileName, Identity>,
}

impl Seen {
    /// Looks at everything that can matter for the choice of a pair.
    pub(super) fn of<S: BootShare>(share: &S) -> io::Result<Self> {
        let named = |name: &[u8]| BootFileName::new(name).ok();
        let contents = read_share(share, |name| {
            named(name).is_some_and(|name| is_of_interest(&name))
        })?;
        let entries = contents.entries.iter();
        let identities =
            entries.filter_map(|(name, (stat, _))| Some((named(name)?, S::identity_of(stat))));
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
