//! A host that nobody has: a fleet was applied on it whole, and all of its VMs do what that fleet wants. What a plan of
//! another fleet says there is what the change from one to the other means.
//!
//! The host is generous. Whatever either fleet names and armfleet does not make is there: networks, base images, seeds,
//! machines, room. So what is refused there is what the fleets themselves decide.

mod apply;
mod files;
mod libvirt;
mod surroundings;

use crate::fleet::Spec;
use crate::inventory::{Inventory, RawInventory};
use crate::plan::{Plan, Policy, Refusal, plan};
use apply::applied;
use surroundings::Surroundings;

/// What a change of a fleet means.
#[derive(Debug)]
pub struct Diff {
    /// The plan of the new fleet where the old one was applied.
    pub plan: Plan,
    /// What that plan rests on.
    pub inventory: Inventory,
    /// What no apply of the old fleet does, on any host: it is new where the new fleet has it without that fault.
    pub refused_before: Vec<Refusal>,
}

/// Plans a fleet where another one was applied. Without that one, everything is new.
#[must_use]
pub fn diff(old: Option<&Spec>, new: &Spec, policy: &Policy) -> Diff {
    let (raw, refused_before) = imagine(old, new);
    let inventory = Inventory::read(raw, new);
    let mut plan = plan(new, &inventory, policy);
    // There is none.
    plan.libvirt = None;
    Diff {
        plan,
        inventory,
        refused_before,
    }
}

/// A host on which a fleet was applied, as far as that fleet and another one look at it.
fn imagine(old: Option<&Spec>, new: &Spec) -> (RawInventory, Vec<Refusal>) {
    let Some(old) = old else {
        return (Surroundings::of(None, new).empty_host(), Vec::new());
    };
    let mut old = old.clone();
    // Its installations are over.
    for vm in old.vms.values_mut() {
        vm.install = None;
    }
    let surroundings = Surroundings::of(Some(&old), new);
    let empty = surroundings.empty_host();
    let inventory = Inventory::read(empty.clone(), &old);
    let first = plan(&old, &inventory, &Policy::default());
    let host = applied(&old, empty, &first);
    (host, first.refusals)
}
