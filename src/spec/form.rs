//! What may stand at a key: one description, from which `explain` and the schema are made.

use super::fields::listed;
use super::keys::Table;
use super::size;
use serde_json::{Map, Value, json};

/// What may stand at a key.
#[derive(Debug)]
pub(super) enum Form {
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Whole(u64, u64),
    /// One of the words that the function lists.
    Word(fn() -> Vec<&'static str>),
    /// A name.
    Name,
    /// A name with placeholders.
    NameText,
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
    /// Any text, number or truth, which is taken as it is.
    Value,
    /// A map with these keys.
    Map(&'static Table),
    /// A list of maps with these keys.
    List(&'static Table),
    /// A map from names to maps with these keys.
    Named(&'static Table),
}

/// Characters that no text of a fleet file may have, for the inside of a pattern's brackets.
const CONTROL: &str = r"\u0000-\u001f\u007f";

impl Form {
    /// As a part of a sentence (`a size, as in 512MiB`).
    pub(super) fn described(&self) -> String {
        match self {
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Word(words) => listed(words().into_iter(), "or"),
            Self::Name | Self::NameText => {
                "a name: letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit"
                    .to_owned()
            }
            Self::Size => "a size: a whole number with its unit, as in 512MiB or 8GiB".to_owned(),
            Self::Duration => "a duration: numbers with units, as in 90s, 2min or 1h30min".to_owned(),
            Self::HostPath => "an absolute path on the VM's host".to_owned(),
            Self::Path => "a path: on the VM's host if it begins with `/`, otherwise beside the fleet file".to_owned(),
            Self::Line => "a text of one line".to_owned(),
            Self::Value => "a text, a number, `true` or `false`".to_owned(),
            Self::Map(table) => format!("a map with {}", keys_of(table)),
            Self::List(table) => format!("a list of maps with {}", keys_of(table)),
            Self::Named(table) => format!("a map from names to maps with {}", keys_of(table)),
        }
    }

    /// What is to be said of placeholders in it.
    pub(super) fn placeholders(&self) -> Option<&'static str> {
        match self {
            Self::NameText | Self::HostPath | Self::Path | Self::Line => {
                Some("`{name}`, `{index}`, `{fleet}`, `{host}` and `{var.NAME}` are replaced in it")
            }
            Self::Boolean
            | Self::Whole(..)
            | Self::Word(_)
            | Self::Name
            | Self::Size
            | Self::Duration => Some("`{var.NAME}` may stand for it"),
            Self::Value | Self::Map(_) | Self::List(_) | Self::Named(_) => None,
        }
    }

    /// The keys that may stand below it.
    pub(super) fn table(&self) -> Option<&'static Table> {
        match self {
            Self::Map(table) | Self::List(table) | Self::Named(table) => Some(table),
            _ => None,
        }
    }

    /// As a schema. It accepts whatever the reader accepts, and not much more.
    pub(super) fn schema(&self, nullable: bool) -> Map<String, Value> {
        let schema = match self {
            Self::Boolean => json!({ "type": ["boolean", "string"], "pattern": PLACEHOLDER }),
            Self::Whole(least, most) => json!({
                "type": ["integer", "string"],
                "minimum": least,
                "maximum": most,
                "pattern": PLACEHOLDER,
            }),
            Self::Word(words) => json!({ "anyOf": [
                { "type": "string", "enum": words() },
                { "type": "string", "pattern": PLACEHOLDER },
            ] }),
            Self::Name => scalar(&or_placeholder(NAME)),
            Self::NameText => scalar("^[A-Za-z0-9{][A-Za-z0-9._{}-]*$"),
            Self::Size => json!({ "type": "string", "pattern": or_placeholder(&size::pattern()) }),
            Self::Duration => {
                json!({ "type": "string", "pattern": or_placeholder(size::DURATION_PATTERN) })
            }
            Self::HostPath => {
                json!({ "type": "string", "pattern": format!("^[/{{][^\",{CONTROL}]*$") })
            }
            Self::Path => scalar(&format!("^[^~\",{CONTROL}][^\",{CONTROL}]*$")),
            Self::Line => scalar(&format!("^[^{CONTROL}]+$")),
            Self::Value => json!({ "type": ["string", "number", "boolean"] }),
            Self::Map(table) => json!({ "$ref": reference(table) }),
            Self::List(table) => json!({ "type": "array", "items": { "$ref": reference(table) } }),
            Self::Named(table) => json!({
                "type": "object",
                "propertyNames": { "pattern": NAMES },
                "additionalProperties": or_null(json!({ "$ref": reference(table) })),
            }),
        };
        let mut schema = into_map(if nullable { or_null(schema) } else { schema });
        if schema.contains_key("pattern") {
            // Editors would show the pattern.
            let message = format!("This is not {}.", self.described());
            schema.insert("patternErrorMessage".to_owned(), message.into());
        }
        schema
    }
}

/// The rule for names.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

/// The rule for names of VMs, ranges among them.
const NAMES: &str = r"^[A-Za-z0-9\[][A-Za-z0-9._,/\[\]-]*$";
/// A text that is something else when its placeholders are replaced.
const PLACEHOLDER: &str = r"\{";

/// A pattern that placeholders may stand for, too.
fn or_placeholder(pattern: &str) -> String {
    format!("({pattern})|{PLACEHOLDER}")
}

/// A text; YAML may take one without quotes for something else.
fn scalar(pattern: &str) -> Value {
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern })
}

/// A schema that takes `null`, too.
fn or_null(schema: Value) -> Value {
    let mut map = into_map(schema);
    if let Some(words) = map.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    match map.remove("type") {
        Some(Value::Array(mut types)) => {
            types.push("null".into());
            map.insert("type".to_owned(), types.into());
        }
        Some(one) => {
            map.insert("type".to_owned(), json!([one, "null"]));
        }
        None => return json!({ "anyOf": [map, { "type": "null" }] }),
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
