//! What a row is: one property of a domain or of a kind of device, both ways.

use super::value::{Codec, Value};
use crate::fleet::Vm;
use crate::inventory::Libvirt;
use crate::mark::{AppliedDevice, DeviceId, PropertyId};
use crate::values::{Transport, VmName};
use crate::xml::{Part, descend};
use roxmltree::Node;

/// One property.
pub(super) struct Row {
    /// What it is called in plans and records.
    pub(super) id: PropertyId,
    /// Where it is: child names below the domain or the device.
    pub(super) path: &'static [&'static str],
    /// Where in that element.
    pub(super) part: Part,
    /// How it is read, compared and written.
    pub(super) codec: Codec,
    /// What the spec wants there.
    pub(super) want: fn(&RowInput<'_>) -> Want,
    /// The way back: the key of a fleet file that wants what is there; none where no key says it, or none can.
    pub(super) give: fn(&Seen<'_>) -> Option<Given>,
    /// Why a change waits for the next boot.
    pub(super) waits: Waits,
    /// What else is edited when it changes.
    pub(super) couples: &'static [Couple],
    /// Why it cannot be changed in this domain.
    pub(super) refuse: fn(Node<'_, '_>) -> Option<&'static str>,
    /// What becomes of a value that the last apply did not write.
    pub(super) outside: Outside,
    /// Whether the element has other properties, which stay when this attribute is taken out.
    pub(super) among_others: bool,
}

impl Row {
    /// A row without anything special.
    pub(super) const fn new(
        id: PropertyId,
        path: &'static [&'static str],
        part: Part,
        codec: Codec,
        want: fn(&RowInput<'_>) -> Want,
        give: fn(&Seen<'_>) -> Option<Given>,
        waits: Waits,
    ) -> Self {
        Self {
            id,
            path,
            part,
            codec,
            want,
            give,
            waits,
            couples: &[],
            refuse: |_| None,
            outside: Outside::Restored,
            among_others: false,
        }
    }

    pub(super) const fn couples(mut self, couples: &'static [Couple]) -> Self {
        self.couples = couples;
        self
    }

    pub(super) const fn refuse(mut self, refuse: fn(Node<'_, '_>) -> Option<&'static str>) -> Self {
        self.refuse = refuse;
        self
    }

    /// A row whose value says where a device's data is.
    pub(super) const fn naming_data(mut self) -> Self {
        self.outside = Outside::Refused;
        self
    }

    /// A row whose element is not its own.
    pub(super) const fn among_others(mut self) -> Self {
        self.among_others = true;
        self
    }

    /// The value in a domain or a device.
    pub(super) fn read(&self, scope: Node<'_, '_>) -> Option<Value> {
        self.codec.read(descend(scope, self.path)?, self.part)
    }
}

/// Why a change waits for the next boot, by how the device is attached.
pub(super) type Waits = fn(Transport) -> &'static str;

/// What becomes of a value that was changed outside armfleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// It is drift, and put right: nothing is lost by that.
    Restored,
    /// It names the guest's data, which its former value no longer does: it is refused.
    Refused,
}

/// What a spec wants of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Want {
    /// Whatever is there stays, and so does what is recorded of it.
    Leave,
    /// What armfleet put there goes; whatever else is there stays.
    Withdraw,
    /// This value, or with none that nothing is there, also where armfleet did not put it there.
    Value(Option<Value>),
}

impl Want {
    /// That something is there or not, as a key says; without the key what armfleet put there goes.
    pub(super) fn flag(key: Option<bool>) -> Self {
        match key {
            None => Self::Withdraw,
            Some(false) => Self::Value(None),
            Some(true) => Self::text(true),
        }
    }

    pub(super) fn text(value: impl ToString) -> Self {
        Self::Value(Some(Value::Text(value.to_string())))
    }
}

/// What a row's `want` can see.
#[derive(Clone, Copy)]
pub(super) struct RowInput<'a> {
    /// The VM as wanted.
    pub(super) vm: &'a Vm,
    /// The host.
    pub(super) libvirt: &'a Libvirt,
    /// Whether the domain is new, or for a device's rows the device.
    pub(super) new: bool,
    /// Whether `accel: auto` chooses: the domain is new, or gets another architecture.
    pub(super) chooses_accel: bool,
    /// What executes the domain as it is defined: libvirt's type of it.
    pub(super) executed_by: Option<&'a str>,
    /// How the domain's devices are attached.
    pub(super) transport: Transport,
    /// The device, for rows of devices.
    pub(super) device: Option<&'a DeviceId>,
    /// What identifies it in the domain.
    pub(super) key: Option<&'a str>,
    /// What the last apply made of the device.
    pub(super) recorded: Option<&'a AppliedDevice>,
    /// The file of the disk for cloud-init, as the plan chose it.
    pub(super) cloud_init: Option<&'a str>,
}

/// What a row's `give` can see.
pub(super) struct Seen<'a> {
    /// The VM's name.
    pub(super) vm: &'a VmName,
    /// What is there.
    pub(super) value: &'a Value,
}

impl Seen<'_> {
    /// A key of the VM with what is there, as a fleet file has it.
    pub(super) fn of_vm(&self, key: &'static str) -> Option<Given> {
        Some(Given::OfVm(key, self.value.written()))
    }

    /// The same with a key of the device.
    pub(super) fn of_device(&self, key: &'static str) -> Option<Given> {
        Some(Given::OfDevice(key, self.value.written()))
    }

    /// The text that is there, if there is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self.value {
            Value::Text(text) => Some(text),
            Value::Kib(_) | Value::Count(_) => None,
        }
    }
}

/// A key of a fleet file, with its value as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// A key of the VM, in full (`boot.cmdline`).
    OfVm(&'static str, String),
    /// A key of the device's own map (`path`).
    OfDevice(&'static str, String),
}

/// No key says it: it follows from what others say.
pub(super) fn no_key(_: &Seen<'_>) -> Option<Given> {
    None
}

/// An edit that goes with another.
#[derive(Clone, Copy)]
pub(super) enum Couple {
    /// The same value, written elsewhere.
    Copy {
        path: &'static [&'static str],
        part: Part,
    },
    /// A fixed attribute of an element that the row has written.
    Fixed {
        path: &'static [&'static str],
        attribute: &'static str,
        value: &'static str,
    },
    /// An attribute that no longer holds.
    Drop {
        path: &'static [&'static str],
        attribute: &'static str,
    },
    /// An attribute that depends on the value: written when there is some, removed when not.
    Attribute {
        path: &'static [&'static str],
        attribute: &'static str,
        of: fn(&Value) -> Option<&'static str>,
    },
    /// An element that goes if the edits before left nothing in it.
    Empty { path: &'static [&'static str] },
    /// An element that no longer holds.
    Gone { path: &'static [&'static str] },
}
