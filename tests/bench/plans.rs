//! What planning and rendering cost, against the least that anybody could do: reading the same recorded host and parsing
//! its definitions once. Both are measured by turns in one process; the best of each counts.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod diffs;
#[expect(dead_code, reason = "other parts are for other tests")]
#[path = "../harness/mod.rs"]
mod harness;
mod steps;

use armfleet::fleet::{Spec, read_fleet};
use armfleet::inventory::{Inventory, RawInventory};
use armfleet::plan::{Definitions, Plan, Policy, Step, plan};
use armfleet::report::{Paint, PlanReport, render_json, render_markdown, render_plan};
use harness::applied::{applied, spec, vm};
use harness::observe_for;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

const VMS: usize = 500;
const CHANGES: usize = 20;
const ROUNDS: usize = 30;
const STEP_ROUNDS: usize = 5;
/// Steps that need each other cost at most so much of what single ones cost.
const STEPS_LIMIT: f64 = 1.5;
/// Planning and rendering take no longer.
const LIMIT: Duration = Duration::from_millis(100);

fn fleet_file(changed: bool) -> String {
    let memory = |at: usize| match changed && at.is_multiple_of(VMS / CHANGES) {
        true => "3GiB",
        false => "2GiB",
    };
    let vms = (0..VMS).map(|at| vm(&format!("obs-{at:03}"), memory(at), ""));
    format!("fleet: obs\nvms:\n{}", vms.collect::<String>())
}

/// A host as a snapshot holds it, all that the fleet file asks for included.
fn snapshot(spec: &Spec) -> String {
    serde_json::to_string(&observe_for(&applied(spec), spec)).unwrap()
}

/// Something to measure, by its name.
type Work<'a> = (&'a str, Box<dyn Fn() -> usize + 'a>);

struct Planned {
    plan: Plan,
    definitions: Definitions,
}

fn planned(file: &str, snapshot: &str) -> Planned {
    let spec = read_fleet(file.as_bytes(), "fleet.yaml", "/home/me/fleet").unwrap();
    let seen = Inventory::read(serde_json::from_str(snapshot).unwrap(), &spec);
    let plan = plan(&spec, &seen, &Policy::default());
    let definitions = plan.definitions(&seen);
    Planned { plan, definitions }
}

fn report(planned: &Planned) -> PlanReport<'_> {
    PlanReport::new(&planned.plan, Some(&planned.definitions))
}

fn floor(snapshot: &str) -> usize {
    let host: RawInventory = serde_json::from_str(snapshot).unwrap();
    let domains = host.domains.present().unwrap().iter();
    let texts = domains.flat_map(|domain| [&domain.inactive, &domain.live]);
    let nodes = texts.filter_map(|text| {
        let document = roxmltree::Document::parse(text.present()?).unwrap();
        Some(document.descendants().count())
    });
    nodes.sum()
}

/// What steps cost that need each other, beside as many that do not, and the ratio.
fn step_costs() -> (serde_json::Value, f64) {
    let (chained, single) = (steps::steps(true), steps::steps(false));
    let best = |steps: &[Step]| {
        let rounds = (0..STEP_ROUNDS).map(|_| {
            let began = Instant::now();
            black_box(steps::perform(steps));
            began.elapsed()
        });
        rounds.min().unwrap().as_secs_f64() * 1000.0
    };
    let (chained_took, single_took) = (best(&chained), best(&single));
    let ratio = chained_took / single_took;
    let numbers = serde_json::json!({
        "count": chained.len(),
        "milliseconds": { "chained": chained_took, "single": single_took },
        "chained_over_single": ratio,
    });
    (numbers, ratio)
}

fn main() {
    let (before, after) = (fleet_file(false), fleet_file(true));
    let snapshot = snapshot(&spec(&before));
    let example = planned(&after, &snapshot);
    let changes = example
        .plan
        .steps
        .iter()
        .filter(|step| !step.changes.is_empty());
    assert_eq!(changes.count(), CHANGES);
    let reported = report(&example);
    let work: [Work<'_>; 6] = [
        ("floor", Box::new(|| floor(&snapshot))),
        (
            "plan",
            Box::new(|| planned(&after, &snapshot).plan.steps.len()),
        ),
        ("report", Box::new(|| report(&example).steps.len())),
        (
            "text",
            Box::new(|| render_plan(&reported, Paint::Colours).len()),
        ),
        ("json", Box::new(|| render_json(&reported).unwrap().len())),
        ("markdown", Box::new(|| render_markdown(&reported).len())),
    ];
    let mut best: BTreeMap<&str, Duration> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (name, work) in &work {
            let began = Instant::now();
            black_box(work());
            let took = began.elapsed();
            let best = best.entry(name).or_insert(took);
            *best = (*best).min(took);
        }
    }
    let milliseconds = |name: &str| best[name].as_secs_f64() * 1000.0;
    let total: Duration = work.iter().skip(1).map(|(name, _)| best[name]).sum();
    let numbers = serde_json::json!({
        "vms": VMS,
        "changes": CHANGES,
        "milliseconds": work.iter().map(|(name, _)| (*name, milliseconds(name))).collect::<BTreeMap<_, _>>(),
        "characters": {
            "text": render_plan(&reported, Paint::Plain).chars().count(),
            "markdown": render_markdown(&reported).chars().count(),
        },
        "plan_over_floor": milliseconds("plan") / milliseconds("floor"),
        "total_milliseconds": total.as_secs_f64() * 1000.0,
    });
    let steps = step_costs();
    let mut numbers = numbers;
    numbers["steps"] = steps.0;
    let (diffs, longest) = diffs::costs();
    numbers["diffs"] = diffs;
    println!("{numbers:#}");
    assert!(
        steps.1 <= STEPS_LIMIT,
        "chained steps cost {:.2} of single ones",
        steps.1
    );
    assert!(longest <= diffs::LIMIT, "a diff took {longest:?}");
    assert!(total <= LIMIT, "{total:?} is more than {LIMIT:?}");
}
