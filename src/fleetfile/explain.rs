//! Explanations of the keys of a fleet file, and of its problems.

use super::key::{Absence, Effect, Key, Map, ValueType};
use super::suggest::nearest;
use crate::problem::{HostCheck, ProblemKind, ProblemTopic};
use serde::Serialize;

const EXAMPLE_VM: &str = "armhf-vm";

/// Something that can be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A key of the fleet file.
    Key(KeyTopic),
    /// A kind of problem.
    Problem(&'static ProblemTopic),
    /// A check of the host.
    HostCheck(&'static ProblemTopic),
}

/// A key of the fleet file, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyTopic {
    /// The key in full (`boot.share`).
    pub key: String,
    /// Whose key it is (`a VM`).
    pub of: &'static str,
    /// The explanation; `None` where this version does not support the key.
    pub about: Option<KeyText>,
}

/// The explanation of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyText {
    /// What it says, in whole sentences.
    pub meaning: &'static str,
    /// What may stand there, as a part of a sentence.
    pub value: String,
    /// The value that it has when it is left out, where there is one.
    pub default: Option<&'static str>,
    /// What it means to leave it out; `None` where it must be given.
    pub absence: Option<String>,
    /// When a change does something.
    pub effect: &'static str,
    /// A piece of a fleet file with it.
    pub example: String,
}

impl Topic {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Key(topic) => &topic.key,
            Self::Problem(topic) | Self::HostCheck(topic) => topic.code,
        }
    }
}

pub(crate) fn topics(root: &'static Map) -> Vec<Topic> {
    let maps = root.all();
    let keys = maps.iter().flat_map(|map| {
        let done = map.keys.iter();
        let done = done.map(|key| (key.name, Some(key_text(&maps, map, key))));
        let planned = map.planned.iter().map(|name| (*name, None));
        done.chain(planned).map(|(name, about)| KeyTopic {
            key: format!("{}{name}", map.prefix),
            of: map.owner,
            about,
        })
    });
    let problems = ProblemKind::ALL.iter();
    let problems = problems.map(|code| Topic::Problem(code.topic()));
    let checks = HostCheck::ALL.iter();
    let checks = checks.map(|check| Topic::HostCheck(check.topic()));
    keys.map(Topic::Key).chain(problems).chain(checks).collect()
}

/// Explains a key or a problem, or gives the nearest name. A key may be given by the end of its name (`cmdline`), which may
/// be that of several, or as it stands in a file (`vms.armhf-vm.disks[0].path`); a problem as it is shown
/// (`error[unknown-key]`).
pub(crate) fn explain(root: &'static Map, word: &str) -> Result<Vec<Topic>, Option<String>> {
    let word = plain(word);
    let topics = topics(root);
    let found = |wanted: &dyn Fn(&str) -> bool| -> Vec<Topic> {
        let found = topics.iter().filter(|topic| wanted(topic.name()));
        found.cloned().collect()
    };
    let ends = format!(".{word}");
    let mut tries = vec![
        found(&|name| name == word),
        found(&|name| name.ends_with(&ends)),
    ];
    if let Some(below) = word.strip_prefix("vms.") {
        // A VM's name may have dots, too; what is after the first that leaves a key is the key.
        let rests = below.match_indices('.').map(|(at, _)| &below[at + 1..]);
        tries.extend(rests.map(|rest| found(&|name| name == rest)));
    }
    match tries.into_iter().find(|found| !found.is_empty()) {
        Some(found) => Ok(found),
        None => Err(near(&word, &topics)),
    }
}

/// The word without what surrounds it in messages, and without places in lists.
fn plain(word: &str) -> String {
    let word = word.trim().trim_end_matches(':').trim_matches('`');
    let code = word
        .strip_prefix("error[")
        .or(word.strip_prefix('['))
        .and_then(|rest| rest.strip_suffix(']'));
    let word = code.unwrap_or(word);
    let mut parts = word.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        plain + part.split_once(']').map_or(part, |(_, rest)| rest)
    })
}

fn near(word: &str, topics: &[Topic]) -> Option<String> {
    let names = topics.iter().map(Topic::name);
    let ends = names.clone().filter_map(|name| name.rsplit('.').next());
    nearest(word, ends.chain(names)).map(str::to_owned)
}

pub(super) fn key_text(maps: &[&'static Map], map: &'static Map, key: &Key) -> KeyText {
    let value_type = key.value_type;
    let described = value_type.described();
    let (default, absence) = match key.absence {
        Absence::Error => (None, None),
        Absence::Value(text) => (Some(text), Some(format!("`{text}`"))),
        Absence::Means(text) => (None, Some(text.to_owned())),
    };
    KeyText {
        meaning: key.text.trim_start(),
        value: match value_type.placeholders() {
            Some(placeholders) => format!("{described}; {placeholders}"),
            None => described,
        },
        default,
        absence,
        effect: match key.effect {
            Effect::Now => "when it is applied, also while the VM runs",
            Effect::NextBoot => "when the VM next starts",
            Effect::Described(text) => text,
        },
        example: example(maps, map, &format!("{}: {}", key.name, key.example)),
    }
}

/// A line of a map with these keys, with all that is above it in a file.
fn example(maps: &[&'static Map], map: &'static Map, line: &str) -> String {
    let mut text = line.to_owned();
    let mut map = map;
    while let Some((parent, key, value_type)) = parent(maps, map) {
        let (above, first, others) = match value_type {
            ValueType::Entries(_) => (format!("{key}:\n  {EXAMPLE_VM}:"), "    ", "    "),
            ValueType::Named(_, name) => (format!("{key}:\n  {name}:"), "    ", "    "),
            ValueType::List(_) => (format!("{key}:"), "  - ", "    "),
            _ => (format!("{key}:"), "  ", "  "),
        };
        let inside = text.replace('\n', &format!("\n{others}"));
        text = format!("{above}\n{first}{inside}");
        map = parent;
    }
    text
}

/// The map that maps of this kind are in, at which key, and as what.
fn parent(maps: &[&'static Map], map: &Map) -> Option<(&'static Map, &'static str, ValueType)> {
    let mut above = maps
        .iter()
        .flat_map(|parent| parent.keys.iter().map(|key| (*parent, key)));
    let inside = |key: &Key| key.value_type.map().is_some_and(|inner| inner.id == map.id);
    let (parent, key) = above.find(|(_, key)| inside(key))?;
    Some((parent, key.name, key.value_type))
}
