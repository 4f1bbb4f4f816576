//! What `armfleet guest-setup` prints, run in guests.

use crate::fleet::{SHARE, VM, recipe};
use crate::host::{GuestFiles, Output, TestHost, script};

/// What setting up may change in a guest, each file with its digest.
const SET_UP: &str = "run sha256sum /etc/fstab /etc/kernel-img.conf /etc/initramfs-tools/modules \
    /usr/local/sbin/armfleet-guest /etc/systemd/system/armfleet-guest.service /etc/systemd/system/armfleet-confirmed.service";

/// A guest that boots its seed, has the script as /setup, and a /boot of its own that is not the share.
fn with_own_boot() -> TestHost {
    let host = TestHost::with_applied(&recipe());
    let script = host.armfleet(&["guest-setup"]).success();
    host.write(format!("{SHARE}/setup"), script);
    let first = &GuestFiles::get().first;
    for command in [
        "run cp /boot/setup /setup; rm /boot/setup; umount /boot; mkdir -p /etc/initramfs-tools",
        &format!("run cp /packages/{first}/vmlinuz /boot/vmlinuz-{first}"),
        &format!("run cp /packages/{first}/initrd.img /boot/initrd.img-{first}"),
        &format!(
            "run cd /boot; for n in vmlinuz initrd.img; do ln -s $n-{first} $n; done; echo y >config-{first}"
        ),
    ] {
        host.guest(command);
    }
    host
}

fn set_up(host: &TestHost) -> Output {
    host.guest_say(VM, "run sh /setup")
}

#[test]
fn a_guest_that_runs_is_moved_onto_its_share_once() {
    let (host, first) = (with_own_boot(), &GuestFiles::get().first);
    let said = set_up(&host).success();
    let moved = format!("moved /boot onto the share, version {first}; mounted the share as /boot");
    assert!(said.contains(&moved), "{said}");
    // There is no systemd in this guest; that is said, and is no failure.
    assert!(said.contains("there is no systemd here"), "{said}");
    let report = host.guest("report");
    for line in ["boot mounted", &format!("link vmlinuz vmlinuz-{first}")] {
        host.assert_reported(&report, line);
    }
    let before = (host.guest(SET_UP), host.listing(&[SHARE]));

    // Again, and again from a guest whose /boot is not mounted and is older than the share.
    assert!(
        set_up(&host)
            .success()
            .contains("nothing to do: all is set up")
    );
    assert_eq!((host.guest(SET_UP), host.listing(&[SHARE])), before);
    host.guest("upgrade");
    let upgraded = host.listing(&[SHARE]);
    host.guest("run umount /boot");
    let said = set_up(&host).success();
    assert!(said.contains("done: mounted the share as /boot"), "{said}");
    assert_eq!(host.listing(&[SHARE]), upgraded);
    let report = host.guest("report");
    let second = &GuestFiles::get().second;
    for line in ["boot mounted", &format!("link vmlinuz vmlinuz-{second}")] {
        host.assert_reported(&report, line);
    }
    assert_eq!(host.guest(SET_UP), before.0);

    host.shut_down();
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {second}"));
    host.assert_converged();
}

/// Kills it after its lines that match, and again each time runs it whole.
fn assert_cuts_are_mended(lines: &str, when: &str) {
    let host = with_own_boot();
    host.write(format!("{SHARE}/cuts"), include_str!("guest_setup/cuts.sh"));
    let share = "mount -t 9p -o trans=virtio,version=9p2000.L virtio-boot /boot";
    host.guest(&format!("run {share}; cp /boot/cuts /cuts; umount /boot"));
    let cuts = format!("run sh /cuts '{lines}' {when}");
    let said = host.run(script("guest-say"), &["--timeout", "1700", VM, &cuts]);
    let said = said.success();
    let told: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("cuts: "))
        .collect();
    let [tried] = told.as_slice() else {
        panic!("{said}")
    };
    let tried = tried.split(' ').nth(1).and_then(|tried| tried.parse().ok());
    assert!(tried.is_some_and(|tried: usize| tried > 10), "{said}");
}

#[test]
fn cut_after_what_changes_most_it_ends_the_same_when_run_again() {
    assert_cuts_are_mended(
        "^ *(mv|cp -a|ln -sfn|if .* ln -sfn|umount|is_share .* mount_share) ",
        "after-restart",
    );
}

#[test]
#[ignore = "long: a hundred guests are set up twice each"]
fn cut_after_any_line_it_ends_the_same_when_run_again() {
    assert_cuts_are_mended("", "at-once after-restart");
}

#[test]
fn a_guest_that_cannot_be_set_up_says_why_and_is_left_as_it_is() {
    let host = with_own_boot();
    let refused = |prepare: &str, why: &str, repair: &str| {
        host.guest(&format!("run {prepare}"));
        let before = host.guest("run find /etc /usr /boot -type f | sort | xargs sha256sum");
        let refused = set_up(&host);
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        assert!(refused.stdout.contains(why), "{}", refused.stdout);
        let after = host.guest("run find /etc /usr /boot -type f | sort | xargs sha256sum");
        assert_eq!(after, before, "{why}");
        host.guest(&format!("run {repair}"));
    };
    refused(
        "mount -o bind /etc /etc; mount -o remount,ro,bind /etc",
        "/etc cannot be written; make the root file system writable first",
        "umount /etc",
    );
    refused(
        "echo '/dev/vda2 /boot ext4 defaults 0 2' >/etc/fstab",
        "/etc/fstab mounts something else as /boot; remove that line",
        "rm /etc/fstab",
    );
    let wrong = host.guest_say(VM, "run sh /setup --what");
    assert!(wrong.stdout.contains("usage: guest-setup [--installed]"));
    // The share is in use elsewhere, as if the VM had none.
    host.guest("run mkdir -p /mnt; mount -t 9p -o trans=virtio virtio-boot /mnt");
    let refused = set_up(&host);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    let why = "the boot share cannot be mounted";
    assert!(refused.stdout.contains(why), "{}", refused.stdout);
    // Without a kernel there is nothing to move.
    host.guest("run umount /mnt; rm -r /boot/vmlinuz-*");
    let refused = set_up(&host);
    assert!(refused.stdout.contains("there is no kernel in /boot"));
}
