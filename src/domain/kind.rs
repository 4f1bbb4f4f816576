//! What a kind of device is, and how devices of one are found in a definition.

use super::row::{Outside, Row, Waits};
use super::value::Value;
use crate::fleet::Vm;
use crate::inventory::Look;
use crate::mark::{Applied, AppliedDevice, DeviceId, KindId, PropertyId};
use crate::values::Transport;
use crate::xml::{Element, Part, child};
use roxmltree::{Document, Node};

/// A kind of device that armfleet puts into a domain.
pub(super) struct DeviceKind {
    /// What it is called in plans and records.
    pub(super) id: KindId,
    /// Its element below `<devices>`.
    pub(super) element: &'static str,
    /// The child element that holds the key.
    pub(super) key_element: &'static str,
    /// The attribute that is the key.
    pub(super) key_attribute: &'static str,
    /// A new one, before its rows are written.
    pub(super) blank: &'static str,
    /// Its properties.
    pub(super) rows: &'static [Row],
    /// The one that shows in a plan when the device comes or goes: what is at the other end of it.
    pub(super) source: PropertyId,
    /// Where its keys are in a fleet file.
    pub(super) keys: Keys,
    /// How a remedy names the key that says its source.
    pub(super) source_key: &'static str,
    /// The devices that a VM wants, each with what identifies it in this domain.
    pub(super) wanted: fn(&KindInput<'_, '_>) -> Vec<WantedDevice>,
    /// Whether an element, by its key and itself, is such a device: one that a fleet file could want.
    pub(super) is_one: fn(&str, Node<'_, '_>) -> bool,
    /// The element, by its name, before whose first one a new one is put into these devices; none for their end.
    pub(super) before: fn(&Element<'_>) -> Option<&'static str>,
    /// How closely planning looks at what is at the other end, by its path; none where that is no file of the host's users.
    pub(super) look: Option<fn(&str) -> Look>,
    /// The images below its own, the nearest first.
    pub(super) backing: fn(Node<'_, '_>) -> Vec<String>,
    /// Whether what it has is an image over another one.
    pub(super) is_overlay: fn(Node<'_, '_>) -> bool,
}

/// Where the keys of a kind of device are in a VM's part of a fleet file.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    /// In an entry of this list, one for each device.
    List(&'static str),
    /// In this map.
    Map(&'static str),
    /// Among the VM's own: a VM has one such device or none.
    Vm,
}

/// What a kind's `wanted` can see.
pub(super) struct KindInput<'a, 'input> {
    /// The VM as wanted.
    pub(super) vm: &'a Vm,
    /// The definition.
    pub(super) document: &'a Document<'input>,
    /// How its devices are attached.
    pub(super) transport: Transport,
    /// What the last apply made of the domain.
    pub(super) before: Option<&'a Applied>,
    /// Whether the domain is new.
    pub(super) new: bool,
}

impl KindInput<'_, '_> {
    /// What the last apply made of a device.
    pub(super) fn recorded(&self, device: &DeviceId) -> Option<&AppliedDevice> {
        self.before?.devices.get(device)
    }

    /// The device that a VM has once or not, as its key says: without the key a new VM gets it, and another one keeps what
    /// the last apply gave it.
    pub(super) fn once(&self, said: Option<bool>, id: DeviceId, key: &str) -> Vec<WantedDevice> {
        let wanted = said.unwrap_or(self.new || self.recorded(&id).is_some());
        let device = wanted.then(|| WantedDevice::new(id, key));
        device.into_iter().collect()
    }
}

/// A device that a VM wants.
pub(super) struct WantedDevice {
    pub(super) id: DeviceId,
    /// What identifies it in the domain.
    pub(super) key: String,
    /// The key of another device, which goes, and whose place it gets.
    pub(super) replaces: Option<String>,
}

impl WantedDevice {
    pub(super) fn new(id: DeviceId, key: impl Into<String>) -> Self {
        Self {
            id,
            key: key.into(),
            replaces: None,
        }
    }

    /// What the last apply made of it, under this name or else under another.
    pub(super) fn last_applied<'a>(&self, applied: &'a Applied) -> Option<&'a AppliedDevice> {
        let others = || {
            let mut others = applied.devices.iter();
            others.find(|(id, device)| self.is_applied(id, device))
        };
        let named = applied.devices.get(&self.id);
        named.or_else(|| others().map(|(_, device)| device))
    }

    /// Whether a device of the last apply is this one, under whatever name.
    pub(super) fn is_applied(&self, id: &DeviceId, device: &AppliedDevice) -> bool {
        let is_at_its_place = self.key == device.key && self.replaces.is_none();
        self.id == *id || (self.id.kind == id.kind && is_at_its_place)
    }
}

impl DeviceKind {
    /// The row of its source.
    fn source_row(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == self.source)
    }

    /// The row of what identifies it, where that can change.
    pub(super) fn key_row(&self) -> Option<&Row> {
        let mut rows = self.rows.iter();
        rows.find(|row| {
            let is_key = matches!(row.part, Part::Attribute(name) if name == self.key_attribute);
            row.path == [self.key_element] && is_key
        })
    }

    /// Why a device that comes or goes does so at the next boot only.
    pub(super) fn waits(&self) -> Option<Waits> {
        self.source_row().map(|row| row.waits)
    }

    /// Whether its source is the guest's data: a file or folder of the host.
    pub(super) fn has_data(&self) -> bool {
        let source = self.source_row();
        source.is_some_and(|row| row.outside == Outside::Refused)
    }

    /// What the row of its source says of a device.
    pub(super) fn source(&self, device: Node<'_, '_>) -> Option<Value> {
        self.source_row()?.read(device)
    }
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
