//! Installing: once, on an empty disk; what was installed is never installed over, whatever fails on the way.

use crate::faults::Disturbance;
use crate::harness::case::Case;
use crate::harness::host_of;
use crate::harness::scenario::install_kernel;
use crate::harness::{DATA, IMAGE, SHARE, UUID, VM, apply, apply_case, perform_in_order, text};
use armfleet::boot::INSTALLED;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Reads;
use armfleet::inventory::{Look, RunState};
use armfleet::plan::{Ended, Policy};

const VERSION: &str = "6.1.0-48-armmp";

fn fleet() -> String {
    Case::new("install").fleet
}

/// What ends an installation: a kernel and the mark in the share, then the disk; and the VM goes off.
fn complete(host: &Memory) {
    install_kernel(host, SHARE, VERSION);
    host.put_guest_file(SHARE, INSTALLED, VERSION).unwrap();
    host.write_image(IMAGE, DATA).unwrap();
    host.destroy(VM).unwrap();
}

/// A host whose VM runs what it installed.
fn settled() -> Memory {
    let host = host_of("installed");
    perform_in_order(&host, &fleet());
    host
}

fn runs(host: &Memory) -> bool {
    let domain = host.uuid_of(VM).and_then(|uuid| host.domain(&uuid));
    domain.is_ok_and(|domain| RunState::read(domain.state, domain.reason).has_process())
}

fn holds_data(host: &Memory) -> bool {
    host.bytes(IMAGE)
        .is_some_and(|bytes| bytes == DATA.as_bytes())
}

#[track_caller]
fn assert_refused(case: &str, why: &str) {
    let (host, applied) = apply_case(case);
    assert!(applied.refused().contains(why), "{}", applied.refused());
    assert!(!runs(&host) && holds_data(&host));
}

#[test]
fn an_empty_disk_is_installed_on_and_the_vm_then_moved_to_its_kernel() {
    let (host, applied) = apply_case("install");
    applied.assert_converged();
    assert!(runs(&host));
    let (_, applied) = apply_case("installing");
    applied.assert_did_nothing();
    let (host, applied) = apply_case("installed");
    applied.assert_converged();
    assert!(runs(&host) && holds_data(&host));
}

#[test]
fn an_installation_that_left_no_kernel_is_not_begun_again() {
    assert_refused("installation-failed", "ended without a kernel");
    assert_refused(
        "installed-without-initrd",
        "there is no kernel with its initrd",
    );
    // Its late command was cut short: what lies in the share does not count.
    assert_refused("installation-cut-short", "ended without a kernel");
}

#[test]
fn a_disk_of_which_nothing_is_known_is_not_installed_on() {
    let unknown = "no record says that armfleet made it";
    assert_refused("install-on-a-foreign-disk", unknown);
    // The record was lost, and the share with it.
    assert_refused("installed-and-forgotten", "that disk is not empty");
}

#[test]
fn who_asks_for_it_has_the_disk_erased() {
    let (host, applied) = apply_case("reinstall");
    assert!(applied.outcome.all_done());
    assert!(runs(&host) && !holds_data(&host));
    let marked = host.look(&format!("{SHARE}/{INSTALLED}"), Look::Stat);
    assert!(marked.is_absent());

    let running = Case::new("reinstall").plan(&settled());
    let why = "not installed again while it runs";
    assert!(text(&running).contains(why), "{}", text(&running));
}

#[test]
fn files_are_not_added_behind_a_ramdisk_for_u_boot() {
    let host = host_of("install");
    let path = "/srv/seed/initrd.img-6.1.0-48-armmp";
    let ramdisk = host.bytes(path).unwrap();
    let mut header = [0; 64];
    header[..4].copy_from_slice(b"\x27\x05\x19\x56");
    let size = u32::try_from(ramdisk.len()).unwrap();
    header[12..16].copy_from_slice(&size.to_be_bytes());
    header[30] = 3;
    host.put_file(path, [&header[..], &ramdisk].concat())
        .unwrap();
    let applied = apply(&host, &fleet(), &Policy::default());
    let failed = applied
        .outcome
        .ended
        .values()
        .find_map(|ended| match ended {
            Ended::Failed(error) => Some(error),
            _ => None,
        });
    let failed = failed.unwrap();
    let remedy = failed.remedy.as_deref().unwrap();
    assert!(remedy.contains("without U-Boot's header"), "{remedy}");
}

/// What comes after a first apply that was disturbed: the installer ends well, and the VM moves to its kernel.
fn assert_installs(host: &Memory, after: &str) {
    for _ in 0..3 {
        if runs(host) {
            complete(host);
        }
        let before = holds_data(host);
        let applied = apply(host, &fleet(), &Policy::default());
        assert!(applied.outcome.all_done(), "after {after}");
        assert_eq!(applied.refused(), "", "after {after}");
        assert!(!before || holds_data(host), "installed over after {after}");
        if before {
            let left = &applied.outcome.residual;
            assert!(
                left.is_empty() && runs(host),
                "after {after}:\n{}",
                text(left)
            );
            return;
        }
    }
    panic!("not installed after {after}");
}

#[test]
fn a_first_apply_that_installs_survives_everything() {
    Disturbance::new(80, host_of("install"), fleet()).survives(&assert_installs);
}

#[test]
fn the_move_to_its_own_kernel_survives_everything() {
    Disturbance::new(50, host_of("installed"), fleet()).survives(&assert_installs);
}

/// Asked again, it is done; not asked again, nothing that was installed since is lost.
#[test]
fn another_installation_survives_everything() {
    let case = Case::new("reinstall");
    let mut disturbance = Disturbance::new(60, case.host(), case.fleet);
    disturbance.policy = case.policy;
    let reinstall = disturbance.policy.clone();
    disturbance.survives(&|host, after| {
        if !runs(host) {
            let applied = apply(host, &fleet(), &reinstall);
            assert!(applied.outcome.all_done(), "after {after}");
        }
        assert!(runs(host) && !holds_data(host), "after {after}");
        assert_eq!(host.uuid_of(VM).unwrap(), UUID);
        assert_installs(host, after);
    });
}
