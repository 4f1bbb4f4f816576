//! Block devices as disks: known by what lasts of them, and never created, grown or given to two.

use crate::harness::applied::{applied, edit_domain, empty_host, perform, plan_on, spec, vm};
use crate::harness::{plan_of, text};
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives};
use armfleet::inventory::{DeviceUse, RawDevice};
use armfleet::plan::{Plan, Policy};

const VOLUME: &str = "/dev/vg0/a";
const GIB: u64 = 1 << 30;
const NUMBER: u64 = 0xfe03;

fn fleet(path: &str) -> Spec {
    let vm = vm("a", "1GiB", "").replace("/srv/a.img", path);
    spec(&format!("fleet: f\nvms:\n{vm}"))
}

fn volume(size: u64, uuid: &str) -> RawDevice {
    RawDevice {
        size: Some(size),
        ids: [format!("dm-uuid-LVM-{uuid}")].into(),
        ..RawDevice::default()
    }
}

fn put(host: &Memory, node: &str, number: u64, known: RawDevice) {
    host.put_device(node, number, known, [0; 512]).unwrap();
}

/// A host with a logical volume, as udev shows it.
fn host_with(known: RawDevice) -> Memory {
    let host = empty_host();
    for folder in ["/dev", "/dev/vg0"] {
        host.make_folder(folder, 0o755, None).unwrap();
    }
    put(&host, "/dev/dm-3", NUMBER, known);
    host.put_link(VOLUME, "../dm-3").unwrap();
    host
}

fn applied_volume() -> Memory {
    let host = host_with(volume(8 * GIB, "one"));
    let host = perform(&host, &plan_on(&fleet(VOLUME), &host));
    assert_eq!(said(&plan_on(&fleet(VOLUME), &host)), "");
    host
}

/// What a plan refuses or does not know, with the remedy, and what it says.
fn said(plan: &Plan) -> String {
    let refused = plan.refusals.iter().map(|refusal| {
        let check = refusal
            .check
            .map_or(String::new(), |check| format!(" [{check}]"));
        format!("{}{check} -> {}\n", refusal.why, refusal.remedy)
    });
    let unknown = plan
        .unknowns
        .iter()
        .map(|unknown| format!("? {}\n", unknown.why));
    let steps = plan.steps.iter().map(|step| format!("+ {}\n", step.id));
    refused.chain(unknown).chain(steps).collect()
}

/// What is refused or not known of a VM with this disk, without the steps that other things need.
fn refused(host: &Memory, path: &str) -> String {
    said(&plan_on(&fleet(path), host))
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("+ "))
        .collect()
}

#[test]
fn a_volume_is_attached_as_a_block_device_and_the_record_keeps_its_uuid() {
    let host = applied_volume();
    let definition = host.dump_secure(&host.uuid_of("a").unwrap()).unwrap();
    assert!(
        definition.contains("<disk type='block' device='disk'>"),
        "{definition}"
    );
    assert!(
        definition.contains(&format!("<source dev='{VOLUME}'/>")),
        "{definition}"
    );
    let record = host.bytes("/var/lib/armfleet/vms/a/record.json").unwrap();
    let record = String::from_utf8(record).unwrap();
    assert!(record.contains("dm-uuid-LVM-one"), "{record}");
    assert!(record.contains("8589934592"), "{record}");
}

#[test]
fn another_number_or_node_of_the_same_volume_is_no_difference() {
    let host = applied_volume();
    host.remove("/dev/dm-3");
    host.remove(VOLUME);
    put(&host, "/dev/dm-7", 0xfe07, volume(8 * GIB, "one"));
    host.put_link(VOLUME, "../dm-7").unwrap();
    assert_eq!(said(&plan_on(&fleet(VOLUME), &host)), "");
}

#[test]
fn another_volume_in_its_place_is_refused_until_it_is_accepted() {
    let host = applied_volume();
    put(&host, "/dev/dm-3", NUMBER, volume(9 * GIB, "two"));
    assert_eq!(
        refused(&host, VOLUME),
        "its disk /dev/vg0/a is not the one that was applied (a device of 8 GiB, dm-uuid-LVM-one then, a device of 9 GiB, \
         dm-uuid-LVM-two now) -> put the former one back, or armfleet apply --accept a to use what is there now\n"
    );
    let accept = Policy {
        accept: ["a".parse().unwrap()].into(),
        ..Policy::default()
    };
    let planned = plan_of(&host, &fleet(VOLUME), &accept);
    assert_eq!(said(&planned), "+ record/a\n", "{}", text(&planned));
    let host = perform(&host, &planned);
    assert_eq!(refused(&host, VOLUME), "");
}

#[test]
fn a_device_that_has_no_lasting_name_is_known_by_its_size_alone() {
    let unnamed = |size| RawDevice {
        size: Some(size),
        ..RawDevice::default()
    };
    let host = host_with(unnamed(8 * GIB));
    let host = perform(&host, &plan_on(&fleet(VOLUME), &host));
    put(&host, "/dev/dm-3", NUMBER, unnamed(9 * GIB));
    assert_eq!(refused(&host, VOLUME), "");
    put(&host, "/dev/dm-3", NUMBER, unnamed(7 * GIB));
    assert_eq!(
        refused(&host, VOLUME),
        "its disk /dev/vg0/a has shrunk: 8 GiB at the last apply, 7 GiB now -> put the former one back, or armfleet apply \
         --accept a to use what is there now\n"
    );
}

#[test]
fn a_new_link_of_a_device_to_its_serial_number_is_no_difference() {
    let named = |names: &[&str]| RawDevice {
        size: Some(8 * GIB),
        ids: names.iter().map(|name| (*name).to_owned()).collect(),
        ..RawDevice::default()
    };
    let host = host_with(named(&["scsi-SQEMU_1"]));
    let host = perform(&host, &plan_on(&fleet(VOLUME), &host));
    put(
        &host,
        "/dev/dm-3",
        NUMBER,
        named(&["ata-QEMU_1", "scsi-SQEMU_1"]),
    );
    assert_eq!(refused(&host, VOLUME), "");
    put(&host, "/dev/dm-3", NUMBER, named(&["ata-QEMU_2"]));
    assert!(refused(&host, VOLUME).contains("is not the one that was applied"));
}

#[test]
fn what_cannot_be_a_vms_device_is_refused_with_the_way_out() {
    let used = |used| RawDevice {
        used: Some(used),
        ..volume(8 * GIB, "one")
    };
    type Prepare = Box<dyn Fn(&Memory)>;
    let with = |known: RawDevice| -> Prepare {
        Box::new(move |host| put(host, "/dev/dm-3", NUMBER, known.clone()))
    };
    let hosts: Vec<(&str, Prepare, &str)> = vec![
        (
            VOLUME,
            Box::new(|host| host.remove(VOLUME)),
            "its disk /dev/vg0/a is not there, and armfleet creates no block devices -> lvcreate -L 8589934592b -n a vg0, or \
             correct the path\n",
        ),
        (
            "/dev/sdx",
            Box::new(|_| ()),
            "its disk /dev/sdx is not there, and armfleet creates no block devices -> make it first, or correct the path\n",
        ),
        (
            "/dev/x.img",
            Box::new(|host| host.put_file("/dev/x.img", "").unwrap()),
            "its disk /dev/x.img is not a block device -> name a block device below /dev, or an image elsewhere\n",
        ),
        (
            "/dev/tty9",
            Box::new(|host| host.put_special("/dev/tty9").unwrap()),
            "its disk /dev/tty9 is not a block device -> name a block device below /dev, or an image elsewhere\n",
        ),
        (
            VOLUME,
            with(volume(7 * GIB, "one")),
            "its disk /dev/vg0/a has 7 GiB, and `size` asks for 8 GiB -> grow the device (a logical volume: lvextend -L \
             8589934592b /dev/vg0/a), or set size: 7GiB\n",
        ),
        (
            VOLUME,
            with(volume(0, "one")),
            "its disk /dev/vg0/a holds nothing: its size is 0 -> lsblk /dev/vg0/a shows it; attach what it is for, or name \
             another device\n",
        ),
        (
            VOLUME,
            with(RawDevice::default()),
            "? how large its disk /dev/vg0/a is could not be seen\n",
        ),
        (
            VOLUME,
            with(used(DeviceUse::Mounted("/srv".to_owned()))),
            "its disk /dev/vg0/a is in use by the host itself: it is mounted at /srv [path-in-use] -> umount /srv, or name \
             another device\n",
        ),
        (
            VOLUME,
            with(used(DeviceUse::PartOf("vg1-home".to_owned()))),
            "its disk /dev/vg0/a is in use by the host itself: vg1-home is made of it [path-in-use] -> name that one, or \
             another; lsblk /dev/vg0/a shows them\n",
        ),
        (
            VOLUME,
            with(used(DeviceUse::Swap)),
            "its disk /dev/vg0/a is in use by the host itself: it is swap space [path-in-use] -> swapoff /dev/vg0/a, or name \
             another device\n",
        ),
        (
            VOLUME,
            Box::new(|host| {
                let known = volume(8 * GIB, "one");
                host.put_device("/dev/dm-3", NUMBER, known, b"QFI\xfb\0\0\0\x03")
                    .unwrap();
            }),
            "its disk /dev/vg0/a is a qcow2 image, but would be attached as raw -> qemu-img convert -O raw /dev/vg0/a FILE, \
             and set path: FILE in the fleet file\n",
        ),
        // A user's link, and a folder in which everybody can write.
        (
            VOLUME,
            Box::new(|host| {
                host.own(
                    VOLUME,
                    0o777,
                    Owner {
                        uid: 1000,
                        gid: 1000,
                    },
                )
                .unwrap()
            }),
            "its disk /dev/vg0/a can be swapped: the symbolic link /dev/vg0/a belongs to user 1000 [writable-folder] -> chown -h root: \
             /dev/vg0/a\n",
        ),
        (
            "/dev/shm/a",
            Box::new(|host| {
                host.make_folder("/dev/shm", 0o1777, None).unwrap();
                host.put_link("/dev/shm/a", "/dev/dm-3").unwrap();
            }),
            "its disk /dev/shm/a can be swapped: every user can replace what is in /dev/shm [writable-folder] -> move it to a \
             folder where only root can write, or in the fleet file, hosts: { local: { trust: [/dev/shm] } }\n",
        ),
        // An image's path that leads to a device is none.
        (
            "/srv/a.img",
            Box::new(|host| host.put_link("/srv/a.img", "/dev/dm-3").unwrap()),
            "its disk /srv/a.img is not a plain file -> name the image itself\n",
        ),
    ];
    for (path, prepare, expected) in hosts {
        let host = host_with(volume(8 * GIB, "one"));
        prepare(&host);
        assert_eq!(refused(&host, path), expected, "{path}");
    }
}

#[test]
fn a_device_that_the_host_came_to_use_is_left_to_its_vm() {
    let host = applied_volume();
    let known = RawDevice {
        used: Some(DeviceUse::PartOf("guest-root".to_owned())),
        ..volume(8 * GIB, "one")
    };
    put(&host, "/dev/dm-3", NUMBER, known);
    let planned = plan_on(&fleet(VOLUME), &host);
    assert_eq!(said(&planned), "");
    assert_eq!(
        planned.notices[0].what,
        "its disk /dev/vg0/a is in use by the host itself: guest-root is made of it"
    );
}

#[test]
fn what_another_domain_has_is_known_by_the_devices_number() {
    let (whole, part) = (0x0801, 0x0802);
    let sda = |parts: &[u64]| RawDevice {
        parts: parts.iter().copied().collect(),
        ..volume(8 * GIB, "sda")
    };
    let sda2 = || RawDevice {
        whole: Some(whole),
        ..volume(8 * GIB, "sda2")
    };
    let with_disks = |host: &Memory| {
        put(host, "/dev/sda", whole, sda(&[part]));
        put(host, "/dev/sda2", part, sda2());
        put(host, "/dev/other", NUMBER, volume(8 * GIB, "one"));
    };
    for (theirs, ours, expected) in [
        (VOLUME, VOLUME, "/dev/vg0/a is used by domain other"),
        (
            "/dev/dm-3",
            VOLUME,
            "its disk /dev/vg0/a is the same as /dev/dm-3, which domain other uses: both paths lead to one place",
        ),
        (
            "/dev/other",
            VOLUME,
            "its disk /dev/vg0/a is the same as /dev/other, which domain other uses: both paths lead to one place",
        ),
        (
            "/dev/sda",
            "/dev/sda2",
            "its disk /dev/sda2 is inside /dev/sda, which domain other uses, as one of its partitions",
        ),
        (
            "/dev/sda2",
            "/dev/sda",
            "its disk /dev/sda holds /dev/sda2, which domain other uses, as one of its partitions",
        ),
        ("/dev/sda2", VOLUME, ""),
    ] {
        let host = host_with(volume(8 * GIB, "one"));
        with_disks(&host);
        let xml = format!(
            "<domain type='qemu'><name>other</name><memory>1048576</memory><os><type arch='armv7l' machine='virt'>hvm</type></os>\
             <devices><disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='{theirs}'/>\
             <target dev='vda' bus='virtio'/><address type='virtio-mmio'/></disk></devices></domain>"
        );
        host.define(&xml).unwrap();
        let planned = plan_on(&fleet(ours), &host);
        let whys: Vec<_> = planned
            .refusals
            .iter()
            .map(|refusal| refusal.why.as_str())
            .collect();
        assert_eq!(whys.join("\n"), expected, "{theirs} {ours}");
    }
}

#[test]
fn two_vms_of_a_file_do_not_get_one_device_by_two_names() {
    let host = host_with(volume(8 * GIB, "one"));
    let a = vm("a", "1GiB", "").replace("/srv/a.img", VOLUME);
    let b = vm("b", "1GiB", "").replace("/srv/b.img", "/dev/dm-3");
    let spec = spec(&format!("fleet: f\nvms:\n{a}{b}"));
    let planned = plan_on(&spec, &host);
    assert_eq!(planned.refusals.len(), 2, "{}", text(&planned));
}

#[test]
fn a_disk_becomes_another_device_only_where_nothing_is_lost() {
    let image = fleet("/srv/a.img");
    let host = applied(&image);
    for folder in ["/dev", "/dev/vg0"] {
        host.make_folder(folder, 0o755, None).unwrap();
    }
    put(&host, VOLUME, NUMBER, volume(8 * GIB, "one"));
    let device = spec(&format!(
        "fleet: f\nvms:\n{}",
        vm("a", "1GiB", "").replace("path: /srv/a.img", "name: a, path: /dev/vg0/a")
    ));
    let planned = plan_on(&device, &host);
    assert_eq!(
        said(&planned),
        "+ domain/a\n+ record/a\n",
        "{}",
        text(&planned)
    );
    let on_device = perform(&host, &planned);
    assert_eq!(said(&plan_on(&device, &on_device)), "");
    // And back: a block device's source leaves nothing behind.
    let replace = Policy {
        allow_replace: ["a".parse().unwrap()].into(),
        ..Policy::default()
    };
    assert_eq!(
        said(&plan_on(&image, &on_device)),
        "its disk would be /srv/a.img, which is empty, instead of /dev/vg0/a -> qemu-img convert -f raw -O raw /dev/vg0/a \
         /srv/a.img while the VM is off, or armfleet apply --allow-replace a to begin with an empty one; /dev/vg0/a stays \
         where it is\n"
    );
    let planned = plan_of(&on_device, &image, &replace);
    assert_eq!(said(&planned), "+ domain/a\n+ record/a\n");
    let back = perform(&on_device, &planned);
    let definition = back.dump_secure(&back.uuid_of("a").unwrap()).unwrap();
    assert_eq!(
        definition,
        host.dump_secure(&host.uuid_of("a").unwrap()).unwrap()
    );
    // Moved by somebody with virsh, it is refused.
    edit_domain(&on_device, "a", "<disk type='block'", "<disk type='file'");
    edit_domain(&on_device, "a", "dev='/dev/vg0/a'", "file='/srv/b.img'");
    assert!(
        said(&plan_on(&device, &on_device))
            .contains("was changed outside armfleet (file /dev/vg0/a -> /srv/b.img)"),
        "{}",
        said(&plan_on(&device, &on_device))
    );
}
