//! Values as a fleet file has them.

use super::key::{Map, ValueType};
use crate::values::{Size, render_duration};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// The full names of the keys that are given in a map (`disks[0].path`), each with its value as text.
pub(crate) fn written(map: &Map, value: &impl Serialize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    // Maps, texts and numbers can always be serialised.
    keys(
        map,
        "",
        &serde_json::to_value(value).unwrap_or_default(),
        &mut all,
    );
    all
}

fn keys(map: &Map, prefix: &str, value: &Value, all: &mut Vec<(String, String)>) {
    for key in map.keys {
        let name = format!("{prefix}{}", key.name);
        match (key.value_type, &value[key.name]) {
            (ValueType::Nested(map), value) => keys(map, &format!("{name}."), value, all),
            (ValueType::List(map), Value::Array(entries)) => {
                for (number, entry) in entries.iter().enumerate() {
                    keys(map, &format!("{name}[{number}]."), entry, all);
                }
            }
            (ValueType::Files, Value::Object(entries)) => {
                let entries = entries.iter();
                all.extend(entries.map(|(of, text)| (format!("{name}.{of}"), plain(text))));
            }
            (_, Value::Null) => {}
            (of, value) => all.push((name, scalar(of, value))),
        }
    }
}

fn scalar(of: ValueType, value: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    match of {
        ValueType::Size => Size::from_bytes(number(value)).to_string().replace(' ', ""),
        ValueType::Duration => render_duration(Duration::from_secs(number(&value["secs"]))),
        _ => plain(value),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
