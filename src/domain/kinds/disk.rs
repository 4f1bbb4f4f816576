//! Disks.

use super::disk_places::{SeenDisk, disk_source, is_for_cloud_init, places};
use super::transport::{NO_HOTPLUG, TRANSPORT};
use crate::domain::kind::{DeviceKind, Keys, KindInput, WantedDevice, devices};
use crate::domain::row::{Couple, Given, Row, RowInput, Seen, Want, no_key};
use crate::domain::value::{Codec, Value};
use crate::fleet::{Backing, Disk, DiskFormat};
use crate::inventory::Look;
use crate::inventory::digest;
use crate::mark::{KindId, PropertyId};
use crate::paths::is_device;
use crate::values::{DiskName, SERIAL_LIMIT};
use crate::xml::{Part, child};
use roxmltree::Node;

/// An image or a block device that the guest has as a disk.
pub const DISK: KindId = KindId::new("disk");

/// An image's path, or a block device's.
pub(in crate::domain) const FILE: PropertyId = PropertyId::new("file");
/// How the image keeps the disk's bytes.
pub const FORMAT: PropertyId = PropertyId::new("format");
/// The image below.
pub const BACKING_FILE: PropertyId = PropertyId::new("backing file");
pub(in crate::domain) const TARGET: PropertyId = PropertyId::new("target");
const SERIAL: PropertyId = PropertyId::new("serial");

/// Every disk is a virtio device.
pub(super) const BUS: Row = Row::new(
    PropertyId::new("bus"),
    &["target"],
    Part::Attribute("bus"),
    Codec::Text,
    |_| Want::text("virtio"),
    no_key,
    NO_HOTPLUG,
);

/// The end of a backing chain, which a block copy leaves behind, belongs to the file that was there before.
const WITHOUT_END: Couple = Couple::Empty {
    path: &["backingStore"],
};
/// The image below. It is written out, so that libvirt does not look into the images for it, and it stays root's: else
/// libvirt gives it to QEMU's user, which all VMs share.
const BACKING: Couple = Couple::Fixed {
    path: &["backingStore"],
    attribute: "type",
    value: "file",
};
const STAYS_ROOTS: [Couple; 2] = [
    Couple::Fixed {
        path: &["backingStore", "source", "seclabel"],
        attribute: "model",
        value: "dac",
    },
    Couple::Fixed {
        path: &["backingStore", "source", "seclabel"],
        attribute: "relabel",
        value: "no",
    },
];
/// What libvirt calls a disk by what it has, whose source has an attribute to match.
const TYPE: Couple = Couple::Attribute {
    path: &[],
    attribute: "type",
    of: |source| {
        Some(match source {
            Value::Text(path) if is_device(path) => "block",
            _ => "file",
        })
    },
};

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
            Part::AttributeFor(
                |path| if is_device(path) { "dev" } else { "file" },
                ["file", "dev"],
            ),
            Codec::Text,
            |input| disk(input).map_or(Want::Leave, |disk| Want::text(&disk.path)),
            |seen| seen.of_device("path"),
            NO_HOTPLUG,
        )
        .couples(&[TYPE, WITHOUT_END])
        .naming_data(),
        // Never probed: a guest writes the bytes of its raw disk.
        Row::new(
            FORMAT,
            &["driver"],
            Part::Attribute("type"),
            Codec::Text,
            |input| disk(input).map_or(Want::Leave, |disk| Want::text(disk.format)),
            give_format,
            NO_HOTPLUG,
        )
        .naming_data(),
        Row::new(
            BACKING_FILE,
            &["backingStore", "source"],
            Part::AttributeFor(|_| "file", ["file", "dev"]),
            Codec::Text,
            |input| want_below(input, |backing| backing.path.to_string()),
            no_key,
            NO_HOTPLUG,
        )
        .couples(&[BACKING, STAYS_ROOTS[0], STAYS_ROOTS[1]])
        .naming_data(),
        Row::new(
            PropertyId::new("backing format"),
            &["backingStore", "format"],
            Part::Attribute("type"),
            Codec::Text,
            |input| want_below(input, |backing| backing.format.to_string()),
            no_key,
            NO_HOTPLUG,
        )
        .couples(&[BACKING]),
        BUS,
        Row::new(
            SERIAL,
            &["serial"],
            Part::Text,
            Codec::Text,
            want_serial,
            give_name,
            NO_HOTPLUG,
        ),
        Row::new(
            PropertyId::new("readonly"),
            &["readonly"],
            Part::Presence("true"),
            Codec::Text,
            |input| Want::flag(disk(input).and_then(|disk| disk.readonly)),
            |seen| seen.of_device("readonly"),
            NO_HOTPLUG,
        ),
        driver_row(
            "cache",
            |input| option(disk(input).and_then(|disk| disk.cache)),
            |seen| seen.of_device("cache"),
        ),
        driver_row(
            "io",
            |input| option(disk(input).and_then(|disk| disk.io)),
            |seen| seen.of_device("io"),
        ),
        driver_row(
            "discard",
            |input| option(disk(input).and_then(|disk| disk.discard)),
            |seen| seen.of_device("discard"),
        ),
        TRANSPORT,
        // The last, since the rows before find the disk by it.
        Row::new(
            TARGET,
            &["target"],
            Part::Attribute("dev"),
            Codec::Text,
            want_target,
            no_key,
            NO_HOTPLUG,
        ),
    ],
    source: FILE,
    keys: Keys::List("disks"),
    source_key: "disks: path",
    wanted,
    is_one: |_, node| {
        matches!(node.attribute("device"), None | Some("disk")) && !is_for_cloud_init(node)
    },
    before: |_| None,
    look: Some(Look::of_disk),
    backing: backing_files,
    is_overlay,
};

/// How QEMU handles the image: an attribute beside its format.
const fn driver_row(
    name: &'static str,
    want: fn(&RowInput<'_>) -> Want,
    give: fn(&Seen<'_>) -> Option<Given>,
) -> Row {
    Row::new(
        PropertyId::new(name),
        &["driver"],
        Part::Attribute(name),
        Codec::Text,
        want,
        give,
        |_| "QEMU opens the image when it starts",
    )
    .among_others()
}

/// What a key says; without it, what armfleet wrote goes, and what others wrote stays.
fn option(value: Option<impl ToString>) -> Want {
    value.map_or(Want::Withdraw, Want::text)
}

/// The disk whose rows are asked.
fn disk<'a>(input: &RowInput<'a>) -> Option<&'a Disk> {
    let name = &input.device?.name;
    let mut disks = input.vm.disks.iter();
    disks.find(|disk| disk.name.as_str() == name)
}

fn wanted(input: &KindInput<'_, '_>) -> Vec<WantedDevice> {
    let disks = input.vm.disks.iter();
    let places = places(input, &DISK, &seen_disks(input));
    let wanted = disks.zip(places).map(|(disk, place)| WantedDevice {
        id: DISK.named(&disk.name),
        key: place.target,
        replaces: place.replaces,
    });
    wanted.collect()
}

/// The disks that the domain has.
pub(super) fn seen_disks<'a>(input: &'a KindInput<'_, '_>) -> Vec<SeenDisk<'a>> {
    let seen = devices(input.document, &KIND).map(|(target, node)| SeenDisk {
        target,
        source: disk_source(node),
    });
    seen.collect()
}

/// The serial that the file says, or the recorded one, or for a disk that is not in the domain yet its name, cut to what a
/// virtio disk can tell its guest and made unique by a digest where that cuts something off. A disk already there keeps what
/// it has.
fn want_serial(input: &RowInput<'_>) -> Want {
    if let Some(serial) = disk(input).and_then(|disk| disk.serial.as_ref()) {
        return Want::text(serial);
    }
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

/// Without the key a target stays as it was chosen.
fn want_target(input: &RowInput<'_>) -> Want {
    let target = disk(input).and_then(|disk| disk.target.as_ref());
    target.map_or(Want::Leave, Want::text)
}

/// What the file says of the image below; without, none is written, and that of another disk goes.
fn want_below(input: &RowInput<'_>, of: fn(&Backing) -> String) -> Want {
    disk(input).map_or(Want::Leave, |disk| {
        Want::Value(
            disk.backing
                .as_ref()
                .map(|backing| Value::Text(of(backing))),
        )
    })
}

/// A serial that could be a disk's name is one.
fn give_name(seen: &Seen<'_>) -> Option<Given> {
    let name: DiskName = seen.text()?.parse().ok()?;
    Some(Given::OfDevice("name", name.to_string()))
}

fn give_format(seen: &Seen<'_>) -> Option<Given> {
    let known = [DiskFormat::Raw, DiskFormat::Qcow2];
    let known = known
        .iter()
        .any(|format| Some(format.as_str()) == seen.text());
    known.then(|| seen.of_device("format")).flatten()
}

fn backing_files(disk: Node<'_, '_>) -> Vec<String> {
    let chain = disk
        .descendants()
        .filter(|node| node.has_tag_name("backingStore"));
    let sources = chain.filter_map(|node| child(node, "source"));
    let files =
        sources.filter_map(|source| source.attribute("file").or_else(|| source.attribute("dev")));
    files.map(str::to_owned).collect()
}

/// Whatever has a backing chain, or is not raw: armfleet makes no such image.
fn is_overlay(disk: Node<'_, '_>) -> bool {
    let format = child(disk, "driver").and_then(|driver| driver.attribute("type"));
    format != Some(DiskFormat::Raw.as_str()) || !backing_files(disk).is_empty()
}
