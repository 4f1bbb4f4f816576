//! What happens when armfleet's own folders, or the file systems below, are not as armfleet left them.

use crate::fleet::{RECORD, VM, recipe, stopped_recipe};
use crate::host::{GuestFiles, TestHost};

const BOOT: &str = "/var/lib/armfleet/vms/armhf-vm/boot";

fn sh(host: &TestHost, command: &str) -> String {
    host.run("sh", &["-c", command]).success()
}

#[test]
fn a_link_in_place_of_the_generations_has_nothing_deleted_behind_it() {
    let host = TestHost::with_applied(&stopped_recipe());
    sh(
        &host,
        "mkdir -p /srv/others/deep && echo kept >/srv/others/deep/file && echo kept >/srv/file",
    );
    host.virsh(&["start", VM]).success();
    host.guest("report");
    host.shut_down();
    sh(&host, &format!("rm -r {BOOT}/g && ln -s /srv {BOOT}/g"));
    let before = host.listing(&["/srv"]);
    let started = host.virsh(&["start", VM]);
    assert_ne!(started.code, Some(0), "{}", started.stdout);
    assert!(
        started.stderr.contains(&format!("{BOOT}/g")),
        "{}",
        started.stderr
    );
    assert_eq!(host.listing(&["/srv"]), before);
    let planned = host.planned(3);
    assert!(planned.contains(&format!("{BOOT}/g")), "{planned}");
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(host.listing(&["/srv"]), before);
    // The link moved away, as the plan says, the VM starts with its seed.
    sh(&host, &format!("mv {BOOT}/g {BOOT}/g.old"));
    host.write_fleet(&recipe());
    host.apply().success();
    assert_eq!(
        sh(&host, "cat /srv/others/deep/file /srv/file"),
        "kept\nkept\n"
    );
}

#[test]
fn a_seed_cut_short_before_the_first_start_is_staged_again() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.assert_converged();
    sh(&host, &format!("truncate -s 4096 {BOOT}/seed/initrd.img"));
    let planned = host.planned(2);
    assert!(planned.contains("~ seed"), "{planned}");
    host.write_fleet(&recipe());
    host.apply().success();
    host.assert_reported(&host.guest("report"), "initrd seed");
    host.assert_converged();
}

#[test]
fn a_record_that_others_can_write_or_that_is_no_text_is_written_again() {
    let host = TestHost::with_applied(&stopped_recipe());
    for damage in ["chown nobody", "chmod 0666", "printf '\\377\\376' | tee"] {
        sh(&host, &format!("{damage} {RECORD}"));
        let planned = host.planned(2);
        assert!(planned.contains("~ record"), "{damage}: {planned}");
        host.apply().success();
        host.assert_converged();
    }
}

#[test]
fn a_full_or_read_only_file_system_is_called_that() {
    let host =
        TestHost::with_fleet(&stopped_recipe().replace("\"/srv/{name}-boot\"", "/srv/small/boot"));
    sh(
        &host,
        "mkdir /srv/small && mount -t tmpfs -o nr_inodes=1,mode=755 small /srv/small",
    );
    let apply = host.apply();
    assert_eq!(apply.code, Some(1), "{}{}", apply.stdout, apply.stderr);
    let said = format!("{}{}", apply.stdout, apply.stderr);
    assert!(said.contains("No space left on device"), "{said}");
    assert!(!said.contains("extended attributes"), "{said}");
    sh(&host, "mount -o remount,ro,nr_inodes=100 /srv/small");
    let apply = host.apply();
    let said = format!("{}{}", apply.stdout, apply.stderr);
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(!said.contains("extended attributes"), "{said}");
    sh(&host, "mount -o remount,rw /srv/small");
    host.apply().success();
    host.assert_converged();

    sh(
        &host,
        "rm -rf /run/armfleet && mkdir /run/armfleet && mount -t tmpfs -o nr_inodes=1 small /run/armfleet",
    );
    let apply = host.apply();
    assert_eq!(apply.code, Some(1), "{}{}", apply.stdout, apply.stderr);
    assert!(
        apply.stderr.contains("No space left on device"),
        "{}",
        apply.stderr
    );
    assert!(!apply.stderr.contains("another apply"), "{}", apply.stderr);
}

#[test]
fn a_start_without_room_for_a_new_kernel_boots_the_staged_one_and_says_why() {
    let host = TestHost::with_applied(&recipe());
    let restart = || {
        host.shut_down();
        host.virsh(&["start", VM]).success();
    };
    host.guest("install-first");
    restart();
    host.guest("upgrade");
    host.shut_down();
    sh(
        &host,
        &format!(
            "cp -a {BOOT} /srv/kept && mount -t tmpfs -o size=96m,mode=711 small {BOOT} && cp -a /srv/kept/. {BOOT} \
             && ! cat /dev/zero >{BOOT}/fill 2>&1"
        ),
    );
    host.virsh(&["start", VM]).success();
    let (first, second) = (&GuestFiles::get().first, &GuestFiles::get().second);
    host.assert_reported(&host.guest("report"), &format!("kernel {first}"));
    let (plan, status) = (host.planned(0), host.armfleet(&["status"]).success());
    for said in [&plan, &status] {
        let lost = format!("cannot copy vmlinuz-{second}: No space left on device");
        for part in [&lost, &format!("boots {first}, staged before")] {
            assert!(said.contains(part), "no `{part}` in\n{said}");
        }
    }

    sh(&host, &format!("rm {BOOT}/fill"));
    restart();
    host.assert_reported(&host.guest("report"), &format!("kernel {second}"));
    host.assert_converged();
}
