//! What was seen, by what it is about, in values short enough to compare and to show: which facts moved between a plan and
//! its apply.

use super::{Domain, Fact, FileKind, Inventory, Ownership, RawEntry, RawFile, digest};
use crate::values::{FleetName, Size, ageless};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was seen of each path and domain.
pub type Facts = BTreeMap<String, SeenFact>;

/// What was seen of one path or domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenFact {
    /// What it is: `file`, `absent`, `defined`.
    pub kind: String,
    /// Its values, by what they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// SHA-256 of what is too long to be shown, by what that is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, String>,
}

impl SeenFact {
    fn of(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            ..Self::default()
        }
    }

    /// What is known of a thing that is not there.
    #[must_use]
    pub fn absent() -> Self {
        Self::of("absent")
    }

    fn value(mut self, what: &str, value: impl ToString) -> Self {
        self.values.insert(what.to_owned(), value.to_string());
        self
    }

    fn digest(mut self, what: &str, text: Option<&str>) -> Self {
        // Which value of a variable is the former one depends on the environment, not on the host.
        let digest = text.map(|text| (what.to_owned(), digest(&ageless(text))));
        self.digests.extend(digest);
        self
    }
}

impl Inventory {
    /// Every fact that a plan for this fleet may rest on, by what it is about; `properties` reads a domain's definition.
    /// Times are left out: they move without meaning anything.
    #[must_use]
    pub fn facts(
        &self,
        fleet: &FleetName,
        properties: fn(&str) -> BTreeMap<String, String>,
    ) -> Facts {
        let libvirt = self.libvirt.as_ref();
        let libvirt = seen(libvirt.map(|libvirt| {
            let fact = SeenFact::of(libvirt.version_text());
            match libvirt.bits32_words() {
                Some(words) => fact.value("guests of 32 bits", words),
                None => fact,
            }
        }));
        let mut facts = Facts::from([("libvirt".to_owned(), libvirt)]);
        facts.extend(self.network_facts());
        let paths = self.paths.iter();
        facts.extend(paths.map(|(path, fact)| (path.clone(), seen(fact.as_ref().map(file)))));
        match &self.domains {
            Fact::Present(domains) => facts.extend(domains.iter().map(|(name, domain)| {
                let fact = domain_fact(domain, fleet, properties);
                (format!("domain {name}"), fact)
            })),
            unseen => {
                let unseen = seen(unseen.as_ref().map(|_| SeenFact::default()));
                facts.insert("domains".to_owned(), unseen);
            }
        }
        facts
    }
}

/// How the network devices that libvirt makes for domains begin (`virNetDevGenNameType`): each start makes others.
const MADE_FOR_DOMAINS: [&str; 3] = ["vnet", "macvtap", "macvlan"];

impl Inventory {
    /// What interfaces may be on.
    fn network_facts(&self) -> Facts {
        let networks = self.networks.present().into_iter().flatten();
        let networks = networks.map(|network| {
            let state = if network.active {
                "active"
            } else {
                "not active"
            };
            let fact = SeenFact::of("defined").value("state", state);
            (format!("network {}", network.name), fact)
        });
        let links = self.links.present().into_iter().flatten();
        let links = links.filter(|link| {
            !MADE_FOR_DOMAINS
                .iter()
                .any(|made| link.name.starts_with(made))
        });
        let links = links.map(|link| {
            let kind = if link.bridge { "bridge" } else { "device" };
            (format!("network device {}", link.name), SeenFact::of(kind))
        });
        networks.chain(links).collect()
    }
}

fn domain_fact(
    domain: &Domain,
    fleet: &FleetName,
    properties: fn(&str) -> BTreeMap<String, String>,
) -> SeenFact {
    let raw = &domain.raw;
    let kind = if raw.persistent {
        "defined"
    } else {
        "transient"
    };
    let owner = domain.ownership(fleet);
    let mut fact = SeenFact::of(kind)
        .value("owner", in_words(&owner))
        .value("state", domain.state)
        .value("autostart", yes_or_no(raw.autostart))
        .value("managed save", yes_or_no(raw.managed_save));
    let (inactive, live) = (raw.inactive.present(), raw.live.present());
    if matches!(owner, Ownership::Ours(_) | Ownership::Renamed(_)) {
        fact.values
            .extend(properties(inactive.map_or("", |text| text)));
    }
    fact.digest(
        "other parts of its definition",
        inactive.map(String::as_str),
    )
    .digest("running definition", live.map(String::as_str))
}

fn in_words(owner: &Ownership) -> String {
    match owner {
        Ownership::Ours(_) => "this fleet".to_owned(),
        Ownership::Renamed(vm) => format!("this fleet, as {vm}"),
        Ownership::CopiedMark => "foreign, with a copied mark".to_owned(),
        Ownership::OtherFleet(fleet) => format!("fleet {fleet}"),
        Ownership::RenamedOfOther { fleet, vm } => format!("fleet {fleet}, as {vm}"),
        Ownership::Unmarked => "foreign".to_owned(),
        Ownership::Unknown(why) => format!("unknown: {why}"),
    }
}

const fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn seen(fact: Fact<SeenFact>) -> SeenFact {
    match fact {
        Fact::Present(fact) => fact,
        Fact::Absent => SeenFact::absent(),
        Fact::NotObserved => SeenFact::of("not looked at"),
        Fact::Unreadable(why) => SeenFact::of(format!("unreadable: {why}")),
    }
}

fn file(file: &RawFile) -> SeenFact {
    let stat = &file.stat;
    let mut fact = SeenFact::of(kind(stat.kind))
        .value("mode", format_args!("{:04o}", stat.mode))
        .value("owner", format_args!("{}:{}", stat.uid, stat.gid));
    if stat.kind == FileKind::File {
        fact = fact.value("size", Size::from_bytes(stat.size));
    }
    if let Some(writers) = &stat.acl {
        let writers: Vec<_> = writers.iter().map(|writer| writer.describe(None)).collect();
        fact = fact.value("access control list", writers.join(", "));
    }
    let contents = file.sha256.as_deref().or(file.text.as_deref());
    let entries = file.entries.as_deref().map(listing);
    fact.digest("contents", contents)
        .digest("listing", entries.as_deref())
}

const fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Folder => "folder",
        FileKind::Symlink => "symbolic link",
        FileKind::Special => "device, socket or FIFO",
    }
}

/// What is in a boot share.
fn listing(entries: &[RawEntry]) -> String {
    let line = |entry: &RawEntry| {
        let stat = &entry.stat;
        format!(
            "{:?} {} {} {:?}\n",
            entry.name,
            kind(stat.kind),
            stat.size,
            entry.entry()
        )
    };
    entries.iter().map(line).collect()
}
