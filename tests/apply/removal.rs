//! VMs that left the file: removed with every guard, their disks and shares never.

use crate::bed::{
    DATA, EMPTY, FLEET, IMAGE, RECORD, SHARE, UUID, VM, apply, found, found_on, found_with,
    new_host, perform_in_order,
};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::inventory::Look;

/// The generation that the seed becomes.
const SEED: &str = "0bc86a3ceb424b47";

/// The calls that remove a VM that runs its seed.
fn removal(vm: &str, uuid: &str) -> Vec<String> {
    let folder = format!("remove_folder /var/lib/armfleet/vms/{vm}");
    let inside = [
        format!("boot/g/{SEED}"),
        "boot/g".to_owned(),
        "boot/seed".to_owned(),
        "boot/installer".to_owned(),
        "boot/extracted".to_owned(),
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

fn vm(name: &str) -> String {
    FLEET.split_once("vms:\n").unwrap().1.replace(VM, name)
}

fn fleet(vms: &[&str]) -> String {
    let vms: String = vms.iter().map(|name| vm(name)).collect();
    format!("fleet: lab\nvms:\n{vms}")
}

/// A host with three VMs.
fn three() -> Memory {
    let host = new_host();
    perform_in_order(&host, &fleet(&["a", "b", "c"]));
    host
}

#[track_caller]
fn assert_kept(host: &Memory) {
    assert_eq!(host.bytes(IMAGE).unwrap(), DATA.as_bytes());
    assert!(host.look(SHARE, Look::Stat).present().is_some());
}

#[test]
fn without_leave_nothing_is_removed() {
    let (host, applied) = found_with("removal-refused", Some("--auto-approve"), EMPTY, |_| {});
    applied.assert_did_nothing();
    assert!(host.uuid_of(VM).is_ok());
}

#[test]
fn more_than_half_needs_a_number_even_when_somebody_is_asked() {
    for (case, options) in [
        ("removal-of-all", None),
        ("removal-of-all-allowed", Some("--allow-removal")),
    ] {
        let (host, applied) = found_with(case, options, EMPTY, |_| {});
        applied.assert_did_nothing();
        assert!(host.uuid_of(VM).is_ok());
    }
}

#[test]
fn with_the_number_the_last_vm_is_removed_and_what_it_wrote_stays() {
    let (host, applied) = found_with(
        "removal-of-one-of-one",
        Some("--allow-removal=1"),
        EMPTY,
        |_| {},
    );
    applied.assert_did(&texts(&removal(VM, UUID)));
    assert!(host.uuid_of(VM).is_err() && host.bytes(RECORD).is_none());
    assert_kept(&host);
}

#[test]
fn half_or_less_is_removed_when_somebody_is_asked() {
    let host = three();
    let uuid = host.uuid_of("b").unwrap();
    let (host, applied) = found_on(host, "removal-of-one-of-three", None, &fleet(&["a", "c"]));
    applied.assert_did(&texts(&removal("b", &uuid)));
    assert!(host.uuid_of("a").is_ok() && host.uuid_of("b").is_err() && host.uuid_of("c").is_ok());
}

#[test]
fn a_number_that_is_too_small_removes_nothing() {
    let (host, applied) = found_on(
        three(),
        "removal-of-too-many",
        Some("--allow-removal=1"),
        &fleet(&["a"]),
    );
    applied.assert_did_nothing();
    assert!(host.uuid_of("b").is_ok() && host.uuid_of("c").is_ok());
}

#[test]
fn without_its_record_a_vm_is_not_removed() {
    for (case, spoil) in [
        (
            "removal-without-record",
            (|host| host.remove(RECORD)) as fn(&Memory),
        ),
        ("removal-with-damaged-record", |host| {
            host.put_file(RECORD, "{").unwrap()
        }),
        ("removal-with-unreadable-record", |host| {
            host.make_unreadable(RECORD, "Permission denied")
        }),
    ] {
        let (host, applied) = found_with(case, Some("--allow-removal=1"), EMPTY, spoil);
        applied.assert_did_nothing();
        assert!(host.uuid_of(VM).is_ok(), "{case}");
    }
}

#[test]
fn what_a_removal_would_lose_or_could_not_stop_is_not_removed() {
    for (case, happened) in [
        (
            "removal-of-a-managed-save",
            (|host| host.save_domain(VM).unwrap()) as fn(&Memory),
        ),
        ("removal-of-a-transient-domain", |host| {
            host.undefine_domain(VM).unwrap()
        }),
        ("removal-of-a-paused-vm", |host| {
            host.set_state(VM, 3, 1).unwrap()
        }),
    ] {
        let (host, applied) = found_with(case, Some("--allow-removal=1"), EMPTY, happened);
        applied.assert_did_nothing();
        assert!(host.uuid_of(VM).is_ok(), "{case}");
    }
}

#[test]
fn foreign_domains_are_never_removed() {
    let (host, applied) = found_with(
        "removal-beside-a-clone",
        Some("--allow-removal=9"),
        EMPTY,
        |host| {
            host.clone_domain(VM, "copy").unwrap();
            host.define("<domain type='qemu'><name>other</name><memory>1024</memory><os><type arch='armv7l' machine='virt'>hvm</type></os></domain>").unwrap();
        },
    );
    applied.assert_did(&texts(&removal(VM, UUID)));
    assert!(host.uuid_of("copy").is_ok() && host.uuid_of("other").is_ok());
}

#[test]
fn a_guest_that_does_not_stop_is_not_removed() {
    let host = three();
    host.deafen_guest("b", u32::MAX).unwrap();
    let applied = apply(&host, &fleet(&["a", "c"]), &Default::default());
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
    let (host, applied) = found("record-orphaned", EMPTY, |host| {
        host.destroy(VM).unwrap();
        host.undefine_domain(VM).unwrap();
    });
    applied.assert_did(&texts(&removal(VM, UUID)[4..]));
    assert_kept(&host);
}

#[test]
fn a_new_vm_waits_for_the_removal_of_the_one_whose_disk_it_takes() {
    let host = three();
    host.write_image("/srv/b.img", DATA).unwrap();
    let heir = vm("heir")
        .replace("/srv/heir.img", "/srv/b.img")
        .replace("/srv/heir-boot", "/srv/b-boot");
    let (host, applied) = found_on(host, "heir", None, &format!("{}{heir}", fleet(&["a", "c"])));
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
    let (host, applied) = found_with(
        "removal-with-snapshots",
        Some("--allow-removal=1"),
        EMPTY,
        |host| host.add_snapshot(VM, "before-upgrade", "nightly").unwrap(),
    );
    applied.assert_did_nothing();
    assert!(host.domain(UUID).unwrap().live.present().is_some());
}

#[test]
fn a_vm_that_appears_with_the_keys_of_one_that_left_is_named_as_a_rename() {
    let renamed = format!("fleet: lab\nvms:\n{}", vm("other"));
    let (host, applied) = found_with(
        "renamed-in-the-file",
        Some("--auto-approve"),
        &renamed,
        |_| {},
    );
    assert!(host.uuid_of(VM).is_ok() && host.uuid_of("other").is_ok());
    let after = &applied.outcome.residual.notices;
    assert!(
        after.iter().all(|notice| notice.subject != "other"),
        "{after:?}"
    );
}
