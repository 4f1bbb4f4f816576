//! What was done is told, on the real thing: by whom, from where, and what would bring it back.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{JOURNAL, VM, recipe, stopped_recipe};
use crate::host::{ARMFLEET, TestHost};

const HISTORY: &str = "/var/lib/armfleet/history";

fn grown() -> String {
    stopped_recipe().replace("memory: 512MiB", "memory: 768MiB")
}

fn history(host: &TestHost, arguments: &[&str]) -> String {
    let told = host.armfleet(&[&["history"], arguments].concat());
    assert_eq!(told.stderr, "");
    told.success()
}

fn as_json(host: &TestHost, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&history(host, &arguments)).unwrap()
}

/// The way back of the last step of this kind.
fn way_back(told: &Value, kind: &str) -> String {
    let acts = told["acts"].as_array().unwrap();
    let steps = acts.iter().flat_map(|act| act["steps"].as_array().unwrap());
    let step = steps.rev().find(|step| step["kind"] == kind).unwrap();
    step["way_back"].as_str().unwrap().to_owned()
}

#[test]
fn the_command_that_is_told_brings_back_what_was() {
    let host = TestHost::with_applied(&stopped_recipe());
    let before = host.definition(VM);
    host.write_fleet(&grown());
    host.apply().success();
    assert_ne!(host.definition(VM), before);

    let told = history(&host, &[VM]);
    for line in [
        "host:/run/test/fleet.yaml",
        "memory 512 MiB -> 768 MiB",
        "      -  <memory unit='KiB'>524288</memory>",
        "      +  <memory unit='KiB'>786432</memory>",
        "all steps done",
    ] {
        assert!(told.contains(line), "{line} in\n{told}");
    }
    let command = way_back(&as_json(&host, &[VM]), "domain");
    assert!(told.contains(&format!("to undo it: {command}\n")));
    let (virsh, file) = command.split_once(" define ").unwrap();
    assert_eq!(virsh, "virsh");
    host.virsh(&["define", file]).success();
    assert_eq!(host.definition(VM), before);
    // As it says, the fleet file has its way again.
    host.apply().success();
    assert!(host.definition(VM).contains("786432"));
}

#[test]
fn applies_are_told_with_plan_caller_and_durations() {
    let host = TestHost::with_fleet(&recipe());
    let planned: Value = {
        let plan = host.armfleet(&["plan", "--format", "json"]).success();
        serde_json::from_str(&plan).unwrap()
    };
    let mut apply = host.command("env");
    apply.args([
        "SUDO_USER=anna",
        "SSH_CONNECTION=192.0.2.7 50022 192.0.2.1 22",
    ]);
    apply.args([ARMFLEET, "apply", "--auto-approve"]);
    assert!(apply.output().unwrap().status.success());
    let told = as_json(&host, &[]);
    let act = &told["acts"][0];
    assert_eq!(act["by"], "anna");
    assert_eq!(act["apply"]["plan"], planned["digest"]);
    assert_eq!(act["apply"]["end"], "done");
    assert_eq!(act["apply"]["from"]["client"], "192.0.2.7");
    assert_eq!(act["apply"]["from"]["files"][0], "/run/test/fleet.yaml");
    let steps = act["steps"].as_array().unwrap();
    assert_eq!(steps.len(), planned["steps"].as_array().unwrap().len());
    let start = steps.iter().find(|step| step["kind"] == "start").unwrap();
    // It is watched for two seconds after it has started.
    assert!(start["seconds"].as_f64().unwrap() >= 2.0, "{start}");
    assert_eq!(way_back(&told, "start"), format!("armfleet stop {VM}"));
    assert_eq!(
        way_back(&told, "autostart"),
        format!("virsh autostart --disable {VM}")
    );
}

#[test]
fn only_root_reads_it_and_no_password_is_in_it() {
    let host = TestHost::with_applied(&stopped_recipe());
    let vnc = "<graphics type='vnc' port='-1' autoport='yes' passwd='hunter2'/></devices>";
    host.define(&host.definition(VM).replace("</devices>", vnc));
    host.write_fleet(&grown());
    host.apply().success();
    assert!(host.definition(VM).contains("passwd='hunter2'"));
    let found = host.run(
        "grep",
        &["-rl", "hunter2", "/var/lib/armfleet", "/run/armfleet"],
    );
    assert_eq!((found.stdout.as_str(), found.code), ("", Some(1)));
    let command = way_back(&as_json(&host, &[]), "domain");
    assert!(command.contains("secrets are not in it"), "{command}");
    let kept = host.run("find", &[HISTORY, "-type", "f"]).success();
    assert_eq!(kept.lines().count(), 2);
    for (path, mode) in kept
        .lines()
        .map(|path| (path, 0o600))
        .chain([(HISTORY, 0o700), (JOURNAL, 0o600)])
    {
        let permissions = host.path(path).metadata().unwrap().permissions();
        assert_eq!(permissions.mode() & 0o7777, mode, "{path}");
    }
    let refused = host.run_as_nobody(ARMFLEET, &["history"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(
        refused.stderr.contains("run it as root"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_killed_apply_and_a_damaged_line_are_said() {
    let host = TestHost::with_fleet(&recipe());
    let nothing = host.armfleet(&["history"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(0), ""));
    assert_eq!(nothing.stderr, "nothing was applied on this host yet\n");
    let mut apply = host.spawn(ARMFLEET, &["apply", "--auto-approve"]);
    let steps = || std::fs::read_to_string(host.path(JOURNAL)).unwrap_or_default();
    assert!(apply.wait_until(|| steps().contains(r#""event":"step""#)));
    // It goes no further while somebody looks.
    apply.signal(Signal::STOP);
    assert_eq!(as_json(&host, &[])["acts"][0]["apply"]["end"], "under-way");
    apply.signal(Signal::KILL);
    apply.wait();
    let told = history(&host, &[]);
    assert!(told.contains("did not end: it was killed"), "{told}");

    let journal = host.read(JOURNAL);
    let half = &journal[..journal.len() - 40];
    host.write(JOURNAL, half);
    host.apply().success();
    let told = host.armfleet(&["history"]);
    assert_eq!(told.code, Some(0));
    assert!(
        told.stderr.contains(&format!("warning: {JOURNAL}: line ")),
        "{}",
        told.stderr
    );
    assert!(told.stdout.contains("all steps done"), "{}", told.stdout);
}

#[test]
fn a_journal_that_cannot_be_written_is_said_and_undoes_nothing() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.run("rm", &[JOURNAL]).success();
    host.run("mkdir", &[JOURNAL]).success();
    host.write_fleet(&grown());
    let ended = host.armfleet(&["apply", "--auto-approve", "--format", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .starts_with(&format!("warning: cannot write {JOURNAL}\n")),
        "{}",
        ended.stderr
    );
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["settled"], true);
    assert!(!report["untold"].as_array().unwrap().is_empty());
    host.assert_converged();
}
