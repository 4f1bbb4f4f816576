//! Devices whose data was moved outside armfleet: by a domain snapshot, a block copy, a backup, or `virsh edit`.
//!
//! What the last apply wrote is in the record. A value that differs from it, and that the fleet file does not name, tells
//! that somebody moved the data on purpose; putting the former value back would lose every write since.

use super::devices::{Wished, kind_of};
use super::edit::{DeviceRef, devices, find_device};
use super::table::{DeviceKind, Outside, Row, Want, Wish, read_row};
use crate::mark::{Applied, AppliedDevice};
use crate::xml::{self, XmlError, child};
use roxmltree::{Document, Node};
use std::collections::BTreeSet;

/// A device that is no longer what the last apply made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Its name in the record: `disk root`.
    pub name: String,
    /// Its kind, and what identifies it in the domain.
    pub device: DeviceRef,
    /// What differs. Never empty.
    pub differences: Vec<Difference>,
    /// The file or folder that the last apply gave it; none where no record says.
    pub applied_source: Option<String>,
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
    pub property: &'static str,
    /// What the last apply wrote; none where it wrote nothing, or no record says.
    pub applied: Option<String>,
    /// What is there.
    pub seen: Option<String>,
}

/// Finds the devices of a domain's definition that were moved, both those that are wanted and those that left the file.
pub(super) fn moved_devices(
    wished: &[Wished<'_>],
    wish: &Wish<'_>,
    document: &Document<'_>,
    before: Option<&Applied>,
) -> Vec<Moved> {
    let recorded = |name: &str| before.and_then(|applied| applied.devices.get(name));
    let wanted = wished.iter().filter_map(|device| {
        let recorded = recorded(&device.name);
        let wish = Wish {
            device: device.device,
            ..*wish
        };
        let found = Found {
            name: &device.name,
            kind: device.kind,
            key: &device.key,
            recorded,
        };
        match find_device(document, device.kind, &device.key) {
            Some(node) => found.moved(node, |row| (row.want)(&wish)),
            None if recorded.is_some() || before.is_none() => {
                found.replaced(&strays(device.kind, wished, document, before))
            }
            None => None,
        }
    });
    wanted
        .chain(left_devices(wished, document, before))
        .collect()
}

/// Those that left the file and that no wanted device has taken over.
fn left_devices<'a>(
    wished: &'a [Wished<'_>],
    document: &'a Document<'_>,
    before: Option<&'a Applied>,
) -> impl Iterator<Item = Moved> + 'a {
    let left = before.into_iter().flat_map(|applied| &applied.devices);
    left.filter_map(|(name, recorded)| {
        let kind = kind_of(name)?;
        let stays = |device: &Wished<'_>| device.name == *name || device.key == recorded.key;
        if wished.iter().any(stays) {
            return None;
        }
        let found = Found {
            name,
            kind,
            key: &recorded.key,
            recorded: Some(recorded),
        };
        found.moved(find_device(document, kind, &recorded.key)?, |_| Want::Leave)
    })
}

/// A device as it is looked for.
struct Found<'a> {
    name: &'a str,
    kind: &'static DeviceKind,
    key: &'a str,
    recorded: Option<&'a AppliedDevice>,
}

impl Found<'_> {
    /// What was moved of a device that is there.
    fn moved(&self, node: Node<'_, '_>, want: impl Fn(&Row) -> Want) -> Option<Moved> {
        let mut differences = Vec::new();
        for row in data_rows(self.kind) {
            let seen = read_row(row, node);
            let applied = self.applied(row.name);
            let applied_value = applied.as_deref().map(|text| row.codec.read_recorded(text));
            let wanted =
                matches!((want(row), &seen), (Want::Value(wanted), Some(seen)) if wanted == *seen);
            if seen != applied_value && !wanted {
                differences.push(Difference {
                    property: row.name,
                    applied,
                    seen: seen.map(|value| value.to_string()),
                });
            }
        }
        let backing = backing_files(node).into_iter().next();
        let overlay = backing.is_some() || differences.iter().any(|of| of.property == "format");
        differences.extend(backing.map(|file| Difference {
            property: "backing file",
            applied: None,
            seen: Some(file),
        }));
        self.with(differences, Some(node), overlay)
    }

    /// A device that is gone while others came that nobody knows: one of them may be what it became.
    fn replaced(&self, strays: &[(String, String)]) -> Option<Moved> {
        let seen = |(key, source): &(String, String)| format!("{key} ({source})");
        let difference = Difference {
            property: self.kind.key_element,
            applied: self.recorded.map(|recorded| recorded.key.clone()),
            seen: strays.first().map(seen),
        };
        let differences = difference.seen.is_some().then_some(difference);
        let mut moved = self.with(differences.into_iter().collect(), None, false)?;
        moved.gone = true;
        moved.seen_source = strays.first().map(|(_, source)| source.clone());
        Some(moved)
    }

    fn with(
        &self,
        differences: Vec<Difference>,
        node: Option<Node<'_, '_>>,
        overlay: bool,
    ) -> Option<Moved> {
        (!differences.is_empty()).then(|| Moved {
            name: self.name.to_owned(),
            device: DeviceRef {
                kind: self.kind.name.to_owned(),
                key: self.key.to_owned(),
            },
            differences,
            applied_source: self.applied(self.kind.shows),
            seen_source: node.and_then(|node| source_of(self.kind, node)),
            overlay,
            gone: false,
        })
    }

    fn applied(&self, row: &str) -> Option<String> {
        self.recorded?.rows.get(row).cloned()
    }
}

/// The rows that say where a device's data is.
fn data_rows(kind: &DeviceKind) -> impl Iterator<Item = &Row> {
    let rows = kind.rows.iter();
    rows.filter(|row| row.outside == Outside::Refused)
}

/// The images below a disk's own, the nearest first.
fn backing_files(disk: Node<'_, '_>) -> Vec<String> {
    let chain = disk
        .descendants()
        .filter(|node| node.has_tag_name("backingStore"));
    let files = chain.filter_map(|node| child(node, "source")?.attribute("file"));
    files.map(str::to_owned).collect()
}

fn source_of(kind: &DeviceKind, node: Node<'_, '_>) -> Option<String> {
    let row = kind.rows.iter().find(|row| row.name == kind.shows)?;
    let source = read_row(row, node).map(|value| value.to_string());
    // A block device, or an image that is reached over a network.
    source.or_else(|| {
        let attributes = child(node, "source")?.attributes();
        attributes
            .map(|attribute| attribute.value().to_owned())
            .next()
    })
}

/// The disks, as (target, source), that neither the file nor the record knows.
fn strays(
    kind: &DeviceKind,
    wished: &[Wished<'_>],
    document: &Document<'_>,
    before: Option<&Applied>,
) -> Vec<(String, String)> {
    // A share is known by its tag, whatever others there are.
    if kind.element != "disk" {
        return Vec::new();
    }
    let recorded = before.into_iter().flat_map(|applied| &applied.devices);
    let known: BTreeSet<&str> = recorded
        .map(|(_, device)| device.key.as_str())
        .chain(wished.iter().map(|device| device.key.as_str()))
        .collect();
    let is_disk = |node: &Node<'_, '_>| matches!(node.attribute("device"), None | Some("disk"));
    devices(document, kind)
        .filter(|(key, node)| !known.contains(key) && is_disk(node))
        .map(|(key, node)| {
            let source = source_of(kind, node).unwrap_or_else(|| "no source".to_owned());
            (key.to_owned(), source)
        })
        .collect()
}

/// The disks that a process has as an image over the one that its domain is defined with: started anew, it would lose
/// every write since that image was made.
///
/// # Errors
/// When either text is not XML.
pub fn running_overlays(
    live: &str,
    defined: &str,
    applied: &Applied,
) -> Result<Vec<Moved>, XmlError> {
    let (live, defined) = (xml::parse(live)?, xml::parse(defined)?);
    let overlay = |(name, recorded): (&String, &AppliedDevice)| {
        let kind = kind_of(name)?;
        let runs = find_device(&live, kind, &recorded.key)?;
        let base = source_of(kind, find_device(&defined, kind, &recorded.key)?)?;
        let source = source_of(kind, runs)?;
        let is_over = source != base && backing_files(runs).contains(&base);
        is_over.then(|| Moved {
            name: name.clone(),
            device: DeviceRef {
                kind: kind.name.to_owned(),
                key: recorded.key.clone(),
            },
            differences: vec![Difference {
                property: kind.shows,
                applied: Some(base.clone()),
                seen: Some(source.clone()),
            }],
            applied_source: Some(base),
            seen_source: Some(source),
            overlay: true,
            gone: false,
        })
    };
    Ok(applied.devices.iter().filter_map(overlay).collect())
}
