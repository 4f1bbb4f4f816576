//! Installing: once, on an empty disk; what was installed is never installed over, whatever fails on the way.

use crate::bed::{
    DATA, FLEET, IMAGE, SHARE, UUID, VM, apply, found_on, new_host, perform_in_order, plan, text,
};
use crate::boot::install as install_kernel;
use crate::case::policy;
use crate::faults::Scenario;
use armfleet::boot::INSTALLED;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::inventory::{Look, RunState};
use armfleet::plan::Policy;

const VERSION: &str = "6.1.0-48-armmp";

fn fleet() -> String {
    let seed = FLEET.lines().find(|line| line.contains("seed:")).unwrap();
    let install = "    install:
      kernel: /srv/seed/vmlinuz-6.1.0-48-armmp
      initrd: /srv/seed/initrd.img-6.1.0-48-armmp
      cmdline: console=ttyAMA0 auto=true
      files: { /preseed.cfg: /srv/seed/preseed.cfg }
";
    FLEET.replace(&format!("{seed}\n"), "") + install
}

fn host_with_installer() -> Memory {
    let host = new_host();
    host.put_file("/srv/seed/preseed.cfg", "d-i …").unwrap();
    host
}

/// A host whose VM installs itself.
fn installing() -> Memory {
    let host = host_with_installer();
    perform_in_order(&host, &fleet());
    host
}

/// Its installer writes to the disk, and the VM goes off.
fn end_without_a_kernel(host: &Memory) {
    host.write_image(IMAGE, DATA).unwrap();
    host.destroy(VM).unwrap();
}

/// The same, but first its late command leaves a kernel in the share, and its mark after that.
fn complete(host: &Memory) {
    install_kernel(host, VERSION);
    host.put_guest_file(SHARE, INSTALLED, VERSION).unwrap();
    end_without_a_kernel(host);
}

fn installed() -> Memory {
    let host = installing();
    complete(&host);
    host
}

/// A host whose VM runs what it installed.
fn settled() -> Memory {
    let host = installed();
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
fn assert_refused(case: &str, host: Memory, why: &str) {
    let (host, applied) = found_on(host, case, None, &fleet());
    assert!(applied.refused().contains(why), "{}", applied.refused());
    assert!(!runs(&host) && holds_data(&host));
}

#[test]
fn an_empty_disk_is_installed_on_and_the_vm_then_moved_to_its_kernel() {
    let (host, applied) = found_on(host_with_installer(), "install", None, &fleet());
    applied.assert_converged();
    assert!(runs(&host));
    let (_, applied) = found_on(installing(), "installing", None, &fleet());
    applied.assert_did_nothing();
    let (host, applied) = found_on(installed(), "installed", None, &fleet());
    applied.assert_converged();
    assert!(runs(&host) && holds_data(&host));
}

#[test]
fn an_installation_that_left_no_kernel_is_not_begun_again() {
    let failed = installing();
    end_without_a_kernel(&failed);
    assert_refused("installation-failed", failed, "ended without a kernel");
    let incomplete = installing();
    host_without_initrd(&incomplete);
    assert_refused(
        "installed-without-initrd",
        incomplete,
        "there is no kernel with its initrd",
    );
    // Its late command was cut short: what lies in the share does not count.
    let cut_short = installing();
    install_kernel(&cut_short, VERSION);
    end_without_a_kernel(&cut_short);
    assert_refused(
        "installation-cut-short",
        cut_short,
        "ended without a kernel",
    );
}

fn host_without_initrd(host: &Memory) {
    complete(host);
    host.remove_file(&format!("{SHARE}/initrd.img-{VERSION}"))
        .unwrap();
}

#[test]
fn a_disk_of_which_nothing_is_known_is_not_installed_on() {
    let host = host_with_installer();
    host.create_image(IMAGE, 8 << 30).unwrap();
    host.write_image(IMAGE, DATA).unwrap();
    assert_refused(
        "install-on-a-foreign-disk",
        host,
        "no record says that armfleet made it",
    );
    // The record was lost, and the share with it.
    let lost = installed();
    lost.remove("/var/lib/armfleet/vms/armhf-vm");
    lost.remove(SHARE);
    assert_refused("installed-and-forgotten", lost, "that disk is not empty");
}

#[test]
fn who_asks_for_it_has_the_disk_erased() {
    let host = settled();
    host.destroy(VM).unwrap();
    let reinstall = Some("--reinstall armhf-vm");
    let (host, applied) = found_on(host, "reinstall", reinstall, &fleet());
    assert!(applied.outcome.all_done());
    assert!(runs(&host) && !holds_data(&host));
    let marked = host.look(&format!("{SHARE}/{INSTALLED}"), Look::Stat);
    assert!(marked.is_absent());

    let running = plan(&settled(), &fleet(), &policy(reinstall));
    let why = "not installed again while it runs";
    assert!(text(&running).contains(why), "{}", text(&running));
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
    Scenario::new(80, host_with_installer(), fleet()).survives(&assert_installs);
}

#[test]
fn the_move_to_its_own_kernel_survives_everything() {
    Scenario::new(50, installed(), fleet()).survives(&assert_installs);
}

/// Asked again, it is done; not asked again, nothing that was installed since is lost.
#[test]
fn another_installation_survives_everything() {
    let host = settled();
    host.destroy(VM).unwrap();
    let mut scenario = Scenario::new(60, host, fleet());
    scenario.policy = policy(Some("--reinstall armhf-vm"));
    let reinstall = scenario.policy.clone();
    scenario.survives(&|host, after| {
        if !runs(host) {
            let applied = apply(host, &fleet(), &reinstall);
            assert!(applied.outcome.all_done(), "after {after}");
        }
        assert!(runs(host) && !holds_data(host), "after {after}");
        assert_eq!(host.uuid_of(VM).unwrap(), UUID);
        assert_installs(host, after);
    });
}
