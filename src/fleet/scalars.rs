//! Taking scalars for what their keys want.

use super::fields::{Field, Spanned, listed};
use crate::fleetfile::nearest;
use crate::problem::{Checked, Diagnostics, ErrorReported, Problem, ProblemKind};
use crate::values::Size;
use crate::values::Unacceptable;
use crate::yaml::{Kind, Value};
use crate::yaml::{at, describe, mend};

/// What each word stands for; `None` if this version does not do it.
pub(crate) type Words<T> = [(&'static str, Option<T>)];

/// The words that this version does.
pub(crate) fn done<T>(words: &Words<T>) -> Vec<&'static str> {
    let done = words.iter().filter(|(_, value)| value.is_some());
    done.map(|(word, _)| *word).collect()
}

/// The longest text, in bytes: twice the longest path.
pub(crate) const LONGEST: usize = 8192;

/// What other programs call a value.
const SYNONYMS: [(&str, &str); 13] = [
    ("armv7l", "armhf"),
    ("armv7", "armhf"),
    ("armel", "armhf"),
    ("arm", "armhf"),
    ("aarch64", "arm64"),
    ("qemu", "tcg"),
    ("virtio-mmio", "mmio"),
    ("virtio-pci", "pci"),
    ("started", "running"),
    ("on", "running"),
    ("off", "stopped"),
    ("destroy", "stop"),
    ("restart", "warm"),
];

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
) -> Checked<Spanned<T>> {
    let text = text(field, wanted, found)?;
    if text.is_empty() {
        return Err(wrong_type(field, wanted, found));
    }
    accept(field, parse(text), found)
}

/// A size, such as `example`.
pub(crate) fn size(
    field: &Field<'_>,
    example: &str,
    found: &mut Diagnostics,
) -> Checked<Spanned<Size>> {
    let wanted = format!("a size, as in {example}");
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
) -> Checked<Spanned<T>> {
    match parsed {
        Ok(value) => Ok(Spanned::new(value, &field.node.range)),
        Err(why) => Err(found.report(at(ProblemKind::WrongValue, field.node, why.0))),
    }
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    field: &Field<'_>,
    words: &Words<T>,
    found: &mut Diagnostics,
) -> Checked<T> {
    let written = text(field, "a word", found)?;
    match words.iter().find(|(word, _)| *word == written) {
        Some((_, Some(value))) => Ok(*value),
        Some((_, None)) => Err(later(field, written, found)),
        None => Err(found.report(unknown_word(field, written, words))),
    }
}

/// Reports a value that the language has and this version does not do.
pub(crate) fn later(field: &Field<'_>, written: &str, found: &mut Diagnostics) -> ErrorReported {
    let message = format!("`{}: {written}` is not supported yet", field.name);
    found.report(at(ProblemKind::NotSupportedYet, field.node, message))
}

fn unknown_word<T>(field: &Field<'_>, written: &str, words: &Words<T>) -> Problem {
    let known = || words.iter().map(|(word, _)| *word);
    let synonym = SYNONYMS
        .iter()
        .find(|(other, word)| *other == written && known().any(|known| known == *word));
    let meant = synonym
        .map(|(_, word)| *word)
        .or_else(|| nearest(written, known()));
    let done = listed(done(words).into_iter(), "or");
    let message = format!("`{}` is {done}, not `{written}`", field.name);
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
pub(crate) fn whole(field: &Field<'_>, found: &mut Diagnostics) -> Checked<Spanned<u64>> {
    match &field.node.value {
        Value::Scalar(_, Kind::Whole(value)) => Ok(Spanned::new(*value, &field.node.range)),
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
fn is_placeholder(entries: &[(crate::yaml::Node, crate::yaml::Node)]) -> bool {
    matches!(entries, [(_, value)] if matches!(value.value, Value::Null))
}
