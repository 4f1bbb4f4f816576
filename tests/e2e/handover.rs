//! The handover `link`, as the recipe has it, and the way there and back.

use std::os::unix::fs::MetadataExt;

use snapbox::assert_data_eq;

use crate::fleet::{SHARE, VM, recipe, stopped_recipe};
use crate::host::{GuestFiles, TestHost};
use crate::main_job::by_order;

fn linked(text: &str) -> String {
    text.replace("    boot:\n", "    boot:\n      handover: link\n")
}

fn inode(host: &TestHost, name: &str) -> u64 {
    let path = host.path(SHARE).join(name);
    path.symlink_metadata().unwrap().ino()
}

#[test]
fn a_vm_moves_to_links_and_back() {
    let (host, files) = (TestHost::with_applied(&recipe()), GuestFiles::get());
    host.guest("install-first");
    host.write_fleet(&linked(&recipe()));
    assert_data_eq!(
        by_order(&host.planned(2)),
        snapbox::str![[r#"
  ~ domain    armhf-vm    (file changed)
      kernel  /var/lib/armfleet/vms/armhf-vm/boot/current/vmlinuz -> /srv/.armfleet-armhf-vm-boot/vmlinuz          at next boot: the kernel is loaded when the VM starts
      initrd  /var/lib/armfleet/vms/armhf-vm/boot/current/initrd.img -> /srv/.armfleet-armhf-vm-boot/initrd.img    at next boot: the kernel is loaded when the VM starts
  i armhf-vm: handover: link boots its guest's own files, which the guest, and with it whoever runs as QEMU's user, can change after they were checked; libvirt changes their owner while it runs; without armfleet-hook, which alone can check them, it does not start
      handover: copy has none of this
  i armhf-vm: runs FIRST, its share has another build of FIRST
      boots at its next restart

1 to change.

"#]]
    );
    host.apply().success();
    host.shut_down();
    host.apply().success();

    // It boots the guest's own files, which stay the guest's.
    let report = host.guest("report");
    host.assert_reported(&report, "initrd installed");
    let own = format!("vmlinuz-{}", files.first);
    assert_eq!(
        inode(&host, "../.armfleet-armhf-vm-boot/vmlinuz"),
        inode(&host, &own)
    );
    host.assert_converged();
    let status = host.armfleet(&["status"]).success();
    assert!(!status.contains("another build"), "{status}");
    host.guest("upgrade");
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    let owner = |name: &str| host.run("stat", &["-c", "%U", &format!("{SHARE}/{name}")]);
    assert_eq!(owner(&own).success(), "libvirt-qemu\n");
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", files.second));
    let own = format!("vmlinuz-{}", files.second);
    assert_eq!(
        inode(&host, "../.armfleet-armhf-vm-boot/vmlinuz"),
        inode(&host, &own)
    );
    host.assert_converged();

    host.write_fleet(&recipe());
    assert_data_eq!(
        by_order(&host.planned(2)),
        snapbox::str![[r#"
  ~ domain    armhf-vm    (file changed)
      kernel  /srv/.armfleet-armhf-vm-boot/vmlinuz -> /var/lib/armfleet/vms/armhf-vm/boot/current/vmlinuz          at next boot: the kernel is loaded when the VM starts
      initrd  /srv/.armfleet-armhf-vm-boot/initrd.img -> /var/lib/armfleet/vms/armhf-vm/boot/current/initrd.img    at next boot: the kernel is loaded when the VM starts

1 to change.

"#]]
    );
    host.apply().success();
    host.shut_down();
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", files.second));
    host.assert_converged();
}

#[test]
fn a_removal_takes_the_links_and_leaves_what_they_are_of() {
    let stopped = linked(&stopped_recipe());
    let (host, files) = (TestHost::with_applied(&stopped), GuestFiles::get());
    let version = &files.second;
    for (from, kind) in [
        (files.kernel(version), "vmlinuz"),
        (files.initrd(version), "initrd.img"),
    ] {
        let to = host.path(SHARE).join(format!("{kind}-{version}"));
        std::fs::copy(from, &to).unwrap();
        std::os::unix::fs::chown(to, Some(64055), Some(64055)).unwrap();
    }
    host.virsh(&["start", VM]).success();
    host.virsh(&["destroy", VM]).success();
    let own = format!("vmlinuz-{version}");
    let links = host.path("/srv/.armfleet-armhf-vm-boot");
    assert_eq!(
        inode(&host, "../.armfleet-armhf-vm-boot/vmlinuz"),
        inode(&host, &own)
    );
    host.write_fleet("fleet: recipe\nvms: {}\n");
    host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"])
        .success();
    assert!(!links.exists());
    let left = host.path(SHARE).join(own);
    assert_eq!(left.metadata().unwrap().nlink(), 1);
    assert_eq!(
        std::fs::read(left).unwrap(),
        std::fs::read(files.kernel(version)).unwrap()
    );
}

/// On PCI Debian's smaller armhf kernel finds nothing, which no other message would tell.
#[test]
fn a_kernel_that_finds_nothing_on_pci_is_noticed() {
    let pci = recipe().replace(
        "    boot:\n",
        "    transport: pci\n    state: stopped\n    boot:\n",
    );
    let host = TestHost::with_fleet(&pci);
    assert_data_eq!(
        by_order(&host.planned(2)),
        snapbox::str![[r#"
  + hook      /etc/libvirt/hooks/qemu.d/50-armfleet    not installed
  ~ libvirtd  reload                                   it looks for hooks only when it starts or reloads
  + share     /srv/armhf-vm-boot                       0700 64055:64055, the guest's /boot
  + disk      /srv/armhf-vm.img                        64 MiB raw, new and empty
  + seed      armhf-vm                                 the pair to boot while the share has none
  + domain    armhf-vm                                 armhf, emulated, 512 MiB, 1 vCPU, virtio on PCI, boots from its share
  i armhf-vm: FIRST has no LPAE and finds nothing on PCI: no disk, no /boot
      install linux-image-armmp-lpae in the guest, or set transport: mmio

5 to create, 1 to change.

"#]]
    );
    host.apply().success();
    let xml = host.virsh(&["dumpxml", "--inactive", VM]).success();
    assert!(
        xml.contains("<address type='pci'") && !xml.contains("virtio-mmio"),
        "{xml}"
    );
    assert_data_eq!(
        by_order(&host.planned(0)),
        snapbox::str![[r#"
  i armhf-vm: FIRST has no LPAE and finds nothing on PCI: no disk, no /boot
      install linux-image-armmp-lpae in the guest, or move its devices to virtio-mmio with virsh edit

No changes.

"#]]
    );
}
