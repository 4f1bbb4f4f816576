//! What is seen of a block device.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A block device, as the kernel and udev know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawDevice {
    /// In bytes; none where the kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Names that it has for ever, as in `/dev/disk/by-id`: a device-mapper device's UUID alone, of others their links
    /// there. Some devices have none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ids: BTreeSet<String>,
    /// The number of the device that it is a partition of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<u64>,
    /// The numbers of its partitions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub parts: BTreeSet<u64>,
    /// What the host itself does with it, or with one of its partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<DeviceUse>,
}

/// What a host does with a block device of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceUse {
    /// Its file system is mounted at this folder.
    Mounted(String),
    /// Another device of this name is made of it.
    PartOf(String),
    /// It is swap space.
    Swap,
}
