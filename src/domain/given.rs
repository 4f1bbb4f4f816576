//! The way back: from a definition to the keys of a fleet file.

use super::kind::{Keys, devices};
use super::kinds::KINDS;
use super::row::{Given, Row, Seen};
use super::rows::DOMAIN_ROWS;
use crate::values::VmName;
use crate::xml::{self, XmlError};
use roxmltree::Node;
use std::collections::BTreeMap;

/// The keys of a fleet file that want what a definition has, in full (`disks[0].path`), each with its value as the file has
/// it. Devices of a list have the order of the definition. A key on which they do not agree is left out. What no key says is
/// not in it: planning the outcome over the same definition tells what is missing.
///
/// # Errors
/// When the definition is not XML.
pub fn read_back(vm: &VmName, definition: &str) -> Result<BTreeMap<String, String>, XmlError> {
    let document = xml::parse(definition)?;
    let mut given = gives(DOMAIN_ROWS, vm, "", document.root_element());
    for kind in KINDS {
        let ours = devices(&document, kind).filter(|(key, node)| (kind.is_one)(key, *node));
        for (place, (_, node)) in ours.enumerate() {
            let map = match kind.keys {
                Keys::List(list) => format!("{list}[{place}]."),
                Keys::Map(map) => format!("{map}."),
                Keys::Vm => String::new(),
            };
            given.extend(gives(kind.rows, vm, &map, node));
        }
    }
    let mut agreed: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (key, value) in given {
        let said = agreed.entry(key).or_insert_with(|| Some(value.clone()));
        if said.as_ref() != Some(&value) {
            *said = None;
        }
    }
    let agreed = agreed.into_iter();
    Ok(agreed
        .filter_map(|(key, value)| Some((key, value?)))
        .collect())
}

/// The keys that rows give, a device's own below its map.
fn gives(rows: &[Row], vm: &VmName, map: &str, scope: Node<'_, '_>) -> Vec<(String, String)> {
    let given = rows.iter().filter_map(|row| {
        let value = &row.read(scope)?;
        Some(match (row.give)(&Seen { vm, value })? {
            Given::OfVm(key, value) => (key.to_owned(), value),
            Given::OfDevice(key, value) => (format!("{map}{key}"), value),
        })
    });
    given.collect()
}
