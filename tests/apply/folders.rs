//! armfleet's own folders: root's, and passable for QEMU, whatever happened to them.

use crate::harness::{FLEET, VM, apply, plan, settled_host, text};
use armfleet::host::primitives::{Owner, Primitives, Reads};
use armfleet::inventory::Look;
use armfleet::plan::Policy;

const ROOT: Owner = Owner { uid: 0, gid: 0 };
const USER: Owner = Owner {
    uid: 1000,
    gid: 1000,
};
const VMS: &str = "/var/lib/armfleet/vms";
const OWN: [&str; 5] = [
    "/var/lib/armfleet",
    VMS,
    "/var/lib/armfleet/vms/armhf-vm",
    "/var/lib/armfleet/vms/armhf-vm/boot",
    "/var/lib/armfleet/vms/armhf-vm/boot/g",
];

/// Damages each folder in turn; the plan says why, and one apply mends it.
#[track_caller]
fn mended(mode: u32, owner: Owner, why: &str) {
    for path in OWN {
        let host = settled_host();
        host.own(path, mode, owner).unwrap();
        let planned = text(&plan(&host, FLEET, &Policy::default()));
        assert!(planned.contains(why), "{path}: {planned}");
        apply(&host, FLEET, &Policy::default()).assert_converged();
        let seen = host.look(path, Look::Stat);
        let stat = &seen.present().unwrap().stat;
        assert_eq!((stat.mode & 0o033, stat.uid), (0o011, 0), "{path}");
        assert!(plan(&host, FLEET, &Policy::default()).is_empty(), "{path}");
    }
}

#[test]
fn a_folder_that_others_can_write_is_closed_to_them() {
    mended(
        0o777,
        ROOT,
        "its mode 0777 lets others than root write there",
    );
}

#[test]
fn a_folder_that_qemu_cannot_pass_is_opened() {
    mended(0o700, ROOT, "its mode 0700 does not let QEMU pass");
}

#[test]
fn a_folder_of_a_user_becomes_roots() {
    mended(0o755, USER, "it belongs to user 1000");
}

#[test]
fn what_is_no_folder_is_named_and_left_alone() {
    let current = format!("{VMS}/{VM}/boot/current");
    let host = settled_host();
    host.remove(&current);
    host.make_folder(&current, 0o755, None).unwrap();
    let planned = text(&plan(&host, FLEET, &Policy::default()));
    let remedy = format!("mv {current} {current}.old");
    for part in [format!("{current} is a folder"), remedy] {
        assert!(planned.contains(&part), "{planned}");
    }
    apply(&host, FLEET, &Policy::default());
    assert!(host.look(&current, Look::Stat).present().is_some());
}

#[test]
fn a_record_that_is_a_folder_is_named_with_a_remedy() {
    let record = crate::harness::RECORD;
    let host = settled_host();
    host.remove(record);
    host.make_folder(record, 0o755, None).unwrap();
    let planned = text(&plan(&host, FLEET, &Policy::default()));
    for part in [record, "a folder", "-> "] {
        assert!(planned.contains(part), "{planned}");
    }
}

/// Only a start makes a generation: an apply of a VM that runs leaves it alone.
#[test]
fn a_staged_kernel_that_is_cut_short_is_shown_and_made_again_by_the_next_start() {
    let kernel = format!("{VMS}/{VM}/boot/current/vmlinuz.master");
    let host = settled_host();
    let whole = host.bytes(&kernel).unwrap();
    host.truncate(&kernel, 2).unwrap();
    let planned = text(&plan(&host, FLEET, &Policy::default()));
    for part in [
        "vmlinuz.master is cut short: it has 2 of 256 bytes",
        "No changes.",
    ] {
        assert!(planned.contains(part), "{planned}");
    }
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();
    assert_eq!(host.bytes(&kernel).unwrap(), whole[..2]);
    host.destroy(VM).unwrap();
    apply(&host, FLEET, &Policy::default()).assert_converged();
    assert_eq!(host.bytes(&kernel).unwrap(), whole);
    let planned = text(&plan(&host, FLEET, &Policy::default()));
    assert!(!planned.contains("damaged"), "{planned}");
}

/// Only where its times are not those that it was staged with is a master read; what boots is QEMU's to change, and does not
/// boot again.
#[test]
fn a_master_of_other_bytes_is_shown_and_one_that_was_touched_is_not() {
    let file = |name: &str| format!("{VMS}/{VM}/boot/current/{name}");
    let shown = |host: &_| text(&plan(host, FLEET, &Policy::default())).contains("damaged");
    let host = settled_host();
    let (master, whole) = (
        file("initrd.img.master"),
        host.bytes(&file("initrd.img")).unwrap(),
    );
    host.write_file(&file("initrd.img"), "/var", b"changed", 0o640)
        .unwrap();
    assert!(!shown(&host));
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    for (bytes, is_shown) in [(&whole, false), (&other, true)] {
        host.write_file(&master, "/var", bytes, 0o600).unwrap();
        assert_eq!(shown(&host), is_shown);
    }
    host.destroy(VM).unwrap();
    apply(&host, FLEET, &Policy::default()).assert_converged();
    assert_eq!(host.bytes(&master).unwrap(), whole);
    assert_eq!(host.bytes(&file("initrd.img")).unwrap(), whole);
    assert!(!shown(&host));
}
