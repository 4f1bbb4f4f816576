//! How large images are that the fleets only name: that is known on the host alone.

use super::fleets::Fleets;
use crate::fleet::{Disk, Spec, Vm};
use crate::plan::{About, Notice, Plan};
use crate::values::{HostPath, Size};
use std::collections::BTreeSet;

/// An image whose size no file tells.
pub(super) const SOME_SIZE: Size = Size::GIB;

/// The images that a disk is made of.
pub(super) fn bases(disk: &Disk) -> impl Iterator<Item = &HostPath> {
    let from = disk.from.as_ref().map(|from| &from.path);
    let backing = disk.backing.as_ref().map(|backing| &backing.path);
    from.into_iter().chain(backing)
}

/// A notice of each disk that a plan makes or changes and that is, or was, as large as the image that it is made of.
pub(super) fn stand_ins(fleets: Fleets<'_>, plan: &Plan) -> Vec<Notice> {
    let planned: BTreeSet<_> = plan
        .steps
        .iter()
        .filter_map(|step| step.vm.as_ref())
        .collect();
    let vms = fleets.new.vms.values();
    let planned = vms.filter(|vm| planned.contains(&vm.name));
    planned.flat_map(|vm| of_vm(fleets.old, vm)).collect()
}

fn of_vm<'s>(old: Option<&'s Spec>, vm: &'s Vm) -> impl Iterator<Item = Notice> + 's {
    let was = move |disk: &Disk| {
        let disks = old.and_then(|old| old.vms.get(&vm.name))?.disks.iter();
        disks.into_iter().find(|was| was.path == disk.path)
    };
    let is_unsized = move |disk: &&Disk| match was(disk) {
        Some(was) => was != *disk && (was.size.is_none() || disk.size.is_none()),
        None => disk.size.is_none(),
    };
    vm.disks.iter().filter(is_unsized).flat_map(|disk| {
        bases(disk).map(|base| Notice {
            subject: About::from(&vm.name),
            what: format!(
                "the size of {base} is known on the host only; {SOME_SIZE} stands for it"
            ),
            outlook: "give the disk a size, or plan on the host".to_owned(),
            pending_restart: false,
        })
    })
}
