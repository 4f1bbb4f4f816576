//! A libvirt that runs whatever fleets ask for.

use crate::fleet::{NetworkSource, Spec, Vm};
use crate::inventory::{RawLibvirt, RawLink, RawNetwork};
use crate::values::Arch;
use crate::xml::escape;
use std::collections::BTreeSet;

/// Newer than any that something is missing in.
const VERSION: u32 = 99_000_000;

/// It has every machine that is named. Without types of domains it says nothing of KVM.
pub(super) fn libvirt(specs: &[&Spec]) -> RawLibvirt {
    let named = vms(specs).map(|vm| vm.machine.as_str());
    let machines: BTreeSet<&str> = named.chain(["virt"]).collect();
    let machines = machines.into_iter();
    let machines: String = machines
        .map(|name| format!("<machine>{}</machine>", escape(name)))
        .collect();
    let guests = Arch::ALL.iter().map(|arch| {
        let name = arch.libvirt;
        format!("<guest><arch name='{name}'>{machines}</arch></guest>")
    });
    let guests: String = guests.collect();
    RawLibvirt {
        version: VERSION,
        capabilities: format!("<capabilities>{guests}</capabilities>"),
        bits32: None,
    }
}

/// Every network that is named, each as it is needed.
pub(super) fn networks(specs: &[&Spec]) -> Vec<RawNetwork> {
    let names = sources(specs).filter_map(|source| match source {
        NetworkSource::Network(name) => Some(name.to_string()),
        _ => None,
    });
    let names: BTreeSet<String> = names.collect();
    let network = |name| RawNetwork {
        name,
        bridge: None,
        active: true,
        autostart: true,
        openvswitch: true,
    };
    names.into_iter().map(network).collect()
}

/// Every bridge and device that is named; a name that is asked for as both is a bridge, which is a device, too.
pub(super) fn links(specs: &[&Spec]) -> Vec<RawLink> {
    let bridges = sources(specs).filter_map(|source| match source {
        NetworkSource::Bridge(name) => Some(name.to_string()),
        _ => None,
    });
    let bridges: BTreeSet<String> = bridges.collect();
    let devices = sources(specs).filter_map(|source| match source {
        NetworkSource::Direct(name) => Some(name.to_string()),
        _ => None,
    });
    let names: BTreeSet<String> = devices.chain(bridges.iter().cloned()).collect();
    let link = |name: String| RawLink {
        bridge: bridges.contains(&name),
        name,
    };
    names.into_iter().map(link).collect()
}

fn sources<'s>(specs: &'s [&Spec]) -> impl Iterator<Item = NetworkSource<'s>> {
    vms(specs).flat_map(|vm| vm.networks.iter().map(|network| network.source()))
}

fn vms<'s>(specs: &'s [&Spec]) -> impl Iterator<Item = &'s Vm> {
    specs.iter().flat_map(|spec| spec.vms.values())
}
