//! What could not be seen is never taken for absent.

use crate::harness::{VM, apply_case};
use armfleet::host::primitives::Primitives;

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
