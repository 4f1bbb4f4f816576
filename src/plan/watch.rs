//! What `armfleet watch` has to do with a plan: whether somebody watches, and whom everybody leaves alone.

use super::formats;
use super::planner::{Draft, Sight};
use crate::fleet::GuestReboot;
use crate::inventory::Fact;
use crate::values::VmName;

/// Says so where a VM relies on a watcher and there is none.
pub(super) fn plan(sight: &Sight<'_>, draft: &mut Draft) {
    let rely = |reboot| reboot == GuestReboot::ColdBoot;
    let vms = sight.spec.vms.values();
    if !vms.map(|vm| vm.on_guest_reboot).any(rely) {
        return;
    }
    match sight.inventory.watcher() {
        Fact::Present(_) => {}
        Fact::Absent => draft.notice(
            "watch",
            "nobody runs armfleet watch on this host: a VM whose guest reboots stays off",
            "systemctl enable --now armfleet-watch, or set on_guest_reboot to warm or stop",
        ),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => draft.notice(
            "watch",
            format!(
                "whether armfleet watch runs on this host could not be seen: {}",
                fact.unknown().unwrap_or_default()
            ),
            "",
        ),
    }
}

/// What is planned for a VM, unless somebody holds it: then nothing is done, and it is told who does.
pub(super) fn unless_held(
    sight: &Sight<'_>,
    vm: &VmName,
    draft: &mut Draft,
    plan: impl FnOnce(&mut Draft),
) {
    // Its own plan says so, even of a hold.
    if formats::later(sight.inventory, vm).is_some() {
        return plan(draft);
    }
    let (why, outlook) = match sight.inventory.hold(vm) {
        Fact::Absent | Fact::NotObserved => return plan(draft),
        Fact::Present(hold) => (hold.to_string(), format!("armfleet release {vm}")),
        Fact::Unreadable(why) => (
            format!("its hold cannot be read, so that it is left alone: {why}"),
            format!("armfleet release {vm}, as root"),
        ),
    };
    let mut aside = Draft::default();
    plan(&mut aside);
    if aside.steps.is_empty() {
        draft.notice(vm, why, outlook);
    } else {
        draft.refuse(vm, why, outlook);
    }
    aside.steps.clear();
    draft.append(aside);
}
