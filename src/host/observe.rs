//! Looking: the query's paths, libvirt and its domains, one reading call after another.

use super::primitives::{CallError, Reads};
use super::{HostError, Inspect};
use crate::inventory::{Fact, FileKind, Look, Query, RawFile, RawInventory, SNAPSHOT_FORMAT};
use std::collections::BTreeMap;

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
    RawInventory {
        format: SNAPSHOT_FORMAT.to_owned(),
        at: reads.now(),
        libvirt,
        domains,
        paths,
    }
}

fn fact<T>(result: Result<T, CallError>) -> Fact<T> {
    result.map_or_else(|error| Fact::Unreadable(error.why), Fact::Present)
}
