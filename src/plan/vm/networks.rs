//! Whether the host has what a VM's network interfaces are to be on, and whether their addresses are the VM's alone.

use crate::domain::{Comparison, NETWORK, networks_of};
use crate::fleet::{DesiredState, Network, NetworkSource};
use crate::inventory::{Domain, Fact};
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::step::StepId;
use crate::problem::HostCheck;
use crate::xml;

/// What is missing, and what to do.
type Missing = (String, String);

impl VmPlanner<'_> {
    /// Refuses interfaces on what is not there: libvirt would define the domain, and not start it. What a VM is on already
    /// that runs, or that is to stay off, is only told.
    pub(super) fn networks(
        &self,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let name = &self.vm.name;
        let mut blocked = false;
        for network in &self.vm.networks {
            let missing = match self.missing(network) {
                Ok(missing) => missing,
                Err(why) => {
                    builder.unknown(name, why);
                    blocked = true;
                    continue;
                }
            };
            let Some((why, remedy)) = missing else {
                self.starts_with_host(network, builder);
                continue;
            };
            let why = format!("its network {} is on {why}", network.name);
            let starts_nothing = |domain: &Domain| {
                domain.state.has_process() || self.vm.state == DesiredState::Stopped
            };
            if domain.is_some_and(|domain| starts_nothing(domain) && is_on(domain, network)) {
                let outlook = format!("it would not start; {remedy}");
                builder.notice(name, why, outlook);
            } else {
                builder.refuse_on(HostCheck::NoNetwork, name, why, remedy);
                blocked = true;
            }
        }
        if blocked { Err(Blocked) } else { Ok(()) }
    }

    /// What an interface needs and the host does not have; an error where that could not be seen.
    fn missing(&self, network: &Network) -> Result<Option<Missing>, String> {
        let link = |name: &str| match self.input.inventory.links() {
            Fact::Present(links) => Ok(links.iter().find(|link| link.name == name)),
            fact => Err(format!(
                "the host's network devices could not be seen: {}",
                fact.unknown().unwrap_or_default()
            )),
        };
        Ok(match network.source() {
            NetworkSource::User => None,
            NetworkSource::Network(name) => {
                self.missing_network(name.as_str(), network.vlan.is_some())?
            }
            NetworkSource::Bridge(name) => match link(name.as_str())? {
                Some(link) if !link.bridge => Some((
                    format!("{name}, which is no bridge"),
                    format!(
                        "name a bridge that has {name} as its port, or direct: {name} to share it by macvtap"
                    ),
                )),
                None => Some((
                    format!("the bridge {name}, which this host does not have"),
                    format!(
                        "ip link add {name} type bridge && ip link set {name} up, and so at every boot (/etc/network/interfaces)"
                    ),
                )),
                Some(_) => None,
            },
            NetworkSource::Direct(name) => match link(name.as_str())? {
                None => Some((
                    format!("the device {name}, which this host does not have"),
                    "ip link shows those that are there; make it, or correct the name".to_owned(),
                )),
                Some(_) => None,
            },
        })
    }

    fn missing_network(&self, name: &str, tags: bool) -> Result<Option<Missing>, String> {
        let networks = match self.input.inventory.networks() {
            Fact::Present(networks) => networks,
            fact => {
                let why = fact.unknown().unwrap_or_default();
                return Err(format!("libvirt's networks could not be listed: {why}"));
            }
        };
        Ok(match networks.iter().find(|network| network.name == name) {
            None => Some((
                format!("libvirt's network {name}, which is not defined"),
                "virsh net-list --all shows those that are; virsh net-define makes one of a file"
                    .to_owned(),
            )),
            Some(network) if !network.active => Some((
                format!("libvirt's network {name}, which is not active"),
                format!("virsh net-start {name}"),
            )),
            Some(network) if tags && !network.openvswitch => Some((
                format!(
                    "libvirt's network {name}, which tags no frames: it is not on Open vSwitch"
                ),
                format!(
                    "leave `vlan` out, or virsh net-edit {name} to put it on a bridge of Open vSwitch with <virtualport type='openvswitch'/>"
                ),
            )),
            Some(_) => None,
        })
    }

    /// Says that a VM that starts with the host is on a network that does not.
    fn starts_with_host(&self, network: &Network, builder: &mut PlanBuilder) {
        let (NetworkSource::Network(name), true) = (network.source(), self.vm.autostart) else {
            return;
        };
        let networks = self.input.inventory.networks().present();
        let mut seen = networks.into_iter().flatten();
        let is_manual = seen.any(|seen| seen.name == name.as_str() && !seen.autostart);
        if is_manual {
            builder.notice(
                &self.vm.name,
                format!("its network {} is on libvirt's network {name}, which does not start with the host, as the VM does", network.name),
                format!("virsh net-autostart {name}"),
            );
        }
    }

    /// Refuses addresses that another domain has, and gives the removals of those that free theirs.
    pub(super) fn own_addresses(
        &self,
        domain: Option<&Domain>,
        comparison: &Comparison,
        builder: &mut PlanBuilder,
    ) -> Result<Vec<StepId>, Blocked> {
        let name = &self.vm.name;
        let (mut needs, mut blocked) = (Vec::new(), false);
        let devices = comparison.applied.devices.iter();
        for (id, device) in devices.filter(|(id, _)| id.kind == NETWORK) {
            let mac = device.key.as_str();
            let others = self.input.macs.get(mac).into_iter().flatten();
            for other in others.filter(|other| **other != name.as_str()) {
                if let Some(freed) = self.removals.get(*other) {
                    needs.push(freed.clone());
                    continue;
                }
                let why = format!(
                    "its network {} has the MAC address {mac}, and so has domain {other}",
                    id.name
                );
                if domain.is_some_and(|domain| domain.macs.contains(mac)) {
                    builder.notice(
                        name,
                        why,
                        "left alone; on one network both would lose packets",
                    );
                } else {
                    let remedy = format!("give it another `mac`, or virsh edit {other}");
                    builder.refuse_on(HostCheck::MacInUse, name, why, remedy);
                    blocked = true;
                }
            }
        }
        if blocked { Err(Blocked) } else { Ok(needs) }
    }
}

/// Whether a domain is defined on what an interface is to be on.
fn is_on(domain: &Domain, network: &Network) -> bool {
    let source = network.source().to_string();
    let definition = domain.raw.inactive.present();
    let document = definition.and_then(|text| xml::parse(text).ok());
    document.is_some_and(|document| networks_of(&document).contains(&source))
}
