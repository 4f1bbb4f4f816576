//! What released versions left on a host is read for ever, and what a later version left there stays as it is. The hosts
//! are in `tests/releases`; `tests/e2e/releases.rs` boots their VMs.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::panic, clippy::unwrap_used)]

#[path = "releases/frozen.rs"]
mod frozen;

use armfleet::boot::{
    EARLIER_SHIMS, SHIM, STAGED_FILES, Trials, read_installer_receipt, read_pair_note,
    read_seed_receipt,
};
use armfleet::fleet::{Spec, read_fleet};
use armfleet::host::system::SystemReads;
use armfleet::host::{Inspect as _, Observer};
use armfleet::inventory::{Fact, Inventory, RawInventory, digest, query};
use armfleet::mark::{read_entry, read_hold, read_record, read_run_note};
use armfleet::paths;
use armfleet::plan::{Plan, Policy, Removal, SavedPlan, SavedPlanError, Step, plan};
use frozen::{RELEASES, folder, lay_out};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A frozen host: what was observed of it, and its files for what a later version looks at beyond that.
struct Frozen {
    fleet: String,
    snapshot: RawInventory,
    tree: TempDir,
}

impl Frozen {
    fn of(release: &str) -> Self {
        let tree = TempDir::new().unwrap();
        lay_out(release, tree.path());
        let text = |name: &str| fs::read_to_string(folder(release).join(name)).unwrap();
        Self {
            fleet: text("fleet.yaml"),
            snapshot: serde_json::from_str(&text("snapshot.json")).unwrap(),
            tree,
        }
    }

    /// What planning sees now that asks for more than it did then.
    fn observe(&self, spec: &Spec) -> RawInventory {
        let reads = SystemReads::open("test:///default", self.tree.path()).unwrap();
        let now = Observer(reads).observe(&query(spec)).unwrap();
        let mut then = self.snapshot.clone();
        for (path, now) in now.paths {
            let fact = match (then.paths.remove(&path), now) {
                (Some(Fact::Present(then)), Fact::Present(mut now)) => {
                    now.stat = then.stat;
                    now.sha256 = then.sha256.or(now.sha256);
                    now.text = then.text.or(now.text);
                    now.blank = then.blank.or(now.blank);
                    now.free = then.free.or(now.free);
                    now.entries = then.entries.or(now.entries);
                    Fact::Present(now)
                }
                (Some(then), _) => then,
                (None, now) => now,
            };
            then.paths.insert(path, fact);
        }
        then
    }

    fn plan(&self, fleet: &str, change: impl FnOnce(&mut RawInventory)) -> Plan {
        let spec = read_fleet(fleet.as_bytes(), "fleet.yaml", "/fleet").unwrap();
        let mut seen = self.observe(&spec);
        change(&mut seen);
        let policy = Policy {
            removal: Removal::UpTo(9),
            ..Policy::default()
        };
        plan(&spec, &Inventory::read(seen, &spec), &policy)
    }
}

/// An apply that has something to do replaces an earlier release's hook with it.
const RENEWED: [&str; 2] = ["hook/qemu", "reload/libvirtd"];

/// 0.1.0 had a linked kernel inside its share, where QEMU's user could put another file in its place.
const MOVED: [&str; 2] = ["domain/linked", "record/linked"];

/// The steps beside those that move the linked kernel.
fn steps(plan: &Plan) -> Vec<String> {
    let mut steps = ids(&plan.steps);
    steps.retain(|id| !MOVED.contains(&id.as_str()));
    steps
}

fn ids(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.id.to_string()).collect()
}

#[test]
fn the_shim_of_each_release_is_known() {
    for release in RELEASES {
        let tree = TempDir::new().unwrap();
        lay_out(release, tree.path());
        let shim =
            fs::read_to_string(tree.path().join(paths::SHIM.trim_start_matches('/'))).unwrap();
        let known = EARLIER_SHIMS.contains(&digest(&shim).as_str());
        assert!(known || shim == SHIM, "{release}");
    }
}

#[test]
fn the_first_plan_of_a_frozen_host_moves_a_linked_kernel_and_nothing_else() {
    for release in RELEASES {
        let host = Frozen::of(release);
        let plan = host.plan(&host.fleet, |_| {});
        let (refusals, unknowns) = (&plan.refusals, &plan.unknowns);
        assert_eq!(ids(&plan.steps), [RENEWED, MOVED].concat(), "{release}");
        let notice = "is not named inside /srv/linked-boot any more";
        assert!(plan.notices.iter().any(|line| line.what.contains(notice)));
        assert!(
            refusals.is_empty() && unknowns.is_empty(),
            "{release}: {plan:#?}"
        );
    }
}

#[test]
fn another_change_takes_only_its_own_steps() {
    for release in RELEASES {
        let host = Frozen::of(release);
        let plan = host.plan(&host.fleet.replace("96MiB", "128MiB"), |_| {});
        let own = ["domain/own", "record/own"];
        assert_eq!(steps(&plan), [RENEWED, own].concat(), "{release}");
        let mut all = plan.steps.iter();
        let domain = all.find(|step| step.id.to_string() == own[0]).unwrap();
        let changed: Vec<_> = domain
            .changes
            .iter()
            .map(|change| change.what.to_string())
            .collect();
        assert_eq!(changed, ["memory"]);
        assert!(!domain.cause.unwrap().is_drift(), "{domain:#?}");
    }
}

#[test]
fn every_file_of_a_frozen_host_is_read() {
    for release in RELEASES {
        let tree = TempDir::new().unwrap();
        lay_out(release, tree.path());
        let mut kinds = BTreeMap::new();
        for folder in ["var/lib/armfleet", "run/armfleet/runs"] {
            read_all(&tree.path().join(folder), &mut kinds);
        }
        let kinds: Vec<_> = kinds.into_iter().collect();
        let expected = [
            ("hold", 1),
            ("installer", 1),
            ("journal", 2),
            ("pair", 10),
            ("record", 8),
            ("run", 4),
            ("seed", 7),
            ("trials", 6),
        ];
        assert_eq!(kinds, expected, "{release}");
        let saved = fs::read(folder(release).join("saved-plan.json")).unwrap();
        match SavedPlan::read(&saved) {
            Ok(_) => assert_eq!(release, env!("CARGO_PKG_VERSION")),
            Err(error) => assert!(
                match &error {
                    SavedPlanError::OtherVersion(version) => version == release,
                    SavedPlanError::OtherFormat(format) => format == "armfleet-saved-plan/1",
                    _ => false,
                },
                "{error}"
            ),
        }
    }
}

/// Reads every file below a folder, and counts them by kind.
fn read_all(folder: &Path, kinds: &mut BTreeMap<&'static str, usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let seen = fs::symlink_metadata(&path).unwrap();
        if seen.is_dir() {
            read_all(&path, kinds);
        } else if seen.is_file() {
            match read_one(&path) {
                Ok(Some(kind)) => *kinds.entry(kind).or_default() += 1,
                Ok(None) => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
}

fn read_one(path: &Path) -> Result<Option<&'static str>, Box<dyn Error>> {
    let text = fs::read(path)?;
    let name = path.file_name().unwrap().to_str().unwrap();
    Ok(Some(match name {
        "record.json" => read_record(&text).map(|_| "record")?,
        "hold.json" => read_hold(&text).map(|_| "hold")?,
        "seed.json" => read_seed_receipt(&text).map(|_| "seed")?,
        "installer.json" => read_installer_receipt(&text).map(|_| "installer")?,
        "pair.json" => read_pair_note(&text).map(|_| "pair")?,
        "trials.json" => Trials::read(&text).map(|_| "trials")?,
        _ if path.parent().unwrap().ends_with("runs") => read_run_note(&text).map(|_| "run")?,
        _ if name.ends_with(".jsonl") => {
            for line in text
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                read_entry(line)?;
            }
            "journal"
        }
        _ => return Ok(None),
    }))
}

/// Has a file be one of the next version of its format.
fn make_later(seen: &mut RawInventory, path: &str) {
    let Some(Fact::Present(file)) = seen.paths.get_mut(path) else {
        panic!("{path} was not seen");
    };
    let text = file.text.as_mut().unwrap();
    let known = text.clone();
    *text = text.replacen("/1\"", "/2\"", 1);
    assert_ne!(*text, known);
}

#[test]
fn a_vm_with_a_file_of_a_later_version_is_refused_and_no_other() {
    let host = Frozen::of(RELEASES[0]);
    let changed = host.fleet.replace("memory: 64MiB", "memory: 128MiB");
    let all = steps(&host.plan(&changed, |_| {}));
    let of = |vm: &str, steps: &[String]| {
        steps
            .iter()
            .filter(|id| id.ends_with(&format!("/{vm}")))
            .count()
    };
    let mut files: Vec<(&str, String)> = STAGED_FILES
        .into_iter()
        .map(|(path, _)| ("linked", path(&"linked".parse().unwrap())))
        .filter(|(_, path)| !path.ends_with("installer.json"))
        .collect();
    let name = |vm: &str| vm.parse().unwrap();
    files.push(("linked", paths::record(&name("linked"))));
    files.push(("installing", paths::installer_receipt(&name("installing"))));
    files.push(("held", paths::hold(&name("held"))));
    for (vm, path) in files {
        let plan = host.plan(&changed, |seen| make_later(seen, &path));
        let left = steps(&plan);
        assert_eq!(of(vm, &left), 0, "{path}: {left:?}");
        assert_eq!(left.len(), all.len() - of(vm, &all), "{path}: {left:?}");
        let refusal = plan
            .refusals
            .iter()
            .find(|refusal| refusal.subject.to_string() == vm);
        let refusal = refusal.unwrap_or_else(|| panic!("{path}: {plan:#?}"));
        let kind = path.rsplit('/').next().unwrap().trim_end_matches(".json");
        for part in [&path, "/2; this armfleet ", "reads up to armfleet-", kind] {
            assert!(refusal.why.contains(part), "{part} in {}", refusal.why);
        }
        assert_eq!(refusal.remedy, "upgrade armfleet on this host");
    }
}

#[test]
fn a_vm_that_left_the_file_and_has_a_later_record_is_not_removed() {
    let host = Frozen::of(RELEASES[0]);
    let without = host
        .fleet
        .replace("  seeded: { on_guest_reboot: stop }\n", "");
    assert_ne!(without, host.fleet);
    let removed = steps(&host.plan(&without, |_| {}));
    assert_eq!(
        removed,
        [
            &RENEWED[..],
            &["stop/seeded", "undefine/seeded", "forget/seeded"]
        ]
        .concat()
    );
    let record = paths::record(&"seeded".parse().unwrap());
    let plan = host.plan(&without, |seen| make_later(seen, &record));
    assert_eq!(steps(&plan), RENEWED, "{plan:#?}");
    let why = &plan.refusals[0].why;
    assert!(
        why.contains("armfleet-record/2") && why.contains("armfleet-record/1"),
        "{why}"
    );
}

#[test]
fn other_words_for_a_recorded_value_are_no_drift_and_no_change() {
    let host = Frozen::of(RELEASES[0]);
    let record = paths::record(&"seeded".parse().unwrap());
    let reword = |seen: &mut RawInventory| {
        let Some(Fact::Present(file)) = seen.paths.get_mut(&record) else {
            panic!("no record");
        };
        let text = file.text.as_mut().unwrap();
        *text = text.replace("\"64 MiB\"", "\"65536 KiB\"");
        assert!(text.contains("65536 KiB"));
    };
    let plan = host.plan(&host.fleet, reword);
    assert_eq!(steps(&plan), RENEWED, "{plan:#?}");
    let changed = host.fleet.replace("memory: 64MiB", "memory: 128MiB");
    let plan = host.plan(&changed, reword);
    let step = plan
        .steps
        .iter()
        .find(|step| step.id.to_string() == "domain/seeded");
    assert!(!step.unwrap().cause.unwrap().is_drift(), "{step:#?}");
}
