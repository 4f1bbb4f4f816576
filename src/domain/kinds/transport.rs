//! How a device of any kind is attached.

use super::share;
use crate::domain::kind::devices;
use crate::domain::row::{Given, Row, RowInput, Seen, Want};
use crate::domain::value::Codec;
use crate::fleet::Vm;
use crate::mark::PropertyId;
use crate::values::Transport;
use crate::xml::{Part, child};
use roxmltree::{Document, Node};

/// Why a device comes, goes and changes at a boot only.
pub(super) const NO_HOTPLUG: &str = "virtio-mmio has no hotplug";

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

/// How a VM's devices are attached: as its key says, else as its boot share is, else as its architecture has it.
pub(in crate::domain) fn transport_of(vm: &Vm, definition: &Document<'_>) -> Transport {
    let shares = devices(definition, &share::KIND);
    let mut seen = shares.filter(|(tag, node)| (share::KIND.is_one)(tag, *node));
    let seen = || {
        let address = child(seen.next()?.1, "address")?.attribute("type")?;
        let known = LIBVIRT.iter().find(|(_, called)| *called == address)?;
        Some(known.0)
    };
    vm.transport.or_else(seen).unwrap_or(vm.arch.transport)
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
    let (transport, _) = LIBVIRT.iter().find(|(_, called)| *called == text)?;
    Some(Given::OfVm("transport", transport.to_string()))
}

/// An address beside its type belongs to the old transport.
fn elsewhere(device: Node<'_, '_>) -> Option<&'static str> {
    let has_address = child(device, "address")?.attribute("type").is_some();
    has_address.then_some("moving a device between PCI and virtio-mmio renames it in the guest; change its <address> with virsh edit")
}
