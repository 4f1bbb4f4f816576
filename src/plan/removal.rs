//! VMs that left the file: removed with every guard, or refused.

use super::builder::{PlanBuilder, PlanInput, Removals};
use super::formats;
use super::run::{Calls, calls, without_saved};
use super::step::{Act, StepId};
use super::vm::renaming;
use super::{About, Permission, Removal, rename};
use crate::domain::Cause;
use crate::fleet::{DEFAULT_STOP_TIMEOUT, DesiredState};
use crate::format::UPGRADE;
use crate::inventory::{Domain, Fact, Ownership, SeenRecord};
use crate::values::VmName;
use crate::xml;
use std::collections::BTreeSet;

pub(super) fn plan(input: &PlanInput<'_>, builder: &mut PlanBuilder) -> Removals {
    let mut removals = Removals::new();
    if input.policy.drift_only {
        return removals;
    }
    let mut leaving = Vec::new();
    let mut owned = 0;
    for (name, domain) in input.domains {
        match input.ownership(domain) {
            Ownership::Ours(vm) => {
                owned += 1;
                if !input.spec.vms.contains_key(&vm) && input.policy.selects(vm.as_str()) {
                    leaving.push((vm, domain));
                }
            }
            Ownership::Renamed(vm)
                if !input.spec.vms.contains_key(&vm) && input.policy.selects(name) =>
            {
                let why = format!(
                    "{vm} left the file, but its domain was renamed to {name} by hand: not removed"
                );
                builder.refuse(
                    About::Vm(name.clone()),
                    why,
                    format!("{}, then apply again", renaming(domain, vm.as_str())),
                );
            }
            Ownership::Unknown(why) if !input.in_file(name) => {
                builder.unknown(
                    About::Vm(name.clone()),
                    format!("this domain could not be read: {why}"),
                );
            }
            _ => {}
        }
    }
    let forbidden = forbidden(input.policy.removal, leaving.len(), owned);
    let permission = Permission::Removal(leaving.len());
    for (vm, domain) in leaving {
        rename::notice(input, &vm, domain, builder);
        match &forbidden {
            Some(why) => builder.refuse_without(permission, &vm, why, "disks and boot share stay"),
            None => {
                if let Some(id) = remove(input, &vm, domain, builder) {
                    removals.insert(domain.raw.name.clone(), id);
                }
            }
        }
    }
    forget_orphans(input, builder);
    removals
}

/// Why nothing may be removed, if so. What would allow it is the number of all that would be.
fn forbidden(removal: Removal, leaving: usize, owned: usize) -> Option<String> {
    const LEFT: &str = "not in the fleet file any more";
    let limit = match removal {
        Removal::Refused => return Some(format!("{LEFT}; removal needs --allow-removal")),
        Removal::UpTo(limit) => limit,
        Removal::Asked | Removal::Allowed => owned / 2,
    };
    (leaving > limit)
        .then(|| format!("{LEFT}; {leaving} of this host's {owned} VMs would be removed"))
}

fn remove(
    input: &PlanInput<'_>,
    vm: &VmName,
    domain: &Domain,
    builder: &mut PlanBuilder,
) -> Option<StepId> {
    const REASON: &str = "not in the fleet file any more";
    let uuid = domain.raw.uuid.parse().ok()?;
    let digest = domain.digest.clone()?;
    if let Some((why, remedy)) = obstacle(input, vm, domain) {
        builder.refuse(vm, format!("{REASON}; not removed: {why}"), remedy);
        return None;
    }
    let stop = StepId::new("stop", vm);
    let record = input.inventory.record(vm);
    let record = record.present().and_then(|seen| seen.good());
    let timeout = record.map_or(DEFAULT_STOP_TIMEOUT, |record| record.stop_timeout);
    let mut needs = Vec::new();
    let image = domain.sources.first().map(String::as_str);
    let act = match calls(domain.state, DesiredState::Stopped, &domain.raw.name, image) {
        Calls::Stop | Calls::Start => Some(Act::Stop { uuid, timeout }),
        Calls::Await | Calls::AwaitThenStart => Some(Act::AwaitOff { uuid, timeout }),
        Calls::Nothing => None,
        Calls::Notice(why, remedy) | Calls::Refuse(why, remedy) => {
            builder.refuse(vm, format!("{REASON}; not removed: {why}"), remedy);
            return None;
        }
    };
    if let Some(act) = act {
        let step = builder.step(stop, Some(vm), REASON, &[], Vec::new(), act);
        needs.extend(builder.because(Some(Cause::FileChanged), Some(step)));
    }
    let keep_nvram = domain
        .raw
        .inactive
        .present()
        .is_some_and(|text| has_nvram(text));
    let uuid = domain.raw.uuid.parse().ok()?;
    let act = Act::Undefine {
        uuid,
        digest,
        keep_nvram,
    };
    let undefine = builder.step(
        StepId::new("undefine", vm),
        Some(vm),
        REASON,
        &needs,
        Vec::new(),
        act,
    );
    let needs = [undefine.clone()];
    let forget = builder.step(
        StepId::new("forget", vm),
        Some(vm),
        "its domain goes",
        &needs,
        Vec::new(),
        Act::Forget,
    );
    builder.because(Some(Cause::FileChanged), Some(forget));
    builder.because(Some(Cause::FileChanged), Some(undefine))
}

/// Why a domain cannot be removed, and the remedy.
fn obstacle(input: &PlanInput<'_>, vm: &VmName, domain: &Domain) -> Option<(String, String)> {
    if let Some(why) = formats::later(input.inventory, vm) {
        return Some((why, UPGRADE.to_owned()));
    }
    match input.inventory.hold(vm) {
        Fact::Absent | Fact::NotObserved => {}
        Fact::Present(hold) => return Some((hold.to_string(), format!("armfleet release {vm}"))),
        Fact::Unreadable(why) => {
            return Some((
                format!("its hold cannot be read ({why})"),
                format!("armfleet release {vm}, as root"),
            ));
        }
    }
    let back = || {
        "put it back into the file and apply, which writes the record again; then remove it"
            .to_owned()
    };
    if !domain.raw.persistent {
        return Some((
            "it is transient: it vanishes when it stops".to_owned(),
            format!("virsh shutdown {vm}"),
        ));
    }
    if domain.raw.managed_save {
        return Some((
            "it has a managed save image, which would be lost".to_owned(),
            without_saved(vm),
        ));
    }
    if let Some(obstacle) = snapshots(vm, domain) {
        return Some(obstacle);
    }
    match input.inventory.record(vm) {
        Fact::Present(SeenRecord::Good(record)) if record.uuid.as_str() == domain.raw.uuid => {
            let remedy = "put it back into the file with protect: false and apply; then remove it";
            record
                .protect
                .then(|| ("it is protected".to_owned(), remedy.to_owned()))
        }
        Fact::Present(SeenRecord::Good(_)) => {
            Some(("its record is another domain's".to_owned(), back()))
        }
        Fact::Present(SeenRecord::Damaged(why) | SeenRecord::Later(why)) => {
            Some((format!("its record is damaged ({why})"), back()))
        }
        Fact::Absent => Some(("its record is lost".to_owned(), back())),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => {
            let why = fact.unknown().unwrap_or_default();
            Some((
                format!("its record could not be read ({why})"),
                "run armfleet as root".to_owned(),
            ))
        }
    }
}

/// libvirt undefines no domain that has snapshots or checkpoints, and forgetting them is for the user to decide.
fn snapshots(vm: &VmName, domain: &Domain) -> Option<(String, String)> {
    let kinds = [
        ("snapshot", &domain.raw.snapshots),
        ("checkpoint", &domain.raw.checkpoints),
    ];
    let (kind, names) = kinds.into_iter().find(|(_, names)| !names.is_empty())?;
    let forget = names
        .iter()
        .map(|name| format!("virsh {kind}-delete {vm} {name} --metadata"));
    Some((
        format!("it has {kind}s: {}", names.join(", ")),
        forget.collect::<Vec<_>>().join("; "),
    ))
}

/// Records whose VM left the file and whose domain was removed outside armfleet already.
fn forget_orphans(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let domains = input.domains.values();
    let uuids: BTreeSet<&str> = domains.map(|domain| domain.raw.uuid.as_str()).collect();
    for (name, fact) in &input.inventory.records {
        let Fact::Present(SeenRecord::Good(record)) = fact else {
            continue;
        };
        let Ok(vm) = name.parse::<VmName>() else {
            continue;
        };
        let gone = !uuids.contains(record.uuid.as_str());
        let named = input.domains.contains_key(name);
        let held = !input.inventory.hold(&vm).is_absent();
        let selected = input.policy.selects(name);
        let ours = record.fleet == input.spec.fleet && !input.spec.vms.contains_key(&vm);
        if ours && gone && !named && !held && selected {
            let reason = "not in the fleet file any more, and its domain is gone";
            builder.step(
                StepId::new("forget", &vm),
                Some(&vm),
                reason,
                &[],
                Vec::new(),
                Act::Forget,
            );
        }
    }
}

fn has_nvram(definition: &str) -> bool {
    xml::parse(definition)
        .is_ok_and(|document| xml::descend(document.root_element(), &["os", "nvram"]).is_some())
}
