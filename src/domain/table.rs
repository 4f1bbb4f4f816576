//! The table of properties.
//!
//! What becomes of a property that was changed outside armfleet ([`Outside`]), by kind, and why:
//!
//! | property | then | reason |
//! |---|---|---|
//! | disk: file, format, backing chain, target | refused | a domain snapshot, a block copy or a backup moved it; the former file lacks every write since |
//! | share: folder | refused | the guest's `/boot` was moved; the former folder has an older kernel, or none |
//! | an image, or a share's folder, at its path | refused | another file, or the same one shrunken or emptied, is other data (`plan::identity`) |
//! | disk: serial, bus; share: access mode; a device that is gone | restored | no byte is lost; what is at the path is checked first |
//! | kernel, initrd, command line | restored | the paths are armfleet's own, and the guest's kernel is in its share |
//! | console log | restored | it is only appended to; both files stay |
//! | memory, vCPUs, machine, accelerator, on_reboot, autostart | restored | settings, no data |
//! | transport | refused | the guest's devices would change their names |
//! | NVRAM, devices that armfleet did not add, other elements | left alone | no row manages them; removing the VM keeps NVRAM |

use super::value::{Codec, Value};
use crate::fleet::{Accel, Arch, Boot, Disk, GuestReboot, Handover, Transport, Vm};
use crate::inventory::Libvirt;
use crate::paths;
use crate::xml::{self, Part, child, descend};
use roxmltree::Node;

/// One property.
pub(super) struct Row {
    /// What it is called in plans and records.
    pub name: &'static str,
    /// Where it is: child names below the domain or the device.
    pub path: &'static [&'static str],
    /// Where in that element.
    pub part: Part,
    /// How it is read, compared and written.
    pub codec: Codec,
    /// What the spec wants there.
    pub want: fn(&Wish<'_>) -> Want,
    /// Why a change waits for the next boot.
    pub waits: &'static str,
    /// What else is edited when it changes.
    pub also: &'static [Also],
    /// Why it cannot be changed in this domain.
    pub refuse: fn(Node<'_, '_>) -> Option<&'static str>,
    /// What becomes of a value that the last apply did not write.
    pub outside: Outside,
}

/// The value that a row has in a domain or a device.
pub(super) fn read_row(row: &Row, scope: Node<'_, '_>) -> Option<Value> {
    row.codec.read(descend(scope, row.path)?, row.part)
}

/// What becomes of a value that was changed outside armfleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// It is drift, and put right: nothing is lost by that.
    Restored,
    /// It names the guest's data, which its former value no longer does: it is refused.
    Refused,
}

/// What a spec wants of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// Whatever is there stays, and so does what is recorded of it.
    Leave,
    /// What armfleet put there goes; whatever else is there stays.
    Withdraw,
    /// This value.
    Value(Value),
}

/// What a row's `want` can see.
pub(super) struct Wish<'a> {
    /// The VM as wanted.
    pub vm: &'a Vm,
    /// The host.
    pub libvirt: &'a Libvirt,
    /// Whether the domain, or for a device's rows the device, is to be created.
    pub new: bool,
    /// The device, for rows of devices.
    pub device: Device<'a>,
}

/// The device whose rows are asked.
#[derive(Clone, Copy)]
pub(super) enum Device<'a> {
    /// None: the rows are the domain's own.
    None,
    /// A disk, and the serial it has or is to get.
    Disk {
        disk: &'a Disk,
        serial: Option<&'a str>,
    },
    /// The boot share.
    BootShare(&'a Boot),
}

/// An edit that goes with another.
#[derive(Clone, Copy)]
pub(super) enum Also {
    /// The same value, written elsewhere.
    Copy {
        path: &'static [&'static str],
        part: Part,
    },
    /// A fixed attribute of an element that the row has written.
    Fixed {
        path: &'static [&'static str],
        attribute: &'static str,
        value: &'static str,
    },
    /// An attribute that no longer holds.
    Drop {
        path: &'static [&'static str],
        attribute: &'static str,
    },
    /// An element that depends on the value: written when there is some, removed when not.
    Element {
        path: &'static [&'static str],
        element: fn(&Value) -> Option<&'static str>,
    },
}

/// A kind of device.
pub(super) struct DeviceKind {
    /// What it is called in plans and records.
    pub name: &'static str,
    /// Its element below `<devices>`.
    pub element: &'static str,
    /// The child element that holds the key.
    pub key_element: &'static str,
    /// The attribute that is the key.
    pub key_attribute: &'static str,
    /// A new one, before its rows are written.
    pub blank: &'static str,
    /// What shows in a plan when it comes or goes.
    pub shows: &'static str,
    /// Its properties.
    pub rows: &'static [Row],
}

const DIRECT_BOOT: &str = "the kernel is loaded when the VM starts";
const NO_HOTPLUG: &str = "virtio-mmio has no hotplug";
const PROCESS: &str = "it is fixed while the VM runs";

const fn always(_: Node<'_, '_>) -> Option<&'static str> {
    None
}

fn text(value: impl ToString) -> Want {
    Want::Value(Value::Text(value.to_string()))
}

/// libvirt's name of an architecture.
#[must_use]
pub const fn arch_name(arch: Arch) -> &'static str {
    match arch {
        Arch::Armhf => "armv7l",
    }
}

fn want_accel(wish: &Wish<'_>) -> Want {
    let guest = wish.libvirt.guests.get(arch_name(wish.vm.arch));
    match wish.vm.accel {
        Accel::Kvm => text("kvm"),
        Accel::Tcg => text("qemu"),
        Accel::Auto if !wish.new => Want::Leave,
        Accel::Auto
            if guest.is_some_and(|guest| guest.domain_types.iter().any(|kind| kind == "kvm")) =>
        {
            text("kvm")
        }
        Accel::Auto => text("qemu"),
    }
}

/// KVM runs no other processor than the host's; the default model of QEMU's `virt` machine fails there.
fn cpu_of(accel: &Value) -> Option<&'static str> {
    (*accel == Value::Text("kvm".to_owned())).then_some("<cpu mode='host-passthrough'/>")
}

fn want_serial(wish: &Wish<'_>) -> Want {
    match wish.device {
        Device::Disk {
            serial: Some(serial),
            ..
        } => text(serial),
        _ => Want::Leave,
    }
}

fn want_transport(wish: &Wish<'_>) -> Want {
    match (wish.vm.transport, wish.new) {
        (Some(Transport::Pci), _) => text("pci"),
        (Some(Transport::Mmio), _) | (None, true) => text("virtio-mmio"),
        (None, false) => Want::Leave,
    }
}

fn numa_cells(domain: Node<'_, '_>) -> Option<&'static str> {
    descend(domain, &["cpu", "numa"])
        .map(|_| "its memory is laid out by <numa> cells; change those with virsh edit")
}

fn topology(domain: Node<'_, '_>) -> Option<&'static str> {
    descend(domain, &["cpu", "topology"])
        .map(|_| "its <topology> fixes the number of vCPUs; change it with virsh edit")
}

fn other_arch(_: Node<'_, '_>) -> Option<&'static str> {
    Some("a VM's architecture cannot be changed; remove the VM and create it under another name")
}

/// An address beside its type belongs to the old transport.
fn elsewhere(device: Node<'_, '_>) -> Option<&'static str> {
    let has_address = child(device, "address")?.attribute("type").is_some();
    has_address.then_some("moving a device between PCI and virtio-mmio renames it in the guest; change its <address> with virsh edit")
}

/// Whether a disk or a share of a domain is on PCI.
#[must_use]
pub fn has_storage_on_pci(definition: &str) -> bool {
    xml::parse(definition).is_ok_and(|document| {
        let devices = descend(document.root_element(), &["devices"]);
        let mut devices = devices.into_iter().flat_map(|devices| devices.children());
        devices.any(|device| {
            let matters = device.has_tag_name("disk") || device.has_tag_name("filesystem");
            let address = child(device, "address").and_then(|address| address.attribute("type"));
            matters && address == Some("pci")
        })
    })
}

const fn row(
    name: &'static str,
    path: &'static [&'static str],
    part: Part,
    codec: Codec,
    want: fn(&Wish<'_>) -> Want,
    waits: &'static str,
) -> Row {
    Row {
        name,
        path,
        part,
        codec,
        want,
        waits,
        also: &[],
        refuse: always,
        outside: Outside::Restored,
    }
}

/// A row whose value says where a device's data is.
const fn data(row: Row) -> Row {
    Row {
        outside: Outside::Refused,
        ..row
    }
}

/// A backing chain belongs to the file and format that were there before: with others, no start would succeed.
const WITHOUT_BACKING: &[Also] = &[Also::Element {
    path: &["backingStore"],
    element: |_| None,
}];

/// The domain's own properties.
pub(super) const DOMAIN_ROWS: &[Row] = &[
    Row {
        refuse: other_arch,
        ..row(
            "arch",
            &["os", "type"],
            Part::Attribute("arch"),
            Codec::Text,
            |wish| text(arch_name(wish.vm.arch)),
            PROCESS,
        )
    },
    Row {
        also: &[
            Also::Element {
                path: &["cpu"],
                element: cpu_of,
            },
            // The interrupt controller that libvirt chose fits the old accelerator only.
            Also::Element {
                path: &["features", "gic"],
                element: |_| None,
            },
        ],
        ..row(
            "accel",
            &[],
            Part::Attribute("type"),
            Codec::Text,
            want_accel,
            PROCESS,
        )
    },
    row(
        "machine",
        &["os", "type"],
        Part::Attribute("machine"),
        Codec::Machine,
        |wish| text(&wish.vm.machine),
        PROCESS,
    ),
    Row {
        also: &[
            Also::Fixed {
                path: &["memory"],
                attribute: "unit",
                value: "KiB",
            },
            Also::Copy {
                path: &["currentMemory"],
                part: Part::Text,
            },
            Also::Fixed {
                path: &["currentMemory"],
                attribute: "unit",
                value: "KiB",
            },
        ],
        refuse: numa_cells,
        ..row(
            "memory",
            &["memory"],
            Part::Text,
            Codec::Kib,
            |wish| Want::Value(Value::Kib(wish.vm.memory.kib())),
            "a running ARM guest takes no more memory",
        )
    },
    Row {
        also: &[Also::Drop {
            path: &["vcpu"],
            attribute: "current",
        }],
        refuse: topology,
        ..row(
            "vcpus",
            &["vcpu"],
            Part::Text,
            Codec::Count,
            |wish| Want::Value(Value::Count(wish.vm.vcpus.into())),
            "QEMU's virt machine takes no vCPU while it runs",
        )
    },
    row(
        "kernel",
        &["os", "kernel"],
        Part::Text,
        Codec::Text,
        |wish| {
            let vm = wish.vm;
            text(match vm.boot.handover {
                Handover::Copy => paths::kernel(&vm.name),
                Handover::Link => paths::in_share(&vm.boot.share, paths::LINKED_KERNEL),
            })
        },
        DIRECT_BOOT,
    ),
    row(
        "initrd",
        &["os", "initrd"],
        Part::Text,
        Codec::Text,
        |wish| {
            let vm = wish.vm;
            text(match vm.boot.handover {
                Handover::Copy => paths::initrd(&vm.name),
                Handover::Link => paths::in_share(&vm.boot.share, paths::LINKED_INITRD),
            })
        },
        DIRECT_BOOT,
    ),
    row(
        "cmdline",
        &["os", "cmdline"],
        Part::Text,
        Codec::Text,
        |wish| text(&wish.vm.boot.cmdline),
        DIRECT_BOOT,
    ),
    row(
        "on_reboot",
        &["on_reboot"],
        Part::Text,
        Codec::Text,
        |wish| match wish.vm.on_guest_reboot {
            // A reboot in the same process would load the kernel that QEMU read when it started.
            GuestReboot::ColdBoot | GuestReboot::Stop => text("destroy"),
            GuestReboot::Warm => text("restart"),
        },
        PROCESS,
    ),
    Row {
        also: &[
            Also::Fixed {
                path: &["devices", "serial", "log"],
                attribute: "append",
                value: "on",
            },
            Also::Copy {
                path: &["devices", "console", "log"],
                part: Part::Attribute("file"),
            },
            Also::Fixed {
                path: &["devices", "console", "log"],
                attribute: "append",
                value: "on",
            },
        ],
        ..row(
            "console log",
            &["devices", "serial", "log"],
            Part::Attribute("file"),
            Codec::Text,
            |wish| wish.vm.console.log.as_ref().map_or(Want::Withdraw, text),
            PROCESS,
        )
    },
];

/// The kinds of device that armfleet puts into a domain.
pub(super) const DEVICE_KINDS: &[DeviceKind] = &[
    DeviceKind {
        name: "disk",
        element: "disk",
        key_element: "target",
        key_attribute: "dev",
        blank: "<disk type='file' device='disk'>\n  <driver name='qemu' type='raw'/>\n  <source/>\n  <target/>\n</disk>",
        shows: "file",
        rows: &[
            data(Row {
                also: WITHOUT_BACKING,
                ..row(
                    "file",
                    &["source"],
                    Part::Attribute("file"),
                    Codec::Text,
                    |wish| match wish.device {
                        Device::Disk { disk, .. } => text(&disk.path),
                        _ => Want::Leave,
                    },
                    NO_HOTPLUG,
                )
            }),
            // Never probed: a guest writes the bytes of its raw disk.
            data(Row {
                also: WITHOUT_BACKING,
                ..row(
                    "format",
                    &["driver"],
                    Part::Attribute("type"),
                    Codec::Text,
                    |_| text("raw"),
                    NO_HOTPLUG,
                )
            }),
            row(
                "bus",
                &["target"],
                Part::Attribute("bus"),
                Codec::Text,
                |_| text("virtio"),
                NO_HOTPLUG,
            ),
            row(
                "serial",
                &["serial"],
                Part::Text,
                Codec::Text,
                want_serial,
                NO_HOTPLUG,
            ),
            TRANSPORT,
        ],
    },
    DeviceKind {
        name: "share",
        element: "filesystem",
        key_element: "target",
        key_attribute: "dir",
        blank: "<filesystem type='mount' accessmode='mapped'>\n  <source/>\n  <target/>\n</filesystem>",
        shows: "folder",
        rows: &[
            data(row(
                "folder",
                &["source"],
                Part::Attribute("dir"),
                Codec::Text,
                |wish| match wish.device {
                    Device::BootShare(boot) => text(&boot.share),
                    _ => Want::Leave,
                },
                "only a start attaches a 9p share",
            )),
            row(
                "access",
                &[],
                Part::Attribute("accessmode"),
                Codec::Text,
                |_| text("mapped"),
                "only a start attaches a 9p share",
            ),
            TRANSPORT,
        ],
    },
];

const TRANSPORT: Row = Row {
    refuse: elsewhere,
    ..row(
        "transport",
        &["address"],
        Part::Attribute("type"),
        Codec::Text,
        want_transport,
        NO_HOTPLUG,
    )
};
