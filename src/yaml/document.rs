//! The file as YAML: what each value is, read by serde_yaml, joined with where it stands.
//!
//! Two parsers read every file. serde_yaml says what a plain scalar is (`no` is a text, `512` a number), the other where
//! it stands; a file that they read differently is not accepted, so no value is ever taken from the wrong place.

use super::look_alikes;
use super::node::{Kind, Node, Value};
use super::places::locate;
use super::syntax;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use std::cell::Cell;
use std::fmt;

const FILE_LIMIT: usize = 1 << 20;
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Reads a file, whose positions count from `base`.
pub(crate) fn read(bytes: &[u8], base: usize, found: &Diagnostics) -> Checked<Node> {
    let text = decode(bytes, base, found)?;
    control_characters(text, base, found)?;
    if let Some(problem) = look_alikes::find(text, base) {
        return Err(problem.report(found));
    }
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let offset = base + text.len() - body.len();
    let place = locate(body, offset, found)?;
    let disagreement = Cell::new(None);
    let root = parse(body, &place, &disagreement).map_err(|error| {
        if let Some(place) = disagreement.take() {
            return ambiguous(place).report(found);
        }
        let at = error.location().map_or(0, |location| location.index());
        let at = body.char_indices().nth(at).map_or(body.len(), |(at, _)| at);
        let place = offset + at..offset + at;
        let (before, after) = body.split_at(at);
        syntax::problem(&error.to_string(), &place, before, after).report(found)
    })?;
    match root.value {
        Value::Null => Err(syntax::empty(&root.range).report(found)),
        _ => Ok(root),
    }
}

/// The text of a file, if it is one of a reasonable size.
fn decode<'a>(bytes: &'a [u8], base: usize, found: &Diagnostics) -> Checked<&'a str> {
    if bytes.len() > FILE_LIMIT {
        let length = bytes.len();
        let message =
            format!("the file has {length} bytes, and a fleet file has at most {FILE_LIMIT}");
        let problem = Problem::new(ProblemKind::FileTooLarge, &(base..base), message);
        return Err(problem.report(found));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let place = base + at..base + at + 1;
        Problem::new(ProblemKind::NotUtf8, &place, "the file is not UTF-8 text")
            .label(format!("byte {:#04x}", bytes.get(at).copied().unwrap_or(0)))
            .help(match bytes {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it seems to be UTF-16; save it as UTF-8",
                _ => "save it as UTF-8",
            })
            .report(found)
    })
}

/// Reports the first character that no YAML file may hold.
fn control_characters(text: &str, base: usize, found: &Diagnostics) -> Checked<()> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let forbidden = |c: char| c.is_control() && !allowed(c) || matches!(c, '\u{fffe}' | '\u{ffff}');
    let Some((at, c)) = text.char_indices().find(|(_, c)| forbidden(*c)) else {
        return Ok(());
    };
    let place = base + at..base + at + c.len_utf8();
    let code = u32::from(c);
    let message = format!("the file holds the control character U+{code:04X}");
    let problem = Problem::new(ProblemKind::ControlCharacter, &place, message);
    Err(problem
        .help("remove it; is this really a text file?")
        .report(found))
}

fn parse<'p>(
    text: &str,
    place: &'p Node,
    disagreement: &'p Cell<Option<&'p Node>>,
) -> Result<Node, serde_yaml::Error> {
    let reader = Reader {
        place,
        disagreement,
    };
    match serde_yaml::Deserializer::from_str(text).next() {
        Some(document) => reader.deserialize(document),
        None => Ok(place.with(Value::Null)),
    }
}

/// Reads what stands at a place, all of whose scalars are texts so far.
#[derive(Clone, Copy)]
struct Reader<'p> {
    place: &'p Node,
    /// Where the two parsers read something different.
    disagreement: &'p Cell<Option<&'p Node>>,
}

impl<'p> Reader<'p> {
    fn at(self, place: &'p Node) -> Self {
        Self { place, ..self }
    }

    fn disagree<T, E: Error>(self) -> Result<T, E> {
        self.disagreement.set(Some(self.place));
        Err(E::custom("two readings"))
    }

    fn scalar<E: Error>(self, kind: Kind) -> Result<Node, E> {
        match &self.place.value {
            Value::Scalar(text, _) => Ok(self.place.with(Value::Scalar(text.clone(), kind))),
            _ => self.disagree(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Numbers that no key takes.
macro_rules! visit_numbers {
    ($($visit:ident: $number:ty),*) => {$(
        fn $visit<E: Error>(self, _: $number) -> Result<Node, E> {
            self.scalar(Kind::Number)
        }
    )*};
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        let null = |scalar: Node| scalar.with(Value::Null);
        self.scalar(Kind::Text).map(null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Kind::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(Kind::Whole(value))
    }

    visit_numbers! { visit_i64: i64, visit_u128: u128, visit_i128: i128, visit_f64: f64 }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        match &self.place.value {
            Value::Scalar(text, _) if text == value => self.scalar(Kind::Text),
            _ => self.disagree(),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let Value::List(places) = &self.place.value else {
            return self.disagree();
        };
        let mut list = Vec::new();
        for place in places.iter() {
            match entries.next_element_seed(self.at(place))? {
                Some(entry) => list.push(entry),
                None => return self.disagree(),
            }
        }
        match entries.next_element::<IgnoredAny>()? {
            None => Ok(self.place.with(Value::List(list.into()))),
            Some(_) => self.disagree(),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let Value::Map(places) = &self.place.value else {
            return self.disagree();
        };
        let mut map = Vec::new();
        for (key, value) in places.iter() {
            match entries.next_entry_seed(self.at(key), self.at(value))? {
                Some(entry) => map.push(entry),
                None => return self.disagree(),
            }
        }
        match entries.next_key::<IgnoredAny>()? {
            None => Ok(self.place.with(Value::Map(map.into()))),
            Some(_) => self.disagree(),
        }
    }

    /// A tagged value; that it has a tag is reported already.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (_tag, value) = tagged.variant::<String>()?;
        value.newtype_variant_seed(self)
    }
}

fn ambiguous(place: &Node) -> Problem {
    Problem::new(
        ProblemKind::Syntax,
        place.alias.as_ref().unwrap_or(&place.range),
        "YAML readers disagree about what this says",
    )
    .help("write it more plainly: put texts between quotes, and use each anchor name once")
}
