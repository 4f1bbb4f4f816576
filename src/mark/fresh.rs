//! What is kept about the files of scratch disks (`fresh.json`): those that the hook made.

use super::record::Place;
use crate::format::{Format, FormatError};
use crate::values::HostPath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the file says it is.
pub const FRESH_FORMAT: Format = Format::new("armfleet-fresh", 1 << 20);

/// The files that the hook made, and so may replace. After a start that was interrupted there are two for one path, and either
/// of them can be at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshReceipt {
    /// By path.
    pub files: BTreeMap<HostPath, Vec<Place>>,
}

impl FreshReceipt {
    /// Whether the hook made what is at this path.
    #[must_use]
    pub fn has(&self, path: &HostPath, seen: &Place) -> bool {
        let made = self.files.get(path).into_iter().flatten();
        made.into_iter().any(|made| made.is_same(seen))
    }
}

/// Reads the file.
///
/// # Errors
/// Says why the text is no such file of this format.
pub fn read_fresh_receipt(text: &[u8]) -> Result<FreshReceipt, FormatError> {
    FRESH_FORMAT.read(text)
}

/// The text of the file, ending in a newline.
///
/// # Errors
/// None in practice: it can be written as JSON.
pub fn render_fresh_receipt(receipt: &FreshReceipt) -> Result<String, FormatError> {
    FRESH_FORMAT.render(receipt)
}
