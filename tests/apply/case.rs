//! A folder of `tests/cases`: a fleet file, what was observed on a host, and the plan as people read it.

use armfleet::boot::SHIM;
use armfleet::inventory::{RawInventory, digest};
use armfleet::plan::{Policy, Removal};
use armfleet::values::VmName;
use serde_json::{Map, Value};
use snapbox::{Data, assert_data_eq};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The case that all others are told by their difference from.
pub(crate) const BASE: &str = "no-op";
/// Stands for the SHA-256 of this version's shim.
pub(crate) const SHIM_DIGEST: &str = "@sha256 of the shim";

pub(crate) fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// What options of the command line permit.
pub(crate) fn policy(options: Option<&str>) -> Policy {
    let removal = match options.map(str::trim) {
        None => Removal::Asked,
        Some("--auto-approve") => Removal::Refused,
        Some("--allow-removal") => Removal::Allowed,
        Some(options) if options.contains(' ') => Removal::Asked,
        Some(options) => {
            let number = options.strip_prefix("--allow-removal=");
            Removal::UpTo(number.unwrap().parse().unwrap())
        }
    };
    let named = |option: &str| -> Option<VmName> {
        let vm = options?.trim().strip_prefix(option)?.strip_prefix(' ')?;
        Some(vm.parse().unwrap())
    };
    Policy {
        removal,
        reinstall: named("--reinstall"),
        accept: named("--accept").into_iter().collect(),
        allow_replace: named("--allow-replace").into_iter().collect(),
        ..Policy::default()
    }
}

/// One case.
pub(crate) struct Case {
    folder: PathBuf,
    pub(crate) name: String,
}

impl Case {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            folder: cases().join(name),
            name: name.to_owned(),
        }
    }

    pub(crate) fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(file)).ok()
    }

    /// Compares a text with a file of the case. With `SNAPSHOTS=overwrite` in the environment it is written instead.
    #[track_caller]
    pub(crate) fn assert(&self, file: &str, text: &str) {
        let path = self.folder.join(file);
        if !path.exists() && std::env::var("SNAPSHOTS").is_ok_and(|action| action == "overwrite") {
            fs::create_dir_all(&self.folder).unwrap();
            fs::write(&path, "").unwrap();
        }
        assert!(path.exists(), "{} is missing", path.display());
        assert_data_eq!(text, Data::read_from(&path, None).raw());
    }

    /// What was observed on the case's host, and the other files that say it.
    pub(crate) fn host(&self) -> (RawInventory, BTreeSet<String>) {
        let mut host = self.observed();
        if self.name != BASE {
            let mut base = Self::new(BASE).observed();
            merge(&mut base, host);
            host = base;
        }
        let mut used = BTreeSet::new();
        self.inline(&mut host, &mut used);
        (serde_json::from_value(host).unwrap(), used)
    }

    fn observed(&self) -> Value {
        let text = self
            .text("host.json")
            .unwrap_or_else(|| panic!("{} has no host.json", self.name));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Puts texts in the places of the files that hold them.
    fn inline(&self, value: &mut Value, used: &mut BTreeSet<String>) {
        match value {
            Value::String(text) if text == SHIM_DIGEST => *text = digest(SHIM),
            Value::String(text) => {
                if let Some(file) = text.strip_prefix('@').map(str::to_owned) {
                    *text = self.held(&file);
                    used.insert(file);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.inline(value, used)),
            Value::Object(values) => values
                .values_mut()
                .for_each(|value| self.inline(value, used)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text of a file of the case, or else of the base, or else of the fixtures.
    fn held(&self, file: &str) -> String {
        let fixture = cases().join("../fixtures").join(file);
        self.text(file)
            .or_else(|| Self::new(BASE).text(file))
            .or_else(|| fs::read_to_string(fixture).ok())
            .unwrap_or_else(|| panic!("{}: there is no {file}", self.name))
    }
}

/// Changes a value as a JSON merge patch says (RFC 7386).
fn merge(value: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = Map::new().into();
    }
    for (key, patch) in patch {
        let values = value.as_object_mut().unwrap();
        if patch.is_null() {
            values.remove(&key);
        } else {
            merge(values.entry(key).or_insert(Value::Null), patch);
        }
    }
}
