//! What could not be seen is never taken for absent.

use crate::bed::{EMPTY, FLEET, IMAGE, RECORD, SHARE, VM, found, found_on, new_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;

const WHY: &str = "Permission denied (os error 13)";

#[test]
fn nothing_is_planned_that_rests_on_what_could_not_be_seen() {
    for (case, path) in [
        ("unreadable-record", RECORD),
        ("unreadable-records", "/var/lib/armfleet/vms"),
        ("unreadable-share", SHARE),
        ("unreadable-image", IMAGE),
        ("unreadable-seed", "/srv/seed/vmlinuz-6.1.0-48-armmp"),
        ("unreadable-hook", "/etc/libvirt/hooks/qemu.d/50-armfleet"),
    ] {
        let (_, applied) = found(case, FLEET, |host| host.make_unreadable(path, WHY));
        applied.assert_did_nothing();
        assert!(!applied.outcome.residual.is_complete(), "{case}");
    }
}

#[test]
fn a_domain_that_cannot_be_read_is_left_alone() {
    for (case, fleet) in [
        ("unreadable-domain", FLEET),
        ("unreadable-domain-that-left", EMPTY),
    ] {
        let (_, applied) = found(case, fleet, |host| {
            host.forbid_dump(VM, "cannot acquire state change lock")
                .unwrap()
        });
        applied.assert_did_nothing();
        assert!(!applied.outcome.residual.is_complete(), "{case}");
    }
}

#[test]
fn without_libvirt_nothing_is_planned() {
    for (case, host) in [
        ("libvirt-unreachable", crate::bed::settled_host()),
        ("libvirt-unreachable-at-first", new_host()),
    ] {
        host.stop_daemon();
        let (_, applied) = found_on(host, case, None, FLEET);
        applied.assert_did_nothing();
        assert!(!applied.outcome.residual.is_complete());
    }
}

#[test]
fn whether_something_is_left_over_must_be_seen() {
    let host: Memory = new_host();
    host.make_unreadable("/var/lib/libvirt/qemu/save/armhf-vm.save", WHY);
    let (host, applied) = found_on(host, "leftovers-unreadable", None, FLEET);
    assert!(!applied.outcome.residual.is_complete());
    assert!(host.uuid_of(VM).is_err());
    assert!(
        host.lock("/run/armfleet/apply.lock", "", std::time::Duration::ZERO)
            .is_ok()
    );
}
