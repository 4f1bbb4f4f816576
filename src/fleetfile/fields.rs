//! Taking maps apart by the declarations of their keys.

use super::key::{Key, Map, Need, Suggestion};
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
    /// A value, on one line.
    pub(crate) example: &'static str,
    /// Where the key is.
    pub(crate) key: Range<usize>,
    /// The value; nothing only where the key must be given.
    pub(crate) node: &'n Node,
    /// The map in which the key is not given: then there is nothing in the value.
    pub(crate) missing_in: Option<&'static Map>,
}

impl<'n> Field<'n> {
    /// A map that is no other's, such as a VM with all its layers.
    pub(crate) fn of_map(key: &Range<usize>, node: &'n Node) -> Self {
        Self {
            name: String::new(),
            example: "",
            key: key.clone(),
            node,
            missing_in: None,
        }
    }
}

/// The fields of one map.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    pub(crate) map: &'static Map,
    /// Where the map's own key is.
    pub(crate) at: Range<usize>,
    missing_in: Option<&'static Map>,
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
        match (self.get(name), self.map.find(name)) {
            (Some(field), _) => Ok(field),
            (None, Some(key)) => Err(self.missing(key, found)),
            (None, None) => Err(Diagnostics::left_open()),
        }
    }

    /// Reports that a key must be given.
    pub(crate) fn missing(&self, key: &Key, found: &mut Diagnostics) -> ErrorReported {
        if let Some(reported) = self.meant.get(key.name) {
            return *reported;
        }
        let (name, example) = (key.name, key.example);
        let (message, entry) = match self.missing_in {
            None => (
                format!("{} needs `{name}`", self.map.owner),
                format!("{name}: {example}"),
            ),
            Some(above) => (
                format!("{} needs `{}{name}`", above.owner, self.map.prefix),
                format!("{}: {{ {name}: {example} }}", self.map.id),
            ),
        };
        let problem = Problem::new(ProblemKind::MissingKey, &self.at, message);
        found.report(problem.help(format!("add it, as in `{entry}`")))
    }

    /// Takes in one entry of the map.
    fn take(
        &mut self,
        written: &str,
        key: &Node,
        value: &'n Node,
        root: &'static Map,
        found: &mut Diagnostics,
    ) {
        let full = format!("{}{written}", self.map.prefix);
        if self.map.planned.contains(&written) {
            let message = format!("`{full}` is not supported yet");
            found.report(at(ProblemKind::NotSupportedYet, key, message));
            return;
        }
        let Some(known) = self.map.find(written) else {
            return self.take_unknown(written, key, root, found);
        };
        let empty = matches!(value.value, Value::Null);
        match known.need {
            Need::Name if empty => {
                let message = format!("`{full}` has no value");
                let problem = Problem::new(ProblemKind::MissingKey, &key.range, message);
                found.report(problem.help("give it one, or leave the key out"));
            }
            Need::Optional if empty => {}
            Need::Name | Need::Optional | Need::Required => {
                let field = Field {
                    name: full,
                    example: known.example,
                    key: key.range.clone(),
                    node: value,
                    missing_in: None,
                };
                self.given.insert(known.name, field);
            }
        }
    }

    fn take_unknown(
        &mut self,
        written: &str,
        key: &Node,
        root: &'static Map,
        found: &mut Diagnostics,
    ) {
        let map = self.map;
        let meant = found.meant(key.range.start, || match map.suggestion(written, root) {
            Some(Suggestion::Here(name)) => Some(name),
            _ => None,
        });
        let reported = match found.is_told(&key.range) {
            Some(reported) => reported,
            None => found.report(self.unknown(written, key, root)),
        };
        self.meant.extend(meant.map(|name| (name, reported)));
    }

    fn unknown(&self, written: &str, key: &Node, root: &'static Map) -> Problem {
        let message = format!("{} has no key `{written}`", self.map.owner);
        let problem = at(ProblemKind::UnknownKey, key, message);
        match self.map.suggestion(written, root) {
            Some(Suggestion::Here(name)) => {
                let problem = problem.label(format!("did you mean `{name}`?"));
                mend(problem, key, name)
            }
            Some(Suggestion::Elsewhere(place)) => problem.label(place),
            None => {
                let keys = listed(self.map.names(), "and");
                problem.help(format!("its keys are {keys}"))
            }
        }
    }
}

/// The fields of a map, in a language that begins with the map `root`.
pub(crate) fn fields<'n>(
    field: &Field<'n>,
    map: &'static Map,
    root: &'static Map,
    found: &mut Diagnostics,
) -> Checked<Fields<'n>> {
    let node = field.node;
    let mut fields = Fields {
        map,
        at: field.key.clone(),
        missing_in: field.missing_in,
        given: BTreeMap::new(),
        meant: BTreeMap::new(),
    };
    let entries = match &node.value {
        Value::Null => return Ok(fields),
        Value::Unreadable(reported) => return Err(*reported),
        Value::Map(entries) => entries,
        other => {
            let message = format!("{} is a map of keys, not {}", map.owner, describe(other));
            return Err(found.report(at(ProblemKind::WrongType, node, message)));
        }
    };
    let mut seen = BTreeMap::new();
    for (key, value) in entries {
        found.patience()?;
        let written = key_text(key, found);
        let new = written.and_then(|written| first_time(&mut seen, written, key, found));
        if let (Ok(written), Ok(())) = (written, new) {
            fields.take(written, key, value, root, found);
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

/// Reports a value of the wrong shape, or none.
pub(crate) fn wrong_type(
    field: &Field<'_>,
    wanted: &str,
    found: &mut Diagnostics,
) -> ErrorReported {
    let name = &field.name;
    found.report(match &field.node.value {
        Value::Unreadable(reported) => return *reported,
        Value::Null => Problem::new(
            ProblemKind::MissingKey,
            &field.key,
            format!("`{name}` has no value"),
        )
        .help(format!("give it one: `{name}` is {wanted}")),
        Value::Scalar(text, _) if text.is_empty() => {
            let message = format!("`{name}` is {wanted}, not an empty text");
            at(ProblemKind::WrongType, field.node, message)
        }
        Value::Scalar(text, _) => {
            let message = format!("`{name}` is {wanted}, not `{text}`");
            at(ProblemKind::WrongType, field.node, message)
        }
        Value::Map(entries) if is_placeholder(entries) => {
            let message = format!("`{name}` is {wanted}, and without quotes this is a map");
            at(ProblemKind::WrongType, field.node, message)
                .help("put a value that begins with `{` between quotes")
        }
        other => {
            let message = format!("`{name}` is {wanted}, not {}", describe(other));
            at(ProblemKind::WrongType, field.node, message)
        }
    })
}

/// `{name}` without quotes is a map with one key that has no value.
fn is_placeholder(entries: &[(Node, Node)]) -> bool {
    matches!(entries, [(_, value)] if matches!(value.value, Value::Null))
}

/// Words between backquotes, with commas and a last `and` or `or`.
pub(crate) fn listed<'a>(words: impl Iterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((end, begin)) if !begin.is_empty() => format!("{} {last} {end}", begin.join(", ")),
        _ => words.concat(),
    }
}
