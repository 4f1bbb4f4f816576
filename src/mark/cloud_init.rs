//! What is kept beside a VM's disk for cloud-init (`cloud-init.json`).

use crate::format::{Format, FormatError};
use serde::{Deserialize, Serialize};

/// What the file says it is.
pub const CLOUD_INIT_FORMAT: Format = Format::new("armfleet-cloud-init", 64 << 10);

/// Which disk is the present one, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudInitReceipt {
    /// Its name in the folder.
    pub disk: String,
    /// The digest of all its texts, by the host's key.
    pub digest: String,
    /// The same of the metadata alone, which has the instance-id.
    pub metadata: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its inode.
    pub ino: u64,
    /// When it was written, nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// Reads the file.
///
/// # Errors
/// Says why the text is no such file of this format.
pub fn read_cloud_init_receipt(text: &[u8]) -> Result<CloudInitReceipt, FormatError> {
    CLOUD_INIT_FORMAT.read(text)
}

/// The text of the file, ending in a newline.
///
/// # Errors
/// None in practice: it can be written as JSON.
pub fn render_cloud_init_receipt(receipt: &CloudInitReceipt) -> Result<String, FormatError> {
    CLOUD_INIT_FORMAT.render(receipt)
}
