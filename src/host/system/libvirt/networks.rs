//! Networks, and the addresses of guests.

use super::{
    CallError, Error, Interface, RawNetwork, ReadConnection, Request, WriteConnection, ask, sys,
    xml,
};

impl ReadConnection {
    /// libvirt's networks, sorted by name.
    pub(in super::super) fn networks(&self) -> Result<Vec<RawNetwork>, CallError> {
        self.answer("list its networks", |connect| {
            let networks = connect.list_all_networks(0)?.into_iter();
            let networks = networks.map(|network| {
                Ok(RawNetwork {
                    name: network.name()?,
                    // Networks that only forward to a device have none, and libvirt calls that an error.
                    bridge: network.bridge_name().ok(),
                    active: network.is_active()?,
                    autostart: network.autostart()?,
                    openvswitch: is_openvswitch(&network.xml_desc(0)?),
                })
            });
            let mut networks = networks.collect::<Result<Vec<_>, Error>>()?;
            networks.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(networks)
        })
    }

    /// The addresses that libvirt's DHCP servers gave a guest.
    pub(in super::super) fn addresses(&self, uuid: &str) -> Result<Vec<String>, CallError> {
        let wanted = uuid.to_owned();
        self.answer(self.doing("tell the addresses of", uuid), move |connect| {
            let domain = connect.lookup_domain_by_uuid_string(&wanted)?;
            let leased = sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE;
            domain.interface_addresses(leased, 0).map(reachable)
        })
    }
}

impl WriteConnection {
    /// The addresses that a guest's agent tells. libvirt asks no agent on a connection that may change nothing.
    pub(in super::super) fn agent_addresses(&self, uuid: &str) -> Result<Vec<String>, CallError> {
        let wanted = uuid.to_owned();
        let name = self.pool.daemon.name(uuid);
        let request = Request::reading(format!("tell the addresses of {name}"));
        ask(&self.pool, &request, move |connect| {
            let domain = connect.lookup_domain_by_uuid_string(&wanted)?;
            let told = sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT;
            domain.interface_addresses(told, 0).map(reachable)
        })
    }
}

/// Whether a network's definition has `<virtualport type='openvswitch'/>`.
fn is_openvswitch(definition: &str) -> bool {
    let document = xml::parse(definition).ok();
    document.is_some_and(|document| {
        let port = xml::child(document.root_element(), "virtualport");
        port.and_then(|port| port.attribute("type")) == Some("openvswitch")
    })
}

/// Those at which others reach the guest, each once.
fn reachable(interfaces: Vec<Interface>) -> Vec<String> {
    let others = interfaces
        .into_iter()
        .filter(|interface| interface.name != "lo");
    let addresses = others.flat_map(|interface| interface.addrs);
    let mut reachable: Vec<String> = Vec::new();
    for address in addresses.map(|address| address.addr) {
        // Of one link only: they say nothing without it.
        if !address.starts_with("fe80:") && !reachable.contains(&address) {
            reachable.push(address);
        }
    }
    reachable
}
