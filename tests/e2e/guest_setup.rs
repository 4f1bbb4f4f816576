//! What `armfleet guest-setup` prints, run in guests.

use crate::fleet::{SHARE, VM, recipe};
use crate::host::{GuestFiles, Output, TestHost};

/// What setting up may change in a guest, each file with its digest.
const SET_UP: &str = "run sha256sum /etc/fstab /etc/kernel-img.conf /etc/initramfs-tools/modules \
    /usr/local/sbin/armfleet-guest /etc/systemd/system/armfleet-guest.service";

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
    let moved = format!("what was in /boot is on the share: version {first}");
    assert!(said.contains(&moved), "{said}");
    // There is no systemd in this guest; that is said, and is no failure.
    assert!(said.contains("there is no systemd here"), "{said}");
    let report = host.guest("report");
    for line in ["boot mounted", &format!("link vmlinuz vmlinuz-{first}")] {
        host.assert_reported(&report, line);
    }
    let before = (host.guest(SET_UP), host.listing(&[SHARE]));

    // Again, and again from a guest whose /boot is not mounted and is older than the share.
    assert!(!set_up(&host).success().contains("is on the share"));
    assert_eq!((host.guest(SET_UP), host.listing(&[SHARE])), before);
    host.guest("upgrade");
    let upgraded = host.listing(&[SHARE]);
    host.guest("run umount /boot");
    assert!(!set_up(&host).success().contains("is on the share"));
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
