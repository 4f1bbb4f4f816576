//! Where new disks and interfaces come, so that the guest's names of the others stay.

use super::edit::{DeviceRef, Edit, edited};
use super::kind::{DeviceKind, WantedDevice, find_device};
use super::kinds::{BUS, CLOUD_INIT, DISK, NETWORK, find_kind};
use super::order::{guest_interfaces, place_of};
use super::pci::{Place, devices_of, free_buses, next_bus, place};
use super::value::Value;
use crate::mark::{Applied, KindId};
use crate::xml::parse;
use roxmltree::{Document, Node};

/// What a guest counts together: the element, and the kinds that are one.
const COUNTED: [(&str, &[KindId]); 2] = [("interface", &[NETWORK]), ("disk", &[DISK, CLOUD_INIT])];

/// Gives new interfaces the places of those that go, where the list has them there. Disks have their targets for that.
pub(super) fn instead(
    wanted: &mut [(&'static DeviceKind, WantedDevice)],
    document: &Document<'_>,
    before: &Applied,
) {
    let order = guest_interfaces(document);
    let recorded = before.devices.iter().filter(|(id, _)| id.kind == NETWORK);
    let goes = recorded.filter(|(id, device)| {
        let mut wanted = wanted.iter();
        !wanted.any(|(_, wanted)| wanted.is_applied(id, device))
    });
    let mut leaving: Vec<usize> = goes
        .filter_map(|(_, device)| place_of(&order, &device.key))
        .collect();
    leaving.sort_unstable();
    let interfaces = wanted.iter_mut().filter(|(kind, _)| kind.id == NETWORK);
    let mut interfaces: Vec<_> = interfaces
        .map(|(_, device)| (place_of(&order, &device.key), device))
        .collect();
    for at in 0..interfaces.len() {
        let known = |(place, _): &(Option<usize>, _)| *place;
        let (ahead, rest) = interfaces.split_at_mut(at);
        let last = ahead.iter().rev().find_map(known);
        let next = rest.iter().find_map(known);
        let Some((place @ None, device)) = rest.first_mut() else {
            continue;
        };
        let fits = |place: &usize| {
            last.is_none_or(|last| last < *place) && next.is_none_or(|next| *place < next)
        };
        let free = leaving.iter().position(fits);
        let taken = free.map(|free| leaving.remove(free));
        device.replaces = taken
            .and_then(|taken| order.get(taken))
            .map(|former| former.identity.clone());
        *place = taken;
    }
}

/// Edits that give new devices on PCI places behind those that the guest has. libvirt would give them the first free bus,
/// which may be before that of an older one.
pub(super) fn behind(before: &Document<'_>, edits: &[Edit]) -> Vec<Edit> {
    let new = edits.iter().filter_map(|edit| match edit {
        Edit::Add(device) => Some(device),
        _ => None,
    });
    let new: Vec<_> = new.collect();
    if !COUNTED
        .iter()
        .any(|(_, kinds)| new.iter().any(|device| kinds.contains(&device.kind)))
    {
        return Vec::new();
    }
    // What cannot be edited or parsed fails when the step is made.
    let text = edited(before, edits).unwrap_or_default();
    let Ok(after) = parse(&text) else {
        return Vec::new();
    };
    let devices = devices_of(&after);
    let first_free = free_buses(&devices).into_iter().next();
    let is_behind = |(element, _): &&(&str, _)| {
        let of_element = devices
            .iter()
            .filter(|device| device.has_tag_name(*element));
        let last = of_element.filter_map(bus).max();
        last.is_some_and(|last| first_free.is_some_and(|free| free < last))
    };
    let moved = COUNTED.iter().filter(is_behind).flat_map(|(_, kinds)| {
        let new = new.iter().filter(|device| kinds.contains(&device.kind));
        new.filter(|device| is_unplaced(&after, device))
    });
    (next_bus(&devices)..)
        .zip(moved)
        .map(|(bus, device)| Edit::Set {
            device: Some((*device).clone()),
            row: BUS,
            value: Value::Text(format!("{bus:#04x}")),
        })
        .collect()
}

fn is_unplaced(definition: &Document<'_>, device: &DeviceRef) -> bool {
    let kind = find_kind(&device.kind);
    let node = kind.and_then(|kind| find_device(definition, kind, &device.key));
    node.and_then(place) == Some(Place::Pci(None))
}

fn bus(device: &Node<'_, '_>) -> Option<u32> {
    match place(*device)? {
        Place::Pci(Some([_, bus, ..])) => Some(bus),
        Place::Pci(None) | Place::Mmio => None,
    }
}
