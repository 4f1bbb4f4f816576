//! What each state of a domain calls for.

use crate::harness::{FLEET, UUID, VM, apply, apply_case, settled_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Reads;
use armfleet::inventory::RawDomain;
use armfleet::plan::Ended;
use std::time::Duration;

const PAUSED: u32 = 3;
const OFF: u32 = 5;
const CRASHED: u32 = 6;
const SLEEPING: u32 = 7;

fn stopped() -> String {
    format!("{FLEET}    state: stopped\n")
}

fn seen(host: &Memory) -> RawDomain {
    host.domain(UUID).unwrap()
}

#[test]
fn a_vm_that_is_off_is_started() {
    let (_, applied) = apply_case("off");
    applied.assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_vm_that_is_to_be_off_is_asked_to_stop() {
    let (host, applied) = apply_case("stop");
    applied.assert_did(&[
        "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
        &format!("set_autostart {UUID}"),
        "make_folder /run/armfleet/runs",
        "write_file /run/armfleet/runs/armhf-vm.json",
        &format!("shutdown {UUID}"),
    ]);
    assert_eq!(seen(&host).state, OFF);
}

#[test]
fn a_guest_that_did_not_hear_is_asked_again() {
    let host = settled_host();
    host.deafen_guest(VM, 2).unwrap();
    let began = host.now();
    let applied = apply(&host, &stopped(), &Default::default());
    applied.assert_converged();
    let asked = applied
        .changes
        .iter()
        .filter(|call| call.starts_with("shutdown"));
    assert_eq!(asked.count(), 3);
    assert!((10..12).contains(&(host.now() - began)));
}

#[test]
fn a_guest_that_never_hears_keeps_its_power() {
    let host = settled_host();
    host.deafen_guest(VM, u32::MAX).unwrap();
    let began = host.now();
    let applied = apply(
        &host,
        &format!("{}    stop_timeout: 30s\n", stopped()),
        &Default::default(),
    );
    let failed = applied
        .outcome
        .ended
        .values()
        .filter(|ended| matches!(ended, Ended::Failed(_)));
    assert_eq!(failed.count(), 1);
    assert_eq!(host.now() - began, 30);
    assert!(seen(&host).live.present().is_some());
    assert_eq!(applied.outcome.residual.steps.len(), 1);
}

#[test]
fn a_vm_that_is_stopping_is_awaited_and_started() {
    let (_, applied) = apply_case("stopping");
    applied.assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_vm_that_is_stopping_and_is_to_be_off_is_awaited() {
    let (_, applied) = apply_case("stopping-to-be-off");
    applied.assert_did(&[
        "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
        &format!("set_autostart {UUID}"),
    ]);
}

#[test]
fn a_full_disk_is_refused_with_its_name() {
    let (host, applied) = apply_case("paused-by-an-io-error");
    applied.assert_did_nothing();
    assert!(applied.refused().contains(crate::harness::IMAGE));
    assert_eq!((seen(&host).state, seen(&host).reason), (PAUSED, 5));
}

#[test]
fn states_that_somebody_chose_are_left() {
    for (case, state, reason, refusals) in [
        ("paused-by-a-user", PAUSED, 1, 0),
        ("paused-at-work", PAUSED, 3, 0),
        ("asleep", SLEEPING, 0, 0),
        ("crashed", CRASHED, 1, 1),
        ("unknown-state", 9, 0, 1),
    ] {
        let (host, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert_eq!(applied.outcome.residual.refusals.len(), refusals, "{case}");
        assert_eq!(
            applied.outcome.residual.notices.len(),
            1 - refusals,
            "{case}"
        );
        assert_eq!((seen(&host).state, seen(&host).reason), (state, reason));
    }
}

#[test]
fn a_paused_guest_cannot_power_off() {
    let (host, applied) = apply_case("paused-to-be-off");
    assert_eq!(
        applied.refused(),
        format!("{VM}: it is paused, so its guest cannot power off\n")
    );
    assert!(
        !applied
            .changes
            .iter()
            .any(|call| call.starts_with("shutdown"))
    );
    assert_eq!(seen(&host).state, PAUSED);
}

#[test]
fn a_managed_save_is_not_thrown_away() {
    let (host, applied) = apply_case("managed-save");
    applied.assert_did_nothing();
    assert!(seen(&host).managed_save);
}

#[test]
fn a_transient_domain_is_not_touched() {
    let (host, applied) = apply_case("transient");
    applied.assert_did_nothing();
    assert!(!seen(&host).persistent);
}

#[test]
fn a_vm_that_stops_again_at_once_has_not_started() {
    let host = settled_host();
    host.destroy(VM).unwrap();
    host.end_process_after(VM, Duration::from_secs(1)).unwrap();
    let applied = apply(&host, FLEET, &Default::default());
    assert!(!applied.outcome.all_done());
    assert_eq!(applied.outcome.residual.steps.len(), 1);
    let Some(Ended::Failed(error)) = applied.outcome.ended.values().next() else {
        panic!("{:?}", applied.outcome.ended)
    };
    assert_eq!(
        error.to_string(),
        "armhf-vm started, and stopped again within 2 s"
    );
}
