//! In what a running domain differs from its definition.

use super::kind::find_device;
use super::kinds::find_kind;
use super::rows::DOMAIN_ROWS;
use super::subject::Subject;
use super::value::Value;
use crate::mark::Applied;
use roxmltree::{Document, Node};

/// The managed properties in which a running domain differs from its definition, as (what, running, defined). Of the
/// devices, only those that armfleet put there count.
#[must_use]
pub fn differing_rows(
    live: &Document<'_>,
    defined: &Document<'_>,
    applied: &Applied,
) -> Vec<(Subject, String, String)> {
    let roots = (Some(live.root_element()), Some(defined.root_element()));
    let of_domain = DOMAIN_ROWS.iter().map(|row| {
        let what = Subject::Property(row.id.clone());
        (what, row, roots)
    });
    let of_devices = applied.devices.iter().flat_map(|(id, device)| {
        let kind = find_kind(&id.kind);
        kind.into_iter().flat_map(move |kind| {
            let find = |document| find_device(document, kind, &device.key);
            let nodes = (find(live), find(defined));
            kind.rows.iter().map(move |row| {
                let what = Subject::OfDevice(id.clone(), row.id.clone());
                (what, row, nodes)
            })
        })
    });
    let text = |value: Option<Value>| value.map_or("nothing".to_owned(), |value| value.to_string());
    let differing = of_domain
        .chain(of_devices)
        .filter_map(|(what, row, nodes)| {
            let read = |scope: Option<Node<'_, '_>>| scope.and_then(|scope| row.read(scope));
            let (live, defined) = (read(nodes.0), read(nodes.1));
            (live != defined).then(|| (what, text(live), text(defined)))
        });
    differing.collect()
}
