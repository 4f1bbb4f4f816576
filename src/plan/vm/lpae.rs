//! Kernels without LPAE on PCI.
//!
//! QEMU's `virt` machine has PCI's configuration space above 4 GiB, which a 32-bit kernel without LPAE does not reach:
//! it waits for its root disk for ever, in a VM that libvirt calls running.

use crate::boot::{BootFileName, KernelVersion};
use crate::domain::has_devices_on_pci;
use crate::fleet::Vm;
use crate::inventory::Inventory;
use crate::plan::builder::PlanBuilder;
use crate::plan::kernels::{kernels, staged_pair};
use crate::values::Transport;
use roxmltree::Document;

/// Says that a VM's kernel will not find what its domain has on PCI.
pub(super) fn notice(
    inventory: &Inventory,
    vm: &Vm,
    defined: Option<&Document<'_>>,
    builder: &mut PlanBuilder,
) {
    if !vm.arch.has_lpae_kernels || !is_on_pci(vm, defined) {
        return;
    }
    if let Some(version) = next(inventory, vm).filter(lacks_lpae) {
        let otherwise = match defined {
            Some(_) => "move its devices to virtio-mmio with virsh edit",
            None => "set transport: mmio",
        };
        builder.notice(
            &vm.name,
            format!("{version} has no LPAE and finds nothing on PCI: no disk, no /boot"),
            format!("install linux-image-armmp-lpae in the guest, or {otherwise}"),
        );
    }
}

/// Whether the disks or the share of a VM are on PCI, or are to be.
fn is_on_pci(vm: &Vm, defined: Option<&Document<'_>>) -> bool {
    defined.map_or_else(|| vm.transport == Some(Transport::Pci), has_devices_on_pci)
}

/// The version that boots next.
fn next(inventory: &Inventory, vm: &Vm) -> Option<KernelVersion> {
    let named = |name: &str| KernelVersion::of_kernel(&BootFileName::new(name.as_bytes()).ok()?);
    let offered = kernels(inventory, vm).offered;
    let offered = offered.and_then(|version| named(&format!("vmlinuz-{version}")));
    let staged = || staged_pair(inventory, &vm.name)?.version;
    let seed = || named(vm.boot.seed.as_ref()?.kernel.file_name());
    offered.or_else(staged).or_else(seed)
}

/// Whether a kernel is one of Debian's armhf kernels without LPAE; of others the version tells nothing.
fn lacks_lpae(version: &KernelVersion) -> bool {
    version.as_str().ends_with("-armmp")
}
