//! The main job: the guest boots what it installed.

use std::path::Path;

use snapbox::assert_data_eq;

use crate::fleet::{CONSOLE, DISK, SHARE, VM, recipe};
use crate::host::{GuestFiles, TestHost};

/// A plan's text with the guest's versions by their order.
pub(crate) fn by_order(text: &str) -> String {
    let files = GuestFiles::get();
    text.replace(&files.first, "FIRST")
        .replace(&files.second, "SECOND")
}

/// A table, or any text, with the runs of spaces in it made one.
fn columns(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n");
    lines.collect()
}

/// What the guest made of a file in the share, as the mode in its extended attribute says.
fn kind_for_guest(path: &Path) -> u32 {
    let mut mode = [0; 4];
    rustix::fs::lgetxattr(path, "user.virtfs.mode", &mut mode[..]).unwrap();
    u32::from_le_bytes(mode) & 0o170_000
}

#[test]
fn the_recipes_vm_is_created_and_its_guest_sees_what_the_file_says() {
    let host = TestHost::with_fleet(&recipe());
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  + hook      /etc/libvirt/hooks/qemu.d/50-armfleet    not installed
  ~ libvirtd  reload                                   it looks for hooks only when it starts or reloads
  + share     /srv/armhf-vm-boot                       0700 [..], the guest's /boot
  + disk      /srv/armhf-vm.img                        64 MiB raw, new and empty
  + seed      armhf-vm                                 the pair to boot while the share has none
  + domain    armhf-vm                                 armhf, [..], 512 MiB, 1 vCPU, virtio-mmio, boots from its share
  ~ autostart armhf-vm                                 on: it starts with the host
  > start     armhf-vm                                 state: running

5 to create, 2 to change, 1 to start.

"#]]
    );
    assert!(
        host.apply()
            .success()
            .ends_with("\n9 of 9 steps done.\nThe host is as the fleet file says.\n")
    );
    host.assert_converged();

    let report = host.guest("report");
    for line in [
        &format!("kernel {}", GuestFiles::get().first),
        "machine armv7l",
        "initrd seed",
        "cmdline console=ttyAMA0 root=/dev/vda1",
        "cpus 1",
        "disk vda 67108864 serial armhf-vm ro 0",
        "share virtio-boot",
        "boot mounted",
    ] {
        host.assert_reported(&report, line);
    }
    assert!(host.console(CONSOLE).contains("guest: boot mounted\n"));
    assert!(
        host.virsh(&["dominfo", VM])
            .success()
            .contains("Autostart:      enable")
    );
    let mode = |path: &str| host.run("stat", &["-c", "%a %U", path]).success();
    assert_eq!(mode(SHARE), "700 libvirt-qemu\n");
    assert!(mode(DISK).starts_with("600 "));
}

#[test]
fn the_next_start_boots_what_the_guest_installed() {
    let host = TestHost::with_applied(&recipe());
    host.guest("install-first");
    let link = host.path(SHARE).join("vmlinuz");
    assert!(link.symlink_metadata().unwrap().is_file());
    assert_eq!(kind_for_guest(&link), 0o120_000);
    assert_data_eq!(
        by_order(&host.planned(0)),
        snapbox::str![[r#"
  i armhf-vm: runs FIRST, its share has another build of FIRST
      boots at its next restart

No changes.

"#]]
    );

    // A reboot of the guest ends the VM, and apply starts it with what it installed.
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  > start     armhf-vm    state: running (drifted)

1 to start.

"#]]
    );
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, "initrd installed");
    host.assert_reported(&report, &format!("kernel {}", GuestFiles::get().first));
    host.assert_converged();

    host.guest("upgrade");
    assert_data_eq!(
        by_order(&host.planned(0)),
        snapbox::str![[r#"
  i armhf-vm: runs FIRST, its share has SECOND
      boots at its next restart

No changes.

"#]]
    );
    assert_data_eq!(
        columns(&by_order(&host.armfleet(&["status"]).success())),
        snapbox::str![[r#"
VM STATE KERNEL NEXT START
armhf-vm running FIRST (on trial) SECOND
i runs FIRST, its share has SECOND; boots at its next restart

"#]]
    );

    // Any start does, also one that armfleet has no part in.
    host.shut_down();
    host.virsh(&["start", VM]).success();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", GuestFiles::get().second));
    host.assert_converged();
}

#[test]
fn an_upgrade_cut_off_boots_the_former_kernel_until_it_is_finished() {
    let (host, files) = (TestHost::with_applied(&recipe()), GuestFiles::get());
    host.guest("install-first");
    for cut in ["missing", "short"] {
        host.guest(&format!("upgrade-interrupted {cut}"));
        assert_eq!(
            host.read(format!("{SHARE}/vmlinuz")),
            format!("vmlinuz-{}", files.second)
        );
        host.virsh(&["destroy", VM]).success();
        host.apply().success();
        let report = host.guest("report");
        host.assert_reported(&report, "initrd installed");
        host.assert_reported(&report, &format!("kernel {}", files.first));
        host.assert_reported(&report, &format!("link vmlinuz vmlinuz-{}", files.second));
        host.assert_reported(
            &report,
            &format!("link vmlinuz.old vmlinuz-{}", files.first),
        );
    }
    host.guest("finish-upgrade");
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", files.second));
    host.assert_converged();
}
