//! Which paths a VM may be given: ordinary hosts are planned as they should be, hostile ones are refused with the path and the
//! remedy. Each line of a table is a host of its own.

use crate::harness::{FLEET, IMAGE, RECORD, SHARE, VM, apply, new_host, plan, settled_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives, Reads};
use armfleet::inventory::Look;
use armfleet::plan::{Plan, Policy};

const LOG: &str = "/var/log/armhf-vm.log";
const QEMU: u32 = 64055;

fn with_log(log: &str) -> String {
    FLEET.replace(LOG, log)
}

/// Every refusal with its remedy and check, a line each.
fn refusals(plan: &Plan) -> String {
    let lines = plan.refusals.iter().map(|refusal| {
        let check = refusal
            .check
            .map_or(String::new(), |check| format!(" [{check}]"));
        format!("{}{check} -> {}\n", refusal.why, refusal.remedy)
    });
    lines.collect()
}

fn refused(host: &Memory, fleet: &str) -> String {
    refusals(&plan(host, fleet, &Policy::default()))
}

fn own(host: &Memory, path: &str, uid: u32) {
    host.own(path, 0o600, Owner { uid, gid: 0 }).unwrap();
}

#[test]
fn a_log_is_a_plain_file_of_roots_that_ends_in_log() {
    type Prepare = fn(&Memory);
    let nothing: Prepare = |_| {};
    #[rustfmt::skip]
    let logs: &[(&str, Prepare, &str)] = &[
        // Ordinary hosts.
        ("/var/log/armhf-vm.log", nothing, ""),
        ("/var/log/libvirt/qemu/armhf-vm-console.log", |host| {
            host.make_folder("/var/log/libvirt", 0o755, None).unwrap();
            host.make_folder("/var/log/libvirt/qemu", 0o755, None).unwrap();
        }, ""),
        ("/srv/armhf-vm.log", nothing, ""),
        ("/srv/armhf-vm.log", |host| host.put_file("/srv/armhf-vm.log", "[ 0.0] Booting Linux").unwrap(), ""),
        ("/srv/armhf-vm.log", |host| host.put_file("/srv/armhf-vm.log", "").unwrap(), ""),

        // Paths that are no log's.
        ("/srv/c5.img", nothing,
            "its console log /srv/c5.img does not end in .log [console-log] -> set console.log: /var/log/armhf-vm.log\n"),
        ("/srv/logs/armhf-vm.log", |host| host.make_folder("/srv/logs", 0o755, None).unwrap(),
            "its console log /srv/logs/armhf-vm.log is neither below /var/log nor in the folder of one of the VM's images [console-log] \
             -> set console.log: /var/log/armhf-vm.log\n"),

        // Things that are no log.
        ("/srv/a.log", |host| host.put_file("/srv/a.log", "QFI\u{fb}").unwrap(), ""),
        ("/srv/a.log", |host| host.put_file("/srv/a.log", b"QFI\xfb").unwrap(),
            "its console log /srv/a.log begins as a qcow2 image [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| host.create_image("/srv/a.log", &[], 1 << 20).unwrap(),
            "its console log /srv/a.log begins as an empty disk [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| host.put_file("/srv/a.log", partitioned()).unwrap(),
            "its console log /srv/a.log begins as a disk with partitions [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| host.put_link("/srv/a.log", "/etc/cron.d/x").unwrap(),
            "its console log /srv/a.log is a symbolic link [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| host.put_special("/srv/a.log").unwrap(),
            "its console log /srv/a.log is a device, socket or FIFO [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| host.make_folder("/srv/a.log", 0o755, None).unwrap(),
            "its console log /srv/a.log is a folder [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| {
            host.put_file("/srv/passwd", "root").unwrap();
            host.bind("/srv/passwd", "/srv/a.log").unwrap();
        },
            "its console log /srv/a.log has another name, too: a log would be written into that file [console-log] \
             -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| {
            host.put_file("/srv/a.log", "").unwrap();
            own(host, "/srv/a.log", QEMU);
        },
            "its console log /srv/a.log belongs to QEMU's user (64055), not to root [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
        ("/srv/a.log", |host| {
            host.put_file("/srv/a.log", "").unwrap();
            own(host, "/srv/a.log", 1000);
        },
            "its console log /srv/a.log belongs to user 1000, not to root [console-log] -> mv /srv/a.log /srv/a.log.old\n"),
    ];
    for (log, prepare, expected) in logs {
        let host = new_host();
        prepare(&host);
        assert_eq!(refused(&host, &with_log(log)), *expected, "{log}");
        let applied = apply(&host, &with_log(log), &Policy::default());
        match expected.is_empty() {
            true => applied.assert_converged(),
            false => assert!(
                !applied.changes.iter().any(|change| change == "define"),
                "{log}"
            ),
        }
    }
}

/// The first sector of a disk.
fn partitioned() -> Vec<u8> {
    let mut sector = vec![b'x'; 512];
    sector[510..].copy_from_slice(b"\x55\xaa");
    sector
}

#[test]
fn the_remedy_for_a_file_that_is_no_log_lets_the_vm_be_applied() {
    let host = new_host();
    host.put_special("/srv/a.log").unwrap();
    assert!(refused(&host, &with_log("/srv/a.log")).ends_with("-> mv /srv/a.log /srv/a.log.old\n"));
    host.rename_file("/srv/a.log", "/srv/a.log.old").unwrap();
    apply(&host, &with_log("/srv/a.log"), &Policy::default()).assert_converged();
}

/// virtlogd renames a log when it is large and makes a new one.
#[test]
fn a_log_that_was_applied_stays_whatever_it_is() {
    let host = settled_host();
    host.put_file(LOG, "[ 0.0] Booting Linux").unwrap();
    host.rename_file(LOG, "/var/log/armhf-vm.log.0").unwrap();
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();
    host.put_file(LOG, "").unwrap();
    own(&host, LOG, QEMU);
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();

    // An earlier version applied a log of another name.
    let (log, other) = (
        "/var/log/armhf-vm.console",
        with_log("/var/log/armhf-vm.console"),
    );
    let host = settled_host();
    let text = String::from_utf8(host.bytes(RECORD).unwrap()).unwrap();
    host.put_file(RECORD, text.replace(LOG, log)).unwrap();
    host.edit_domain(VM, |definition| definition.replace(LOG, log))
        .unwrap();
    apply(&host, &other, &Policy::default()).assert_did_nothing();
    // It is known from the domain, too.
    host.remove(RECORD);
    apply(&host, &other, &Policy::default()).assert_converged();
    // Another log is held to the rules.
    let moved = with_log("/var/log/moved.console");
    assert!(
        refused(&host, &moved)
            .contains("/var/log/moved.console does not end in .log [console-log]")
    );
    assert!(host.bytes(IMAGE).is_some());
}

/// A domain that is none of the fleet's, with these devices, and with this before them.
fn foreign(host: &Memory, os: &str, devices: &str) {
    let domain = format!(
        "<domain type='qemu'><name>other</name><memory>1024</memory>\
         <os><type arch='armv7l' machine='virt'>hvm</type>{os}</os><devices>{devices}</devices></domain>"
    );
    host.define(&domain).unwrap();
}

fn foreign_disk(host: &Memory, path: &str) {
    foreign(
        host,
        "",
        &format!(
            "<disk type='file' device='disk'><source file='{path}'/><target dev='vda' bus='virtio'/></disk>"
        ),
    );
}

fn foreign_share(host: &Memory, path: &str) {
    foreign(
        host,
        "",
        &format!(
            "<filesystem type='mount'><source dir='{path}'/><target dir='boot'/></filesystem>"
        ),
    );
}

fn folder(host: &Memory, path: &str) {
    host.make_folder(path, 0o755, None).unwrap();
}

fn image(host: &Memory, path: &str) {
    host.put_file(path, "data").unwrap();
    host.truncate(path, 8 << 30).unwrap();
}

#[test]
fn what_another_domain_uses_is_not_given_to_a_vm_whatever_it_is_called() {
    type Prepare = fn(&Memory);
    #[rustfmt::skip]
    let hosts: &[(&str, Prepare, &str)] = &[
        // Ordinary hosts.
        ("nobody else", |_| {}, ""),
        ("a domain elsewhere", |host| { folder(host, "/vms"); image(host, "/vms/o.img"); foreign_disk(host, "/vms/o.img"); }, ""),
        ("a domain in the same folder", |host| { image(host, "/srv/o.img"); foreign_disk(host, "/srv/o.img"); }, ""),
        ("a domain with the same seed", |host| foreign(host, "<kernel>/srv/seed/vmlinuz-6.1.0-48-armmp</kernel>", ""), ""),
        ("/srv is a link", |host| {
            folder(host, "/data");
            host.bind("/srv/seed", "/data/seed").unwrap();
            host.remove("/srv");
            host.put_link("/srv", "data").unwrap();
            image(host, "/srv/o.img");
            foreign_disk(host, "/data/o.img");
        }, ""),
        ("the folder of the images is mounted twice", |host| {
            image(host, "/srv/o.img");
            foreign_disk(host, "/srv/o.img");
            host.bind("/srv", "/mnt").unwrap();
        }, ""),
        ("a domain whose image is gone", |host| foreign_disk(host, "/srv/gone.img"), ""),
        ("a domain of a name that begins the same", |host| { folder(host, "/srv/armhf-vm-boot2"); foreign_share(host, "/srv/armhf-vm-boot2"); }, ""),

        // Hostile ones.
        ("the same image", |host| { image(host, IMAGE); foreign_disk(host, IMAGE); },
            "/srv/armhf-vm.img is used by domain other"),
        ("the same image, not there yet, through a link", |host| {
            host.put_link("/data", "/srv").unwrap();
            foreign_disk(host, "/data/armhf-vm.img");
        }, "its disk /srv/armhf-vm.img is the same as /data/armhf-vm.img, which domain other uses: both paths lead to one place"),
        ("a hard link to another's image", |host| {
            image(host, "/srv/o.img");
            foreign_disk(host, "/srv/o.img");
            host.bind("/srv/o.img", IMAGE).unwrap();
        }, "its disk /srv/armhf-vm.img is the same as /srv/o.img, which domain other uses: both paths lead to one place"),
        ("a symbolic link of another's to the image", |host| {
            image(host, IMAGE);
            host.put_link("/srv/o.img", "armhf-vm.img").unwrap();
            own(host, "/srv/o.img", 1000);
            foreign_disk(host, "/srv/o.img");
        }, "its disk /srv/armhf-vm.img is the same as /srv/o.img, which domain other uses: both paths lead to one place"),
        ("a symbolic link to another's image", |host| {
            image(host, "/srv/o.img");
            foreign_disk(host, "/srv/o.img");
            host.put_link(IMAGE, "o.img").unwrap();
        }, "its disk /srv/armhf-vm.img is the same as /srv/o.img, which domain other uses: both paths lead to one place"),
        ("all of the VM in another's share, through a link", |host| {
            folder(host, "/data");
            folder(host, "/data/vms");
            host.bind("/srv/seed", "/data/vms/seed").unwrap();
            host.remove("/srv");
            host.put_link("/srv", "data/vms").unwrap();
            foreign_share(host, "/data");
        }, "its disk /srv/armhf-vm.img is inside /data, which domain other uses, through a link or a mount"),
        ("another's backing file", |host| {
            image(host, IMAGE);
            foreign(host, "", "<disk type='file' device='disk'><source file='/srv/o.qcow2'/><backingStore type='file'><format type='raw'/>\
                <source file='/srv/armhf-vm.img'/></backingStore><target dev='vda' bus='virtio'/></disk>");
        }, "/srv/armhf-vm.img is used by domain other"),
        ("the image in another's share", |host| foreign_share(host, "/srv"),
            "its disk /srv/armhf-vm.img is inside /srv, which domain other uses"),
        ("the image in another's share by a bind mount", |host| {
            host.bind("/srv", "/mnt").unwrap();
            foreign_share(host, "/mnt");
        }, "its disk /srv/armhf-vm.img is inside /mnt, which domain other uses, through a link or a mount"),
        ("a share from within another's share by a bind mount", |host| {
            folder(host, "/theirs");
            folder(host, "/theirs/b");
            host.bind("/theirs/b", SHARE).unwrap();
            foreign_share(host, "/theirs");
        }, "its boot share /srv/armhf-vm-boot is inside /theirs, which domain other uses, through a link or a mount"),
        ("a share that holds another's disk", |host| {
            folder(host, SHARE);
            image(host, "/srv/armhf-vm-boot/o.img");
            foreign_disk(host, "/srv/armhf-vm-boot/o.img");
        }, "its boot share /srv/armhf-vm-boot holds /srv/armhf-vm-boot/o.img, which domain other uses"),
        ("a share that holds another's disk by a bind mount", |host| {
            folder(host, "/vms");
            image(host, "/vms/o.img");
            foreign_disk(host, "/vms/o.img");
            host.bind("/vms", SHARE).unwrap();
        }, "its boot share /srv/armhf-vm-boot holds /vms/o.img, which domain other uses, through a link or a mount"),
        ("a share that holds another's share", |host| {
            folder(host, SHARE);
            folder(host, "/srv/armhf-vm-boot/o");
            foreign_share(host, "/srv/armhf-vm-boot/o");
        }, "its boot share /srv/armhf-vm-boot holds /srv/armhf-vm-boot/o, which domain other uses"),
        ("another's share is the same folder", |host| {
            folder(host, SHARE);
            host.bind(SHARE, "/mnt").unwrap();
            foreign_share(host, "/mnt");
        }, "its boot share /srv/armhf-vm-boot is the same as /mnt, which domain other uses: both paths lead to one place"),
        ("a share that holds another's kernel", |host| {
            folder(host, SHARE);
            foreign(host, "<kernel>/srv/armhf-vm-boot/vmlinuz</kernel>", "");
        }, "its boot share /srv/armhf-vm-boot holds /srv/armhf-vm-boot/vmlinuz, which domain other uses"),
        ("another's firmware variables", |host| {
            image(host, IMAGE);
            foreign(host, "<nvram>/srv/armhf-vm.img</nvram>", "");
        }, "/srv/armhf-vm.img is used by domain other"),
        ("another's log", |host| foreign(host, "", "<serial type='pty'><log file='/var/log/armhf-vm.log'/></serial>"),
            "/var/log/armhf-vm.log is used by domain other"),
    ];
    for (name, prepare, expected) in hosts {
        let host = new_host();
        prepare(&host);
        let refused = refused(&host, FLEET);
        let remedy = " [path-in-use] -> give this VM a path of its own; two guests would destroy each other's files\n";
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("{expected}{remedy}")
        };
        assert_eq!(refused, expected, "{name}");
        let applied = apply(&host, FLEET, &Policy::default());
        assert_eq!(
            applied.changes.iter().any(|change| change == "define"),
            expected.is_empty(),
            "{name}"
        );
    }
}

/// The fleet's VM and another one, which has other paths.
fn two_vms(disk: &str) -> String {
    let (_, vm) = FLEET.split_once("vms:\n").unwrap();
    let second = vm.replace(VM, "second").replace("/srv/second.img", disk);
    format!("{FLEET}{second}")
}

#[test]
fn two_vms_of_one_file_do_not_get_one_thing_by_two_names() {
    let remedy = "[path-in-use] -> give this VM a path of its own; two guests would destroy each other's files";
    // Neither has it yet.
    let host = new_host();
    host.put_link("/data", "/srv").unwrap();
    let fleet = two_vms("/data/armhf-vm.img");
    let both = format!(
        "its disk {IMAGE} is the same as /data/armhf-vm.img, which second uses in the fleet file: both paths lead to one place {remedy}\n\
         its disk /data/armhf-vm.img is the same as {IMAGE}, which armhf-vm uses in the fleet file: both paths lead to one place {remedy}\n"
    );
    assert_eq!(refused(&host, &fleet), both);
    assert!(
        apply(&host, &fleet, &Policy::default())
            .changes
            .iter()
            .all(|change| change != "define")
    );

    // One has it; only the other is refused, and the first goes on.
    let host = settled_host();
    host.bind(IMAGE, "/srv/second.img").unwrap();
    let fleet = two_vms("/srv/second.img");
    let second = format!(
        "its disk /srv/second.img is the same as {IMAGE}, which domain armhf-vm uses: both paths lead to one place {remedy}\n"
    );
    assert_eq!(refused(&host, &fleet), second);

    // A VM's own image in its own share.
    let host = new_host();
    folder(&host, "/vms");
    image(&host, "/vms/own.img");
    host.bind("/vms", SHARE).unwrap();
    let fleet = FLEET.replace(IMAGE, "/vms/own.img");
    let own = format!(
        "its disk /vms/own.img is inside {SHARE}, which it uses as well, through a link or a mount {remedy}\n"
    );
    assert_eq!(refused(&host, &fleet), own);
}

#[test]
fn armfleets_own_folders_are_no_vms_by_any_name() {
    let host = new_host();
    folder(&host, "/var/lib/armfleet");
    host.bind("/var/lib/armfleet", SHARE).unwrap();
    let expected = format!(
        "its boot share {SHARE} is the same as /var/lib/armfleet, which armfleet keeps its own files in: both paths lead to one \
         place [path-in-use] -> give this VM a path of its own\n"
    );
    assert_eq!(refused(&host, FLEET), expected);
}

#[test]
fn vms_of_one_folder_have_it_together_whatever_it_is_called() {
    let host = new_host();
    apply(&host, &two_vms("/srv/second.img"), &Policy::default()).assert_converged();
    apply(&host, &two_vms("/srv/second.img"), &Policy::default()).assert_did_nothing();

    // One of them uses the folder by the name that it has where it is mounted again.
    let host = new_host();
    folder(&host, "/srv/vms");
    host.bind("/srv/vms", "/vms").unwrap();
    apply(&host, &two_vms("/vms/second.img"), &Policy::default()).assert_converged();
}

#[test]
fn what_a_vm_has_already_is_its_own() {
    // Another domain gets the same image later: the VM stays as it is, and the user is told.
    let host = settled_host();
    host.bind(IMAGE, "/srv/o.img").unwrap();
    foreign_disk(&host, "/srv/o.img");
    let planned = plan(&host, FLEET, &Policy::default());
    assert!(planned.refusals.is_empty() && planned.steps.is_empty());
    assert!(
        planned
            .notices
            .iter()
            .any(|notice| notice.what.contains("/srv/o.img, which domain other uses"))
    );
    // Once that one runs and this one is off, it is not started.
    host.destroy(VM).unwrap();
    host.start(&host.uuid_of("other").unwrap()).unwrap();
    assert!(refused(&host, FLEET).contains("/srv/o.img, which domain other uses"));
    // An image that is accepted may still not be another's.
    let accepting = Policy {
        accept: vec![VM.parse().unwrap()],
        ..Policy::default()
    };
    assert!(refusals(&plan(&host, FLEET, &accepting)).contains("[path-in-use]"));
}

fn recorded(host: &Memory) -> String {
    String::from_utf8(host.bytes(RECORD).unwrap()).unwrap()
}

fn accepting(replacing: bool) -> Policy {
    let vms = || vec![VM.parse().unwrap()];
    Policy {
        accept: vms(),
        allow_replace: if replacing { vms() } else { Vec::new() },
        ..Policy::default()
    }
}

/// The image was restored: other bytes under another inode.
fn restore(host: &Memory, bytes: &[u8], size: u64) {
    host.remove(IMAGE);
    host.put_file(IMAGE, bytes).unwrap();
    host.truncate(IMAGE, size).unwrap();
}

/// A running VM has what was applied, whatever is at its path now.
fn off_host() -> Memory {
    let host = settled_host();
    host.destroy(VM).unwrap();
    host
}

#[test]
fn what_was_applied_is_known_again_and_nothing_else_is_taken_for_it() {
    type Change = fn(&Memory);
    #[rustfmt::skip]
    let hosts: &[(&str, Change, &str)] = &[
        // Ordinary hosts.
        ("nothing", |_| {}, ""),
        ("a reboot with other device numbers", |host| host.mount(0x801, "6d61-7465"), ""),
        ("a file system whose UUID cannot be seen", |host| host.mount(0x801, ""), ""),
        ("a record without UUIDs", |host| {
            edit_places(host, |device| drop(device["place"].as_object_mut().unwrap().remove("file_system")));
            host.mount(0x801, "other");
        }, ""),
        ("the guest writes another format's bytes", |host| host.write_image(IMAGE, "QFI\u{fb}").unwrap(), ""),
        ("the images' folder is mounted elsewhere, too", |host| host.bind("/srv", "/mnt").unwrap(), ""),

        // Another thing.
        ("restored", |host| restore(host, b"from a backup", 8 << 30),
            "disk /srv/armhf-vm.img is not the one that was applied (a raw image of 8 GiB, inode # then, a raw image of 8 GiB, inode # now) \
             -> put the former one back, or armfleet apply --accept armhf-vm to use what is there now"),
        ("another file system with the same inodes", |host| host.mount(0xfd01, "other"),
            "boot share /srv/armhf-vm-boot is not the one that was applied (inode #, file system 6d61-7465 then, inode #, file system other now) \
             -> put the former one back, or armfleet apply --accept armhf-vm --allow-replace armhf-vm to use what is there now"),
        ("an empty folder in the place of the share", |host| {
            host.remove(SHARE);
            folder(host, SHARE);
        },
            "boot share /srv/armhf-vm-boot is not the one that was applied (inode # then, inode # now) \
             -> put the former one back, or armfleet apply --accept armhf-vm --allow-replace armhf-vm to use what is there now"),
        ("another's folder in the place of the share", |host| {
            host.remove(SHARE);
            folder(host, SHARE);
            host.put_file("/srv/armhf-vm-boot/theirs", "data").unwrap();
        },
            "boot share /srv/armhf-vm-boot is not the one that was applied (inode # then, inode # now) \
             -> put the former one back, or armfleet apply --accept armhf-vm to use what is there now"),
        ("an empty image", |host| restore(host, b"", 8 << 30),
            "disk /srv/armhf-vm.img is not the one that was applied (a raw image of 8 GiB, inode # then, a raw image of 8 GiB, inode # now) \
             -> put the former one back, or armfleet apply --accept armhf-vm --allow-replace armhf-vm to use what is there now"),
        ("an image of another format", |host| restore(host, b"QFI\xfb", 1 << 20),
            "disk /srv/armhf-vm.img is not the one that was applied (a raw image of 8 GiB, inode # then, a qcow2 image of 1 MiB, inode # now) \
             -> put the former one back, or armfleet apply --accept armhf-vm to use what is there now"),
        ("an empty folder where an earlier version's share was", |host| {
            without_places(host);
            host.remove(SHARE);
            folder(host, SHARE);
        },
            "boot share /srv/armhf-vm-boot is an empty folder of user 0, and not the one that was applied \
             -> put the former one back, or armfleet apply --accept armhf-vm --allow-replace armhf-vm to use what is there now"),
    ];
    for (name, change, expected) in hosts {
        let host = off_host();
        apply(&host, FLEET, &Policy::default()).assert_converged();
        host.destroy(VM).unwrap();
        change(&host);
        let refused = without_inodes(&refused(&host, FLEET));
        let owner = |host: &Memory| {
            host.look(SHARE, Look::Stat)
                .present()
                .map(|seen| seen.stat.uid)
        };
        let before = owner(&host);
        let applied = apply(&host, FLEET, &Policy::default());
        let started = applied
            .changes
            .iter()
            .any(|change| change.starts_with("start "));
        assert_eq!(
            refused,
            if expected.is_empty() {
                String::new()
            } else {
                format!("its {expected}\n")
            },
            "{name}"
        );
        assert_eq!(started, expected.is_empty(), "{name}");
        assert_eq!(owner(&host), before, "{name}");
    }
}

fn without_inodes(text: &str) -> String {
    let mut parts = text.split("inode ");
    let first = parts.next().unwrap_or_default().to_owned();
    let parts = parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
    parts.fold(first, |text, part| text + "inode #" + part)
}

/// As a version before 0.2 wrote it.
fn without_places(host: &Memory) {
    edit_places(host, |device| {
        drop(device.as_object_mut().unwrap().remove("place"))
    });
}

fn edit_places(host: &Memory, edit: fn(&mut serde_json::Value)) {
    let mut record: serde_json::Value = serde_json::from_str(&recorded(host)).unwrap();
    let devices = record["applied"]["devices"].as_object_mut().unwrap();
    let places = devices
        .values_mut()
        .filter(|device| !device["place"].is_null());
    places.for_each(edit);
    host.put_file(RECORD, record.to_string()).unwrap();
}

#[test]
fn what_is_accepted_is_looked_at_first_and_recorded() {
    // A restored image is taken, and is the one from then on.
    let host = off_host();
    restore(&host, b"from a backup", 8 << 30);
    apply(&host, FLEET, &accepting(false)).assert_converged();
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();

    // So is what another file system has, where the guest's files are.
    let host = off_host();
    host.put_guest_file(SHARE, "config", "the guest's").unwrap();
    host.mount(0xfd01, "other");
    apply(&host, FLEET, &accepting(false)).assert_converged();
    assert!(recorded(&host).contains("\"file_system\": \"other\""));
    apply(&host, FLEET, &Policy::default()).assert_did_nothing();

    // What is empty takes another word.
    type Change = fn(&Memory);
    let empties: [Change; 3] = [
        |host| restore(host, b"", 8 << 30),
        |host| {
            host.remove(SHARE);
            folder(host, SHARE);
        },
        |host| {
            host.truncate(IMAGE, 0).unwrap();
            host.truncate(IMAGE, 8 << 30).unwrap();
        },
    ];
    for change in empties {
        let host = settled_host();
        apply(
            &host,
            &FLEET.replace("512MiB", "640MiB"),
            &Policy::default(),
        )
        .assert_converged();
        apply(&host, FLEET, &Policy::default()).assert_converged();
        host.destroy(VM).unwrap();
        change(&host);
        let refused = refusals(&plan(&host, FLEET, &accepting(false)));
        assert!(refused.contains(", and is empty -> put the former one back, or armfleet apply --accept armhf-vm --allow-replace armhf-vm"), "{refused}");
        apply(&host, FLEET, &accepting(true)).assert_converged();
        apply(&host, FLEET, &Policy::default()).assert_did_nothing();
    }

    // Neither another format nor a part of a sector is taken.
    let host = off_host();
    restore(&host, b"QFI\xfb", 1 << 20);
    let refused = refusals(&plan(&host, FLEET, &accepting(true)));
    assert!(
        refused.contains("is a qcow2 image, but would be attached as raw"),
        "{refused}"
    );
    restore(&host, b"cut short", 1000);
    let refused = refusals(&plan(&host, FLEET, &accepting(true)));
    assert!(
        refused.contains(", and has 1 kB, which is no whole number of sectors"),
        "{refused}"
    );
    // What the guest wrote to its own image is no format.
    let host = off_host();
    host.write_image(IMAGE, "QFI\u{fb}").unwrap();
    apply(&host, FLEET, &accepting(false)).assert_converged();
}
