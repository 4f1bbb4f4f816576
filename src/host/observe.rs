//! Looking: the query's paths, libvirt and its domains, one reading call after another.

use super::primitives::{CallError, Reads};
use super::{HostError, Inspect};
use crate::inventory::{
    Fact, FileKind, Look, Query, RawDomain, RawFile, RawInventory, SNAPSHOT_FORMAT, claims, follow,
};
use crate::paths::own_part;
use crate::trust::{Rules, StopKind, Walk};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A host that can only be looked at, by type.
pub struct Observer<R>(pub R);

impl<R: Reads> Inspect for Observer<R> {
    fn observe(&self, query: &Query) -> Result<RawInventory, HostError> {
        Ok(observe(&self.0, query))
    }
}

/// Sees what a query asks for. libvirt comes first: asking may start its daemon, whose files are looked at then.
pub(super) fn observe(reads: &impl Reads, query: &Query) -> RawInventory {
    let libvirt = fact(reads.libvirt());
    let domains = match &libvirt {
        Fact::Present(_) => fact(reads.domains()),
        unseen => unseen.clone().map(|_| Vec::new()),
    };
    let mut paths = BTreeMap::new();
    for (path, look) in &query.paths {
        let mut seen = reads.look(path, *look);
        let is_folder = |fact: &Fact<RawFile>| {
            fact.present()
                .is_some_and(|file| file.stat.kind == FileKind::Folder)
        };
        if *look == Look::Records && is_folder(&seen) {
            match reads.records(path) {
                Ok(records) => paths.extend(records.into_iter().flat_map(|path| {
                    let record = reads.look(&path, Look::Text);
                    // A VM that left the file may be held, too.
                    let hold = path.replace("/record.json", "/hold.json");
                    let held = reads.look(&hold, Look::Text);
                    let held = (!held.is_absent()).then_some((hold, held));
                    [(path, record)].into_iter().chain(held)
                })),
                Err(error) => seen = Fact::Unreadable(error.why),
            }
        }
        paths.insert(path.clone(), seen);
    }
    for (path, look) in &query.paths {
        see_way(reads, path, *look, &mut paths);
    }
    let claims = see_claims(reads, &domains, &paths);
    RawInventory {
        format: SNAPSHOT_FORMAT.to_owned(),
        at: reads.now(),
        libvirt,
        domains,
        paths,
        claims,
    }
}

/// Looks at what domains use and was not looked at yet, each thing and each folder once: two names of one thing, and a
/// thing within another, are told by numbers. What armfleet stages for a domain is no user's.
fn see_claims(
    reads: &impl Reads,
    domains: &Fact<Vec<RawDomain>>,
    paths: &BTreeMap<String, Fact<RawFile>>,
) -> BTreeMap<String, Fact<RawFile>> {
    let mut claimed: BTreeSet<Cow<'_, str>> = BTreeSet::new();
    claimed.extend(domains.present().into_iter().flatten().flat_map(claims));
    claimed.retain(|path| own_part(path).is_none());
    let mut seen = BTreeMap::new();
    for path in claimed {
        let mut look = |path: &str| {
            let known = paths.get(path).or_else(|| seen.get(path)).cloned();
            known.unwrap_or_else(|| {
                let fact = reads.look(path, Look::Link);
                seen.insert(path.to_owned(), fact.clone());
                fact
            })
        };
        follow(&path, |next| Some(look(&next.path)));
    }
    seen
}

/// Looks at what is on the way to a path and was not looked at yet: each folder, and where root's links lead.
fn see_way(
    reads: &impl Reads,
    path: &str,
    look: Look,
    paths: &mut BTreeMap<String, Fact<RawFile>>,
) {
    let Some(end) = look.end_of(path) else {
        return;
    };
    let mut walk = Walk::to(path, end, Rules::default());
    while let Some(next) = walk.next() {
        if !paths.contains_key(&next.path) {
            let seen = reads.look(&next.path, Look::Link);
            paths.insert(next.path.clone(), seen);
        }
        let Some(stop) = paths[&next.path].present().and_then(RawFile::stop) else {
            return;
        };
        // Where another's link leads is that user's business.
        if stop.uid != 0 && matches!(stop.kind, StopKind::Link(_)) {
            return;
        }
        walk.see(Some(stop));
    }
}

fn fact<T>(result: Result<T, CallError>) -> Fact<T> {
    result.map_or_else(|error| Fact::Unreadable(error.why), Fact::Present)
}
