//! Whether a VM's first kernel may be taken out of its disk: what a plan says of the disk and the share, it says, too.

use crate::harness::applied::{applied, see, spec, vm};
use crate::harness::kernels::whole;
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives};
use armfleet::inventory::RawDevice;
use armfleet::plan::extraction;

const USER: Owner = Owner {
    uid: 1000,
    gid: 1000,
};

fn fleet() -> Spec {
    let vm = vm("a", "1GiB", ", state: stopped");
    spec(&format!("fleet: f\nvms:\n{vm}"))
}

/// What holds it back, with the remedy; or from where to where it goes.
fn asked(host: &Memory, spec: &Spec) -> String {
    match extraction(&see(spec, host), spec, &spec.vms[&"a".parse().unwrap()]) {
        Ok(wanted) => format!("{} to {}", wanted.disk, wanted.share),
        Err(no) => format!("{no} -> {}", no.remedy),
    }
}

/// Defines a domain with this disk by hand.
fn define(host: &Memory, name: &str, disk: &str) {
    let xml = format!(
        "<domain type='qemu'><name>{name}</name><memory>1048576</memory><os><type arch='armv7l' machine='virt'>hvm</type></os>\
         <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>\
         <target dev='vda' bus='virtio'/><address type='virtio-mmio'/></disk></devices></domain>"
    );
    host.define(&xml).unwrap();
}

#[test]
fn what_a_plan_refuses_of_a_disk_or_a_share_is_refused() {
    type Prepare = Box<dyn Fn(&Memory)>;
    let hosts: Vec<(Prepare, &str)> = vec![
        (Box::new(|_| ()), "/srv/a.img to /srv/a-boot"),
        (
            Box::new(|host| host.own("/srv", 0o755, USER).unwrap()),
            "its boot share /srv/a-boot and its disk /srv/a.img can be swapped: user 1000 can replace what is in /srv -> chown \
             root: /srv; chmod go-w /srv, or in the fleet file, hosts: { local: { trust: [/srv] } }",
        ),
        (
            Box::new(|host| {
                host.remove("/srv/a-boot");
                host.make_folder("/srv/a-boot", 0o755, None).unwrap();
            }),
            "its boot share /srv/a-boot is not the one that was applied (inode ",
        ),
        (
            Box::new(|host| {
                host.remove("/srv/a.img");
                host.put_file("/srv/a.img", "another's").unwrap();
            }),
            "its disk /srv/a.img is not the one that was applied (a raw image of 8 GiB, inode ",
        ),
        // A copy of the VM, which is off as the VM is: a plan has a notice.
        (
            Box::new(|host| define(host, "other", "/srv/a.img")),
            "/srv/a.img to /srv/a-boot",
        ),
        (
            Box::new(|host| {
                define(host, "other", "/srv/a.img");
                host.set_state("other", 1, 1).unwrap();
            }),
            "/srv/a.img is used by domain other -> give this VM a path of its own; two guests would destroy each other's files",
        ),
        (
            Box::new(|host| {
                for name in ["vmlinuz", "initrd.img"] {
                    host.put_guest_file("/srv/a-boot", &format!("{name}-6.1.0"), whole(name, "x"))
                        .unwrap();
                    host.put_guest_link("/srv/a-boot", name, &format!("{name}-6.1.0"))
                        .unwrap();
                }
            }),
            "/srv/a-boot has a kernel already, 6.1.0 -> armfleet boot list a",
        ),
        (
            Box::new(|host| {
                host.undefine_domain("a").unwrap();
                define(host, "a", "/srv/theirs.img");
            }),
            "a domain of this name exists, and armfleet did not create it -> ",
        ),
    ];
    let applied = applied(&fleet());
    for (prepare, expected) in hosts {
        let host = applied.fork();
        prepare(&host);
        let said = asked(&host, &fleet());
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_block_device_is_looked_into_as_an_image_is() {
    let host = applied(&fleet());
    host.make_folder("/dev", 0o755, None).unwrap();
    let known = RawDevice {
        size: Some(8 << 30),
        ..RawDevice::default()
    };
    host.put_device("/dev/sda", 0x0800, known, [0; 512])
        .unwrap();
    let vm = vm("a", "1GiB", ", state: stopped").replace("/srv/a.img", "/dev/sda");
    let on_device = spec(&format!("fleet: f\nvms:\n{vm}"));
    assert_eq!(asked(&host, &on_device), "/dev/sda to /srv/a-boot");
}
