//! What there is to know about the kernels of a VM.

use crate::boot::{GenerationId, SHARE_NAME_LIMIT, choose};
use crate::fleet::Vm;
use crate::inventory::Inventory;
use crate::mark::{Record, Wanted};
use crate::plan::builder::{PlanBuilder, PlanInput};
use crate::plan::kernels::{Bootable, Staged, bootable, failed, hook_note, staged, trials};

/// Says which kernel a VM does not boot although its guest means it to, and which one it boots because the user chose
/// for it.
pub(super) fn trial_notices(
    inventory: &Inventory,
    vm: &Vm,
    record: Option<&Record>,
    builder: &mut PlanBuilder,
) {
    let name = &vm.name;
    let trials = trials(inventory, &vm.name);
    if let Some(Wanted::Generation(wanted)) = record.map(|record| &record.boot.wanted) {
        let wanted = GenerationId::try_from(wanted.clone()).map(|id| trials.name_of(&id));
        let what = wanted.unwrap_or_else(|_| "another generation".to_owned());
        builder.notice(
            name,
            format!("boots {what}, chosen with armfleet boot use"),
            format!("armfleet boot use {name} auto, to boot what its share has"),
        );
        return;
    }
    let share = inventory.path(vm.boot.share.as_str()).present();
    let seen = share.and_then(|share| Some((share, share.entries.as_deref()?)));
    let Some((share, entries)) = seen else {
        return;
    };
    let considered = choose(&share.listing(), vm.arch);
    let first = considered.iter().flatten().next();
    let failed = first.and_then(|pair| failed(&trials, entries, pair));
    if let Some((id, failure)) = failed {
        let what = trials.name_of(id);
        let instead = match &trials.proved {
            Some(id) => format!("{} boots instead; ", trials.name_of(id)),
            None => String::new(),
        };
        builder.notice(
            name,
            format!("{what} failed: {failure}"),
            format!("{instead}armfleet boot retry {name} gives it another chance"),
        );
    }
}

/// Says what of a VM's boot share could not be looked at. The VM is planned without it.
pub(super) fn share_notices(inventory: &Inventory, vm: &Vm, builder: &mut PlanBuilder) {
    let path = &vm.boot.share;
    let Some(share) = inventory.path(path.as_str()).present() else {
        return;
    };
    if let Some(why) = &share.unlisted {
        builder.unknown(&vm.name, format!("{path} could not be listed: {why}"));
    }
    if share.cut {
        builder.notice(
            &vm.name,
            format!("its boot share {path} has more than {SHARE_NAME_LIMIT} names"),
            "only its links, and what they name, can boot: remove files that are not needed from the guest's /boot",
        );
    }
}

/// Says that what is staged is damaged, and what boots instead; what the hook asked to be looked at when the VM started
/// last, too.
pub(super) fn notices(input: &PlanInput<'_>, vm: &Vm, builder: &mut PlanBuilder) {
    if let Staged::Damaged(why) = staged(input.inventory, vm) {
        let outlook = match bootable(input, vm) {
            Bootable::Yes => "its next start makes it again, from its share or its seed".to_owned(),
            Bootable::No { remedy, .. } => remedy,
            Bootable::Unknown(why) => why,
        };
        builder.notice(
            &vm.name,
            format!("its staged kernel is damaged: {why}"),
            outlook,
        );
    }
    let last_start = hook_note(input.inventory, vm).unwrap_or_default();
    for line in last_start.attention {
        builder.notice(&vm.name, format!("its last start: {line}"), "");
    }
}
