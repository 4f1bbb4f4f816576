//! What drifted, what the file changed, what is chosen, and what is protected.

// A test's own functions may fail as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;

use armfleet::domain::Cause;
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives};
use armfleet::paths;
use armfleet::plan::{Act, Plan, Policy, Removal};
use harness::applied::{applied, edit_domain, perform, plan_on, spec, vm};
use harness::plan_of;

fn fleet(vms: &[String]) -> Spec {
    spec(&format!("fleet: obs\nvms:\n{}", vms.concat()))
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.id.to_string()).collect()
}

fn cause(plan: &Plan, id: &str) -> Option<Cause> {
    let step = plan.steps.iter().find(|step| step.id.to_string() == id);
    step.unwrap_or_else(|| panic!("no {id} in {:?}", ids(plan)))
        .cause
}

fn with(policy: &Policy, spec: &Spec, host: &Memory) -> Plan {
    plan_of(host, spec, policy)
}

fn drift_only() -> Policy {
    Policy {
        drift_only: true,
        ..Policy::default()
    }
}

fn only(pattern: &str) -> Policy {
    Policy {
        vms: vec![pattern.parse().unwrap()],
        ..Policy::default()
    }
}

#[test]
fn every_step_says_whether_the_file_changed_or_the_host_drifted() {
    let before = fleet(&[
        vm("a", "1GiB", ""),
        vm("b", "1GiB", ""),
        vm("c", "1GiB", ""),
        vm("d", "1GiB", ""),
    ]);
    let host = applied(&before);
    edit_domain(&host, "b", "1048576", "1572864");
    edit_domain(&host, "c", "1048576", "1572864");
    host.destroy("d").unwrap();
    let uuid = host.uuid_of("d").unwrap();
    host.set_autostart(&uuid, false).unwrap();
    let root = Owner { uid: 0, gid: 0 };
    host.own("/srv/d-boot", 0o755, root).unwrap();
    let after = fleet(&[
        vm("a", "2GiB", ""),
        vm("b", "1GiB", ""),
        vm("c", "2GiB", ""),
        vm("d", "1GiB", ""),
        vm("e", "1GiB", ""),
    ]);
    let plan = plan_on(&after, &host);
    for (id, expected) in [
        ("domain/a", Cause::FileChanged),
        ("domain/b", Cause::Drifted),
        ("domain/c", Cause::Both),
        ("share/d", Cause::Drifted),
        ("autostart/d", Cause::Drifted),
        ("start/d", Cause::Drifted),
        ("disk/e/e", Cause::FileChanged),
        ("domain/e", Cause::FileChanged),
        ("start/e", Cause::FileChanged),
    ] {
        assert_eq!(cause(&plan, id), Some(expected), "{id}");
    }
}

#[test]
fn a_domain_that_somebody_removed_has_drifted() {
    let spec = fleet(&[vm("a", "1GiB", "")]);
    let host = applied(&spec);
    host.destroy("a").unwrap();
    host.undefine_domain("a").unwrap();
    assert_eq!(
        cause(&plan_on(&spec, &host), "domain/a"),
        Some(Cause::Drifted)
    );
}

#[test]
fn drift_alone_is_planned_and_leaves_what_the_file_changed_for_later() {
    let before = fleet(&[vm("a", "1GiB", ""), vm("gone", "1GiB", "")]);
    let host = applied(&before);
    edit_domain(&host, "a", ">1</vcpu>", ">2</vcpu>");
    host.destroy("a").unwrap();
    let after = fleet(&[vm("a", "2GiB", ", autostart: false"), vm("new", "1GiB", "")]);
    let plan = with(&drift_only(), &after, &host);
    assert_eq!(ids(&plan), ["domain/a", "start/a"]);
    let changes: Vec<_> = plan.steps[0]
        .changes
        .iter()
        .map(|change| change.what.to_string())
        .collect();
    assert_eq!(changes, ["vcpus"]);
    // Afterwards nothing has drifted, and the file's own changes still are the file's.
    let host = perform(&host, &plan);
    assert!(with(&drift_only(), &after, &host).is_empty());
    let rest = plan_on(&after, &host);
    assert_eq!(cause(&rest, "domain/a"), Some(Cause::FileChanged));
    assert_eq!(cause(&rest, "autostart/a"), Some(Cause::FileChanged));
}

#[test]
fn a_lost_hook_is_drift_and_comes_back_before_a_start() {
    let spec = fleet(&[vm("a", "1GiB", "")]);
    let host = applied(&spec);
    host.remove(paths::SHIM);
    host.destroy("a").unwrap();
    let plan = with(&drift_only(), &spec, &host);
    assert_eq!(ids(&plan), ["hook/qemu", "reload/libvirtd", "start/a"]);
}

#[test]
fn a_file_that_changed_is_no_drift() {
    let host = applied(&fleet(&[vm("a", "1GiB", "")]));
    let plan = with(
        &drift_only(),
        &fleet(&[vm("a", "2GiB", ", state: stopped")]),
        &host,
    );
    assert!(plan.is_empty(), "{plan:#?}");
}

#[test]
fn only_chosen_vms_are_planned_and_removed() {
    let names = ["obs-1", "obs-2", "web-1", "web-2", "web-3"];
    let host = applied(&fleet(&names.map(|name| vm(name, "1GiB", ""))));
    let after = fleet(&["obs-1", "web-1", "web-2"].map(|name| vm(name, "2GiB", "")));
    let all = plan_on(&after, &host);
    assert!(
        ids(&all).contains(&"undefine/obs-2".to_owned())
            && ids(&all).contains(&"undefine/web-3".to_owned())
    );
    let chosen = with(&only("web-[12]"), &after, &host);
    assert_eq!(
        ids(&chosen),
        [
            "domain/web-1",
            "record/web-1",
            "domain/web-2",
            "record/web-2"
        ]
    );
    let removed = with(&only("obs-2"), &after, &host);
    assert_eq!(
        ids(&removed),
        ["stop/obs-2", "undefine/obs-2", "forget/obs-2"]
    );
}

#[test]
fn a_pattern_that_chooses_nothing_is_refused() {
    let spec = fleet(&[vm("a", "1GiB", "")]);
    let plan = with(&only("b*"), &spec, &applied(&spec));
    assert!(plan.is_empty());
    assert_eq!(plan.refusals[0].subject.to_string(), "--vm b*");
}

#[test]
fn a_protected_vm_is_neither_stopped_nor_restarted() {
    let host = applied(&fleet(&[vm("a", "1GiB", ", protect: true")]));
    let refused = |rest: &str, memory: &str| {
        let plan = plan_on(&fleet(&[vm("a", memory, rest)]), &host);
        assert!(plan.interruptions().is_empty(), "{plan:#?}");
        plan.refusals
            .iter()
            .map(|refusal| refusal.why.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        refused(", protect: true, state: stopped", "1GiB"),
        ["protected: not stopped"]
    );
    let restart = refused(", protect: true, restart: when-required", "2GiB");
    assert!(
        restart[0].starts_with("protected: not restarted"),
        "{restart:?}"
    );
    let lifted = plan_on(&fleet(&[vm("a", "1GiB", ", state: stopped")]), &host);
    assert!(lifted.refusals.is_empty() && lifted.interruptions().len() == 1);
}

#[test]
fn a_protected_vm_outlives_its_entry_in_the_file() {
    let keep = vm("keep", "1GiB", "");
    let host = applied(&fleet(&[keep.clone(), vm("a", "1GiB", ", protect: true")]));
    let without = fleet(std::slice::from_ref(&keep));
    let policy = Policy {
        removal: Removal::UpTo(9),
        ..Policy::default()
    };
    let refused = with(&policy, &without, &host);
    assert!(
        refused.is_empty() && refused.refusals[0].why.contains("it is protected"),
        "{refused:#?}"
    );
    let lifted = fleet(&[keep, vm("a", "1GiB", ", protect: false")]);
    let host = perform(&host, &plan_on(&lifted, &host));
    let removed = with(&policy, &without, &host);
    assert!(
        removed
            .steps
            .iter()
            .any(|step| matches!(step.act, Act::Undefine { .. }))
    );
}

#[test]
fn a_change_waits_for_the_next_boot_unless_a_restart_is_wanted() {
    let host = applied(&fleet(&[vm("a", "1GiB", "")]));
    let waits = plan_on(&fleet(&[vm("a", "2GiB", "")]), &host);
    assert!(waits.interruptions().is_empty());
    let after = perform(&host, &waits);
    let pending = plan_on(&fleet(&[vm("a", "2GiB", "")]), &after);
    assert!(
        pending.is_empty() && pending.notices[0].pending_restart,
        "{pending:#?}"
    );
    let file = fleet(&[vm("a", "2GiB", ", restart: when-required")]);
    for host in [&host, &after] {
        let plan = plan_on(&file, host);
        let steps = ids(&plan);
        let place = |id: &str| steps.iter().position(|step| step == id).unwrap();
        assert!(place("stop/a") < place("start/a"), "{steps:?}");
        assert!(
            plan.interruptions()[0]
                .why
                .contains("memory 1 GiB -> 2 GiB")
        );
        assert!(plan.notices.is_empty());
        let done = perform(host, &plan);
        assert!(plan_on(&file, &done).is_empty());
    }
}

#[test]
fn nothing_is_stopped_that_could_not_be_started_again() {
    let host = applied(&fleet(&[vm("a", "1GiB", "")]));
    let root = Owner { uid: 0, gid: 0 };
    host.own(paths::HOOK_BINARY, 0o644, root).unwrap();
    let plan = plan_on(
        &fleet(&[vm("a", "2GiB", ", restart: when-required")]),
        &host,
    );
    assert!(plan.interruptions().is_empty() && !plan.refusals.is_empty());
}
