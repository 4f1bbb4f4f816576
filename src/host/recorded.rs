//! What armfleet keeps about a VM, for commands that need it.

use super::HostError;
use super::formats::of_later;
use super::primitives::Reads;
use crate::boot::Trials;
use crate::inventory::{Fact, Look, RawFile};
use crate::mark::{Record, read_record};
use crate::paths;
use crate::values::VmName;

/// A VM's record.
pub(super) fn recorded(reads: &impl Reads, vm: &VmName) -> Result<Record, HostError> {
    record_of(vm, |path| reads.look(path, Look::Text))
}

/// A VM's record, read by whoever can look at the text of a path.
///
/// # Errors
/// When there is none, or it cannot be used; with what to do about it.
pub fn record_of(
    vm: &VmName,
    look: impl FnOnce(&str) -> Fact<RawFile>,
) -> Result<Record, HostError> {
    let path = paths::record(vm);
    let apply = "armfleet apply";
    match look(&path) {
        Fact::Present(file) => {
            let unusable = || format!("{path} cannot be used");
            if let Some(why) = file.not_roots().or(file.no_text) {
                return Err(HostError::new(unusable(), why).with_remedy(apply));
            }
            read_record(file.text.unwrap_or_default().as_bytes()).map_err(|error| {
                if error.is_later() {
                    of_later(&path, error)
                } else {
                    HostError::new(unusable(), error).with_remedy(apply)
                }
            })
        }
        Fact::Unreadable(why) => Err(HostError::new(format!("cannot read {path}"), why)),
        Fact::Absent | Fact::NotObserved => Err(HostError::plain(format!(
            "armfleet keeps no VM {vm} on this host"
        ))
        .with_remedy(apply)),
    }
}

pub(super) fn trials(reads: &impl Reads, vm: &VmName) -> Result<Trials, HostError> {
    let path = paths::trials(vm);
    match reads.look(&path, Look::Text) {
        Fact::Present(file) => {
            Trials::read(file.text.unwrap_or_default().as_bytes()).map_err(|error| {
                if error.is_later() {
                    of_later(&path, error)
                } else {
                    HostError::new(format!("{path} cannot be used"), error)
                }
            })
        }
        Fact::Unreadable(why) => Err(HostError::new(format!("cannot read {path}"), why)),
        // It was never started.
        Fact::Absent | Fact::NotObserved => Ok(Trials::default()),
    }
}
