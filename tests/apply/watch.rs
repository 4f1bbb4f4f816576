//! Watchers and holds.

use crate::harness::{FLEET, UUID, VM, apply, apply_case, settled_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::host::{Executor, Host};
use armfleet::mark::{Hold, render_hold};

/// Somebody holds the VM, until this time or for good.
fn hold(host: &Memory, until: Option<u64>) {
    let hold = Hold {
        by: "anna".to_owned(),
        at: 1_700_000_000,
        until,
        why: Some("its disk is being moved".to_owned()),
    };
    host.put_file(HOLD, render_hold(&hold).unwrap()).unwrap();
}

const HOLD: &str = "/var/lib/armfleet/vms/armhf-vm/hold.json";

#[test]
fn a_held_vm_that_is_as_it_should_be_is_only_told_of() {
    let (_, applied) = apply_case("held");
    applied.assert_did_nothing();
}

#[test]
fn what_a_held_vm_needs_is_refused() {
    let (host, applied) = apply_case("held-and-off");
    assert!(applied.outcome.ended.is_empty());
    assert_eq!(applied.outcome.residual.refusals.len(), 1);
    // Once it is released, everything is done.
    host.remove_file(HOLD).unwrap();
    let released = apply(&host, FLEET, &Default::default());
    released.assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_held_vm_that_left_the_file_stays() {
    let (host, applied) = apply_case("held-and-left");
    assert!(applied.outcome.ended.is_empty());
    assert!(host.domain(UUID).is_ok());
}

#[test]
fn a_hold_that_cannot_be_read_holds() {
    let (_, applied) = apply_case("hold-damaged");
    assert!(applied.outcome.ended.is_empty());
}

#[test]
fn a_hold_that_has_ended_holds_nothing() {
    let (_, applied) = apply_case("hold-ended");
    applied.assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_hold_that_came_after_the_plan_ends_the_apply_before_its_start() {
    let host = settled_host();
    host.destroy(VM).unwrap();
    let steps = crate::harness::plan(&host, FLEET, &Default::default()).steps;
    hold(&host, None);
    let performer = Executor::locked(host.clone()).unwrap();
    let refused = performer.perform(&steps[0]).unwrap_err();
    assert!(refused.is_refusal());
    assert!(refused.to_string().contains("held by anna"), "{refused}");
}

#[test]
fn without_a_watcher_whoever_relies_on_one_is_told() {
    let (_, applied) = apply_case("nobody-watches");
    applied.assert_did_nothing();
    let (_, applied) = apply_case("nobody-needs-to-watch");
    assert!(applied.outcome.residual.notices.is_empty());
}
