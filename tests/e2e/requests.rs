//! The examples for pull requests do what they say, as they are written: against a forge on the loopback device, and with
//! the snapshot that the host's units take and upload.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_yaml::Value as Yaml;

use crate::examples::{Unit, example, install_armfleet};
use crate::fleet::{second_vm, stopped_recipe};
use crate::host::{Output, Running, TestHost, WORK};

const FORGE: &str = "http://127.0.0.1:8095";
const PORT: &str = "8095";
/// What the forge keeps.
const FOLDER: &str = "/run/test/forge";
const SNAPSHOT: &str = "/api/v4/projects/7/packages/generic/armfleet/latest/host.snapshot";
/// The runner's folder for files of its own.
const TEMPORARY: &str = "/run/test/runner";
const MARKER: &str = "<!-- armfleet -->\n";
const NOTHING_SHOWN: &str = "**armfleet ended with 4 and shows nothing: the job's log says why.**";
const NOT_FETCHED: &str =
    "**The snapshot of the host could not be fetched, so this is the change of the files alone.**";
const LACKS: &str = "**The snapshot of the host lacks what this needs (the job says what), so this is the change of the files \
                     alone.**";

type Environment = BTreeMap<String, String>;

fn environment<const N: usize>(pairs: [(&str, &str); N]) -> Environment {
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs.into()
}

fn yaml(name: &str) -> Yaml {
    serde_yaml::from_str(&example(name)).unwrap()
}

fn text(value: &Yaml) -> &str {
    value.as_str().unwrap()
}

fn larger(fleet: &str) -> String {
    fleet.replace("memory: 512MiB", "memory: 768MiB")
}

/// A pull request's commits, of which the last is checked out.
struct Commits {
    /// The commit that it began at, and the newest one of the branch that it is for.
    base: String,
    target: String,
    head: String,
    merged: String,
}

/// A host on which the fleet was applied, a forge with a pull request, and a runner.
struct Forge {
    host: TestHost,
    _server: Running,
}

impl Forge {
    fn start() -> Self {
        let host = TestHost::with_applied(&stopped_recipe());
        install_armfleet(&host);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/forge.py");
        host.run("mkdir", &["-m", "0777", FOLDER, TEMPORARY])
            .success();
        let server = host.spawn("python3", &[script, PORT, FOLDER]);
        let ping = format!("until curl --silent --output /dev/null {FORGE}/; do sleep 0.1; done");
        host.run("timeout", &["30", "sh", "-c", &ping]).success();
        host.run("chown", &["-R", "nobody:nogroup", WORK]).success();
        let forge = Self {
            host,
            _server: server,
        };
        // What the target's newest commit changed is no change of the request.
        let begin = "git init --quiet --initial-branch=main && git add fleet.yaml && git commit --quiet -m base && \
                     git tag base && echo '    stop_timeout: 5min' >>fleet.yaml && git commit --quiet -a -m target";
        forge.git(begin);
        forge
    }

    /// Runs commands of git; the last word that they print.
    #[track_caller]
    fn git(&self, script: &str) -> String {
        let who = environment([
            ("HOME", WORK),
            ("GIT_AUTHOR_NAME", "A"),
            ("GIT_AUTHOR_EMAIL", "a@example.org"),
            ("GIT_COMMITTER_NAME", "A"),
            ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ]);
        self.run(script, &who, "").success().trim().to_owned()
    }

    /// Runs a script as a runner does, with these capabilities.
    fn run(&self, script: &str, environment: &Environment, capabilities: &str) -> Output {
        let mut command = self.host.command("setpriv");
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .args(
                ["inh-caps", "ambient-caps", "bounding-set"]
                    .map(|set| format!("--{set}=-all{capabilities}")),
            )
            .args(["--", "env"])
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

    /// Pushes a change of the fleet file to the request.
    fn push(&self, change: impl Fn(&str) -> String) -> Commits {
        let commit = |at: &str, parents: &str| {
            let file = self.git(&format!(
                "git checkout --quiet --force --detach {at} && cat fleet.yaml"
            )) + "\n";
            self.host.write_fleet(&change(&file));
            self.git(&format!(
                "git add fleet.yaml && git commit-tree {parents} -m change $(git write-tree)"
            ))
        };
        let head = commit("base", "-p base");
        let merged = commit("main", &format!("-p main -p {head}"));
        self.host.write(format!("{FOLDER}/head"), &head);
        let [base, target] =
            ["base", "main"].map(|name| self.git(&format!("git rev-parse --short {name}")));
        Commits {
            base,
            target,
            head,
            merged,
        }
    }

    fn check_out(&self, commit: &str) {
        self.git(&format!("git checkout --quiet --force --detach {commit}"));
    }

    fn comments(&self) -> Vec<String> {
        let kept: Value =
            serde_json::from_str(&self.host.read(format!("{FOLDER}/comments.json"))).unwrap();
        let comments = kept.as_array().unwrap().iter();
        comments
            .map(|comment| comment["body"].as_str().unwrap().to_owned())
            .collect()
    }

    fn diff(&self, from: &str) -> String {
        let command = format!("armfleet diff --git {from} --format markdown");
        self.run(&command, &environment([]), "").success()
    }

    /// The host's timer elapses.
    fn take_snapshot(&self) {
        let host = &self.host;
        host.run(
            "install",
            &[
                "-d",
                "-o",
                "nobody",
                "/var/lib/armfleet-snapshot",
                "/etc/armfleet",
            ],
        )
        .success();
        host.write("/etc/armfleet/fleet.yaml", stopped_recipe());
        Unit::read("armfleet-snapshot.service").run(host).success();
        host.run("mkdir", &["/run/test/credentials"]).success();
        host.write(
            "/run/test/credentials/header",
            "DEPLOY-TOKEN: a-deploy-token\n",
        );
        let upload = Unit::read("armfleet-snapshot-upload.service");
        assert!(upload.value("LoadCredential").starts_with("header:"));
        let upload = upload
            .replace("${CREDENTIALS_DIRECTORY}", "/run/test/credentials")
            .replace("https://gitlab.example.org", FORGE);
        upload.run(host).success();
        assert!(
            host.read(format!("{FOLDER}/snapshot"))
                .contains("armfleet-snapshot/1")
        );
    }

    /// A request is pushed to again and again; `pipeline` tells how its pipeline ends, and from which commit it compares.
    fn assert_reviews(&self, pipeline: impl Fn(&Commits, &Environment) -> (Option<i32>, String)) {
        let others = self.comments();
        let (no_snapshot, wrong) = (environment([]), environment([("TOKEN", "wrong")]));
        let snapshot = environment([("SNAPSHOT", "")]);
        let own = |commits: &Commits, shown: &str| {
            let mut comments = others.clone();
            comments.push(format!(
                "{MARKER}{shown}\n<sub>commit {}</sub>\n",
                commits.head
            ));
            assert_eq!(self.comments(), comments);
        };
        let moved = |fleet: &str| fleet.replace("/srv/{name}.img", "/srv/other/{name}.img");
        let steps: [(&dyn Fn(&str) -> String, i32); 4] = [
            (&larger, 2),
            (
                &|fleet| larger(fleet).replace("size: 64MiB", "size: 96MiB"),
                2,
            ),
            (&moved, 3),
            (&str::to_owned, 0),
        ];
        for (change, code) in steps {
            let commits = self.push(change);
            let (ended, from) = pipeline(&commits, &no_snapshot);
            assert_eq!(ended, Some(code));
            own(&commits, &self.diff_or_refusal(&from));
        }
        // A file that is wrong leaves no comment of a former commit.
        let commits = self.push(|_| "fleet: recipe\nvms: 3\n".to_owned());
        assert_eq!(pipeline(&commits, &no_snapshot).0, Some(4));
        own(&commits, &format!("{NOTHING_SHOWN}\n\n"));

        // A snapshot that is not there, is none, and lacks the paths of a new VM.
        let commits = self.push(larger);
        let (ended, from) = pipeline(&commits, &snapshot);
        assert_eq!(ended, Some(2));
        own(&commits, &format!("{NOT_FETCHED}\n\n{}", self.diff(&from)));
        self.host.write(format!("{FOLDER}/snapshot"), "none");
        assert_eq!(pipeline(&commits, &snapshot).0, Some(2));
        own(&commits, &format!("{LACKS}\n\n{}", self.diff(&from)));
        self.take_snapshot();
        let commits = self.push(|fleet| format!("{fleet}{}", second_vm("other-vm")));
        let (ended, from) = pipeline(&commits, &snapshot);
        assert_eq!(ended, Some(2));
        own(&commits, &format!("{LACKS}\n\n{}", self.diff(&from)));

        // One that has all there is to see: the plan, and how old it is.
        let commits = self.push(larger);
        assert_eq!(pipeline(&commits, &snapshot).0, Some(2));
        let comment = self.comments().pop().unwrap();
        let head = format!("{MARKER}### armfleet plan for fleet `recipe`\n\n**");
        assert!(comment.starts_with(&head), "{comment}");
        assert!(
            comment.contains("On host `local`, libvirt 9.0.0, snapshot of 20"),
            "{comment}"
        );
        assert!(
            comment.contains("memory 512 MiB -\\> 768 MiB (file changed)"),
            "{comment}"
        );

        // A run that a newer commit overtook, and one that the forge does not let in, write nothing.
        let commits = self.push(moved);
        self.host.write(format!("{FOLDER}/head"), &commits.base);
        assert_eq!(pipeline(&commits, &no_snapshot).0, Some(3));
        assert_eq!(self.comments().pop().unwrap(), comment);
        self.host.write(format!("{FOLDER}/head"), &commits.head);
        assert_eq!(pipeline(&commits, &wrong).0, Some(22));
        assert_eq!(self.comments().pop().unwrap(), comment);
    }

    fn diff_or_refusal(&self, from: &str) -> String {
        let command = format!("armfleet diff --git {from} --format markdown");
        let shown = self.run(&command, &environment([]), "");
        assert!(matches!(shown.code, Some(0 | 3)), "{}", shown.stderr);
        shown.stdout
    }

    /// After the merge, the plan of the host; `pipeline` tells how its job ends.
    fn assert_plans(&self, changes: i32, pipeline: impl Fn() -> (Option<i32>, String)) {
        let refused = stopped_recipe()
            + &second_vm("other-vm").replace("/srv/seed/vmlinuz", "/srv/nowhere/vmlinuz");
        for (fleet, code) in [
            (stopped_recipe(), 0),
            (larger(&stopped_recipe()), changes),
            (refused, 3),
        ] {
            self.host.write_fleet(&fleet);
            let arguments = ["plan", "--diff", "--format", "markdown"];
            let planned = self.host.armfleet(&arguments).stdout;
            assert_eq!(pipeline(), (Some(code), planned));
        }
        self.host.write_fleet("fleet: recipe\nvms: 3\n");
        assert_eq!(pipeline(), (Some(4), String::new()));
        self.host.write_fleet(&stopped_recipe());
        self.host.assert_converged();
    }
}

const READS_ALL: &str = ",+dac_read_search";

fn gitlab_script(job: &str) -> String {
    let file = yaml("ci/gitlab-ci.yml");
    // Changes alone do not fail the pipeline, and nothing else is allowed to.
    let allowed = file[job]["allow_failure"]["exit_codes"]
        .as_sequence()
        .unwrap();
    assert_eq!(allowed, &[Yaml::from(2)]);
    let lines = file[job]["script"].as_sequence().unwrap().iter().map(text);
    lines.collect::<Vec<_>>().join("\n")
}

/// The variables of a job for a merge request; `merged` says whether its pipeline is for the merged result.
fn gitlab_variables(commits: &Commits, given: &Environment, merged: bool) -> Environment {
    let api = format!("{FORGE}/api/v4");
    let mut variables = environment([
        ("CI_API_V4_URL", api.as_str()),
        ("CI_MERGE_REQUEST_PROJECT_ID", "7"),
        ("CI_MERGE_REQUEST_IID", "3"),
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", &commits.base),
        ("CI_JOB_TOKEN", "a-job-token"),
        ("ARMFLEET_TOKEN", "a-token"),
    ]);
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set(
        "CI_COMMIT_SHA",
        if merged {
            &commits.merged
        } else {
            &commits.head
        },
    );
    if merged {
        set("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", &commits.target);
        set("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", &commits.head);
    }
    if given.contains_key("SNAPSHOT") {
        set("ARMFLEET_SNAPSHOT_URL", &format!("{FORGE}{SNAPSHOT}"));
    }
    if let Some(token) = given.get("TOKEN") {
        set("ARMFLEET_TOKEN", token);
    }
    variables
}

#[test]
fn the_gitlab_jobs_write_one_note_and_plan_after_the_merge() {
    let forge = Forge::start();
    let plan = gitlab_script("armfleet-plan");
    forge.assert_plans(2, || {
        let ended = forge.run(&plan, &environment([]), READS_ALL);
        (ended.code, forge.host.read("/run/test/plan.md"))
    });
    let script = gitlab_script("armfleet-diff");
    let run = |commits: &Commits, given: &Environment, merged: bool| {
        let variables = gitlab_variables(commits, given, merged);
        forge.check_out(&variables["CI_COMMIT_SHA"]);
        let ended = forge.run(&script, &variables, "");
        let base = if merged {
            &commits.target
        } else {
            &commits.base
        };
        (ended.code, base.clone())
    };
    forge.assert_reviews(|commits, given| run(commits, given, true));
    // Without a pipeline for merged results, and in a fork, which has no token.
    let commits = forge.push(larger);
    let (ended, base) = run(&commits, &environment([]), false);
    assert_eq!(ended, Some(2));
    let comment = format!(
        "{MARKER}{}\n<sub>commit {}</sub>\n",
        forge.diff(&base),
        commits.head
    );
    assert_eq!(forge.comments().pop().unwrap(), comment);
    let before = forge.comments();
    let commits = forge.push(|fleet| larger(fleet).replace("64MiB", "96MiB"));
    let (ended, _) = run(&commits, &environment([("TOKEN", "")]), false);
    assert_eq!(ended, Some(2));
    assert!(
        forge
            .host
            .read("/run/test/comment.md")
            .contains(&commits.head)
    );
    assert_eq!(forge.comments(), before);
}

/// Runs the steps of a job of the workflow, as far as they run a script; tells how the first ended that failed.
fn workflow(
    forge: &Forge,
    job: &str,
    expressions: &Environment,
    capabilities: &str,
) -> Option<i32> {
    let file = yaml("ci/github-workflow.yml");
    assert_eq!(text(&file["defaults"]["run"]["shell"]), "bash");
    let [output, summary] = ["output", "summary"].map(|name| format!("{TEMPORARY}/{name}"));
    forge
        .run("rm -rf /run/test/runner/*", &environment([]), "")
        .success();
    for step in file["jobs"][job]["steps"].as_sequence().unwrap() {
        let Some(script) = step["run"].as_str() else {
            assert_eq!(text(&step["uses"]), "actions/checkout@v4");
            continue;
        };
        if step["if"]
            .as_str()
            .is_some_and(|condition| expressions[condition] == "false")
        {
            continue;
        }
        let set = forge
            .run(&format!("cat {output} || true"), &environment([]), "")
            .stdout;
        let code = set.trim().strip_prefix("code=").unwrap_or_default();
        let mut variables = environment([
            ("GITHUB_OUTPUT", output.as_str()),
            ("GITHUB_STEP_SUMMARY", &summary),
            ("RUNNER_TEMP", TEMPORARY),
        ]);
        for (name, value) in step["env"].as_mapping().into_iter().flatten() {
            let value = text(value)
                .strip_prefix("${{ ")
                .unwrap()
                .strip_suffix(" }}")
                .unwrap();
            let value = match value {
                "steps.diff.outputs.code" => code,
                known => &expressions[known],
            };
            variables.insert(text(name).to_owned(), value.to_owned());
        }
        let ended = forge.run(script, &variables, capabilities);
        if ended.code != Some(0) {
            return ended.code;
        }
    }
    Some(0)
}

fn expressions(commits: &Commits, given: &Environment, approved: bool, own: bool) -> Environment {
    let [comments, request, snapshot] =
        ["comments", "pulls/3", "snapshot"].map(|path| format!("{FORGE}/{path}"));
    let snapshot = if given.contains_key("SNAPSHOT") {
        snapshot.as_str()
    } else {
        ""
    };
    let (approved, own) = (approved.to_string(), own.to_string());
    environment([
        ("github.event.pull_request.head.sha", &commits.head),
        ("github.event.pull_request.url", &request),
        ("github.event.pull_request.comments_url", &comments),
        (
            "github.event.pull_request.head.repo.full_name == github.repository",
            &own,
        ),
        (
            "github.event.action == 'labeled' && github.event.label.name == 'armfleet-approved'",
            &approved,
        ),
        (
            "github.token",
            given.get("TOKEN").map_or("a-token", String::as_str),
        ),
        ("vars.ARMFLEET_SNAPSHOT_URL", snapshot),
        ("secrets.ARMFLEET_SNAPSHOT_TOKEN", "a-snapshot-token"),
    ])
}

#[test]
fn the_github_workflow_writes_one_comment_waits_for_the_label_and_plans_after_the_merge() {
    let forge = Forge::start();
    let summary = || forge.host.read(format!("{TEMPORARY}/summary"));
    // After the merge, changes are what is expected.
    forge.assert_plans(0, || {
        let ended = workflow(&forge, "plan", &environment([]), READS_ALL);
        (ended, summary())
    });
    let run = |commits: &Commits, given: &Environment, approved: bool, own: bool| {
        forge.check_out(&commits.merged);
        workflow(
            &forge,
            "diff",
            &expressions(commits, given, approved, own),
            "",
        )
    };
    forge.assert_reviews(|commits, given| {
        let ended = run(commits, given, true, true);
        let code = forge.host.read(format!("{TEMPORARY}/output"));
        let code = code.trim().strip_prefix("code=").unwrap().parse().unwrap();
        // Changes that are approved pass.
        let passed = ended == Some(0) && matches!(code, 0 | 2);
        let ended = if passed { Some(code) } else { ended };
        (ended, commits.target.clone())
    });
    // Changes that are not approved wait, and what changes nothing does not.
    let no_snapshot = environment([]);
    let unchanged = forge.push(str::to_owned);
    assert_eq!(run(&unchanged, &no_snapshot, false, true), Some(0));
    // From a fork: the token only reads.
    let before = forge.comments();
    let commits = forge.push(larger);
    assert_eq!(run(&commits, &no_snapshot, false, false), Some(1));
    assert!(summary().contains(&commits.head));
    assert_eq!(forge.comments(), before);
}
