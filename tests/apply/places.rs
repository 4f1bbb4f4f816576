//! Which paths a VM may be given: ordinary hosts are planned as they should be, hostile ones are refused with the path and the
//! remedy. Each line of a table is a host of its own.

use crate::harness::{FLEET, IMAGE, RECORD, SHARE, VM, apply, new_host, plan, settled_host};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives};
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
        ("/srv/a.log", |host| host.create_image("/srv/a.log", 1 << 20).unwrap(),
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
    host.create_image(path, 8 << 30).unwrap();
    host.write_image(path, "data").unwrap();
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
