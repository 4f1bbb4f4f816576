//! The hook: there, ours, executable, and known to the daemon before anything starts.

use crate::harness::{FLEET, UUID, apply, apply_case, new_host, settled_host};
use armfleet::host::primitives::Owner;
use armfleet::plan::Ended;
use std::process::Command;

const SHIM: &str = "/etc/libvirt/hooks/qemu.d/50-armfleet";
const ROOT: Owner = Owner { uid: 0, gid: 0 };
const REPAIRED: [&str; 3] = [
    "write_file /etc/libvirt/hooks/qemu.d/50-armfleet",
    "reload_daemon /run/libvirtd.pid",
    "write_file /run/armfleet/reloaded",
];

#[test]
fn a_removed_hook_comes_back() {
    let (_, applied) = apply_case("hook-gone");
    applied.assert_did(&REPAIRED);
}

#[test]
fn a_changed_hook_is_written_again() {
    let (host, applied) = apply_case("hook-changed");
    applied.assert_did(&REPAIRED);
    assert_eq!(host.bytes(SHIM).unwrap(), armfleet::boot::SHIM.as_bytes());
}

#[test]
fn a_hook_that_cannot_be_executed_is_made_executable() {
    let (_, applied) = apply_case("hook-not-executable");
    applied.assert_did(&REPAIRED);
}

#[test]
fn a_hook_of_somebody_else_becomes_roots() {
    let (_, applied) = apply_case("hook-owned-by-a-user");
    applied.assert_did(&REPAIRED);
}

#[test]
fn what_is_no_file_in_the_hooks_place_is_left_alone() {
    let (_, applied) = apply_case("hook-is-a-folder");
    applied.assert_did_nothing();
    assert_eq!(applied.outcome.residual.refusals.len(), 2);
}

#[test]
fn other_hooks_are_left_alone() {
    let host = settled_host();
    let others = [
        "/etc/libvirt/hooks/qemu",
        "/etc/libvirt/hooks/qemu.d/10-other",
    ];
    for other in others {
        host.put_file(other, "#!/bin/sh\n").unwrap();
    }
    host.remove(SHIM);
    apply(&host, FLEET, &Default::default()).assert_did(&REPAIRED);
    for other in others {
        assert_eq!(host.bytes(other).unwrap(), b"#!/bin/sh\n");
    }
}

#[test]
fn without_its_program_nothing_is_started() {
    for case in ["hook-program-missing", "hook-program-not-executable"] {
        let (_, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert_eq!(applied.outcome.residual.refusals.len(), 2, "{case}");
    }
}

#[test]
fn a_daemon_that_restarted_knows_the_hook() {
    let (_, applied) = apply_case("daemon-restarted");
    applied.assert_did_nothing();
}

#[test]
fn a_daemon_that_cannot_be_told_is_refused() {
    let (_, applied) = apply_case("daemon-without-a-pid-file");
    assert_eq!(applied.changes[1..], [REPAIRED[0]]);
    assert_eq!(applied.outcome.residual.refusals.len(), 1);
}

/// A daemon drops a request to reload in the first moments of its life, and nobody tells; the start shows it.
#[test]
fn a_reload_that_was_dropped_is_made_again() {
    let host = new_host();
    host.drop_next_reload();
    let applied = apply(&host, FLEET, &Default::default());
    let failed: Vec<_> = applied
        .outcome
        .ended
        .iter()
        .filter(|(_, ended)| matches!(ended, Ended::Failed(_)))
        .map(|(id, _)| id.to_string())
        .collect();
    assert_eq!(failed, ["start/armhf-vm"]);
    apply(&host, FLEET, &Default::default()).assert_did(&[
        REPAIRED[1],
        REPAIRED[2],
        &format!("start {UUID}"),
    ]);
}

/// The shim of version 0.1.0, as it is on a host that this version applied it to.
fn earlier_shim() -> String {
    let archive = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/releases/0.1.0/tree.tar.gz"
    );
    let member = SHIM.trim_start_matches('/');
    let output = Command::new("tar")
        .args(["-xzOf", archive, member])
        .output()
        .unwrap();
    assert!(!output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_earlier_versions_hook_is_left_until_there_is_something_else_to_do() {
    let host = settled_host();
    host.put_file(SHIM, earlier_shim()).unwrap();
    host.own(SHIM, 0o755, ROOT).unwrap();
    host.restart_daemon();
    apply(&host, FLEET, &Default::default()).assert_did_nothing();
    assert_eq!(host.bytes(SHIM).unwrap(), earlier_shim().as_bytes());
    let changed = FLEET.replace("512MiB", "640MiB");
    assert_ne!(changed, FLEET);
    let applied = apply(&host, &changed, &Default::default());
    // The VM's own steps do not wait for it.
    let mut repaired = applied.changes.clone();
    repaired.retain(|change| REPAIRED.contains(&change.as_str()));
    assert_eq!(repaired, REPAIRED);
    assert!(applied.outcome.residual.steps.is_empty());
    assert_eq!(host.bytes(SHIM).unwrap(), armfleet::boot::SHIM.as_bytes());
}

/// libvirtd has known of the old file since it came up; whether it knows of the new one cannot be seen.
#[test]
fn a_hook_that_is_written_again_is_followed_by_a_reload() {
    let (_, applied) = apply_case("hook-changed-before-a-restart");
    applied.assert_did(&REPAIRED);
}
