//! Which kernel boots: the seed first, then what the guest installed.

use crate::harness::case::Case;
use crate::harness::scenario::install_kernel;
use crate::harness::{FLEET, SHARE, UUID, VM, apply, apply_case, new_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives as _;
use armfleet::paths;

fn restart(host: &Memory) {
    host.destroy(VM).unwrap();
    apply(host, FLEET, &Default::default()).assert_did(&[&format!("start {UUID}")]);
}

fn booted(host: &Memory) -> String {
    let note = host
        .bytes("/var/lib/armfleet/vms/armhf-vm/boot/current/pair.json")
        .unwrap();
    let note: serde_json::Value = serde_json::from_slice(&note).unwrap();
    format!(
        "{} {}",
        note["version"].as_str().unwrap(),
        note["source"].as_str().unwrap()
    )
}

#[test]
fn a_new_kernel_in_the_share_waits_for_the_next_start() {
    let (host, applied) = apply_case("new-kernel");
    applied.assert_did_nothing();
    assert_eq!(booted(&host), "6.1.0-48-armmp seed");
    restart(&host);
    assert_eq!(booted(&host), "6.1.0-50-armmp links");
}

#[test]
fn a_kernel_that_was_started_is_no_notice() {
    let (host, applied) = apply_case("new-kernel-runs");
    applied.assert_did_nothing();
    assert_eq!(applied.outcome.residual.notices.len(), 0);
    assert_eq!(booted(&host), "6.1.0-50-armmp links");
}

#[test]
fn an_upgrade_cut_short_boots_the_old_pair_and_says_so() {
    let (host, applied) = apply_case("upgrade-cut-short");
    applied.assert_did_nothing();
    assert_eq!(booted(&host), "6.1.0-48-armmp old-links");
    assert_eq!(applied.outcome.residual.notices.len(), 1);
}

#[test]
fn without_any_pair_nothing_is_started() {
    let (host, applied) = apply_case("no-kernel");
    assert_eq!(applied.outcome.residual.refusals.len(), 1);
    assert!(applied.outcome.all_done());
    install_kernel(&host, SHARE, "6.1.0-50-armmp");
    apply(&host, &Case::new("no-kernel").fleet, &Default::default())
        .assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_changed_seed_is_staged() {
    let (_, applied) = apply_case("seed-changed");
    let seed = |file: &str| format!("/var/lib/armfleet/vms/armhf-vm/boot/seed/{file}");
    applied.assert_did(&[
        &format!("remove_file {}", seed("seed.json")),
        &format!("copy_file {}", seed("vmlinuz")),
        &format!("copy_file {}", seed("initrd.img")),
        &format!("write_file {}", seed("seed.json")),
    ]);
}

#[test]
fn a_seed_that_is_gone_was_staged() {
    let (host, applied) = apply_case("seed-gone");
    applied.assert_did_nothing();
    restart(&host);
}

#[test]
fn a_seed_that_was_never_there_is_refused() {
    let (_, applied) = apply_case("seed-missing");
    assert_eq!(
        applied.refused(),
        ["vmlinuz", "initrd.img"]
            .map(|name| format!("{VM}: its seed /srv/seed/{name}-6.1.0-48-armmp is not there\n"))
            .concat()
    );
}

/// As the real hook does it (`tests/hook/linked.rs`).
#[test]
fn what_was_beside_a_former_share_goes_at_the_first_start_elsewhere() {
    const OTHER: &str = "/srv/other-boot";
    let linked = FLEET.replace("    boot:\n", "    boot:\n      handover: link\n");
    let host = new_host();
    apply(&host, &linked, &Default::default());
    let beside = |share: &str| {
        let folder = paths::beside(&share.parse().unwrap());
        host.bytes(&format!("{folder}/vmlinuz")).is_some()
    };
    assert!(beside(SHARE));
    let noted = || host.bytes(&paths::linked(&VM.parse().unwrap()));
    assert_eq!(noted(), Some(format!("{SHARE}\n").into_bytes()));

    let moved = linked
        .replace(SHARE, OTHER)
        .replace("/srv/{name}-boot", OTHER);
    host.make_folder(OTHER, 0o700, None).unwrap();
    install_kernel(&host, OTHER, "6.1.0-50-armmp");
    apply(&host, &moved, &Default::default());
    assert!(beside(SHARE), "it runs from there");
    host.destroy(VM).unwrap();
    apply(&host, &moved, &Default::default());
    assert!(beside(OTHER) && !beside(SHARE));
    assert_eq!(noted(), Some(format!("{OTHER}\n").into_bytes()));
}
