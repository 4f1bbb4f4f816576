//! Disks.

use super::transport::{NO_HOTPLUG, TRANSPORT};
use crate::domain::kind::{DeviceKind, Keys, KindInput, WantedDevice, devices};
use crate::domain::row::{Couple, Given, Row, RowInput, Seen, Want, no_key};
use crate::domain::value::Codec;
use crate::fleet::{Disk, DiskFormat};
use crate::inventory::digest;
use crate::mark::{KindId, PropertyId};
use crate::values::DiskName;
use crate::xml::{Part, child};
use roxmltree::{Document, Node};
use std::collections::BTreeSet;

/// An image that the guest has as a disk.
pub const DISK: KindId = KindId::new("disk");

const FILE: PropertyId = PropertyId::new("file");
const SERIAL: PropertyId = PropertyId::new("serial");
/// The longest serial that virtio-blk carries (`VIRTIO_BLK_ID_BYTES`).
const SERIAL_LIMIT: usize = 20;

/// A backing chain belongs to the file and format that were there before: with others, no start would succeed.
const WITHOUT_BACKING: &[Couple] = &[Couple::Element {
    path: &["backingStore"],
    element: |_| None,
}];

pub(super) static KIND: DeviceKind = DeviceKind {
    id: DISK,
    element: "disk",
    key_element: "target",
    key_attribute: "dev",
    blank: "<disk type='file' device='disk'>\n  <driver name='qemu' type='raw'/>\n  <source/>\n  <target/>\n</disk>",
    rows: &[
        Row::new(
            FILE,
            &["source"],
            Part::Attribute("file"),
            Codec::Text,
            |input| disk(input).map_or(Want::Leave, |disk| Want::text(&disk.path)),
            |seen| seen.of_device("path"),
            NO_HOTPLUG,
        )
        .couples(WITHOUT_BACKING)
        .naming_data(),
        // Never probed: a guest writes the bytes of its raw disk.
        Row::new(
            PropertyId::new("format"),
            &["driver"],
            Part::Attribute("type"),
            Codec::Text,
            |_| Want::text(DiskFormat::Raw),
            give_format,
            NO_HOTPLUG,
        )
        .couples(WITHOUT_BACKING)
        .naming_data(),
        Row::new(
            PropertyId::new("bus"),
            &["target"],
            Part::Attribute("bus"),
            Codec::Text,
            |_| Want::text("virtio"),
            no_key,
            NO_HOTPLUG,
        ),
        Row::new(
            SERIAL,
            &["serial"],
            Part::Text,
            Codec::Text,
            want_serial,
            give_name,
            NO_HOTPLUG,
        ),
        TRANSPORT,
    ],
    source: FILE,
    keys: Keys::List("disks"),
    source_key: "disks: path",
    wanted,
    is_one: |_, node| matches!(node.attribute("device"), None | Some("disk")),
    backing: backing_files,
    is_overlay,
};

/// The disk whose rows are asked.
fn disk<'a>(input: &RowInput<'a>) -> Option<&'a Disk> {
    let name = &input.device?.name;
    let mut disks = input.vm.disks.iter();
    disks.find(|disk| disk.name.as_str() == name)
}

fn wanted(input: &KindInput<'_, '_>) -> Vec<WantedDevice> {
    let mut taken = BTreeSet::new();
    let wanted = input.vm.disks.iter().map(|disk| {
        let id = DISK.named(&disk.name);
        let key = input
            .recorded(&id)
            .map(|device| device.key.clone())
            .or_else(|| target_of(input.document, disk.path.as_str()))
            .or_else(|| free_target(input.document, &taken))
            .unwrap_or_default();
        taken.insert(key.clone());
        WantedDevice { id, key }
    });
    wanted.collect()
}

/// The target of the disk that has this image.
fn target_of(document: &Document<'_>, image: &str) -> Option<String> {
    let source = |node| child(node, "source")?.attribute("file");
    devices(document, &KIND)
        .find(|(_, node)| source(*node) == Some(image))
        .map(|(target, _)| target.to_owned())
}

/// The next free disk target. libvirt sorts disks by target, and a guest numbers virtio-mmio devices in reverse: what is
/// named `vdz` first is the guest's `vda`.
fn free_target(document: &Document<'_>, taken: &BTreeSet<String>) -> Option<String> {
    let seen: BTreeSet<&str> = devices(document, &KIND).map(|(target, _)| target).collect();
    ('a'..='z')
        .rev()
        .map(|letter| format!("vd{letter}"))
        .find(|target| !taken.contains(target) && !seen.contains(target.as_str()))
}

/// The recorded serial, or for a disk that is not in the domain yet its name, cut to what a virtio disk can tell its guest
/// and made unique by a digest where that cuts something off. A disk already there keeps what it has.
fn want_serial(input: &RowInput<'_>) -> Want {
    if let Some(recorded) = input.recorded {
        return recorded.rows.get(&SERIAL).map_or(Want::Leave, Want::text);
    }
    let Some(disk) = disk(input).filter(|_| input.new) else {
        return Want::Leave;
    };
    let name = disk.name.as_str();
    if name.len() <= SERIAL_LIMIT {
        return Want::text(name);
    }
    let digest = digest(&format!("{} {name}", input.vm.name));
    Want::text(format!("{}-{}", &name[..SERIAL_LIMIT - 7], &digest[..6]))
}

/// A serial that could be a disk's name is one.
fn give_name(seen: &Seen<'_>) -> Option<Given> {
    let name: DiskName = seen.text()?.parse().ok()?;
    Some(Given::OfDevice("name", name.to_string()))
}

fn give_format(seen: &Seen<'_>) -> Option<Given> {
    let raw = seen.text()? == DiskFormat::Raw.as_str();
    raw.then(|| Given::OfDevice("format", DiskFormat::Raw.to_string()))
}

fn backing_files(disk: Node<'_, '_>) -> Vec<String> {
    let chain = disk
        .descendants()
        .filter(|node| node.has_tag_name("backingStore"));
    let files = chain.filter_map(|node| child(node, "source")?.attribute("file"));
    files.map(str::to_owned).collect()
}

/// Whatever has a backing chain, or is not raw: armfleet makes no such image.
fn is_overlay(disk: Node<'_, '_>) -> bool {
    let format = child(disk, "driver").and_then(|driver| driver.attribute("type"));
    format != Some(DiskFormat::Raw.as_str()) || !backing_files(disk).is_empty()
}
