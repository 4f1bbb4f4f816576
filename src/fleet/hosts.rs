//! The hosts of a fleet: their keys. This version does the host `local` alone.

use super::vm::LOCAL;
use crate::fleetfile::{Field, Fields, Map, Placeholders, Scalar, ValueType, keys};
use crate::problem::{Checked, ProblemKind};
use crate::values::HostPath;
use crate::yaml::{Value, at};
use std::collections::BTreeSet;

/// The keys of a host.
pub(super) static HOST: &Map = keys! {
    "host": "a host", "hosts.", "it belongs to a host, under its name in `hosts`";
    /// Folders that others than root may write to, taken as they are, with all below them. Whoever writes
    /// there can put another image or folder in the place of a VM's, or a link to any file of the host.
    trust: ValueType::HostPaths => {
        absent: "a VM is refused if others than root can change where one of its paths leads",
        effect: Now, example: "[/home/me/vms]", also_called: ["trusted"],
    }
    planned ["ssh"]
};

/// Reads `hosts`: the folders of the local host that are taken as they are.
pub(super) fn trusted(
    field: Option<&Field<'_>>,
    words: &Placeholders<'_>,
) -> Checked<BTreeSet<HostPath>> {
    let Some(field) = field else {
        return Ok(BTreeSet::new());
    };
    let mut trusted = Ok(BTreeSet::new());
    for (name, key, node) in field.entries("a map from names to hosts")? {
        if name != LOCAL {
            let message = format!("`hosts.{name}` is not supported yet");
            let problem = at(ProblemKind::NotSupportedYet, key, message);
            trusted = Err(field.report(problem.help("all VMs are on the host `local`")));
            continue;
        }
        let host = Field::of_map(&key.range, node, field.scope);
        let keys = Fields::read(&host, HOST)?;
        trusted = keys
            .get("trust")
            .map_or(trusted, |field| folders(field, words));
    }
    trusted
}

fn folders(field: &Field<'_>, words: &Placeholders<'_>) -> Checked<BTreeSet<HostPath>> {
    let Value::List(entries) = &field.node.value else {
        let meant = match &field.node.value {
            Value::Scalar(text, _) => Some(format!("[{text}]")),
            _ => None,
        };
        let wanted = "a list of absolute paths";
        return Err(field.misread(meant, wanted, wanted));
    };
    let folders = entries.iter().map(|node| {
        let node = &words.expand(node)?;
        HostPath::scalar(&Field {
            key: node.range.clone(),
            node,
            ..field.clone()
        })
    });
    let folders: Vec<_> = folders.collect();
    folders.into_iter().collect()
}
