//! The example's rules over plans as programs get them, by an engine of the language that conftest reads.

use super::example;
use crate::harness::applied::plan_on;
use armfleet::report::{PlanReport, render_json};
use regorus::{Engine, Value};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/policy/armfleet.rego");
/// Thursday, 2026-11-26, 22:30 UTC.
const THURSDAY: u64 = 1_795_732_200;
/// An hour later it is Friday where the rules are.
const FRIDAY: u64 = THURSDAY + 3600;

/// What the rules say of a plan at a time.
fn denied(plan: &str, now: u64) -> Vec<String> {
    let mut engine = Engine::new();
    engine.add_policy_from_file(RULES).unwrap();
    engine.set_input(Value::from_json_str(plan).unwrap());
    let query = format!("data.main.deny with time.now_ns as {now}000000000");
    let answer = engine.eval_query(query, false).unwrap();
    let denied = answer.result[0].expressions[0].value.to_json_str().unwrap();
    serde_json::from_str(&denied).unwrap()
}

#[test]
fn the_example_policy_denies_removals_on_fridays_and_interruptions_of_a_pool() {
    let (spec, host) = example();
    let plan = plan_on(&spec, &host);
    let report = render_json(&PlanReport::new(&plan, None)).unwrap();
    let of_the_pool = [
        "obs-01 would be stopped, and the pool obs-* is protected; to avoid it, set state: running in the file",
        "obs-04 would be restarted, and the pool obs-* is protected; to avoid it, set restart: never in the file; what changed then \
         waits for the VM's next boot",
        "obs-13 would be removed, and the pool obs-* is protected; to avoid it, put it back into the file",
    ];
    assert_eq!(denied(&report, THURSDAY), of_the_pool);
    let removal = "obs-13: no VM is removed on a Friday; apply this plan on another day";
    let mut on_friday = of_the_pool.to_vec();
    on_friday.push(removal);
    on_friday.sort_unstable();
    assert_eq!(denied(&report, FRIDAY), on_friday);

    // Of another pool, and without a removal, nothing is said.
    let others = report.replace("obs-", "other-");
    assert_eq!(denied(&others, THURSDAY), [""; 0]);
    assert_eq!(denied(&others, FRIDAY), [removal.replace("obs-", "other-")]);
}

#[test]
fn the_example_policy_denies_what_it_does_not_understand() {
    let denied = |plan| denied(plan, THURSDAY);
    let not_a_plan = ["this is not armfleet-plan/1; armfleet plan --format json writes it"];
    for other in ["{}", r#"{ "format": "armfleet-plan/2" }"#, "[]"] {
        assert_eq!(denied(other), not_a_plan);
    }
    let incomplete = r#"{ "format": "armfleet-plan/1", "complete": false }"#;
    assert_eq!(
        denied(incomplete),
        ["the plan is incomplete: resolve its unknowns, then plan again"]
    );
}
