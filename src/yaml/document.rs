//! The file as YAML: what each value is, read by serde_yaml, joined with where it stands.
//!
//! Two parsers read every file. serde_yaml says what a plain scalar is (`no` is a text, `512` a number), the other where
//! it stands; a file that they read differently is not accepted, so no value is ever taken from the wrong place.

use super::node::{Kind, Node, Value};
use super::places::{Place, Shape, locate};
use super::syntax;
use crate::problem::{Checked, Diagnostics, ErrorReported, Problem, ProblemKind};
use serde::de::{
    Deserialize, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::fmt;

/// The largest fleet file, in bytes.
const FILE_LIMIT: usize = 1 << 20;
/// All files together, in bytes.
pub(crate) const FILES_LIMIT: usize = 4 << 20;
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads the text of a file, whose positions count from `base`.
pub(crate) fn read(text: &str, base: usize, found: &mut Diagnostics) -> Checked<Node> {
    control_characters(text, base, found)?;
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let offset = base + text.len() - body.len();
    let place = locate(body, offset, found)?;
    let reading = parse(body).map_err(|error| {
        let at = error.location().map_or(0, |location| location.index());
        let at = body.char_indices().nth(at).map_or(body.len(), |(at, _)| at);
        let place = offset + at..offset + at;
        found.report(syntax::problem(&error.to_string(), &place, &body[..at]))
    })?;
    let root = join(reading, &place, found)?;
    if matches!(root.value, Value::Null) {
        return Err(found.report(syntax::empty(&root.range)));
    }
    Ok(root)
}

/// The text of a file, if it is one of a reasonable size.
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    base: usize,
    found: &mut Diagnostics,
) -> Checked<&'a str> {
    if bytes.len() > FILE_LIMIT {
        let message = format!(
            "the file has {} bytes, and a fleet file has at most {FILE_LIMIT}",
            bytes.len()
        );
        return Err(found.report(Problem::new(
            ProblemKind::FileTooLarge,
            &(base..base),
            message,
        )));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let place = base + at..base + at + 1;
        let problem = Problem::new(ProblemKind::NotUtf8, &place, "the file is not UTF-8 text")
            .label(format!("byte {:#04x}", bytes.get(at).copied().unwrap_or(0)))
            .help(match bytes {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it seems to be UTF-16; save it as UTF-8",
                _ => "save it as UTF-8",
            });
        found.report(problem)
    })
}

/// Reports the first character that no YAML file may hold.
fn control_characters(text: &str, base: usize, found: &mut Diagnostics) -> Checked<()> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let forbidden = |c: char| c.is_control() && !allowed(c) || matches!(c, '\u{fffe}' | '\u{ffff}');
    let Some((at, c)) = text.char_indices().find(|(_, c)| forbidden(*c)) else {
        return Ok(());
    };
    let problem = Problem::new(
        ProblemKind::ControlCharacter,
        &(base + at..base + at + c.len_utf8()),
        format!(
            "the file holds the control character U+{:04X}",
            u32::from(c)
        ),
    )
    .help("remove it; is this really a text file?");
    Err(found.report(problem))
}

/// What serde_yaml reads, before it is known where.
enum Reading {
    Null,
    Bool(bool),
    Whole(u64),
    Number,
    Text(String),
    List(Vec<Reading>),
    Map(Vec<(Reading, Reading)>),
}

fn parse(text: &str) -> Result<Reading, serde_yaml::Error> {
    serde_yaml::Deserializer::from_str(text)
        .next()
        .map_or(Ok(Reading::Null), Reading::deserialize)
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadingVisitor)
    }
}

struct ReadingVisitor;

impl<'de> Visitor<'de> for ReadingVisitor {
    type Value = Reading;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Reading, E> {
        Ok(Reading::Null)
    }

    fn visit_none<E>(self) -> Result<Reading, E> {
        Ok(Reading::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Reading, E> {
        Ok(Reading::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Reading, E> {
        Ok(Reading::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Reading, E> {
        Ok(u64::try_from(value).map_or(Reading::Number, Reading::Whole))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Reading, E> {
        Ok(Reading::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Reading, E> {
        Ok(Reading::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Reading, E> {
        Ok(Reading::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Reading, E> {
        Ok(Reading::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Reading, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Reading::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Reading, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Reading::Map(map))
    }

    /// A tagged value; that it has a tag is reported already.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Reading, A::Error> {
        let (_tag, value) = tagged.variant::<String>()?;
        value.newtype_variant()
    }
}

/// Joins what the two parsers read.
fn join(reading: Reading, place: &Place, found: &mut Diagnostics) -> Checked<Node> {
    let value = match (reading, place.shape.as_ref()) {
        (Reading::Null, Shape::Scalar(_)) => Value::Null,
        (Reading::Bool(value), Shape::Scalar(text)) => {
            Value::Scalar(text.clone(), Kind::Bool(value))
        }
        (Reading::Whole(value), Shape::Scalar(text)) => {
            Value::Scalar(text.clone(), Kind::Whole(value))
        }
        (Reading::Number, Shape::Scalar(text)) => Value::Scalar(text.clone(), Kind::Number),
        (Reading::Text(value), Shape::Scalar(text)) if value == *text => {
            Value::Scalar(value, Kind::Text)
        }
        (Reading::List(values), Shape::List(places)) if values.len() == places.len() => {
            let pairs = values.into_iter().zip(places);
            let nodes = pairs.map(|(value, place)| join(value, place, found));
            Value::List(nodes.collect::<Checked<_>>()?)
        }
        (Reading::Map(values), Shape::Map(places)) if values.len() == places.len() => {
            let pairs = values.into_iter().zip(places);
            let nodes = pairs.map(|((key, value), (key_place, value_place))| {
                Ok((
                    join(key, key_place, found)?,
                    join(value, value_place, found)?,
                ))
            });
            Value::Map(nodes.collect::<Checked<_>>()?)
        }
        _ => return Err(ambiguous(place, found)),
    };
    Ok(Node {
        range: place.range.clone(),
        alias: place.alias.clone(),
        value,
    })
}

fn ambiguous(place: &Place, found: &mut Diagnostics) -> ErrorReported {
    let problem = Problem::new(
        ProblemKind::Syntax,
        place.alias.as_ref().unwrap_or(&place.range),
        "YAML readers disagree about what this says",
    )
    .help("write it more plainly: put texts between quotes, and use each anchor name once");
    found.report(problem)
}
