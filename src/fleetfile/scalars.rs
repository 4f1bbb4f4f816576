//! Taking scalars for what their keys want.

use super::fields::{Field, listed};
use super::key::ValueType;
use super::readable::Scalar;
use super::suggest::nearest;
use crate::problem::{Checked, ErrorReported, Problem, ProblemKind};
use crate::values::{
    Cmdline, CpuModel, CpuSet, DiskName, DiskTarget, FleetName, HostPath, LinkName, MacAddress,
    MachineName, NetworkName, Serial, ShareTag, Size, Unacceptable, parse_duration,
};
use crate::yaml::{Kind, Value, mend, suggest};
use std::time::Duration;

/// The longest text, in bytes: twice the longest path.
pub(crate) const LONGEST: usize = 8192;

#[derive(Clone, Copy)]
pub(crate) struct Words<'w, T> {
    pub(crate) known: &'w [(&'static str, T)],
    /// Words that belong to the language, but that this version does not do.
    pub(crate) planned: &'w [&'static str],
    pub(crate) also_called: &'w [(&'static str, &'static str)],
}

impl<'n> Field<'n> {
    /// A text; `wanted` is what it stands for.
    pub(crate) fn text(&self, wanted: &str) -> Checked<&'n str> {
        match &self.node.value {
            Value::Scalar(text, _) if text.len() > LONGEST => {
                let (name, length) = (&self.name, text.len());
                let message =
                    format!("`{name}` has {length} bytes, and no text has more than {LONGEST}");
                Err(self.report(self.problem(ProblemKind::WrongValue, message)))
            }
            Value::Scalar(text, _) => Ok(text),
            _ => Err(self.wrong_type(wanted)),
        }
    }

    fn parsed<T>(
        &self,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, Unacceptable>,
    ) -> Checked<T> {
        match self.text(wanted)? {
            "" => Err(self.wrong_type(wanted)),
            text => self.accept(parse(text)),
        }
    }

    /// The parsed value, or the report of why there is none.
    pub(crate) fn accept<T>(&self, parsed: Result<T, Unacceptable>) -> Checked<T> {
        parsed.map_err(|why| self.report(self.problem(ProblemKind::WrongValue, why.0)))
    }

    pub(crate) fn word<T: Copy>(&self, words: Words<'_, T>) -> Checked<T> {
        let written = self.text("a word")?;
        match words.known.iter().find(|(word, _)| *word == written) {
            Some((_, value)) => Ok(*value),
            None if words.planned.contains(&written) => Err(self.later(written)),
            None => Err(self.report(self.unknown_word(written, words))),
        }
    }

    /// Reports a value that the language has and this version does not do.
    pub(crate) fn later(&self, written: &str) -> ErrorReported {
        let message = format!("`{}: {written}` is not supported yet", self.name);
        self.report(self.problem(ProblemKind::NotSupportedYet, message))
    }

    fn unknown_word<T>(&self, written: &str, words: Words<'_, T>) -> Problem {
        let known = words.known.iter().map(|(word, _)| *word);
        let mut others = words.also_called.iter();
        let meant = others
            .find(|(other, _)| *other == written)
            .map(|(_, word)| *word)
            .or_else(|| nearest(written, known.clone().chain(words.planned.iter().copied())));
        let known = listed(known, "or");
        let message = format!("`{}` is {known}, not `{written}`", self.name);
        let problem = self.problem(ProblemKind::WrongValue, message);
        match meant {
            Some(word) => suggest(problem, self.node, word),
            None => problem,
        }
    }

    pub(crate) fn whole(&self) -> Checked<u64> {
        let meant = match &self.node.value {
            Value::Scalar(_, Kind::Whole(value)) => return Ok(*value),
            // Between quotes, or with a 0 before it.
            Value::Scalar(text, Kind::Text) => text.parse::<u64>().ok(),
            _ => None,
        };
        Err(self.misread(meant, "a number, and this is a text", "a whole number"))
    }

    /// Reports a value of the wrong shape, and proposes `meant` where that is known.
    pub(crate) fn misread<T: ToString>(
        &self,
        meant: Option<T>,
        is: &str,
        wanted: &str,
    ) -> ErrorReported {
        let Some(meant) = meant.map(|meant| meant.to_string()) else {
            return self.wrong_type(wanted);
        };
        let problem = self.problem(ProblemKind::WrongType, format!("`{}` is {is}", self.name));
        let problem = problem.label(format!("write {meant}"));
        self.report(mend(problem, self.node, &meant))
    }
}

/// What YAML 1.1 and people call true and false.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" | "1" | "enabled" => Some(true),
        "no" | "off" | "n" | "false" | "0" | "disabled" => Some(false),
        _ => None,
    }
}

impl Scalar for bool {
    type Value = Self;
    const TYPE: ValueType = ValueType::Boolean;
    fn scalar(field: &Field<'_>) -> Checked<Self> {
        let meant = match &field.node.value {
            Value::Scalar(_, Kind::Bool(value)) => return Ok(*value),
            Value::Scalar(text, _) => truth(text),
            _ => None,
        };
        Err(field.misread(meant, "`true` or `false`", "`true` or `false`"))
    }
}

impl Scalar for Size {
    type Value = Self;
    const TYPE: ValueType = ValueType::Size;
    fn scalar(field: &Field<'_>) -> Checked<Self> {
        let wanted = format!("a size, as in {}", field.example);
        let text = field.text(&wanted)?;
        match (text.parse::<Self>(), Self::meant(text)) {
            (Err(why), Some(meant)) => {
                let problem = field.problem(ProblemKind::WrongValue, why.0);
                Err(field.report(mend(problem, field.node, &meant)))
            }
            _ => field.parsed(&wanted, str::parse),
        }
    }
}

impl Scalar for Duration {
    type Value = Self;
    const TYPE: ValueType = ValueType::Duration;
    fn scalar(field: &Field<'_>) -> Checked<Self> {
        let wanted = format!("a duration, as in {}", field.example);
        field.parsed(&wanted, parse_duration)
    }
}

/// Names: all have the same rule.
macro_rules! name {
    ($name:ty) => {
        impl Scalar for $name {
            type Value = Self;
            const TYPE: ValueType = ValueType::Name;
            fn scalar(field: &Field<'_>) -> Checked<Self> {
                field.parsed("a name", str::parse)
            }
        }
    };
}

name!(FleetName);
name!(MachineName);
name!(DiskName);
name!(DiskTarget);
name!(Serial);
name!(CpuModel);
name!(NetworkName);
name!(ShareTag);
name!(LinkName);

impl Scalar for MacAddress {
    type Value = Self;
    const TYPE: ValueType = ValueType::Mac;
    fn scalar(field: &Field<'_>) -> Checked<Self> {
        field.parsed("a MAC address", str::parse)
    }
}

impl Scalar for CpuSet {
    type Value = Self;
    const TYPE: ValueType = ValueType::Cpus;
    fn scalar(field: &Field<'_>) -> Checked<Self> {
        field.parsed("a set of CPUs, as in 0-3", str::parse)
    }
}

impl Scalar for HostPath {
    type Value = Self;
    const TYPE: ValueType = ValueType::HostPath;
    fn scalar(field: &Field<'_>) -> Checked<Self> {
        let text = field.text("a path")?;
        if text.starts_with('/') {
            return field.accept(text.parse());
        }
        let message = format!("`{}` is an absolute path, not `{text}`", field.name);
        let problem = field.problem(ProblemKind::WrongValue, message);
        Err(field.report(problem.help("it is a path on the VM's host: begin it with `/`")))
    }
}

/// A path on the VM's host, or one beside the fleet file.
pub(crate) struct Beside;

impl Scalar for Beside {
    type Value = HostPath;
    const TYPE: ValueType = ValueType::Path;
    fn scalar(field: &Field<'_>) -> Checked<HostPath> {
        let text = match field.text("a path")? {
            "" => return Err(field.wrong_type("a path")),
            text => text,
        };
        let wrong = |message| field.problem(ProblemKind::WrongValue, message);
        if text.starts_with('~') {
            let problem = wrong("`~` is not expanded".to_owned());
            return Err(field.report(problem.help("write an absolute path")));
        }
        let folder = field.scope.sources.folder(field.node.range.start);
        let path = beside(folder, text).parse();
        let is_relative = !text.starts_with('/') && format!("/{text}").parse::<HostPath>().is_ok();
        match path {
            Err(why) if is_relative => {
                let problem = wrong(format!("nothing can be named beside this file: {why}"));
                let help = format!("it is in {folder}: move it, or begin the path with `/`");
                Err(field.report(problem.help(help)))
            }
            path => field.accept(path),
        }
    }
}

/// A path in the folder of the fleet file, or below it.
pub(crate) struct InFolder;

impl Scalar for InFolder {
    type Value = HostPath;
    const TYPE: ValueType = ValueType::InFolder;
    fn scalar(field: &Field<'_>) -> Checked<HostPath> {
        let path = Beside::scalar(field)?;
        let folder = field.scope.sources.folder(field.node.range.start);
        let inside = path.as_str().strip_prefix(folder.trim_end_matches('/'));
        if inside.is_some_and(|inside| inside.starts_with('/')) {
            return Ok(path);
        }
        let message = format!("`{path}` is outside the folder of the fleet file");
        let problem = field.problem(ProblemKind::TextFile, message);
        let help =
            format!("put the file into {folder} or a folder below it, and name it from there");
        Err(field.report(problem.help(help)))
    }
}

impl Scalar for Cmdline {
    type Value = Self;
    const TYPE: ValueType = ValueType::Line;
    fn scalar(field: &Field<'_>) -> Checked<Self> {
        let text = field.text("a text")?;
        if text.trim_end().contains('\n') || !text.ends_with('\n') {
            return field.accept(text.parse());
        }
        let message = "the kernel command line ends in a line break";
        let problem = field.problem(ProblemKind::WrongValue, message);
        let help = "begin the block with `>-`, which drops it, instead of `>` or `|`";
        Err(field.report(problem.help(help)))
    }
}

/// A path as seen from a folder: `./` and `../` count from there.
fn beside(folder: &str, path: &str) -> String {
    let mut folder = folder.trim_end_matches('/');
    let mut path = path;
    if path.starts_with('/') {
        return path.to_owned();
    }
    loop {
        if let Some(rest) = path.strip_prefix("./") {
            path = rest;
        } else if let Some(rest) = path.strip_prefix("../") {
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
            path = rest;
        } else {
            return format!("{folder}/{path}");
        }
    }
}
