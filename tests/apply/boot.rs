//! Which kernel boots: the seed first, then what the guest installed.

use crate::bed::{FLEET, SHARE, UUID, VM, apply, found, new_host};
use armfleet::host::memory::Memory;

/// A guest installs a kernel as Debian does, its initrd being made last.
pub(crate) fn install(host: &Memory, version: &str) {
    for name in ["vmlinuz", "initrd.img"] {
        let file = format!("{name}-{version}");
        host.put_guest_file(SHARE, &file, &file).unwrap();
        if let Some(old) = host.bytes(&format!("{SHARE}/{name}")) {
            let old = String::from_utf8(old).unwrap();
            host.put_guest_link(SHARE, &format!("{name}.old"), &old)
                .unwrap();
        }
        host.put_guest_link(SHARE, name, &file).unwrap();
    }
}

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
    let (host, applied) = found("new-kernel", FLEET, |host| install(host, "6.1.0-50-armmp"));
    applied.assert_did_nothing();
    assert_eq!(booted(&host), "6.1.0-48-armmp seed");
    restart(&host);
    assert_eq!(booted(&host), "6.1.0-50-armmp links");
}

#[test]
fn a_kernel_that_was_started_is_no_notice() {
    let (host, applied) = found("new-kernel-runs", FLEET, |host| {
        install(host, "6.1.0-50-armmp");
        restart(host);
    });
    applied.assert_did_nothing();
    assert_eq!(applied.outcome.residual.notices.len(), 0);
    assert_eq!(booted(&host), "6.1.0-50-armmp links");
}

#[test]
fn an_upgrade_cut_short_boots_the_old_pair_and_says_so() {
    let (host, applied) = found("upgrade-cut-short", FLEET, |host| {
        install(host, "6.1.0-48-armmp");
        install(host, "6.1.0-50-armmp");
        host.remove(&format!("{SHARE}/initrd.img-6.1.0-50-armmp"));
        restart(host);
    });
    applied.assert_did_nothing();
    assert_eq!(booted(&host), "6.1.0-48-armmp old-links");
    assert_eq!(applied.outcome.residual.notices.len(), 1);
}

#[test]
fn without_any_pair_nothing_is_started() {
    let fleet = FLEET.replace(
        "      seed: { kernel: /srv/seed/vmlinuz-6.1.0-48-armmp, initrd: /srv/seed/initrd.img-6.1.0-48-armmp }\n",
        "",
    );
    let (host, applied) = crate::bed::found_on(new_host(), "no-kernel", None, &fleet);
    assert_eq!(applied.outcome.residual.refusals.len(), 1);
    assert!(applied.outcome.all_done());
    install(&host, "6.1.0-50-armmp");
    apply(&host, &fleet, &Default::default()).assert_did(&[&format!("start {UUID}")]);
}

#[test]
fn a_changed_seed_is_staged() {
    let (_, applied) = found("seed-changed", FLEET, |host| {
        host.put_file("/srv/seed/vmlinuz-6.1.0-48-armmp", "another")
            .unwrap();
    });
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
    let (host, applied) = found("seed-gone", FLEET, |host| host.remove("/srv/seed"));
    applied.assert_did_nothing();
    restart(&host);
}

#[test]
fn a_seed_that_was_never_there_is_refused() {
    let host = new_host();
    host.remove("/srv/seed");
    let (_, applied) = crate::bed::found_on(host, "seed-missing", None, FLEET);
    assert_eq!(
        applied.refused(),
        format!("{VM}: its seed /srv/seed/vmlinuz-6.1.0-48-armmp is not there\n")
    );
}
