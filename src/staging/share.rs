//! What is seen in a share.

use crate::boot::{
    BootFileName, Candidate, Identity, Listing, Origin, ShareContents, is_of_interest, read_share,
};
use crate::files::BootShare;
use std::io;

/// What was seen in it.
pub(super) struct Seen<S: BootShare> {
    pub(super) listing: Listing,
    contents: ShareContents<S::Stat>,
}

impl<S: BootShare> Seen<S> {
    /// Looks at everything that can matter for the choice of a pair.
    pub(super) fn of(share: &S) -> io::Result<Self> {
        let contents = read_share(share, |name| {
            BootFileName::new(name).is_ok_and(|name| is_of_interest(&name))
        })?;
        Ok(Self {
            listing: contents.listing(),
            contents,
        })
    }

    fn identity(&self, name: &str) -> Option<Identity> {
        let (stat, _) = self.contents.entries.get(name.as_bytes())?;
        Some(S::identity_of(stat))
    }

    /// What a candidate's kernel and initrd were when they were chosen.
    pub(super) fn origins(&self, pair: &Candidate) -> Option<(Origin, Origin)> {
        let (kernel_link, initrd_link) = pair.source.links().unzip();
        let origin = |name: &BootFileName, link: Option<&str>| {
            Some(Origin {
                name: name.to_string(),
                link: link.and_then(|link| self.identity(link)),
                file: self.identity(name.as_str())?,
            })
        };
        Some((
            origin(&pair.kernel, kernel_link)?,
            origin(&pair.initrd, initrd_link)?,
        ))
    }
}
