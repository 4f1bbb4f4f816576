//! How a device of any kind is attached.

use crate::domain::row::{Given, Row, RowInput, Seen, Waits, Want, no_key};
use crate::domain::value::Codec;
use crate::mark::PropertyId;
use crate::values::Transport;
use crate::xml::{Element, Part, child};
use roxmltree::Node;

/// Why a device comes, goes and changes at a boot only.
pub(super) const NO_HOTPLUG: Waits = |transport| match transport {
    Transport::Mmio => "virtio-mmio has no hotplug",
    Transport::Pci => "armfleet changes devices in the definition only",
};

/// What libvirt calls them.
const LIBVIRT: [(Transport, &str); 2] = [(Transport::Mmio, "virtio-mmio"), (Transport::Pci, "pci")];

/// The row of each kind of device that has an address.
pub(super) const TRANSPORT: Row = Row::new(
    PropertyId::new("transport"),
    &["address"],
    Part::Attribute("type"),
    Codec::Text,
    want,
    give,
    NO_HOTPLUG,
)
.refuse(elsewhere);

/// Where a device is on PCI.
pub(in crate::domain) const BUS: PropertyId = PropertyId::new("pci bus");

/// The row of that; given only to a new device that is to come behind others, and no key says it.
pub(super) const PCI_BUS: Row = Row::new(
    BUS,
    &["address"],
    Part::Attribute("bus"),
    Codec::Text,
    |_| Want::Leave,
    no_key,
    NO_HOTPLUG,
);

/// What libvirt calls so.
fn called(name: &str) -> Option<Transport> {
    let known = LIBVIRT.iter().find(|(_, called)| *called == name)?;
    Some(known.0)
}

/// How a device is attached, where its address says so.
pub(in crate::domain) fn attached(device: Node<'_, '_>) -> Option<Transport> {
    called(child(device, "address")?.attribute("type")?)
}

/// The same of a device that is being edited.
pub(super) fn attached_in(device: &Element<'_>) -> Option<Transport> {
    called(device.child("address")?.attribute("type")?)
}

fn want(input: &RowInput<'_>) -> Want {
    if input.vm.transport.is_none() && !input.new {
        return Want::Leave;
    }
    let called = LIBVIRT.iter().find(|(known, _)| *known == input.transport);
    called.map_or(Want::Leave, |(_, called)| Want::text(called))
}

fn give(seen: &Seen<'_>) -> Option<Given> {
    let text = seen.text()?;
    let transport = called(text)?;
    Some(Given::OfVm("transport", transport.to_string()))
}

/// An address beside its type belongs to the old transport.
fn elsewhere(device: Node<'_, '_>) -> Option<&'static str> {
    let has_address = child(device, "address")?.attribute("type").is_some();
    has_address.then_some("moving a device between PCI and virtio-mmio renames it in the guest; change its <address> with virsh edit")
}
