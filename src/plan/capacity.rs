//! What all VMs of a host want together: memory and CPUs to run on, and room for their new images.
//!
//! All may be promised more than once and still be enough, so this is said, and nothing is refused.

use super::About;
use super::builder::{PlanBuilder, PlanInput};
use super::step::{Act, Step};
use crate::domain::memory_of;
use crate::fleet::{DesiredState, Vm};
use crate::values::{CpuSet, Size};
use std::collections::BTreeMap;

/// Says what together is more than the host has.
pub(super) fn plan(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let is_start = |step: &Step| matches!(step.act, Act::Start { .. });
    // Not at each plan of a fleet that is as it should be.
    if builder.steps.iter().any(is_start) {
        memory(input, builder);
        vcpus(input, builder);
    }
    images(input, builder);
}

/// The VMs of the file that should run.
fn running<'a>(input: &'a PlanInput<'_>) -> impl Iterator<Item = &'a Vm> {
    let vms = input.spec.vms.values();
    vms.filter(|vm| vm.state == DesiredState::Running)
}

/// The definitions of domains that run and are not the file's.
fn others<'a>(input: &'a PlanInput<'_>) -> impl Iterator<Item = &'a str> {
    let others = input.domains.iter();
    let others = others.filter(|(name, domain)| domain.state.has_process() && !input.in_file(name));
    others.filter_map(|(_, domain)| domain.raw.inactive.present().map(String::as_str))
}

fn memory(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let wanted: u64 = running(input).map(|vm| vm.memory.bytes()).sum();
    let others: u64 = others(input).filter_map(memory_of).map(Size::bytes).sum();
    let Some(has) = input.libvirt.memory.filter(|has| wanted + others > *has) else {
        return;
    };
    let (wanted, has) = (Size::from_bytes(wanted), Size::from_bytes(has));
    let beside = match others {
        0 => String::new(),
        others => format!(", and other domains that run {}", Size::from_bytes(others)),
    };
    let what = format!(
        "VMs that should run request {wanted} of memory together{beside}; this host has {has}"
    );
    builder.notice(About::MEMORY, what, "armfleet explain host-memory");
}

fn vcpus(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let wanted: usize = running(input)
        .filter_map(|vm| usize::try_from(vm.vcpus).ok())
        .sum();
    let has = input.libvirt.cpus.as_ref().map(CpuSet::count);
    if let Some(has) = has.filter(|has| wanted > *has) {
        let what =
            format!("VMs that should run have {wanted} vCPUs together; this host has {has} CPUs");
        builder.notice(
            About::VCPUS,
            what,
            "they share them, and each is slower when all are busy",
        );
    }
}

fn images(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let mut wanted: BTreeMap<u64, (u64, u64, String)> = BTreeMap::new();
    let new = builder.steps.iter().filter_map(|step| match &step.act {
        Act::CreateDisk { path, size, .. } => Some((path, size.bytes())),
        Act::GrowDisk { path, from, to, .. } => Some((path, to.bytes() - from.bytes())),
        _ => None,
    });
    for (path, bytes) in new {
        let folder = input.inventory.path(path.parent()).present();
        if let Some((folder, free)) = folder.and_then(|folder| Some((folder, folder.free?))) {
            let entry = wanted.entry(folder.stat.dev);
            entry
                .or_insert_with(|| (0, free, path.parent().to_owned()))
                .0 += bytes;
        }
    }
    for (bytes, free, folder) in wanted.into_values().filter(|(bytes, free, _)| bytes > free) {
        let (bytes, free) = (Size::from_bytes(bytes), Size::from_bytes(free));
        let what = format!("the new images may grow to {bytes} together; {free} are free there");
        builder.notice(About::Path(folder), what, "armfleet explain free-space");
    }
}
