//! The records of a host, and what stands in the place of the secrets that are seen with them.

use super::raw::{Fact, RawDomain, RawFile, RawInventory, chain};
use super::redaction::Redaction;
use crate::fleet::Spec;
use crate::mark::{Record, read_key, read_record, render_record};
use crate::paths;
use crate::values::{HostKey, Secrets};
use std::collections::BTreeMap;

/// The records that were found, by the folder's name.
pub type SeenRecords = BTreeMap<String, Fact<SeenRecord>>;

/// A record as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenRecord {
    /// It can be read.
    Good(Box<Record>),
    /// It cannot; why.
    Damaged(String),
    /// A later version of armfleet wrote it; what it says.
    Later(String),
}

impl SeenRecord {
    /// The record, if it can be read.
    #[must_use]
    pub fn good(&self) -> Option<&Record> {
        match self {
            Self::Good(record) => Some(record),
            Self::Damaged(_) | Self::Later(_) => None,
        }
    }
}

/// The records among what was seen.
pub(super) fn records_in(raw: &RawInventory) -> SeenRecords {
    let records = raw
        .paths
        .iter()
        .filter_map(|(path, fact)| Some((record_owner(path)?, fact.as_ref().map(seen_record))));
    records.collect()
}

/// Has templates stand in definitions and records for every secret of a fleet and of the host's VMs. Tells how the host is
/// known without its secrets. The host's key stays where it is.
pub(super) fn leave_secrets(
    raw: &mut RawInventory,
    records: &mut SeenRecords,
    spec: Option<&Spec>,
    secrets: Secrets,
) -> Redaction {
    let key = raw.paths.get(paths::KEY);
    let key = key.and_then(|fact| key_in(fact.present()?));
    let good = records.values().filter_map(|fact| fact.present()?.good());
    let mut redaction = Redaction::new(spec, good, key, secrets);
    if let Fact::Present(domains) = &mut raw.domains {
        for domain in domains {
            redact_domain(domain, &mut redaction);
        }
    }
    for (name, fact) in records {
        if let Fact::Present(SeenRecord::Good(record)) = fact {
            redact_record(name, record, &mut redaction, &mut raw.paths);
        }
    }
    redaction
}

fn redact_domain(domain: &mut RawDomain, redaction: &mut Redaction) {
    for text in [&mut domain.inactive, &mut domain.live] {
        if let Fact::Present(text) = text {
            redaction.learn(&domain.name, &domain.uuid, text);
            *text = redaction.definition(&domain.name, &domain.uuid, text);
        }
    }
}

/// Has a record's file say, too, what the record says without its secrets: its digest is shown.
fn redact_record(
    name: &str,
    record: &mut Record,
    redaction: &mut Redaction,
    paths: &mut BTreeMap<String, Fact<RawFile>>,
) {
    let before = record.clone();
    redaction.record(record);
    let file = paths.get_mut(&format!("{}/{name}/record.json", paths::VMS));
    if let Some(Fact::Present(file)) = file.filter(|_| *record != before) {
        file.text = render_record(record).ok();
    }
}

/// The VM whose record this path is.
fn record_owner(path: &str) -> Option<String> {
    let vm = path
        .strip_prefix(paths::VMS)?
        .strip_prefix('/')?
        .strip_suffix("/record.json")?;
    (!vm.contains('/')).then(|| vm.to_owned())
}

fn seen_record(file: &RawFile) -> SeenRecord {
    if let Some(why) = file.not_roots().or_else(|| file.no_text.clone()) {
        return SeenRecord::Damaged(why);
    }
    match read_record(file.text.as_deref().unwrap_or_default().as_bytes()) {
        Ok(record) => SeenRecord::Good(Box::new(record)),
        Err(error) if error.is_later() => SeenRecord::Later(chain(&error)),
        Err(error) => SeenRecord::Damaged(chain(&error)),
    }
}

/// The key of the host's digests, if it can be read and is root's alone.
fn key_in(file: &RawFile) -> Option<HostKey> {
    if file.not_roots().is_some() {
        return None;
    }
    read_key(file.text.as_deref()?.as_bytes()).ok()?
}
