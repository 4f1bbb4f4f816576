//! The examples for forges, Ansible and systemd do what they say, as they are written.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use serde_yaml::Value as Yaml;

use crate::fleet::{VM, second_vm, stopped_recipe};
use crate::host::{ARMFLEET, Output, Running, TestHost, WORK};

const PORT: &str = "8095";
const KEPT: &str = "/run/test/comments.json";

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn yaml(name: &str) -> Yaml {
    serde_yaml::from_str(&example(name)).unwrap()
}

fn text(value: &Yaml) -> &str {
    value.as_str().unwrap()
}

fn grown() -> String {
    stopped_recipe().replace("memory: 512MiB", "memory: 768MiB")
}

/// A VM of which something is refused: its seed is not there.
fn refused_vm() -> String {
    second_vm("other-vm").replace("/srv/seed/vmlinuz", "/srv/nowhere/vmlinuz")
}

/// A host with armfleet in its place, and a forge that keeps the comments of a pull request.
struct Forge {
    host: TestHost,
    _server: Running,
}

impl Forge {
    fn start() -> Self {
        let host = TestHost::with_applied(&stopped_recipe());
        install_armfleet(&host);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/forge.py");
        let server = host.spawn("python3", &[script, PORT, KEPT]);
        let ping = format!(
            "until curl --silent --output /dev/null http://127.0.0.1:{PORT}/; do sleep 0.1; done"
        );
        host.run("timeout", &["30", "sh", "-c", &ping]).success();
        // Where the runner works.
        host.run("chmod", &["0777", WORK]).success();
        Self {
            host,
            _server: server,
        }
    }

    /// Runs a script as a runner does that may read everything and change nothing.
    fn run(&self, script: &str, environment: &BTreeMap<&str, String>) -> Output {
        let mut command = self.host.command("setpriv");
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .args([
                "--inh-caps=-all,+dac_read_search",
                "--ambient-caps=-all,+dac_read_search",
                "--bounding-set=-all,+dac_read_search",
                "--",
                "env",
            ])
            .args(
                environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .args([
                "bash",
                "--noprofile",
                "--norc",
                "-eo",
                "pipefail",
                "-c",
                script,
            ]);
        command.output().unwrap().into()
    }

    fn comments(&self) -> Vec<String> {
        let kept: Value = serde_json::from_str(&self.host.read(KEPT)).unwrap();
        let comments = kept.as_array().unwrap().iter();
        comments
            .map(|comment| comment["body"].as_str().unwrap().to_owned())
            .collect()
    }

    fn planned(&self) -> String {
        let arguments = ["plan", "--diff", "--format", "markdown"];
        self.host.armfleet(&arguments).stdout
    }

    /// A pull request is pushed to again and again; `pipeline` tells how its pipeline ends.
    fn assert_reviews(&self, pipeline: impl Fn() -> Option<i32>) {
        let steps: [(String, i32); 4] = [
            (grown(), 2),
            (grown().replace("size: 64MiB", "size: 96MiB"), 2),
            (grown() + &refused_vm(), 3),
            (stopped_recipe(), 0),
        ];
        for (fleet, code) in steps {
            self.host.write_fleet(&fleet);
            assert_eq!(pipeline(), Some(code));
            assert_eq!(self.comments(), ["Looks fine.".to_owned(), self.planned()]);
        }
        self.host.write_fleet("fleet: recipe\nvms: 3\n");
        let before = self.comments();
        assert_eq!(pipeline(), Some(4));
        assert_eq!(self.comments(), before);
        self.host.write_fleet(&stopped_recipe());
        self.host.assert_converged();
    }
}

fn install_armfleet(host: &TestHost) {
    host.run("install", &["-m", "0755", ARMFLEET, "/usr/bin/armfleet"])
        .success();
}

#[test]
fn the_gitlab_job_writes_one_note_and_ends_as_the_plan_does() {
    let forge = Forge::start();
    let job = &yaml("ci/gitlab-ci.yml")["armfleet-plan"];
    let lines = job["script"].as_sequence().unwrap().iter().map(text);
    let script = lines.collect::<Vec<_>>().join("\n");
    let environment = BTreeMap::from([
        ("CI_API_V4_URL", format!("http://127.0.0.1:{PORT}/api/v4")),
        ("CI_PROJECT_ID", "7".to_owned()),
        ("CI_MERGE_REQUEST_IID", "3".to_owned()),
        ("ARMFLEET_TOKEN", "a-token".to_owned()),
    ]);
    forge.assert_reviews(|| forge.run(&script, &environment).code);
    // Changes alone do not fail the pipeline, and nothing else is allowed to.
    let allowed = job["allow_failure"]["exit_codes"].as_sequence().unwrap();
    assert_eq!(allowed, &[Yaml::from(2)]);
    // A forge that takes no note fails it.
    forge.host.write_fleet(&grown());
    let wrong = BTreeMap::from([("ARMFLEET_TOKEN", "wrong".to_owned())]);
    let environment = environment.into_iter().chain(wrong).collect();
    let ended = forge.run(&script, &environment);
    assert_eq!(ended.code, Some(22), "{}", ended.stderr);
}

/// Runs the steps of the workflow's job, as far as they run a script; tells how the first ended that failed.
fn workflow(forge: &Forge, approved: bool) -> Option<i32> {
    let file = yaml("ci/github-workflow.yml");
    let job = &file["jobs"]["plan"];
    assert_eq!(text(&job["defaults"]["run"]["shell"]), "bash");
    forge.host.write("/run/test/output", "");
    forge
        .host
        .run("chmod", &["0666", "/run/test/output"])
        .success();
    for step in job["steps"].as_sequence().unwrap() {
        let Some(script) = step["run"].as_str() else {
            assert_eq!(text(&step["uses"]), "actions/checkout@v4");
            continue;
        };
        let output = forge.host.read("/run/test/output");
        let evaluate = |expression: &str| match expression {
            "${{ github.token }}" => "a-token".to_owned(),
            "${{ github.event.pull_request.comments_url }}" => {
                format!("http://127.0.0.1:{PORT}/comments")
            }
            "${{ steps.plan.outputs.code }}" => {
                output.trim().strip_prefix("code=").unwrap().to_owned()
            }
            "${{ contains(github.event.pull_request.labels.*.name, 'armfleet-approved') }}" => {
                approved.to_string()
            }
            other => panic!("{other}"),
        };
        let mut environment = BTreeMap::from([
            ("GITHUB_OUTPUT", "/run/test/output".to_owned()),
            ("GITHUB_STEP_SUMMARY", "/dev/null".to_owned()),
        ]);
        for (name, value) in step["env"].as_mapping().into_iter().flatten() {
            environment.insert(text(name), evaluate(text(value)));
        }
        let ended = forge.run(script, &environment);
        if ended.code != Some(0) {
            return ended.code;
        }
    }
    Some(0)
}

#[test]
fn the_github_workflow_writes_one_comment_and_waits_for_the_label() {
    let forge = Forge::start();
    // The gate ends with 1 where changes are not approved.
    forge.assert_reviews(|| match (workflow(&forge, false), workflow(&forge, true)) {
        (Some(1), Some(0)) => Some(2),
        (without, with) => {
            assert_eq!(without, with);
            with
        }
    });
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
    // With --check the folder is made, and nothing else.
    assert_ends(&play(&["--check"]), 2, 0);
    assert_ne!(host.virsh(&["domstate", VM]).code, Some(0));
    assert!(!host.path("/etc/armfleet/fleet.yaml").exists());
    assert_ends(&play(&[]), 1, 0);
    assert_eq!(host.state(VM), "shut off");
    assert_ends(&play(&[]), 0, 0);
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
    assert_ends(&play(&[]), 0, 1);
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
    let unit = example("systemd/armfleet-drift.service");
    let value = |key: &str| {
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap().to_owned()
    };
    let capability = value("AmbientCapabilities")
        .to_lowercase()
        .replace("cap_", "+");
    assert_eq!(value("CapabilityBoundingSet"), value("AmbientCapabilities"));
    let run = || {
        let mut command = host.command("setpriv");
        command
            .args([
                "--reuid=nobody",
                "--regid=nogroup",
                "--clear-groups",
                "--no-new-privs",
            ])
            .args([
                format!("--inh-caps=-all,{capability}"),
                format!("--ambient-caps=-all,{capability}"),
                format!("--bounding-set=-all,{capability}"),
            ])
            .arg("--")
            .args(value("ExecStart").split(' '));
        Output::from(command.output().unwrap())
    };
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
