//! Which hosts a VM may have its files on: ordinary ones, on which it is applied, and such where another than root could put
//! something else in a file's place, on which it is refused.

use crate::harness::{apply, new_host, perform_in_order, plan};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives, Reads as _};
use armfleet::inventory::{Fact, Look};
use armfleet::paths;
use armfleet::plan::{Plan, Policy};
use armfleet::trust::Writer;

/// One host. `is` are paths in the words of [`put`], `has` the VM's paths where they are not the usual ones.
type Host = (&'static str, &'static str, &'static str, &'static str);

const SOCKET: &str = "/run/libvirt/libvirt-sock socket 0:113 660, ";

#[rustfmt::skip]
const ORDINARY: [Host; 32] = [
    // The host, what it is, what the VM has, and what the plan says of it.
    ("Debian as installed", "", "", ""),
    ("a folder of root's own", "/srv/vms 0:0 755", "share=/srv/vms/b disk=/srv/vms/x.img", ""),
    ("one that root alone can list", "/srv/vms 0:0 711", "share=/srv/vms/b disk=/srv/vms/x.img", ""),
    ("one that group root can write", "/srv/vms 0:0 2775", "share=/srv/vms/b disk=/srv/vms/x.img", ""),
    ("one of a group that can only read", "/srv/vms 0:107 2750", "share=/srv/vms/b disk=/srv/vms/x.img", ""),
    ("a btrfs subvolume", "/mnt/pool 0:0 755, /mnt/pool/@vms 0:0 755", "disk=/mnt/pool/@vms/x.img", ""),
    ("ZFS, mounted for root", "/tank 0:0 755, /tank/vms 0:0 755", "disk=/tank/vms/x.img share=/tank/vms/b", ""),
    ("NFS without root squash", "/mnt/nfs 0:0 755", "disk=/mnt/nfs/x.img", ""),
    ("a folder that is a link of root's", "/data/vms 0:0 755, /vms 0 -> data/vms", "disk=/vms/x.img share=/vms/b", ""),
    ("links that lead to links", "/data 0:0 755, /a 0 -> /b, /b 0 -> srv/../data/.", "disk=/a/x.img", ""),
    ("a log folder that is a link", "/data/log 0:0 755, /var/log/vms 0 -> /data/log", "log=/var/log/vms/vm.log", ""),
    ("armfleet's folder on another disk", "/data/armfleet 0:0 711, /var/lib/armfleet 0 -> /data/armfleet", "", ""),
    ("libvirt's images", "/var/lib/libvirt/images 0:0 711", "disk=/var/lib/libvirt/images/x.img", ""),
    ("libvirt's images, given to QEMU", "/var/lib/libvirt/images 64055:64055 770",
        "disk=/var/lib/libvirt/images/x.img", ""),
    ("libvirt's folder of QEMU's", "/var/lib/libvirt/qemu 64055:64055 750", "disk=/var/lib/libvirt/qemu/x.img", ""),
    ("libvirt's logs", "/var/log/libvirt/qemu 0:4 2770", "log=/var/log/libvirt/qemu/vm-console.log", ""),
    ("a share of before", "/srv/vm-boot 64055:64055 700", "", ""),
    ("an image restored as a user", "/srv/vm.img file 1000:1000", "", ""),
    ("an image that QEMU had", "/srv/vm.img file 64055:64055", "", ""),
    ("a log of before", "/var/log/vm.log file 0:0", "log=/var/log/vm.log", ""),
    ("Ubuntu's log folder", "/var/log 0:111 775", "log=/var/log/vm.log",
        "~ /var/log: group 111 can replace what is in it (allowed: its members write all of the host's logs)"),
    ("root's folder in /tmp", "/tmp 0:0 1777, /tmp/vms 0:0 755", "disk=/tmp/vms/x.img share=/tmp/vms/b", ""),
    ("root's log in everyone's folder", "/var/log/vms 0:0 1777, /var/log/vms/vm.log file 0:0", "log=/var/log/vms/vm.log", ""),
    ("a pair that CI built as another user", "/home/ci 1000:1000 755, /home/ci/k file 1000:1000, /home/ci/i file 1000:1000",
        "seed=/home/ci/k,/home/ci/i", ""),
    ("group libvirt, root's equal", "SOCKET/srv/vms 0:113 2775", "disk=/srv/vms/x.img",
        "~ /srv/vms: group 113 can replace what is in it (allowed: libvirt's socket makes its members root's equals)"),
    ("group libvirt in a list", "SOCKET/srv/vms acl group 113", "disk=/srv/vms/x.img",
        "~ /srv/vms: group 113 can replace what is in it (allowed: libvirt's socket makes its members root's equals)"),
    ("a list that lets root write", "/srv/vms acl user 0", "disk=/srv/vms/x.img", ""),
    ("the modular daemon's socket", "/run/libvirt/virtqemud-sock socket 0:113 660, /srv/vms 0:113 775", "disk=/srv/vms/x.img",
        "~ /srv/vms: group 113 can replace what is in it (allowed: libvirt's socket makes its members root's equals)"),
    ("a home that is trusted", "/home/me 1000:1000 755", "disk=/home/me/x.img share=/home/me/b trust=/home/me", ""),
    ("a folder above that is trusted", "/home/me 1000:1000 755, /home/me/l 1000 -> vms, /home/me/vms 1000:1000 700",
        "disk=/home/me/l/x.img trust=/home", ""),
    ("a place for everyone that is trusted", "/tmp 0:0 1777", "disk=/tmp/x.img trust=/tmp", ""),
    ("a folder of QEMU's user that is trusted", "/srv/vms 64055:64055 755", "share=/srv/vms/b trust=/srv/vms",
        "~ vm: its boot share /srv/vms/b can be swapped: QEMU's user (64055) can replace what is in /srv/vms (allowed by \
         hosts: { local: { trust: … } }; to end it, chown root: /srv/vms; chmod go-w /srv/vms)"),
];

#[rustfmt::skip]
const HOSTILE: [Host; 26] = [
    ("a user's home", "/home/me 1000:1000 755", "disk=/home/me/x.img",
        "! vm: its disk /home/me/x.img can be swapped: user 1000 can replace what is in /home/me [writable-folder] -> \
         chown root: /home/me; chmod go-w /home/me, or in the fleet file, hosts: { local: { trust: [/home/me] } }"),
    ("root's folder in a user's home", "/home/me 1000:1000 755, /home/me/vms 0:0 755", "share=/home/me/vms/b",
        "! vm: its boot share /home/me/vms/b can be swapped: user 1000 can replace what is in /home/me [writable-folder] -> \
         chown root: /home/me; chmod go-w /home/me, or in the fleet file, hosts: { local: { trust: [/home/me] } }"),
    ("a log in a user's home", "/home/me 1000:1000 755", "log=/home/me/vm.log",
        "! vm: its console log /home/me/vm.log can be swapped: user 1000 can replace what is in /home/me [writable-folder] -> \
         chown root: /home/me; chmod go-w /home/me, or in the fleet file, hosts: { local: { trust: [/home/me] } }"),
    ("all of it", "/home/me 1000:1000 755", "share=/home/me/b disk=/home/me/x.img",
        "! vm: its boot share /home/me/b and its disk /home/me/x.img can be swapped: user 1000 can replace what is in /home/me \
         [writable-folder] -> chown root: /home/me; chmod go-w /home/me, or in the fleet file, hosts: { local: { trust: [/home/me] } }"),
    ("folder in folder of a user", "/home/me 1000:1000 755, /home/me/vms 1000:1000 755", "disk=/home/me/vms/x.img",
        "! vm: its disk /home/me/vms/x.img can be swapped: user 1000 can replace what is in /home/me; user 1000 can replace what \
         is in /home/me/vms [writable-folder] -> chown root: /home/me /home/me/vms; chmod go-w /home/me /home/me/vms, or in the \
         fleet file, hosts: { local: { trust: [/home/me, /home/me/vms] } }"),
    ("the log folder of a group of users", "/var/log 0:1000 775", "log=/var/log/vm.log",
        "! vm: its console log /var/log/vm.log can be swapped: group 1000 can replace what is in /var/log [writable-folder] -> \
         chown root: /var/log; chmod go-w /var/log, or in the fleet file, hosts: { local: { trust: [/var/log] } }"),
    ("a log folder of the syslog daemon's", "/var/log/vms 0:111 775", "log=/var/log/vms/vm.log",
        "! vm: its console log /var/log/vms/vm.log can be swapped: group 111 can replace what is in /var/log/vms \
         [writable-folder] -> chown root: /var/log/vms; chmod go-w /var/log/vms, or in the fleet file, \
         hosts: { local: { trust: [/var/log/vms] } }"),
    ("a group's folder", "/srv/vms 0:50 2775", "disk=/srv/vms/x.img",
        "! vm: its disk /srv/vms/x.img can be swapped: group 50 can replace what is in /srv/vms [writable-folder] -> \
         chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, hosts: { local: { trust: [/srv/vms] } }"),
    ("group libvirt, with a socket of root's", "/run/libvirt/libvirt-sock socket 0:113 600, /srv/vms 0:113 775", "disk=/srv/vms/x.img",
        "! vm: its disk /srv/vms/x.img can be swapped: group 113 can replace what is in /srv/vms [writable-folder] -> \
         chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, hosts: { local: { trust: [/srv/vms] } }"),
    ("QEMU's group", "SOCKET/srv/vms 0:64055 775", "disk=/srv/vms/x.img",
        "! vm: its disk /srv/vms/x.img can be swapped: QEMU's group (64055) can replace what is in /srv/vms [writable-folder] -> \
         chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, hosts: { local: { trust: [/srv/vms] } }"),
    ("a folder of QEMU's user", "/srv/vms 64055:64055 755", "disk=/srv/vms/x.img",
        "! vm: its disk /srv/vms/x.img can be swapped: QEMU's user (64055) can replace what is in /srv/vms [writable-folder] -> \
         chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, hosts: { local: { trust: [/srv/vms] } }"),
    ("a share in a share", "/srv/other-boot 64055:64055 700", "share=/srv/other-boot/b",
        "! vm: its boot share /srv/other-boot/b can be swapped: QEMU's user (64055) can replace what is in /srv/other-boot \
         [writable-folder] -> chown root: /srv/other-boot; chmod go-w /srv/other-boot, or in the fleet file, \
         hosts: { local: { trust: [/srv/other-boot] } }"),
    ("everyone's folder", "/srv/vms 0:0 777", "disk=/srv/vms/x.img",
        "! vm: its disk /srv/vms/x.img can be swapped: every user can replace what is in /srv/vms [writable-folder] -> \
         chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, hosts: { local: { trust: [/srv/vms] } }"),
    ("everyone's, behind a link of root's", "/data 0:0 777, /vms 0 -> /data", "disk=/vms/x.img",
        "! vm: its disk /vms/x.img can be swapped: every user can replace what is in /data [writable-folder] -> \
         chown root: /data; chmod go-w /data, or in the fleet file, hosts: { local: { trust: [/data] } }"),
    ("a list with a user", "/srv/vms acl user 1000", "disk=/srv/vms/x.img",
        "! vm: its disk /srv/vms/x.img can be swapped: user 1000 can replace what is in /srv/vms [writable-folder] -> \
         chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, hosts: { local: { trust: [/srv/vms] } }"),
    ("a list with QEMU's user", "/srv/vms acl user 64055", "disk=/srv/vms/x.img",
        "! vm: its disk /srv/vms/x.img can be swapped: QEMU's user (64055) can replace what is in /srv/vms [writable-folder] -> \
         chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, hosts: { local: { trust: [/srv/vms] } }"),
    ("NFS with root squash", "/mnt/nfs 65534:65534 755", "disk=/mnt/nfs/x.img",
        "! vm: its disk /mnt/nfs/x.img can be swapped: user 65534 can replace what is in /mnt/nfs [writable-folder] -> \
         chown root: /mnt/nfs; chmod go-w /mnt/nfs, or in the fleet file, hosts: { local: { trust: [/mnt/nfs] } }"),
    ("a link of a user's", "/data 0:0 755, /vms 1000 -> /data", "disk=/vms/x.img",
        "! vm: its disk /vms/x.img can be swapped: the symbolic link /vms belongs to user 1000 [writable-folder] -> \
         chown -h root: /vms"),
    ("a share in /tmp", "/tmp 0:0 1777", "share=/tmp/b",
        "! vm: its boot share /tmp/b can be swapped: every user can replace what is in /tmp [writable-folder] -> \
         move it to a folder where only root can write, or in the fleet file, hosts: { local: { trust: [/tmp] } }"),
    ("an image in /tmp, root's so far", "/tmp 0:0 1777, /tmp/x.img file 0:0", "disk=/tmp/x.img",
        "! vm: its disk /tmp/x.img can be swapped: QEMU's user (64055) can replace what is in /tmp [writable-folder] -> \
         move it to a folder where only root can write, or in the fleet file, hosts: { local: { trust: [/tmp] } }"),
    ("a log in /tmp that anyone may make", "/tmp 0:0 1777", "log=/tmp/vm.log",
        "! vm: its console log /tmp/vm.log can be swapped: every user can replace what is in /tmp [writable-folder] -> \
         move it to a folder where only root can write, or in the fleet file, hosts: { local: { trust: [/tmp] } }"),
    ("root's link in /tmp", "/data 0:0 755, /tmp 0:0 1777, /tmp/l 0 -> /data", "disk=/tmp/l/x.img",
        "! vm: its disk /tmp/l/x.img can be swapped: every user can replace what is in /tmp [writable-folder] -> \
         move it to a folder where only root can write, or in the fleet file, hosts: { local: { trust: [/tmp] } }"),
    ("a user's folder in libvirt's", "/var/lib/libvirt/images/me 1000:1000 755", "disk=/var/lib/libvirt/images/me/x.img",
        "! vm: its disk /var/lib/libvirt/images/me/x.img can be swapped: user 1000 can replace what is in /var/lib/libvirt/images/me \
         [writable-folder] -> chown root: /var/lib/libvirt/images/me; chmod go-w /var/lib/libvirt/images/me, or in the fleet \
         file, hosts: { local: { trust: [/var/lib/libvirt/images/me] } }"),
    ("a share that is a link", "/data/b 0:0 755, /srv/vm-boot 0 -> /data/b", "",
        "! vm: its boot share /srv/vm-boot can be swapped: /srv/vm-boot is a symbolic link [writable-folder] -> \
         name the folder that it leads to"),
    ("another folder is trusted", "/home/me 1000:1000 755", "disk=/home/me/x.img trust=/home/m",
        "! vm: its disk /home/me/x.img can be swapped: user 1000 can replace what is in /home/me [writable-folder] -> \
         chown root: /home/me; chmod go-w /home/me, or in the fleet file, hosts: { local: { trust: [/home/me] } }"),
    ("a user's link in a trusted folder, to another place", "/home/me 1000:1000 755, /home/you 1001:1001 755, \
         /home/me/l 1000 -> /home/you", "disk=/home/me/l/x.img trust=/home/me",
        "! vm: its disk /home/me/l/x.img can be swapped: user 1001 can replace what is in /home/you [writable-folder] -> \
         chown root: /home/you; chmod go-w /home/you, or in the fleet file, hosts: { local: { trust: [/home/you] } }"),
];

#[test]
fn ordinary_hosts_are_applied() {
    for (what, is, has, says) in ORDINARY {
        let (host, fleet) = (host(is), fleet(has));
        let planned = plan(&host, &fleet, &Policy::default());
        assert_eq!(told(&planned), says, "{what}");
        assert!(
            planned
                .steps
                .iter()
                .any(|step| step.id.to_string() == "domain/vm"),
            "{what}"
        );
        apply(&host, &fleet, &Policy::default()).assert_converged();
    }
}

#[test]
fn hostile_hosts_are_refused() {
    for (what, is, has, says) in HOSTILE {
        let (host, fleet) = (host(is), fleet(has));
        let planned = plan(&host, &fleet, &Policy::default());
        assert_eq!(told(&planned), says, "{what}");
        let of_vm = |step: &&armfleet::plan::Step| step.vm.is_some();
        assert_eq!(planned.steps.iter().find(of_vm), None, "{what}");
    }
}

#[test]
fn no_vm_starts_where_armfleets_own_folders_can_be_swapped() {
    for (is, says) in [
        (
            "/var/lib 0:50 775",
            "! /var/lib/armfleet: /var/lib/armfleet can be swapped: group 50 can replace what is in /var/lib [writable-folder] -> \
             chown root: /var/lib; chmod go-w /var/lib, or in the fleet file, hosts: { local: { trust: [/var/lib] } }",
        ),
        (
            "/etc/libvirt/hooks 0:0 755, /etc/libvirt/hooks/qemu.d 1000:0 755",
            "! /etc/libvirt/hooks/qemu.d/50-armfleet: /etc/libvirt/hooks/qemu.d/50-armfleet can be swapped: user 1000 can replace \
             what is in /etc/libvirt/hooks/qemu.d [writable-folder] -> chown root: /etc/libvirt/hooks/qemu.d; \
             chmod go-w /etc/libvirt/hooks/qemu.d, or in the fleet file, hosts: { local: { trust: [/etc/libvirt/hooks/qemu.d] } }",
        ),
    ] {
        let planned = plan(&host(is), &fleet(""), &Policy::default());
        assert!(told(&planned).contains(says), "{}\n{says}", told(&planned));
        let starts = planned
            .steps
            .iter()
            .any(|step| step.id.to_string() == "start/vm");
        assert!(!starts);
    }
}

/// What the remedies say works as it stands.
#[test]
fn a_folder_given_to_root_is_refused_no_more() {
    let (host, fleet) = (host("/srv/vms 1000:50 777"), fleet("disk=/srv/vms/x.img"));
    assert!(told(&plan(&host, &fleet, &Policy::default())).contains("writable-folder"));
    host.own("/srv/vms", 0o755, Owner { uid: 0, gid: 0 })
        .unwrap();
    apply(&host, &fleet, &Policy::default()).assert_converged();
}

/// Has the VM's record be as an earlier version wrote it.
fn forget_ways(host: &Memory) {
    let record = paths::record(&"vm".parse().unwrap());
    let text = String::from_utf8(host.bytes(&record).unwrap()).unwrap();
    let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
    let applied = older["applied"].as_object_mut().unwrap();
    applied.remove("guarded").unwrap();
    host.put_file(&record, older.to_string()).unwrap();
    host.own(&record, 0o600, Owner { uid: 0, gid: 0 }).unwrap();
}

#[test]
fn a_share_applied_before_anyone_asked_that_is_qemus_to_swap_is_told_not_to_be_read() {
    let host = host("/srv/vms 64055:64055 755");
    perform_in_order(&host, &fleet("share=/srv/vms/b trust=/srv/vms"));
    forget_ways(&host);
    let planned = plan(&host, &fleet("share=/srv/vms/b"), &Policy::default());
    assert_eq!(
        told(&planned),
        "~ vm: its boot share /srv/vms/b can be swapped: QEMU's user (64055) can replace what is in /srv/vms (no kernel is taken \
         from it, and it is refused as soon as its path changes; chown root: /srv/vms; chmod go-w /srv/vms, or in the fleet file, \
         hosts: { local: { trust: [/srv/vms] } })"
    );
}

#[test]
fn a_vm_applied_before_anyone_asked_is_told_so_and_goes_on_until_its_path_changes() {
    let host = host("/home/me 1000:1000 755");
    let of = |disk: &str| fleet(&format!("disk={disk}"));
    let trusting = fleet("disk=/home/me/x.img trust=/home/me");
    perform_in_order(&host, &trusting);
    // It was sound by what the file said, and is not without.
    let planned = plan(&host, &of("/home/me/x.img"), &Policy::default());
    assert!(told(&planned).starts_with("! vm: its disk /home/me/x.img can be swapped"));

    forget_ways(&host);
    let planned = plan(&host, &of("/home/me/x.img"), &Policy::default());
    assert_eq!(
        told(&planned),
        "~ vm: its disk /home/me/x.img can be swapped: user 1000 can replace what is in /home/me (refused as soon as its path \
         changes; chown root: /home/me; chmod go-w /home/me, or in the fleet file, hosts: { local: { trust: [/home/me] } })"
    );
    assert!(planned.steps.is_empty(), "{planned:#?}");
    // A step that it gets takes the folder as the plan took it.
    let grown = of("/home/me/x.img").replace("1MiB", "2MiB");
    apply(&host, &grown, &Policy::default()).assert_converged();
    let planned = plan(&host, &of("/home/me/y.img"), &Policy::default());
    assert!(told(&planned).starts_with("! vm: its disk /home/me/y.img can be swapped"));

    // A record alone is not written for it.
    host.own("/home/me", 0o755, Owner { uid: 0, gid: 0 })
        .unwrap();
    let planned = plan(&host, &grown, &Policy::default());
    assert_eq!((told(&planned).as_str(), planned.steps.len()), ("", 0));
}

#[test]
fn an_applied_vm_whose_folder_became_writable_is_refused_and_others_are_not() {
    let host = host("/srv/vms 0:0 755");
    let both = |memory: &str| {
        let one = fleet("disk=/srv/vms/x.img");
        let other =
            "  other: { arch: armhf, memory: MEMORY, boot: { cmdline: root=x }, state: stopped }\n";
        format!("{one}{}", other.replace("MEMORY", memory))
    };
    perform_in_order(&host, &both("64MiB"));
    host.own("/srv/vms", 0o775, Owner { uid: 0, gid: 50 })
        .unwrap();
    let planned = plan(&host, &both("128MiB"), &Policy::default());
    assert!(told(&planned).starts_with("! vm: its disk /srv/vms/x.img can be swapped"));
    let ids: Vec<_> = planned
        .steps
        .iter()
        .map(|step| step.id.to_string())
        .collect();
    assert_eq!(ids, ["domain/other", "record/other"]);
}

/// Between plan and apply somebody got a right to write, and used it.
#[test]
fn a_step_looks_at_its_ways_again() {
    use armfleet::host::{Executor, Host as _};
    let host = host("/srv/vms 0:0 755");
    let fleet = fleet("share=/srv/vms/b disk=/srv/vms/x.img");
    let planned = plan(&host, &fleet, &Policy::default());
    host.own("/srv/vms", 0o775, Owner { uid: 0, gid: 50 })
        .unwrap();
    let executor = Executor::locked(host.clone()).unwrap();
    let mut failed = Vec::new();
    for step in &planned.steps {
        if let Err(error) = executor.perform(step) {
            failed.push(format!("{}: {error}", step.id));
        }
    }
    let cannot = |id: &str, path: &str| format!("{id}: cannot use {path}");
    for expected in [
        cannot("share/vm", "/srv/vms/b"),
        cannot("disk/vm/x", "/srv/vms/x.img"),
        cannot("domain/vm", "/srv/vms/b"),
    ] {
        assert!(failed.contains(&expected), "{expected}: {failed:?}");
    }
    for path in ["/srv/vms/b", "/srv/vms/x.img"] {
        assert_eq!(host.look(path, Look::Stat), Fact::Absent);
    }
}

/// At a path that others have lead elsewhere nothing is opened.
#[test]
fn nothing_is_opened_at_a_path_that_can_be_swapped() {
    let host =
        host("/home/me 1000:1000 755, /home/me/x.img file 1000:1000, /home/me/b 1000:1000 755");
    let seen = crate::harness::observe(&host, &fleet("share=/home/me/b disk=/home/me/x.img"));
    let image = seen.paths["/home/me/x.img"].present().unwrap();
    assert_eq!((image.blank, image.head.as_ref()), (None, None));
    assert_eq!(seen.paths["/home/me/b"].present().unwrap().entries, None);
}

fn told(plan: &Plan) -> String {
    let refusals = plan.refusals.iter().map(|refusal| {
        let check = refusal
            .check
            .map(|check| format!(" [{check}]"))
            .unwrap_or_default();
        format!(
            "! {}: {}{check} -> {}",
            refusal.subject, refusal.why, refusal.remedy
        )
    });
    let unknowns = plan
        .unknowns
        .iter()
        .map(|unknown| format!("? {}: {}", unknown.subject, unknown.why));
    let notices = plan.notices.iter();
    let notices =
        notices.map(|notice| format!("~ {}: {} ({})", notice.subject, notice.what, notice.outlook));
    refusals
        .chain(unknowns)
        .chain(notices)
        .collect::<Vec<_>>()
        .join("\n")
}

fn fleet(has: &str) -> String {
    let words: Vec<_> = has
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap())
        .collect();
    let find = |key: &str| {
        words
            .iter()
            .find(|(word, _)| *word == key)
            .map(|(_, value)| *value)
    };
    let (share, disk) = (find("share"), find("disk"));
    let (share, disk) = (
        share.unwrap_or("/srv/vm-boot"),
        disk.unwrap_or("/srv/vm.img"),
    );
    let seed = "/srv/seed/vmlinuz-6.1.0-48-armmp,/srv/seed/initrd.img-6.1.0-48-armmp";
    let (kernel, initrd) = find("seed").unwrap_or(seed).split_once(',').unwrap();
    let trust =
        find("trust").map(|folder| format!("hosts: {{ local: {{ trust: [{folder}] }} }}\n"));
    let log = find("log").map(|log| format!(", console: {{ log: {log} }}"));
    let (trust, log) = (trust.unwrap_or_default(), log.unwrap_or_default());
    format!(
        "fleet: lab\n{trust}vms:\n  vm: {{ arch: armhf, memory: 64MiB, boot: {{ share: {share}, cmdline: root=x, seed: {{ kernel: \
         {kernel}, initrd: {initrd} }} }}, disks: [{{ path: {disk}, size: 1MiB }}]{log} }}\n"
    )
}

fn host(is: &str) -> Memory {
    let host = new_host();
    let changes = is.replace("SOCKET", SOCKET);
    for change in changes.split(", ").filter(|change| !change.is_empty()) {
        put(&host, change.trim());
    }
    host
}

/// `PATH UID:GID MODE`, a folder; `PATH UID -> TARGET`; `PATH file UID:GID`, of a mebibyte of zeros or a whole kernel or
/// initrd; `PATH socket UID:GID MODE`; `PATH acl user|group ID`, a folder with such a list.
fn put(host: &Memory, change: &str) {
    let words: Vec<_> = change.split_whitespace().collect();
    let path = words[0];
    for (end, _) in path.match_indices('/').skip(1) {
        if host.look(&path[..end], Look::Stat).is_absent() {
            host.make_folder(&path[..end], 0o755, None).unwrap();
        }
    }
    let owner = |word: &str| {
        let (uid, gid) = word.split_once(':').unwrap();
        Owner {
            uid: uid.parse().unwrap(),
            gid: gid.parse().unwrap(),
        }
    };
    let mode = |word: &str| u32::from_str_radix(word, 8).unwrap();
    let folder = || {
        if host.look(path, Look::Stat).is_absent() {
            host.make_folder(path, 0o755, None).unwrap();
        }
    };
    match words[1..] {
        ["file", by] => {
            let sources = "/srv/seed/vmlinuz-6.1.0-48-armmp,/srv/seed/initrd.img-6.1.0-48-armmp";
            let (kernel, initrd) = sources.split_once(',').unwrap();
            match path.rsplit_once('/').unwrap().1 {
                "k" => host.put_file(path, host.bytes(kernel).unwrap()).unwrap(),
                "i" => host.put_file(path, host.bytes(initrd).unwrap()).unwrap(),
                name if name.ends_with(".log") => host.put_file(path, "").unwrap(),
                _ => host.put_file(path, vec![0; 1 << 20]).unwrap(),
            }
            host.own(path, 0o600, owner(by)).unwrap();
        }
        ["socket", by, bits] => {
            host.put_special(path).unwrap();
            host.own(path, mode(bits), owner(by)).unwrap();
        }
        ["acl", kind, id] => {
            folder();
            let id = id.parse().unwrap();
            let writer = if kind == "user" {
                Writer::User(id)
            } else {
                Writer::Group(id)
            };
            host.give_acl(path, &[writer]).unwrap();
        }
        [uid, "->", target] => {
            host.put_link(path, target).unwrap();
            let uid = uid.parse().unwrap();
            host.own(path, 0o777, Owner { uid, gid: uid }).unwrap();
        }
        [by, bits] => {
            folder();
            host.own(path, mode(bits), owner(by)).unwrap();
        }
        _ => panic!("{change}"),
    }
}
