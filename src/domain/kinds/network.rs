//! Network interfaces.

use super::transport::{NO_HOTPLUG, PCI_BUS, TRANSPORT, attached_in};
use crate::domain::kind::{DeviceKind, Keys, KindInput, WantedDevice, devices};
use crate::domain::row::{Given, Row, RowInput, Seen, Want};
use crate::domain::value::{Codec, Value};
use crate::fleet::{Network, NetworkModel};
use crate::mark::{KindId, OwnerMark, PropertyId};
use crate::values::{MacAddress, NetworkName, Transport};
use crate::xml::{Element, Part, child};
use roxmltree::{Document, Node};
use std::collections::BTreeSet;

/// A network interface of the guest.
pub const NETWORK: KindId = KindId::new("network");

const SOURCE: PropertyId = PropertyId::new("source");
const MODEL: PropertyId = PropertyId::new("model");
const MAC: PropertyId = PropertyId::new("mac");

/// The types of interfaces that a fleet file can want, by its keys, each with the attribute that names its source.
const TYPES: [(&str, Option<&str>); 4] = [
    ("network", Some("network")),
    ("bridge", Some("bridge")),
    ("direct", Some("dev")),
    (USER, None),
];
const USER: &str = "user";
/// How guests on one device of the host reach each other, which libvirt's own default (`vepa`) leaves to a switch.
const DIRECT_MODE: &str = "bridge";

pub(super) static KIND: DeviceKind = DeviceKind {
    id: NETWORK,
    element: "interface",
    key_element: "mac",
    key_attribute: "address",
    blank: "<interface type='user'>\n  <mac/>\n</interface>",
    rows: &[
        Row::new(
            SOURCE,
            &[],
            Part::Whole(network_source, with_source),
            Codec::Text,
            |input| network(input).map_or(Want::Leave, |network| Want::text(network.source())),
            give_source,
            NO_HOTPLUG,
        ),
        Row::new(
            MODEL,
            &["model"],
            Part::Attribute("type"),
            Codec::Text,
            want_model,
            |seen| seen.of_device("model"),
            NO_HOTPLUG,
        ),
        Row::new(
            PropertyId::new("vlan"),
            &["vlan", "tag"],
            Part::Attribute("id"),
            Codec::Count,
            |input| match network(input).and_then(|network| network.vlan) {
                Some(vlan) => Want::Value(Some(Value::Count(vlan.into()))),
                None => Want::Withdraw,
            },
            |seen| seen.of_device("vlan"),
            NO_HOTPLUG,
        )
        .refuse(trunk),
        TRANSPORT,
        PCI_BUS,
        // The last, since the rows before find the interface by it.
        Row::new(
            MAC,
            &["mac"],
            Part::Attribute("address"),
            Codec::Text,
            want_mac,
            |seen| seen.of_device("mac"),
            NO_HOTPLUG,
        ),
    ],
    source: SOURCE,
    keys: Keys::List("networks"),
    source_key: "networks",
    wanted,
    is_one: |_, node| network_source(node).is_some(),
    before: first_on_mmio,
    look: None,
    backing: |_| Vec::new(),
    is_overlay: |_| false,
};

/// The interface whose rows are asked.
fn network<'a>(input: &RowInput<'a>) -> Option<&'a Network> {
    let name = &input.device?.name;
    let mut networks = input.vm.networks.iter();
    networks.find(|network| network.name.as_str() == name)
}

/// An interface in several VLANs: to set the first one's tag would leave it in the others.
fn trunk(interface: Node<'_, '_>) -> Option<&'static str> {
    let tags = child(interface, "vlan")?.children();
    let tags = tags.filter(|tag| tag.has_tag_name("tag"));
    (tags.count() > 1).then_some("it is in several VLANs, which no key says; leave `vlan` out, or take the others out with virsh edit")
}

/// What an interface is on, as [`NetworkSource`](crate::fleet::NetworkSource) writes it. A process on a network of libvirt
/// has the type of what that stands for, and names it still.
pub(in crate::domain) fn network_source(interface: Node<'_, '_>) -> Option<String> {
    let named = |attribute| child(interface, "source")?.attribute(attribute);
    let of_type = match named("network") {
        Some(_) => "network",
        None => interface.attribute("type")?,
    };
    let (_, attribute) = TYPES.iter().find(|(known, _)| *known == of_type)?;
    match attribute {
        None => Some(of_type.to_owned()),
        Some(attribute) => Some(format!("{of_type} {}", named(attribute)?)),
    }
}

/// What the interfaces of a definition are on.
#[must_use]
pub fn networks_of(definition: &Document<'_>) -> Vec<String> {
    devices(definition, &KIND)
        .filter_map(|(_, node)| network_source(node))
        .collect()
}

/// Puts an interface on something. What the former source says beside its name goes with it.
fn with_source(interface: &mut Element<'_>, source: &str) {
    let (of_type, name) = source.split_once(' ').unwrap_or((source, ""));
    let known = TYPES.iter().find(|(known, _)| *known == of_type);
    match known.and_then(|(_, attribute)| *attribute) {
        Some(attribute) => {
            let mut element = Element::new("source");
            element.set_attribute(attribute, name);
            if of_type == "direct" {
                element.set_attribute("mode", DIRECT_MODE);
            }
            interface.put(element);
        }
        None => drop(interface.remove(|child| child.is("source"))),
    }
    interface.set_attribute("type", of_type);
}

/// The device that it is: as the file says, else the recorded one, else `virtio` for a new one, else whatever it is.
fn want_model(input: &RowInput<'_>) -> Want {
    let given = network(input).and_then(|network| network.model);
    let recorded = || input.recorded?.rows.get(&MODEL).cloned();
    match given.map(|model| model.to_string()).or_else(recorded) {
        Some(model) => Want::text(model),
        None if input.new => Want::text(NetworkModel::Virtio),
        None => Want::Leave,
    }
}

/// The address that the file says, else the recorded one, else the one that it has or is added with.
fn want_mac(input: &RowInput<'_>) -> Want {
    let given = network(input).and_then(|network| network.mac);
    let recorded = || input.recorded?.rows.get(&MAC).cloned();
    let mac = given.map(|mac| mac.to_string()).or_else(recorded);
    let mac = mac.or_else(|| input.key.map(str::to_owned));
    mac.map_or(Want::Leave, Want::text)
}

/// An interface that is there has its address; one that comes gets one.
fn wanted(input: &KindInput<'_, '_>) -> Vec<WantedDevice> {
    let networks = &input.vm.networks;
    let seen: Vec<_> = devices(input.document, &KIND).collect();
    let recorded = |network: &Network| {
        let device = input.recorded(&NETWORK.named(&network.name))?;
        Some(device.key.as_str())
    };
    let has = |mac: &&str| seen.iter().any(|(seen, _)| seen == mac);
    let known = networks.iter().filter_map(recorded).filter(has);
    let mut taken: BTreeSet<&str> = known.collect();
    let mut place = |network: &Network| {
        let known = recorded(network);
        if let Some(known) = known.filter(has) {
            return known.to_owned();
        }
        let given = network.mac.map(|mac| mac.to_string());
        let on = network.source().to_string();
        let free = || seen.iter().filter(|(mac, _)| !taken.contains(mac));
        let same = free().find(|(mac, _)| given.as_deref() == Some(*mac));
        let there =
            same.or_else(|| free().find(|(_, node)| network_source(*node).as_ref() == Some(&on)));
        if let Some((mac, _)) = there {
            taken.insert(mac);
            return (*mac).to_owned();
        }
        let new = known.map(str::to_owned).or(given);
        new.unwrap_or_else(|| derived(input, &network.name))
    };
    let wanted = networks.iter().map(|network| {
        let key = place(network);
        WantedDevice::new(NETWORK.named(&network.name), key)
    });
    wanted.collect()
}

/// The address of a new interface. A domain that is compared has the mark, which names its fleet.
fn derived(input: &KindInput<'_, '_>, network: &NetworkName) -> String {
    let mark = OwnerMark::find(input.document.root_element());
    let fleet = mark.and_then(|mark| mark.fleet.parse().ok());
    let mac = fleet.map(|fleet| MacAddress::derived(&fleet, &input.vm.name, network));
    mac.map(|mac| mac.to_string()).unwrap_or_default()
}

/// A guest counts the interfaces on virtio-mmio in the reverse order of the definition, where libvirt keeps the order in
/// which it was given them: there the last one of the list is the first.
fn first_on_mmio(devices: &Element<'_>) -> Option<&'static str> {
    let on_mmio = |device: &Element<'_>| attached_in(device) == Some(Transport::Mmio);
    let mut devices = devices.children();
    devices.any(on_mmio).then_some(KIND.element)
}

fn give_source(seen: &Seen<'_>) -> Option<Given> {
    let (key, name) = seen.text()?.split_once(' ').unwrap_or((USER, "true"));
    let (key, _) = TYPES.iter().find(|(known, _)| *known == key)?;
    Some(Given::OfDevice(key, name.to_owned()))
}
