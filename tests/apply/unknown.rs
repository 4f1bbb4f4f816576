//! What could not be seen is never taken for absent.

use crate::harness::{FLEET, SHARE, UUID, VM, apply, apply_case, plan, settled_host, text};
use armfleet::boot::SHARE_NAME_LIMIT;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;
use armfleet::plan::Policy;
use armfleet::report::render_outcome;

#[test]
fn nothing_is_planned_that_rests_on_what_could_not_be_seen() {
    for case in [
        "unreadable-record",
        "unreadable-records",
        "unreadable-share",
        "unreadable-image",
        "unreadable-seed",
        "unreadable-hook",
    ] {
        let (_, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(!applied.outcome.residual.is_complete(), "{case}");
    }
}

#[test]
fn a_domain_that_cannot_be_read_is_left_alone() {
    for case in ["unreadable-domain", "unreadable-domain-that-left"] {
        let (_, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(!applied.outcome.residual.is_complete(), "{case}");
    }
}

#[test]
fn without_libvirt_nothing_is_planned() {
    for case in ["libvirt-unreachable", "libvirt-unreachable-at-first"] {
        let (_, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert!(!applied.outcome.residual.is_complete());
    }
}

#[test]
fn whether_something_is_left_over_must_be_seen() {
    let (host, applied) = apply_case("leftovers-unreadable");
    assert!(!applied.outcome.residual.is_complete());
    assert!(host.uuid_of(VM).is_err());
    assert!(
        host.lock("/run/armfleet/apply.lock", "", std::time::Duration::ZERO)
            .is_ok()
    );
}

/// A host whose guest has put more names into its `/boot` than are looked at.
fn flooded_host() -> Memory {
    let host = settled_host();
    for number in 0..=SHARE_NAME_LIMIT {
        let name = format!("{number}");
        host.put_guest_file(SHARE, &name, "").unwrap();
    }
    host
}

fn stopped() -> String {
    FLEET.replace("    vcpus: 1", "    vcpus: 1\n    state: stopped")
}

#[test]
fn a_share_of_too_many_names_is_said_and_its_vm_is_planned() {
    let host = flooded_host();
    let seen = plan(&host, FLEET, &Policy::default());
    assert!(seen.is_complete() && seen.is_empty(), "{}", text(&seen));
    assert!(
        text(&seen).contains("its boot share /srv/armhf-vm-boot has more than 4096 names"),
        "{}",
        text(&seen)
    );
    let applied = apply(&host, &stopped(), &Policy::default());
    assert!(applied.changes.contains(&format!("shutdown {UUID}")));
    applied.assert_converged();
}

#[test]
fn a_share_that_cannot_be_listed_takes_no_more_than_its_kernels_from_the_plan() {
    let host = settled_host();
    host.forbid_listing(SHARE, "Input/output error (os error 5)");
    let applied = apply(&host, FLEET, &Policy::default());
    applied.assert_did_nothing();
    assert!(!applied.outcome.residual.is_complete());
    let said = render_outcome(&applied.outcome.residual, &applied.outcome);
    assert!(said.contains("1 thing could not be seen"), "{said}");
    let applied = apply(&host, &stopped(), &Policy::default());
    assert!(applied.changes.contains(&format!("shutdown {UUID}")));
}
