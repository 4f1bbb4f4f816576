//! The JSON Schema of fleet files, for editors. It is made from the tables of keys.

use super::explain::{KeyText, key_text};
use super::key::{Absence, Key, Map, ValueType};
use serde_json::{Value, json};

/// The schema as text. It is of draft 07, the newest that editors' YAML servers know in full.
#[must_use]
pub(crate) fn schema(root: &'static Map) -> String {
    let maps = root.all();
    let mut whole = object(&maps, root);
    let inner = maps.iter().skip(1);
    let definitions = inner.map(|map| (map.id.to_owned(), object(&maps, map)));
    whole["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    whole["title"] = "armfleet fleet file".into();
    whole["definitions"] = definitions.collect();
    // Serialising a value of plain maps, texts and numbers cannot fail.
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

fn object(maps: &[&'static Map], map: &'static Map) -> Value {
    let whole = is_whole(maps, map);
    let properties = map.keys.iter().map(|key| {
        let text = key_text(maps, map, key);
        let nullable = !(key.is_name() || whole && key.is_required());
        (key.name.to_owned(), property(nullable, key, &text))
    });
    let mut object = json!({
        "type": if whole { json!("object") } else { json!(["object", "null"]) },
        "additionalProperties": false,
        "properties": properties.collect::<Value>(),
    });
    if whole {
        let required = map.keys.iter().filter(|key| key.is_required());
        object["required"] = required.map(|key| key.name).collect();
    }
    object
}

/// Whether a map stands in its file as a whole. Only entries of lists do: whatever else is missing in a map may be said
/// by a profile, by `defaults` or in another file.
fn is_whole(maps: &[&'static Map], map: &Map) -> bool {
    let mut keys = maps.iter().flat_map(|above| above.keys);
    keys.any(|key| matches!(key.value_type, ValueType::List(inner) if inner.id == map.id))
}

fn property(nullable: bool, key: &Key, text: &KeyText) -> Value {
    let mut property = key.value_type.schema(nullable);
    if property.get("$ref").is_some() {
        // In draft 07, what stands beside a reference is not read; and without a type, editors complete the key only.
        property = json!({ "type": ["object", "null"], "allOf": [property] });
    }
    if let Absence::Value(default) = key.absence {
        // What is not a number, `true` or `false` is a text.
        property["default"] = serde_json::from_str(default).unwrap_or_else(|_| default.into());
    }
    let absence = match &text.absence {
        Some(absence) => format!("Left out: {absence}."),
        None => "Must be given.".to_owned(),
    };
    let (meaning, effect) = (text.meaning, text.effect);
    let description = format!("{meaning}\n\n{absence}\n\nA change takes effect {effect}.");
    property["description"] = description.into();
    property
}
