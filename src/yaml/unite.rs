//! Several files as one.

use super::node::{Node, Value};
use super::node::{at, describe};
use super::syntax;
use crate::problem::{Checked, Diagnostics, ProblemKind};

/// The keys whose maps may be written in several files, each entry in one of them.
const SECTIONS: [&str; 5] = ["vms", "defaults", "profiles", "vars", "hosts"];

/// The values of all files as if one file held them.
pub(crate) fn unite(files: Vec<Node>, found: &mut Diagnostics) -> Checked<Node> {
    let mut files = files.into_iter();
    let Some(mut whole) = files.next() else {
        return Err(found.report(syntax::empty(&(0..0))));
    };
    for file in files {
        let Value::Map(entries) = file.value else {
            let message = format!(
                "a fleet file is a map of keys, not {}",
                describe(&file.value)
            );
            found.report(at(ProblemKind::WrongType, &file, message));
            continue;
        };
        let Value::Map(before) = &mut whole.value else {
            break;
        };
        let known = before.len();
        for (key, value) in entries {
            add(before, known, key, value, found);
        }
    }
    Ok(whole)
}

/// Adds an entry of another file to the first `known` ones.
fn add(
    whole: &mut Vec<(Node, Node)>,
    known: usize,
    key: Node,
    value: Node,
    found: &mut Diagnostics,
) {
    let section = SECTIONS.into_iter().find(|section| key.is(section));
    let section = section.and_then(|name| {
        let mut known = whole.iter_mut().take(known);
        let (_, section) = known.find(|(key, _)| key.is(name))?;
        Some((name, section))
    });
    let Some((name, section)) = section else {
        whole.push((key, value));
        return;
    };
    match (&mut section.value, value.value) {
        (Value::Map(section), Value::Map(entries)) => section.extend(entries),
        (Value::Null, content) => section.value = content,
        (_, Value::Null) => {}
        (Value::Map(_), other) => {
            let message = format!("`{name}` is a map, not {}", describe(&other));
            let value = Node {
                value: other,
                ..value
            };
            found.report(at(ProblemKind::WrongType, &value, message));
        }
        // ErrorReported when the first file's is read.
        _ => {}
    }
}
