//! Keeping the cases as the host in memory is.

use crate::bed::{FLEET, observe, settled_host};
use crate::case::{BASE, Case, SHIM_DIGEST};
use armfleet::boot::SHIM;
use armfleet::inventory::{RawInventory, digest};
use serde_json::{Map, Value};
use std::sync::Once;

/// Where cases are written, what they differ from is written first.
fn keep_base_first() {
    static KEPT: Once = Once::new();
    if std::env::var("SNAPSHOTS").is_ok_and(|action| action == "overwrite") {
        KEPT.call_once(keep_base);
    }
}

/// Keeps the case that all others differ from.
#[track_caller]
pub(crate) fn keep_base() {
    let case = Case::new(BASE);
    case.assert("fleet.yaml", FLEET);
    case.assert_host(&observe(&settled_host(), FLEET));
}

impl Case {
    /// Compares the case's `host.json`, and the files that go with it, with what was observed on a host.
    #[track_caller]
    pub(crate) fn assert_host(&self, observed: &RawInventory) {
        let mut host = serde_json::to_value(observed).unwrap();
        // Its size is that of this version's shim, and decides nothing.
        let shim =
            host.pointer_mut("/paths/~1etc~1libvirt~1hooks~1qemu.d~150-armfleet/present/stat/size");
        if let Some(size) = shim {
            *size = 0.into();
        }
        // Only a hold that ends depends on it.
        host["at"] = 1_700_000_000.into();
        if self.name != BASE {
            keep_base_first();
            let (base, _) = Self::new(BASE).host();
            host = difference(&serde_json::to_value(base).unwrap(), &host);
        }
        self.take_out_domains(&mut host);
        let paths = host.get_mut("paths").and_then(Value::as_object_mut);
        for (path, fact) in paths.into_iter().flatten() {
            for file in ["/present/text", "/present/sha256"] {
                if let Some(text) = fact.pointer_mut(file) {
                    self.take_out(text, &file_name(path));
                }
            }
        }
        if let Some(text) = host.pointer_mut("/libvirt/present/capabilities") {
            *text = "@capabilities-9.0.xml".into();
        }
        self.assert("host.json", &print(&host));
    }

    fn take_out_domains(&self, host: &mut Value) {
        let domains = host
            .pointer_mut("/domains/present")
            .and_then(Value::as_array_mut);
        for domain in domains.into_iter().flatten() {
            let name = domain["name"].as_str().unwrap().to_owned();
            for (xml, file) in [
                ("/inactive/present", format!("{name}.xml")),
                ("/live/present", format!("{name}.live.xml")),
            ] {
                if let Some(text) = domain.pointer_mut(xml) {
                    self.take_out(text, &file);
                }
            }
        }
    }

    /// Moves a long text into a file, unless the base has that file.
    #[track_caller]
    fn take_out(&self, text: &mut Value, file: &str) {
        let Some(held) = text.as_str().map(str::to_owned) else {
            return;
        };
        if held == digest(SHIM) {
            *text = SHIM_DIGEST.into();
        } else if held.contains('\n') {
            if self.name == BASE || Self::new(BASE).text(file).as_ref() != Some(&held) {
                self.assert(file, &held);
            }
            *text = format!("@{file}").into();
        }
    }
}

/// `armhf-vm.record.json` for `/var/lib/armfleet/vms/armhf-vm/record.json`.
fn file_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap();
    let vm = path
        .split_once("/vms/")
        .and_then(|(_, rest)| rest.split('/').next());
    match vm {
        Some(vm) => format!("{vm}.{name}"),
        None if path.contains("/hook-seen/") => format!("{name}.hook-seen"),
        None => name.to_owned(),
    }
}

/// The JSON merge patch that makes one value the other.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    let mut patch: Map<_, _> = gone.map(|key| (key.clone(), Value::Null)).collect();
    for (key, to) in to {
        match from.get(key) {
            Some(from) if from == to => {}
            from => {
                let from = from.unwrap_or(&Value::Null);
                patch.insert(key.clone(), difference(from, to));
            }
        }
    }
    patch.into()
}

/// A host, with a line for each domain and path.
fn print(host: &Value) -> String {
    let parts = host
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| match (key.as_str(), value) {
            ("paths", Value::Object(paths)) => {
                let lines = paths
                    .iter()
                    .map(|(path, fact)| format!("\n    {}: {fact}", Value::from(path.as_str())));
                format!(
                    "\n  \"paths\": {{{}\n  }}",
                    lines.collect::<Vec<_>>().join(",")
                )
            }
            ("domains", domains) if domains["present"].is_array() => {
                let domains = domains["present"].as_array().unwrap().iter();
                let lines = domains.map(|domain| format!("\n    {domain}"));
                let lines = lines.collect::<Vec<_>>().join(",");
                format!("\n  \"domains\": {{ \"present\": [{lines}\n  ] }}")
            }
            (key, value) => format!("\n  \"{key}\": {value}"),
        });
    format!("{{{}\n}}\n", parts.collect::<Vec<_>>().join(","))
}
