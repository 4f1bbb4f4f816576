//! Networks.

use super::{CallError, Error, RawNetwork, ReadConnection, xml};

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
}

/// Whether a network's definition has `<virtualport type='openvswitch'/>`.
fn is_openvswitch(definition: &str) -> bool {
    let document = xml::parse(definition).ok();
    document.is_some_and(|document| {
        let port = xml::child(document.root_element(), "virtualport");
        port.and_then(|port| port.attribute("type")) == Some("openvswitch")
    })
}
