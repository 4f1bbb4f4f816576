//! Several files as one.

use super::node::{Node, Value, at, describe};
use super::syntax;
use crate::problem::{Checked, Diagnostics, ProblemKind};

/// The values of all files as if one file held them. The maps of `sections` may be written in several files, each entry in
/// one of them.
pub(crate) fn unite(files: Vec<Node>, sections: &[&str], found: &Diagnostics) -> Checked<Node> {
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
        let before = whole.len();
        for (key, value) in entries.iter() {
            let mut known = whole.iter_mut().take(before);
            let name = sections.iter().find(|name| key.is(name));
            match name.and_then(|name| Some((name, known.find(|(known, _)| known.is(name))?))) {
                Some((name, (_, section))) => add(section, name, value, found),
                None => whole.push((key.clone(), value.clone())),
            }
        }
    }
    Ok(first.with(Value::Map(whole.into())))
}

/// Adds what another file has in a section.
fn add(section: &mut Node, name: &str, value: &Node, found: &Diagnostics) {
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
