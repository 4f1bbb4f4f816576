//! A network interface of a VM: its keys, and what can be wrong with them.

use super::duplicates::duplicates;
use crate::fleetfile::{Field, Listed, Scalar, Spanned, ValueType, map, words};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{LinkName, MacAddress, NetworkName};
use std::fmt;

map! {
    /// One network interface as wanted. It has exactly one source.
    pub struct Network, PartialNetwork, "network": "a network", "networks.", "it belongs in an entry of `networks`" {
        /// The network of libvirt that it is on, as in `virsh net-list`: it must exist and be active.
        network: Option<NetworkName> {
            absent: "it is on a bridge, on a device, or on QEMU's user network", effect: NextBoot, example: "default",
        },
        /// The bridge of the host that it is on, which must exist.
        bridge: Option<LinkName> {
            absent: "it is on a network of libvirt, on a device, or on QEMU's user network", effect: NextBoot, example: "br0",
        },
        /// The network device of the host that it shares (macvtap, in its mode `bridge`): the guest is reached from the
        /// device's network and from other guests on it, but not from the host itself.
        direct: Option<LinkName> {
            absent: "it is on a network of libvirt, on a bridge, or on QEMU's user network", effect: NextBoot, example: "eth0",
        },
        /// Whether it is on QEMU's user network: the guest can connect to other machines, and no other machine can connect to it.
        user: Option<bool> {
            absent: "it is on a network of libvirt, on a bridge, or on a device", effect: NextBoot, example: "true",
        },
        /// The interface's identity within its VM. Entries of the list may change places; an entry with another name and
        /// another source is another interface.
        name: NetworkName {
            derived(name_of_source): "named after its source: `br0` on the bridge br0, `user` on QEMU's user network",
            effect: NextBoot, example: "lan",
        },
        /// The interface's Ethernet address, by which the guest and its DHCP server know it.
        mac: Option<MacAddress> {
            absent: "derived from the names of fleet, VM and interface when it is added; then it stays", effect: NextBoot,
            example: "52:54:00:12:34:56", also_called: ["address", "mac_address"],
        },
        /// The device that the guest sees. All but `virtio` need `transport: pci`.
        model: Option<NetworkModel> {
            absent: "`virtio` when it is added; then it stays", effect: NextBoot, example: "virtio",
        },
        /// The VLAN that the interface is in, from 1 to 4094, whose tag the guest does not see. libvirt tags frames on
        /// networks of Open vSwitch only.
        vlan: Option<u16> as Option<Vlan> { absent: "none, unless one was given by hand", effect: NextBoot, example: "42" },
    }
}

/// A VLAN's number (IEEE 802.1Q): the first and the last of 12 bits are no VLANs.
pub(crate) struct Vlan;

impl Scalar for Vlan {
    type Value = u16;
    const TYPE: ValueType = ValueType::Whole(1, 4094);
    fn scalar(field: &Field<'_>) -> Checked<u16> {
        let number = field.whole()?;
        let known = u16::try_from(number).ok();
        known
            .filter(|number| (1..=4094).contains(number))
            .ok_or_else(|| {
                let message = format!("a VLAN has a number from 1 to 4094, not {number}");
                field.report(field.problem(ProblemKind::WrongValue, message))
            })
    }
}

words! {
    /// A network device that QEMU has.
    pub enum NetworkModel {
        /// The one made for guests.
        Virtio = "virtio",
        /// Intel's 82574L.
        E1000e = "e1000e",
        /// Intel's 82540EM.
        E1000 = "e1000",
        /// Realtek's RTL8139.
        Rtl8139 = "rtl8139",
    }
}

/// What a network interface is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkSource<'a> {
    /// A network of libvirt.
    Network(&'a NetworkName),
    /// A bridge of the host.
    Bridge(&'a LinkName),
    /// A network device of the host, by macvtap.
    Direct(&'a LinkName),
    /// QEMU's user network.
    User,
}

impl fmt::Display for NetworkSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => f.pad(&format!("network {name}")),
            Self::Bridge(name) => f.pad(&format!("bridge {name}")),
            Self::Direct(name) => f.pad(&format!("direct {name}")),
            Self::User => f.pad("user"),
        }
    }
}

impl Network {
    /// What it is on.
    #[must_use]
    pub fn source(&self) -> NetworkSource<'_> {
        let network = self.network.as_ref().map(NetworkSource::Network);
        let bridge = || self.bridge.as_ref().map(NetworkSource::Bridge);
        let direct = || self.direct.as_ref().map(NetworkSource::Direct);
        let named = network.or_else(bridge).or_else(direct);
        // An entry without any source is refused.
        named.unwrap_or(NetworkSource::User)
    }
}

/// The sources that an entry names, in its order; nothing where one could not be read.
fn sources(network: &PartialNetwork) -> Option<Vec<(&'static str, Spanned<String>)>> {
    let text = |value: &Spanned<LinkName>| Spanned::new(value.value.to_string(), &value.range);
    let known = network.network.as_ref().ok()?.as_ref();
    let known = known.map(|name| Spanned::new(name.value.to_string(), &name.range));
    let user = network.user.as_ref().ok()?.as_ref();
    let user = user.filter(|user| user.value);
    let all = [
        ("network", known),
        ("bridge", network.bridge.as_ref().ok()?.as_ref().map(text)),
        ("direct", network.direct.as_ref().ok()?.as_ref().map(text)),
        (
            "user",
            user.map(|user| Spanned::new("user".to_owned(), &user.range)),
        ),
    ];
    let given = all.into_iter();
    let mut given: Vec<_> = given
        .filter_map(|(key, source)| Some((key, source?)))
        .collect();
    given.sort_by_key(|(_, source)| source.range.start);
    Some(given)
}

impl Listed for Network {
    /// None, or more than one, source.
    fn check_entry(network: &PartialNetwork) -> Option<Problem> {
        let sources = sources(network)?;
        let [(one, first), (other, second), ..] = sources.as_slice() else {
            let Some((key, source)) = sources.first() else {
                // Without a name of its own it was said when one was looked for.
                return network.name.is_ok().then(|| no_source(network));
            };
            let vlan = network.vlan.as_ref().ok()?.as_ref();
            return vlan.filter(|_| *key != "network").map(|vlan| {
                let message = format!("libvirt gives an interface with `{key}` no VLAN");
                Problem::new(ProblemKind::NetworkVlan, &vlan.range, message)
                    .also(&source.range, format!("`{key}`"))
                    .help("use `network: NAME`, a network of libvirt on Open vSwitch; or a bridge of the host that has the VLAN's device as its port")
            });
        };
        let message = format!("a network is on one thing, and this one has `{one}` and `{other}`");
        let problem = Problem::new(ProblemKind::NetworkSource, &second.range, message);
        let problem = problem.also(&first.range, format!("`{one}`"));
        Some(problem.help("keep one of them; an entry for each makes an interface for each"))
    }
}

fn no_source(network: &PartialNetwork) -> Problem {
    let message = "this network has no source";
    Problem::new(ProblemKind::NetworkSource, &network.at, message)
        .help("give it one of `network: NAME`, `bridge: NAME`, `direct: DEVICE` and `user: true`")
}

/// An interface's name where none is given: its source's.
fn name_of_source(network: &PartialNetwork, found: &Diagnostics) -> Checked<Spanned<NetworkName>> {
    network.network.as_ref().map_err(|reported| *reported)?;
    network.user.as_ref().map_err(|reported| *reported)?;
    for link in [&network.bridge, &network.direct] {
        link.as_ref().map_err(|reported| *reported)?;
    }
    let first = sources(network).and_then(|sources| sources.into_iter().next());
    let (_, source) = first.ok_or_else(|| no_source(network).report(found))?;
    // Every source's name has the form of an interface's.
    let parsed = source.value.parse();
    parsed
        .map(|name| Spanned::new(name, &source.range))
        .map_err(|_| no_source(network).report(found))
}

/// Two interfaces of one VM with the same name or address.
pub(super) fn same_network<'d>(
    networks: impl Iterator<Item = &'d PartialNetwork> + Clone,
) -> Vec<Problem> {
    let names = networks
        .clone()
        .filter_map(|network| network.name.as_ref().ok());
    let mut problems = duplicates(ProblemKind::DuplicateNetwork, names, |name| {
        let help =
            "give one of them another `name`; without one a network is named after its source";
        let message = format!("two networks of one VM are named `{name}`");
        (message, help.to_owned())
    });
    let macs = networks.filter_map(|network| network.mac.as_ref().ok()?.as_ref());
    problems.extend(duplicates(ProblemKind::DuplicateNetwork, macs, |mac| {
        let message = format!("two networks of one VM have the MAC address {mac}");
        (message, "give each its own, or leave `mac` out".to_owned())
    }));
    problems
}

/// Devices that virtio-mmio has not.
pub(super) fn pci_models<'d>(networks: impl Iterator<Item = &'d PartialNetwork>) -> Vec<Problem> {
    let models = networks.filter_map(|network| network.model.as_ref().ok()?.as_ref());
    let models = models.filter(|model| model.value != NetworkModel::Virtio);
    let problem = |model: &Spanned<NetworkModel>| {
        let message = format!(
            "`{}` is a PCI device, and this VM is on virtio-mmio",
            model.value
        );
        Problem::new(ProblemKind::NetworkModel, &model.range, message)
            .help("use `model: virtio`, or give the VM `transport: pci`")
    };
    models.map(problem).collect()
}
