//! Scratch disks: empty at each start, whatever the guest wrote, and nothing else is erased.

use snapbox::assert_data_eq;
use std::os::unix::fs::MetadataExt as _;

use crate::fleet::{VM, recipe};
use crate::host::TestHost;

const RAW: &str = "/srv/scratch.img";
const FRESH: &str = "cache: unsafe, fresh: each-start";

fn with_scratch(raw: &str) -> String {
    let scratch = format!(
        "[{{ path: \"/srv/{{name}}.img\", size: 64MiB }}, {{ path: {RAW}, {raw} }}, \
         {{ path: /srv/more.qcow2, size: 1GiB, {FRESH} }}, {{ path: /srv/over.qcow2, backing: {{ path: /srv/base.img }}, {FRESH} }}]"
    );
    let text = recipe().replace("[{ path: \"/srv/{name}.img\", size: 64MiB }]", &scratch);
    assert_ne!(text, recipe());
    text
}

/// A host with the base image that the last disk lies over.
fn prepared() -> TestHost {
    let host = TestHost::with_fleet(&with_scratch(&format!("size: 32MiB, {FRESH}")));
    let base = "truncate -s 4M /srv/base.img && echo base image | dd of=/srv/base.img bs=512 seek=1 conv=notrunc status=none";
    host.run("sh", &["-c", base]).success();
    host
}

/// Has the guest write to its disks, as far in as both reach.
fn write(host: &TestHost, disks: &[&str]) {
    for disk in disks {
        host.guest(&format!(
            "run echo written > /tmp/t && dd if=/tmp/t of=/dev/{disk} bs=512 seek=2000 conv=notrunc,sync && sync"
        ));
    }
}

/// Whether a disk has what was written.
fn has(host: &TestHost, disk: &str) -> bool {
    let read = host.guest(&format!(
        "run dd if=/dev/{disk} bs=512 skip=2000 count=1 | head -n 1"
    ));
    read.contains("written")
}

fn sees(host: &TestHost, disk: &str) {
    let report = host.guest("report");
    let line = format!("guest: disk {disk}");
    assert!(report.contains(&line), "{line} in\n{report}");
}

fn boot_again(host: &TestHost) {
    host.shut_down();
    host.apply().success();
}

/// Whether nothing is to be done about a VM that is paused.
fn assert_no_changes(host: &TestHost) {
    let planned = host.planned(0);
    assert!(planned.ends_with("No changes.\n"), "{planned}");
}

/// Starts it as far as the hook and QEMU go.
fn start_paused(host: &TestHost) {
    host.virsh(&["destroy", VM]).success();
    host.virsh(&["start", "--paused", VM]).success();
}

#[test]
fn a_scratch_disk_is_empty_at_each_start_and_the_system_disk_keeps_its_bytes() {
    let host = prepared();
    assert!(
        host.planned(2)
            .contains("32 MiB raw, new and empty, and again at each start\n"),
        "{}",
        host.planned(2)
    );
    host.apply().success();
    host.assert_converged();
    sees(&host, "vdb 33554432 serial scratch ro 0");
    sees(&host, "vdd 4194304 serial over ro 0");
    write(&host, &["vda", "vdb", "vdc", "vdd"]);
    let inode = || host.path(RAW).metadata().unwrap().ino();
    let first = inode();
    assert!(
        ["vda", "vdb", "vdc", "vdd"]
            .iter()
            .all(|disk| has(&host, disk))
    );

    boot_again(&host);
    assert!(has(&host, "vda"));
    assert!(!["vdb", "vdc", "vdd"].iter().any(|disk| has(&host, disk)));
    // What lies over a base image has that again.
    let below = host.guest("run dd if=/dev/vdd bs=512 skip=1 count=1 | head -n 1");
    assert!(below.contains("base image"), "{below}");
    assert_ne!(inode(), first);
    host.assert_converged();
    write(&host, &["vdb"]);

    // Another size, also a smaller one, is that of the next disk; and what is not there any more is made.
    host.write_fleet(&with_scratch(&format!("size: 16MiB, {FRESH}")));
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ record    armhf-vm    for the hook and later plans
      disk scratch size  32 MiB -> 16 MiB    at next boot: the hook makes the disk anew before a start

1 to change.

"#]]
    );
    host.apply().success();
    sees(&host, "vdb 33554432 serial scratch ro 0");
    assert_data_eq!(
        host.planned(0),
        snapbox::str![[r#"
  i armhf-vm: runs with disk scratch size 32 MiB, is defined with 16 MiB
      from its next boot on

No changes.

"#]]
    );
    host.shut_down();
    std::fs::remove_file(host.path(RAW)).unwrap();
    host.virsh(&["start", VM]).success();
    sees(&host, "vdb 16777216 serial scratch ro 0");
    host.assert_converged();

    // Kept from now on.
    host.write_fleet(&with_scratch("size: 16MiB, cache: unsafe"));
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ record    armhf-vm    for the hook and later plans
      disk scratch fresh  - each-start

1 to change.

"#]]
    );
    host.apply().success();
    let last = inode();
    start_paused(&host);
    assert_eq!(inode(), last);
    assert_no_changes(&host);

    // And not erased in silence.
    host.write(RAW, vec![1; 16 << 20]);
    host.write_fleet(&with_scratch(&format!("size: 16MiB, {FRESH}")));
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: its disk /srv/scratch.img holds data that fresh: each-start would erase at its next start
      -> give the disk another path, or armfleet apply --allow-replace armhf-vm to lose that data

No changes, 1 refused.

"#]]
    );
    host.armfleet(&["apply", "--auto-approve", "--allow-replace", VM])
        .success();
    assert_no_changes(&host);
    start_paused(&host);
    assert_ne!(inode(), last);
    assert_eq!(host.path(RAW).metadata().unwrap().blocks(), 0);
    assert_no_changes(&host);
}

#[test]
fn a_restored_vm_keeps_its_scratch_disk_and_a_foreign_file_keeps_the_vm_from_starting() {
    let host = prepared();
    host.apply().success();
    // Before the guest runs, nothing of its share is in use, which would prevent a save.
    start_paused(&host);
    host.virsh(&["managedsave", VM]).success();
    let inode = || host.path(RAW).metadata().unwrap().ino();
    let saved = inode();
    host.virsh(&["start", VM]).success();
    assert_eq!(inode(), saved);
    assert_no_changes(&host);
    host.virsh(&["destroy", VM]).success();

    std::fs::remove_file(host.path(RAW)).unwrap();
    host.write(RAW, "precious");
    let start = host.virsh(&["start", VM]);
    assert_eq!(start.code, Some(1));
    for said in [
        "armfleet: armhf-vm cannot start: /srv/scratch.img is not the scratch disk that armfleet made there, and is not erased\n",
        "To do: move /srv/scratch.img away and start the VM again, or run `armfleet apply --allow-replace armhf-vm` ",
    ] {
        assert!(start.stderr.contains(said), "{}", start.stderr);
    }
    assert_eq!(host.read(RAW), "precious");
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: its disk /srv/scratch.img holds data that fresh: each-start would erase at its next start
      -> give the disk another path, or armfleet apply --allow-replace armhf-vm to lose that data

No changes, 1 refused.

"#]]
    );
}
