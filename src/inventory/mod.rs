//! What was seen on a host, and what could not be.
//!
//! [`Inventory`] is [`RawInventory`] read: every fact is present, absent, not observed, or unreadable with the reason. It
//! keeps fields, digests and raw text, and no trees.

mod address;
mod addresses;
mod bits32;
mod claims;
mod device;
mod facts;
mod image;
mod judged;
mod libvirt;
mod lifecycle;
mod query;
mod query_all;
mod raw;
mod records;
mod redaction;
mod share;
mod snapshot;
mod way;

pub use address::{AGENT_PORT, AddressSource, RawAddress};
pub(crate) use addresses::read_addresses;
pub use addresses::{AddressSources, GuestAddress};
pub use bits32::Kvm;
pub use claims::Uses;
pub use device::{DeviceUse, RawDevice};
pub use facts::{Facts, SeenFact};
pub use image::{LOG_HEAD_LENGTH, begins_as};
pub use judged::{Unseen, way_rules};
pub use libvirt::{GuestSupport, Libvirt};
pub use lifecycle::{Pause, RunState};
pub use query::{managed_save, nvram, query, query_host, with_folder};
pub use query_all::{query_all, query_kept};
pub(crate) use raw::chain;
pub use raw::{
    Binds, Fact, FileKind, FileSystems, Look, Query, RawBits32, RawDomain, RawEntry, RawFile,
    RawFileSystem, RawHealth, RawInventory, RawLibvirt, RawLink, RawNetwork, RawStat,
};
pub use records::{SeenRecord, SeenRecords};
pub use redaction::Redaction;
pub use snapshot::{SNAPSHOT_FORMAT, Snapshot};
pub use way::{Spot, Way, follow};

use crate::fleet::Spec;
use crate::mark::{Hold, OwnerMark, Place, read_hold};
use crate::paths;
use crate::values::{FleetName, VmName};
use crate::xml;
use records::{leave_secrets, records_in};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was seen on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// libvirt itself.
    pub libvirt: Fact<Libvirt>,
    /// Every domain, by name.
    pub domains: Fact<BTreeMap<String, Domain>>,
    /// The records found, by the folder's name.
    pub records: SeenRecords,
    /// How it is known without its secrets.
    pub redaction: Arc<Redaction>,
    /// When all this was seen, in seconds since 1970-01-01 UTC.
    at: u64,
    networks: Fact<Vec<RawNetwork>>,
    links: Fact<Vec<RawLink>>,
    addresses: BTreeMap<String, Fact<Vec<GuestAddress>>>,
    paths: BTreeMap<String, Fact<RawFile>>,
    claims: BTreeMap<String, Fact<RawFile>>,
    file_systems: FileSystems,
    binds: Binds,
}

/// One domain as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// What libvirt told, with templates for its secrets.
    pub raw: RawDomain,
    /// What it is doing.
    pub state: RunState,
    /// SHA-256 of its definition with templates for its secrets.
    pub digest: Option<String>,
    /// The mark in its definition.
    pub mark: Fact<OwnerMark>,
    /// The images, devices and folders that its definition names as sources.
    pub sources: Vec<String>,
    /// The MAC addresses of the network interfaces in its definition.
    pub macs: BTreeSet<String>,
    /// Every file and folder that it uses, by its definition or its process.
    pub claims: Vec<String>,
    /// Of these those that it only reads, below an image of its own.
    pub bases: BTreeSet<String>,
}

/// Whose a domain is, seen from one fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// This fleet's VM of the domain's own name.
    Ours(VmName),
    /// This fleet's VM of another name: the domain was renamed.
    Renamed(VmName),
    /// Its mark was copied from another domain: it is a clone.
    CopiedMark,
    /// Another fleet's VM of the domain's own name.
    OtherFleet(String),
    /// Another fleet's VM of another name.
    RenamedOfOther {
        /// The fleet.
        fleet: String,
        /// The VM.
        vm: String,
    },
    /// A domain without armfleet's mark.
    Unmarked,
    /// Its definition could not be read; why.
    Unknown(String),
}

impl Inventory {
    /// Reads what was seen. Facts that make no sense are unreadable, and say why. Secrets of the spec and of the host's VMs
    /// are left behind: their templates stand in definitions and records.
    #[must_use]
    pub fn read(raw: RawInventory, spec: &Spec) -> Self {
        Self::read_for(raw, Some(spec))
    }

    /// The same without a fleet: the host's VMs alone have secrets.
    #[must_use]
    pub fn of_host(raw: RawInventory) -> Self {
        Self::read_for(raw, None)
    }

    fn read_for(mut raw: RawInventory, spec: Option<&Spec>) -> Self {
        let mut records = records_in(&raw);
        let secrets = spec.map(|spec| spec.secrets.clone()).unwrap_or_default();
        let redaction = leave_secrets(&mut raw, &mut records, spec, secrets);
        raw.paths.remove(paths::KEY);
        let addresses = read_addresses(&raw.domains, raw.addresses);
        let domains = raw.domains.map(|domains| {
            let domains = domains.into_iter();
            domains
                .map(|raw| (raw.name.clone(), Domain::read(raw)))
                .collect()
        });
        Self {
            records,
            at: raw.at,
            libvirt: raw.libvirt.try_map(|raw| Libvirt::read(&raw)),
            domains,
            networks: raw.networks,
            links: raw.links,
            addresses,
            paths: raw.paths,
            claims: raw.claims,
            file_systems: raw.file_systems,
            binds: raw.binds,
            redaction: Arc::new(redaction),
        }
    }

    /// When this was seen, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Everything that was looked at, by its path.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &Fact<RawFile>)> {
        self.paths.iter().map(|(path, fact)| (path.as_str(), fact))
    }

    /// libvirt's networks.
    #[must_use]
    pub fn networks(&self) -> &Fact<Vec<RawNetwork>> {
        &self.networks
    }

    /// The network devices of the host.
    #[must_use]
    pub fn links(&self) -> &Fact<Vec<RawLink>> {
        &self.links
    }

    /// The addresses of a VM's guest, if somebody was asked.
    #[must_use]
    pub fn addresses(&self, vm: &VmName) -> &Fact<Vec<GuestAddress>> {
        self.addresses
            .get(vm.as_str())
            .unwrap_or(&Fact::NotObserved)
    }

    /// What is known about a path.
    #[must_use]
    pub fn path(&self, path: &str) -> &Fact<RawFile> {
        self.paths.get(path).unwrap_or(&Fact::NotObserved)
    }

    /// What tells a file or folder that was seen from anything else at its path.
    #[must_use]
    pub fn place(&self, file: &RawFile) -> Place {
        file.place(&self.file_systems)
    }

    /// Every kernel command line that was seen of a VM: its domain's, its process's, the last apply's.
    #[must_use]
    pub fn cmdlines(&self, vm: &VmName) -> Vec<String> {
        let domain = self
            .domains
            .present()
            .and_then(|domains| domains.get(vm.as_str()));
        let definitions = domain
            .into_iter()
            .flat_map(|domain| [&domain.raw.inactive, &domain.raw.live]);
        let told = definitions.filter_map(|text| cmdline(text.present()?));
        let record = self.record(vm);
        let record = record.present().and_then(|seen| seen.good());
        let applied = record.and_then(|record| record.applied.cmdline());
        told.chain(applied.map(str::to_owned)).collect()
    }

    /// Who holds a VM; absent where a hold has ended by itself.
    #[must_use]
    pub fn hold(&self, vm: &VmName) -> Fact<Hold> {
        // One that the folder's listing led to nothing is not there, if the folder could be listed.
        let text = match self.paths.get(&paths::hold(vm)) {
            Some(fact) => fact.as_ref(),
            None if self.path(paths::VMS).unknown().is_none() => Fact::Absent,
            None => Fact::NotObserved,
        };
        let read = |file: &RawFile| read_hold(file.text.as_deref().unwrap_or_default().as_bytes());
        match text.try_map(read) {
            Fact::Present(hold) if !hold.holds_at(self.at) => Fact::Absent,
            fact => fact,
        }
    }

    /// The watcher of this host, as its lock tells; absent when none runs.
    #[must_use]
    pub fn watcher(&self) -> Fact<&str> {
        match self.path(paths::WATCH_LOCK) {
            Fact::Present(file) => match &file.text {
                Some(holder) => Fact::Present(holder),
                None => Fact::Absent,
            },
            Fact::Absent => Fact::Absent,
            Fact::NotObserved => Fact::NotObserved,
            Fact::Unreadable(why) => Fact::Unreadable(why.clone()),
        }
    }

    /// What is known about a VM's record.
    #[must_use]
    pub fn record(&self, vm: &VmName) -> Fact<&SeenRecord> {
        match self.records.get(vm.as_str()) {
            Some(fact) => fact.as_ref(),
            // A record that the folder's listing did not name is not there, if the folder could be listed.
            None => match self.path(paths::VMS).as_ref() {
                Fact::Present(_) | Fact::Absent => Fact::Absent,
                Fact::NotObserved => Fact::NotObserved,
                Fact::Unreadable(why) => Fact::Unreadable(why),
            },
        }
    }
}

impl Domain {
    fn read(raw: RawDomain) -> Self {
        let parsed = raw.inactive.as_ref().try_map(|text| {
            let document = xml::parse(text)?;
            Ok::<_, xml::XmlError>((
                OwnerMark::find(document.root_element()),
                sources_in(&document),
                macs_in(&document),
            ))
        });
        let Uses { claims, bases } = Uses::of(&raw);
        let claims = claims.into_iter().map(Cow::into_owned).collect();
        let bases = bases.into_iter().map(Cow::into_owned).collect();
        let digest = raw.inactive.present().map(|text| digest(text));
        let state = RunState::read(raw.state, raw.reason);
        let nothing = |mark| (mark, Vec::new(), BTreeSet::new());
        let (mark, sources, macs) = match parsed {
            Fact::Present((mark, sources, macs)) => {
                (mark.map_or(Fact::Absent, Fact::Present), sources, macs)
            }
            Fact::Absent | Fact::NotObserved => nothing(Fact::NotObserved),
            Fact::Unreadable(why) => nothing(Fact::Unreadable(why)),
        };
        Self {
            state,
            digest,
            mark,
            sources,
            macs,
            claims,
            bases,
            raw,
        }
    }

    /// Whose it is. A mark counts only with the domain's own UUID: clones carry copied marks.
    #[must_use]
    pub fn ownership(&self, fleet: &FleetName) -> Ownership {
        let mark = match &self.mark {
            Fact::Present(mark) => mark,
            Fact::Absent => return Ownership::Unmarked,
            Fact::NotObserved => {
                return Ownership::Unknown("its definition was not looked at".to_owned());
            }
            Fact::Unreadable(why) => return Ownership::Unknown(why.clone()),
        };
        if mark.uuid != self.raw.uuid {
            return Ownership::CopiedMark;
        }
        if mark.fleet != fleet.as_str() {
            let fleet = mark.fleet.clone();
            return match mark.vm == self.raw.name {
                true => Ownership::OtherFleet(fleet),
                false => Ownership::RenamedOfOther {
                    fleet,
                    vm: mark.vm.clone(),
                },
            };
        }
        match mark.vm.parse() {
            Ok(vm) if mark.vm == self.raw.name => Ownership::Ours(vm),
            Ok(vm) => Ownership::Renamed(vm),
            Err(_) => Ownership::CopiedMark,
        }
    }
}

/// The images, devices and folders that a domain's XML names as sources; none if it is not XML.
#[must_use]
pub fn sources(domain: &str) -> Vec<String> {
    xml::parse(domain).map_or_else(|_| Vec::new(), |document| sources_in(&document))
}

/// The kernel command line in a domain's definition.
#[must_use]
pub fn cmdline(domain: &str) -> Option<String> {
    let document = xml::parse(domain).ok()?;
    let cmdline = xml::descend(document.root_element(), &["os", "cmdline"])?;
    cmdline.text().map(str::to_owned)
}

fn sources_in(domain: &roxmltree::Document<'_>) -> Vec<String> {
    let sources = domain
        .descendants()
        .filter(|node| node.has_tag_name("source"));
    let named = sources.flat_map(|node| {
        ["file", "dir", "dev"]
            .into_iter()
            .filter_map(move |name| node.attribute(name))
    });
    named.map(str::to_owned).collect()
}

fn macs_in(domain: &roxmltree::Document<'_>) -> BTreeSet<String> {
    let devices = xml::child(domain.root_element(), "devices");
    let devices = devices.into_iter().flat_map(|devices| devices.children());
    let interfaces = devices.filter(|device| device.has_tag_name("interface"));
    let macs = interfaces.filter_map(|device| xml::child(device, "mac")?.attribute("address"));
    macs.map(str::to_ascii_lowercase).collect()
}

/// SHA-256 of a text, in lower-case hexadecimal.
#[must_use]
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
