//! What the documents show is true.

#![allow(clippy::unwrap_used, reason = "tests")]

use armfleet::fleet::explain::{KeyTopic, Topic, topics};
use armfleet::fleet::read_fleet;
use armfleet::plan::state_table;
use armfleet::problem::HostCheck;
use std::path::Path;
use std::process::Command;

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The blocks of a document that are fenced with this language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let begun = document.split(&fence).skip(1);
    begun
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect()
}

/// The rows of the table whose head begins so, as their first cells.
fn first_cells<'a>(document: &'a str, head: &str) -> Vec<&'a str> {
    let lines = document.lines().skip_while(|line| !line.starts_with(head));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').nth(1).unwrap().trim())
        .collect()
}

/// The keys of a VM as a table, made of what `explain` says.
fn table_of_keys() -> String {
    let mut table = "| key of a VM | meaning | value | if absent |\n|---|---|---|---|\n".to_owned();
    for topic in topics() {
        let Topic::Key(KeyTopic {
            key,
            of,
            about: Some(about),
        }) = topic
        else {
            continue;
        };
        let of_no_vm = matches!(of, "a fleet file" | "a variable" | "a secret");
        let of_map = ["a map with", "a list of maps"];
        if of_no_vm || of_map.iter().any(|map| about.value.starts_with(map)) {
            continue;
        }
        let (meaning, _) = about
            .meaning
            .split_once(". ")
            .unwrap_or((about.meaning, ""));
        let (value, _) = about
            .value
            .split_once([':', ';'])
            .unwrap_or((&about.value, ""));
        let absence = about.absence.unwrap_or("required".to_owned());
        let meaning = meaning.trim_end_matches('.');
        table += &format!("| `{key}` | {meaning} | {value} | {absence} |\n");
    }
    table
}

/// `SNAPSHOTS=overwrite cargo test --test documents` writes the table anew.
#[test]
fn the_readme_has_the_keys_as_they_are_declared() {
    let readme = text("README.md");
    let begin = readme.find("| key of a VM |").unwrap();
    let end = begin + readme[begin..].find("\n\n").unwrap() + 1;
    let with_table = format!("{}{}{}", &readme[..begin], table_of_keys(), &readme[end..]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    snapbox::assert_data_eq!(with_table, snapbox::Data::read_from(&path, None).raw());
}

fn table_of_states() -> String {
    let head = "| state of the domain | `state: running` | `state: stopped` | `start` | `stop` | `stop --force` | `restart` |\n|---|---|---|---|---|---|---|\n";
    let rows = state_table().into_iter();
    let rows = rows.map(|(state, cells)| format!("| {state} | {} |\n", cells.join(" | ")));
    format!("{head}{}", rows.collect::<String>())
}

/// The same writes this table anew.
#[test]
fn the_readme_has_what_each_state_calls_for() {
    let readme = text("README.md");
    let begin = readme.find("| state of the domain |").unwrap();
    let end = begin + readme[begin..].find("\n\n").unwrap() + 1;
    let with_table = format!(
        "{}{}{}",
        &readme[..begin],
        table_of_states(),
        &readme[end..]
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    snapbox::assert_data_eq!(with_table, snapbox::Data::read_from(&path, None).raw());
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_armfleet"))
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_changelog_has_every_check_of_a_host() {
    for check in HostCheck::ALL {
        assert!(
            text("CHANGELOG.md").contains(&format!("`{check}`")),
            "{check}"
        );
    }
}

/// An answer that is shown is the answer.
#[test]
fn the_problem_shown_is_the_one_of_its_file() {
    let readme = text("README.md");
    let shown = blocks(&readme, "text");
    let shown = shown
        .iter()
        .find(|block| block.starts_with("error["))
        .unwrap();
    let answer = text("tests/invalid/profile-and-vm/stderr.txt");
    assert!(answer.starts_with(shown), "{shown}");
}

#[test]
fn every_fleet_file_shown_is_valid() {
    let readme = text("README.md");
    let mut files: Vec<_> = blocks(&readme, "yaml")
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert!(!files.is_empty());
    files.push(text("examples/quickstart/fleet.yaml"));
    for file in files {
        let read = read_fleet(file.as_bytes(), "fleet.yaml", "/home/me");
        assert!(read.is_ok(), "{file}");
    }
}

#[test]
fn the_readme_has_the_commands_and_exit_codes_of_the_help() {
    let (readme, help) = (text("README.md"), help(&["--help"]));
    let after = |head: &str| {
        let (_, rest) = help.split_once(head).unwrap();
        let lines = rest.lines().skip(1).take_while(|line| !line.is_empty());
        // What is wrapped is indented further.
        let entries = lines.filter_map(|line| line.strip_prefix("  "));
        let words = entries
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split(' ').next());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut commands = after("Commands:");
    commands.retain(|command| command != "help");
    let shown = first_cells(&readme, "| command |");
    let shown: Vec<_> = shown
        .iter()
        .map(|cell| cell.trim_matches('`').split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(shown, commands);
    assert_eq!(
        first_cells(&readme, "| code |"),
        after("first that applies counts:")
    );
}

/// Examples that are no fleet files, and the test that runs them as they are written.
const RUN_BY: [(&str, &str, &str); 30] = [
    (
        "ansible/inventory.yml",
        "tests/e2e/examples.rs",
        "the_ansible_role_applies_and_tells_what_changed",
    ),
    (
        "ansible/roles/armfleet/defaults/main.yml",
        "tests/e2e/examples.rs",
        "the_ansible_role_applies_and_tells_what_changed",
    ),
    (
        "ansible/roles/armfleet/tasks/main.yml",
        "tests/e2e/examples.rs",
        "the_ansible_role_applies_and_tells_what_changed",
    ),
    (
        "ansible/site.yml",
        "tests/e2e/examples.rs",
        "the_ansible_role_applies_and_tells_what_changed",
    ),
    (
        "ci/github-workflow.yml",
        "tests/e2e/requests.rs",
        "the_github_workflow_writes_one_comment_waits_for_the_label_and_plans_after_the_merge",
    ),
    (
        "ci/gitlab-ci.yml",
        "tests/e2e/requests.rs",
        "the_gitlab_jobs_write_one_note_and_plan_after_the_merge",
    ),
    (
        "cloud-init/meta-data",
        "tests/e2e/cloud_init.rs",
        "cloud_init_accepts_the_example",
    ),
    (
        "cloud-init/network-config",
        "tests/e2e/cloud_init.rs",
        "cloud_init_accepts_the_example",
    ),
    (
        "cloud-init/user-data",
        "tests/e2e/cloud_init.rs",
        "cloud_init_accepts_the_example",
    ),
    (
        "debian-armhf/preseed.cfg",
        "tests/e2e/install.rs",
        "examples/debian-armhf/preseed.cfg",
    ),
    (
        "package/build",
        "tests/package.rs",
        "the_package_is_installed_upgraded_and_purged",
    ),
    (
        "package/debian/postinst",
        "tests/package.rs",
        "the_package_is_installed_upgraded_and_purged",
    ),
    (
        "package/debian/postrm",
        "tests/package.rs",
        "the_package_is_installed_upgraded_and_purged",
    ),
    (
        "policy/armfleet.rego",
        "tests/formats/policy.rs",
        "the_example_policy_denies_removals_on_fridays_and_interruptions_of_a_pool",
    ),
    ("quickstart/run", "tests/run", "examples/quickstart/run"),
    (
        "systemd/armfleet-drift.service",
        "tests/e2e/examples.rs",
        "the_drift_unit_fails_where_something_drifted",
    ),
    (
        "systemd/armfleet-drift.timer",
        "tests/units.rs",
        "systemd_understands_the_units",
    ),
    (
        "prometheus/armfleet.rules.yml",
        "tests/formats.rs",
        "every_alert_is_on_numbers_that_there_are_and_every_number_is_documented",
    ),
    (
        "systemd/armfleet-metrics.service",
        "tests/e2e/examples.rs",
        "the_metrics_unit_tells_numbers_of_every_vm",
    ),
    (
        "systemd/armfleet-metrics.timer",
        "tests/units.rs",
        "systemd_understands_the_units",
    ),
    (
        "systemd/armfleet-snapshot.service",
        "tests/e2e/forge.rs",
        "armfleet-snapshot.service",
    ),
    (
        "systemd/armfleet-snapshot.timer",
        "tests/units.rs",
        "systemd_understands_the_units",
    ),
    (
        "systemd/armfleet-snapshot-upload.service",
        "tests/e2e/forge.rs",
        "armfleet-snapshot-upload.service",
    ),
    (
        "systemd/armfleet-watch.service",
        "tests/units.rs",
        "systemd_understands_the_units",
    ),
    (
        "build-farm/fleet.yaml",
        "tests/e2e/build_farm.rs",
        "two_workers_of_the_example_reach_each_other_with_the_addresses_that_their_files_give",
    ),
    (
        "build-farm/user-data",
        "tests/e2e/build_farm.rs",
        "two_workers_of_the_example_reach_each_other_with_the_addresses_that_their_files_give",
    ),
    (
        "build-farm/network-config.armhf",
        "tests/e2e/build_farm.rs",
        "two_workers_of_the_example_reach_each_other_with_the_addresses_that_their_files_give",
    ),
    (
        "build-farm/network-config.arm64",
        "tests/e2e/build_farm.rs",
        "two_workers_of_the_example_reach_each_other_with_the_addresses_that_their_files_give",
    ),
    (
        "backup/disks",
        "tests/e2e/power.rs",
        "the_backup_example_copies_the_images_of_a_vm_that_runs_and_of_one_that_is_off",
    ),
    (
        "ansible/fleet.yaml",
        "tests/e2e/examples.rs",
        "the_ansible_role_applies_and_tells_what_changed",
    ),
];

/// A copy of what the repository holds below a folder, and of nothing that lies about there.
fn clean_checkout(folder: &str) -> (tempfile::TempDir, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            folder,
        ])
        .current_dir(root)
        .output()
        .unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<String> = names.lines().map(str::to_owned).collect();
    let checkout = tempfile::tempdir().unwrap();
    for name in &names {
        let to = checkout.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root.join(name), to).unwrap();
    }
    (checkout, names)
}

#[test]
fn every_example_works_as_it_is_written() {
    let (checkout, names) = clean_checkout("examples");
    assert!(names.len() > 12, "{names:?}");
    for name in &names {
        let short = name.strip_prefix("examples/").unwrap();
        let run_by = RUN_BY.iter().find(|(example, ..)| *example == short);
        if let Some((_, file, test)) = run_by {
            assert!(text(file).contains(test), "{name}: {file} has no {test}");
        }
        let path = checkout.path().join(name);
        let is_fleet =
            name.ends_with(".yaml") && std::fs::read_to_string(&path).unwrap().contains("\nvms:");
        assert!(is_fleet || run_by.is_some(), "no test runs {name}");
        if is_fleet {
            let checked = Command::new(env!("CARGO_BIN_EXE_armfleet"))
                .arg("validate")
                .arg(path.file_name().unwrap())
                .current_dir(path.parent().unwrap())
                .env_clear()
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(
                checked.status.success() && said.is_empty(),
                "{name}: {said}"
            );
        }
    }
    for (name, ..) in RUN_BY {
        assert!(
            names.contains(&format!("examples/{name}")),
            "there is no {name}"
        );
    }
}
