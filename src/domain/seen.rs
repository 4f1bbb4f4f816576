//! A definition's properties as they are, whatever is wanted of them.

use super::edit::DeviceRef;
use super::kind::devices;
use super::kinds::KINDS;
use super::row::Row;
use super::rows::DOMAIN_ROWS;
use crate::xml;
use roxmltree::Node;
use std::collections::BTreeMap;

/// Every property that the table knows, with its device, as a plan shows it; none if the text is not XML.
#[must_use]
pub fn properties(definition: &str) -> BTreeMap<String, String> {
    let Ok(document) = xml::parse(definition) else {
        return BTreeMap::new();
    };
    let mut properties = BTreeMap::new();
    read("", DOMAIN_ROWS, document.root_element(), &mut properties);
    for kind in KINDS {
        for (key, node) in devices(&document, kind) {
            let device = DeviceRef {
                kind: kind.id.clone(),
                key: key.to_owned(),
            };
            read(&format!("{device} "), kind.rows, node, &mut properties);
        }
    }
    properties
}

fn read(device: &str, rows: &[Row], scope: Node<'_, '_>, into: &mut BTreeMap<String, String>) {
    let values = rows.iter().filter_map(|row| {
        let value = row.read(scope)?;
        Some((format!("{device}{}", row.id), value.to_string()))
    });
    into.extend(values);
}
