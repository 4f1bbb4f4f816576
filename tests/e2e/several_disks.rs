//! Several disks: what their guest calls them, and that changes of the list rename nobody.

use snapbox::assert_data_eq;

use crate::fleet::{VM, recipe};
use crate::host::TestHost;

const ROOT: &str = "{ path: /srv/root.img, size: 64MiB }";
const DATA: &str =
    "{ path: /srv/data.img, size: 32MiB, serial: data-1, readonly: true, cache: none, io: native }";
const SCRATCH: &str = "{ path: /srv/scratch.img, size: 16MiB, cache: unsafe, discard: unmap }";
const NEW: &str = "{ path: /srv/new.img, size: 8MiB }";

fn with_disks(disks: &[&str]) -> String {
    let text = recipe().replace(
        "[{ path: \"/srv/{name}.img\", size: 64MiB }]",
        &format!("[{}]", disks.join(", ")),
    );
    assert_ne!(text, recipe());
    text
}

/// The guest's disks, in its order.
fn seen(host: &TestHost) -> String {
    let report = host.guest("report");
    let disks = report
        .lines()
        .filter(|line| line.starts_with("guest: disk "));
    disks.map(|line| format!("{line}\n")).collect()
}

fn boot_again(host: &TestHost) {
    host.shut_down();
    host.apply().success();
}

#[test]
fn a_guest_counts_its_disks_as_the_list_does_and_changes_of_it_rename_nobody() {
    let host = TestHost::with_applied(&with_disks(&[ROOT, DATA, SCRATCH]));
    assert_eq!(
        seen(&host),
        "guest: disk vda 67108864 serial root ro 0\n\
         guest: disk vdb 33554432 serial data-1 ro 1\n\
         guest: disk vdc 16777216 serial scratch ro 0\n"
    );
    host.assert_converged();

    // The first one would make another disk the guest's root.
    host.write_fleet(&with_disks(&[DATA, SCRATCH]));
    let before = host.definition(VM);
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: its cmdline has root=/dev/vda1, and its guest's /dev/vda would be /srv/data.img instead of /srv/root.img
      -> name the root by what stays, as in root=UUID=… or root=LABEL=…, apply, and change the disks then

No changes, 1 refused.

"#]]
    );
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(host.definition(VM), before);

    // In front, and the others in another order; one is replaced, and its keys change.
    let scratch = SCRATCH.replace("unsafe, discard: unmap", "writeback");
    let data = DATA.replace(
        ", readonly: true, cache: none, io: native",
        ", io: io_uring",
    );
    host.write_fleet(&with_disks(&[NEW, &data, &scratch, ROOT]));
    host.apply().success();
    boot_again(&host);
    assert_eq!(
        seen(&host),
        "guest: disk vda 67108864 serial root ro 0\n\
         guest: disk vdb 33554432 serial data-1 ro 0\n\
         guest: disk vdc 16777216 serial scratch ro 0\n\
         guest: disk vdd 8388608 serial new ro 0\n"
    );
    host.assert_converged();
    let disks = host.definition(VM);
    assert!(
        disks.contains("cache='writeback'/>") && disks.contains("io='io_uring'/>"),
        "{disks}"
    );

    // One instead of another gets its place; one in the middle goes, and those behind it move up.
    let other = ROOT
        .replace("root.img", "other.img")
        .replace("64MiB", "40MiB");
    host.write_fleet(&with_disks(&[ROOT, &scratch, &other]).replace(
        "path: /srv/scratch.img",
        "path: /srv/scratch.img, name: tmp",
    ));
    let planned = host.planned(2);
    assert!(
        planned.contains("its guest's /dev/vdc (/srv/scratch.img) will be /dev/vdb\n"),
        "{planned}"
    );
    host.apply().success();
    boot_again(&host);
    assert_eq!(
        seen(&host),
        "guest: disk vda 67108864 serial root ro 0\n\
         guest: disk vdb 16777216 serial scratch ro 0\n\
         guest: disk vdc 41943040 serial other ro 0\n"
    );
    host.assert_converged();
}

#[test]
fn a_qcow2_image_is_as_large_as_its_guest_sees_it_and_grows_running_and_stopped() {
    let overlay = |size| format!("{{ path: /srv/data.qcow2, size: {size} }}");
    let host = TestHost::with_applied(&with_disks(&[ROOT, &overlay("5GiB")]));
    let sees = |size: u64| {
        let line = format!("guest: disk vdb {size} serial data ro 0");
        assert!(seen(&host).contains(&line), "{line} in {}", seen(&host));
    };
    let checked = || {
        host.run("qemu-img", &["check", "-f", "qcow2", "/srv/data.qcow2"])
            .success()
    };
    sees(5 << 30);
    host.guest("run echo written > /tmp/t && dd if=/tmp/t of=/dev/vdb bs=512 seek=4000000 conv=notrunc,sync && sync");
    assert!(host.path("/srv/data.qcow2").metadata().unwrap().len() < 1 << 20);
    host.write_fleet(&with_disks(&[ROOT, &overlay("6GiB")]));
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ disk      /srv/data.qcow2    5 GiB -> 6 GiB

1 to change.

"#]]
    );
    host.apply().success();
    sees(6 << 30);
    host.assert_converged();

    host.shut_down();
    checked();
    let off = |size| with_disks(&[ROOT, &overlay(size)]) + "    state: stopped\n";
    host.write_fleet(&off("7GiB"));
    host.apply().success();
    host.assert_converged();
    checked();
    host.write_fleet(&with_disks(&[ROOT, &overlay("7GiB")]));
    host.apply().success();
    sees(7 << 30);
    let read = host.guest("run dd if=/dev/vdb bs=512 skip=4000000 count=1 | head -n 1");
    assert!(read.contains("written"), "{read}");

    // By hand, and smaller: what is there is not what the file was planned on.
    host.write_fleet(&with_disks(&[ROOT, &overlay("1GiB")]));
    host.assert_converged();
    sees(7 << 30);
}
