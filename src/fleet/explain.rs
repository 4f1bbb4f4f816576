//! What is to be known about the keys of a fleet file and the problems of one, for whoever asks.

use super::keys::{Absence, Effect, FILE, Key, Support, TABLES, Table};
use super::value_type::Form;
use crate::fleetfile::nearest;
use crate::problem::{HostCheck, ProblemKind};
use serde::Serialize;

/// The VM in examples.
const EXAMPLE_VM: &str = "armhf-vm";

/// Something that can be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A key of the fleet file.
    Key(KeyTopic),
    /// A kind of problem.
    Problem(ProblemTopic),
    /// A check of the host.
    HostCheck(ProblemTopic),
}

/// A key of the fleet file, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyTopic {
    /// The key in full (`boot.share`).
    pub key: String,
    /// Whose key it is (`a VM`).
    pub of: &'static str,
    /// What is to be known; `None` where this version does not do the key.
    pub about: Option<KeyText>,
}

/// What is to be known about a key.
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

/// A kind of problem or a check of the host, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemTopic {
    /// Its name, as in `error[unknown-key]` and `[free-space]`.
    pub code: &'static str,
    /// What it is, in a sentence.
    pub meaning: &'static str,
    /// Why it is a problem.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
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

/// Everything that can be explained: keys in the order of their tables, then problems, then checks of the host.
#[must_use]
pub fn topics() -> Vec<Topic> {
    let keys = TABLES
        .iter()
        .flat_map(|table| table.keys.iter().map(|key| key_topic(table, key)));
    let problems = ProblemKind::ALL.iter().map(|code| {
        Topic::Problem(ProblemTopic {
            code: code.name(),
            meaning: code.meaning(),
            why: code.why(),
            remedy: code.remedy(),
        })
    });
    let checks = HostCheck::ALL.iter().map(|check| {
        Topic::HostCheck(ProblemTopic {
            code: check.name(),
            meaning: check.meaning(),
            why: check.why(),
            remedy: check.remedy(),
        })
    });
    keys.map(Topic::Key).chain(problems).chain(checks).collect()
}

/// Explains a key or a problem. The end of a key's name will do (`cmdline`), and then there may be several; so will a key
/// as it stands in a file (`vms.armhf-vm.disks[0].path`), and a problem as it is shown (`error[unknown-key]`).
///
/// # Errors
/// When there is no such thing; with what was probably meant, if there is something near.
pub fn explain(word: &str) -> Result<Vec<Topic>, Option<String>> {
    let word = plain(word);
    let topics = topics();
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

fn key_topic(table: &Table, key: &Key) -> KeyTopic {
    let about = match key.support {
        Support::Later => None,
        Support::Done(_, meaning) => Some(KeyText {
            meaning: meaning.text,
            value: value(&meaning.form),
            default: match meaning.absence {
                Absence::Value(text) => Some(text),
                Absence::Error | Absence::Means(_) => None,
            },
            absence: match meaning.absence {
                Absence::Error => None,
                Absence::Value(text) => Some(format!("`{text}`")),
                Absence::Means(text) => Some(text.to_owned()),
            },
            effect: match meaning.effect {
                Effect::Now => "when it is applied, also while the VM runs",
                Effect::NextBoot => "when the VM next starts",
                Effect::Told(text) => text,
            },
            example: example(table, &format!("{}: {}", key.name, meaning.example)),
        }),
    };
    KeyTopic {
        key: format!("{}{}", table.prefix, key.name),
        of: table.owner,
        about,
    }
}

fn value(form: &Form) -> String {
    let described = form.described();
    match form.placeholders() {
        Some(placeholders) => format!("{described}; {placeholders}"),
        None => described,
    }
}

/// A line of a map with these keys, with all that is above it in a file.
fn example(table: &Table, line: &str) -> String {
    let mut lines = vec![line.to_owned()];
    let mut table = table;
    while let Some((parent, key, form)) = parent(table) {
        let (above, indent) = match form {
            Form::Vms(_) => (vec![format!("{key}:"), format!("  {EXAMPLE_VM}:")], 4),
            Form::Named(_, name) => (vec![format!("{key}:"), format!("  {name}:")], 4),
            Form::List(_) => (vec![format!("{key}:")], 4),
            _ => (vec![format!("{key}:")], 2),
        };
        let mut inside: Vec<String> = lines
            .iter()
            .map(|line| format!("{:indent$}{line}", ""))
            .collect();
        if let (Form::List(_), Some(first)) = (form, inside.first_mut()) {
            first.replace_range(2..3, "-");
        }
        lines = above;
        lines.append(&mut inside);
        table = parent;
    }
    lines.join("\n")
}

/// The map that maps of this table are in, and at which key.
fn parent(table: &Table) -> Option<(&'static Table, &'static str, &'static Form)> {
    if table.id == FILE.id {
        return None;
    }
    TABLES.iter().find_map(|parent| {
        let mut keys = parent.done();
        let inside = |form: &Form| form.table().is_some_and(|inner| inner.id == table.id);
        let (name, _, meaning) = keys.find(|(_, _, meaning)| inside(&meaning.form))?;
        Some((*parent, name, &meaning.form))
    })
}
