//! Saved plans: applied as they were reviewed, or not at all.

// A test's own functions may fail as tests do.
#![allow(clippy::panic, clippy::unwrap_used, dead_code, unreachable_pub)]

mod recorded;

use armfleet::inventory::{Fact, FileKind, RawInventory};
use armfleet::plan::{Plan, Policy, SavedPlan, SavedPlanError, Staleness, plan};
use armfleet::spec::{Spec, layout};
use recorded::{applied, domain, edit_domain, empty_host, file, plan_on, see, spec, stat, vm};

fn fleet(vms: &[String]) -> Spec {
    spec(&format!("fleet: obs\nvms:\n{}", vms.concat()))
}

/// A host with two VMs, and the file wanting more memory for one and a larger disk for the other.
fn example() -> (Spec, RawInventory) {
    let host = applied(&fleet(&[vm("a", "1GiB", ""), vm("b", "1GiB", "")]));
    let larger = vm("b", "1GiB", "").replace("8GiB", "16GiB");
    (fleet(&[vm("a", "2GiB", ""), larger]), host)
}

fn save(spec: &Spec, host: &RawInventory) -> SavedPlan {
    let policy = Policy::default();
    let saved = SavedPlan::new(spec, &policy, &plan_on(spec, host), &see(spec, host)).unwrap();
    SavedPlan::read(saved.render().unwrap().as_bytes()).unwrap()
}

fn again(saved: &SavedPlan, host: &RawInventory) -> (Plan, Option<Staleness>) {
    let seen = see(&saved.spec, host);
    let plan = plan(&saved.spec, &seen, &saved.policy);
    let staleness = saved.staleness(&plan, &seen);
    (plan, staleness)
}

fn stale(saved: &SavedPlan, host: &RawInventory) -> Staleness {
    again(saved, host).1.unwrap()
}

fn moved(staleness: &Staleness, fact: &str) -> bool {
    staleness
        .moved
        .iter()
        .any(|(name, then, now)| name == fact && then != now)
}

#[test]
fn a_plan_reads_back_as_it_was_saved() {
    let (spec, host) = example();
    let saved = save(&spec, &host);
    assert_eq!((&saved.spec, &saved.plan), (&spec, &plan_on(&spec, &host)));
    let (plan, staleness) = again(&saved, &host);
    assert_eq!((plan.digest(), staleness), (saved.plan.digest(), None));
}

#[test]
fn memory_changed_by_virsh_makes_it_stale() {
    let (spec, mut host) = example();
    let saved = save(&spec, &host);
    edit_domain(&mut host, "a", "1048576", "1572864");
    let stale = stale(&saved, &host);
    assert_eq!(stale.different, ["domain/a"]);
    assert!(moved(&stale, "domain a: definition"), "{stale:?}");
    assert!(stale.gone.is_empty() && stale.new.is_empty());
}

#[test]
fn a_disk_grown_by_hand_makes_it_stale() {
    let (spec, mut host) = example();
    let saved = save(&spec, &host);
    let image = stat(FileKind::File, 0o600, (0, 0), 16 << 30);
    host.paths
        .insert("/srv/b.img".to_owned(), Fact::Present(file(image)));
    let stale = stale(&saved, &host);
    assert_eq!(stale.gone, ["disk/b/b"]);
    assert!(moved(&stale, "/srv/b.img"));
}

#[test]
fn a_replaced_hook_makes_it_stale() {
    let (spec, mut host) = example();
    let saved = save(&spec, &host);
    let Some(Fact::Present(shim)) = host.paths.get_mut(layout::SHIM) else {
        panic!("no shim");
    };
    shim.sha256 = Some("0".repeat(64));
    let stale = stale(&saved, &host);
    assert_eq!(stale.new, ["hook/qemu"]);
    assert!(moved(&stale, layout::SHIM));
}

#[test]
fn a_deleted_share_makes_it_stale() {
    let (spec, mut host) = example();
    let saved = save(&spec, &host);
    host.paths.insert("/srv/a-boot".to_owned(), Fact::Absent);
    let stale = stale(&saved, &host);
    assert_eq!(stale.gone, ["domain/a", "record/a"]);
    assert!(moved(&stale, "/srv/a-boot"));
}

#[test]
fn a_vm_that_was_started_or_stopped_makes_it_stale() {
    let (spec, mut host) = example();
    domain(&mut host, "a").state = 5;
    let saved = save(&spec, &host);
    domain(&mut host, "a").state = 1;
    let stale = stale(&saved, &host);
    assert_eq!(stale.gone, ["start/a"]);
    assert!(moved(&stale, "domain a: state"));
}

#[test]
fn an_edited_record_makes_it_stale() {
    let (spec, mut host) = example();
    let saved = save(&spec, &host);
    let path = "/var/lib/armfleet/vms/b/record.json";
    let Some(Fact::Present(record)) = host.paths.get_mut(path) else {
        panic!("no record");
    };
    record.text = Some("{".to_owned());
    let stale = stale(&saved, &host);
    assert_eq!(stale.new, ["record/b"]);
    assert!(moved(&stale, path));
}

#[test]
fn what_no_step_rests_on_may_move() {
    let (spec, mut host) = example();
    let saved = save(&spec, &host);
    let Some(Fact::Present(share)) = host.paths.get_mut("/srv/a-boot") else {
        panic!("no share");
    };
    share.stat.mtime_ns += 1;
    assert_eq!(again(&saved, &host).1, None);
}

#[test]
fn the_fleet_file_is_not_looked_at_again() {
    let (spec, host) = example();
    let saved = save(&spec, &host);
    assert_eq!(saved.spec, spec);
    assert_eq!(again(&saved, &host).1, None);
}

#[test]
fn an_applied_plan_is_stale() {
    let (spec, host) = example();
    let saved = save(&spec, &host);
    let after = recorded::perform(&host, &saved.plan);
    assert!(stale(&saved, &after).gone.contains(&"domain/a".to_owned()));
}

#[test]
fn an_incomplete_plan_cannot_be_saved() {
    let (spec, mut host) = example();
    host.paths.insert(
        "/srv/b.img".to_owned(),
        Fact::Unreadable("a bad sector".to_owned()),
    );
    let (plan, seen) = (plan_on(&spec, &host), see(&spec, &host));
    let error = SavedPlan::new(&spec, &Policy::default(), &plan, &seen).unwrap_err();
    assert!(error.to_string().contains("a bad sector"), "{error}");
}

#[test]
fn a_file_that_is_no_plan_of_this_version_is_refused() {
    let (spec, host) = example();
    let text = save(&spec, &host).render().unwrap();
    let read = |text: &str| SavedPlan::read(text.as_bytes()).unwrap_err();
    let version = format!("\"armfleet\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(
        matches!(read(&text.replace(&version, "\"armfleet\": \"99.0.0\"")), SavedPlanError::OtherVersion(other) if other == "99.0.0")
    );
    assert!(matches!(
        read(&text.replace("saved-plan/1", "saved-plan/2")),
        SavedPlanError::OtherFormat(_)
    ));
    for hostile in [
        text[..text.len() / 2].to_owned(),
        String::new(),
        text.replace("/srv/a-boot", "/srv/../etc"),
        text.replace("\"machine\": \"virt\"", "\"machine\": \"virt'/>\""),
        text.replace("\"memory\"", "\"memroy\""),
    ] {
        assert!(matches!(read(&hostile), SavedPlanError::NotAPlan(_)));
    }
    assert!(matches!(
        read(&text.replacen("\"name\": \"a\"", "\"name\": \"b\"", 1)),
        SavedPlanError::Renamed(..)
    ));
}

#[test]
fn the_first_step_of_a_domain_says_what_it_expects() {
    let host = applied(&fleet(&[vm("a", "1GiB", "")]));
    let stopped = fleet(&[vm("a", "1GiB", ", state: stopped, autostart: false")]);
    let plan = plan_on(&stopped, &host);
    let expecting: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.expects.is_some())
        .collect();
    let [first] = expecting.as_slice() else {
        panic!("{:#?}", plan.steps);
    };
    assert_eq!(first.id.to_string(), "autostart/a");
    let definition = recorded::definition_digest(&mut host.clone(), "a");
    assert_eq!(first.expects.as_ref(), Some(&definition));
    assert!(
        plan_on(&stopped, &empty_host())
            .steps
            .iter()
            .all(|step| step.expects.is_none())
    );
}
