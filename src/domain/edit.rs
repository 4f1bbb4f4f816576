//! Edits of a domain's XML: typed in plans, spliced into the text when performed.

use super::kind::{DeviceKind, find_device};
use super::kinds::find_kind;
use super::row::{Couple, Row};
use super::rows::DOMAIN_ROWS;
use super::value::Value;
use crate::mark::{CMDLINE, KindId, PropertyId};
use crate::values::Secrets;
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
pub fn apply_edits(domain: &str, mut edits: &[Edit]) -> Result<String, EditError> {
    let mut text = domain.to_owned();
    while let Some((edit, rest)) = edits.split_first() {
        let of_newcomer = match edit {
            Edit::Add(device) | Edit::Replace { device, .. } => edits_of(device, rest),
            Edit::Set { .. } | Edit::Clear { .. } | Edit::Remove(_) => &[],
        };
        edits = &rest[of_newcomer.len()..];
        text = match edit {
            Edit::Set { .. } | Edit::Clear { .. } => change(&text, edit, in_domain)?,
            Edit::Remove(device) => on_scope(&text, Some(device), in_domain, xml::remove)?,
            Edit::Add(device) => add(&text, device, of_newcomer)?,
            Edit::Replace { former, device } => replace(&text, former, device, of_newcomer)?,
        };
    }
    Ok(text)
}

/// The edits at the beginning of these that are of a device's properties.
fn edits_of<'e>(device: &DeviceRef, edits: &'e [Edit]) -> &'e [Edit] {
    let is_own = |edit: &&Edit| match edit {
        Edit::Set { device: of, .. } | Edit::Clear { device: of, .. } => {
            of.as_ref() == Some(device)
        }
        Edit::Add(_) | Edit::Remove(_) | Edit::Replace { .. } => false,
    };
    &edits[..edits.iter().take_while(is_own).count()]
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

/// Sets or clears a property.
fn change(text: &str, edit: &Edit, find: FindScope) -> Result<String, EditError> {
    match edit {
        Edit::Set { device, row, value } => {
            let device = device.as_ref();
            let row = find_row(device, row)?;
            let text = on_scope(text, device, find, |text, scope| {
                xml::write(text, scope, row.path, row.part, &value.xml_text())
            })?;
            row.couples.iter().try_fold(text, |text, couple| {
                on_scope(&text, device, find, |text, scope| {
                    edit_too(text, scope, couple, value)
                })
            })
        }
        Edit::Clear { device, row } => {
            let device = device.as_ref();
            let steps = clearing(find_row(device, row)?);
            steps.iter().try_fold(text.to_owned(), |text, step| {
                on_scope(&text, device, find, |text, scope| step.make(text, scope))
            })
        }
        Edit::Add(_) | Edit::Remove(_) | Edit::Replace { .. } => Ok(text.to_owned()),
    }
}

fn add(text: &str, device: &DeviceRef, edits: &[Edit]) -> Result<String, EditError> {
    let kind = known_kind(&device.kind)?;
    let element = whole(blank(kind, &device.key), edits)?;
    let document = xml::parse(text).map_err(EditError::Domain)?;
    let next = (kind.before)(&document);
    Ok(match (next, child(document.root_element(), "devices")) {
        (Some(next), _) => xml::insert_before(text, next, &element),
        (None, Some(devices)) => xml::insert(text, devices, &element),
        (None, None) => {
            let element = element.replace('\n', "\n  ");
            let devices = format!("<devices>\n  {element}\n</devices>");
            xml::insert(text, document.root_element(), &devices)
        }
    })
}

fn replace(
    text: &str,
    former: &DeviceRef,
    device: &DeviceRef,
    edits: &[Edit],
) -> Result<String, EditError> {
    let kind = known_kind(&device.kind)?;
    let document = xml::parse(text).map_err(EditError::Domain)?;
    let former = in_domain(&document, Some(former))?;
    let element = at_its_address(former, &blank(kind, &device.key));
    Ok(xml::replace(text, former, &whole(element, edits)?))
}

/// A new device with its properties. It is written before it is put in: it is small, and read again for each of them.
fn whole(device: String, edits: &[Edit]) -> Result<String, EditError> {
    edits
        .iter()
        .try_fold(device, |text, edit| change(&text, edit, alone))
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

/// A new device at the address of another one, by which its guest finds it.
fn at_its_address(former: Node<'_, '_>, device: &str) -> String {
    let address = child(former, "address");
    let text = address.map(|node| &former.document().input_text()[node.range()]);
    let document = xml::parse(device).ok();
    match (text, document) {
        (Some(text), Some(document)) => xml::insert(device, document.root_element(), text),
        _ => device.to_owned(),
    }
}

fn edit_too(text: &str, scope: Node<'_, '_>, couple: &Couple, value: &Value) -> String {
    match couple {
        Couple::Copy { path, part } => xml::write(text, scope, path, *part, &value.xml_text()),
        Couple::Fixed {
            path,
            attribute,
            value,
        } => xml::write(text, scope, path, Part::Attribute(attribute), value),
        Couple::Drop { path, attribute } => without_attribute(text, scope, path, attribute),
        Couple::Attribute {
            path,
            attribute,
            of,
        } => match of(value) {
            Some(value) => xml::write(text, scope, path, Part::Attribute(attribute), value),
            None => without_attribute(text, scope, path, attribute),
        },
        Couple::Empty { path } => without_empty(text, scope, path),
        Couple::Element { path, element } => match (descend(scope, path), element(value)) {
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

/// What taking a property out is made of.
enum Clearing {
    /// An element goes.
    Element(Path),
    /// An attribute goes, if it has this value or any.
    Attribute(Path, &'static str, Option<&'static str>),
    /// An element goes if nothing is left in it.
    Empty(Path),
}

type Path = &'static [&'static str];

/// How a row is taken out: its part and the copies of it, then what was written with them in other elements.
fn clearing(row: &Row) -> Vec<Clearing> {
    let mut steps = vec![match row.part {
        Part::Attribute(name) if row.among_others => Clearing::Attribute(row.path, name, None),
        _ => Clearing::Element(row.path),
    }];
    for couple in row.couples {
        match couple {
            Couple::Copy { path, .. } => steps.push(Clearing::Element(path)),
            Couple::Fixed {
                path,
                attribute,
                value,
            } => {
                steps.push(Clearing::Attribute(path, attribute, Some(value)));
                steps.push(Clearing::Empty(path));
            }
            _ => {}
        }
    }
    steps
}

impl Clearing {
    fn make(&self, text: &str, scope: Node<'_, '_>) -> String {
        match self {
            Self::Element(path) => clear(text, scope, path),
            Self::Attribute(path, name, value) => {
                let has = descend(scope, path).and_then(|node| node.attribute(*name));
                match value.is_none() || has == *value {
                    true => without_attribute(text, scope, path, name),
                    false => text.to_owned(),
                }
            }
            Self::Empty(path) => without_empty(text, scope, path),
        }
    }
}

fn without_attribute(text: &str, scope: Node<'_, '_>, path: &[&str], name: &str) -> String {
    let node = descend(scope, path);
    node.map_or_else(
        || text.to_owned(),
        |node| xml::remove_attribute(text, node, name),
    )
}

/// Removes an element that holds nothing.
fn without_empty(text: &str, scope: Node<'_, '_>, path: &[&str]) -> String {
    let node = descend(scope, path).filter(|node| holds_only(*node, *node));
    node.map_or_else(|| text.to_owned(), |_| clear(text, scope, path))
}

/// Removes an element, and those around it that hold nothing else: empty, they mean nothing to libvirt.
fn clear(text: &str, scope: Node<'_, '_>, path: &[&str]) -> String {
    let Some(mut node) = descend(scope, path) else {
        return text.to_owned();
    };
    while let Some(around) = node.parent().filter(|around| *around != scope) {
        if !holds_only(around, node) {
            break;
        }
        node = around;
    }
    xml::remove(text, node)
}

fn holds_only(element: Node<'_, '_>, child: Node<'_, '_>) -> bool {
    let is_space = |node: Node<'_, '_>| node.text().is_some_and(|text| text.trim().is_empty());
    let mut children = element.children();
    element.attributes().len() == 0
        && children.all(|node| node == child || (node.is_text() && is_space(node)))
}

/// Finds what an edit of a device, or of none, is made in.
type FindScope =
    for<'a, 'i> fn(&'a Document<'i>, Option<&DeviceRef>) -> Result<Node<'a, 'i>, EditError>;

/// In a domain: it, or one of its devices.
fn in_domain<'a, 'i>(
    document: &'a Document<'i>,
    device: Option<&DeviceRef>,
) -> Result<Node<'a, 'i>, EditError> {
    match device {
        None => Ok(document.root_element()),
        Some(device) => find_device(document, known_kind(&device.kind)?, &device.key)
            .ok_or_else(|| EditError::NoSuchDevice(device.clone())),
    }
}

/// In a device's own text.
fn alone<'a, 'i>(
    document: &'a Document<'i>,
    _: Option<&DeviceRef>,
) -> Result<Node<'a, 'i>, EditError> {
    Ok(document.root_element())
}

/// Parses the text and edits below its scope.
fn on_scope(
    text: &str,
    device: Option<&DeviceRef>,
    find: FindScope,
    edit: impl FnOnce(&str, Node<'_, '_>) -> String,
) -> Result<String, EditError> {
    let document = xml::parse(text).map_err(EditError::Domain)?;
    let scope = find(&document, device)?;
    Ok(edit(text, scope))
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
