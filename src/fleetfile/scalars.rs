//! Taking scalars for what their keys want.

use super::fields::{Field, listed, wrong_type};
use super::key::ValueType;
use super::readable::{Scalar, Scope};
use super::suggest::nearest;
use crate::problem::{Checked, Diagnostics, ErrorReported, Problem, ProblemKind};
use crate::values::{
    Cmdline, DiskName, FleetName, HostPath, MachineName, Size, Unacceptable, parse_duration,
    render_duration,
};
use crate::yaml::{Kind, Value, at, mend};
use std::time::Duration;

/// The longest text, in bytes: twice the longest path.
pub(crate) const LONGEST: usize = 8192;

/// The words that may stand at a key.
#[derive(Clone, Copy)]
pub(crate) struct Words<'w, T> {
    /// What each word stands for.
    pub(crate) known: &'w [(&'static str, T)],
    /// Words that belong to the language, but that this version does not do.
    pub(crate) planned: &'w [&'static str],
    /// What other programs call them.
    pub(crate) also_called: &'w [(&'static str, &'static str)],
}

/// A text, which is to be something `wanted`.
pub(crate) fn text<'n>(
    field: &Field<'n>,
    wanted: &str,
    found: &mut Diagnostics,
) -> Checked<&'n str> {
    match &field.node.value {
        Value::Scalar(text, _) if text.len() > LONGEST => {
            let length = text.len();
            let message = format!(
                "`{}` has {length} bytes, and no text has more than {LONGEST}",
                field.name
            );
            Err(found.report(at(ProblemKind::WrongValue, field.node, message)))
        }
        Value::Scalar(text, _) => Ok(text),
        Value::Unreadable(reported) => Err(*reported),
        _ => Err(wrong_type(field, wanted, found)),
    }
}

/// A text in a form of its own.
pub(crate) fn parsed<T>(
    field: &Field<'_>,
    wanted: &str,
    parse: impl FnOnce(&str) -> Result<T, Unacceptable>,
    found: &mut Diagnostics,
) -> Checked<T> {
    let text = text(field, wanted, found)?;
    if text.is_empty() {
        return Err(wrong_type(field, wanted, found));
    }
    accept(field, parse(text), found)
}

/// A size.
fn size(field: &Field<'_>, found: &mut Diagnostics) -> Checked<Size> {
    let wanted = format!("a size, as in {}", field.example);
    let text = text(field, &wanted, found)?;
    match text.parse::<Size>() {
        Err(why) if !text.is_empty() => {
            let problem = at(ProblemKind::WrongValue, field.node, why.0);
            Err(found.report(match Size::meant(text) {
                Some(meant) => mend(problem, field.node, &meant),
                None => problem,
            }))
        }
        _ => parsed(field, &wanted, str::parse, found),
    }
}

/// What became of a field's text, or a report of why it cannot be.
pub(crate) fn accept<T>(
    field: &Field<'_>,
    parsed: Result<T, Unacceptable>,
    found: &mut Diagnostics,
) -> Checked<T> {
    match parsed {
        Ok(value) => Ok(value),
        Err(why) => Err(found.report(at(ProblemKind::WrongValue, field.node, why.0))),
    }
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    field: &Field<'_>,
    words: Words<'_, T>,
    found: &mut Diagnostics,
) -> Checked<T> {
    let written = text(field, "a word", found)?;
    match words.known.iter().find(|(word, _)| *word == written) {
        Some((_, value)) => Ok(*value),
        None if words.planned.contains(&written) => Err(later(field, written, found)),
        None => Err(found.report(unknown_word(field, written, words))),
    }
}

/// Reports a value that the language has and this version does not do.
pub(crate) fn later(field: &Field<'_>, written: &str, found: &mut Diagnostics) -> ErrorReported {
    let message = format!("`{}: {written}` is not supported yet", field.name);
    found.report(at(ProblemKind::NotSupportedYet, field.node, message))
}

fn unknown_word<T>(field: &Field<'_>, written: &str, words: Words<'_, T>) -> Problem {
    let known = words.known.iter().map(|(word, _)| *word);
    let mut others = words.also_called.iter();
    let meant = others
        .find(|(other, _)| *other == written)
        .map(|(_, word)| *word)
        .or_else(|| nearest(written, known.clone().chain(words.planned.iter().copied())));
    let message = format!(
        "`{}` is {}, not `{written}`",
        field.name,
        listed(known, "or")
    );
    let problem = at(ProblemKind::WrongValue, field.node, message);
    match meant {
        Some(word) => mend(
            problem.label(format!("did you mean `{word}`?")),
            field.node,
            word,
        ),
        None => problem,
    }
}

/// A whole number.
pub(crate) fn whole(field: &Field<'_>, found: &mut Diagnostics) -> Checked<u64> {
    match &field.node.value {
        Value::Scalar(_, Kind::Whole(value)) => Ok(*value),
        Value::Scalar(text, Kind::Text) => match text.parse::<u64>() {
            // Between quotes, or with a 0 before it.
            Ok(number) => {
                let message = format!("`{}` is a number, and this is a text", field.name);
                let problem = at(ProblemKind::WrongType, field.node, message);
                let problem = problem.label(format!("write {number}"));
                Err(found.report(mend(problem, field.node, &number.to_string())))
            }
            Err(_) => Err(wrong_type(field, "a whole number", found)),
        },
        _ => Err(wrong_type(field, "a whole number", found)),
    }
}

/// `true` or `false`.
pub(crate) fn boolean(field: &Field<'_>, found: &mut Diagnostics) -> Checked<bool> {
    let meant = match &field.node.value {
        Value::Scalar(_, Kind::Bool(value)) => return Ok(*value),
        Value::Scalar(text, _) => truth(text),
        _ => None,
    };
    match meant {
        None => Err(wrong_type(field, "`true` or `false`", found)),
        Some(value) => {
            let message = format!("`{}` is `true` or `false`", field.name);
            let problem =
                at(ProblemKind::WrongType, field.node, message).label(format!("write {value}"));
            Err(found.report(mend(problem, field.node, &value.to_string())))
        }
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
    fn value_type() -> ValueType {
        ValueType::Boolean
    }
    fn scalar(field: &Field<'_>, _: Scope<'_>, found: &mut Diagnostics) -> Checked<Self> {
        boolean(field, found)
    }
    fn written(value: &Self) -> String {
        value.to_string()
    }
}

impl Scalar for Size {
    type Value = Self;
    fn value_type() -> ValueType {
        ValueType::Size
    }
    fn scalar(field: &Field<'_>, _: Scope<'_>, found: &mut Diagnostics) -> Checked<Self> {
        size(field, found)
    }
    fn written(value: &Self) -> String {
        value.to_string().replace(' ', "")
    }
}

impl Scalar for Duration {
    type Value = Self;
    fn value_type() -> ValueType {
        ValueType::Duration
    }
    fn scalar(field: &Field<'_>, _: Scope<'_>, found: &mut Diagnostics) -> Checked<Self> {
        let wanted = format!("a duration, as in {}", field.example);
        parsed(field, &wanted, parse_duration, found)
    }
    fn written(value: &Self) -> String {
        render_duration(*value)
    }
}

/// Names: all have the same rule.
macro_rules! name {
    ($name:ty, $is_name:literal) => {
        impl Scalar for $name {
            type Value = Self;
            const IS_NAME: bool = $is_name;
            fn value_type() -> ValueType {
                ValueType::Name
            }
            fn scalar(field: &Field<'_>, _: Scope<'_>, found: &mut Diagnostics) -> Checked<Self> {
                parsed(field, "a name", str::parse, found)
            }
            fn written(value: &Self) -> String {
                value.to_string()
            }
        }
    };
}

name!(FleetName, false);
name!(MachineName, false);
name!(DiskName, true);

/// An absolute path on the VM's host.
impl Scalar for HostPath {
    type Value = Self;
    fn value_type() -> ValueType {
        ValueType::HostPath
    }
    fn scalar(field: &Field<'_>, _: Scope<'_>, found: &mut Diagnostics) -> Checked<Self> {
        let text = text(field, "a path", found)?;
        if text.starts_with('/') {
            return accept(field, text.parse(), found);
        }
        let message = format!("`{}` is an absolute path, not `{text}`", field.name);
        let problem = at(ProblemKind::WrongValue, field.node, message);
        let problem = problem.help("it is a path on the VM's host: begin it with `/`");
        Err(found.report(problem))
    }
    fn written(value: &Self) -> String {
        value.to_string()
    }
}

/// A path on the VM's host, or one beside the fleet file.
pub(crate) struct Beside;

impl Scalar for Beside {
    type Value = HostPath;
    fn value_type() -> ValueType {
        ValueType::Path
    }
    fn scalar(field: &Field<'_>, scope: Scope<'_>, found: &mut Diagnostics) -> Checked<HostPath> {
        let text = text(field, "a path", found)?;
        if text.is_empty() {
            return Err(wrong_type(field, "a path", found));
        }
        if text.starts_with('~') {
            let message = "`~` stands for nobody's home here";
            let problem = at(ProblemKind::WrongValue, field.node, message);
            return Err(found.report(problem.help("write the path out, from `/`")));
        }
        let folder = scope.sources.folder(field.node.range.start);
        let path = beside(folder, text).parse();
        match (
            &path,
            text.starts_with('/') || format!("/{text}").parse::<HostPath>().is_err(),
        ) {
            (Err(why), false) => {
                let message = format!("nothing can be named beside this file: {why}");
                let problem = at(ProblemKind::WrongValue, field.node, message);
                let help = format!("it is in {folder}: move it, or begin the path with `/`");
                Err(found.report(problem.help(help)))
            }
            _ => accept(field, path, found),
        }
    }
    fn written(value: &HostPath) -> String {
        value.to_string()
    }
}

impl Scalar for Cmdline {
    type Value = Self;
    fn value_type() -> ValueType {
        ValueType::Line
    }
    fn scalar(field: &Field<'_>, _: Scope<'_>, found: &mut Diagnostics) -> Checked<Self> {
        let text = text(field, "a text", found)?;
        if text.trim_end().contains('\n') || !text.ends_with('\n') {
            return accept(field, text.parse(), found);
        }
        let message = "the kernel command line ends in a line break";
        let problem = at(ProblemKind::WrongValue, field.node, message)
            .help("begin the block with `>-`, which drops it, instead of `>` or `|`");
        Err(found.report(problem))
    }
    fn written(value: &Self) -> String {
        value.to_string()
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
