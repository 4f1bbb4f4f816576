//! Plans, case by case. A folder of `tests/cases` has
//!
//! - `fleet.yaml`, the fleet file that is planned;
//! - `scenario.yaml`, what its host has and what happened there: `tests/harness/scenario.rs` has the words for it;
//! - `plan.txt`, the plan as people read it;
//! - `diff.txt`, if the case is about it: what `plan --diff` adds.
//!
//! To add a case, write the first two files, let `SNAPSHOTS=overwrite cargo test --test cases` write the plan, and read it.
//! Many cases are also applied: `apply_case("NAME")` in `tests/apply`.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::panic, clippy::unwrap_used)]

#[expect(dead_code, reason = "the other part is for tests/apply")]
mod harness;

use armfleet::plan::Plan;
use armfleet::problem::HostCheck;
use armfleet::report::{Paint, PlanReport, StatusReport, render_diffs, render_json, render_status};
use harness::applied::see;
use harness::case::Case;
use harness::{plan, plan_from, snapshot_of, spec, text};
use proptest::prelude::*;

#[test]
fn every_case_is_planned_as_it_says() {
    for name in Case::all() {
        println!("case {name}");
        let case = Case::new(&name);
        let host = case.host();
        let plan = case.plan(&host);
        case.assert("plan.txt", &text(&plan));
        if case.has("diff.txt") {
            let definitions = plan.definitions(&see(&spec(&case.fleet), &host));
            let report = PlanReport::new(&plan, Some(&definitions));
            case.assert("diff.txt", &render_diffs(&report, Paint::Plain));
        }
    }
}

#[test]
fn every_case_is_planned_from_its_snapshot_as_on_its_host() {
    for name in Case::all() {
        println!("case {name}");
        let case = Case::new(&name);
        let (host, spec) = (case.host(), case.spec());
        let planned = plan_from(&snapshot_of(&host, &spec), &spec, &case.policy);
        case.assert("plan.txt", &text(&planned));
        let json = |plan: &Plan| render_json(&PlanReport::new(plan, None)).unwrap();
        assert_eq!(json(&planned), json(&case.plan(&host)), "{name}");
    }
}

#[test]
fn every_file_of_a_case_is_part_of_it() {
    for name in Case::all() {
        let strange = Case::new(&name).strange_files();
        assert_eq!(strange, [""; 0], "{name}");
    }
}

#[test]
fn every_check_of_a_host_has_a_case() {
    let plans = Case::all().into_iter();
    let plans: String = plans
        .map(|name| Case::new(&name).text("plan.txt"))
        .collect();
    for check in HostCheck::ALL {
        assert!(plans.contains(&format!("[{check}]")), "no case for {check}");
    }
}

#[test]
fn status_says_what_a_host_does_with_guests_of_32_bits() {
    for (case, line) in [
        ("new", None),
        ("bits32-kernels", Some("kernels and programs run under KVM")),
        (
            "bits32-programs",
            Some(
                "programs run under KVM (arch: arm64 with userland: armhf), kernels do not: the processor has no 32-bit mode for them",
            ),
        ),
        (
            "bits32-none",
            Some("nothing runs under KVM: the processor has no 32-bit mode"),
        ),
        (
            "bits32-not-seen",
            Some("not known, since KVM could not be asked (/dev/kvm: Permission denied)"),
        ),
    ] {
        let case = Case::new(case);
        let (host, spec) = (case.host(), spec(&case.fleet));
        let vms: Vec<_> = spec.vms.values().collect();
        let report = StatusReport::new(&vms, &case.plan(&host), &see(&spec, &host));
        let status = render_status(&report, Paint::Plain);
        let told = status
            .lines()
            .find_map(|told| told.strip_prefix("i guests of 32 bits: "));
        assert_eq!(told, line, "{status}");
    }
}

#[test]
fn planning_twice_gives_the_same_bytes() {
    for name in Case::all() {
        let case = Case::new(&name);
        let host = case.host();
        let once = || serde_json::to_string(&case.plan(&host)).unwrap();
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
        let name = case.get(&Vec::from_iter(Case::all())).clone();
        let case = Case::new(&name);
        let mut keys = keys.into_iter().cycle();
        let other = reordered(serde_yaml::from_str(&case.fleet).unwrap(), &mut keys);
        let other = serde_yaml::to_string(&other).unwrap();
        let host = case.host();
        prop_assert_eq!(case.plan(&host), plan(&host, &other, &case.policy), "{}\n{}", name, other);
    }
}
