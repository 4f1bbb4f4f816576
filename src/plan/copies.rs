//! armfleet's own copies of kernels and initrds, as far as sizes and times tell whether they are what was put there.

use crate::boot::{PairNote, SeedPart};
use crate::inventory::{FileKind, Inventory, RawFile};
use crate::paths;

/// What the files of a staged pair are to be.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    kernel: u64,
    initrd: u64,
    /// When their receipt was written, which is after them.
    receipt_ns: i64,
}

impl Expected {
    /// As a receipt has them.
    pub(super) fn by_receipt(receipt: &RawFile, kernel: &SeedPart, initrd: &SeedPart) -> Self {
        Self {
            kernel: kernel.size,
            initrd: initrd.size,
            receipt_ns: receipt.stat.mtime_ns,
        }
    }
}

/// What is wrong with a generation, by its note. Its masters were read only where their times are later than the note's.
pub(super) fn damaged_master(
    inventory: &Inventory,
    folder: &str,
    note: &PairNote,
) -> Option<String> {
    let entries = inventory.path(folder).present()?.entries.as_deref()?;
    let files = paths::MASTERS.into_iter().zip(paths::BOOTS);
    files
        .zip([&note.kernel, &note.initrd])
        .find_map(|((master, boots), file)| {
            let seen = entries.iter().find(|entry| entry.name == master);
            let read = seen.and_then(|seen| seen.sha256.as_deref());
            // 0.1.0 had no masters.
            let name = seen.map_or(boots, |_| master);
            let differs = read.is_some_and(|sha256| sha256 != file.sha256.as_str());
            changed_copy(inventory, folder, (name, file.size), None)
                .or_else(|| differs.then(|| format!("the SHA-256 of {name} differs")))
        })
}

/// What is wrong with the pair in this folder, if anything is to be seen by size and time: reading a thousand initrds for
/// every plan would take minutes, and the hook reads a copy before it boots it.
pub(super) fn damage(inventory: &Inventory, folder: &str, expected: Expected) -> Option<String> {
    [
        ("vmlinuz", expected.kernel),
        ("initrd.img", expected.initrd),
    ]
    .into_iter()
    .find_map(|file| changed_copy(inventory, folder, file, Some(expected.receipt_ns)))
}

/// What is wrong with one copy in this folder, by its name and size, and by when its receipt was written.
pub(super) fn changed_copy(
    inventory: &Inventory,
    folder: &str,
    (name, size): (&str, u64),
    receipt_ns: Option<i64>,
) -> Option<String> {
    let entries = inventory.path(folder).present()?.entries.as_deref()?;
    let is_later = |ns: i64| receipt_ns.is_some_and(|receipt| ns > receipt);
    let Some(file) = entries.iter().find(|entry| entry.name == name) else {
        return Some(format!("{name} is gone"));
    };
    match file.stat.kind {
        FileKind::File if file.stat.size < size => Some(format!(
            "{name} is cut short: it has {} of {size} bytes",
            file.stat.size
        )),
        FileKind::File if file.stat.size > size || is_later(file.stat.mtime_ns) => {
            Some(format!("{name} was changed"))
        }
        FileKind::File => None,
        other => Some(format!("{name} is {}", other.describe())),
    }
}
