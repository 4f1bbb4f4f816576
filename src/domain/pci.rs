//! Where devices are on PCI, and where libvirt puts those that have no place yet.

use crate::xml::child;
use roxmltree::Node;
use std::collections::BTreeSet;

/// Domain, bus, slot and function.
pub(super) type Address = [u32; 4];

/// How a device is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// On virtio-mmio.
    Mmio,
    /// On PCI; without an address, libvirt has yet to give it one.
    Pci(Option<Address>),
}

/// How a device of a definition is attached; none where it has no address at all.
pub(super) fn place(device: Node<'_, '_>) -> Option<Place> {
    let address = child(device, "address")?;
    if address.attribute("type") != Some("pci") {
        return Some(Place::Mmio);
    }
    // What libvirt does not find in it is 0.
    let part = |name| address.attribute(name).and_then(hexadecimal);
    let known = part("bus").map(|bus| {
        let [domain, slot, function] = ["domain", "slot", "function"]
            .map(part)
            .map(Option::unwrap_or_default);
        [domain, bus, slot, function]
    });
    Some(Place::Pci(known))
}

/// A number of an address as libvirt writes it.
pub(super) fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The buses of root ports on which nothing is, the first ones first: libvirt takes them in this order, for shares, then
/// interfaces, then disks (`qemuDomainAssignDevicePCISlots`).
pub(super) fn free_buses(devices: &[Node<'_, '_>]) -> BTreeSet<u32> {
    let used: BTreeSet<u32> = devices.iter().filter_map(|device| bus(*device)).collect();
    ports(devices).difference(&used).copied().collect()
}

/// The first bus behind all that are there, for which libvirt makes a root port.
pub(super) fn next_bus(devices: &[Node<'_, '_>]) -> u32 {
    let used = devices.iter().filter_map(|device| bus(*device));
    used.chain(ports(devices)).max().map_or(1, |last| last + 1)
}

fn bus(device: Node<'_, '_>) -> Option<u32> {
    hexadecimal(child(device, "address")?.attribute("bus")?)
}

fn ports(devices: &[Node<'_, '_>]) -> BTreeSet<u32> {
    let ports = devices.iter().filter_map(|device| {
        let is_port = device.attribute("model") == Some("pcie-root-port");
        device.attribute("index").filter(|_| is_port)?.parse().ok()
    });
    ports.collect()
}
