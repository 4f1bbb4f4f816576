//! VMs whose declarations differ by nothing but their names, and change alike: one of them is planned for all.

use super::fleets::{Fleets, sources};
use crate::fleet::{Spec, Vm};
use crate::plan::Policy;
use crate::values::{VmName, domain_uuid, without_name};
use std::collections::{BTreeMap, BTreeSet};

/// Each VM that is planned, with those that it stands for.
pub(super) fn alike(
    Fleets { old, new, changed }: Fleets<'_>,
    policy: &Policy,
    settled: &BTreeSet<VmName>,
) -> BTreeMap<VmName, Vec<VmName>> {
    let mut known: BTreeMap<String, VmName> = BTreeMap::new();
    let mut alike: BTreeMap<VmName, Vec<VmName>> = BTreeMap::new();
    for (name, vm) in &new.vms {
        let was = old.and_then(|old| Some((old, old.vms.get(name)?)));
        let is_planned = policy.selects(name.as_str()) && !settled.contains(name);
        let is_special = policy.allow_replace.contains(name);
        if !is_planned || is_special || has_other_shares(was.map(|(_, was)| was), vm) {
            continue;
        }
        let was = was.map_or_else(String::new, |(old, was)| declaration(old, was));
        let changed = sources(vm).filter(|source| changed.contains(*source));
        let changed: String = changed.map(|source| format!("\n{source}")).collect();
        let changed = without_name(&changed, name.as_str());
        let change = format!("{was}\n{}{changed}", declaration(new, vm));
        match known.get(&change) {
            Some(first) => alike.entry(first.clone()).or_default().push(name.clone()),
            None => drop(known.insert(change, name.clone())),
        }
    }
    alike
}

/// A folder that several VMs share is made by the first of them alone.
fn has_other_shares(was: Option<&Vm>, vm: &Vm) -> bool {
    vm.shares != was.map_or_else(Vec::new, |was| was.shares.clone())
}

/// All that a fleet declares of a VM, without its name and what is derived from that.
fn declaration(spec: &Spec, vm: &Vm) -> String {
    // Every key can be written as JSON. A VM whose keys could not is taken for no other.
    let keys = serde_json::to_string(vm).unwrap_or_else(|_| vm.name.to_string());
    let texts = spec.cloud_init.get(&vm.name);
    let texts = texts.map_or_else(String::new, |texts| {
        let former = vm.adopt.as_ref().map(|adopt| &adopt.from);
        let uuid = domain_uuid(former.unwrap_or(&spec.fleet), &vm.name);
        texts.whole().replace(uuid.as_str(), "")
    });
    without_name(&format!("{keys}\n{texts}"), vm.name.as_str())
}
