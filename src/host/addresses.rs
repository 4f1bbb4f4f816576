//! Asking for the addresses of guests: of libvirt's DHCP servers, and where those do not know, of the guest's agent.

use super::primitives::Reads;
use crate::inventory::{AddressSource, AddressSources, Fact, RawAddress, RawDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Each agent that does not answer keeps one of them for seconds.
const AT_ONCE: usize = 4;
/// After this nobody else is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// The addresses of the guests of these VMs, as far as they run.
pub(super) fn see_addresses(
    reads: &impl Reads,
    domains: &Fact<Vec<RawDomain>>,
    vms: &BTreeSet<String>,
) -> BTreeMap<String, Fact<Vec<RawAddress>>> {
    see_within(PATIENCE, reads, domains, vms)
}

fn see_within(
    patience: Duration,
    reads: &impl Reads,
    domains: &Fact<Vec<RawDomain>>,
    vms: &BTreeSet<String>,
) -> BTreeMap<String, Fact<Vec<RawAddress>>> {
    let domains = domains.present().into_iter().flatten();
    let named = domains.filter(|domain| vms.contains(&domain.name));
    let asked = named.filter_map(|domain| Some((domain, AddressSources::of(domain)?)));
    let (left, seen) = (Mutex::new(asked), Mutex::new(BTreeMap::new()));
    let began = Instant::now();
    let work = || {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((domain, sources)) = next else {
                break;
            };
            let fact = match began.elapsed() < patience {
                true => ask(reads, domain, &sources),
                false => Fact::Unreadable("others took too long to answer".to_owned()),
            };
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(domain.name.clone(), fact);
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(vms.len()) {
            // Without a thread the others have more to do.
            drop(thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A guest answers for itself, or does not: its agent is asked only for what no DHCP server told.
fn ask(reads: &impl Reads, domain: &RawDomain, sources: &AddressSources) -> Fact<Vec<RawAddress>> {
    let (mut told, mut failed) = (Vec::new(), None);
    let mut asked = Vec::new();
    if !sources.on_networks.is_empty() {
        asked.push(AddressSource::Lease);
    }
    if sources.agent {
        asked.push(AddressSource::Agent);
    }
    for source in asked {
        let known: BTreeSet<_> = told
            .iter()
            .map(|told: &RawAddress| told.mac.to_lowercase())
            .collect();
        if sources.macs.is_subset(&known) {
            break;
        }
        match reads.addresses(&domain.uuid, source) {
            Ok(addresses) => told.extend(addresses),
            Err(error) => failed = Some(error.why),
        }
    }
    match failed {
        Some(why) if told.is_empty() => Fact::Unreadable(why),
        _ => Fact::Present(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::memory::Memory;
    use crate::inventory::RawLibvirt;

    #[test]
    fn who_comes_too_late_is_not_asked() {
        let host = Memory::new(RawLibvirt {
            version: 9_000_000,
            capabilities: String::new(),
            bits32: None,
        });
        let live = "<domain id='1'><devices><interface type='network'><mac address='52:00:00:00:00:01'/>\
                    <source network='farm'/></interface></devices></domain>";
        let domain = |name: &str| RawDomain {
            name: name.to_owned(),
            uuid: name.to_owned(),
            state: 1,
            reason: 0,
            persistent: true,
            autostart: false,
            managed_save: false,
            snapshots: Vec::new(),
            checkpoints: Vec::new(),
            inactive: Fact::NotObserved,
            live: Fact::Present(live.to_owned()),
        };
        let domains = Fact::Present(["a", "b", "c"].map(domain).to_vec());
        let vms = ["a", "c", "d"].map(str::to_owned).into();
        let seen = see_within(Duration::ZERO, &host, &domains, &vms);
        let late = Fact::Unreadable("others took too long to answer".to_owned());
        let expected = ["a", "c"].map(|name| (name.to_owned(), late.clone()));
        assert_eq!(seen, BTreeMap::from(expected));
        // In time they are asked, and this host has none of them.
        let asked = see_within(PATIENCE, &host, &domains, &vms);
        assert!(
            asked
                .values()
                .all(|fact| fact.unknown().is_some() && *fact != late)
        );
    }
}
