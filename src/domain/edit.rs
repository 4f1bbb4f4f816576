//! Edits of a domain's XML: typed in plans, spliced into the text when performed.

use super::table::{Also, DEVICE_KINDS, DOMAIN_ROWS, DeviceKind, Row};
use super::value::Value;
use crate::xml::{self, Part, XmlError, child, descend};
use roxmltree::{Document, Node};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// Gives a property a value.
    Set {
        /// The device, or none for the domain's own properties.
        device: Option<DeviceRef>,
        /// The property.
        row: String,
        /// Its new value.
        value: Value,
    },
    /// Takes a property out.
    Clear {
        /// The device, or none for the domain's own properties.
        device: Option<DeviceRef>,
        /// The property.
        row: String,
    },
    /// Puts a device in; edits of its properties follow.
    Add(DeviceRef),
    /// Takes a device out.
    Remove(DeviceRef),
}

/// A device, by what identifies it in the XML.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceRef {
    /// Its kind's name.
    pub kind: String,
    /// Its key: a disk's target, a share's tag.
    pub key: String,
}

/// Why an edit cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The domain's text is not XML.
    #[error("the domain's definition cannot be read")]
    Domain(#[source] XmlError),
    /// The plan names a property that this version does not have.
    #[error("there is no property `{0}`")]
    NoSuchRow(String),
    /// The plan names a kind of device that this version does not have.
    #[error("there is no kind of device `{0}`")]
    NoSuchKind(String),
    /// The device is not in the domain.
    #[error("the domain has no {0}")]
    NoSuchDevice(DeviceRef),
}

impl fmt::Display for DeviceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind, self.key)
    }
}

/// Makes the edits, one after another. Bytes that no edit names stay as they are.
///
/// # Errors
/// When the text is not XML, or an edit names what is not there.
pub fn apply_edits(domain: &str, edits: &[Edit]) -> Result<String, EditError> {
    edits
        .iter()
        .try_fold(domain.to_owned(), |text, edit| apply(&text, edit))
}

fn apply(text: &str, edit: &Edit) -> Result<String, EditError> {
    match edit {
        Edit::Set { device, row, value } => {
            let row = find_row(device.as_ref(), row)?;
            let text = on_scope(text, device.as_ref(), |text, scope| {
                xml::write(text, scope, row.path, row.part, &value.xml_text())
            })?;
            row.also.iter().try_fold(text, |text, also| {
                on_scope(&text, device.as_ref(), |text, scope| {
                    edit_too(text, scope, also, value)
                })
            })
        }
        Edit::Clear { device, row } => {
            let row = find_row(device.as_ref(), row)?;
            let copies = row.also.iter().filter_map(|also| match also {
                Also::Copy { path, .. } => Some(*path),
                _ => None,
            });
            [row.path]
                .into_iter()
                .chain(copies)
                .try_fold(text.to_owned(), |text, path| {
                    on_scope(&text, device.as_ref(), |text, scope| {
                        remove_at(text, scope, path)
                    })
                })
        }
        Edit::Add(device) => {
            let kind = find_kind(&device.kind)?;
            let document = xml::parse(text).map_err(EditError::Domain)?;
            let text = match child(document.root_element(), "devices") {
                Some(devices) => xml::insert(text, devices, &blank(kind, &device.key)),
                None => {
                    let devices = format!(
                        "<devices>\n  {}\n</devices>",
                        blank(kind, &device.key).replace('\n', "\n  ")
                    );
                    xml::insert(text, document.root_element(), &devices)
                }
            };
            Ok(text)
        }
        Edit::Remove(device) => on_scope(text, Some(device), xml::remove),
    }
}

/// A new device with its key in place.
fn blank(kind: &DeviceKind, key: &str) -> String {
    let Ok(document) = xml::parse(kind.blank) else {
        return String::new();
    };
    xml::write(
        kind.blank,
        document.root_element(),
        &[kind.key_element],
        Part::Attribute(kind.key_attribute),
        key,
    )
}

fn edit_too(text: &str, scope: Node<'_, '_>, also: &Also, value: &Value) -> String {
    match also {
        Also::Copy { path, part } => xml::write(text, scope, path, *part, &value.xml_text()),
        Also::Fixed {
            path,
            attribute,
            value,
        } => xml::write(text, scope, path, Part::Attribute(attribute), value),
        Also::Drop { path, attribute } => match descend(scope, path) {
            Some(node) => xml::remove_attribute(text, node, attribute),
            None => text.to_owned(),
        },
        Also::Element { path, element } => match (descend(scope, path), element(value)) {
            (Some(node), Some(element)) => xml::replace(text, node, element),
            (None, Some(element)) => match path
                .split_last()
                .and_then(|(_, parents)| descend(scope, parents))
            {
                Some(parent) => xml::insert(text, parent, element),
                None => text.to_owned(),
            },
            (_, None) => remove_at(text, scope, path),
        },
    }
}

fn remove_at(text: &str, scope: Node<'_, '_>, path: &[&str]) -> String {
    descend(scope, path).map_or_else(|| text.to_owned(), |node| xml::remove(text, node))
}

/// Parses the text and edits below the domain or one of its devices.
fn on_scope(
    text: &str,
    device: Option<&DeviceRef>,
    edit: impl FnOnce(&str, Node<'_, '_>) -> String,
) -> Result<String, EditError> {
    let document = xml::parse(text).map_err(EditError::Domain)?;
    let scope = match device {
        None => document.root_element(),
        Some(device) => find_device(&document, find_kind(&device.kind)?, &device.key)
            .ok_or_else(|| EditError::NoSuchDevice(device.clone()))?,
    };
    Ok(edit(text, scope))
}

/// The device of a kind that has this key.
pub(super) fn find_device<'a, 'input>(
    document: &'a Document<'input>,
    kind: &DeviceKind,
    key: &str,
) -> Option<Node<'a, 'input>> {
    devices(document, kind)
        .find(|(seen, _)| *seen == key)
        .map(|(_, node)| node)
}

/// The devices of a kind, with their keys.
pub(super) fn devices<'a, 'input>(
    document: &'a Document<'input>,
    kind: &DeviceKind,
) -> impl Iterator<Item = (&'a str, Node<'a, 'input>)> {
    let devices = child(document.root_element(), "devices");
    devices
        .into_iter()
        .flat_map(|devices| devices.children())
        .filter(|node| node.has_tag_name(kind.element))
        .filter_map(|node| {
            Some((
                child(node, kind.key_element)?.attribute(kind.key_attribute)?,
                node,
            ))
        })
}

pub(super) fn find_kind(name: &str) -> Result<&'static DeviceKind, EditError> {
    DEVICE_KINDS
        .iter()
        .find(|kind| kind.name == name)
        .ok_or_else(|| EditError::NoSuchKind(name.to_owned()))
}

fn find_row(device: Option<&DeviceRef>, name: &str) -> Result<&'static Row, EditError> {
    let rows = match device {
        None => DOMAIN_ROWS,
        Some(device) => find_kind(&device.kind)?.rows,
    };
    rows.iter()
        .find(|row| row.name == name)
        .ok_or_else(|| EditError::NoSuchRow(name.to_owned()))
}
