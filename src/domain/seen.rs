//! A definition's properties as they are, whatever is wanted of them.

use super::edit::DeviceRef;
use super::kind::devices;
use super::kinds::KINDS;
use super::row::Row;
use super::rows::{DOMAIN_ROWS, MEMORY};
use super::value::Value;
use crate::fleet::Vm;
use crate::values::Size;
use crate::xml;
use roxmltree::{Document, Node};
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

/// The memory of a domain's guest; none if the text is not XML, or says nothing of it.
#[must_use]
pub fn memory_of(definition: &str) -> Option<Size> {
    let document = xml::parse(definition).ok()?;
    let row = DOMAIN_ROWS.iter().find(|row| row.id == MEMORY)?;
    match row.read(document.root_element())? {
        Value::Kib(kib) => Some(Size::from_bytes(kib.checked_mul(1024)?)),
        Value::Count(_) | Value::Text(_) => None,
    }
}

fn read(device: &str, rows: &[Row], scope: Node<'_, '_>, into: &mut BTreeMap<String, String>) {
    let values = rows.iter().filter_map(|row| {
        let value = row.read(scope)?;
        Some((format!("{device}{}", row.id), value.to_string()))
    });
    into.extend(values);
}

/// Whether a definition has another architecture than its VM.
#[must_use]
pub fn has_other_arch(vm: &Vm, definition: &Document<'_>) -> bool {
    arch_of(definition).is_some_and(|arch| arch != vm.arch.libvirt)
}

/// The architecture of a definition, as libvirt calls it.
#[must_use]
pub fn arch_of<'a>(definition: &'a Document<'_>) -> Option<&'a str> {
    let kind = xml::descend(definition.root_element(), &["os", "type"])?;
    kind.attribute("arch")
}
