//! An address of a guest, as it was told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The port that QEMU's guest agent opens, and by which libvirt knows an agent's channel.
pub const AGENT_PORT: &str = "org.qemu.guest_agent.0";

/// Who knows a guest's addresses.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AddressSource {
    /// The DHCP server of a network of libvirt, which gave it.
    Lease,
    /// The guest's agent.
    Agent,
}

/// An address of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawAddress {
    /// The MAC address of the interface that has it.
    pub mac: String,
    /// The address, as it was told.
    pub address: String,
    /// Who told it.
    pub source: AddressSource,
}
