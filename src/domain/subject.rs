//! What a change is about.

use super::kinds::find_kind;
use crate::mark::{DeviceId, PropertyId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What changes, or differs: a property of what a step is about, a device, or a property of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(inline)]
pub enum Subject {
    /// Of the domain itself, or of the folder that a step makes.
    Property(PropertyId),
    /// The device comes or goes.
    Device(DeviceId),
    /// Of a device of the domain.
    OfDevice(DeviceId, PropertyId),
}

impl Subject {
    /// The device that it is, or that it is a property of.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Property(_) => None,
            Self::Device(device) | Self::OfDevice(device, _) => Some(device),
        }
    }

    /// The property, if it is one.
    #[must_use]
    pub const fn property(&self) -> Option<&PropertyId> {
        match self {
            Self::Device(_) => None,
            Self::Property(property) | Self::OfDevice(_, property) => Some(property),
        }
    }

    /// Whether this is the other one, or a part of it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OfDevice(device, _), Self::Device(other)) => device == other,
            _ => self == other,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(property) => write!(f, "{property}"),
            Self::Device(device) => write!(f, "{device}"),
            Self::OfDevice(device, property) => write!(f, "{device} {property}"),
        }
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

/// What begins with a kind of device is a device's, whose name has no space.
impl From<String> for Subject {
    fn from(text: String) -> Self {
        let whole = DeviceId::from(text.clone());
        if find_kind(&whole.kind).is_none() {
            return Self::Property(text.into());
        }
        match whole.name.split_once(' ') {
            None => Self::Device(whole),
            Some((name, property)) => {
                Self::OfDevice(whole.kind.named(name), property.to_owned().into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::kinds::KINDS;
    use crate::domain::rows::DOMAIN_ROWS;

    #[test]
    fn every_subject_reads_back_from_its_text() {
        let reads_back = |subject: Subject| {
            assert_eq!(Subject::from(subject.to_string()), subject);
        };
        for row in DOMAIN_ROWS {
            reads_back(Subject::Property(row.id.clone()));
        }
        for kind in KINDS {
            let device = kind.id.named("a-b.c");
            reads_back(Subject::Device(device.clone()));
            for row in kind.rows {
                reads_back(Subject::OfDevice(device.clone(), row.id.clone()));
            }
        }
    }

    #[test]
    fn a_property_is_within_its_device_and_no_other() {
        let [root, other] = ["root", "root-2"].map(|name| crate::domain::DISK.named(name));
        let file = Subject::OfDevice(root.clone(), PropertyId::new("file"));
        assert!(file.is_within(&Subject::Device(root.clone())) && file.is_within(&file));
        assert!(!file.is_within(&Subject::Device(other)));
        assert!(!Subject::Device(root).is_within(&file));
    }
}
