//! What `armfleet watch` has to do with a plan: whether it runs, and which VMs are held.

use super::About;
use super::builder::{PlanBuilder, PlanInput};
use super::formats;
use crate::fleet::GuestReboot;
use crate::inventory::Fact;
use crate::values::VmName;

/// Says so where a VM relies on a watcher and there is none.
pub(super) fn plan(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let rely = |reboot| reboot == GuestReboot::ColdBoot;
    let vms = input.spec.vms.values();
    if !vms.map(|vm| vm.on_guest_reboot).any(rely) {
        return;
    }
    match input.inventory.watcher() {
        Fact::Present(_) => {}
        Fact::Absent => builder.notice(
            About::WATCH,
            "armfleet watch does not run on this host: a VM whose guest reboots stays off",
            "systemctl enable --now armfleet-watch (its unit: armfleet's package, or examples/systemd), or set on_guest_reboot to warm or stop",
        ),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => builder.notice(
            About::WATCH,
            format!(
                "whether armfleet watch runs on this host could not be seen: {}",
                fact.unknown().unwrap_or_default()
            ),
            "",
        ),
    }
}

/// What is planned for a VM, unless it is held: then nothing is done, and the plan names the hold.
pub(super) fn unless_held(
    input: &PlanInput<'_>,
    vm: &VmName,
    builder: &mut PlanBuilder,
    plan: impl FnOnce(&mut PlanBuilder),
) {
    // Its own plan says so, even of a hold.
    if formats::later(input.inventory, vm).is_some() {
        return plan(builder);
    }
    let (why, outlook) = match input.inventory.hold(vm) {
        Fact::Absent | Fact::NotObserved => return plan(builder),
        Fact::Present(hold) => (hold.to_string(), format!("armfleet release {vm}")),
        Fact::Unreadable(why) => (
            format!("its hold cannot be read, so it is left alone: {why}"),
            format!("armfleet release {vm}, as root"),
        ),
    };
    let mut aside = PlanBuilder::default();
    plan(&mut aside);
    if aside.steps.is_empty() {
        builder.notice(vm, why, outlook);
    } else {
        builder.refuse(vm, why, outlook);
    }
    aside.drop_steps();
    builder.append(aside);
}
