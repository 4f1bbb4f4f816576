//! What a domain has against what the spec wants.

use super::devices::{Wished, kind_of, serial_of, wished_devices};
use super::edit::{DeviceRef, Edit, apply_edits, find_device, find_kind};
use super::moved::{Moved, moved_devices};
use super::skeleton::skeleton;
use super::table::{DOMAIN_ROWS, Device, Row, Want, Wish, arch_name, read_row};
use super::value::Value;
use crate::fleet::Vm;
use crate::inventory::Libvirt;
use crate::mark::{Applied, AppliedDevice, Record};
use crate::values::{FleetName, domain_uuid};
use crate::xml::{self, XmlError};
use roxmltree::{Document, Node};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Devices whose data was moved outside armfleet; no device of their kind is edited.
    pub moved: Vec<Moved>,
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
    if !new {
        result.moved = moved_devices(&wished, &wish, &document, before);
    }
    let touches = |kind: &str, moved: &[Moved]| moved.iter().all(|moved| moved.device.kind != kind);
    for device in &wished {
        if touches(device.kind.name, &result.moved) {
            compare_device(&mut result, device, &wish, &document, before, extent);
        } else {
            keep_recorded(&mut result, &device.name, before);
        }
    }
    let left = before
        .into_iter()
        .flat_map(|applied| &applied.devices)
        .filter(|(name, _)| wished.iter().all(|device| device.name != **name));
    for (name, device) in left {
        let taken_over = wished.iter().any(|wished| wished.key == device.key);
        let moved = kind_of(name).is_some_and(|kind| !touches(kind.name, &result.moved));
        match extent {
            _ if taken_over => {}
            Extent::All if !moved => withdraw_device(&mut result, &document, name, device),
            _ => keep_recorded(&mut result, name, before),
        }
    }
    Ok(result)
}

/// What was recorded of a device stays, since the device stays as it is.
fn keep_recorded(result: &mut Comparison, name: &str, before: Option<&Applied>) {
    let recorded = before.and_then(|applied| applied.devices.get(name));
    let devices = &mut result.applied.devices;
    devices.extend(recorded.map(|device| (name.to_owned(), device.clone())));
}

fn compare_device(
    result: &mut Comparison,
    device: &Wished<'_>,
    wish: &Wish<'_>,
    document: &Document<'_>,
    before: Option<&Applied>,
    extent: Extent,
) {
    let node = find_device(document, device.kind, &device.key);
    let recorded = before.map(|applied| {
        let device = applied.devices.get(&device.name);
        device.map_or(&NOTHING, |device| &device.rows)
    });
    if node.is_none() && recorded.is_none_or(BTreeMap::is_empty) && extent == Extent::Drift {
        return;
    }
    let reference = DeviceRef {
        kind: device.kind.name.to_owned(),
        key: device.key.clone(),
    };
    if node.is_none() {
        result.edits.push(Edit::Add(reference.clone()));
    }
    let wish = Wish {
        device: device.device,
        new: node.is_none(),
        ..*wish
    };
    let scope = Scope {
        label: device.name.clone(),
        device: Some(reference),
        node,
        extent,
    };
    let rows = compare_rows(result, device.kind.rows, &wish, &scope, recorded);
    let applied = AppliedDevice {
        key: device.key.clone(),
        rows,
        place: None,
    };
    result.applied.devices.insert(device.name.clone(), applied);
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

/// Takes out a device that armfleet put in and that left the spec.
fn withdraw_device(
    result: &mut Comparison,
    document: &Document<'_>,
    name: &str,
    device: &AppliedDevice,
) {
    let Some(kind) = kind_of(name) else {
        return;
    };
    let Some(node) = find_device(document, kind, &device.key) else {
        return;
    };
    let Some(row) = kind.rows.iter().find(|row| row.name == kind.shows) else {
        return;
    };
    let seen = read_row(row, node).map(|value| value.to_string());
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
