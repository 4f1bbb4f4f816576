//! Boot shares.

use super::raw_stat;
use crate::boot::{CONFIRMATION, ShareContents, read_share};
use crate::files::{Folder, Share};
use crate::inventory::{RawFile, RawStat};
use rustix::fs::Statx;
use std::io;

/// The share with all that is in it; if that cannot be told, why, beside what is known of the folder.
pub(super) fn look(folder: &Folder, name: &str) -> io::Result<RawFile> {
    let share = Share::open_in(folder, name)?;
    let stat = raw_stat(&share.stat()?);
    Ok(match read_share(&share, |_| true) {
        Ok(contents) => RawFile {
            text: said(&share),
            ..RawFile::share(stat, raw(contents))
        },
        Err(error) => RawFile {
            unlisted: Some(error.to_string()),
            ..RawFile::only(stat)
        },
    })
}

fn said(share: &Share) -> Option<String> {
    let (_, bytes) = share.word(CONFIRMATION)?;
    String::from_utf8(bytes).ok()
}

fn raw(contents: ShareContents<Statx>) -> ShareContents<RawStat> {
    let ShareContents {
        entries,
        kernels,
        cut,
    } = contents;
    let entries = entries.into_iter();
    let entries = entries.map(|(name, (stat, entry))| (name, (raw_stat(&stat), entry)));
    ShareContents {
        entries: entries.collect(),
        kernels,
        cut,
    }
}
