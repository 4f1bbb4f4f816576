//! Snapshot files: what planning observes of a host, recorded without secrets, to plan from where no host is.

use super::raw::{Fact, FileKind, Look, Query, RawFile, RawInventory};
use super::records::{SeenRecords, leave_secrets, records_in};
use super::redaction::Redaction;
use crate::fleet::{NoCloud, Spec};
use crate::format::{Format, FormatError};
use crate::mark::{read_cloud_init_receipt, render_cloud_init_receipt, render_key};
use crate::paths;
use crate::values::{HostKey, Secrets, placeholders};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a snapshot file says it is. The largest hosts have 10,000 domains, of some 20 KiB each.
pub const SNAPSHOT_FORMAT: Format = Format::new("armfleet-snapshot", 1 << 30);

/// By this key snapshots have the digests of texts without secrets: whoever plans from one does not have the host's key.
const KEY: HostKey = HostKey::new([0; HostKey::LENGTH]);

/// A host as it was when the snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What was asked.
    query: Query,
    /// What was seen.
    seen: RawInventory,
}

impl Snapshot {
    /// Of what was seen of a host, for a fleet or for any. In the place of every secret stands its template, whatever value
    /// it has. Tells what is known of those, too: whoever writes the file keeps them out of it wherever else they stand.
    #[must_use]
    pub fn new(query: Query, mut seen: RawInventory, spec: Option<&Spec>) -> (Self, Redaction) {
        let mut records = records_in(&seen);
        let secrets = without_values(&records, spec);
        let redaction = leave_secrets(&mut seen, &mut records, spec, secrets);
        for (vm, texts) in spec.into_iter().flat_map(|spec| &spec.cloud_init) {
            let receipt = seen.paths.get_mut(&paths::cloud_init_receipt(vm));
            if let Some(Fact::Present(file)) = receipt {
                rekey_receipt(file, texts, &redaction);
            }
        }
        if let Some(Fact::Present(file)) = seen.paths.get_mut(paths::KEY) {
            file.text = render_key(&KEY).ok();
        }
        (Self { query, seen }, redaction)
    }

    /// Reads a snapshot's file.
    ///
    /// # Errors
    /// Says why it is none that this version can read.
    pub fn read(text: &[u8]) -> Result<Self, FormatError> {
        SNAPSHOT_FORMAT.read(text)
    }

    /// The text of its file, ending in a newline.
    ///
    /// # Errors
    /// None in practice: every part of it can be written as JSON.
    pub fn render(&self) -> Result<String, FormatError> {
        SNAPSHOT_FORMAT.render(self)
    }

    /// When it was taken, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.seen.at
    }

    /// What was seen, as far as the query asks for it. What was looked at less closely than it asks was not observed.
    #[must_use]
    pub fn answer(&self, query: &Query) -> RawInventory {
        let mut seen = self.seen.clone();
        for (path, look) in &query.paths {
            let fact = self.seen.paths.get(path);
            if fact.is_some_and(|fact| !self.answers(path, *look, fact, query)) {
                seen.paths.remove(path);
            }
        }
        seen
    }

    /// Whether what was seen of a path is what would have been seen with this look.
    fn answers(&self, path: &str, look: Look, fact: &Fact<RawFile>, query: &Query) -> bool {
        let was_trusted = |trusted: &String| Path::new(path).starts_with(trusted);
        let mut trust = query.trusted.symmetric_difference(&self.query.trusted);
        if look.opens() && trust.any(was_trusted) {
            return false;
        }
        let asked = self.query.paths.get(path);
        match fact {
            Fact::Absent => true,
            _ if asked == Some(&look) => true,
            // Every look tells at least this.
            Fact::Present(file) if matches!(look, Look::Stat | Look::Link) => {
                file.stat.kind != FileKind::Symlink || file.text.is_some()
            }
            _ => false,
        }
    }
}

/// The secrets of a fleet and of the VMs that have a record, none with a value.
fn without_values(records: &SeenRecords, spec: Option<&Spec>) -> Secrets {
    let records = records.values().filter_map(|fact| fact.present()?.good());
    let templates = records.flat_map(|record| {
        let earlier = record.secret_cmdlines.iter().map(String::as_str);
        earlier.chain(record.applied.cmdline())
    });
    let recorded = templates.flat_map(placeholders).map(|(_, name)| name);
    let wanted = spec.into_iter().flat_map(|spec| spec.secrets.names());
    Secrets::default().or_unknown(recorded.chain(wanted).map(str::to_owned))
}

/// Has the receipt of a disk for cloud-init name digests by the snapshots' key, where the disk has these texts.
fn rekey_receipt(file: &mut RawFile, texts: &NoCloud, redaction: &Redaction) {
    let text = file.text.as_deref().unwrap_or_default();
    let Ok(mut receipt) = read_cloud_init_receipt(text.as_bytes()) else {
        return;
    };
    let rekey = |template: &str, digest: &mut String| {
        if redaction.keyed_digest(template).as_ref() == Some(digest) {
            *digest = KEY.digest(template);
        }
    };
    rekey(&texts.whole(), &mut receipt.digest);
    rekey(texts.meta_data(), &mut receipt.metadata);
    file.text = render_cloud_init_receipt(&receipt).ok();
}
