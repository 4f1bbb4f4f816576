//! VMs that left the file: removed with every guard, their disks and shares never.

use crate::harness::case::Case;
use crate::harness::{DATA, IMAGE, RECORD, SHARE, UUID, VM, apply, apply_case, host_of};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Reads;
use armfleet::inventory::Look;

/// The generation that the seed becomes.
const SEED: &str = "de9e07570d5cd80b";

/// The calls that remove a VM that runs its seed.
fn removal(vm: &str, uuid: &str) -> Vec<String> {
    let folder = format!("remove_folder /var/lib/armfleet/vms/{vm}");
    let inside: [String; 8] = [
        format!("boot/g/{SEED}"),
        "boot/g".to_owned(),
        "boot/seed".to_owned(),
        "boot/dtb".to_owned(),
        "boot/installer".to_owned(),
        "boot/extracted".to_owned(),
        "cloud-init".to_owned(),
        "boot".to_owned(),
    ];
    let mut calls = vec![
        "make_folder /run/armfleet/runs".to_owned(),
        format!("write_file /run/armfleet/runs/{vm}.json"),
        format!("shutdown {uuid}"),
        format!("undefine {uuid}"),
    ];
    calls.extend(inside.map(|inside| format!("{folder}/{inside}")));
    calls.extend([
        format!("remove_file /run/armfleet/hook-seen/{vm}"),
        format!("remove_file /run/armfleet/runs/{vm}.json"),
        folder,
    ]);
    calls
}

fn texts(calls: &[String]) -> Vec<&str> {
    calls.iter().map(String::as_str).collect()
}

/// A host with three VMs.
fn three() -> Memory {
    host_of("removal-of-one-of-three")
}

#[track_caller]
fn assert_kept(host: &Memory) {
    assert_eq!(host.bytes(IMAGE).unwrap(), DATA.as_bytes());
    assert!(host.look(SHARE, Look::Stat).present().is_some());
}

#[test]
fn without_leave_nothing_is_removed() {
    let (host, applied) = apply_case("removal-refused");
    applied.assert_did_nothing();
    assert!(host.uuid_of(VM).is_ok());
}

#[test]
fn more_than_half_needs_a_number_even_when_somebody_is_asked() {
    for case in ["removal-of-all", "removal-of-all-allowed"] {
        let (host, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(host.uuid_of(VM).is_ok());
    }
}

#[test]
fn with_the_number_the_last_vm_is_removed_and_what_it_wrote_stays() {
    let (host, applied) = apply_case("removal-of-one-of-one");
    applied.assert_did(&texts(&removal(VM, UUID)));
    assert!(host.uuid_of(VM).is_err() && host.bytes(RECORD).is_none());
    assert_kept(&host);
}

#[test]
fn half_or_less_is_removed_when_somebody_is_asked() {
    let uuid = three().uuid_of("b").unwrap();
    let (host, applied) = apply_case("removal-of-one-of-three");
    applied.assert_did(&texts(&removal("b", &uuid)));
    assert!(host.uuid_of("a").is_ok() && host.uuid_of("b").is_err() && host.uuid_of("c").is_ok());
}

#[test]
fn a_number_that_is_too_small_removes_nothing() {
    let (host, applied) = apply_case("removal-of-too-many");
    applied.assert_did_nothing();
    assert!(host.uuid_of("b").is_ok() && host.uuid_of("c").is_ok());
}

#[test]
fn without_its_record_a_vm_is_not_removed() {
    for case in [
        "removal-without-record",
        "removal-with-damaged-record",
        "removal-with-unreadable-record",
    ] {
        let (host, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(host.uuid_of(VM).is_ok(), "{case}");
    }
}

#[test]
fn what_a_removal_would_lose_or_could_not_stop_is_not_removed() {
    for case in [
        "removal-of-a-managed-save",
        "removal-of-a-transient-domain",
        "removal-of-a-paused-vm",
    ] {
        let (host, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(host.uuid_of(VM).is_ok(), "{case}");
    }
}

#[test]
fn foreign_domains_are_never_removed() {
    let (host, applied) = apply_case("removal-beside-a-clone");
    applied.assert_did(&texts(&removal(VM, UUID)));
    assert!(host.uuid_of("copy").is_ok() && host.uuid_of("other").is_ok());
}

#[test]
fn a_guest_that_does_not_stop_is_not_removed() {
    let without_b = Case::new("removal-of-one-of-three");
    let host = without_b.host();
    host.deafen_guest("b", u32::MAX).unwrap();
    let applied = apply(&host, &without_b.fleet, &without_b.policy);
    assert!(!applied.outcome.all_done());
    assert!(
        !applied
            .changes
            .iter()
            .any(|call| call.starts_with("undefine"))
    );
    assert!(host.uuid_of("b").is_ok());
}

#[test]
fn a_record_whose_domain_is_gone_is_forgotten() {
    let (host, applied) = apply_case("record-orphaned");
    applied.assert_did(&texts(&removal(VM, UUID)[4..]));
    assert_kept(&host);
}

#[test]
fn a_new_vm_waits_for_the_removal_of_the_one_whose_disk_it_takes() {
    let (host, applied) = apply_case("heir");
    applied.assert_converged();
    let place = |name: &str| {
        applied
            .changes
            .iter()
            .position(|call| call.starts_with(name))
            .unwrap()
    };
    assert!(place("undefine") < place("define"));
    assert_eq!(host.bytes("/srv/b.img").unwrap(), DATA.as_bytes());
}

#[test]
fn a_vm_with_snapshots_is_not_stopped_to_be_removed() {
    let (host, applied) = apply_case("removal-with-snapshots");
    applied.assert_did_nothing();
    assert!(host.domain(UUID).unwrap().live.present().is_some());
}

#[test]
fn a_vm_that_appears_with_the_keys_of_one_that_left_is_named_as_a_rename() {
    let (host, applied) = apply_case("renamed-in-the-file");
    assert!(host.uuid_of(VM).is_ok() && host.uuid_of("other").is_ok());
    let after = &applied.outcome.residual.notices;
    assert!(
        after
            .iter()
            .all(|notice| notice.subject.to_string() != "other"),
        "{after:?}"
    );
}
