//! The values of a file, each with its place.

use crate::problem::{ErrorReported, Problem, ProblemKind};
use std::ops::Range;
use std::rc::Rc;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) range: Range<usize>,
    /// The alias through which the value is used here, where it is.
    pub(crate) alias: Option<Range<usize>>,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A text whose placeholders stand for something that could not be read.
    Unreadable(ErrorReported),
    /// Anything that is not a map or a list: its text and what YAML takes that for.
    Scalar(String, Kind),
    List(Rc<[Node]>),
    /// Keys and values in the order of the file, equal keys included.
    Map(Rc<[(Node, Node)]>),
}

/// What YAML takes a scalar for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool(bool),
    /// A whole number that is not negative.
    Whole(u64),
    Number,
    Text,
}

/// So many bytes of text count as a value.
const VALUE_LENGTH: usize = 64;

impl Value {
    /// How many values it counts as by itself.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Scalar(text, _) => 1 + text.len() / VALUE_LENGTH,
            _ => 1,
        }
    }
}

impl Kind {
    /// What YAML takes a text for that was put in the place of a placeholder.
    pub(crate) fn of(text: &str) -> Self {
        match (text.parse(), text.parse()) {
            (Ok(number), _) => Self::Whole(number),
            (_, Ok(truth)) => Self::Bool(truth),
            _ => Self::Text,
        }
    }
}

impl Node {
    pub(crate) const fn new(range: Range<usize>, value: Value) -> Self {
        Self {
            range,
            alias: None,
            value,
        }
    }

    /// The value of a key, if this is a map that has it.
    pub(crate) fn entry(&self, name: &str) -> Option<&(Self, Self)> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|(key, _)| key.is(name))
    }

    /// The same place, with something else there.
    pub(crate) fn with(&self, value: Value) -> Self {
        Self {
            range: self.range.clone(),
            alias: self.alias.clone(),
            value,
        }
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(&self.value, Value::Scalar(text, _) if text == word)
    }

    /// The part of the files that this and everything in it stands in. What is used through an alias stands elsewhere.
    pub(crate) fn extent(&self) -> Range<usize> {
        if let Some(alias) = &self.alias {
            return alias.clone();
        }
        let end = match &self.value {
            Value::List(entries) => entries.last().map(|entry| entry.extent().end),
            Value::Map(entries) => entries.last().map(|(_, value)| value.extent().end),
            _ => None,
        };
        self.range.start..end.unwrap_or_default().max(self.range.end)
    }
}

/// A problem with a value; where the value is used through an alias, that place is shown, too.
pub(crate) fn at(code: ProblemKind, node: &Node, message: impl Into<String>) -> Problem {
    let problem = Problem::new(code, &node.range, message);
    match &node.alias {
        Some(alias) if *alias != node.range => problem.also(alias, "used here"),
        _ => problem,
    }
}

/// Proposes to write something else for a value; not where it is used through an alias, for others use it, too.
pub(crate) fn mend(problem: Problem, node: &Node, replacement: &str) -> Problem {
    match node.alias {
        Some(_) => problem,
        None => problem.fix(replacement),
    }
}

/// Suggests a word for a value, and proposes to write it.
pub(crate) fn suggest(problem: Problem, node: &Node, word: &str) -> Problem {
    mend(problem.label(format!("did you mean `{word}`?")), node, word)
}

/// What a value is, as a part of a sentence.
pub(crate) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null | Value::Unreadable(_) => "nothing",
        Value::Scalar(_, Kind::Bool(_)) => "`true` or `false`",
        Value::Scalar(_, Kind::Whole(_) | Kind::Number) => "a number",
        Value::Scalar(_, Kind::Text) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
