//! The domain's own properties.
//!
//! What becomes of a property that was changed outside armfleet ([`Outside`](super::row::Outside)), by kind, and why:
//!
//! | property | then | reason |
//! |---|---|---|
//! | disk: file, format, backing chain, target | refused | a domain snapshot, a block copy or a backup moved it; the former file lacks every write since |
//! | share: folder | refused | the guest's `/boot` was moved; the former folder has an older kernel, or none |
//! | an image, or a share's folder, at its path | refused | another file, or the same one shrunken or emptied, is other data (`plan::identity`) |
//! | disk: serial, bus; share: access mode; a device that is gone | restored | no byte is lost; what is at the path is checked first |
//! | kernel, initrd, device tree, command line | restored | the paths are armfleet's own, and the guest's kernel is in its share |
//! | console log | restored | it is only appended to; both files stay |
//! | memory and its backing, vCPUs and their pinning, machine, accelerator, processor, on_reboot, autostart | restored | settings, no data |
//! | transport | refused | the guest's devices would change their names |
//! | NVRAM, devices that armfleet did not add, other elements | left alone | no row manages them; removing the VM keeps NVRAM |

use super::row::{Couple, Given, Row, RowInput, Seen, Waits, Want, no_key};
use super::value::{Codec, Value};
use crate::fleet::{Accel, GuestReboot, Handover, MemoryBacking};
use crate::inventory::Kvm;
use crate::mark::{ARCH, CMDLINE, CONSOLE_LOG, PropertyId};
use crate::paths;
use crate::values::{Arch, CpuModel, HostPath};
use crate::xml::{Part, descend};
use roxmltree::Node;

/// Whether a processor runs the guest, or QEMU's translator: libvirt's type of the domain.
pub const ACCEL: PropertyId = PropertyId::new("accel");

/// What the guest has as memory.
pub(super) const MEMORY: PropertyId = PropertyId::new("memory");

/// The types of domains.
const KVM: &str = "kvm";
const QEMU: &str = "qemu";
const CPU: &[&str] = &["cpu"];
const CPU_MODEL: &[&str] = &["cpu", "model"];

const DIRECT_BOOT: Waits = |_| "the kernel is loaded when the VM starts";
const PROCESS: Waits = |_| "it is fixed while the VM runs";

/// The rows, in the order in which a plan shows them.
pub(super) static DOMAIN_ROWS: &[Row] = &[
    Row::new(
        ARCH,
        &["os", "type"],
        Part::Attribute("arch"),
        Codec::Text,
        |input| Want::text(input.vm.arch.libvirt),
        give_arch,
        PROCESS,
    )
    // libvirt writes down the one that fits.
    .couples(&[Couple::Gone {
        path: &["devices", "emulator"],
    }]),
    Row::new(
        ACCEL,
        &[],
        Part::Attribute("type"),
        Codec::Text,
        want_accel,
        give_accel,
        PROCESS,
    )
    .couples(&[
        // What is emulated; KVM runs no other processor than the host's.
        Couple::Gone { path: CPU_MODEL },
        Couple::Drop {
            path: CPU,
            attribute: "match",
        },
        Couple::Drop {
            path: CPU,
            attribute: "check",
        },
        Couple::Drop {
            path: CPU,
            attribute: "migratable",
        },
        Couple::Attribute {
            path: CPU,
            attribute: "mode",
            of: |accel| (*accel == Value::Text(KVM.to_owned())).then_some("host-passthrough"),
        },
        Couple::Empty { path: CPU },
        // The interrupt controller that libvirt chose fits the old accelerator only.
        Couple::Gone {
            path: &["features", "gic"],
        },
    ]),
    Row::new(
        PropertyId::new("cpu.model"),
        CPU_MODEL,
        Part::Text,
        Codec::Text,
        want_cpu_model,
        |seen| seen.of_vm("cpu.model"),
        PROCESS,
    )
    .couples(&[
        Couple::Fixed {
            path: CPU,
            attribute: "mode",
            value: "custom",
        },
        Couple::Fixed {
            path: CPU,
            attribute: "match",
            value: "exact",
        },
        Couple::Fixed {
            path: CPU,
            attribute: "check",
            value: "none",
        },
        Couple::Fixed {
            path: CPU_MODEL,
            attribute: "fallback",
            value: "forbid",
        },
    ]),
    Row::new(
        PropertyId::new("machine"),
        &["os", "type"],
        Part::Attribute("machine"),
        Codec::Machine,
        |input| Want::text(&input.vm.machine),
        |seen| seen.of_vm("machine"),
        PROCESS,
    ),
    Row::new(
        MEMORY,
        &["memory"],
        Part::Text,
        Codec::Kib,
        |input| Want::Value(Some(Value::Kib(input.vm.memory.kib()))),
        |seen| seen.of_vm("memory"),
        |_| "a running ARM guest cannot get more memory",
    )
    .couples(&[
        Couple::Fixed {
            path: &["memory"],
            attribute: "unit",
            value: "KiB",
        },
        Couple::Copy {
            path: &["currentMemory"],
            part: Part::Text,
        },
        Couple::Fixed {
            path: &["currentMemory"],
            attribute: "unit",
            value: "KiB",
        },
    ])
    .refuse(numa_cells),
    // Only this element is armfleet's: <memoryBacking> may have others, and it pages of certain sizes, by hand.
    Row::new(
        PropertyId::new("memory_backing"),
        &["memoryBacking", "hugepages"],
        Part::Presence(MemoryBacking::Hugepages.as_str()),
        Codec::Text,
        want_memory_backing,
        |seen| seen.of_vm("memory_backing"),
        |_| "QEMU allocates the guest's memory when it starts",
    ),
    Row::new(
        PropertyId::new("vcpus"),
        &["vcpu"],
        Part::Text,
        Codec::Count,
        |input| Want::Value(Some(Value::Count(input.vm.vcpus.into()))),
        |seen| seen.of_vm("vcpus"),
        |_| "QEMU's virt machine has no vCPU hotplug",
    )
    .couples(&[Couple::Drop {
        path: &["vcpu"],
        attribute: "current",
    }])
    .refuse(topology),
    Row::new(
        PropertyId::new("cpu.pin"),
        &["vcpu"],
        Part::Attribute("cpuset"),
        Codec::Cpus,
        |input| {
            let pin = input.vm.cpu.pin.as_ref();
            pin.map_or(Want::Withdraw, Want::text)
        },
        |seen| seen.of_vm("cpu.pin"),
        |_| "QEMU's threads are pinned when they start",
    )
    .among_others(),
    Row::new(
        PropertyId::new("kernel"),
        &["os", "kernel"],
        Part::Text,
        Codec::Text,
        |input| want_handed_over(input, paths::kernel, paths::kernel_beside),
        give_handover,
        DIRECT_BOOT,
    ),
    Row::new(
        PropertyId::new("initrd"),
        &["os", "initrd"],
        Part::Text,
        Codec::Text,
        |input| want_handed_over(input, paths::initrd, paths::initrd_beside),
        no_key,
        DIRECT_BOOT,
    ),
    Row::new(
        PropertyId::new("dtb"),
        &["os", "dtb"],
        Part::Text,
        Codec::Text,
        |input| match input.vm.boot.dtb {
            Some(_) => Want::text(paths::dtb(&input.vm.name)),
            None => Want::Withdraw,
        },
        // A copy does not tell what it was copied from.
        no_key,
        DIRECT_BOOT,
    ),
    Row::new(
        CMDLINE,
        &["os", "cmdline"],
        Part::Text,
        Codec::Text,
        |input| Want::text(&input.vm.boot.cmdline),
        |seen| seen.of_vm("boot.cmdline"),
        DIRECT_BOOT,
    ),
    Row::new(
        PropertyId::new("on_reboot"),
        &["on_reboot"],
        Part::Text,
        Codec::Text,
        want_on_reboot,
        give_on_reboot,
        PROCESS,
    ),
    Row::new(
        CONSOLE_LOG,
        &["devices", "serial", "log"],
        Part::Attribute("file"),
        Codec::Text,
        |input| {
            let log = input.vm.console.log.as_ref();
            log.map_or(Want::Withdraw, Want::text)
        },
        |seen| seen.of_vm("console.log"),
        PROCESS,
    )
    .couples(&[
        Couple::Fixed {
            path: &["devices", "serial", "log"],
            attribute: "append",
            value: "on",
        },
        Couple::Copy {
            path: &["devices", "console", "log"],
            part: Part::Attribute("file"),
        },
        Couple::Fixed {
            path: &["devices", "console", "log"],
            attribute: "append",
            value: "on",
        },
    ]),
];

fn give_arch(seen: &Seen<'_>) -> Option<Given> {
    let arch = Arch::from_libvirt(seen.text()?)?;
    Some(Given::OfVm("arch", arch.to_string()))
}

fn want_accel(input: &RowInput<'_>) -> Want {
    match input.vm.accel {
        Accel::Auto if !input.chooses_accel => Want::Leave,
        _ => Want::text(executed_by(input)),
    }
}

/// libvirt's type of the domain as wanted: an existing one keeps its own unless the file says, or it gets a kernel of
/// another architecture: then what ran the former one may not run it.
fn executed_by<'a>(input: &RowInput<'a>) -> &'a str {
    match input.vm.accel {
        Accel::Auto if !input.chooses_accel => input.executed_by.unwrap_or(QEMU),
        Accel::Auto if input.libvirt.kvm(input.vm) == Kvm::Runs => KVM,
        Accel::Kvm => KVM,
        Accel::Auto | Accel::Tcg => QEMU,
    }
}

/// What is there without a model that armfleet put there is libvirt's own choice, which it writes down.
fn want_cpu_model(input: &RowInput<'_>) -> Want {
    let given = input.vm.cpu.model.as_ref().map(CpuModel::as_str);
    let model = given.or(input.vm.arch.emulated_cpu);
    let is_emulated = executed_by(input) == QEMU;
    let model = model.filter(|_| is_emulated);
    model.map_or(Want::Withdraw, Want::text)
}

fn give_accel(seen: &Seen<'_>) -> Option<Given> {
    let accel = match seen.text()? {
        KVM => Accel::Kvm,
        QEMU => Accel::Tcg,
        _ => return None,
    };
    Some(Given::OfVm("accel", accel.to_string()))
}

/// Where a half of the boot pair is: armfleet's own copy, or a link beside the share.
fn want_handed_over(
    input: &RowInput<'_>,
    copy: paths::PathOf,
    beside: fn(&HostPath) -> String,
) -> Want {
    let boot = &input.vm.boot;
    Want::text(match boot.handover {
        Handover::Copy => copy(&input.vm.name),
        Handover::Link => beside(&boot.share),
    })
}

/// Both halves are handed over the same way, so the kernel tells it.
fn give_handover(seen: &Seen<'_>) -> Option<Given> {
    let path = seen.text()?;
    let (_, file) = path.rsplit_once('/')?;
    let handover = match file {
        _ if path == paths::kernel(seen.vm) => Handover::Copy,
        // The recipe and 0.1.0 had it inside the share.
        paths::LINKED_KERNEL => Handover::Link,
        _ if paths::share_beside(path).is_some() => Handover::Link,
        _ => return None,
    };
    Some(Given::OfVm("boot.handover", handover.to_string()))
}

fn want_on_reboot(input: &RowInput<'_>) -> Want {
    match input.vm.on_guest_reboot {
        // A reboot in the same process would load the kernel that QEMU read when it started.
        GuestReboot::ColdBoot | GuestReboot::Stop => Want::text("destroy"),
        GuestReboot::Warm => Want::text("restart"),
    }
}

/// A domain that a reboot stops is not started again by libvirt; that a watcher does so is not in it.
fn give_on_reboot(seen: &Seen<'_>) -> Option<Given> {
    let does = match seen.text()? {
        "destroy" => GuestReboot::Stop,
        "restart" => GuestReboot::Warm,
        _ => return None,
    };
    Some(Given::OfVm("on_guest_reboot", does.to_string()))
}

fn want_memory_backing(input: &RowInput<'_>) -> Want {
    match input.vm.memory_backing {
        MemoryBacking::Default => Want::Value(None),
        MemoryBacking::Hugepages => Want::text(MemoryBacking::Hugepages),
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
