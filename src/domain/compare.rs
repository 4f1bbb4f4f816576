//! What a domain has against what the spec wants.

use super::edit::{DeviceRef, Edit, apply_edits, devices, find_device, find_kind};
use super::skeleton::skeleton;
use super::table::{DEVICE_KINDS, DOMAIN_ROWS, Device, DeviceKind, Row, Want, Wish, arch_name};
use super::value::Value;
use crate::inventory::{Libvirt, digest};
use crate::mark::{Applied, AppliedDevice, Record};
use crate::spec::{Disk, FleetName, HostPath, Vm, domain_uuid};
use crate::xml::{self, XmlError, descend};
use roxmltree::{Document, Node};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The tag under which the guest mounts its boot share.
const BOOT_TAG: &str = "virtio-boot";
/// The longest serial that virtio-blk carries (`VIRTIO_BLK_ID_BYTES`).
const SERIAL_LIMIT: usize = 20;

/// What is recorded of a device that the last apply did not know.
static NOTHING: BTreeMap<String, String> = BTreeMap::new();

/// The difference between a domain and what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The edits that make the domain what is wanted.
    pub edits: Vec<Edit>,
    /// The same for people.
    pub changes: Vec<RowChange>,
    /// What the record is to say once the edits are made.
    pub applied: Applied,
    /// Wanted changes that this domain does not allow, and why.
    pub refusals: Vec<String>,
    /// What was left alone.
    pub notices: Vec<String>,
}

/// One property that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// The property, with its device.
    pub what: String,
    /// What is there.
    pub before: Option<String>,
    /// What will be there.
    pub after: Option<String>,
    /// Why the VM gets it at its next boot only, where that is so.
    pub waits: Option<String>,
    /// Why they differ; unknown where nothing was applied before.
    pub cause: Option<Cause>,
}

/// Why what is seen is not what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The fleet file wants something else than it did at the last apply.
    FileChanged,
    /// The host has something else than the last apply left.
    Drifted,
    /// Both.
    Both,
}

impl Cause {
    /// Why what is seen is not what is wanted, where something was applied before; none where all three are the same.
    #[must_use]
    pub fn of<T: PartialEq + ?Sized>(wanted: &T, applied: &T, seen: &T) -> Option<Self> {
        match (wanted == applied, seen == applied) {
            (false, true) => Some(Self::FileChanged),
            (true, false) => Some(Self::Drifted),
            (false, false) => Some(Self::Both),
            (true, true) => None,
        }
    }

    /// Several causes as one.
    #[must_use]
    pub fn together(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }

    /// Whether the host has something else than the last apply left.
    #[must_use]
    pub fn is_drift(self) -> bool {
        self != Self::FileChanged
    }
}

/// A device as wanted.
struct Wished<'a> {
    kind: &'static DeviceKind,
    name: String,
    key: String,
    device: Device<'a>,
}

/// Compares a domain's definition with what is wanted of it. A new domain is compared as its skeleton.
///
/// # Errors
/// When the definition is not XML.
pub fn compare(
    vm: &Vm,
    libvirt: &Libvirt,
    record: Option<&Record>,
    definition: &str,
    new: bool,
) -> Result<Comparison, XmlError> {
    compare_extent(vm, libvirt, record, definition, new, Extent::All)
}

/// As [`compare`] for an existing domain, but only what drifted since the last apply; what changed in the file is left
/// for another time.
///
/// # Errors
/// When the definition is not XML.
pub fn compare_drift(
    vm: &Vm,
    libvirt: &Libvirt,
    record: Option<&Record>,
    definition: &str,
) -> Result<Comparison, XmlError> {
    compare_extent(vm, libvirt, record, definition, false, Extent::Drift)
}

/// How much is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Everything.
    All,
    /// What drifted.
    Drift,
}

fn compare_extent(
    vm: &Vm,
    libvirt: &Libvirt,
    record: Option<&Record>,
    definition: &str,
    new: bool,
    extent: Extent,
) -> Result<Comparison, XmlError> {
    let document = xml::parse(definition)?;
    let mut result = Comparison::default();
    let before = record.map(|record| &record.applied);
    let wish = Wish {
        vm,
        libvirt,
        new,
        device: Device::None,
    };
    let scope = Scope {
        label: String::new(),
        device: None,
        node: Some(document.root_element()),
        extent,
    };
    let rows = before.map(|applied| &applied.rows);
    result.applied.rows = compare_rows(&mut result, DOMAIN_ROWS, &wish, &scope, rows);

    let serials: Vec<_> = vm
        .disks
        .iter()
        .map(|disk| serial_of(vm, disk, &document, before))
        .collect();
    let wished = wished_devices(vm, &document, before, &serials);
    for device in &wished {
        let node = find_device(&document, device.kind, &device.key);
        let recorded = before.map(|applied| {
            let device = applied.devices.get(&device.name);
            device.map_or(&NOTHING, |device| &device.rows)
        });
        let reference = DeviceRef {
            kind: device.kind.name.to_owned(),
            key: device.key.clone(),
        };
        if node.is_none() && recorded.is_none_or(BTreeMap::is_empty) && extent == Extent::Drift {
            continue;
        }
        if node.is_none() {
            result.edits.push(Edit::Add(reference.clone()));
        }
        let wish = Wish {
            device: device.device,
            new: node.is_none(),
            ..wish
        };
        let scope = Scope {
            label: device.name.clone(),
            device: Some(reference),
            node,
            extent,
        };
        let rows = compare_rows(&mut result, device.kind.rows, &wish, &scope, recorded);
        result.applied.devices.insert(
            device.name.clone(),
            AppliedDevice {
                key: device.key.clone(),
                rows,
            },
        );
    }
    let kept: BTreeSet<&str> = wished.iter().map(|device| device.name.as_str()).collect();
    let left = before
        .into_iter()
        .flat_map(|applied| &applied.devices)
        .filter(|(name, _)| !kept.contains(name.as_str()));
    for (name, device) in left {
        match extent {
            Extent::All => withdraw_device(&mut result, &document, name, device),
            Extent::Drift => {
                let devices = &mut result.applied.devices;
                devices.insert(name.clone(), device.clone());
            }
        }
    }
    Ok(result)
}

/// The definition of a VM's domain if it were created now.
#[must_use]
pub fn render_new(fleet: &FleetName, vm: &Vm, libvirt: &Libvirt) -> String {
    let skeleton = skeleton(vm.arch, fleet, &vm.name, &domain_uuid(fleet, &vm.name));
    let edits = compare(vm, libvirt, None, &skeleton, true).map(|comparison| comparison.edits);
    // The skeleton is this program's own, and a test renders it.
    edits
        .ok()
        .and_then(|edits| apply_edits(&skeleton, &edits).ok())
        .unwrap_or(skeleton)
}

/// Where rows are compared.
struct Scope<'a, 'input> {
    /// The device's name, empty for the domain.
    label: String,
    device: Option<DeviceRef>,
    /// Nothing where the device is to be added.
    node: Option<Node<'a, 'input>>,
    extent: Extent,
}

/// Compares rows in one scope and gives what is applied there afterwards.
fn compare_rows(
    result: &mut Comparison,
    rows: &[Row],
    wish: &Wish<'_>,
    scope: &Scope<'_, '_>,
    recorded: Option<&BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let guest = wish.libvirt.guests.get(arch_name(wish.vm.arch));
    let mut applied = BTreeMap::new();
    let added = scope.node.is_none();
    for row in rows {
        let seen = scope.node.and_then(|node| read_row(row, node));
        let last = recorded.and_then(|rows| rows.get(row.name));
        let last_value = last.map(|last| row.codec.read_recorded(last));
        let seen_text = seen.as_ref().map(ToString::to_string);
        let (edit, after) = match (row.want)(wish) {
            Want::Leave => {
                applied.extend(last.map(|last| (row.name.to_owned(), last.clone())));
                continue;
            }
            Want::Withdraw => match last {
                Some(_) if seen == last_value => (
                    Edit::Clear {
                        device: scope.device.clone(),
                        row: row.name.to_owned(),
                    },
                    None,
                ),
                _ => continue,
            },
            Want::Value(wanted) => {
                // The same value keeps its text, so that no record is written anew for the words of it.
                let same = last.filter(|_| last_value.as_ref() == Some(&wanted));
                let text = same.cloned().unwrap_or_else(|| wanted.recorded());
                applied.insert(row.name.to_owned(), text);
                if seen
                    .as_ref()
                    .is_some_and(|seen| row.codec.satisfied(&wanted, seen, guest))
                {
                    continue;
                }
                let after = Some(wanted.clone());
                (
                    Edit::Set {
                        device: scope.device.clone(),
                        row: row.name.to_owned(),
                        value: wanted,
                    },
                    after,
                )
            }
        };
        let what = if scope.label.is_empty() {
            row.name.to_owned()
        } else {
            format!("{} {}", scope.label, row.name)
        };
        let cause =
            recorded.and_then(|_| cause(after.as_ref(), last_value.as_ref(), seen.as_ref()));
        let after = after.as_ref().map(ToString::to_string);
        if scope.extent == Extent::Drift && !added && !cause.is_some_and(Cause::is_drift) {
            applied.remove(row.name);
            applied.extend(last.map(|last| (row.name.to_owned(), last.clone())));
            continue;
        }
        if let Some(why) = scope
            .node
            .filter(|_| !wish.new)
            .and_then(|node| (row.refuse)(node))
        {
            let text =
                |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            result.refusals.push(format!(
                "{what} {} -> {}: {why}",
                text(&seen_text),
                text(&after)
            ));
            if let (Some(last), true) = (last, applied.contains_key(row.name)) {
                applied.insert(row.name.to_owned(), last.clone());
            }
            continue;
        }
        result.edits.push(edit);
        if !added || is_shown(scope, row) {
            let what = if added { scope.label.clone() } else { what };
            result.changes.push(RowChange {
                what,
                before: seen_text,
                after,
                waits: Some(row.waits.to_owned()),
                cause,
            });
        }
    }
    applied
}

/// Of a device that is added, only the row that shows it is worth a line.
fn is_shown(scope: &Scope<'_, '_>, row: &Row) -> bool {
    let kind = scope
        .device
        .as_ref()
        .and_then(|device| find_kind(&device.kind).ok());
    kind.is_some_and(|kind| kind.shows == row.name)
}

/// Why a property differs from what is wanted, `last` being what the last apply wanted. What it did not want, nobody
/// can have changed since.
fn cause(wanted: Option<&Value>, last: Option<&Value>, seen: Option<&Value>) -> Option<Cause> {
    let Some(last) = last else {
        return Some(Cause::FileChanged);
    };
    Cause::of(&wanted, &Some(last), &seen)
}

fn read_row(row: &Row, scope: Node<'_, '_>) -> Option<Value> {
    row.codec.read(descend(scope, row.path)?, row.part)
}

fn wished_devices<'a>(
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
fn serial_of(
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

/// The kind in a device's name (`disk root`).
fn kind_of(name: &str) -> Option<&'static DeviceKind> {
    find_kind(name.split(' ').next()?).ok()
}

/// Takes out a device that armfleet put in and that left the spec, if it is still what was put there.
fn withdraw_device(
    result: &mut Comparison,
    document: &Document<'_>,
    name: &str,
    device: &AppliedDevice,
) {
    let Some(kind) = name.split(' ').next().and_then(|kind| find_kind(kind).ok()) else {
        return;
    };
    let Some(node) = find_device(document, kind, &device.key) else {
        return;
    };
    let Some(row) = kind.rows.iter().find(|row| row.name == kind.shows) else {
        return;
    };
    let seen = read_row(row, node);
    let put = device.rows.get(row.name);
    let as_put = seen == put.map(|text| row.codec.read_recorded(text));
    let seen = seen.map(|value| value.to_string());
    if !as_put {
        let seen = seen.unwrap_or_else(|| "nothing".to_owned());
        result.notices.push(format!(
            "{name} left the file, but {} is {seen} by now: left alone",
            device.key
        ));
        return;
    }
    result.edits.push(Edit::Remove(DeviceRef {
        kind: kind.name.to_owned(),
        key: device.key.clone(),
    }));
    result.changes.push(RowChange {
        what: name.to_owned(),
        before: seen,
        after: None,
        waits: Some(row.waits.to_owned()),
        cause: Some(Cause::FileChanged),
    });
}

/// The managed properties in which a running domain differs from its definition, as (what, running, defined). Of the
/// devices, only those that armfleet put there count.
///
/// # Errors
/// When either text is not XML.
pub fn differing_rows(
    live: &str,
    defined: &str,
    applied: &Applied,
) -> Result<Vec<(String, String, String)>, XmlError> {
    let (live, defined) = (xml::parse(live)?, xml::parse(defined)?);
    let mut scopes = vec![(
        String::new(),
        DOMAIN_ROWS,
        Some(live.root_element()),
        Some(defined.root_element()),
    )];
    for (name, device) in &applied.devices {
        if let Some(kind) = kind_of(name) {
            let find = |document| find_device(document, kind, &device.key);
            scopes.push((format!("{name} "), kind.rows, find(&live), find(&defined)));
        }
    }
    let mut differing = Vec::new();
    for (label, rows, live, defined) in scopes {
        for row in rows {
            let read = |scope: Option<Node<'_, '_>>| scope.and_then(|scope| read_row(row, scope));
            let (live, defined) = (read(live), read(defined));
            if live != defined {
                let text = |value: Option<Value>| {
                    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
                };
                differing.push((format!("{label}{}", row.name), text(live), text(defined)));
            }
        }
    }
    Ok(differing)
}
