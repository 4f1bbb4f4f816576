//! `armfleet diff` as it is called with saved plans, and with a snapshot.

use std::fs;
use std::process::Command;
use tempfile::TempDir;

use crate::harness::applied::{applied, edit_domain, saved_plan, spec, vm};
use crate::harness::snapshot_of;

/// A folder with the files that the tests name.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    /// What `armfleet diff` says, with its exit code.
    fn diff(&self, arguments: &[&str]) -> String {
        let mut armfleet = Command::new(env!("CARGO_BIN_EXE_armfleet"));
        let armfleet = armfleet.current_dir(self.0.path());
        let output = armfleet.arg("diff").args(arguments).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        format!("{said}[{}]", output.status.code().unwrap())
    }
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}

fn fleet(vms: &[String]) -> String {
    format!("fleet: obs\nvms:\n{}", vms.concat())
}

#[test]
fn saved_plans_are_told_from_fleet_files() {
    let applied_fleet = fleet(&[vm("a", "1GiB", ", restart: when-required")]);
    let host = applied(&spec(&applied_fleet));
    let (grown, larger) = (
        applied_fleet.replace("1GiB", "2GiB"),
        applied_fleet.replace("1GiB", "3GiB"),
    );
    let (reviewed, other) = (saved_plan(&grown, &host), saved_plan(&larger, &host));
    let of_later = reviewed.replace("armfleet-saved-plan/2", "armfleet-saved-plan/9");
    let files = Files::new(&[
        ("fleet.yaml", &grown),
        ("old.yaml", &applied_fleet),
        ("reviewed", &reviewed),
        ("other", &other),
        ("cut", &reviewed[..reviewed.len() / 2]),
        ("later", &of_later),
    ]);
    assert_says(
        &files.diff(&["reviewed", "reviewed", "--detailed-exitcode"]),
        &["fleet obs · host local", "The same effects.\n[0]"],
    );
    let differs = [
        "change domain a\n      old: memory 1 GiB -> 2 GiB",
        "new: memory 1 GiB -> 3 GiB",
        "Other effects: ",
    ];
    assert_says(&files.diff(&["reviewed", "other"]), &differs);
    assert!(files.diff(&["reviewed", "other"]).ends_with("[0]"));
    let detailed = files.diff(&["reviewed", "other", "--detailed-exitcode"]);
    assert!(detailed.ends_with("[2]"), "{detailed}");
    for (format, says) in [
        ("json", "\"format\": \"armfleet-plan-comparison/1\""),
        (
            "markdown",
            "### armfleet: is this still the plan that was reviewed?",
        ),
    ] {
        assert_says(
            &files.diff(&["reviewed", "other", "--format", format]),
            &[says],
        );
    }
    for mixed in [["reviewed", "fleet.yaml"], ["fleet.yaml", "reviewed"]] {
        assert_says(
            &files.diff(&mixed),
            &[
                "reviewed is a saved plan, and fleet.yaml is none",
                "armfleet plan --out FILE fleet.yaml",
                "[4]",
            ],
        );
    }
    assert_says(
        &files.diff(&["reviewed", "cut"]),
        &["cannot use the plan in cut", "[4]"],
    );
    assert_says(
        &files.diff(&["later", "reviewed"]),
        &["cannot use the plan in later", "[4]"],
    );
    assert_says(
        &files.diff(&["reviewed", "other", "--vm", "a", "--allow-removal"]),
        &[
            "--vm, --allow-removal is for fleet files",
            "leave it out",
            "[4]",
        ],
    );
    assert_says(
        &files.diff(&["old.yaml", "fleet.yaml"]),
        &["no host was looked at", "1 GiB -> 2 GiB"],
    );
}

#[test]
fn with_a_snapshot_a_diff_is_a_plan_that_says_what_is_due_without_the_change() {
    let old = fleet(&[
        vm("a", "1GiB", ""),
        vm("b", "1GiB", ""),
        vm("c", "1GiB", ""),
    ]);
    let host = applied(&spec(&old));
    // Somebody changed two domains by hand; the change of the file reaches another VM, and adopts one of the edits.
    edit_domain(&host, "b", "1048576", "1572864");
    edit_domain(&host, "c", "1048576", "2097152");
    let snapshot = snapshot_of(&host, &spec(&old));
    let new = fleet(&[
        vm("a", "2GiB", ""),
        vm("b", "1GiB", ""),
        vm("c", "2GiB", ""),
    ]);
    let files = Files::new(&[
        ("old.yaml", &old),
        ("new.yaml", &new),
        ("snapshot", &snapshot),
    ]);
    let with = |more: &[&str]| {
        let arguments = ["--from-snapshot", "snapshot", "old.yaml", "new.yaml"];
        files.diff(&[&arguments, more].concat())
    };
    let text = with(&[]);
    assert_says(
        &text,
        &[
            "fleet obs · host local · libvirt 9.0.0 · snapshot of ",
            "memory  1 GiB -> 2 GiB",
            "memory  1536 MiB -> 1 GiB",
            "1 step is due without the change, too: domain/b.\n",
            "1 step is due without the change, and not with it: domain/c.\n",
            "[0]",
        ],
    );
    assert_says(
        &with(&["--format", "markdown"]),
        &[
            "### armfleet plan for fleet `obs`",
            "\n1 step is due without the change, too: domain/b.\n",
        ],
    );
    let json = with(&["--format", "json", "--detailed-exitcode"]);
    assert!(json.ends_with("[2]"));
    let json: serde_json::Value = serde_json::from_str(json.trim_end_matches("[2]")).unwrap();
    let known = serde_json::json!({ "also": ["domain/b"], "instead": ["domain/c"] });
    assert_eq!(json["without_change"], known);
    let plan = files.diff(&["--from-snapshot", "snapshot", "old.yaml", "old.yaml"]);
    assert_says(
        &plan,
        &["2 steps are due without the change, too: domain/b, domain/c.\n"],
    );
    assert_says(
        &files.diff(&["--from-snapshot", "old.yaml", "old.yaml", "new.yaml"]),
        &[
            "cannot use the snapshot old.yaml",
            "armfleet snapshot --out FILE",
            "[4]",
        ],
    );
}

#[test]
fn the_size_of_an_image_that_no_file_tells_is_known_on_the_host_only() {
    let sized = |size: &str| {
        let disk = format!("path: \"/srv/{{name}}.img\", from: {{ path: /srv/base.img }}{size}");
        let vms = vm("obs-[01-03]", "1GiB", "").replace("obs-[01-03]:", "\"obs-[01-03]\":");
        fleet(&[vms.replace("path: /srv/obs-[01-03].img, size: 8GiB", &disk)])
    };
    let files = Files::new(&[
        ("none.yaml", "fleet: obs\nvms: {}\n"),
        ("whole.yaml", &sized("")),
        ("grown.yaml", &sized(", size: 8GiB")),
        ("larger.yaml", &sized(", size: 16GiB")),
    ]);
    let said = "i obs-01: the size of /srv/base.img is known on the host only; 1 GiB stands for it";
    let folded = said.replace("obs-01", "{name}");
    for (old, new) in [("none", "whole"), ("whole", "grown")] {
        let told = files.diff(&[&format!("{old}.yaml"), &format!("{new}.yaml")]);
        assert_says(&told, &[&folded, "obs-[01-03] (3 VMs)"]);
    }
    let told = files.diff(&["whole.yaml", "grown.yaml"]);
    assert_says(&told, &["1 GiB -> 8 GiB"]);
    for (old, new) in [("none", "grown"), ("grown", "larger"), ("grown", "whole")] {
        let told = files.diff(&[&format!("{old}.yaml"), &format!("{new}.yaml")]);
        assert!(!told.contains("stands for it"), "{told}");
    }
}
