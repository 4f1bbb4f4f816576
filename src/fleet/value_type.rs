//! What may stand at a key: one description, from which `explain` and the schema are made.

use super::fields::listed;
use super::keys::Table;
use crate::values::size;
use serde_json::{Map, Value, json};

/// What may stand at a key.
#[derive(Debug)]
pub(crate) enum Form {
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Whole(u64, u64),
    /// One of the words that the function lists.
    Word(fn() -> Vec<&'static str>),
    /// A name, with placeholders.
    Name,
    /// A number with a unit of size.
    Size,
    /// Numbers with units of time.
    Duration,
    /// An absolute path on the VM's host, with placeholders.
    HostPath,
    /// A path on the VM's host or beside the file, with placeholders.
    Path,
    /// A text of one line, with placeholders.
    Line,
    /// Any text, on any number of lines, which is taken as it is.
    Text,
    /// Any text, number or truth, which is taken as it is.
    Value,
    /// A map with these keys.
    Map(&'static Table),
    /// A list of maps with these keys.
    List(&'static Table),
    /// A map from names or ranges of names to maps with these keys.
    Vms(&'static Table),
    /// A map from names, such as this one, to maps with these keys.
    Named(&'static Table, &'static str),
    /// A map from absolute paths to paths on the VM's host or beside the file, with placeholders.
    Files,
}

/// Characters that no text of a fleet file may have, for the inside of a pattern's brackets.
const CONTROL: &str = r"\u0000-\u001f\u007f";

impl Form {
    /// As a part of a sentence (`a size, as in 512MiB`).
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Word(words) => listed(words().into_iter(), "or"),
            Self::Name => {
                "a name: letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit"
                    .to_owned()
            }
            Self::Size => "a size: a whole number with its unit, as in 512MiB or 8GiB".to_owned(),
            Self::Duration => "a duration: numbers with units, as in 90s, 2min or 1h30min".to_owned(),
            Self::HostPath => "an absolute path on the VM's host".to_owned(),
            Self::Path => "a path: on the VM's host if it begins with `/`, otherwise beside the fleet file".to_owned(),
            Self::Line => "a text of one line".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Value => "a text, a number, `true` or `false`".to_owned(),
            Self::Map(table) => format!("a map with {}", keys_of(table)),
            Self::List(table) => format!("a list of maps with {}", keys_of(table)),
            Self::Vms(table) => format!(
                "a map from names, or ranges such as \"obs-[01-12]\", to maps with {}",
                keys_of(table)
            ),
            Self::Named(table, _) => format!("a map from names to maps with {}", keys_of(table)),
            Self::Files => "a map from absolute paths to files".to_owned(),
        }
    }

    /// What is to be said of placeholders in it.
    pub(crate) fn placeholders(&self) -> Option<&'static str> {
        match self {
            Self::Name | Self::HostPath | Self::Path | Self::Line | Self::Files => {
                Some("`{name}`, `{index}`, `{fleet}`, `{host}` and `{var.NAME}` are replaced in it")
            }
            Self::Boolean | Self::Whole(..) | Self::Word(_) | Self::Size | Self::Duration => {
                Some("`{var.NAME}` may stand for it")
            }
            Self::Text
            | Self::Value
            | Self::Map(_)
            | Self::List(_)
            | Self::Vms(_)
            | Self::Named(..) => None,
        }
    }

    /// The keys that may stand below it.
    pub(crate) fn table(&self) -> Option<&'static Table> {
        match self {
            Self::Map(table) | Self::List(table) | Self::Vms(table) | Self::Named(table, _) => {
                Some(table)
            }
            _ => None,
        }
    }

    /// As a schema. It accepts whatever the reader accepts, and not much more.
    pub(crate) fn schema(&self, nullable: bool) -> Map<String, Value> {
        let mut schema = into_map(match self {
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Whole(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Word(words) => json!({ "type": "string", "enum": words() }),
            Self::Name => scalar(NAME),
            Self::Size => json!({ "type": "string", "pattern": size::pattern() }),
            Self::Duration => json!({ "type": "string", "pattern": size::DURATION_PATTERN }),
            Self::HostPath => {
                json!({ "type": "string", "pattern": format!("^/[^\",{CONTROL}]*$") })
            }
            Self::Path => scalar(&format!("^[^~\",{CONTROL}][^\",{CONTROL}]*$")),
            Self::Line => scalar(&format!("^[^{CONTROL}]+$")),
            Self::Text | Self::Value => json!({ "type": ["string", "number", "boolean"] }),
            Self::Map(table) => json!({ "$ref": reference(table) }),
            Self::List(table) => json!({ "type": "array", "items": { "$ref": reference(table) } }),
            Self::Vms(table) => json!({
                "type": "object",
                "propertyNames": {
                    "pattern": format!(r"{NAME}|[\[\]]"),
                    "errorMessage": said("a VM's name, nor a range of names as in \"obs-[01-12]\""),
                },
                "additionalProperties": { "$ref": reference(table) },
            }),
            Self::Named(table, _) => json!({
                "type": "object",
                "additionalProperties": { "$ref": reference(table) },
            }),
            Self::Files => json!({
                "type": "object",
                "propertyNames": {
                    "pattern": "^/",
                    "errorMessage": said("an absolute path in the installer"),
                },
                "additionalProperties": { "type": ["string", "number", "boolean"] },
            }),
        });
        if self.table().is_none() && !matches!(self, Self::Files) {
            schema = or_placeholder(schema, &self.described());
        }
        into_map(if nullable {
            or_null(schema.into())
        } else {
            schema.into()
        })
    }
}

/// The rule for names.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// A text; YAML may take one without quotes for something else.
fn scalar(pattern: &str) -> Value {
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern })
}

/// What editors say of a value that does not fit; by themselves they would show the pattern, or name types.
fn said(described: &str) -> String {
    format!("This is not {described}.")
}

/// A schema that takes a text with a placeholder, too: what that stands for is not known before the file is read.
fn or_placeholder(mut schema: Map<String, Value>, described: &str) -> Map<String, Value> {
    let Some(pattern) = schema.get_mut("pattern") else {
        return match schema.get("type") {
            Some(Value::Array(_)) => schema,
            _ => into_map(json!({ "anyOf": [schema, { "type": "string", "pattern": r"\{" }] })),
        };
    };
    *pattern = format!(r"{}|\{{", pattern.as_str().unwrap_or_default()).into();
    schema.insert("errorMessage".to_owned(), said(described).into());
    schema
}

/// A schema that takes `null`, too.
fn or_null(schema: Value) -> Value {
    let mut map = into_map(schema);
    if let Some(Value::Array(any)) = map.get_mut("anyOf") {
        any.push(json!({ "type": "null" }));
    }
    match map.remove("type") {
        Some(Value::Array(mut types)) => {
            types.push("null".into());
            map.insert("type".to_owned(), types.into());
        }
        Some(one) => {
            map.insert("type".to_owned(), json!([one, "null"]));
        }
        // What is referred to takes `null` already, where it may.
        None => {}
    }
    map.into()
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("const".to_owned(), other)]),
    }
}

/// Where a table's schema is.
fn reference(table: &Table) -> String {
    format!("#/definitions/{}", table.id)
}

fn keys_of(table: &Table) -> String {
    listed(table.supported(), "and")
}
