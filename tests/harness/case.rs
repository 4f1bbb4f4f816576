//! A folder of `tests/cases`: a fleet file, the scenario of its host, and the plan as people read it.

use super::plan;
use super::scenario::Scenario;
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::plan::{Plan, Policy, Removal};
use armfleet::values::VmName;
use snapbox::{Data, assert_data_eq};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

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
    pub(crate) fleet: String,
    pub(crate) policy: Policy,
    scenario: Scenario,
}

impl Case {
    pub(crate) fn all() -> BTreeSet<String> {
        names(&folder())
    }

    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        let folder = folder().join(name);
        let scenario: Scenario = serde_yaml::from_str(&text(&folder, "scenario.yaml"))
            .unwrap_or_else(|error| panic!("{name}/scenario.yaml: {error}"));
        Self {
            fleet: text(&folder, "fleet.yaml"),
            policy: policy(scenario.options.as_deref()),
            scenario,
            folder,
        }
    }

    /// A host as the scenario says.
    pub(crate) fn host(&self) -> Memory {
        self.scenario.play(&self.folder)
    }

    pub(crate) fn spec(&self) -> Spec {
        super::spec(&self.fleet)
    }

    /// The plan of the case's fleet file on a host.
    pub(crate) fn plan(&self, host: &Memory) -> Plan {
        plan(host, &self.fleet, &self.policy)
    }

    #[track_caller]
    pub(crate) fn text(&self, file: &str) -> String {
        text(&self.folder, file)
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }

    /// The files of the case that are none of it.
    pub(crate) fn strange_files(&self) -> Vec<String> {
        let known = ["fleet.yaml", "scenario.yaml", "plan.txt", "diff.txt"];
        let mut strange = names(&self.folder);
        strange.retain(|file| !known.contains(&file.as_str()) && !self.scenario.applies(file));
        strange.into_iter().collect()
    }

    /// Compares a text with a file of the case. With `SNAPSHOTS=overwrite` in the environment it is written instead.
    #[track_caller]
    pub(crate) fn assert(&self, file: &str, text: &str) {
        let path = self.folder.join(file);
        if !path.exists() && std::env::var("SNAPSHOTS").is_ok_and(|action| action == "overwrite") {
            fs::write(&path, "").unwrap();
        }
        assert!(path.exists(), "{} is missing", path.display());
        assert_data_eq!(text, Data::read_from(&path, None).raw());
    }
}

/// A file of a case.
#[track_caller]
pub(super) fn text(folder: &Path, file: &str) -> String {
    let path = folder.join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
