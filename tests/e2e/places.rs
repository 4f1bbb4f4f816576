//! Paths as places: what another domain has is not given to a VM by any name, and a console log is a log. On one host, one
//! plan after another; a remedy is followed where it is a command.

use crate::fleet::{CONSOLE, DISK, SHARE, VM, stopped_recipe};
use crate::host::TestHost;
use std::fs;
use std::os::unix::fs::symlink;

const OTHERS: &str = "/srv/vms/other.img";
const NAMES: &str = "both paths lead to one place [path-in-use]\n";

fn host() -> TestHost {
    let host = TestHost::with_fleet(&stopped_recipe());
    fs::create_dir(host.path("/srv/vms")).unwrap();
    host.write(OTHERS, "the other guest's data");
    let other = include_str!("armhf.xml").replace("<name>armhf-vm<", "<name>other<");
    let other = other.replace(DISK, OTHERS).replace(SHARE, "/srv/vms/boot");
    host.define(&other.replace(CONSOLE, "/srv/vms/other.log"));
    host
}

/// The plan has this refusal, and nothing is done to the other domain's files.
#[track_caller]
fn assert_refused(host: &TestHost, why: &str) {
    let before = host.listing(&["/srv/vms"]);
    let planned = host.planned(3);
    assert!(planned.contains(&format!("! {VM}: {why}")), "{planned}");
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(host.listing(&["/srv/vms"]), before);
    assert!(
        !host
            .virsh(&["list", "--all", "--name"])
            .success()
            .contains(VM)
    );
}

#[test]
fn what_a_foreign_domain_has_is_its_own_by_every_name() {
    let host = host();
    fs::hard_link(host.path(OTHERS), host.path(DISK)).unwrap();
    assert_refused(
        &host,
        &format!("its disk {DISK} is the same as {OTHERS}, which domain other uses: {NAMES}"),
    );
    fs::remove_file(host.path(DISK)).unwrap();

    symlink("/srv/vms", host.path("/srv/linked")).unwrap();
    host.write_fleet(&stopped_recipe().replace("/srv/{name}.img", "/srv/linked/other.img"));
    assert_refused(
        &host,
        &format!(
            "its disk /srv/linked/other.img is the same as {OTHERS}, which domain other uses: {NAMES}"
        ),
    );

    fs::create_dir(host.path(SHARE)).unwrap();
    host.run("mount", &["--bind", "/srv/vms", SHARE]).success();
    host.write_fleet(&stopped_recipe());
    assert_refused(&host, &format!("its boot share {SHARE} holds /srv/vms/"));
    host.run("umount", &[SHARE]).success();
    fs::create_dir_all(host.path("/srv/vms/boot/in")).unwrap();
    host.run("mount", &["--bind", "/srv/vms/boot/in", SHARE])
        .success();
    assert_refused(
        &host,
        &format!(
            "its boot share {SHARE} is inside /srv/vms/boot, which domain other uses, through"
        ),
    );
    host.run("umount", &[SHARE]).success();

    host.write_fleet(&stopped_recipe().replace("/srv/{name}-boot", "/srv/vms"));
    assert_refused(
        &host,
        "its boot share /srv/vms holds /srv/vms/boot, which domain other uses [path-in-use]\n",
    );
    host.write_fleet(&stopped_recipe().replace("/srv/{name}.img", "/srv/vms/boot/a.img"));
    assert_refused(
        &host,
        "its disk /srv/vms/boot/a.img is inside /srv/vms/boot, which domain other uses [path-in-use]\n",
    );
    host.write_fleet(&stopped_recipe().replace(CONSOLE, "/srv/vms/other.log"));
    assert_refused(
        &host,
        "/srv/vms/other.log is used by domain other [path-in-use]\n",
    );

    // In the same folder, also by root's link to it, it has things of its own.
    host.write_fleet(&stopped_recipe().replace("/srv/{name}.img", "/srv/linked/a.img"));
    host.apply().success();
    host.assert_converged();
}

#[test]
fn a_console_log_is_a_plain_file_of_its_own() {
    let host = host();
    let log = |log: &str| host.write_fleet(&stopped_recipe().replace(CONSOLE, log));
    host.write("/srv/c5.img", "somebody's data");
    log("/srv/c5.img");
    assert_refused(
        &host,
        "its console log /srv/c5.img does not end in .log [console-log]\n",
    );
    log("/srv/vms/a.log");
    assert_refused(
        &host,
        "its console log /srv/vms/a.log is neither below /var/log nor in the folder of one of the VM's images [console-log]\n",
    );

    let path = host.path(CONSOLE);
    log(CONSOLE);
    symlink("/srv/c5.img", &path).unwrap();
    assert_refused(
        &host,
        &format!("its console log {CONSOLE} is a symbolic link [console-log]\n"),
    );
    fs::remove_file(&path).unwrap();
    host.run("mkfifo", &[CONSOLE]).success();
    assert_refused(
        &host,
        &format!("its console log {CONSOLE} is a device, socket or FIFO [console-log]\n"),
    );
    fs::remove_file(&path).unwrap();
    // `/var/log` of the private host may be another file system.
    host.write("/var/log/other", "");
    fs::hard_link(host.path("/var/log/other"), &path).unwrap();
    assert_refused(
        &host,
        &format!("its console log {CONSOLE} has another name, too"),
    );
    fs::remove_file(&path).unwrap();
    host.write(CONSOLE, b"QFI\xfb");
    assert_refused(
        &host,
        &format!("its console log {CONSOLE} begins as a qcow2 image [console-log]\n"),
    );
    host.write(CONSOLE, "");
    std::os::unix::fs::chown(&path, Some(64055), None).unwrap();
    assert_refused(
        &host,
        &format!(
            "its console log {CONSOLE} belongs to QEMU's user (64055), not to root [console-log]\n"
        ),
    );

    // The remedy works as it stands.
    let planned = host.planned(3);
    let remedy = planned
        .lines()
        .find_map(|line| line.trim().strip_prefix("-> mv "));
    host.run("sh", &["-c", &format!("mv {}", remedy.unwrap())])
        .success();
    host.apply().success();
    host.assert_converged();
    assert_eq!(host.read("/srv/c5.img"), "somebody's data");
}

/// Another file system at the same folder, whose files have the same inodes, is another thing; the same one under another
/// device number is not.
#[test]
fn what_was_applied_is_known_by_its_file_system() {
    let host = TestHost::with_fleet(&stopped_recipe().replace("/srv/{name}", "/srv/vms/{name}"));
    let shell = |script: &str| host.run("sh", &["-ec", script]).success();
    fs::create_dir(host.path("/srv/vms")).unwrap();
    fs::create_dir(host.path("/srv/other")).unwrap();
    // udev writes what it finds on a block device; in a private host nobody does.
    let mount = |image: &str, uuid: &str| {
        shell(&format!(
            "mount -o loop {image} /srv/vms; device=$(findmnt -no SOURCE /srv/vms); mkdir -p /run/udev/data; \
             echo E:ID_FS_UUID={uuid} > /run/udev/data/b$(stat -c %Hr:%Lr $device); echo $device"
        ))
    };
    shell("truncate -s 128M /srv/a.ext4; mkfs.ext4 -q /srv/a.ext4");
    let first = mount("/srv/a.ext4", "0a-0a");
    host.apply().success();
    host.assert_converged();
    shell(
        "umount /srv/vms; cp --sparse=always /srv/a.ext4 /srv/b.ext4; mount -o loop /srv/a.ext4 /srv/other",
    );

    // The same one as another device.
    assert_ne!(mount("/srv/b.ext4", "0a-0a"), first);
    host.assert_converged();
    shell("umount /srv/vms");

    // A copy with another UUID: all its inodes are those of the first.
    mount("/srv/b.ext4", "0b-0b");
    let planned = host.planned(3);
    assert!(planned.contains("file system 0a-0a then"), "{planned}");
    assert!(planned.contains("file system 0b-0b now"), "{planned}");
    shell("umount /srv/vms");

    // None is mounted: nothing is made or given to QEMU in the empty folder.
    let planned = host.planned(3);
    assert!(
        planned.contains("is gone; it was there at the last apply"),
        "{planned}"
    );
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(fs::read_dir(host.path("/srv/vms")).unwrap().count(), 0);
}
