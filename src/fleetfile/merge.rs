//! One value over another: maps merge deeply, lists and everything else replace, `null` clears.

use crate::yaml::{Node, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The stronger value, with what only the weaker one says. What is given twice in one map stays there twice, so that it
/// is noticed.
pub(crate) fn merge(weak: &Node, strong: &Node) -> Node {
    let (Value::Map(below), Value::Map(above)) = (&weak.value, &strong.value) else {
        return strong.clone();
    };
    let mut under: BTreeMap<&str, &Node> = BTreeMap::new();
    for (key, value) in below.iter() {
        if let Some(name) = name(key) {
            under.entry(name).or_insert(value);
        }
    }
    let given: BTreeSet<&str> = above.iter().filter_map(|(key, _)| name(key)).collect();
    let merged = above.iter().map(|(key, value)| {
        let weaker = name(key).and_then(|name| under.remove(name));
        let value = weaker.map_or_else(|| value.clone(), |weaker| merge(weaker, value));
        (key.clone(), value)
    });
    let mut entries: Vec<_> = merged.collect();
    let missing = |key: &Node| name(key).is_none_or(|name| !given.contains(name));
    entries.extend(below.iter().filter(|(key, _)| missing(key)).cloned());
    strong.with(Value::Map(entries.into()))
}

fn name(key: &Node) -> Option<&str> {
    match &key.value {
        Value::Scalar(text, _) => Some(text),
        _ => None,
    }
}
