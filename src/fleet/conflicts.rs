//! What is wrong between VMs.

use super::uses::{Claim, Purpose, claims_of};
use super::vm::PartialVm;
use crate::fleetfile::Spanned;
use crate::problem::{Problem, ProblemKind};
use crate::values::MacAddress;
use std::collections::{BTreeMap, BTreeSet};

/// Finds two uses of one path, or of a path inside of another. What is only read many VMs may have, and further shares
/// are there for that.
pub(super) fn shared_path<'d>(vms: impl Iterator<Item = &'d PartialVm>) -> Vec<Problem> {
    let mut claims: Vec<_> = vms.flat_map(claims_of).collect();
    claims.sort_by_key(|claim| (claim.path.range.start, claim.path.range.end));
    // With `/` before everything else, what is inside of a path comes right after it.
    claims.sort_by(|one, other| components(one).cmp(components(other)));
    let mut around: Vec<Claim<'_>> = Vec::new();
    let mut problems = Vec::new();
    // What a range says once is the same mistake for each of its VMs.
    let mut told = BTreeSet::new();
    for claim in claims {
        around.retain(|outer| outer.covers(claim.path.value.as_str()));
        let mut outer = around.iter().rev();
        match outer.find(|outer| !outer.may_hold(&claim)) {
            Some(outer) => {
                let problem = conflict(outer, &claim);
                let places = problem.others.iter().map(|other| other.range.start);
                if told.insert((problem.place.range.start, places.collect::<Vec<_>>())) {
                    problems.push(problem);
                }
            }
            None => {
                // One stands for all that use a path alike, else every VM would be compared with every other.
                around.retain(|outer| !outer.is_like(&claim));
                around.push(claim);
            }
        }
    }
    problems
}

/// Finds two VMs with one MAC address.
pub(super) fn shared_mac<'d>(vms: impl Iterator<Item = &'d PartialVm>) -> Vec<Problem> {
    let mut seen: BTreeMap<_, (&Spanned<MacAddress>, usize)> = BTreeMap::new();
    let mut problems = Vec::new();
    for (number, vm) in vms.enumerate() {
        let macs = vm
            .readable_networks()
            .filter_map(|network| network.mac.as_ref().ok()?.as_ref());
        for mac in macs {
            // What one VM has twice was said of it.
            let (first, owner) = *seen.entry(mac.value).or_insert((mac, number));
            if owner == number {
                continue;
            }
            let written_once = first.range == mac.range;
            let range = match vm.name.as_ref().ok().filter(|_| written_once) {
                Some(name) => &name.range,
                None => &mac.range,
            };
            let message = format!("two VMs have the MAC address {}", mac.value);
            let problem = Problem::new(ProblemKind::SharedMac, range, message);
            let problem = problem.also(&first.range, "the first");
            problems.push(problem.help("give each its own, or leave `mac` out"));
        }
    }
    problems
}

fn components<'d>(claim: &Claim<'d>) -> impl Iterator<Item = &'d str> {
    claim.path.value.as_str().split('/')
}

fn conflict(outer: &Claim<'_>, inner: &Claim<'_>) -> Problem {
    let (around, inside) = (outer.described(), inner.described());
    let message = if outer.path.value == inner.path.value {
        format!("{around} and {inside} are the same")
    } else if matches!(outer.purpose, Purpose::Share | Purpose::Further { .. }) {
        format!("{inside} is inside of {around}")
    } else {
        format!("{inside} is below {around}, which is a file")
    };
    let later = inner.path.range.start >= outer.path.range.start;
    let (place, other) = match later {
        true => (inner, outer),
        false => (outer, inner),
    };
    let help = match outer.purpose {
        Purpose::Share => {
            "a guest can change everything in its boot share: give each its own path, with `{name}` in it"
        }
        Purpose::Further { .. } => {
            "a guest reaches everything in its shares: give the other a path outside of it"
        }
        _ => "give each its own path, with `{name}` in it",
    };
    // Through an alias both have the same place; then their VMs are what tells them apart.
    let written_once = place.path.range == other.path.range;
    let new = |range| Problem::new(ProblemKind::SharedPath, range, message);
    let problem = match inner.vm.filter(|_| written_once) {
        Some(vm) => new(&vm.range),
        None => new(&place.path.range).label(place.labelled()),
    };
    let problem = problem.also(&other.path.range, other.labelled());
    problem.help(help)
}
