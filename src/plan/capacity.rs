//! What all VMs of a host want together: memory and CPUs to run on, and room for their images.
//!
//! All may be promised more than once and still be enough, so this is said, and nothing is refused.

use super::About;
use super::builder::{PlanBuilder, PlanInput};
use super::step::{Act, Step};
use crate::domain::memory_of;
use crate::fleet::{DesiredState, Disk, Vm};
use crate::values::{CpuSet, HostPath, Size};
use std::collections::BTreeMap;

/// Says what together is more than the host has.
pub(super) fn plan(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    // Not at each plan of a fleet that is as it should be.
    if builder.steps.iter().any(is_start) {
        memory(input, builder);
        vcpus(input, builder);
    }
    room(input, builder);
}

fn is_start(step: &Step) -> bool {
    matches!(step.act, Act::Start { .. })
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
    let (wanted, has) = (Size::from_bytes(wanted), Size::from_bytes(has).about());
    let beside = match others {
        0 => String::new(),
        others => format!(
            ", and other domains that run {}",
            Size::from_bytes(others).about()
        ),
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

/// Says where new images, and those that do not have all their room yet, may fill their file system.
fn room(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let new: Vec<(&HostPath, u64)> = builder.steps.iter().filter_map(new_room).collect();
    let starts = builder.steps.iter().any(is_start);
    if new.is_empty() && !starts {
        return;
    }
    let mut wanted: BTreeMap<u64, FileSystem> = BTreeMap::new();
    let sparse = input.spec.vms.values().flat_map(|vm| &vm.disks);
    let sparse = sparse.filter_map(|disk| Some((&disk.path, sparse_room(input, disk)?)));
    let all = new.into_iter().map(|room| (room, true));
    for ((path, bytes), is_new) in all.chain(sparse.map(|room| (room, false))) {
        let folder = input.inventory.path(path.parent()).present();
        if let Some((folder, free)) = folder.and_then(|folder| Some((folder, folder.free?))) {
            let entry = wanted.entry(folder.stat.dev);
            let known = entry.or_insert_with(|| FileSystem::new(path.parent(), free));
            known.bytes += bytes;
            known.has_new |= is_new;
            known.has_sparse |= !is_new;
        }
    }
    for known in wanted
        .into_values()
        .filter(|known| known.bytes > known.free)
    {
        let which = match (known.has_new, known.has_sparse) {
            (true, true) => "new and sparse images there",
            (true, false) => "the new images",
            (false, _) => "sparse images there",
        };
        let unit = unit_of(known.bytes);
        let rounded = |bytes: u64| Size::from_bytes(bytes * unit);
        let (bytes, free) = (
            rounded(known.bytes.div_ceil(unit)),
            rounded(known.free / unit),
        );
        let what = format!("{which} may grow by {bytes} together; {free} are free");
        builder.notice(
            About::Path(known.folder),
            what,
            "armfleet explain free-space",
        );
    }
}

/// The unit to which an amount is rounded: for a notice its first two digits are enough.
const fn unit_of(bytes: u64) -> u64 {
    const GIB: u64 = 1 << 30;
    if bytes < 10 * GIB { 1 << 20 } else { GIB }
}

/// What images may still take of a file system.
struct FileSystem {
    /// The first folder there that has one.
    folder: String,
    free: u64,
    bytes: u64,
    has_new: bool,
    has_sparse: bool,
}

impl FileSystem {
    fn new(folder: &str, free: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            free,
            bytes: 0,
            has_new: false,
            has_sparse: false,
        }
    }
}

/// The room that a step gives an image.
fn new_room(step: &Step) -> Option<(&HostPath, u64)> {
    match &step.act {
        Act::CreateDisk { path, size, .. } => Some((path, size.bytes())),
        Act::GrowDisk { path, from, to, .. } => Some((path, to.bytes() - from.bytes())),
        _ => None,
    }
}

/// What an image that is there has not taken yet of its size.
fn sparse_room(input: &PlanInput<'_>, disk: &Disk) -> Option<u64> {
    let file = input.inventory.path(disk.path.as_str()).present()?;
    let room = file
        .virtual_size(disk.format)?
        .saturating_sub(file.allocated?);
    (room > 0).then_some(room)
}
