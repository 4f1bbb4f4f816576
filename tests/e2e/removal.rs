//! VMs that leave the file.

use snapbox::assert_data_eq;

use crate::fleet::{CONSOLE, DISK, SHARE, VM, below_headline, recipe, second_vm, stopped_recipe};
use crate::host::TestHost;

const NO_VMS: &str = "fleet: recipe\nvms: {}\n";

#[test]
fn a_vm_that_left_the_file_stays_as_it_is_without_leave() {
    let host = TestHost::with_applied(&(stopped_recipe() + &second_vm("other-vm")));
    let definition = host.definition("other-vm");
    host.write_fleet(&stopped_recipe());
    let planned = host.planned(3);
    assert_data_eq!(
        below_headline(host.apply(), 3),
        snapbox::str![[r#"
  ! other-vm: not in the fleet file any more; removal needs --allow-removal
      -> --allow-removal=1; disks and boot share stay

No changes, 1 refused.

"#]]
    );
    // What is planned is what an apply does that asks nothing.
    assert_eq!(planned, below_headline(host.apply(), 3));
    assert_eq!(host.definition("other-vm"), definition);
    assert!(
        host.path("/var/lib/armfleet/vms/other-vm/record.json")
            .exists()
    );
}

#[test]
fn more_than_half_of_the_vms_are_removed_only_by_their_number() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write_fleet(NO_VMS);
    for leave in ["--allow-removal", "--allow-removal=0"] {
        let refused = host.armfleet(&["apply", "--auto-approve", leave]);
        assert_data_eq!(
            below_headline(refused, 3),
            snapbox::str![[r#"
  ! armhf-vm: not in the fleet file any more; 1 of this host's 1 VMs would be removed
      -> --allow-removal=1; disks and boot share stay

No changes, 1 refused.

"#]]
        );
    }
    assert_eq!(host.state(VM), "shut off");
    host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"])
        .success();
    assert_ne!(host.virsh(&["domstate", VM]).code, Some(0));
}

#[test]
fn a_removed_vm_is_stopped_by_its_power_key_and_its_disk_and_share_stay() {
    let host = TestHost::with_applied(&recipe());
    host.guest("install-first");
    host.guest("write-disk kept");
    host.write_fleet(NO_VMS);
    let removal = host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"]);
    assert_data_eq!(
        below_headline(removal, 0),
        snapbox::str![[r#"
  < stop      armhf-vm    not in the fleet file any more
  - domain    armhf-vm    disks and boot share stay

1 to remove, 1 to stop.
Interrupts: armhf-vm (removed).

3 of 3 steps done.
The host is as the fleet file says.

"#]]
    );
    assert!(host.console(CONSOLE).contains("guest: powering off\n"));
    assert_eq!(
        host.virsh(&["list", "--all", "--name"]).success().trim(),
        ""
    );
    assert_eq!(host.run("head", &["-c", "4", DISK]).success(), "kept");
    assert!(
        host.read(format!("{SHARE}/vmlinuz"))
            .starts_with("vmlinuz-")
    );
    assert!(!host.path("/var/lib/armfleet/vms/armhf-vm").exists());
    host.assert_converged();

    // It comes back with what stayed.
    host.write_fleet(&recipe());
    host.apply().success();
    host.assert_converged();
    let staged = host.read("/var/lib/armfleet/vms/armhf-vm/boot/current/pair.json");
    assert!(staged.contains("\"links\""), "{staged}");
    assert_eq!(host.run("head", &["-c", "4", DISK]).success(), "kept");
}

#[test]
fn a_vm_whose_domain_somebody_removed_by_hand_is_forgotten_or_made_again() {
    let host = TestHost::with_applied(&(stopped_recipe() + &second_vm("other-vm")));
    for name in [VM, "other-vm"] {
        host.virsh(&["undefine", name]).success();
    }
    host.write_fleet(&stopped_recipe());
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  + domain    armhf-vm    armhf, [..], 512 MiB, 1 vCPU, virtio-mmio, boots from its share (drifted)
  - record    other-vm    not in the fleet file any more, and its domain is gone

1 to create, 1 to remove.

"#]]
    );
    host.apply().success();
    host.assert_converged();
}
