//! What happens before a VM starts: whether it is ours, and what libvirt is told.

use super::domain::Starting;
use super::linked::hand_over;
use super::open::{can_boot_unchecked, renew_staged};
use super::outcome::Outcome;
use super::start::{Start, start_again};
use crate::files::{Directory as _, OwnFileError, Root, chain, read_own};
use crate::format::{FormatError, UPGRADE};
use crate::mark::read_record;
use crate::paths;
use crate::values::VmName;
use std::io::Read;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("its record is damaged")]
    Damaged(#[source] FormatError),
    #[error("its record stays as it is")]
    Later(#[source] FormatError),
    #[error("its record could have been written by another user than root: {0}")]
    Untrusted(String),
    #[error("its record is unreadable")]
    Unreadable(#[source] OwnFileError),
}

/// Prepares the start of a domain: stages the pair that its guest installed. Does nothing for a domain that is not
/// armfleet's, or that libvirt restores with its memory.
///
/// `domain_xml` is what libvirt writes to its hooks' standard input.
#[must_use]
pub fn prepare(root: &Root, domain: &str, domain_xml: impl Read) -> Outcome {
    let Ok(vm) = domain.parse::<VmName>() else {
        return Outcome::nothing();
    };
    let record = match read_own(root, &paths::record(&vm)) {
        Ok(None) => return Outcome::nothing(),
        Ok(Some(file)) => match file.not_roots() {
            Some(why) => Err(RecordError::Untrusted(why)),
            None => read_record(&file.bytes).map_err(|fault| {
                if fault.is_later() {
                    RecordError::Later(fault)
                } else {
                    RecordError::Damaged(fault)
                }
            }),
        },
        Err(fault) => Err(RecordError::Unreadable(fault)),
    };
    let starting = match Starting::read(domain_xml) {
        Ok(starting) => starting,
        Err(fault) => return Outcome::done(&vm, [chain(&fault).as_str()]),
    };
    let record = match record {
        Ok(record) => record,
        Err(fault) => return without_record(root, &vm, &starting, &fault),
    };
    match starting.foreign_to(&record, &vm) {
        Some(why) => Outcome::done(&vm, [format!("left alone: {why}").as_str()]),
        None => Start::new(root, &record, &starting).run(),
    }
}

/// Whether what is staged can boot; if so, makes the fresh copies that do.
fn can_boot_renewed(root: &Root, vm: &VmName, arch: &str) -> bool {
    can_boot_unchecked(root, vm, arch) && renew_staged(root, vm).is_ok()
}

/// Whether earlier starts made scratch disks anew.
fn has_scratch(root: &Root, vm: &VmName) -> bool {
    let receipt = paths::fresh_receipt(vm);
    let kind = root
        .holding(&receipt)
        .and_then(|(own, name)| own.kind(name));
    !matches!(kind, Ok(None))
}

/// Without its record a VM's share is not known; with a staged pair it starts all the same.
fn without_record(root: &Root, vm: &VmName, starting: &Starting, fault: &RecordError) -> Outcome {
    let why = chain(fault);
    // What a later version staged is as good as it was; of a damaged record nothing is known.
    let linked = || {
        let linked = starting.linked();
        matches!(fault, RecordError::Later(_))
            && linked.is_some_and(|linked| hand_over(root, vm, &linked, None).is_ok())
    };
    // Which disks are to be made anew the record says.
    let boots =
        || !has_scratch(root, vm) && (can_boot_renewed(root, vm, &starting.arch) || linked());
    if !starting.claims_to_be(vm) || boots() {
        return Outcome::done(vm, [format!("{why}; nothing was staged").as_str()]);
    }
    let remedy = match fault {
        RecordError::Unreadable(fault) => fault.remedy(),
        RecordError::Later(_) => Some(UPGRADE.to_owned()),
        RecordError::Damaged(_) | RecordError::Untrusted(_) => None,
    };
    let remedy = remedy.unwrap_or_else(|| "run `armfleet apply`".to_owned());
    Outcome::refused(vm, &why, [], &start_again(Some(remedy)))
}
