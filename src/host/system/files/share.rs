//! Boot shares.

use super::raw_stat;
use super::write::Draft;
use crate::boot::{ShareContents, read_share};
use crate::files::{Folder, Root, Share};
use crate::inventory::RawFile;
use std::fs::File;
use std::io;
use std::os::unix::fs::fchown;
use std::path::Path;

/// The share with all that is in it.
pub(super) fn look(path: &Path) -> io::Result<RawFile> {
    let share = Share::open(path)?;
    let ShareContents { entries, cut } = read_share(&share, |_| true)?;
    let entries = entries
        .into_iter()
        .map(|(name, (stat, entry))| (name, (raw_stat(&stat), entry)));
    let entries = entries.collect();
    Ok(RawFile::share(
        raw_stat(&share.stat()?),
        ShareContents { entries, cut },
    ))
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
