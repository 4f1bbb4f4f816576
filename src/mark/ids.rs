//! What properties, devices and kinds of device are called, in tables, plans and records.
//!
//! The text of a name is the same for ever: records hold it. Only this file makes one from text, or text from one.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The name of a property of a domain (`memory`), or of a kind of device (`file`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PropertyId(Cow<'static, str>);

/// The name of a kind of device (`disk`). It has no space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KindId(Cow<'static, str>);

/// A device's name within its VM, whatever its place in the domain; as text its kind and its name there (`disk root`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct DeviceId {
    /// Its kind.
    pub kind: KindId,
    /// What tells it from the others of its kind.
    pub name: String,
}

/// The architecture of the guest's kernel, as libvirt calls it.
pub const ARCH: PropertyId = PropertyId::new("arch");

/// The kernel command line: the one property in which there may be secrets.
pub const CMDLINE: PropertyId = PropertyId::new("cmdline");

/// The file to which the console's output is appended.
pub const CONSOLE_LOG: PropertyId = PropertyId::new("console log");

impl PropertyId {
    /// A property of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

impl KindId {
    /// A kind of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The device of this kind that has a name.
    #[must_use]
    pub fn named(&self, name: impl fmt::Display) -> DeviceId {
        DeviceId {
            kind: self.clone(),
            name: name.to_string(),
        }
    }
}

impl From<String> for PropertyId {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

/// Any text is some device's: a record may be of a version that had other kinds.
impl From<String> for DeviceId {
    fn from(text: String) -> Self {
        let (kind, name) = text.split_once(' ').unwrap_or((&text, ""));
        Self {
            kind: KindId(Cow::Owned(kind.to_owned())),
            name: name.to_owned(),
        }
    }
}

impl From<DeviceId> for String {
    fn from(device: DeviceId) -> Self {
        device.to_string()
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for KindId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "{}", self.kind),
            name => write!(f, "{} {name}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_reads_back_from_its_text() {
        let disk = KindId::new("disk").named("root");
        assert_eq!(serde_json::to_string(&disk).unwrap(), "\"disk root\"");
        for text in ["disk root", "share boot", "disk", "later kind of thing"] {
            let device = DeviceId::from(text.to_owned());
            assert_eq!(device.to_string(), text);
            let json = serde_json::to_string(&device).unwrap();
            assert_eq!(serde_json::from_str::<DeviceId>(&json).unwrap(), device);
        }
        assert_eq!(DeviceId::from("disk root".to_owned()), disk);
    }
}
