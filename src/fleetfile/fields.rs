//! Taking maps apart by the declarations of their keys.

use super::key::{Key, Map, Suggestion};
use crate::problem::{Checked, Diagnostics, ErrorReported, Problem, ProblemKind};
use crate::values::VmName;
use crate::yaml::{Kind, Node, Sources, Value, at, describe, suggest};
use std::collections::BTreeMap;
use std::ops::Range;

/// A value and the part of the text that it is from, or would be in.
#[derive(Debug, Clone)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) range: Range<usize>,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, range: &Range<usize>) -> Self {
        let range = range.clone();
        Self { value, range }
    }
}

/// What a value is read with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) found: &'a Diagnostics,
    /// The map that the language begins with.
    pub(crate) root: &'static Map,
    /// The name of the VM that the value is for, and where it is declared.
    pub(crate) vm: Option<Checked<&'a Spanned<VmName>>>,
}

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
    /// The map that the key is missing in, if the value stands for an absent one.
    pub(crate) missing_in: Option<&'static Map>,
    pub(crate) scope: Scope<'n>,
}

impl<'n> Field<'n> {
    /// A map that is not the value of a key, such as a VM with all its layers.
    pub(crate) fn of_map(key: &Range<usize>, node: &'n Node, scope: Scope<'n>) -> Self {
        Self {
            name: String::new(),
            example: "",
            key: key.clone(),
            node,
            missing_in: None,
            scope,
        }
    }

    pub(crate) fn problem(&self, code: ProblemKind, message: impl Into<String>) -> Problem {
        at(code, self.node, message)
    }

    pub(crate) fn report(&self, problem: Problem) -> ErrorReported {
        problem.report(self.scope.found)
    }

    /// Reports a value of the wrong shape, or none.
    pub(crate) fn wrong_type(&self, wanted: &str) -> ErrorReported {
        let name = &self.name;
        let not = match &self.node.value {
            Value::Unreadable(reported) => return *reported,
            Value::Null => {
                let message = format!("`{name}` has no value");
                let problem = Problem::new(ProblemKind::MissingKey, &self.key, message);
                return self.report(problem.help(format!("give it one: `{name}` is {wanted}")));
            }
            Value::Map(entries) if is_placeholder(entries) => {
                let message = format!("`{name}` is {wanted}, and without quotes this is a map");
                let problem = self.problem(ProblemKind::WrongType, message);
                return self
                    .report(problem.help("put a value that begins with `{` between quotes"));
            }
            Value::Scalar(text, _) if text.is_empty() => "an empty text",
            Value::Scalar(text, _) => &format!("`{text}`"),
            other => describe(other),
        };
        let message = format!("`{name}` is {wanted}, not {not}");
        self.report(self.problem(ProblemKind::WrongType, message))
    }

    /// The entries of a map from names.
    pub(crate) fn entries(
        &self,
        wanted: &str,
    ) -> Checked<impl Iterator<Item = (&'n str, &'n Node, &'n Node)>> {
        match &self.node.value {
            Value::Null => Ok(entries(&[], self.scope.found)),
            Value::Map(map) => Ok(entries(map, self.scope.found)),
            Value::List(_) => {
                let message = format!("`{}` is {wanted}, not a list", self.name);
                let problem = self.problem(ProblemKind::WrongType, message);
                Err(self.report(problem.help("write each entry as `NAME: …`, without a `-`")))
            }
            _ => Err(self.wrong_type(wanted)),
        }
    }
}

/// `{name}` without quotes is a map with one key that has no value.
fn is_placeholder(entries: &[(Node, Node)]) -> bool {
    matches!(entries, [(_, value)] if matches!(value.value, Value::Null))
}

/// The entries of a map whose keys are words, each with its word; what else there is, and what is given twice, is reported.
fn entries<'n>(
    map: &'n [(Node, Node)],
    found: &'n Diagnostics,
) -> impl Iterator<Item = (&'n str, &'n Node, &'n Node)> {
    let mut seen = BTreeMap::new();
    let patient = map.iter().take_while(|_| found.patience().is_ok());
    patient.filter_map(move |(key, value)| {
        let written = key_text(key, found).ok()?;
        let Some(first) = seen.get(written) else {
            seen.insert(written, &key.range);
            return Some((written, key, value));
        };
        at(
            ProblemKind::DuplicateKey,
            key,
            format!("`{written}` is given twice"),
        )
        .label("and again here")
        .also(first, "first here")
        .help("remove one of them")
        .report(found);
        None
    })
}

fn key_text<'n>(key: &'n Node, found: &Diagnostics) -> Checked<&'n str> {
    let problem = match &key.value {
        Value::Scalar(text, Kind::Text) if text == "<<" => {
            let message = "`<<` does not merge maps in a fleet file";
            let help = "write the keys out; an alias for a whole value (`boot: *boot`) works";
            at(ProblemKind::MergeKey, key, message).help(help)
        }
        Value::Scalar(text, _) => return Ok(text),
        other => {
            let message = format!("a key is a word, not {}", describe(other));
            let problem = at(ProblemKind::BadKey, key, message);
            match other {
                Value::List(_) => {
                    problem.help("a range of VMs goes between quotes, as in \"[01-12]\"")
                }
                _ => problem,
            }
        }
    };
    Err(problem.report(found))
}

#[derive(Debug)]
pub(crate) struct Fields<'n> {
    pub(crate) map: &'static Map,
    pub(crate) of: Field<'n>,
    given: BTreeMap<&'static str, Field<'n>>,
    /// Keys that seem to be there, misspelled.
    meant: BTreeMap<&'static str, ErrorReported>,
}

impl<'n> Fields<'n> {
    /// The fields of a value that is a map with these keys.
    pub(crate) fn read(field: &Field<'n>, map: &'static Map) -> Checked<Self> {
        let mut fields = Fields {
            map,
            of: field.clone(),
            given: BTreeMap::new(),
            meant: BTreeMap::new(),
        };
        match &field.node.value {
            Value::Null => {}
            Value::Unreadable(reported) => return Err(*reported),
            Value::Map(map) => {
                for (written, key, value) in entries(map, field.scope.found) {
                    fields.take(written, key, value);
                }
            }
            other => {
                let message = format!("{} is a map of keys, not {}", map.owner, describe(other));
                let problem = field.problem(ProblemKind::WrongType, message);
                return Err(field.report(problem.help(format!("write {}", map.example()))));
            }
        }
        Ok(fields)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Field<'n>> {
        self.given.get(name)
    }

    pub(crate) fn required(&self, name: &str) -> Checked<&Field<'n>> {
        let key = self.map.find(name).ok_or(Diagnostics::left_open())?;
        self.get(name).ok_or_else(|| self.missing(key))
    }

    pub(crate) fn missing(&self, key: &Key) -> ErrorReported {
        if let Some(reported) = self.meant.get(key.name) {
            return *reported;
        }
        let (name, example) = (key.name, key.example);
        let (message, entry) = match self.of.missing_in {
            None => (
                format!("{} needs `{name}`", self.map.owner),
                format!("{name}: {example}"),
            ),
            Some(above) => (
                format!("{} needs `{}{name}`", above.owner, self.map.prefix),
                format!("{}: {{ {name}: {example} }}", self.map.id),
            ),
        };
        let problem = Problem::new(ProblemKind::MissingKey, &self.of.key, message);
        self.of
            .report(problem.help(format!("add it, as in `{entry}`")))
    }

    fn take(&mut self, written: &str, key: &Node, value: &'n Node) {
        let name = format!("{}{written}", self.map.prefix);
        if self.map.planned.contains(&written) {
            let message = format!("`{name}` is not supported yet");
            self.of
                .report(at(ProblemKind::NotSupportedYet, key, message));
            return;
        }
        let Some(known) = self.map.find(written) else {
            return self.take_unknown(written, key);
        };
        if known.is_required() || !matches!(value.value, Value::Null) {
            let field = Field {
                name,
                example: known.example,
                ..Field::of_map(&key.range, value, self.of.scope)
            };
            self.given.insert(known.name, field);
        } else if known.is_name() {
            let message = format!("`{name}` has no value");
            let problem = Problem::new(ProblemKind::MissingKey, &key.range, message);
            self.of
                .report(problem.help("give it one, or leave the key out"));
        }
    }

    fn take_unknown(&mut self, written: &str, key: &Node) {
        let Scope { found, root, .. } = self.of.scope;
        let map = self.map;
        let meant = found.meant(key.range.start, || match map.suggestion(written, root) {
            Some(Suggestion::Here(name)) => Some(name),
            _ => None,
        });
        let report = || self.unknown(written, key).report(found);
        let reported = found.is_told(&key.range).unwrap_or_else(report);
        self.meant.extend(meant.map(|name| (name, reported)));
    }

    fn unknown(&self, written: &str, key: &Node) -> Problem {
        let message = format!("{} has no key `{written}`", self.map.owner);
        let problem = at(ProblemKind::UnknownKey, key, message);
        match self.map.suggestion(written, self.of.scope.root) {
            Some(Suggestion::Here(name)) => suggest(problem, key, name),
            Some(Suggestion::Elsewhere(place)) => problem.label(place),
            None => {
                let keys = listed(self.map.names(), "and");
                problem.help(format!("its keys are {keys}"))
            }
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
