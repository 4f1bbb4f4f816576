//! The JSON Schema of fleet files, for editors. It is made from the tables of keys.

use super::explain::{self, KeyText, Topic};
use super::keys::{Absence, FILE, Meaning, Need, TABLES, Table};
use super::value_type::Form;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schema as text. It is of draft 07, the newest that editors' YAML servers know in full.
#[must_use]
pub fn schema() -> String {
    let texts: BTreeMap<String, KeyText> = explain::topics().into_iter().filter_map(text).collect();
    let mut root = map(&FILE, &texts);
    let inner = TABLES.iter().filter(|table| table.id != FILE.id);
    let definitions = inner.map(|table| (table.id.to_owned(), map(table, &texts).into()));
    let definitions: Map<String, Value> = definitions.collect();
    root.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    root.insert("title".to_owned(), json!("armfleet fleet file"));
    root.insert("definitions".to_owned(), definitions.into());
    // Serialising a value of plain maps, texts and numbers cannot fail.
    serde_json::to_string_pretty(&Value::Object(root)).unwrap_or_default() + "\n"
}

fn text(topic: Topic) -> Option<(String, KeyText)> {
    match topic {
        Topic::Key(topic) => Some((topic.key, topic.about?)),
        Topic::Problem(_) | Topic::HostCheck(_) => None,
    }
}

fn map(table: &Table, texts: &BTreeMap<String, KeyText>) -> Map<String, Value> {
    let whole = is_whole(table);
    let properties = table.done().map(|(name, need, meaning)| {
        let text = texts.get(&format!("{}{name}", table.prefix));
        let nullable = need == Need::Optional || !whole && need == Need::Required;
        (name.to_owned(), property(nullable, meaning, text).into())
    });
    let properties: Map<String, Value> = properties.collect();
    let mut map = Map::from_iter([
        (
            "type".to_owned(),
            if whole {
                json!("object")
            } else {
                json!(["object", "null"])
            },
        ),
        ("additionalProperties".to_owned(), json!(false)),
        ("properties".to_owned(), properties.into()),
    ]);
    if whole {
        let required = table.done().filter(|(_, need, _)| *need == Need::Required);
        let required: Vec<_> = required.map(|(name, _, _)| name).collect();
        map.insert("required".to_owned(), required.into());
    }
    map
}

/// Whether a map stands in its file as a whole. Only entries of lists do: whatever else is missing in a map may be said
/// by a profile, by `defaults` or in another file.
fn is_whole(table: &Table) -> bool {
    let mut forms = TABLES
        .iter()
        .flat_map(|above| above.done().map(|(_, _, meaning)| &meaning.form));
    forms.any(|form| matches!(form, Form::List(inner) if inner.id == table.id))
}

fn property(nullable: bool, meaning: &Meaning, text: Option<&KeyText>) -> Map<String, Value> {
    let mut property = meaning.form.schema(nullable);
    if property.contains_key("$ref") {
        // In draft 07, what stands beside a reference is not read; and without a type, editors complete the key only.
        let types = json!(["object", "null"]);
        let all = json!([property]);
        property = Map::from_iter([("type".to_owned(), types), ("allOf".to_owned(), all)]);
    }
    if let Absence::Value(default) = meaning.absence {
        property.insert("default".to_owned(), default_value(&meaning.form, default));
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
fn default_value(form: &Form, text: &str) -> Value {
    match form {
        Form::Boolean => Value::Bool(text == "true"),
        Form::Whole(..) => text.parse::<u64>().map_or(Value::Null, Value::from),
        _ => text.into(),
    }
}
