//! What a host offers to VMs, for who writes a fleet file for it. Nothing is changed, and nothing is decided by it.

use crate::files::Root;
use crate::host::primitives::CallError;
use crate::inventory::RawLibvirt;
use std::io::ErrorKind;

/// What a host offers to VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCapabilities {
    /// libvirt, with what it can run.
    pub libvirt: RawLibvirt,
    /// libvirt's networks, sorted by name.
    pub networks: Vec<Network>,
    /// The bridges of the host that are not libvirt's, sorted by name.
    pub bridges: Vec<String>,
}

/// A network of libvirt's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its bridge, if it has one.
    pub bridge: Option<String>,
    /// Whether it is there now.
    pub active: bool,
}

impl HostCapabilities {
    /// What libvirt has, and the bridges of the host that are none of its networks'.
    pub(super) fn new(
        libvirt: RawLibvirt,
        mut networks: Vec<Network>,
        root: &Root,
    ) -> Result<Self, CallError> {
        networks.sort_by(|one, other| one.name.cmp(&other.name));
        let mut bridges = bridges(root)?;
        bridges.retain(|bridge| {
            let of_network = |network: &Network| network.bridge.as_ref() == Some(bridge);
            !networks.iter().any(of_network)
        });
        Ok(Self {
            libvirt,
            networks,
            bridges,
        })
    }
}

/// The network devices that are bridges: the kernel gives each a folder `bridge` (`Documentation/ABI/testing/sysfs-class-net`).
fn bridges(root: &Root) -> Result<Vec<String>, CallError> {
    let folder = root.below("/sys/class/net");
    let failed = |error| CallError::other(format!("cannot list {}: {error}", folder.display()));
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut bridges = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.path().join("bridge").is_dir() {
            bridges.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    bridges.sort();
    Ok(bridges)
}
