//! Two saved plans have the same effects, or it is said what differs.

// A test's own functions may fail as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;

use armfleet::host::memory::Memory;
use armfleet::plan::{Comparison, Difference, SavedPlan, StepId};
use armfleet::report::{
    ComparisonReport, render_comparison, render_comparison_in_markdown, render_json, schemas,
};
use harness::applied::{applied, edit_domain, saved_plan, spec, vm};

fn yaml(vms: &[String]) -> String {
    format!("fleet: obs\nvms:\n{}", vms.concat())
}

/// A plan as it is read from its file.
fn save(yaml: &str, host: &Memory) -> SavedPlan {
    SavedPlan::read(saved_plan(yaml, host).as_bytes()).unwrap()
}

/// A host with two VMs that run.
fn host() -> Memory {
    applied(&spec(&yaml(&[
        vm("a", "1GiB", ", restart: when-required"),
        vm("b", "1GiB", ""),
    ])))
}

fn reviewed() -> String {
    yaml(&[
        vm("a", "2GiB", ", restart: when-required"),
        vm("b", "1GiB", ", vcpus: 2"),
    ])
}

fn ids(comparison: &Comparison<'_>) -> Vec<String> {
    let steps = comparison.steps.iter();
    steps
        .map(|difference| match difference {
            Difference::Gone { old: step } => format!("- {}", step.id),
            Difference::New { new: step } => format!("+ {}", step.id),
            Difference::Changed { new: step, .. } => format!("~ {}", step.id),
        })
        .collect()
}

fn text(old: &SavedPlan, new: &SavedPlan) -> String {
    let report = ComparisonReport::new(old, new);
    let json = render_json(&report).unwrap();
    let schemas = schemas();
    let (_, schema) = schemas
        .iter()
        .find(|(name, _)| *name == "comparison.schema.json")
        .unwrap();
    let validator = jsonschema::draft7::new(schema.as_value()).unwrap();
    let json = serde_json::from_str(&json).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&json)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    render_comparison(&report)
}

#[test]
fn plans_of_a_host_that_moved_beside_them_have_the_same_effects() {
    let host = host();
    let old = save(&reviewed(), &host);
    // Somebody described the domain: its definition has another digest, and the same edits follow.
    edit_domain(
        &host,
        "b",
        "<name>b</name>",
        "<name>b</name><title>b</title>",
    );
    let new = save(&reviewed(), &host);
    assert_ne!(old.plan.digest(), new.plan.digest());
    assert!(Comparison::new(&old, &new).is_same());
    snapbox::assert_data_eq!(
        text(&old, &new),
        snapbox::str![[r#"
fleet obs · host local · libvirt 9.0.0

Moved on the host in between, which is no effect:
  i domain b: other parts of its definition changed

The same effects.

"#]]
    );
}

#[test]
fn what_an_edit_starts_from_is_an_effect() {
    let host = host();
    let old = save(&reviewed(), &host);
    edit_domain(&host, "a", "1048576", "1572864");
    let new = save(&reviewed(), &host);
    let comparison = Comparison::new(&old, &new);
    assert_eq!(ids(&comparison), ["~ domain/a"]);
    assert!(comparison.interruptions.is_empty(), "{comparison:#?}");
    let text = text(&old, &new);
    assert!(text.contains("old: memory 1 GiB -> 2 GiB"), "{text}");
    assert!(text.contains("new: memory 1536 MiB -> 2 GiB"), "{text}");
}

#[test]
fn interruptions_are_said_first() {
    let host = host();
    let waits = reviewed().replace(", restart: when-required", "");
    let (old, new) = (save(&waits, &host), save(&reviewed(), &host));
    let comparison = Comparison::new(&old, &new);
    assert!(
        matches!(&comparison.interruptions[..], [Difference::New { new: one }] if one.vm.as_str() == "a"),
        "{comparison:#?}"
    );
    // The definition is edited as before; that it is restarted for it are steps of their own.
    assert_eq!(ids(&comparison), ["+ stop/a", "+ start/a"]);
    let forth = text(&old, &new);
    assert!(
        forth.find("Interruptions:") < forth.find("Steps:"),
        "{forth}"
    );
    let back = Comparison::new(&new, &old);
    assert!(matches!(&back.interruptions[..], [Difference::Gone { .. }]));
    assert_eq!(ids(&back), ["- stop/a", "- start/a"]);
}

#[test]
fn a_vm_that_is_restarted_no_more_but_removed_has_another_fate() {
    let host = host();
    let gone = yaml(&[vm("b", "1GiB", ", vcpus: 2")]);
    let (old, new) = (save(&reviewed(), &host), save(&gone, &host));
    let comparison = Comparison::new(&old, &new);
    assert!(
        matches!(&comparison.interruptions[..], [Difference::Changed { .. }]),
        "{comparison:#?}"
    );
    snapbox::assert_data_eq!(
        render_comparison_in_markdown(&ComparisonReport::new(&old, &new)),
        snapbox::file!["formats/comparison.md"].raw()
    );
    snapbox::assert_data_eq!(
        text(&old, &new),
        snapbox::file!["formats/comparison.txt"].raw()
    );
}

#[test]
fn a_new_domain_that_only_its_definition_tells_apart_differs() {
    let host = host();
    let with = |cmdline: &str| {
        let new = vm("c", "1GiB", "").replace("console=ttyAMA0", cmdline);
        save(
            &yaml(&[
                vm("a", "1GiB", ", restart: when-required"),
                vm("b", "1GiB", ""),
                new,
            ]),
            &host,
        )
    };
    let (old, new) = (with("console=ttyAMA0"), with("console=ttyAMA0 quiet"));
    let comparison = Comparison::new(&old, &new);
    assert_eq!(ids(&comparison), ["~ domain/c", "~ record/c"]);
    assert!(text(&old, &new).contains("what it writes differs"));
}

#[test]
fn a_refusal_that_only_counts_otherwise_is_the_same() {
    let host = host();
    let old = save(&reviewed(), &host);
    let mut new = old.clone();
    let refusal = |why: &str, check| armfleet::plan::Refusal {
        subject: armfleet::plan::About::Vm("a".to_owned()),
        why: why.to_owned(),
        remedy: String::new(),
        check,
        allowed_by: None,
    };
    let check = Some(armfleet::problem::HostCheck::WritableFolder);
    let mut old_refusing = old.clone();
    old_refusing.plan.refusals = vec![refusal("17 KiB are free", check)];
    new.plan.refusals = vec![refusal("16 KiB are free", check)];
    assert!(Comparison::new(&old_refusing, &new).is_same());
    new.plan.refusals.push(refusal("16 KiB are free", check));
    new.plan.refusals.push(refusal("it is protected", None));
    let comparison = Comparison::new(&old_refusing, &new);
    assert!(
        matches!(
            &comparison.refusals[..],
            [Difference::New { .. }, Difference::New { .. }]
        ),
        "{comparison:#?}"
    );
    let back = Comparison::new(&new, &old_refusing);
    assert!(matches!(
        &back.refusals[..],
        [Difference::Gone { .. }, Difference::Gone { .. }]
    ));
}

#[test]
fn order_counts_where_one_step_waits_for_another() {
    let host = host();
    let old = save(&reviewed(), &host);
    let mut new = old.clone();
    new.plan.steps.reverse();
    assert!(Comparison::new(&old, &new).is_same());
    let first: StepId = new.plan.steps[0].id.clone();
    let last = new.plan.steps.last_mut().unwrap();
    last.needs.push(first.clone());
    let comparison = Comparison::new(&old, &new);
    assert!(!comparison.is_same() && comparison.steps.is_empty());
    assert_eq!(comparison.reordered[0].now_after, [&first]);
    let text = text(&old, &new);
    assert!(text.contains("now waits for"), "{text}");
}

#[test]
fn another_fleet_and_host_are_other_effects() {
    let host = host();
    let old = save(&reviewed(), &host);
    let mut new = old.clone();
    new.plan.fleet = "other".parse().unwrap();
    new.plan.host = "elsewhere".to_owned();
    assert!(!ComparisonReport::new(&old, &new).same_effects);
    let text = text(&old, &new);
    assert!(
        text.contains("fleet obs -> other · host local -> elsewhere"),
        "{text}"
    );
}

#[test]
fn notices_are_no_effects() {
    let host = host();
    let old = save(&reviewed(), &host);
    let mut new = old.clone();
    new.plan.notices.clear();
    new.plan.notices.push(armfleet::plan::Notice {
        subject: armfleet::plan::About::MEMORY,
        what: "scarce".to_owned(),
        outlook: String::new(),
        pending_restart: false,
    });
    assert!(ComparisonReport::new(&old, &new).same_effects);
}
