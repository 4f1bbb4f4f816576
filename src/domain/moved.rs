//! Devices whose data was moved outside armfleet: by a domain snapshot, a block copy, a backup, or `virsh edit`.
//!
//! What the last apply wrote is in the record. A value that differs from it, and that the fleet file does not name, tells
//! that the data was moved on purpose; putting the former value back would lose every write since.

use super::edit::DeviceRef;
use super::kind::{DeviceKind, WantedDevice, devices, find_device};
use super::kinds::{FORMAT, find_kind};
use super::row::{Outside, Row, RowInput, Want};
use crate::mark::{Applied, AppliedDevice, DeviceId, PropertyId};
use crate::xml::child;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;

/// A device that is no longer what the last apply made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What it is called in the record.
    pub id: DeviceId,
    /// What identifies it in the domain.
    pub device: DeviceRef,
    /// How a remedy names the key that says where its data is.
    pub source_key: &'static str,
    /// What differs. Never empty.
    pub differences: Vec<Difference>,
    /// The file or folder that the last apply gave it; none where no record says.
    pub applied_source: Option<String>,
    /// The format of the image that the last apply gave it.
    pub applied_format: Option<String>,
    /// The file or folder that it has.
    pub seen_source: Option<String>,
    /// Whether what it has is an image over another one.
    pub overlay: bool,
    /// Whether it is gone, and `seen_source` is a device's that came instead.
    pub gone: bool,
}

/// A property that was changed outside armfleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The property.
    pub property: PropertyId,
    /// What the last apply wrote; none where it wrote nothing, or no record says.
    pub applied: Option<String>,
    /// What is there.
    pub seen: Option<String>,
}

/// A device that a VM wants, with its kind.
type Wanted = (&'static DeviceKind, WantedDevice);

/// Finds the devices of a domain's definition that were moved, both those that are wanted and those that left the file.
pub(super) fn moved_devices(
    wanted: &[Wanted],
    input: &RowInput<'_>,
    document: &Document<'_>,
    before: Option<&Applied>,
) -> Vec<Moved> {
    let moved = wanted.iter().filter_map(|(kind, device)| {
        let recorded = before.and_then(|applied| device.last_applied(applied));
        let input = RowInput {
            device: Some(&device.id),
            key: Some(&device.key),
            recorded,
            ..*input
        };
        let found = Found {
            id: &device.id,
            kind,
            key: &device.key,
            recorded,
        };
        match find_device(document, kind, &device.key) {
            Some(_) if device.replaces.is_some() => None,
            Some(node) => found.moved(node, |row| (row.want)(&input)),
            None if kind.has_data() && (recorded.is_some() || before.is_none()) => {
                found.replaced(&strays(kind, wanted, document, before))
            }
            None => None,
        }
    });
    moved
        .chain(left_devices(wanted, document, before))
        .collect()
}

/// Those that left the file and that no wanted device has taken over.
fn left_devices<'a>(
    wanted: &'a [Wanted],
    document: &'a Document<'_>,
    before: Option<&'a Applied>,
) -> impl Iterator<Item = Moved> + 'a {
    let left = before.into_iter().flat_map(|applied| &applied.devices);
    left.filter_map(|(id, recorded)| {
        let kind = find_kind(&id.kind)?;
        if wanted
            .iter()
            .any(|(_, device)| device.is_applied(id, recorded))
        {
            return None;
        }
        let found = Found {
            id,
            kind,
            key: &recorded.key,
            recorded: Some(recorded),
        };
        found.moved(find_device(document, kind, &recorded.key)?, |_| Want::Leave)
    })
}

/// A device as it is looked for.
struct Found<'a> {
    id: &'a DeviceId,
    kind: &'static DeviceKind,
    key: &'a str,
    recorded: Option<&'a AppliedDevice>,
}

impl Found<'_> {
    /// What was moved of a device that is there.
    fn moved(&self, node: Node<'_, '_>, want: impl Fn(&Row) -> Want) -> Option<Moved> {
        let mut differences = Vec::new();
        for row in data_rows(self.kind) {
            let seen = row.read(node);
            let applied = self.applied(&row.id);
            let applied_value = applied.as_deref().map(|text| row.codec.read_recorded(text));
            let wanted =
                matches!(want(row), Want::Value(wanted) if wanted.is_some() && wanted == seen);
            if seen != applied_value && !wanted {
                differences.push(Difference {
                    property: row.id.clone(),
                    applied,
                    seen: seen.map(|value| value.to_string()),
                });
            }
        }
        self.with(differences, Some(node))
    }

    /// A device that is gone while unknown others came: one of them may be what it became.
    fn replaced(&self, strays: &[(String, String)]) -> Option<Moved> {
        let seen = |(key, source): &(String, String)| format!("{key} ({source})");
        let difference = Difference {
            property: PropertyId::new(self.kind.key_element),
            applied: self.recorded.map(|recorded| recorded.key.clone()),
            seen: strays.first().map(seen),
        };
        let differences = difference.seen.is_some().then_some(difference);
        let mut moved = self.with(differences.into_iter().collect(), None)?;
        moved.gone = true;
        moved.seen_source = strays.first().map(|(_, source)| source.clone());
        Some(moved)
    }

    fn with(&self, differences: Vec<Difference>, node: Option<Node<'_, '_>>) -> Option<Moved> {
        (!differences.is_empty()).then(|| Moved {
            id: self.id.clone(),
            device: DeviceRef {
                kind: self.kind.id.clone(),
                key: self.key.to_owned(),
            },
            source_key: self.kind.source_key,
            differences,
            applied_source: self.applied(&self.kind.source),
            applied_format: self.applied(&FORMAT),
            seen_source: node.and_then(|node| source_of(self.kind, node)),
            overlay: node.is_some_and(self.kind.is_overlay),
            gone: false,
        })
    }

    fn applied(&self, row: &PropertyId) -> Option<String> {
        self.recorded?.rows.get(row).cloned()
    }
}

/// The rows that say where a device's data is.
fn data_rows(kind: &DeviceKind) -> impl Iterator<Item = &Row> {
    let rows = kind.rows.iter();
    rows.filter(|row| row.outside == Outside::Refused)
}

fn source_of(kind: &DeviceKind, node: Node<'_, '_>) -> Option<String> {
    let source = kind.source(node).map(|value| value.to_string());
    // A block device, or an image that is reached over a network.
    source.or_else(|| {
        let attributes = child(node, "source")?.attributes();
        attributes
            .map(|attribute| attribute.value().to_owned())
            .next()
    })
}

/// The devices of a kind, as (key, source), that neither the file nor the record knows.
fn strays(
    kind: &DeviceKind,
    wanted: &[Wanted],
    document: &Document<'_>,
    before: Option<&Applied>,
) -> Vec<(String, String)> {
    let recorded = before.into_iter().flat_map(|applied| &applied.devices);
    let known: BTreeSet<&str> = recorded
        .map(|(_, device)| device.key.as_str())
        .chain(wanted.iter().map(|(_, device)| device.key.as_str()))
        .collect();
    devices(document, kind)
        .filter(|(key, node)| !known.contains(key) && (kind.is_one)(key, *node))
        .map(|(key, node)| {
            let source = source_of(kind, node).unwrap_or_else(|| "no source".to_owned());
            (key.to_owned(), source)
        })
        .collect()
}

/// The disks that a process has as an image over the one that its domain is defined with: started anew, it would lose
/// every write since that image was made.
#[must_use]
pub fn running_overlays(
    live: &Document<'_>,
    defined: &Document<'_>,
    applied: &Applied,
) -> Vec<Moved> {
    let overlay = |(id, recorded): (&DeviceId, &AppliedDevice)| {
        let kind = find_kind(&id.kind)?;
        let runs = find_device(live, kind, &recorded.key)?;
        let base = source_of(kind, find_device(defined, kind, &recorded.key)?)?;
        let source = source_of(kind, runs)?;
        let is_over = source != base && (kind.backing)(runs).contains(&base);
        is_over.then(|| Moved {
            id: id.clone(),
            device: DeviceRef {
                kind: kind.id.clone(),
                key: recorded.key.clone(),
            },
            source_key: kind.source_key,
            differences: vec![Difference {
                property: kind.source.clone(),
                applied: Some(base.clone()),
                seen: Some(source.clone()),
            }],
            applied_source: Some(base),
            applied_format: recorded.rows.get(&FORMAT).cloned(),
            seen_source: Some(source),
            overlay: true,
            gone: false,
        })
    };
    applied.devices.iter().filter_map(overlay).collect()
}
