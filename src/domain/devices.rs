//! The devices that a VM wants in its domain, and what identifies each there.

use super::edit::{devices, find_kind};
use super::table::{DEVICE_KINDS, Device, DeviceKind};
use crate::fleet::{Disk, Vm};
use crate::inventory::digest;
use crate::mark::{Applied, AppliedDevice};
use crate::values::HostPath;
use crate::xml::descend;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;

/// The tag under which the guest mounts its boot share.
const BOOT_TAG: &str = "virtio-boot";
/// The longest serial that virtio-blk carries (`VIRTIO_BLK_ID_BYTES`).
const SERIAL_LIMIT: usize = 20;

/// A device as wanted.
pub(super) struct Wished<'a> {
    pub(super) kind: &'static DeviceKind,
    pub(super) name: String,
    pub(super) key: String,
    pub(super) device: Device<'a>,
}

/// The devices that a VM wants, each with what identifies it in this domain.
pub(super) fn wished_devices<'a>(
    vm: &'a Vm,
    document: &Document<'_>,
    before: Option<&Applied>,
    serials: &'a [Option<String>],
) -> Vec<Wished<'a>> {
    let mut wished = Vec::new();
    let mut taken = BTreeSet::new();
    for kind in DEVICE_KINDS {
        match kind.name {
            "disk" => {
                for (disk, serial) in vm.disks.iter().zip(serials) {
                    let name = format!("disk {}", disk.name);
                    let recorded = before
                        .and_then(|applied| applied.devices.get(&name))
                        .map(|device| device.key.clone());
                    let key = recorded
                        .or_else(|| target_of(document, &disk.path))
                        .or_else(|| free_target(document, &taken))
                        .unwrap_or_default();
                    taken.insert(key.clone());
                    wished.push(Wished {
                        kind,
                        name,
                        key,
                        device: Device::Disk {
                            disk,
                            serial: serial.as_deref(),
                        },
                    });
                }
            }
            _ => wished.push(Wished {
                kind,
                name: "share boot".to_owned(),
                key: BOOT_TAG.to_owned(),
                device: Device::BootShare(&vm.boot),
            }),
        }
    }
    wished
}

/// A disk's serial: the recorded one, or for a disk that is not in the domain yet its name, cut to what a virtio disk can
/// tell its guest and made unique by a digest where that cuts something off. A disk already there keeps what it has.
pub(super) fn serial_of(
    vm: &Vm,
    disk: &Disk,
    document: &Document<'_>,
    before: Option<&Applied>,
) -> Option<String> {
    let recorded = before.and_then(|applied| applied.devices.get(&format!("disk {}", disk.name)));
    if let Some(serial) = recorded.and_then(|device| device.rows.get("serial")) {
        return Some(serial.clone());
    }
    if recorded.is_some() || target_of(document, &disk.path).is_some() {
        return None;
    }
    let name = disk.name.as_str();
    if name.len() <= SERIAL_LIMIT {
        return Some(name.to_owned());
    }
    let digest = digest(&format!("{} {name}", vm.name));
    Some(format!("{}-{}", &name[..SERIAL_LIMIT - 7], &digest[..6]))
}

/// The target of the disk that has this image.
fn target_of(document: &Document<'_>, image: &HostPath) -> Option<String> {
    let kind = find_kind("disk").ok()?;
    let source = |node: Node<'_, '_>| {
        descend(node, &["source"])?
            .attribute("file")
            .map(str::to_owned)
    };
    devices(document, kind)
        .find(|(_, node)| source(*node).as_deref() == Some(image.as_str()))
        .map(|(target, _)| target.to_owned())
}

/// The next free disk target. libvirt sorts disks by target, and a guest numbers virtio-mmio devices in reverse: what is
/// named `vdz` first is the guest's `vda`.
fn free_target(document: &Document<'_>, taken: &BTreeSet<String>) -> Option<String> {
    let kind = find_kind("disk").ok()?;
    let seen: BTreeSet<&str> = devices(document, kind).map(|(target, _)| target).collect();
    ('a'..='z')
        .rev()
        .map(|letter| format!("vd{letter}"))
        .find(|target| !taken.contains(target) && !seen.contains(target.as_str()))
}

/// The file or folder that the last apply gave a device of this name.
#[must_use]
pub fn applied_source<'a>(name: &str, device: &'a AppliedDevice) -> Option<&'a str> {
    let kind = kind_of(name)?;
    device.rows.get(kind.shows).map(String::as_str)
}

/// The files or folders that the last apply gave the devices of a kind (`disk`, `share`).
pub fn applied_sources<'a>(applied: &'a Applied, kind: &'a str) -> impl Iterator<Item = &'a str> {
    let devices = applied.devices.iter();
    let devices =
        devices.filter(move |(name, _)| kind_of(name).is_some_and(|known| known.name == kind));
    devices.filter_map(|(name, device)| applied_source(name, device))
}

/// The kind in a device's name (`disk root`).
pub(super) fn kind_of(name: &str) -> Option<&'static DeviceKind> {
    find_kind(name.split(' ').next()?).ok()
}
