//! The note of the shares beside which a VM has names, with the handover `link`. A start takes them back where it boots from no
//! more.

use crate::mark::{Record, read_record};
use crate::values::HostPath;

/// The shares beside which a VM has had names, by its note if there is one. An earlier version noted none: then it is the
/// record's.
#[must_use]
pub fn noted_beside(note: Option<&[u8]>, record: &Record) -> Vec<HostPath> {
    let Some(note) = note else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(note);
    let noted: Vec<_> = text.lines().filter_map(|line| line.parse().ok()).collect();
    match noted.is_empty() {
        true => vec![record.boot.share.clone()],
        false => noted,
    }
}

/// The note of these shares.
pub fn beside_note<'a>(shares: impl IntoIterator<Item = &'a HostPath>) -> String {
    let lines = shares.into_iter().map(|share| format!("{share}\n"));
    lines.collect()
}

/// Whether a share is this record's, or may be, as it cannot be read.
#[must_use]
pub fn may_be_of(record: &[u8], share: &HostPath) -> bool {
    read_record(record).map_or(true, |record| record.boot.share == *share)
}
