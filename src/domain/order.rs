//! The order in which a guest counts its disks and its network interfaces, as a definition has it.
//!
//! Disks on virtio-mmio it counts in the reverse order of their targets, by which libvirt sorts them; interfaces there in the
//! reverse order of the definition. What is on PCI it counts in the order of the addresses.

use super::kinds::{disk_source, network_source, target_index};
use super::pci::{Place, devices_of, in_guest_order, place, unaddressed};
use crate::xml::child;
use roxmltree::{Document, Node};
use std::fmt;

/// A disk or an interface of a guest.
pub(super) struct Counted {
    /// What tells it from the others: what a disk has, an interface's address.
    pub(super) identity: String,
    /// What it has, or is on.
    pub(super) source: String,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, source } = self;
        match identity == source {
            true => f.write_str(source),
            false => write!(f, "{source} ({identity})"),
        }
    }
}

/// Where something of a list is.
pub(super) fn place_of(things: &[Counted], identity: &str) -> Option<usize> {
    things.iter().position(|thing| thing.identity == identity)
}

/// The virtio disks in the order in which the guest counts them.
pub(super) fn guest_disks(definition: &Document<'_>) -> Vec<Counted> {
    let devices = devices_of(definition);
    let mut found: Vec<_> = devices.iter().filter_map(read_disk).collect();
    found.sort_by_key(|(target, ..)| *target);
    let before = unaddressed(&devices, &["filesystem", "interface"]);
    let placed = found.into_iter().map(|(_, place, disk)| (place, disk));
    in_guest_order(&devices, before, placed)
}

/// The interfaces in the order in which the guest counts them.
pub(super) fn guest_interfaces(definition: &Document<'_>) -> Vec<Counted> {
    let devices = devices_of(definition);
    let interfaces = devices.iter().filter_map(read_interface);
    in_guest_order(&devices, unaddressed(&devices, &["filesystem"]), interfaces)
}

/// A virtio disk, with the number of its target. One that has nothing is known by its target.
fn read_disk(disk: &Node<'_, '_>) -> Option<(usize, Place, Counted)> {
    let target = child(*disk, "target").filter(|_| disk.has_tag_name("disk"))?;
    let name = target.attribute("dev")?;
    if target.attribute("bus") != Some("virtio") {
        return None;
    }
    let source = disk_source(*disk).unwrap_or(name);
    let counted = Counted {
        identity: source.to_owned(),
        source: source.to_owned(),
    };
    Some((target_index(name)?, place(*disk)?, counted))
}

fn read_interface(device: &Node<'_, '_>) -> Option<(Place, Counted)> {
    let mac = child(*device, "mac").filter(|_| device.has_tag_name("interface"))?;
    let mac = mac.attribute("address")?.to_owned();
    let counted = Counted {
        source: network_source(*device).unwrap_or_else(|| mac.clone()),
        identity: mac,
    };
    Some((place(*device)?, counted))
}
