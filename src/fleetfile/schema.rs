//! The JSON Schema of fleet files, for editors. It is made from the tables of keys.

use super::explain::{self, KeyText, Topic};
use super::key::{Absence, Key, Map, ValueType};
use serde_json::{Map as Object, Value, json};
use std::collections::BTreeMap;

/// The schema as text. It is of draft 07, the newest that editors' YAML servers know in full.
#[must_use]
pub(crate) fn schema(root: &'static Map) -> String {
    let texts: BTreeMap<String, KeyText> =
        explain::topics(root).into_iter().filter_map(text).collect();
    let maps = root.all();
    let mut whole = object(&maps, root, &texts);
    let inner = maps.iter().skip(1);
    let definitions = inner.map(|map| (map.id.to_owned(), object(&maps, map, &texts).into()));
    let definitions: Object<String, Value> = definitions.collect();
    whole.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    whole.insert("title".to_owned(), json!("armfleet fleet file"));
    whole.insert("definitions".to_owned(), definitions.into());
    // Serialising a value of plain maps, texts and numbers cannot fail.
    serde_json::to_string_pretty(&Value::Object(whole)).unwrap_or_default() + "\n"
}

fn text(topic: Topic) -> Option<(String, KeyText)> {
    match topic {
        Topic::Key(topic) => Some((topic.key, topic.about?)),
        Topic::Problem(_) | Topic::HostCheck(_) => None,
    }
}

fn object(
    maps: &[&'static Map],
    map: &Map,
    texts: &BTreeMap<String, KeyText>,
) -> Object<String, Value> {
    let whole = is_whole(maps, map);
    let properties = map.keys.iter().map(|key| {
        let text = texts.get(&format!("{}{}", map.prefix, key.name));
        let nullable = !(key.is_name || whole && key.is_required());
        (key.name.to_owned(), property(nullable, key, text).into())
    });
    let properties: Object<String, Value> = properties.collect();
    let types = if whole {
        json!("object")
    } else {
        json!(["object", "null"])
    };
    let mut object = Object::from_iter([
        ("type".to_owned(), types),
        ("additionalProperties".to_owned(), json!(false)),
        ("properties".to_owned(), properties.into()),
    ]);
    if whole {
        let required = map.keys.iter().filter(|key| key.is_required());
        let required: Vec<_> = required.map(|key| key.name).collect();
        object.insert("required".to_owned(), required.into());
    }
    object
}

/// Whether a map stands in its file as a whole. Only entries of lists do: whatever else is missing in a map may be said
/// by a profile, by `defaults` or in another file.
fn is_whole(maps: &[&'static Map], map: &Map) -> bool {
    let mut keys = maps.iter().flat_map(|above| above.keys);
    keys.any(|key| matches!(key.value_type, ValueType::List(inner) if inner.id == map.id))
}

fn property(nullable: bool, key: &Key, text: Option<&KeyText>) -> Object<String, Value> {
    let value_type = key.value_type;
    let mut property = value_type.schema(nullable);
    if property.contains_key("$ref") {
        // In draft 07, what stands beside a reference is not read; and without a type, editors complete the key only.
        let types = json!(["object", "null"]);
        let all = json!([property]);
        property = Object::from_iter([("type".to_owned(), types), ("allOf".to_owned(), all)]);
    }
    if let Absence::Value(default) = key.absence {
        property.insert("default".to_owned(), default_value(value_type, default));
    }
    if let Some(text) = text {
        let absence = text.absence.as_ref();
        let absence = absence.map_or("Must be given.".to_owned(), |absence| {
            format!("Left out: {absence}.")
        });
        let description = format!(
            "{}\n\n{absence}\n\nA change takes effect {}.",
            text.meaning, text.effect
        );
        property.insert("description".to_owned(), description.into());
    }
    property
}

/// A default as the schema's `default` has it.
fn default_value(value_type: ValueType, text: &str) -> Value {
    match value_type {
        ValueType::Boolean => Value::Bool(text == "true"),
        ValueType::Whole(..) => text.parse::<u64>().map_or(Value::Null, Value::from),
        _ => text.into(),
    }
}
