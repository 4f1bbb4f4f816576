//! What was seen, in words short enough to compare and to show: which facts moved between a plan and its apply.

use super::{Domain, Fact, FileKind, Inventory, RawEntry, RawFile, digest};
use crate::spec::{FleetName, Size};
use std::collections::BTreeMap;

/// So many hexadecimal digits tell two contents apart for a reader.
const DIGITS: usize = 12;

impl Inventory {
    /// Every fact that a plan for this fleet may rest on, by what it is about. Times are left out: they move without
    /// meaning anything.
    #[must_use]
    pub fn facts(&self, fleet: &FleetName) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        let version = self.libvirt.as_ref().map(|libvirt| libvirt.version_text());
        facts.insert("libvirt".to_owned(), in_words(version));
        for (path, fact) in &self.paths {
            facts.insert(path.clone(), in_words(fact.as_ref().map(file)));
        }
        match &self.domains {
            Fact::Present(domains) => {
                for (name, domain) in domains {
                    domain_facts(&mut facts, name, domain, fleet);
                }
            }
            unseen => {
                facts.insert(
                    "domains".to_owned(),
                    in_words(unseen.as_ref().map(|_| String::new())),
                );
            }
        }
        facts
    }
}

fn domain_facts(
    facts: &mut BTreeMap<String, String>,
    name: &str,
    domain: &Domain,
    fleet: &FleetName,
) {
    let mut fact =
        |what: &str, value: String| facts.insert(format!("domain {name}: {what}"), value);
    fact("owner", format!("{:?}", domain.ownership(fleet)));
    fact("state", domain.state.to_string());
    fact(
        "definition",
        in_words(domain.raw.inactive.as_ref().map(|text| short(text))),
    );
    fact(
        "running definition",
        in_words(domain.raw.live.as_ref().map(|text| short(text))),
    );
    fact("autostart", yes_or_no(domain.raw.autostart));
    fact("managed save", yes_or_no(domain.raw.managed_save));
    fact("persistent", yes_or_no(domain.raw.persistent));
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn in_words(fact: Fact<String>) -> String {
    match fact {
        Fact::Present(words) => words,
        Fact::Absent => "absent".to_owned(),
        Fact::NotObserved => "not looked at".to_owned(),
        Fact::Unreadable(why) => format!("unreadable: {why}"),
    }
}

fn short(text: &str) -> String {
    digest(text).chars().take(DIGITS).collect()
}

fn file(file: &RawFile) -> String {
    let stat = &file.stat;
    let mut words = vec![kind(stat.kind).to_owned()];
    if stat.kind == FileKind::File {
        words.push(Size::from_bytes(stat.size).to_string());
    }
    words.push(format!("{:04o} {}:{}", stat.mode, stat.uid, stat.gid));
    let contents = [
        file.sha256
            .as_deref()
            .map(|hex| hex.chars().take(DIGITS).collect()),
        file.text.as_deref().map(short),
    ];
    words.extend(
        contents
            .into_iter()
            .flatten()
            .map(|digits: String| format!("contents {digits}")),
    );
    words.extend(
        file.entries
            .as_deref()
            .map(|entries| format!("listing {}", listing(entries))),
    );
    words.join(", ")
}

const fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Folder => "folder",
        FileKind::Symlink => "symbolic link",
        FileKind::Special => "device, socket or FIFO",
    }
}

/// A digest of what is in a boot share.
fn listing(entries: &[RawEntry]) -> String {
    let line = |entry: &RawEntry| {
        let stat = &entry.stat;
        format!(
            "{:?} {} {} {:?}\n",
            entry.name,
            kind(stat.kind),
            stat.size,
            entry.link
        )
    };
    short(&entries.iter().map(line).collect::<String>())
}
