//! Several files as one.

use super::node::{Node, Value, at, describe};
use super::syntax;
use crate::problem::{Checked, Diagnostics, ProblemKind};

/// The keys whose maps may be written in several files, each entry in one of them.
const SECTIONS: [&str; 6] = ["vms", "defaults", "profiles", "vars", "secrets", "hosts"];

/// The values of all files as if one file held them.
pub(crate) fn unite(files: Vec<Node>, found: &Diagnostics) -> Checked<Node> {
    let mut files = files.into_iter();
    let Some(first) = files.next() else {
        return Err(syntax::empty(&(0..0)).report(found));
    };
    let mut whole = match &first.value {
        Value::Map(entries) => entries.to_vec(),
        // That is reported when it is read.
        _ => return Ok(first),
    };
    for file in files {
        let Value::Map(entries) = &file.value else {
            let other = describe(&file.value);
            let message = format!("a fleet file is a map of keys, not {other}");
            at(ProblemKind::WrongType, &file, message).report(found);
            continue;
        };
        let known = whole.len();
        for (key, value) in entries.iter() {
            add(&mut whole, known, key, value, found);
        }
    }
    Ok(first.with(Value::Map(whole.into())))
}

/// Adds an entry of another file to the first `known` ones.
fn add(whole: &mut Vec<(Node, Node)>, known: usize, key: &Node, value: &Node, found: &Diagnostics) {
    let name = SECTIONS.into_iter().find(|name| key.is(name));
    let mut known = whole.iter_mut().take(known);
    let same = known.find(|(known, _)| name.is_some_and(|name| known.is(name)));
    let (Some(name), Some((_, section))) = (name, same) else {
        return whole.push((key.clone(), value.clone()));
    };
    match (&section.value, &value.value) {
        (_, Value::Null) => {}
        (Value::Null, content) => section.value = content.clone(),
        (Value::Map(one), Value::Map(other)) => {
            section.value = Value::Map(one.iter().chain(other.iter()).cloned().collect());
        }
        (Value::Map(_), other) => {
            let message = format!("`{name}` is a map, not {}", describe(other));
            at(ProblemKind::WrongType, value, message).report(found);
        }
        // Reported when the first file's is read.
        _ => {}
    }
}
