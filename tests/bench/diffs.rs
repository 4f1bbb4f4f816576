//! What a diff of two fleet files costs, against reading both.

use crate::harness::applied::{spec, vm};
use armfleet::imagined::{Fleets, diff_in_short};
use armfleet::plan::Policy;
use armfleet::report::{Paint, PlanReport, render_plan};
use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

const VMS: usize = 1000;
const CHANGES: usize = 20;
const ROUNDS: usize = 5;
/// A diff takes no longer.
pub(crate) const LIMIT: Duration = Duration::from_millis(500);

/// A fleet whose VMs of these numbers have more memory.
fn fleet_file(is_changed: impl Fn(usize) -> bool) -> String {
    let memory = |at: usize| if is_changed(at) { "3GiB" } else { "2GiB" };
    let vms = (0..VMS).map(|at| vm(&format!("obs-{at:04}"), memory(at), ""));
    format!("fleet: obs\nvms:\n{}", vms.collect::<String>())
}

fn told(old: &str, new: &str) -> String {
    let (old, new) = (spec(old), spec(new));
    let fleets = Fleets {
        old: Some(&old),
        new: &new,
        changed: &BTreeSet::new(),
    };
    let (diff, alike) = diff_in_short(fleets, &Policy::default());
    let report = PlanReport::new(&diff.plan, None).standing_for(alike);
    render_plan(&report, Paint::Plain)
}

fn best(work: impl Fn() -> usize) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let began = Instant::now();
        black_box(work());
        began.elapsed()
    });
    rounds.min().unwrap()
}

/// What diffs cost of which some VMs, all of them, or none change; and the most of these.
pub(crate) fn costs() -> (serde_json::Value, Duration) {
    let old = fleet_file(|_| false);
    let some = fleet_file(|at| at.is_multiple_of(VMS / CHANGES));
    let all = fleet_file(|_| true);
    let steps = |new: &str| {
        told(&old, new)
            .matches(&format!("{} to change", 2 * CHANGES))
            .count()
    };
    assert_eq!((steps(&some), steps(&all)), (1, 0));
    let floor = best(|| spec(&old).vms.len() + spec(&some).vms.len());
    let diffs = [("none", &old), ("some", &some), ("all", &all)];
    let diffs = diffs.map(|(which, new)| (which, best(|| told(&old, new).len())));
    let milliseconds = |took: Duration| took.as_secs_f64() * 1000.0;
    let mut numbers =
        serde_json::json!({ "vms": VMS, "changes": CHANGES, "floor": milliseconds(floor) });
    for (which, took) in diffs {
        numbers[which] = milliseconds(took).into();
    }
    let longest = diffs.into_iter().map(|(_, took)| took).max();
    (numbers, longest.unwrap())
}
