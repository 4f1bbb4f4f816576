//! The order in which a guest counts its network interfaces, and how edits keep it.
//!
//! Those on virtio-mmio it counts in the reverse order of the definition, and those on PCI in the order of their addresses.
//! libvirt gives a new one on PCI the first free bus, which may be before that of an older one: then a bus behind all others
//! is asked for.

use super::edit::{DeviceRef, Edit, apply_edits};
use super::kinds::{BUS, NETWORK, network_source};
use super::numbering::Renumbered;
use super::pci::{Place, devices_of, free_buses, in_guest_order, next_bus, place, unaddressed};
use super::value::Value;
use crate::xml::{child, parse};
use roxmltree::{Document, Node};

/// Edits that give new interfaces on PCI places behind those that the guest has, where libvirt would not.
pub(super) fn behind(before: &Document<'_>, edits: &[Edit]) -> Vec<Edit> {
    let is_new = |edit: &Edit| matches!(edit, Edit::Add(device) if device.kind == NETWORK);
    if !edits.iter().any(is_new) {
        return Vec::new();
    }
    // What cannot be edited or parsed fails when the step is made.
    let text = apply_edits(before.input_text(), edits).unwrap_or_default();
    let Ok(after) = parse(&text) else {
        return Vec::new();
    };
    let devices = devices_of(&after);
    let interfaces: Vec<_> = devices.iter().filter_map(Interface::read).collect();
    let last = interfaces.iter().filter_map(Interface::bus).max();
    let new = interfaces
        .iter()
        .filter(|interface| interface.place == Place::Pci(None));
    let new: Vec<_> = new.collect();
    let first_free = free_buses(&devices).into_iter().next();
    if last.is_none_or(|last| first_free.is_none_or(|free| free > last)) {
        return Vec::new();
    }
    let next = next_bus(&devices);
    let places = (next..).zip(new);
    let edits = places.map(|(bus, interface)| Edit::Set {
        device: Some(DeviceRef {
            kind: NETWORK,
            key: interface.mac.clone(),
        }),
        row: BUS,
        value: Value::Text(format!("{bus:#04x}")),
    });
    edits.collect()
}

/// The interfaces that edits give other names in the guest.
pub(super) fn renamed(before: &Document<'_>, edits: &[Edit]) -> Vec<Renumbered> {
    let is_of_order = |edit: &Edit| match edit {
        Edit::Add(device) | Edit::Remove(device) => device.kind == NETWORK,
        Edit::Set { .. } | Edit::Clear { .. } => false,
    };
    if !edits.iter().any(is_of_order) {
        return Vec::new();
    }
    let text = apply_edits(before.input_text(), edits).unwrap_or_default();
    let Ok(after) = parse(&text) else {
        return Vec::new();
    };
    let (before, after) = (guest_order(before), guest_order(&after));
    let both = before.iter().enumerate().filter_map(|(old, interface)| {
        let new = after.iter().position(|now| now.mac == interface.mac)?;
        (new != old).then(|| Renumbered {
            source: interface.source.clone(),
            before: format!("eth{old}"),
            after: format!("eth{new}"),
        })
    });
    both.collect()
}

/// An interface of a definition.
struct Interface {
    mac: String,
    source: String,
    place: Place,
}

impl Interface {
    fn read(device: &Node<'_, '_>) -> Option<Self> {
        let mac = child(*device, "mac").filter(|_| device.has_tag_name("interface"))?;
        let mac = mac.attribute("address")?.to_owned();
        Some(Self {
            source: network_source(*device).unwrap_or_else(|| mac.clone()),
            place: place(*device)?,
            mac,
        })
    }

    fn bus(&self) -> Option<u32> {
        match self.place {
            Place::Pci(Some([_, bus, ..])) => Some(bus),
            Place::Pci(None) | Place::Mmio => None,
        }
    }
}

/// The interfaces in the order in which the guest counts them.
fn guest_order(definition: &Document<'_>) -> Vec<Interface> {
    let devices = devices_of(definition);
    let interfaces = devices.iter().filter_map(Interface::read);
    let placed = interfaces.map(|interface| (interface.place, interface));
    in_guest_order(&devices, unaddressed(&devices, &["filesystem"]), placed)
}
