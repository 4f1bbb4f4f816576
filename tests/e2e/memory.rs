//! Where a guest's memory comes from.

use snapbox::assert_data_eq;

use crate::fleet::{VM, recipe};
use crate::host::{TestHost, script};

fn on_huge_pages() -> String {
    recipe().replace("    boot:\n", "    memory_backing: hugepages\n    boot:\n")
}

fn definition(host: &TestHost) -> String {
    host.virsh(&["dumpxml", "--inactive", VM]).success()
}

#[test]
fn a_running_vm_gets_huge_pages_at_its_next_boot_and_gives_them_back() {
    let host = TestHost::with_applied(&recipe());
    let before = definition(&host);
    host.write_fleet(&on_huge_pages());
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ domain    armhf-vm    (file changed)
      memory_backing  + hugepages    at next boot: QEMU allocates the guest's memory when it starts

1 to change.

"#]]
    );
    host.apply().success();
    let with = definition(&host);
    let element = "  <memoryBacking>\n    <hugepages/>\n  </memoryBacking>\n";
    assert_eq!(with.replace(element, ""), before);
    assert_ne!(with, before);
    // Its process has not got them, which is not a change to make.
    assert_data_eq!(
        host.planned(0),
        snapbox::str![[r#"
  i armhf-vm: runs with memory_backing nothing, is defined with hugepages
      from its next boot on

No changes.

"#]]
    );
    host.write_fleet(&recipe());
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ domain    armhf-vm    (file changed)
      memory_backing  - hugepages

1 to change.

"#]]
    );
    host.apply().success();
    assert_eq!(definition(&host), before);
    host.assert_converged();

    // QEMU takes the definition, and lacks nothing but the pages, unless the host has some.
    host.define(&with);
    host.shut_down();
    let mount = "mkdir /run/hugepages && mount -t hugetlbfs none /run/hugepages";
    host.run("sh", &["-c", mount]).success();
    host.run(script("libvirt"), &["restart"]).success();
    let started = host.virsh(&["start", VM]);
    let lacks =
        "qemu-system-arm: unable to map backing store for guest RAM: Cannot allocate memory";
    assert!(
        started.code == Some(0) || started.stderr.contains(lacks),
        "{started:?}"
    );
    let planned = host.planned(2);
    assert!(
        planned.contains("(drifted)\n      memory_backing  - hugepages\n"),
        "{planned}"
    );
    host.apply().success();
    assert_eq!(definition(&host), before);
}
