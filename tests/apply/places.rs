//! Which paths a VM may be given: ordinary hosts are planned as they should be, hostile ones are refused with the path and the
//! remedy. Each line of a table is a host of its own.

use crate::harness::{FLEET, IMAGE, RECORD, VM, apply, new_host, plan, settled_host};
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
