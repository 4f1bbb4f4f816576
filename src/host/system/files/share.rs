//! Boot shares.

use super::raw_stat;
use crate::boot::{ShareContents, read_share};
use crate::files::{Folder, Share};
use crate::inventory::RawFile;
use std::io;

/// The share with all that is in it.
pub(super) fn look(folder: &Folder, name: &str) -> io::Result<RawFile> {
    let share = Share::open_in(folder, name)?;
    let ShareContents {
        entries,
        kernels,
        cut,
    } = read_share(&share, |_| true)?;
    let entries = entries
        .into_iter()
        .map(|(name, (stat, entry))| (name, (raw_stat(&stat), entry)));
    let entries = entries.collect();
    Ok(RawFile::share(
        raw_stat(&share.stat()?),
        ShareContents {
            entries,
            kernels,
            cut,
        },
    ))
}
