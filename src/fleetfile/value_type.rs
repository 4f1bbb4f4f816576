//! What may stand at a key: one description, from which `explain` and the schema are made.

use super::fields::listed;
use super::key::{Map, ValueType};
use crate::values::{CpuSet, MacAddress, size};
use serde_json::{Value, json};

/// Characters that no text of a fleet file may have, for the inside of a pattern's brackets.
const CONTROL: &str = r"\u0000-\u001f\u007f";

impl ValueType {
    /// As a part of a sentence (`a size, as in 512MiB`).
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Word(words) => listed(words.iter().copied(), "or"),
            Self::Name => {
                "a name: letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit"
                    .to_owned()
            }
            Self::Size => "a size: a whole number with its unit, as in 512MiB or 8GiB".to_owned(),
            Self::Cpus => "a set of CPUs: numbers and runs of them, as in 0-3 or 0,2,8-11".to_owned(),
            Self::Mac => "a MAC address: six bytes in hexadecimal, as in 52:54:00:12:34:56".to_owned(),
            Self::Sha256 => "a SHA-256: 64 hexadecimal digits, as `sha256sum` prints them".to_owned(),
            Self::Duration => "a duration: numbers with units, as in 90s, 2min or 1h30min".to_owned(),
            Self::HostPath => "an absolute path on the VM's host".to_owned(),
            Self::HostPaths => "a list of absolute paths on the host".to_owned(),
            Self::Path => "a path: on the VM's host if it begins with `/`, otherwise beside the fleet file".to_owned(),
            Self::InFolder => "a path of a file in the folder of the fleet file, or below it".to_owned(),
            Self::Line => "a text of one line".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Value => "a text, a number, `true` or `false`".to_owned(),
            Self::Nested(map) => format!("a map with {}", keys_of(map)),
            Self::List(map) => format!("a list of maps with {}", keys_of(map)),
            Self::Entries(map) => format!(
                "a map from names, or ranges such as \"obs-[01-12]\", to maps with {}",
                keys_of(map)
            ),
            Self::Named(map, _) => format!("a map from names to maps with {}", keys_of(map)),
            Self::Files => "a map from absolute paths to files".to_owned(),
        }
    }

    /// A sentence about placeholders in it.
    pub(crate) fn placeholders(&self) -> Option<&'static str> {
        match self {
            Self::Name
            | Self::HostPath
            | Self::Path
            | Self::InFolder
            | Self::Line
            | Self::Files => {
                Some("`{name}`, `{index}`, `{fleet}`, `{host}` and `{var.NAME}` are replaced in it")
            }
            Self::Boolean
            | Self::Whole(..)
            | Self::Word(_)
            | Self::Size
            | Self::Duration
            | Self::Mac
            | Self::Sha256
            | Self::Cpus => Some("`{var.NAME}` can be used for it"),
            _ => None,
        }
    }

    /// As a schema. It accepts whatever the reader accepts, and not much more.
    pub(crate) fn schema(&self, nullable: bool) -> Value {
        let schema = match self {
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Whole(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Name => scalar(NAME),
            Self::Size => json!({ "type": "string", "pattern": size::pattern() }),
            Self::Duration => json!({ "type": "string", "pattern": size::DURATION_PATTERN }),
            Self::Cpus => scalar(CpuSet::PATTERN),
            Self::Mac => scalar(MacAddress::PATTERN),
            Self::Sha256 => scalar("^[0-9a-f]{64}$"),
            Self::HostPath => {
                json!({ "type": "string", "pattern": format!("^/[^\",{CONTROL}]*$") })
            }
            Self::HostPaths => json!({
                "type": "array",
                "items": Self::HostPath.schema(false),
            }),
            Self::Path | Self::InFolder => scalar(&format!("^[^~\",{CONTROL}][^\",{CONTROL}]*$")),
            Self::Line => scalar(&format!("^[^{CONTROL}]+$")),
            Self::Text | Self::Value => json!({ "type": ["string", "number", "boolean"] }),
            Self::Nested(map) => json!({ "$ref": reference(map) }),
            Self::List(map) => json!({ "type": "array", "items": { "$ref": reference(map) } }),
            Self::Entries(map) => json!({
                "type": "object",
                "propertyNames": {
                    "pattern": format!(r"{NAME}|[\[\]]"),
                    "errorMessage": said("a VM's name, nor a range of names as in \"obs-[01-12]\""),
                },
                "additionalProperties": { "$ref": reference(map) },
            }),
            Self::Named(map, _) => json!({
                "type": "object",
                "additionalProperties": { "$ref": reference(map) },
            }),
            Self::Files => json!({
                "type": "object",
                "propertyNames": {
                    "pattern": "^/",
                    "errorMessage": said("an absolute path in the installer"),
                },
                "additionalProperties": { "type": ["string", "number", "boolean"] },
            }),
        };
        let schema = match self.map() {
            None if !matches!(self, Self::Files | Self::HostPaths) => {
                or_placeholder(schema, &self.described())
            }
            _ => schema,
        };
        if nullable { or_null(schema) } else { schema }
    }
}

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
fn or_placeholder(mut schema: Value, described: &str) -> Value {
    match (schema.get("pattern"), schema.get("type")) {
        (Some(Value::String(pattern)), _) => {
            schema["pattern"] = format!(r"{pattern}|\{{").into();
            schema["errorMessage"] = said(described).into();
            schema
        }
        (_, Some(Value::Array(_))) => schema,
        _ => json!({ "anyOf": [schema, { "type": "string", "pattern": r"\{" }] }),
    }
}

/// A schema that takes `null`, too. What is referred to takes it already, where it may.
fn or_null(mut schema: Value) -> Value {
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.push(json!({ "type": "null" }));
    }
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push("null".into()),
        Some(one) => *one = json!([one, "null"]),
        None => {}
    }
    schema
}

fn reference(map: &Map) -> String {
    format!("#/definitions/{}", map.id)
}

fn keys_of(map: &Map) -> String {
    listed(map.names(), "and")
}
