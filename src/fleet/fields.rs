//! Taking maps apart by their tables of keys.

use super::keys::{Need, Suggestion, Support, Table};
use crate::problem::{Checked, Diagnostics, ErrorReported, Problem, ProblemKind};
use crate::yaml::{Kind, Node, Value, at, describe, mend};
use std::collections::BTreeMap;
use std::ops::Range;

/// A value and the part of the text that it is from.
#[derive(Debug, Clone)]
pub(crate) struct Spanned<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it is written, or where it would be.
    pub(crate) range: Range<usize>,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, range: &Range<usize>) -> Self {
        Self {
            value,
            range: range.clone(),
        }
    }
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Field<'n> {
    /// The key in full (`boot.cmdline`).
    pub(crate) name: String,
    /// Where the key is.
    pub(crate) key: Range<usize>,
    /// The value; nothing only where the key must be given.
    pub(crate) node: &'n Node,
}

/// The fields of one map.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    table: &'static Table,
    /// Where the map's own key is.
    at: Range<usize>,
    given: BTreeMap<&'static str, Field<'n>>,
    /// Keys that seem to be there, misspelled.
    meant: BTreeMap<&'static str, ErrorReported>,
}

impl<'n> Fields<'n> {
    /// A field that may be left out.
    pub(crate) fn get(&self, name: &str) -> Option<&Field<'n>> {
        self.given.get(name)
    }

    /// A field that must be given.
    pub(crate) fn required(&self, name: &str, found: &mut Diagnostics) -> Checked<&Field<'n>> {
        self.get(name).ok_or_else(|| {
            if let Some(reported) = self.meant.get(name) {
                return *reported;
            }
            let message = format!("{} needs `{name}`", self.table.owner);
            let problem = Problem::new(ProblemKind::MissingKey, &self.at, message);
            found.report(match self.table.example(name) {
                Some(example) => problem.help(format!("add it, as in `{name}: {example}`")),
                None => problem,
            })
        })
    }
}

impl<'n> Fields<'n> {
    /// Takes in one entry of the map.
    fn take(&mut self, written: &str, key: &Node, value: &'n Node, found: &mut Diagnostics) {
        let Some(known) = self.table.find(written) else {
            return self.take_unknown(written, key, found);
        };
        let full = format!("{}{}", self.table.prefix, known.name);
        let Support::Done(need, _) = known.support else {
            let message = format!("`{full}` is not supported yet");
            found.report(at(ProblemKind::NotSupportedYet, key, message));
            return;
        };
        let empty = matches!(value.value, Value::Null);
        match need {
            Need::Name if empty => {
                let message = format!("`{full}` has no value");
                let problem = Problem::new(ProblemKind::MissingKey, &key.range, message);
                found.report(problem.help("give it one, or leave the key out"));
            }
            Need::Optional if empty => {}
            Need::Name | Need::Optional | Need::Required => {
                let field = Field {
                    name: full,
                    key: key.range.clone(),
                    node: value,
                };
                self.given.insert(known.name, field);
            }
        }
    }

    fn take_unknown(&mut self, written: &str, key: &Node, found: &mut Diagnostics) {
        let table = self.table;
        let meant = found.meant(key.range.start, || match table.suggestion(written) {
            Some(Suggestion::Here(name)) => Some(name),
            _ => None,
        });
        let reported = match found.is_told(&key.range) {
            Some(reported) => reported,
            None => found.report(self.unknown(written, key)),
        };
        self.meant.extend(meant.map(|name| (name, reported)));
    }

    fn unknown(&self, written: &str, key: &Node) -> Problem {
        let message = format!("{} has no key `{written}`", self.table.owner);
        let problem = at(ProblemKind::UnknownKey, key, message);
        match self.table.suggestion(written) {
            Some(Suggestion::Here(name)) => {
                let problem = problem.label(format!("did you mean `{name}`?"));
                mend(problem, key, name)
            }
            Some(Suggestion::Elsewhere(place)) => problem.label(place),
            None => {
                let keys = listed(self.table.supported(), "and");
                problem.help(format!("its keys are {keys}"))
            }
        }
    }
}

/// The fields of a map. `key` is where the map's own key is.
pub(crate) fn fields<'n>(
    node: &'n Node,
    key: &Range<usize>,
    table: &'static Table,
    found: &mut Diagnostics,
) -> Checked<Fields<'n>> {
    let mut fields = Fields {
        table,
        at: key.clone(),
        given: BTreeMap::new(),
        meant: BTreeMap::new(),
    };
    let entries = match &node.value {
        Value::Null => return Ok(fields),
        Value::Unreadable(reported) => return Err(*reported),
        Value::Map(entries) => entries,
        other => {
            let message = format!("{} is a map of keys, not {}", table.owner, describe(other));
            return Err(found.report(at(ProblemKind::WrongType, node, message)));
        }
    };
    let mut seen = BTreeMap::new();
    for (key, value) in entries {
        found.patience()?;
        let written = key_text(key, found);
        let new = written.and_then(|written| first_time(&mut seen, written, key, found));
        if let (Ok(written), Ok(())) = (written, new) {
            fields.take(written, key, value, found);
        }
    }
    Ok(fields)
}

/// Notes a key as seen; reports one that was seen before.
pub(crate) fn first_time<'n>(
    seen: &mut BTreeMap<&'n str, Range<usize>>,
    written: &'n str,
    key: &Node,
    found: &mut Diagnostics,
) -> Checked<()> {
    let Some(first) = seen.get(written) else {
        seen.insert(written, key.range.clone());
        return Ok(());
    };
    let problem = at(
        ProblemKind::DuplicateKey,
        key,
        format!("`{written}` is given twice"),
    )
    .label("and again here")
    .also(first, "first here")
    .help("remove one of them");
    Err(found.report(problem))
}

/// A key's text.
pub(crate) fn key_text<'n>(key: &'n Node, found: &mut Diagnostics) -> Checked<&'n str> {
    match &key.value {
        Value::Scalar(text, Kind::Text) if text == "<<" => {
            let problem = at(
                ProblemKind::MergeKey,
                key,
                "`<<` does not merge maps in a fleet file",
            )
            .help("write the keys out; an alias for a whole value (`boot: *boot`) works");
            Err(found.report(problem))
        }
        Value::Scalar(text, _) => Ok(text),
        other => {
            let message = format!("a key is a word, not {}", describe(other));
            let problem = at(ProblemKind::BadKey, key, message);
            Err(found.report(match other {
                Value::List(_) => {
                    problem.help("a range of VMs goes between quotes, as in \"[01-12]\"")
                }
                _ => problem,
            }))
        }
    }
}

/// Words between backquotes, with commas and a last `and` or `or`.
pub(crate) fn listed<'a>(words: impl Iterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((end, begin)) if !begin.is_empty() => format!("{} {last} {end}", begin.join(", ")),
        _ => words.concat(),
    }
}
