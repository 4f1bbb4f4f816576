//! The examples for Ansible and systemd do what they say, as they are written.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::fleet::{VM, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost, script};

pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn grown() -> String {
    stopped_recipe().replace("memory: 512MiB", "memory: 768MiB")
}

pub(crate) fn install_armfleet(host: &TestHost) {
    host.run("install", &["-m", "0755", ARMFLEET, "/usr/bin/armfleet"])
        .success();
}

/// A unit of systemd's.
pub(crate) struct Unit(String);

impl Unit {
    pub(crate) fn read(name: &str) -> Self {
        Self(example(&format!("systemd/{name}")))
    }

    pub(crate) fn replace(&self, from: &str, to: &str) -> Self {
        assert!(self.0.contains(from), "{from} in {}", self.0);
        Self(self.0.replace(from, to))
    }

    /// The value of a key; empty where it is absent.
    pub(crate) fn value(&self, key: &str) -> &str {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_default()
    }

    /// Runs its command with its privileges, under some user's id.
    pub(crate) fn run(&self, host: &TestHost) -> Output {
        let capabilities = self.value("AmbientCapabilities").to_lowercase();
        let capabilities = capabilities.replace("cap_", ",+");
        let mut command = host.command("setpriv");
        command
            .args([
                "--reuid=nobody",
                "--regid=nogroup",
                "--clear-groups",
                "--no-new-privs",
            ])
            .args(
                ["inh-caps", "ambient-caps", "bounding-set"]
                    .map(|set| format!("--{set}=-all{capabilities}")),
            )
            .arg("--")
            .args(self.value("ExecStart").split(' '));
        command.output().unwrap().into()
    }
}

/// What ansible-playbook counts at its end.
fn recap(output: &Output) -> BTreeMap<String, u32> {
    let line = output
        .stdout
        .lines()
        .rev()
        .find(|line| line.contains("ok="));
    let line = line.unwrap_or_else(|| panic!("{}{}", output.stdout, output.stderr));
    let counts = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    counts
        .map(|(what, count)| (what.to_owned(), count.parse().unwrap()))
        .collect()
}

#[test]
fn the_ansible_role_applies_and_tells_what_changed() {
    let host = TestHost::start();
    install_armfleet(&host);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ansible");
    host.run("cp", &["-r", folder, "/run/test/ansible"])
        .success();
    let play = |arguments: &[&str]| {
        let mut command = host.command("env");
        command
            .args([
                "--chdir=/run/test/ansible",
                "ansible-playbook",
                "-i",
                "inventory.yml",
                "site.yml",
            ])
            .args(arguments);
        Output::from(command.output().unwrap())
    };
    let assert_ends = |output: &Output, changed: u32, failed: u32| {
        let counts = recap(output);
        assert_eq!(
            (counts["changed"], counts["failed"]),
            (changed, failed),
            "{}{}",
            output.stdout,
            output.stderr
        );
    };
    let images = r#"{"armfleet_images": [{"src": "site.yml", "dest": "/srv/images/first"}]}"#;
    let play_with_images = |arguments: &[&str]| play(&[&["-e", images], arguments].concat());
    // With --check nothing is written: two folders and an image would be, and the plan has steps.
    assert_ends(&play_with_images(&["--check"]), 4, 0);
    assert_ne!(host.virsh(&["domstate", VM]).code, Some(0));
    for path in ["/etc/armfleet", "/srv/images", "/var/lib/armfleet"] {
        assert!(!host.path(path).exists(), "{path}");
    }
    assert_ends(&play_with_images(&[]), 4, 0);
    assert_eq!(host.state(VM), "shut off");
    // A VM may have a disk over it.
    host.write("/srv/images/first", "an image");
    assert_ends(&play_with_images(&[]), 0, 0);
    assert_eq!(host.read("/srv/images/first"), "an image");
    assert_ends(&play(&["--check"]), 0, 0);

    let fleet = "/run/test/ansible/fleet.yaml";
    host.write(fleet, host.read(fleet).replace("512MiB", "768MiB"));
    assert_ends(&play(&["--check"]), 1, 0);
    assert!(host.definition(VM).contains("524288"));
    assert_ends(&play(&[]), 1, 0);
    assert!(host.definition(VM).contains("786432"));

    // A file that is wrong is not put there, and what is refused fails the play.
    host.write(fleet, host.read(fleet).replace("768MiB", "768"));
    assert_ends(&play(&[]), 0, 1);
    host.write(fleet, "fleet: obs-workers\nvms: {}\n");
    for arguments in [&[][..], &["--check"]] {
        let refused = play(arguments);
        assert_ends(&refused, 0, 1);
        let message = "\"msg\": [\"armhf-vm: ";
        let said = |text| refused.stdout.contains(text);
        assert!(
            said(message) && said("--allow-removal=1"),
            "{}",
            refused.stdout
        );
    }
    assert_eq!(host.state(VM), "shut off");
    let allowed = play(&["-e", r#"{"armfleet_options": ["--allow-removal=1"]}"#]);
    assert_ends(&allowed, 1, 0);
    assert_ne!(host.virsh(&["domstate", VM]).code, Some(0));
}

#[test]
fn the_drift_unit_fails_where_something_drifted() {
    let host = TestHost::with_applied(&stopped_recipe());
    install_armfleet(&host);
    host.run("mkdir", &["-p", "/etc/armfleet"]).success();
    host.run("cp", &["fleet.yaml", "/etc/armfleet/fleet.yaml"])
        .success();
    let unit = Unit::read("armfleet-drift.service");
    assert_eq!(
        unit.value("CapabilityBoundingSet"),
        unit.value("AmbientCapabilities")
    );
    let run = || unit.run(&host);
    assert_eq!(run().code, Some(0));
    // What the file wants new is no drift.
    host.write("/etc/armfleet/fleet.yaml", grown());
    assert_eq!(run().code, Some(0));
    host.virsh(&["setvcpus", VM, "2", "--config", "--maximum"])
        .success();
    let drifted = run();
    assert_eq!(drifted.code, Some(2), "{}", drifted.stderr);
    assert!(
        drifted.stdout.contains("vcpus  2 -> 1"),
        "{}",
        drifted.stdout
    );
}

#[test]
fn the_metrics_unit_tells_numbers_of_every_vm() {
    let host = TestHost::with_applied(&stopped_recipe());
    install_armfleet(&host);
    host.run("mkdir", &["-p", "/etc/armfleet"]).success();
    host.run("cp", &["fleet.yaml", "/etc/armfleet/fleet.yaml"])
        .success();
    let unit = Unit::read("armfleet-metrics.service");
    host.run(
        "mkdir",
        &[format!("/var/lib/{}", unit.value("StateDirectory"))],
    )
    .success();
    // Quotes are to a shell what they are to systemd.
    let run = || host.run("sh", &["-c", unit.value("ExecStart")]);
    run().success();
    let told = host.read("/var/lib/armfleet-metrics/armfleet.prom");
    let numbers = [
        "armfleet_vm_running{fleet=\"recipe\",vm=\"armhf-vm\"} 0\n",
        "armfleet_vm_wanted_running{fleet=\"recipe\",vm=\"armhf-vm\"} 0\n",
        "armfleet_vm_changes{fleet=\"recipe\",vm=\"armhf-vm\"} 0\n",
        "# EOF\n",
    ];
    for number in numbers {
        assert!(told.contains(number), "{number} in {told}");
    }
    host.run(script("libvirt"), &["stop"]).success();
    assert_ne!(run().code, Some(0));
    assert_eq!(host.read("/var/lib/armfleet-metrics/armfleet.prom"), told);
}

/// The files of the other examples: on a host that has none of the kernels that they name, there is a plan nevertheless,
/// and all that is refused is refused for that.
#[test]
fn every_fleet_file_is_planned() {
    let host = TestHost::start();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    host.run("cp", &["-r", folder, "/run/test/examples"])
        .success();
    // One of them has a disk of its own for the images of large VMs.
    host.run("mkdir", &["/srv/large"]).success();
    let files = host
        .run("grep", &["-rlE", "--include=*.yaml", "^vms:", "examples"])
        .success();
    assert!(files.lines().count() >= 6, "{files}");
    for file in files.lines() {
        let plan = host.armfleet(&["plan", "--detailed-exitcode", "--format", "json", file]);
        let report: Value = serde_json::from_str(&plan.stdout)
            .unwrap_or_else(|error| panic!("{file}: {error}{}", plan.stderr));
        let refusals = report["refusals"].as_array().unwrap();
        for refusal in refusals {
            let why = refusal["why"].as_str().unwrap();
            let of_kernels = why.contains("not there") || why.contains("no kernel with its initrd");
            // A check of the host: this one may be small.
            let of_host = refusal["check"].is_string();
            assert!(of_kernels || of_host, "{file}: {why}");
        }
        let code = if refusals.is_empty() { 2 } else { 3 };
        assert_eq!(
            (plan.code, &report["complete"]),
            (Some(code), &true.into()),
            "{file}: {}",
            plan.stderr
        );
    }
}
