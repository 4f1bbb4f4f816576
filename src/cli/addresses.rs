//! The addresses at which guests are reached.

use super::local::LIBVIRT;
use crate::fleet::Vm;
use crate::host::system::{SystemHost, SystemReads};
use crate::inventory::{Domain, Inventory};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Each agent that does not answer costs seconds; after so many, nobody else is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// The addresses of running VMs with networks, by name: what libvirt's DHCP server gave them, else what their agents tell.
/// Nothing is an error: many guests have neither.
pub(super) fn addresses(
    reads: &SystemReads,
    vms: &[&Vm],
    inventory: &Inventory,
) -> BTreeMap<String, Vec<String>> {
    let domains = inventory.domains.present();
    let running = vms.iter().filter_map(|vm| {
        let domain = domains?.get(vm.name.as_str())?;
        let is_asked = domain.state.has_process() && !vm.networks.is_empty();
        is_asked.then_some((vm.name.as_str(), domain))
    });
    let begin = Instant::now();
    // A guest's agent is asked on a connection that may change things, which not every user has.
    let mut agents = None;
    let mut ask = |domain: &Domain| {
        let uuid = domain.raw.uuid.as_str();
        let leased = reads.leased_addresses(uuid);
        if !leased.is_empty() || !domain.has_agent() || begin.elapsed() > PATIENCE {
            return leased;
        }
        let agents = agents.get_or_insert_with(|| SystemHost::open(LIBVIRT, Path::new("/")).ok());
        let told = agents.as_ref().map(|host| host.agent_addresses(uuid));
        told.unwrap_or_default()
    };
    running
        .map(|(name, domain)| (name.to_owned(), ask(domain)))
        .filter(|(_, addresses)| !addresses.is_empty())
        .collect()
}
