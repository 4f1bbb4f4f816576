//! Whose a domain is: ours by its mark with its own UUID, and nobody's otherwise.

use crate::bed::{EMPTY, FLEET, RECORD, SHARE, UUID, VM, found, found_on, new_host, settled_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;

const MORE: &str = "write_file /var/lib/armfleet/vms/armhf-vm/record.json";

fn more_memory() -> String {
    FLEET.replace("512MiB", "1GiB")
}

fn definition(host: &Memory, name: &str) -> String {
    host.dump_secure(&host.uuid_of(name).unwrap()).unwrap()
}

/// A definition without armfleet's mark.
fn unmarked(definition: &str) -> String {
    let (start, end) = ("  <metadata>", "  </metadata>\n");
    let (before, rest) = definition.split_once(start).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{after}")
}

fn foreign_record(host: &Memory) {
    let record = String::from_utf8(host.bytes(RECORD).unwrap()).unwrap();
    host.put_file(RECORD, record.replace("\"lab\"", "\"prod\""))
        .unwrap();
}

#[test]
fn a_clone_is_left_alone_and_its_original_goes_on() {
    let (host, applied) = found("clone", &more_memory(), |host| {
        host.clone_domain(VM, "copy").unwrap()
    });
    applied.assert_did(&["define", MORE]);
    let copy = definition(&host, "copy");
    assert!(copy.contains(UUID) && copy.contains("524288"), "{copy}");
    assert_eq!(applied.outcome.residual.notices.len(), 3);
}

#[test]
fn a_clone_that_runs_keeps_its_original_off() {
    let (host, applied) = found("clone-runs", FLEET, |host| {
        host.destroy(VM).unwrap();
        host.clone_domain(VM, "copy").unwrap();
        host.put_file("/srv/armhf-vm-clone.img", "").unwrap();
        host.start(&host.uuid_of("copy").unwrap()).unwrap();
    });
    applied.assert_did_nothing();
    assert_eq!(
        applied.refused(),
        format!("{VM}: {SHARE} is used by domain copy\n")
    );
    host.destroy("copy").unwrap();
    let applied = crate::bed::apply(&host, FLEET, &Default::default());
    applied.assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_renamed_domain_is_neither_created_anew_nor_renamed_back() {
    let (host, applied) = found("renamed", &more_memory(), |host| {
        host.rename_domain(VM, "new").unwrap()
    });
    applied.assert_did_nothing();
    assert!(definition(&host, "new").contains("524288"));
}

#[test]
fn a_renamed_domain_that_left_the_file_is_not_removed() {
    let (host, applied) = found("renamed-and-left", EMPTY, |host| {
        host.rename_domain(VM, "new").unwrap()
    });
    applied.assert_did_nothing();
    assert_eq!(host.uuid_of("new").unwrap(), UUID);
}

#[test]
fn a_lost_record_is_written_again() {
    let (host, applied) = found("record-lost", FLEET, |host| host.remove(RECORD));
    applied.assert_did(&[MORE]);
    assert!(host.bytes(RECORD).is_some());
}

#[test]
fn what_changed_together_with_a_lost_record_is_applied() {
    let (_, applied) = found("record-lost-and-changed", &more_memory(), |host| {
        host.remove(RECORD)
    });
    applied.assert_did(&["define", MORE]);
}

#[test]
fn a_damaged_record_is_written_again() {
    let (_, applied) = found("record-damaged", FLEET, |host| {
        host.put_file(RECORD, "{").unwrap()
    });
    applied.assert_did(&[MORE]);
}

#[test]
fn a_record_of_another_fleet_beside_our_domain_is_written_again() {
    let (_, applied) = found("record-of-another-fleet", FLEET, foreign_record);
    applied.assert_did(&[MORE]);
}

#[test]
fn a_record_of_another_fleet_without_a_domain_forbids_creating_one() {
    let (host, applied) = found("record-of-another-fleet-without-a-domain", FLEET, |host| {
        foreign_record(host);
        host.destroy(VM).unwrap();
        host.undefine_domain(VM).unwrap();
    });
    applied.assert_did_nothing();
    assert!(host.uuid_of(VM).is_err());
}

#[test]
fn a_foreign_domain_of_the_name_is_left_alone() {
    let (host, applied) = found("foreign", &more_memory(), |host| {
        host.edit_domain(VM, unmarked).unwrap()
    });
    applied.assert_did_nothing();
    assert!(definition(&host, VM).contains("524288"));
}

#[test]
fn another_fleets_domain_of_the_name_is_left_alone() {
    let (_, applied) = found("another-fleets", &more_memory(), |host| {
        host.edit_domain(VM, |text| text.replace(r#"fleet="lab""#, r#"fleet="prod""#))
            .unwrap();
    });
    applied.assert_did_nothing();
}

#[test]
fn a_clone_that_took_the_name_is_left_alone() {
    let (host, applied) = found("clone-has-the-name", &more_memory(), |host| {
        host.clone_domain(VM, "copy").unwrap();
        host.destroy(VM).unwrap();
        host.undefine_domain(VM).unwrap();
        host.rename_domain("copy", VM).unwrap();
    });
    applied.assert_did_nothing();
    assert!(definition(&host, VM).contains("524288"));
}

#[test]
fn an_undefined_domain_is_created_again_and_keeps_its_disk() {
    let (host, applied) = found("undefined", FLEET, |host| {
        host.destroy(VM).unwrap();
        host.undefine_domain(VM).unwrap();
    });
    applied.assert_did(&[
        "define",
        &format!("set_autostart {UUID}"),
        &format!("start {UUID}"),
    ]);
    assert_eq!(host.uuid_of(VM).unwrap(), UUID);
    assert_eq!(
        host.bytes(crate::bed::IMAGE).unwrap(),
        crate::bed::DATA.as_bytes()
    );
}

#[test]
fn a_domain_with_the_uuid_of_a_new_vm_forbids_creating_it() {
    let host = new_host();
    host.define(&format!(
        "<domain type='qemu'><name>taken</name><uuid>{UUID}</uuid><memory>1024</memory>\
         <os><type arch='armv7l' machine='virt'>hvm</type></os></domain>"
    ))
    .unwrap();
    let (_, applied) = found_on(host, "uuid-taken", None, FLEET);
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
        let host = settled_host();
        host.destroy(VM).unwrap();
        host.undefine_domain(VM).unwrap();
        host.put_file(path, "").unwrap();
        let (host, applied) = found_on(host, case, None, FLEET);
        applied.assert_did_nothing();
        assert!(host.bytes(path).is_some());
    }
}
