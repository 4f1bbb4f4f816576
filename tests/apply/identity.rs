//! Whose a domain is: ours by its mark with its own UUID, and nobody's otherwise.

use crate::harness::{FLEET, RECORD, SHARE, UUID, VM, apply_case};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;

const MORE: &str = "write_file /var/lib/armfleet/vms/armhf-vm/record.json";

fn definition(host: &Memory, name: &str) -> String {
    host.dump_secure(&host.uuid_of(name).unwrap()).unwrap()
}

#[test]
fn a_clone_is_left_alone_and_its_original_goes_on() {
    let (host, applied) = apply_case("clone");
    applied.assert_did(&["define", MORE]);
    let copy = definition(&host, "copy");
    assert!(copy.contains(UUID) && copy.contains("524288"), "{copy}");
    assert_eq!(applied.outcome.residual.notices.len(), 3);
}

#[test]
fn a_clone_that_runs_keeps_its_original_off() {
    let (host, applied) = apply_case("clone-runs");
    applied.assert_did_nothing();
    assert_eq!(
        applied.refused(),
        format!("{VM}: {SHARE} is used by domain copy\n")
    );
    host.destroy("copy").unwrap();
    let applied = crate::harness::apply(&host, FLEET, &Default::default());
    applied.assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_renamed_domain_is_neither_created_anew_nor_renamed_back() {
    let (host, applied) = apply_case("renamed");
    applied.assert_did_nothing();
    assert!(definition(&host, "new").contains("524288"));
}

#[test]
fn a_renamed_domain_that_left_the_file_is_not_removed() {
    let (host, applied) = apply_case("renamed-and-left");
    applied.assert_did_nothing();
    assert_eq!(host.uuid_of("new").unwrap(), UUID);
}

#[test]
fn a_lost_record_is_written_again() {
    let (host, applied) = apply_case("record-lost");
    applied.assert_did(&[MORE]);
    assert!(host.bytes(RECORD).is_some());
}

#[test]
fn what_changed_together_with_a_lost_record_is_applied() {
    let (_, applied) = apply_case("record-lost-and-changed");
    applied.assert_did(&["define", MORE]);
}

#[test]
fn a_damaged_record_is_written_again() {
    let (_, applied) = apply_case("record-damaged");
    applied.assert_did(&[MORE]);
}

#[test]
fn a_record_of_another_fleet_beside_our_domain_is_written_again() {
    let (_, applied) = apply_case("record-of-another-fleet");
    applied.assert_did(&[MORE]);
}

#[test]
fn a_record_of_another_fleet_without_a_domain_forbids_creating_one() {
    let (host, applied) = apply_case("record-of-another-fleet-without-a-domain");
    applied.assert_did_nothing();
    assert!(host.uuid_of(VM).is_err());
}

#[test]
fn a_foreign_domain_of_the_name_is_left_alone() {
    let (host, applied) = apply_case("foreign");
    applied.assert_did_nothing();
    assert!(definition(&host, VM).contains("524288"));
}

#[test]
fn another_fleets_domain_of_the_name_is_left_alone() {
    let (_, applied) = apply_case("another-fleets");
    applied.assert_did_nothing();
}

#[test]
fn a_clone_that_took_the_name_is_left_alone() {
    let (host, applied) = apply_case("clone-has-the-name");
    applied.assert_did_nothing();
    assert!(definition(&host, VM).contains("524288"));
}

#[test]
fn an_undefined_domain_is_created_again_and_keeps_its_disk() {
    let (host, applied) = apply_case("undefined");
    applied.assert_did(&[
        "define",
        &format!("set_autostart {UUID}"),
        &format!("start {UUID}"),
    ]);
    assert_eq!(host.uuid_of(VM).unwrap(), UUID);
    assert_eq!(
        host.bytes(crate::harness::IMAGE).unwrap(),
        crate::harness::DATA.as_bytes()
    );
}

#[test]
fn a_domain_with_the_uuid_of_a_new_vm_forbids_creating_it() {
    let (_, applied) = apply_case("uuid-taken");
    assert_eq!(
        applied.refused(),
        format!("{VM}: domain taken has the UUID that this VM would get\n")
    );
}

#[test]
fn leftovers_of_an_earlier_domain_forbid_creating_one() {
    for (case, path) in [
        (
            "managed-save-left",
            "/var/lib/libvirt/qemu/save/armhf-vm.save",
        ),
        (
            "firmware-variables-left",
            "/var/lib/libvirt/qemu/nvram/armhf-vm_VARS.fd",
        ),
    ] {
        let (host, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(host.bytes(path).is_some());
    }
}
