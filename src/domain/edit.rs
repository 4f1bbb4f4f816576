//! Edits of a domain's XML: typed in plans, spliced into the text when performed.

use super::kind::DeviceKind;
use super::kinds::find_kind;
use super::row::{Couple, Row};
use super::rows::DOMAIN_ROWS;
use super::value::Value;
use crate::mark::{CMDLINE, KindId, OwnerMark, PropertyId};
use crate::values::{FleetName, Secrets};
use crate::xml::{self, Element, Part, Tree, XmlError};
use roxmltree::Document;
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
        row: PropertyId,
        /// Its new value.
        value: Value,
    },
    /// Takes a property out.
    Clear {
        /// The device, or none for the domain's own properties.
        device: Option<DeviceRef>,
        /// The property.
        row: PropertyId,
    },
    /// Puts a device in; edits of its properties follow.
    Add(DeviceRef),
    /// Takes a device out.
    Remove(DeviceRef),
    /// Gives the domain to a fleet: its mark names it.
    Own(FleetName),
    /// Puts a device in the place of another one, which goes; edits of its properties follow.
    Replace {
        /// The one that goes.
        former: DeviceRef,
        /// The one that comes.
        device: DeviceRef,
    },
}

/// A device, by what identifies it in the XML.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceRef {
    /// Its kind.
    pub kind: KindId,
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
    NoSuchRow(PropertyId),
    /// The plan names a kind of device that this version does not have.
    #[error("there is no kind of device `{0}`")]
    NoSuchKind(KindId),
    /// There is no owner mark.
    #[error("the domain has no owner mark")]
    NoMark,
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
    edited(&xml::parse(domain).map_err(EditError::Domain)?, edits)
}

/// The same in a domain that was parsed.
///
/// # Errors
/// When an edit names what is not there.
pub fn edited(domain: &Document<'_>, edits: &[Edit]) -> Result<String, EditError> {
    let mut tree = Tree::of(domain);
    for edit in edits {
        edit.make(tree.root())?;
    }
    let mut owners = edits.iter().filter_map(|edit| match edit {
        Edit::Own(fleet) => Some(fleet),
        _ => None,
    });
    owners.try_fold(tree.to_string(), |text, fleet| own(&text, fleet))
}

/// Puts a fleet's name into the owner mark. It needs no escaping: its type admits no such character.
fn own(text: &str, fleet: &FleetName) -> Result<String, EditError> {
    let document = xml::parse(text).map_err(EditError::Domain)?;
    let mark = OwnerMark::node(document.root_element()).ok_or(EditError::NoMark)?;
    let place = mark
        .attribute_node(OwnerMark::FLEET)
        .ok_or(EditError::NoMark)?;
    let mut owned = text.to_owned();
    owned.replace_range(place.range_value(), fleet.as_str());
    Ok(owned)
}

/// The same edits with the values of secrets where the command line has templates.
#[must_use]
pub fn with_secrets(edits: &[Edit], secrets: &Secrets) -> Vec<Edit> {
    let mut edits = edits.to_vec();
    for edit in &mut edits {
        if let Edit::Set {
            device: None,
            row,
            value: Value::Text(text),
        } = edit
            && *row == CMDLINE
        {
            *text = secrets.filled(text);
        }
    }
    edits
}

impl Edit {
    fn make(&self, domain: &mut Element<'_>) -> Result<(), EditError> {
        match self {
            Self::Set { device, row, value } => {
                let device = device.as_ref();
                let row = find_row(device, row)?;
                let scope = scope(domain, device)?;
                scope.write(row.path, row.part, &value.xml_text());
                for couple in row.couples {
                    couple.make(scope, value);
                }
            }
            Self::Clear { device, row } => {
                let device = device.as_ref();
                clear(scope(domain, device)?, find_row(device, row)?);
            }
            Self::Add(device) => add(domain, device)?,
            Self::Remove(device) => remove(domain, device)?,
            Self::Replace { former, device } => replace(scope(domain, Some(former))?, device)?,
            // The mark is in a namespace, of which the tree keeps only the bytes.
            Self::Own(_) => {}
        }
        Ok(())
    }
}

/// What an edit of a device, or of none, is made in.
fn scope<'e, 't>(
    domain: &'e mut Element<'t>,
    device: Option<&DeviceRef>,
) -> Result<&'e mut Element<'t>, EditError> {
    let Some(device) = device else {
        return Ok(domain);
    };
    let kind = known_kind(&device.kind)?;
    let devices = domain.descend(&["devices"]);
    devices
        .and_then(|devices| devices.find(|element| is_device(element, kind, &device.key)))
        .ok_or_else(|| EditError::NoSuchDevice(device.clone()))
}

fn is_device(element: &Element<'_>, kind: &DeviceKind, key: &str) -> bool {
    let seen = element.child(kind.key_element);
    let seen = seen.and_then(|child| child.attribute(kind.key_attribute));
    element.is(kind.element) && seen == Some(key)
}

fn add(domain: &mut Element<'_>, device: &DeviceRef) -> Result<(), EditError> {
    let kind = known_kind(&device.kind)?;
    let element = blank(kind, &device.key)?;
    if domain.child("devices").is_none() {
        domain.insert(Element::new("devices"));
    }
    if let Some(devices) = domain.descend(&["devices"]) {
        match (kind.before)(devices) {
            Some(next) => devices.insert_before(next, element),
            None => devices.insert(element),
        }
    }
    Ok(())
}

fn remove(domain: &mut Element<'_>, device: &DeviceRef) -> Result<(), EditError> {
    let kind = known_kind(&device.kind)?;
    let devices = domain.descend(&["devices"]);
    let removed =
        devices.and_then(|devices| devices.remove(|element| is_device(element, kind, &device.key)));
    match removed {
        Some(_) => Ok(()),
        None => Err(EditError::NoSuchDevice(device.clone())),
    }
}

/// A new device in the place of another one, and at its address, by which its guest finds it.
fn replace(former: &mut Element<'_>, device: &DeviceRef) -> Result<(), EditError> {
    let mut element = blank(known_kind(&device.kind)?, &device.key)?;
    if let Some(address) = former.child("address") {
        element.insert(address.clone());
    }
    former.replace(element);
    Ok(())
}

/// A new device with its key in place.
fn blank(kind: &DeviceKind, key: &str) -> Result<Element<'static>, EditError> {
    let mut element = Element::parse(kind.blank).map_err(EditError::Domain)?;
    element.write(
        &[kind.key_element],
        Part::Attribute(kind.key_attribute),
        key,
    );
    Ok(element)
}

impl Couple {
    fn make(&self, scope: &mut Element<'_>, value: &Value) {
        match self {
            Self::Copy { path, part } => scope.write(path, *part, &value.xml_text()),
            Self::Fixed {
                path,
                attribute,
                value,
            } => scope.write(path, Part::Attribute(attribute), value),
            Self::Drop { path, attribute } => without_attribute(scope, path, attribute),
            Self::Attribute {
                path,
                attribute,
                of,
            } => match of(value) {
                Some(value) => scope.write(path, Part::Attribute(attribute), value),
                None => without_attribute(scope, path, attribute),
            },
            Self::Empty { path } => without_blank(scope, path),
            Self::Gone { path } => {
                if let Some((name, around)) = path.split_last()
                    && let Some(around) = scope.descend(around)
                {
                    around.remove(|child| child.is(name));
                }
            }
        }
    }
}

/// Takes a property out: its part and the copies of it, then what was written with them in other elements.
fn clear(scope: &mut Element<'_>, row: &Row) {
    match row.part {
        Part::Attribute(name) if row.among_others => without_attribute(scope, row.path, name),
        _ => drop(scope.clear(row.path)),
    }
    for couple in row.couples {
        match couple {
            Couple::Copy { path, .. } => drop(scope.clear(path)),
            Couple::Fixed {
                path,
                attribute,
                value,
            } => {
                let element = scope.descend(path);
                if element.is_some_and(|element| element.attribute(attribute) == Some(value)) {
                    without_attribute(scope, path, attribute);
                }
                without_blank(scope, path);
            }
            _ => {}
        }
    }
}

fn without_attribute(scope: &mut Element<'_>, path: &[&str], name: &str) {
    if let Some(element) = scope.descend(path) {
        element.remove_attribute(name);
    }
}

/// Removes an element that holds nothing: empty, it means nothing to libvirt.
fn without_blank(scope: &mut Element<'_>, path: &[&str]) {
    if scope
        .descend(path)
        .is_some_and(|element| element.is_blank())
    {
        scope.clear(path);
    }
}

fn known_kind(id: &KindId) -> Result<&'static DeviceKind, EditError> {
    find_kind(id).ok_or_else(|| EditError::NoSuchKind(id.clone()))
}

fn find_row(device: Option<&DeviceRef>, id: &PropertyId) -> Result<&'static Row, EditError> {
    let rows = match device {
        None => DOMAIN_ROWS,
        Some(device) => known_kind(&device.kind)?.rows,
    };
    rows.iter()
        .find(|row| row.id == *id)
        .ok_or_else(|| EditError::NoSuchRow(id.clone()))
}
