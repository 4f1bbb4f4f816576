//! Images: made once, grown when asked, never overwritten or made smaller.

use snapbox::assert_data_eq;

use crate::fleet::{DISK, recipe, stopped_recipe};
use crate::host::TestHost;

fn size(host: &TestHost) -> u64 {
    host.path(DISK).metadata().unwrap().len()
}

#[test]
fn an_image_that_is_there_keeps_its_contents_and_grows() {
    let host = TestHost::with_fleet(&recipe());
    let mut contents = vec![0; 1 << 20];
    contents[..5].copy_from_slice(b"kept\n");
    host.write(DISK, &contents);
    assert_eq!(
        host.planned(2).lines().find(|line| line.contains(" disk ")),
        Some("  ~ disk      /srv/armhf-vm.img                        1 MiB -> 64 MiB")
    );
    host.apply().success();
    assert_eq!(host.guest("read-disk"), "guest: disk-text kept\n");
    host.assert_reported(
        &host.guest("report"),
        "disk vda 67108864 serial armhf-vm ro 0",
    );

    host.write_fleet(&recipe().replace("64MiB", "96MiB"));
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ disk      /srv/armhf-vm.img    64 MiB -> 96 MiB

1 to change.

"#]]
    );
    host.apply().success();
    host.assert_reported(
        &host.guest("report"),
        "disk vda 100663296 serial armhf-vm ro 0",
    );
    assert_eq!(host.guest("read-disk"), "guest: disk-text kept\n");
    host.assert_converged();
}

#[test]
fn an_image_larger_than_wanted_stays() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write_fleet(&stopped_recipe().replace("64MiB", "1MiB"));
    host.assert_converged();
    assert_eq!(size(&host), 64 << 20);
}

#[test]
fn an_image_that_vanished_is_not_made_again_in_silence() {
    let host = TestHost::with_applied(&stopped_recipe());
    std::fs::remove_file(host.path(DISK)).unwrap();
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: its disk /srv/armhf-vm.img is gone; it was there at the last apply
      -> restore it and armfleet apply --accept armhf-vm, or begin anew: truncate -s 67108864 /srv/armhf-vm.img; armfleet apply --accept armhf-vm --allow-replace armhf-vm

No changes, 1 refused.

"#]]
    );
    assert_eq!(host.apply().code, Some(3));
    assert!(!host.path(DISK).exists());
}

#[test]
fn an_image_without_a_size_must_be_there() {
    let host = TestHost::with_fleet(&stopped_recipe().replace(", size: 64MiB", ""));
    let apply = host.apply();
    assert_eq!(apply.code, Some(3));
    assert!(
        apply
            .stdout
            .contains("! armhf-vm: its disk /srv/armhf-vm.img is not there\n"),
        "{}",
        apply.stdout
    );
    assert!(!host.path(DISK).exists());
    host.write(DISK, "here it is");
    host.apply().success();
    assert_eq!(host.read(DISK), "here it is");
    host.assert_converged();
}

#[test]
fn a_disk_that_another_domain_uses_is_refused() {
    let host = TestHost::with_fleet(&stopped_recipe());
    host.write(DISK, "theirs");
    host.define(&include_str!("armhf.xml").replace("<name>armhf-vm<", "<name>theirs<"));
    assert_eq!(host.apply().code, Some(3));
    let planned = host.planned(3);
    assert!(
        planned.contains("! armhf-vm: /srv/armhf-vm.img is used by domain theirs [path-in-use]\n"),
        "{planned}"
    );
    assert_eq!(host.read(DISK), "theirs");
}
