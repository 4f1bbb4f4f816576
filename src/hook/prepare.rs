//! What happens before a VM starts: whether it is ours, and what libvirt is told.

use super::domain::Starting;
use super::files::{FileFault, chain, read_own};
use super::generations::INSTALLER_MARK;
use super::linked::hand_over;
use super::root::Root;
use super::start::Start;
use crate::format::{FormatError, UPGRADE};
use crate::mark::read_record;
use crate::spec::{VmName, layout};
use std::fs;
use std::io::Read;
use std::path::Path;

/// Whether the VM may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has a kernel to boot, or is none of armfleet's VMs.
    Done,
    /// It has none.
    Refused,
}

/// The answer to libvirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the VM may start.
    pub verdict: Verdict,
    /// What happened, for standard error: libvirt quotes it when the start is refused.
    pub text: String,
}

impl Outcome {
    pub(super) fn done(vm: &VmName, lines: &[String]) -> Self {
        let text = lines.iter().map(|line| format!("armfleet: {vm}: {line}\n"));
        Self {
            verdict: Verdict::Done,
            text: text.collect(),
        }
    }

    fn nothing() -> Self {
        Self {
            verdict: Verdict::Done,
            text: String::new(),
        }
    }

    pub(super) fn refused(vm: &VmName, why: &str, lines: &[String], remedy: &str) -> Self {
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        Self {
            verdict: Verdict::Refused,
            text: format!("armfleet: {vm} cannot start: {why}\n{lines}To do: {remedy}\n"),
        }
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
enum RecordFault {
    #[error("its record is damaged")]
    Damaged(#[source] FormatError),
    #[error("its record stays as it is")]
    Later(#[source] FormatError),
    #[error("its record is unreadable")]
    Unreadable(#[source] FileFault),
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
    let record = match read_own(&root.below(&layout::record(&vm))) {
        Ok(None) => return Outcome::nothing(),
        Ok(Some(text)) => read_record(&text).map_err(|fault| {
            if fault.is_later() {
                RecordFault::Later(fault)
            } else {
                RecordFault::Damaged(fault)
            }
        }),
        Err(fault) => Err(RecordFault::Unreadable(fault)),
    };
    let starting = match Starting::read(domain_xml) {
        Ok(starting) => starting,
        Err(fault) => return Outcome::done(&vm, &[chain(&fault)]),
    };
    let record = match record {
        Ok(record) => record,
        Err(fault) => return without_record(root, &vm, &starting, &fault),
    };
    match starting.foreign_to(&record, &vm) {
        Some(why) => Outcome::done(&vm, &[format!("left alone: {why}")]),
        None => {
            let handover = starting.handover(&record.boot.share);
            Start::new(root, &record, starting.arch, handover).run()
        }
    }
}

/// Without its record a VM's share is not known; with a staged pair it starts all the same.
fn without_record(root: &Root, vm: &VmName, starting: &Starting, fault: &RecordFault) -> Outcome {
    let why = chain(fault);
    let linked = || {
        let share = starting.linked_share();
        share.is_some_and(|share| hand_over(root, vm, &share).is_ok())
    };
    if !starting.claims_to_be(vm) || can_boot_unchecked(root, vm) || linked() {
        return Outcome::done(vm, &[format!("{why}; nothing was staged")]);
    }
    let remedy = match fault {
        RecordFault::Later(_) => UPGRADE,
        RecordFault::Damaged(_) | RecordFault::Unreadable(_) => "run `armfleet apply`",
    };
    Outcome::refused(
        vm,
        &why,
        &[],
        &format!("{remedy}, then start the VM again."),
    )
}

/// Whether a VM has something to boot that is nobody's but armfleet's.
pub(super) fn can_boot_unchecked(root: &Root, vm: &VmName) -> bool {
    let linked = fs::symlink_metadata(root.below(&layout::linked(vm))).is_ok();
    !linked && is_bootable(&root.below(&layout::current(vm)))
}

/// Whether a domain has something to boot in this folder; an installer is nothing to fall back on.
pub(super) fn is_bootable(current: &Path) -> bool {
    if fs::symlink_metadata(current.join(INSTALLER_MARK)).is_ok() {
        return false;
    }
    ["vmlinuz", "initrd.img"].iter().all(|name| {
        fs::metadata(current.join(name)).is_ok_and(|file| file.is_file() && file.len() > 0)
    })
}
