//! What a host offers to VMs, for who writes a fleet file for it. Nothing is changed, and nothing is decided by it.

use crate::inventory::{RawLibvirt, RawLink, RawNetwork};

/// What a host offers to VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCapabilities {
    /// libvirt, with what it can run.
    pub libvirt: RawLibvirt,
    /// libvirt's networks, sorted by name.
    pub networks: Vec<RawNetwork>,
    /// The bridges of the host that are not libvirt's, sorted by name.
    pub bridges: Vec<String>,
}

impl HostCapabilities {
    /// What libvirt has, and the bridges of the host that are none of its networks'.
    pub(super) fn new(libvirt: RawLibvirt, networks: Vec<RawNetwork>, links: Vec<RawLink>) -> Self {
        let bridges = links.into_iter().filter(|link| link.bridge);
        let mut bridges: Vec<_> = bridges.map(|link| link.name).collect();
        bridges.retain(|bridge| {
            let of_network = |network: &RawNetwork| network.bridge.as_ref() == Some(bridge);
            !networks.iter().any(of_network)
        });
        Self {
            libvirt,
            networks,
            bridges,
        }
    }
}
