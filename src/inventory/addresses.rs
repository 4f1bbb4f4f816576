//! The addresses of guests, as far as somebody other than the guest's network knows them.

use super::address::{AGENT_PORT, AddressSource, RawAddress};
use super::lifecycle::RunState;
use super::raw::{Fact, RawDomain};
use crate::xml::{self, child, descend};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A guest chooses what its agent tells: no more than this of it is kept.
const MOST: usize = 16;

/// An address at which a guest is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestAddress {
    /// The address.
    pub address: IpAddr,
    /// The MAC address of the interface that has it.
    pub mac: String,
    /// Who says so.
    pub source: AddressSource,
}

/// Who can be asked for the addresses of a domain's guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSources {
    /// The MAC addresses of its interfaces.
    pub macs: BTreeSet<String>,
    /// Those of interfaces on networks of libvirt, which may have a DHCP server.
    pub on_networks: BTreeSet<String>,
    /// Whether a program in the guest has opened the agent's channel.
    pub agent: bool,
}

impl AddressSources {
    /// Those of a domain that runs and has a network.
    #[must_use]
    pub fn of(domain: &RawDomain) -> Option<Self> {
        if RunState::read(domain.state, domain.reason) != RunState::Running {
            return None;
        }
        let document = xml::parse(domain.live.present()?).ok()?;
        let devices = || child(document.root_element(), "devices").into_iter();
        let named = |name: &'static str| {
            let all = devices().flat_map(|devices| devices.children());
            all.filter(move |device| device.has_tag_name(name))
        };
        let mac = |interface| {
            Some(
                child(interface, "mac")?
                    .attribute("address")?
                    .to_lowercase(),
            )
        };
        let is_on_network = |interface: &roxmltree::Node<'_, '_>| {
            child(*interface, "source").is_some_and(|source| source.has_attribute("network"))
        };
        let is_open = |channel| {
            let target = descend(channel, &["target"]);
            target.is_some_and(|target| {
                target.attribute("name") == Some(AGENT_PORT)
                    && target.attribute("state") == Some("connected")
            })
        };
        let macs: BTreeSet<String> = named("interface").filter_map(mac).collect();
        (!macs.is_empty()).then(|| Self {
            on_networks: named("interface")
                .filter(is_on_network)
                .filter_map(mac)
                .collect(),
            agent: named("channel").any(is_open),
            macs,
        })
    }
}

/// The addresses of each VM's guest, of what was told.
pub(crate) fn read_addresses(
    domains: &Fact<Vec<RawDomain>>,
    told: BTreeMap<String, Fact<Vec<RawAddress>>>,
) -> BTreeMap<String, Fact<Vec<GuestAddress>>> {
    let named = |name: &str| {
        let mut domains = domains.present()?.iter();
        domains.find(|domain| domain.name == name)
    };
    let read = told.into_iter().map(|(name, told)| {
        let addresses = read_told(named(&name), told);
        (name, addresses)
    });
    read.collect()
}

/// What was told of a domain's interfaces, without what is no address of one of them or reaches no guest.
fn read_told(domain: Option<&RawDomain>, told: Fact<Vec<RawAddress>>) -> Fact<Vec<GuestAddress>> {
    let macs = domain.and_then(AddressSources::of);
    let macs = macs.map(|sources| sources.macs).unwrap_or_default();
    told.map(|told| {
        let mut seen = BTreeSet::new();
        let read = told.into_iter().filter_map(|raw| {
            let (mac, address) = (raw.mac.to_lowercase(), raw.address.parse().ok()?);
            let is_new =
                macs.contains(&mac) && reaches(address) && seen.insert((mac.clone(), address));
            is_new.then_some(GuestAddress {
                address,
                mac,
                source: raw.source,
            })
        });
        let mut addresses: Vec<_> = read.take(MOST).collect();
        addresses.sort();
        addresses
    })
}

/// Whether an address is of one guest and reaches it from elsewhere: every interface has an fe80:: one.
fn reaches(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(is_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "<domain id='1'><devices>
      <interface type='network'><mac address='52:00:00:00:00:01'/><source network='farm'/></interface>
      <interface type='bridge'><mac address='52:00:00:00:00:AB'/><source bridge='br0'/></interface>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    </devices></domain>";

    fn domain(state: u32, live: Fact<String>) -> RawDomain {
        RawDomain {
            name: "vm".to_owned(),
            uuid: String::new(),
            state,
            reason: 0,
            persistent: true,
            autostart: false,
            managed_save: false,
            snapshots: Vec::new(),
            checkpoints: Vec::new(),
            inactive: Fact::NotObserved,
            live,
        }
    }

    fn running(live: &str) -> RawDomain {
        domain(1, Fact::Present(live.to_owned()))
    }

    #[test]
    fn who_is_asked_follows_from_the_process() {
        let sources = AddressSources::of(&running(LIVE)).unwrap();
        assert!(sources.agent);
        assert_eq!(sources.macs.len(), 2);
        assert_eq!(Vec::from_iter(sources.on_networks), ["52:00:00:00:00:01"]);
        for silent in [
            LIVE.replace("connected", "disconnected"),
            LIVE.replace("guest_agent.0", "other.0"),
            LIVE.replace(" state='connected'", ""),
        ] {
            assert!(
                !AddressSources::of(&running(&silent)).unwrap().agent,
                "{silent}"
            );
        }
        // Paused, its agent could not answer; off, nobody has anything to tell.
        for state in [3, 5] {
            assert_eq!(
                AddressSources::of(&domain(state, Fact::Present(LIVE.to_owned()))),
                None
            );
        }
        assert_eq!(AddressSources::of(&domain(1, Fact::Absent)), None);
        assert_eq!(
            AddressSources::of(&running("<domain><devices/></domain>")),
            None
        );
    }

    #[test]
    fn what_a_guest_tells_is_no_more_than_addresses_of_its_interfaces() {
        let told = |mac: &str, address: &str| RawAddress {
            mac: mac.to_owned(),
            address: address.to_owned(),
            source: AddressSource::Agent,
        };
        let mut all = vec![
            told("52:00:00:00:00:ab", "2001:db8::1"),
            told("52:00:00:00:00:AB", "192.0.2.7"),
            told("52:00:00:00:00:ab", "192.0.2.7"),
        ];
        for (mac, address) in [
            ("52:00:00:00:00:ab", "fe80::1"),
            ("52:00:00:00:00:ab", "127.0.0.1"),
            ("52:00:00:00:00:ab", "224.0.0.1"),
            ("52:00:00:00:00:ab", "::"),
            ("52:00:00:00:00:ab", "\u{1b}[31mred"),
            ("00:00:00:00:00:00", "192.0.2.8"),
            ("02:42:00:00:00:01", "172.17.0.1"),
        ] {
            all.push(told(mac, address));
        }
        let read = |all| {
            let fact = read_told(Some(&running(LIVE)), Fact::Present(all));
            let addresses = fact.present().unwrap().iter();
            addresses
                .map(|address| address.address.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(all), ["192.0.2.7", "2001:db8::1"]);
        let many = (0..1000).map(|n| {
            told(
                "52:00:00:00:00:ab",
                &format!("10.0.{}.{}", n / 250, n % 250),
            )
        });
        assert_eq!(read(many.collect()).len(), MOST);
        assert_eq!(
            read_told(None, Fact::Present(vec![told("", "192.0.2.1")])),
            Fact::Present(vec![])
        );
    }
}
