//! What all VMs of a host want together: memory to run in, and room for their new images.
//!
//! Both may be promised more than once and still be enough, so this is said, and nothing is refused.

use super::About;
use super::builder::{PlanBuilder, PlanInput};
use super::step::Act;
use crate::fleet::{DesiredState, Vm};
use crate::values::Size;
use std::collections::BTreeMap;

/// Says what together is more than the host has.
pub(super) fn plan(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    memory(input, builder);
    images(input, builder);
}

fn memory(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let running = |vm: &&Vm| vm.state == DesiredState::Running;
    let wanted: u64 = input
        .spec
        .vms
        .values()
        .filter(running)
        .map(|vm| vm.memory.bytes())
        .sum();
    // Not at each plan of a fleet that is as it should be.
    let starts = builder
        .steps
        .iter()
        .any(|step| matches!(step.act, Act::Start { .. }));
    if let Some(has) = input.libvirt.memory
        && wanted > has
        && starts
    {
        let (wanted, has) = (Size::from_bytes(wanted), Size::from_bytes(has));
        let what =
            format!("VMs that should run request {wanted} of memory together; this host has {has}");
        builder.notice(About::MEMORY, what, "armfleet explain host-memory");
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
