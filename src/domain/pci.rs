//! Where devices are on PCI, and where libvirt puts those that have no place yet.

use crate::xml::child;
use roxmltree::{Document, Node};
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

/// Things of a guest in the order in which it counts them, of things in the order of the definition: those on virtio-mmio
/// from the last one on, then those on PCI by their addresses. So many devices get free buses before these.
pub(super) fn in_guest_order<T>(
    devices: &[Node<'_, '_>],
    before: usize,
    things: impl Iterator<Item = (Place, T)>,
) -> Vec<T> {
    let mut free = free_buses(devices).into_iter().skip(before);
    let things = things.enumerate();
    let mut ranked: Vec<_> = things
        .map(|(number, (place, thing))| {
            let rank = match place {
                Place::Mmio => (0, [0; 4], usize::MAX - number),
                Place::Pci(Some(address)) => (1, address, number),
                Place::Pci(None) => (1, [0, free.next().unwrap_or(u32::MAX), 0, 0], number),
            };
            (rank, thing)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, thing)| thing).collect()
}

/// How many devices of these elements are on PCI without an address.
pub(super) fn unaddressed(devices: &[Node<'_, '_>], elements: &[&str]) -> usize {
    let of_these = devices.iter().filter(|device| {
        let mut elements = elements.iter();
        elements.any(|name| device.has_tag_name(*name))
    });
    of_these
        .filter(|device| place(**device) == Some(Place::Pci(None)))
        .count()
}

/// The devices of a definition.
pub(super) fn devices_of<'a, 'input>(definition: &'a Document<'input>) -> Vec<Node<'a, 'input>> {
    let devices = child(definition.root_element(), "devices");
    let devices = devices.into_iter().flat_map(|devices| devices.children());
    devices.collect()
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
