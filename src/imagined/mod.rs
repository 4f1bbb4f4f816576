//! A host that nobody has: a fleet was applied on it whole, and all of its VMs do what that fleet wants. What a plan of
//! another fleet says there is what the change from one to the other means.
//!
//! The host is generous. Whatever either fleet names and armfleet does not make is there: networks, base images, seeds,
//! machines, room. So what is refused there is what the fleets themselves decide.

mod alike;
mod apply;
mod files;
mod fleets;
mod libvirt;
mod surroundings;

pub use fleets::{Fleets, sources};

use crate::fleet::Spec;
use crate::inventory::{Fact, Inventory, RawInventory, digest};
use crate::plan::{Plan, Policy, plan, plan_unsettled};
use crate::values::VmName;
use alike::alike;
use apply::applied;
use std::collections::{BTreeMap, BTreeSet};
use surroundings::Surroundings;

/// What a change of a fleet means.
#[derive(Debug)]
pub struct Diff {
    /// The plan of the new fleet where the old one was applied.
    pub plan: Plan,
    /// What that plan rests on.
    pub inventory: Inventory,
}

/// Plans a fleet where another one was applied.
#[must_use]
pub fn diff(fleets: Fleets<'_>, policy: &Policy) -> Diff {
    diff_of(fleets, policy, &unchanged(fleets))
}

/// The same with one VM for all that change alike; each comes with the others that it stands for.
#[must_use]
pub fn diff_in_short(fleets: Fleets<'_>, policy: &Policy) -> (Diff, BTreeMap<VmName, Vec<VmName>>) {
    let mut settled = unchanged(fleets);
    let alike = alike(fleets, policy, &settled);
    settled.extend(alike.values().flatten().cloned());
    (diff_of(fleets, policy, &settled), alike)
}

fn diff_of(fleets: Fleets<'_>, policy: &Policy, settled: &BTreeSet<VmName>) -> Diff {
    let new = fleets.new;
    let mut raw = imagine(fleets.old, new, settled);
    for path in fleets.changed {
        if let Some(Fact::Present(file)) = raw.paths.get_mut(path.as_str()) {
            file.sha256 = Some(digest(&format!("changed {path}")));
        }
    }
    let inventory = Inventory::read(raw, new);
    let mut plan = plan_unsettled(new, &inventory, policy, settled);
    // There is none.
    plan.libvirt = None;
    Diff { plan, inventory }
}

/// The VMs that both fleets want the same of.
fn unchanged(Fleets { old, new, changed }: Fleets<'_>) -> BTreeSet<VmName> {
    let Some(old) = old else {
        return BTreeSet::new();
    };
    if (&old.fleet, &old.trusted) != (&new.fleet, &new.trusted) {
        return BTreeSet::new();
    }
    let is_same = |name: &VmName| {
        let (was, is) = (old.vms.get(name), new.vms.get(name));
        let mut sources = was.into_iter().flat_map(sources);
        was == is
            && old.cloud_init.get(name) == new.cloud_init.get(name)
            && !sources.any(|source| changed.contains(source))
    };
    let same = old.vms.keys().filter(|name| is_same(name));
    same.cloned().collect()
}

/// A host on which a fleet was applied, as far as that fleet and another one look at it. Of settled VMs no more is there than
/// that they are the fleet's.
fn imagine(old: Option<&Spec>, new: &Spec, settled: &BTreeSet<VmName>) -> RawInventory {
    let new = without(new, settled);
    let Some(whole) = old else {
        return Surroundings::of(None, &new).empty_host();
    };
    let mut old = without(whole, settled);
    // Its installations are over.
    for vm in old.vms.values_mut() {
        vm.install = None;
    }
    let empty = Surroundings::of(Some(&old), &new).empty_host();
    let inventory = Inventory::read(empty.clone(), &old);
    let first = plan(&old, &inventory, &Policy::default());
    let others = whole.vms.values().filter(|vm| settled.contains(&vm.name));
    applied(&old, empty, &first, others)
}

fn without(spec: &Spec, settled: &BTreeSet<VmName>) -> Spec {
    let vms = spec.vms.iter().filter(|(name, _)| !settled.contains(*name));
    Spec {
        vms: vms.map(|(name, vm)| (name.clone(), vm.clone())).collect(),
        fleet: spec.fleet.clone(),
        cloud_init: spec.cloud_init.clone(),
        trusted: spec.trusted.clone(),
        secrets: spec.secrets.clone(),
    }
}
