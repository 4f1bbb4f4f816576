//! The kinds of device, each in a file of its own.

mod agent;
mod cloud_init;
mod disk;
mod disk_places;
mod filesystem;
mod network;
mod rng;
mod share;
mod transport;

pub use cloud_init::CLOUD_INIT;
pub use disk::{BACKING_FILE, DISK, FORMAT};
pub(super) use disk::{FILE, TARGET};
pub(super) use disk_places::{disk_source, target_index};
pub use filesystem::FILESYSTEM;
pub(super) use network::{BUS, network_source};
pub use network::{NETWORK, networks_of};
pub use share::{SHARE, boot_share_of};
pub(super) use transport::attached;

use super::kind::{DeviceKind, KindInput, WantedDevice, devices};
use crate::fleet::Vm;
use crate::mark::{Applied, AppliedDevice, DeviceId, KindId};
use crate::values::Transport;
use crate::xml::{child, descend};
use roxmltree::Document;

/// All of them, in the order in which a new domain gets them.
pub(super) static KINDS: [&DeviceKind; 7] = [
    &disk::KIND,
    &cloud_init::KIND,
    &share::KIND,
    &filesystem::KIND,
    &network::KIND,
    &rng::KIND,
    &agent::KIND,
];

/// The kind of this name.
pub(super) fn find_kind(id: &KindId) -> Option<&'static DeviceKind> {
    KINDS.into_iter().find(|kind| kind.id == *id)
}

/// How a VM's devices are attached: as its key says, else as its boot share is, else as its architecture has it.
pub(super) fn transport_of(vm: &Vm, definition: &Document<'_>) -> Transport {
    let mut shares = devices(definition, &share::KIND);
    let mut seen = || {
        let (_, share) = shares.find(|(tag, node)| (share::KIND.is_one)(tag, *node))?;
        transport::attached(share)
    };
    let seen = vm.transport.or_else(&mut seen);
    seen.unwrap_or(vm.arch.transport)
}

/// All devices that a VM wants, with their kinds.
pub(super) fn wanted_devices(
    input: &KindInput<'_, '_>,
) -> Vec<(&'static DeviceKind, WantedDevice)> {
    let wanted = |kind: &'static DeviceKind| {
        let devices = (kind.wanted)(input).into_iter();
        devices.map(move |device| (kind, device))
    };
    KINDS.into_iter().flat_map(wanted).collect()
}

/// The file or folder that the last apply gave a device.
#[must_use]
pub fn applied_source<'a>(id: &DeviceId, device: &'a AppliedDevice) -> Option<&'a str> {
    let kind = find_kind(&id.kind).filter(|kind| kind.has_data())?;
    device.rows.get(&kind.source).map(String::as_str)
}

/// The files or folders that the last apply gave the devices of a kind.
pub fn applied_sources<'a>(
    applied: &'a Applied,
    kind: &'a KindId,
) -> impl Iterator<Item = &'a str> {
    let devices = applied.devices.iter();
    let devices = devices.filter(move |(id, _)| id.kind == *kind);
    devices.filter_map(|(id, device)| applied_source(id, device))
}

/// The images, shares and logs that an earlier version applied without a check of the ways to them.
pub fn unguarded_paths(applied: &Applied) -> impl Iterator<Item = &str> {
    let devices = applied.devices.iter();
    let sources = devices.filter_map(|(id, device)| applied_source(id, device));
    let is_guarded = |path: &str| applied.guarded.iter().any(|known| known.as_str() == path);
    let paths = sources.chain(applied.console_log());
    paths.filter(move |path| !is_guarded(path))
}

/// Whether a disk or a share is on PCI, armfleet's or not.
#[must_use]
pub fn has_devices_on_pci(definition: &Document<'_>) -> bool {
    let devices = descend(definition.root_element(), &["devices"]);
    let mut devices = devices.into_iter().flat_map(|devices| devices.children());
    devices.any(|device| {
        let is_of = |kind: &&DeviceKind| kind.has_data() && device.has_tag_name(kind.element);
        let address = child(device, "address").and_then(|address| address.attribute("type"));
        KINDS.iter().any(is_of) && address == Some("pci")
    })
}
