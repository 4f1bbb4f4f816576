//! The pure function: which parts plan what, in which order.

use super::builder::{PlanBuilder, PlanInput};
use super::step::{Act, Step, StepId};
use super::{About, Plan, Policy, capacity, folders, hook, order, removal, rename, vm, watch};
use crate::domain::Cause;
use crate::fleet::Spec;
use crate::inventory::{Domain, Fact, Inventory, Libvirt, Ownership};
use crate::values::VmName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Plans: what differs between a spec and what was seen, and the steps that would end it.
///
/// It reads no clock, no environment and no file, and gives the same plan for the same arguments.
#[must_use]
pub fn plan(spec: &Spec, inventory: &Inventory, policy: &Policy) -> Plan {
    plan_unsettled(spec, inventory, policy, &BTreeSet::new())
}

/// The same without VMs that are known to be as the spec wants them.
pub(crate) fn plan_unsettled(
    spec: &Spec,
    inventory: &Inventory,
    policy: &Policy,
    settled: &BTreeSet<VmName>,
) -> Plan {
    let mut builder = PlanBuilder::default();
    let libvirt = inventory.libvirt.present();
    match PlanInput::new(spec, inventory, policy, settled) {
        Some(input) => plan_host(&input, &mut builder),
        None => {
            let why = inventory.libvirt.unknown();
            let why = why.or(inventory.domains.unknown());
            builder.unknown(About::LIBVIRT, why.unwrap_or("it is not there"));
        }
    }
    Plan {
        fleet: spec.fleet.clone(),
        host: "local".to_owned(),
        libvirt: libvirt.map(Libvirt::version_text),
        steps: expecting(order::sort(builder.steps), &inventory.domains),
        refusals: builder.refusals,
        unknowns: builder.unknowns,
        notices: builder.notices,
        redaction: Arc::clone(&inventory.redaction),
    }
}

/// Has the first step that touches a domain expect the definition that was seen. Edits and removals say it themselves.
fn expecting(mut steps: Vec<Step>, domains: &Fact<BTreeMap<String, Domain>>) -> Vec<Step> {
    let Fact::Present(domains) = domains else {
        return steps;
    };
    let mut touched = BTreeSet::new();
    for step in &mut steps {
        let (Some(vm), Some(_)) = (&step.vm, step.act.domain()) else {
            continue;
        };
        let says_itself = matches!(step.act, Act::Define { .. } | Act::Undefine { .. });
        if touched.insert(vm.clone()) && !says_itself {
            step.expects = domains
                .get(vm.as_str())
                .and_then(|domain| domain.digest.clone());
        }
    }
    steps
}

fn plan_host(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let mut hook = hook::plan(input, builder);
    folders::plan(input, &mut hook, builder);
    vm::ways_of_host(input, &mut hook, builder);
    // Removals are decided first, since creations wait for those that free what they need, and are shown last.
    let mut leaving = PlanBuilder::default();
    let removals = removal::plan(input, &mut leaving);
    for vm in input.selected() {
        watch::unless_held(input, &vm.name, builder, |builder| {
            vm::plan(input, vm, &hook, &removals, builder);
        });
    }
    builder.append(leaving);
    hook::renew(input, builder);
    if input.policy.drift_only {
        drop_file_changes(builder);
    }
    refuse_idle_patterns(input, builder);
    watch::plan(input, builder);
    capacity::plan(input, builder);
    note_clones(input, builder);
    rename::notice_of_fleet(input, builder);
}

/// Leaves only the steps that drift calls for, and those that they need and that rest on no change of the file.
fn drop_file_changes(builder: &mut PlanBuilder) {
    let drifted = |step: &Step| step.cause.is_some_and(Cause::is_drift);
    let mut wanted: BTreeSet<StepId> = BTreeSet::new();
    for step in builder.steps.iter().rev() {
        let needed = step.cause.is_none() && wanted.contains(&step.id);
        if drifted(step) || needed {
            wanted.insert(step.id.clone());
            wanted.extend(step.needs.iter().cloned());
        }
    }
    builder
        .steps
        .retain(|step| drifted(step) || (step.cause.is_none() && wanted.contains(&step.id)));
}

/// A pattern that chooses no VM is most likely a mistake, which would otherwise look like success.
fn refuse_idle_patterns(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let owned = input.domains.iter().filter(|(_, domain)| {
        matches!(
            input.ownership(domain),
            Ownership::Ours(_) | Ownership::Renamed(_)
        )
    });
    let mut names = input
        .spec
        .vms
        .keys()
        .map(VmName::as_str)
        .collect::<BTreeSet<_>>();
    names.extend(owned.map(|(name, _)| name.as_str()));
    for pattern in &input.policy.vms {
        if !names.iter().any(|name| pattern.matches(name)) {
            let why = "no VM of the file or of this host has such a name".to_owned();
            builder.refuse(
                About::Pattern(pattern.clone()),
                why,
                "armfleet status lists the VMs",
            );
        }
    }
}

/// Clones carry their original's mark, and belong to no fleet.
fn note_clones(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    for (name, domain) in input.domains {
        let Fact::Present(mark) = &domain.mark else {
            continue;
        };
        if !input.in_file(name)
            && mark.fleet == input.spec.fleet.as_str()
            && input.ownership(domain) == Ownership::CopiedMark
        {
            builder.notice(
                About::Vm(name.clone()),
                format!("foreign, with a copied mark of {}", mark.vm),
                "left alone",
            );
        }
    }
}
