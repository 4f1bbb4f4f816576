//! A kernel that does not come up gives way to the last one that did.

use crate::fleet::{JOURNAL, VM, recipe};
use crate::host::{GuestFiles, TestHost};

/// The recipe with a kernel that reboots when it panics.
fn restless_recipe() -> String {
    recipe().replace("root=/dev/vda1", "root=/dev/vda1 panic=1")
}

/// A host whose guest runs its own first kernel and has said so.
fn with_confirmed_guest(fleet: &str) -> TestHost {
    let host = TestHost::with_applied(fleet);
    host.guest("install-first");
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    host.apply().success();
    host.guest("confirm");
    host
}

fn boot(host: &TestHost, arguments: &[&str]) -> String {
    host.armfleet(&[&["boot"], arguments].concat()).success()
}

fn assert_boots(host: &TestHost, version: &str) {
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {version}"));
}

#[test]
fn a_kernel_that_panics_at_once_is_rolled_back() {
    let (host, files) = (with_confirmed_guest(&restless_recipe()), GuestFiles::get());
    host.guest("upgrade-broken panic");
    host.guest("reboot");
    // Each start may or may not still run after two seconds, but none comes up.
    for _ in 0..3 {
        host.wait_for_state(VM, "shut off");
        host.apply();
    }
    host.wait_for_state(VM, "shut off");
    host.apply().success();
    assert_boots(&host, &files.first);

    let plan = host.planned(0);
    let failed = format!(
        "{VM}: {} failed: 3 starts without a sign of life",
        files.second
    );
    assert!(plan.contains(&failed), "{plan}");
    assert!(
        plan.contains(&format!("{} boots instead", files.first)),
        "{plan}"
    );
    let status = host.armfleet(&["status"]).success();
    assert!(status.contains("failed: 3 starts"), "{status}");
    assert!(host.read(JOURNAL).contains("failed: 3 starts"));
    let list = boot(&host, &["list", VM]);
    assert!(
        list.contains("failed: 3 starts without a sign of life, booted before that"),
        "{list}"
    );
    assert!(
        list.contains("works: its guest said so, booted last"),
        "{list}"
    );

    // It stays so over further starts, until the guest repairs its kernel.
    host.shut_down();
    host.apply().success();
    assert_boots(&host, &files.first);
    host.guest("finish-upgrade");
    host.shut_down();
    host.apply().success();
    assert_boots(&host, &files.second);
}

#[test]
fn a_kernel_that_hangs_is_rolled_back_when_its_time_is_over() {
    let fleet = recipe().replace("    boot:\n", "    boot:\n      confirm_within: 10s\n");
    let (host, files) = (with_confirmed_guest(&fleet), GuestFiles::get());
    host.guest("upgrade-broken hang");
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    host.apply().success();
    std::thread::sleep(std::time::Duration::from_secs(11));
    assert_eq!(host.state(VM), "running");
    host.virsh(&["destroy", VM]).success();
    host.virsh(&["start", VM]).success();
    assert_boots(&host, &files.first);
    let plan = host.planned(0);
    assert!(
        plan.contains("failed: no sign of life within 10s"),
        "{plan}"
    );

    // Another chance is one more start of the same bytes.
    let retried = boot(&host, &["retry", VM]);
    assert!(retried.contains(&files.second), "{retried}");
    host.shut_down();
    host.virsh(&["start", VM]).success();
    std::thread::sleep(std::time::Duration::from_secs(11));
    host.virsh(&["destroy", VM]).success();
    host.apply().success();
    assert_boots(&host, &files.first);
}

#[test]
fn boot_use_changes_nothing_until_the_next_start() {
    let (host, files) = (with_confirmed_guest(&recipe()), GuestFiles::get());
    host.guest("upgrade");
    host.shut_down();
    host.apply().success();
    assert_boots(&host, &files.second);

    let boot_folder = "/var/lib/armfleet/vms/armhf-vm/boot";
    let before = host.listing(&[boot_folder]);
    let said = host.armfleet(&["boot", "use", VM, &files.first]);
    // The seed is of the same version and no longer there; what is staged is the pair that was installed.
    let said = said.success();
    assert!(said.contains("from its next start on"), "{said}");
    assert_eq!(host.listing(&[boot_folder]), before);
    assert_boots(&host, &files.second);
    let plan = host.planned(0);
    assert!(plan.contains("as somebody asked for"), "{plan}");

    // libvirt labels what it starts and takes the labels back; both ways it must find its files.
    for _ in 0..2 {
        host.shut_down();
        host.virsh(&["start", VM]).success();
        assert_boots(&host, &files.first);
        let owner = host.run(
            "stat",
            &["-L", "-c", "%U", &format!("{boot_folder}/current/vmlinuz")],
        );
        assert_eq!(owner.success(), "libvirt-qemu\n");
    }
    boot(&host, &["use", VM, "auto"]);
    host.shut_down();
    host.virsh(&["start", VM]).success();
    assert_boots(&host, &files.second);
    host.assert_converged();
}
