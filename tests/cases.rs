//! Plans, case by case. A folder of `tests/cases` has
//!
//! - `fleet.yaml`, the fleet file;
//! - `host.json`, what was observed on a host;
//! - `plan.txt`, the plan as people read it;
//! - `options`, if there are any: what the command line permits (`--auto-approve`, `--allow-removal`);
//! - `diff.txt`, if the case is about it: what `plan --diff` adds.
//!
//! `no-op/host.json` is a whole [`armfleet::inventory::RawInventory`]. Every other case's says what is different there, as
//! a JSON merge patch (RFC 7386: `null` takes out). A text `@NAME` is the text of that file, of the case, or else of
//! `no-op`, or else of `tests/fixtures`.
//!
//! To add a case, make a folder with the first two files, and have the rest written by `SNAPSHOTS=overwrite cargo test`.
//! `tests/apply` makes most of them from the host in memory, and keeps them as that host is.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::panic, clippy::unwrap_used)]

#[path = "apply/case.rs"]
mod case;

use armfleet::fleet::{Spec, read_fleet};
use armfleet::inventory::Inventory;
use armfleet::plan::{Plan, plan};
use armfleet::problem::HostCheck;
use armfleet::report::{Paint, PlanReport, render_diffs, render_plan};
use case::{BASE, Case, cases, policy};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;

fn names(folder: &std::path::Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn spec(text: &str) -> Spec {
    read_fleet(text.as_bytes(), "fleet.yaml", "/fleet")
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn planned(case: &Case, fleet: &str) -> (Plan, Inventory) {
    let inventory = Inventory::read(case.host().0);
    let policy = policy(case.text("options").as_deref());
    (plan(&spec(fleet), &inventory, &policy), inventory)
}

#[test]
fn every_case_is_planned_as_it_says() {
    assert!(names(&cases()).contains(BASE));
    for name in names(&cases()) {
        println!("case {name}");
        let case = Case::new(&name);
        let (plan, inventory) = planned(&case, &case.text("fleet.yaml").unwrap());
        let report = PlanReport::new(&plan, None);
        case.assert("plan.txt", &render_plan(&report, Paint::Plain));
        if case.text("diff.txt").is_some() {
            let report = PlanReport::new(&plan, Some(&plan.definitions(&inventory)));
            case.assert("diff.txt", &render_diffs(&report, Paint::Plain));
        }
    }
}

#[test]
fn every_file_of_a_case_is_part_of_it() {
    for name in names(&cases()) {
        let (_, mut parts) = Case::new(&name).host();
        let known = ["fleet.yaml", "host.json", "plan.txt", "options", "diff.txt"];
        parts.extend(known.map(str::to_owned));
        let files = names(&cases().join(&name));
        let strange: Vec<_> = files.difference(&parts).collect();
        for file in files.iter().filter(|_| name != BASE) {
            let (own, base) = [name.as_str(), BASE]
                .map(|name| Case::new(name).text(file))
                .into();
            assert!(
                own != base || file == "fleet.yaml" || file == "plan.txt",
                "{name}/{file} is that of {BASE}"
            );
        }
        assert_eq!(strange, Vec::<&String>::new(), "{name}");
    }
}

#[test]
fn every_check_of_a_host_has_a_case() {
    let plans = names(&cases())
        .into_iter()
        .filter_map(|name| Case::new(&name).text("plan.txt"));
    let plans: String = plans.collect();
    for check in HostCheck::ALL {
        assert!(plans.contains(&format!("[{check}]")), "no case for {check}");
    }
}

#[test]
fn planning_twice_gives_the_same_bytes() {
    for name in names(&cases()) {
        let case = Case::new(&name);
        let fleet = case.text("fleet.yaml").unwrap();
        let once = || serde_json::to_string(&planned(&case, &fleet).0).unwrap();
        assert_eq!(once(), once(), "{name}");
    }
}

/// The same YAML with its keys in another order.
fn reordered(value: serde_yaml::Value, keys: &mut impl Iterator<Item = u64>) -> serde_yaml::Value {
    use serde_yaml::Value;
    match value {
        Value::Mapping(entries) => {
            let entries = entries
                .into_iter()
                .map(|(key, value)| (key, reordered(value, keys)));
            let mut entries: Vec<_> = entries.collect();
            entries.sort_by_cached_key(|_| keys.next());
            Value::Mapping(entries.into_iter().collect())
        }
        Value::Sequence(values) => {
            let values = values.into_iter().map(|value| reordered(value, keys));
            Value::Sequence(values.collect())
        }
        value => value,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_order_of_keys_in_the_file_does_not_matter(
        case in any::<prop::sample::Index>(),
        keys in proptest::collection::vec(any::<u64>(), 1..40),
    ) {
        let name = case.get(&Vec::from_iter(names(&cases()))).clone();
        let case = Case::new(&name);
        let fleet = case.text("fleet.yaml").unwrap();
        let mut keys = keys.into_iter().cycle();
        let other = reordered(serde_yaml::from_str(&fleet).unwrap(), &mut keys);
        let other = serde_yaml::to_string(&other).unwrap();
        prop_assert_eq!(planned(&case, &fleet).0, planned(&case, &other).0, "{}\n{}", name, other);
    }
}
