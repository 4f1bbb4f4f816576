//! What is secret of what was seen, and how it is known without: from here on an inventory, and every plan and report that
//! comes of it, has templates where a host has command lines with secrets.

use crate::fleet::{NoCloud, Spec};
use crate::mark::{CMDLINE, OwnerMark, Record};
use crate::values::{
    HostKey, Secrets, VmName, is_template, literals_of, values_between, values_by_word,
    values_of_words,
};
use crate::xml::{self, Part, Tree};
use roxmltree::Document;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a definition has its command line.
const CMDLINE_PATH: [&str; 2] = ["os", "cmdline"];

/// How a fleet's and a host's command lines are shown. It holds secrets, and shows none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redaction {
    secrets: Secrets,
    key: Option<HostKey>,
    vms: BTreeMap<String, Cmdlines>,
    cloud_init: BTreeMap<VmName, Arc<NoCloud>>,
    /// The VM of each domain that has a record.
    uuids: BTreeMap<String, String>,
    /// Whether any of them has or had a secret; most fleets have none, and no definition is looked at for one.
    needed: bool,
}

/// The command lines of one VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Cmdlines {
    /// As the fleet file has them.
    wanted: Vec<String>,
    /// Templates of the record.
    recorded: Vec<String>,
    applied: Option<Applied>,
}

/// The command line that was applied last.
#[derive(Clone, PartialEq, Eq)]
struct Applied {
    recorded: AppliedText,
    shown: String,
}

#[derive(Clone, PartialEq, Eq)]
enum AppliedText {
    /// A template, with the digest of the text that was made of it.
    Template { template: String, digest: String },
    /// As a version before 0.2 recorded it, secrets and all.
    Whole(String),
}

impl std::fmt::Debug for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Redaction {
    /// By what a fleet file wants, the records of a host, the key of its digests, and secrets.
    pub(super) fn new<'r>(
        spec: Option<&Spec>,
        records: impl IntoIterator<Item = &'r Record>,
        key: Option<HostKey>,
        secrets: Secrets,
    ) -> Self {
        let mut redaction = Self {
            secrets,
            key,
            cloud_init: spec.map_or_else(BTreeMap::new, |spec| spec.cloud_init.clone()),
            ..Self::default()
        };
        for vm in spec.into_iter().flat_map(|spec| spec.vms.values()) {
            let install = vm.install.as_ref().map(|install| &install.cmdline);
            let wanted = [&vm.boot.cmdline].into_iter().chain(install);
            let known = redaction.vms.entry(vm.name.to_string()).or_default();
            known.wanted.extend(wanted.map(ToString::to_string));
        }
        for record in records {
            redaction.remember(record);
        }
        redaction.finish()
    }

    fn finish(mut self) -> Self {
        self.needed = self.vms.values().any(|known| self.has_secrets(known));
        self
    }

    /// As far as a record tells.
    #[must_use]
    pub fn of_record(record: &Record) -> Self {
        let mut redaction = Self::default();
        redaction.remember(record);
        redaction.finish()
    }

    /// As far as former command lines of a VM tell that had templates.
    #[must_use]
    pub fn of_templates(vm: &str, templates: impl IntoIterator<Item = String>) -> Self {
        let mut redaction = Self::default();
        let known = redaction.vms.entry(vm.to_owned()).or_default();
        known.recorded.extend(templates);
        redaction.finish()
    }

    fn remember(&mut self, record: &Record) {
        let name = record.vm.to_string();
        self.uuids
            .insert(record.uuid.as_str().to_owned(), name.clone());
        let mut known = self.vms.remove(&name).unwrap_or_default();
        known.recorded.extend(record.secret_cmdlines.clone());
        known.applied = record.applied.cmdline().map(|text| {
            let recorded = match &record.cmdline_digest {
                Some(digest) => AppliedText::Template {
                    template: text.to_owned(),
                    digest: digest.clone(),
                },
                None => AppliedText::Whole(text.to_owned()),
            };
            let shown = match &recorded {
                AppliedText::Whole(text) => self.show(&known, text),
                AppliedText::Template { template, digest } => self.show_applied(template, digest),
            };
            Applied { recorded, shown }
        });
        self.vms.insert(name, known);
    }

    /// The secrets of the fleet, and all that was seen of them.
    #[must_use]
    pub const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The texts of a VM's cloud-init with their secrets; none where they are not known.
    #[must_use]
    pub fn cloud_init(&self, vm: &VmName) -> Option<NoCloud> {
        Some(self.cloud_init.get(vm)?.filled(&self.secrets))
    }

    /// A domain's definition with templates for its secrets.
    #[must_use]
    pub fn definition(&self, name: &str, uuid: &str, text: &str) -> String {
        let replace = |known: &Cmdlines, document: &Document<'_>, seen: &str| {
            let shown = self.show(known, seen);
            let mut tree = Tree::of(document);
            tree.root().write(&CMDLINE_PATH, Part::Text, &shown);
            (shown != seen).then(|| tree.to_string())
        };
        let replaced = self.with_cmdline(name, uuid, text, replace).flatten();
        replaced.unwrap_or_else(|| text.to_owned())
    }

    /// Has secrets redacted, too, that a domain has.
    pub fn learn(&mut self, name: &str, uuid: &str, text: &str) {
        let clone =
            |known: &Cmdlines, _: &Document<'_>, seen: &str| (known.clone(), seen.to_owned());
        if let Some((known, seen)) = self.with_cmdline(name, uuid, text, clone) {
            self.learn_cmdline(&known, &seen);
        }
    }

    /// Does something with a domain's command line and what is known of its VM, where secrets may be in it.
    fn with_cmdline<T>(
        &self,
        name: &str,
        uuid: &str,
        text: &str,
        make: impl FnOnce(&Cmdlines, &Document<'_>, &str) -> T,
    ) -> Option<T> {
        if !self.needed {
            return None;
        }
        let document = xml::parse(text).ok()?;
        let root = document.root_element();
        let known = self.known(name, uuid, || Some(OwnerMark::find(root)?.vm))?;
        let cmdline = xml::descend(root, &CMDLINE_PATH)?;
        let seen = xml::read(cmdline, Part::Text)?;
        Some(make(known, &document, &seen))
    }

    /// A record with templates for its secrets.
    pub(super) fn record(&mut self, record: &mut Record) {
        let Some(known) = self.vms.get(record.vm.as_str()).cloned() else {
            return;
        };
        let Some(applied) = known.applied.clone().filter(|_| self.has_secrets(&known)) else {
            return;
        };
        if let AppliedText::Whole(text) = &applied.recorded {
            self.learn_cmdline(&known, text);
        }
        record.applied.rows.insert(CMDLINE, applied.shown);
    }

    /// The digest of a text that may hold secrets, by the host's key; none where there is no key, and nothing to compare.
    #[must_use]
    pub fn keyed_digest(&self, text: &str) -> Option<String> {
        Some(self.key.as_ref()?.digest(text))
    }

    fn known(
        &self,
        name: &str,
        uuid: &str,
        marked: impl FnOnce() -> Option<String>,
    ) -> Option<&Cmdlines> {
        let by_name = || self.vms.get(name);
        let by_uuid = || self.vms.get(self.uuids.get(uuid)?);
        // A clone has what its original had.
        by_name()
            .or_else(by_uuid)
            .or_else(|| self.vms.get(&marked()?))
    }

    fn has_secrets(&self, known: &Cmdlines) -> bool {
        let mut wanted = known.wanted.iter();
        !known.recorded.is_empty() || wanted.any(|wanted| self.secrets.is_named_in(wanted))
    }

    /// A command line that was seen. It is shown as a wanted template only if it is what that becomes.
    fn show(&self, known: &Cmdlines, seen: &str) -> String {
        if !self.has_secrets(known) {
            return seen.to_owned();
        }
        let is_it = |wanted: &&String| {
            let filled = self.secrets.filled(wanted);
            let open = !self.secrets.unknown_in(wanted).is_empty();
            filled == seen || (open && values_between(&filled, seen).is_some())
        };
        if let Some(wanted) = known.wanted.iter().find(is_it) {
            return wanted.clone();
        }
        let applied = known.applied.as_ref();
        if let Some(applied) = applied.filter(|applied| self.is_applied(applied, seen)) {
            return applied.shown.clone();
        }
        let templates = known.recorded.iter().chain(&known.wanted);
        let has_form =
            |template: &&String| is_template(template) && values_by_word(template, seen).is_some();
        if let Some(template) = templates.clone().find(has_form) {
            return self.secrets.former(template);
        }
        let last = applied.and_then(|applied| match &applied.recorded {
            AppliedText::Template { template, .. } => Some(template),
            AppliedText::Whole(_) => None,
        });
        let templates: Vec<&str> = templates.chain(last).map(String::as_str).collect();
        literals_of(&templates, seen)
    }

    fn is_applied(&self, applied: &Applied, seen: &str) -> bool {
        match &applied.recorded {
            AppliedText::Whole(text) => text == seen,
            AppliedText::Template { template, digest } => match self.keyed_digest(seen) {
                Some(of_seen) => of_seen == *digest,
                None => values_by_word(template, seen).is_some(),
            },
        }
    }

    /// The template that was applied last, if its secrets have their values of then.
    fn show_applied(&self, template: &str, digest: &str) -> String {
        let now = self.keyed_digest(&self.secrets.filled(template));
        if now.as_deref() == Some(digest) {
            template.to_owned()
        } else {
            self.secrets.former(template)
        }
    }

    fn learn_cmdline(&mut self, known: &Cmdlines, seen: &str) {
        let shown = self.show(known, seen);
        if shown == seen {
            return;
        }
        for template in known.recorded.iter().chain(&known.wanted) {
            let whole = values_between(template, seen).unwrap_or_default();
            let by_word = values_by_word(template, seen).unwrap_or_default();
            let values = whole.into_iter().chain(by_word);
            for (name, value) in values.chain(values_of_words(template, seen)) {
                self.secrets.keep_former(name, value);
            }
        }
        // What the values alone do not hide.
        if self.secrets.redact(seen) != shown {
            self.secrets.keep(seen, shown);
        }
    }
}
