//! Files that a later version of armfleet wrote stay as they are, whatever was planned before it did.

use super::HostError;
use super::primitives::Reads;
use crate::boot::{DTB_FORMAT, STAGED_FILES};
use crate::format::{Format, FormatError, UPGRADE};
use crate::inventory::Look;
use crate::mark::{CLOUD_INIT_FORMAT, FRESH_FORMAT, RECORD_FORMAT};
use crate::paths::{self, PathOf};
use crate::values::VmName;

/// Fails if a later version of armfleet wrote this file.
pub(super) fn leave_later(reads: &impl Reads, path: &str, format: Format) -> Result<(), HostError> {
    let seen = reads.look(path, Look::Text);
    let text = seen.present().and_then(|file| file.text.as_deref());
    let later = text.and_then(|text| format.later(text.as_bytes()));
    later.map_or(Ok(()), |error| Err(of_later(path, error)))
}

/// Fails if a later version of armfleet wrote a file about this VM.
pub(super) fn leave_later_vm(reads: &impl Reads, vm: &VmName) -> Result<(), HostError> {
    let own = [
        (paths::record as PathOf, RECORD_FORMAT),
        (paths::cloud_init_receipt, CLOUD_INIT_FORMAT),
        (paths::fresh_receipt, FRESH_FORMAT),
        (paths::dtb_receipt, DTB_FORMAT),
    ];
    let mut files = own.into_iter().chain(STAGED_FILES);
    files.try_for_each(|(path, format)| leave_later(reads, &path(vm), format))
}

/// The failure of what would have to read or replace such a file.
pub(super) fn of_later(path: &str, error: FormatError) -> HostError {
    HostError::new(format!("{path} stays as it is"), error)
        .with_remedy(UPGRADE)
        .as_refusal()
}
