//! Looking: the query's paths, libvirt and its domains, one reading call after another.

use super::addresses::see_addresses;
use super::primitives::{CallError, Reads};
use super::{HostError, Inspect};
use crate::domain::unguarded_paths;
use crate::inventory::{
    Binds, Fact, FileKind, Libvirt, Look, Query, RawDomain, RawFile, RawHealth, RawInventory,
    Snapshot, Uses, follow, way_rules,
};
use crate::mark::{Record, read_record};
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

    fn ask(&self, programs: &BTreeSet<String>) -> RawHealth {
        ask(&self.0, programs)
    }
}

/// A host as it was recorded.
impl Inspect for Snapshot {
    fn observe(&self, query: &Query) -> Result<RawInventory, HostError> {
        Ok(self.answer(query))
    }
}

pub(super) fn ask(reads: &impl Reads, programs: &BTreeSet<String>) -> RawHealth {
    let version = |program: &String| (program.clone(), fact(reads.version(program)));
    RawHealth {
        programs: programs.iter().map(version).collect(),
        synchronised: fact(reads.synchronised()),
    }
}

/// Sees what a query asks for. libvirt comes first: asking may start its daemon, whose files are looked at then.
pub(super) fn observe(reads: &impl Reads, query: &Query) -> RawInventory {
    let libvirt = fact(reads.libvirt());
    let domains = match &libvirt {
        Fact::Present(_) => fact(reads.domains()),
        unseen => unseen.clone().map(|_| Vec::new()),
    };
    let (networks, links) = match query.networks {
        true => (fact(reads.networks()), fact(reads.links())),
        false => (Fact::NotObserved, Fact::NotObserved),
    };
    let addresses = see_addresses(reads, &domains, &query.addresses);
    let mut paths = BTreeMap::new();
    let (inside, others) = query
        .paths
        .iter()
        .partition::<Vec<_>, _>(|(_, look)| look.opens());
    for (path, look) in others {
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
    let read = libvirt.present().and_then(|raw| Libvirt::read(raw).ok());
    let rules = way_rules(read.as_ref(), &paths, query.trusted.clone());
    // Read once, and only where a way has a flaw.
    let mut applied = None;
    for (path, look) in inside {
        // At a path that others have lead elsewhere nothing is opened, unless the VM has had it before anyone asked.
        let place = see_way(reads, (path, *look), &rules, &mut paths).or_else(|| {
            let applied = applied.get_or_insert_with(|| unguarded(&paths));
            let is_applied = applied.contains(path);
            is_applied.then(|| see_way(reads, (path, *look), &anyones(), &mut paths))?
        });
        let seen = match place {
            Some(place) => reads.look(&place, *look),
            None => reads.look(path, Look::Stat),
        };
        paths.insert(path.clone(), seen);
    }
    for (path, look) in &query.paths {
        see_way(reads, (path, *look), &rules, &mut paths);
    }
    let binds = reads.binds().unwrap_or_default();
    let claims = see_claims(reads, &domains, &paths, &binds);
    RawInventory {
        at: reads.now(),
        libvirt,
        domains,
        networks,
        links,
        addresses,
        paths,
        claims,
        binds,
        // Without them, things are identified without their file systems.
        file_systems: reads.file_systems().unwrap_or_default(),
    }
}

/// Looks at what domains use and was not looked at yet, each thing and each folder once: device and inode numbers show
/// two names of one thing, and a thing within another. What armfleet stages for a domain is skipped.
fn see_claims(
    reads: &impl Reads,
    domains: &Fact<Vec<RawDomain>>,
    paths: &BTreeMap<String, Fact<RawFile>>,
    binds: &Binds,
) -> BTreeMap<String, Fact<RawFile>> {
    let mut claimed: BTreeSet<Cow<'_, str>> = BTreeSet::new();
    claimed.extend(
        domains
            .present()
            .into_iter()
            .flatten()
            .flat_map(|domain| Uses::of(domain).claims),
    );
    claimed.retain(|path| own_part(path).is_none());
    let mut seen = BTreeMap::new();
    let go = |path: &str, seen: &mut BTreeMap<String, Fact<RawFile>>| {
        follow(path, |next| {
            if let Some(known) = paths.get(&next.path) {
                return Some(Cow::Borrowed(known));
            }
            let seen = seen.entry(next.path.clone());
            let look = || reads.look(&next.path, Look::Link);
            Some(Cow::Owned(seen.or_insert_with(look).clone()))
        });
    };
    for path in claimed {
        go(&path, &mut seen);
    }
    // Others are nobody's, and may be on a server that does not answer.
    for (point, source) in binds {
        if paths.contains_key(point) || seen.contains_key(point) {
            go(source, &mut seen);
        }
    }
    seen
}

/// By these nothing is asked about who can change a way.
fn anyones() -> Rules {
    Rules {
        taken: BTreeSet::from(["/".to_owned()]),
        ..Rules::default()
    }
}

/// Looks at what is on the way to a path and was not looked at yet: each folder, and where root's links lead. Tells where
/// the path is, with no link on the way, if only root can change that, as far as it was seen.
fn see_way(
    reads: &impl Reads,
    (path, look): (&str, Look),
    rules: &Rules,
    paths: &mut BTreeMap<String, Fact<RawFile>>,
) -> Option<String> {
    let end = look.end_of(path)?;
    let mut walk = Walk::to(path, end, rules);
    let mut place = None;
    while let Some(next) = walk.next() {
        if next.is_last && (place.is_none() || look == Look::Device) {
            // A link at the end is not what it leads to, but for a device.
            place = Some(next.path.clone());
        }
        if !paths.contains_key(&next.path) {
            if next.path == path && look != Look::Device {
                // It is looked at as the query asks, if at all.
                walk.see(None);
                break;
            }
            let seen = reads.look(&next.path, Look::Link);
            paths.insert(next.path.clone(), seen);
        }
        let fact = &paths[&next.path];
        if fact.is_absent() {
            walk.see(None);
            break;
        }
        let stop = fact.present().and_then(RawFile::stop)?;
        let is_others = stop.uid != 0 && matches!(stop.kind, StopKind::Link(_));
        walk.see(Some(stop));
        // Where another's link leads is that user's business, unless the user is trusted.
        if is_others && !walk.flaws().is_empty() {
            break;
        }
    }
    let is_sound = walk.flaws().is_empty();
    is_sound.then(|| place.unwrap_or_else(|| path.to_owned()))
}

/// What records have for images, shares and logs of versions that did not check their ways.
fn unguarded(paths: &BTreeMap<String, Fact<RawFile>>) -> BTreeSet<String> {
    let records = paths
        .iter()
        .filter(|(path, _)| path.ends_with("/record.json"));
    let texts = records.filter_map(|(_, fact)| fact.present()?.text.as_deref());
    let records = texts.filter_map(|text| read_record(text.as_bytes()).ok());
    let paths = |record: Record| {
        unguarded_paths(&record.applied)
            .map(str::to_owned)
            .collect()
    };
    records.flat_map::<Vec<_>, _>(paths).collect()
}

fn fact<T>(result: Result<T, CallError>) -> Fact<T> {
    result.map_or_else(|error| Fact::Unreadable(error.why), Fact::Present)
}
