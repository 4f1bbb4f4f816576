//! A fleet and the same fleet: the imagined host is as an apply leaves it.

use crate::key_table;
use crate::{RECIPE, fleets, spec, text};
use armfleet::imagined::{Diff, diff};
use armfleet::plan::Policy;
use std::path::Path;

const EXAMPLES: [&str; 8] = [
    "arm64-kernel.yaml",
    "build-farm/fleet.yaml",
    "cloud-init/fleet.yaml",
    "debian-armhf/fleet.yaml",
    "every-key.yaml",
    "language.yaml",
    "quickstart/fleet.yaml",
    "recipe.yaml",
];

fn examples() -> impl Iterator<Item = (&'static str, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let read = move |name| (name, std::fs::read_to_string(folder.join(name)).unwrap());
    let table = key_table::fleet(RECIPE, false);
    EXAMPLES
        .into_iter()
        .map(read)
        .chain([("the table of keys", table)])
}

#[track_caller]
fn assert_nothing(diff: &Diff, what: &str) {
    let plan = &diff.plan;
    let told = text(plan);
    assert!(plan.is_empty() && plan.is_complete(), "{what}: {told}");
    let remarks = (plan.refusals.len(), plan.notices.len());
    assert_eq!(remarks, (0, 0), "{what}: {told}");
}

#[test]
fn a_fleet_that_was_applied_leaves_nothing_to_do() {
    for (name, fleet) in examples() {
        let (old, mut new) = (spec(&fleet), spec(&fleet));
        // VMs that are known to be unchanged are not planned; this changes none, and makes them all be looked at.
        new.trusted.insert("/opt/elsewhere".parse().unwrap());
        assert_nothing(&diff(fleets(Some(&old), &new), &Policy::default()), name);
    }
}

#[test]
fn the_same_file_is_no_change() {
    for (name, fleet) in examples() {
        let fleet = spec(&fleet);
        assert_nothing(
            &diff(fleets(Some(&fleet), &fleet), &Policy::default()),
            name,
        );
    }
}

#[test]
fn without_an_old_file_everything_is_new() {
    for (name, fleet) in examples() {
        let diff = diff(fleets(None, &spec(&fleet)), &Policy::default());
        let told = text(&diff.plan);
        assert!(
            diff.plan.is_complete() && diff.plan.refusals.is_empty(),
            "{name}: {told}"
        );
        let created = |vm: &str| told.contains(vm);
        assert!(
            spec(&fleet)
                .vms
                .keys()
                .all(|vm| created(vm.as_str()) || told.contains("VMs)"))
        );
    }
}
