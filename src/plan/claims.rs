//! What the domains of a host and the VMs of the file use: one thing is one VM's, whatever names lead to it.

use crate::fleet::{Spec, Vm};
use crate::inventory::{Domain, Inventory, Spot, Way};
use crate::paths;
use crate::values::HostPath;
use std::collections::BTreeMap;

/// Everything that is used, found by path, by number and by the folders that it is in.
#[derive(Default)]
pub(super) struct Claims<'a> {
    all: Vec<Claim<'a>>,
    by_path: BTreeMap<&'a str, Vec<usize>>,
    by_spot: BTreeMap<Spot, Vec<usize>>,
    inside: BTreeMap<Spot, Vec<usize>>,
}

/// One use of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim<'a> {
    pub by: Claimant<'a>,
    pub path: &'a str,
}

/// Who uses something. A VM's domain counts before what the file says of the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claimant<'a> {
    /// A domain of the host, by its definition or its process.
    Domain(&'a str),
    /// A VM of the file.
    Vm(&'a str),
    /// armfleet itself.
    Armfleet,
}

/// How a path of a VM meets what another uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meeting {
    Same,
    /// The VM's is inside.
    Inside,
    /// The other is inside.
    Around,
}

/// A path of a VM that another uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Conflict<'a> {
    pub claim: Claim<'a>,
    pub meeting: Meeting,
    /// Whether the paths themselves tell.
    pub is_in_text: bool,
}

impl<'a> Claims<'a> {
    pub(super) fn new(
        spec: &'a Spec,
        domains: &'a BTreeMap<String, Domain>,
        inventory: &Inventory,
    ) -> Self {
        let of_domains = domains.iter().flat_map(|(name, domain)| {
            let paths = domain.claims.iter().map(String::as_str);
            let paths = paths.filter(|path| paths::own_part(path).is_none());
            paths.map(|path| Claim {
                by: Claimant::Domain(name),
                path,
            })
        });
        let of_vms = spec.vms.values().flat_map(|vm| {
            paths_of(vm).map(|path| Claim {
                by: Claimant::Vm(vm.name.as_str()),
                path: path.as_str(),
            })
        });
        let mut claims = Self::default();
        let own = [paths::STATE, paths::RUN].map(|path| Claim {
            by: Claimant::Armfleet,
            path,
        });
        for claim in of_domains.chain(of_vms).chain(own) {
            claims.add(claim, inventory.way(claim.path));
        }
        claims
    }

    fn add(&mut self, claim: Claim<'a>, way: Way) {
        let index = self.all.len();
        self.all.push(claim);
        self.by_path.entry(claim.path).or_default().push(index);
        for folder in way.folders {
            self.inside.entry(folder).or_default().push(index);
        }
        if let Some(end) = way.end {
            self.by_spot.entry(end).or_default().push(index);
        }
    }

    /// Who else uses what is at a path of a VM, what it is in, and what is in it: each other once, by the first path.
    /// What both may have is none.
    pub(super) fn against(
        &self,
        vm: &Vm,
        path: &HostPath,
        way: &Way,
        may_have: impl Fn(&Conflict<'_>) -> bool,
    ) -> Vec<Conflict<'a>> {
        let text = path.as_str();
        let mut found = Vec::new();
        let mut add = |indexes: &[usize], meeting, is_in_text| {
            let claims = indexes.iter().map(|index| self.all[*index]);
            found.extend(claims.map(|claim| Conflict {
                claim,
                meeting,
                is_in_text,
            }));
        };
        for (end, _) in text.match_indices('/').skip(1) {
            add(self.at(&text[..end]), Meeting::Inside, true);
        }
        add(self.at(text), Meeting::Same, true);
        let below = format!("{text}/");
        let inside = self.by_path.range(below.as_str()..);
        for (_, claims) in inside.take_while(|(path, _)| path.starts_with(&below)) {
            add(claims, Meeting::Around, true);
        }
        let numbered = |map: &'_ BTreeMap<Spot, Vec<usize>>, spot: &Spot| {
            map.get(spot).cloned().unwrap_or_default()
        };
        for folder in &way.folders {
            add(&numbered(&self.by_spot, folder), Meeting::Inside, false);
        }
        if let Some(end) = &way.end {
            add(&numbered(&self.by_spot, end), Meeting::Same, false);
            add(&numbered(&self.inside, end), Meeting::Around, false);
        }
        for part in &way.parts {
            add(&numbered(&self.by_spot, part), Meeting::Around, false);
        }
        found.retain(|conflict| !may_have(conflict));
        of_others(found, vm, text)
    }

    fn at(&self, path: &str) -> &[usize] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }
}

/// Without what the VM itself has, one of each other VM or domain: the plainest.
fn of_others<'a>(mut found: Vec<Conflict<'a>>, vm: &Vm, path: &str) -> Vec<Conflict<'a>> {
    let name = vm.name.as_str();
    found.retain(|conflict| match conflict.claim.by {
        Claimant::Domain(domain) => domain != name,
        Claimant::Armfleet => true,
        // By another name its own disk may be in its own share; what texts tell was said when the file was read.
        Claimant::Vm(other) => {
            !conflict.is_in_text && (other != name || conflict.claim.path != path)
        }
    });
    found.sort_by_key(|conflict| {
        let claim = conflict.claim;
        (
            claim.by.name(),
            claim.by,
            !conflict.is_in_text,
            conflict.meeting,
            claim.path,
        )
    });
    found.dedup_by_key(|conflict| conflict.claim.by.name());
    found
}

impl<'a> Claimant<'a> {
    pub(super) const fn name(self) -> &'a str {
        match self {
            Self::Domain(name) | Self::Vm(name) => name,
            Self::Armfleet => "armfleet",
        }
    }
}

impl Conflict<'_> {
    /// In words, after the VM's own path and what it is.
    pub(super) fn describe(&self, own: &str) -> String {
        let Claim { by, path } = self.claim;
        let user = match by {
            Claimant::Domain(name) => format!("domain {name} uses"),
            Claimant::Vm(name) if name == own => "it uses as well".to_owned(),
            Claimant::Vm(name) => format!("{name} uses in the fleet file"),
            Claimant::Armfleet => "armfleet keeps its own files in".to_owned(),
        };
        let (how, why) = match self.meeting {
            Meeting::Same => ("is the same as", ": both paths lead to one place"),
            Meeting::Inside | Meeting::Around if paths::is_device(path) => {
                let how = if self.meeting == Meeting::Inside {
                    "is inside"
                } else {
                    "holds"
                };
                (how, ", as one of its partitions")
            }
            Meeting::Inside => ("is inside", ", through a link or a mount"),
            Meeting::Around => ("holds", ", through a link or a mount"),
        };
        let why = if self.is_in_text { "" } else { why };
        match (self.meeting, self.is_in_text) {
            (Meeting::Same, true) => format!("is used by domain {}", by.name()),
            _ => format!("{how} {path}, which {user}{why}"),
        }
    }
}

/// What a VM has on its host.
fn paths_of(vm: &Vm) -> impl Iterator<Item = &HostPath> {
    let disks = vm.disks.iter().map(|disk| &disk.path);
    let shares = vm.shares.iter().map(|share| &share.path);
    let own = disks.chain([&vm.boot.share]).chain(&vm.console.log);
    own.chain(shares)
}
