//! In what a running domain differs from its definition.

use super::kind::{DeviceKind, find_device};
use super::kinds::find_kind;
use super::row::Row;
use super::rows::DOMAIN_ROWS;
use super::subject::Subject;
use super::value::Value;
use crate::mark::{Applied, DeviceId};
use roxmltree::{Document, Node};
use std::fmt;

const NOTHING: &str = "nothing";

/// Something in which a running domain differs from its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// A property, or a device that one of them lacks.
    pub what: Subject,
    /// What the process has; none where it has nothing.
    pub live: Option<String>,
    /// What the definition has.
    pub defined: Option<String>,
}

impl fmt::Display for Differing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match (what, &self.live) {
            (Subject::Device(_), None) => write!(f, "{what} added"),
            (Subject::Device(_), Some(_)) => write!(f, "{what} removed"),
            _ => {
                let (live, defined) = (self.live_words(), self.defined_words());
                write!(f, "{what} {live} -> {defined}")
            }
        }
    }
}

impl Differing {
    /// What the process has, in words.
    #[must_use]
    pub fn live_words(&self) -> &str {
        self.live.as_deref().unwrap_or(NOTHING)
    }

    /// What the definition has, in words.
    #[must_use]
    pub fn defined_words(&self) -> &str {
        self.defined.as_deref().unwrap_or(NOTHING)
    }
}

type Pair<'a, 'd> = [Option<Node<'a, 'd>>; 2];

/// The managed properties in which a running domain differs from its definition. Of the devices, only those that armfleet put
/// there count; one that the process or the definition lacks is told as a whole.
#[must_use]
pub fn differing_rows(
    live: &Document<'_>,
    defined: &Document<'_>,
    applied: &Applied,
) -> Vec<Differing> {
    let roots = [live, defined].map(|document| Some(document.root_element()));
    let of_domain = DOMAIN_ROWS
        .iter()
        .filter_map(|row| differing(Subject::Property(row.id.clone()), row, roots));
    let devices = applied.devices.iter().filter_map(|(id, device)| {
        let kind = find_kind(&id.kind)?;
        let nodes = [live, defined].map(|document| find_device(document, kind, &device.key));
        Some((id, kind, nodes))
    });
    let of_devices = devices.flat_map(|(id, kind, nodes)| of_device(id, kind, nodes));
    of_domain.chain(of_devices).collect()
}

fn of_device(id: &DeviceId, kind: &DeviceKind, nodes: Pair<'_, '_>) -> Vec<Differing> {
    match nodes {
        [None, None] => Vec::new(),
        [Some(_), Some(_)] => {
            let rows = kind.rows.iter();
            let rows = rows.filter_map(|row| {
                differing(Subject::OfDevice(id.clone(), row.id.clone()), row, nodes)
            });
            rows.collect()
        }
        [live, defined] => {
            let [live, defined] = [live, defined].map(|node| node.map(|_| id.to_string()));
            vec![Differing {
                what: Subject::Device(id.clone()),
                live,
                defined,
            }]
        }
    }
}

fn differing(what: Subject, row: &Row, nodes: Pair<'_, '_>) -> Option<Differing> {
    let [live, defined] = nodes.map(|node| node.and_then(|node| row.read(node)));
    let text = |value: Option<Value>| value.map(|value| value.to_string());
    (live != defined).then(|| Differing {
        what,
        live: text(live),
        defined: text(defined),
    })
}
