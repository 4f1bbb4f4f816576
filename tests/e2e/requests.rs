//! The examples for pull requests do what they say, as they are written: against a forge on the loopback device, and with
//! the snapshot that the host's units take and upload.

use serde_yaml::Value as Yaml;
use std::cell::RefCell;

use crate::examples::example;
use crate::fleet::{second_vm, stopped_recipe};
use crate::forge::{
    AS_ROOT, BRANCH, Commits, Environment, FOLDER, FORGE, Forge, IN_CONTAINER, ON_HOST, OWNER,
    Runner, TEMPORARY, environment,
};
use crate::host::{Output, WORK};

const SNAPSHOT: &str = "/api/v4/projects/7/packages/generic/armfleet/latest/host.snapshot";
const MARKER: &str = "<!-- armfleet -->\n";
const NOTHING_SHOWN: &str = "**armfleet ended with 4 and shows nothing: the job's log says why.**";
const NOT_FETCHED: &str =
    "**The snapshot of the host could not be fetched, so this is the change of the files alone.**";
const LACKS: &str = "**The snapshot of the host lacks what this needs (the job says what), so this is the change of the files \
                     alone.**";

fn yaml(name: &str) -> Yaml {
    serde_yaml::from_str(&example(name)).unwrap()
}

fn text(value: &Yaml) -> &str {
    value.as_str().unwrap()
}

fn larger(fleet: &str) -> String {
    fleet.replace("memory: 512MiB", "memory: 768MiB")
}

fn moved(fleet: &str) -> String {
    fleet.replace("/srv/{name}.img", "/srv/other/{name}.img")
}

type Change<'c> = &'c dyn Fn(&str) -> String;

/// How the pipeline of a request ends, and which commit it compares with.
type Pipeline<'p> = &'p dyn Fn(&Commits, Given) -> (Option<i32>, String);

/// What a pipeline has beside the request.
#[derive(Clone, Copy)]
struct Given {
    is_snapshot_published: bool,
    token: &'static str,
}

const NO_SNAPSHOT: Given = Given {
    is_snapshot_published: false,
    token: "a-token",
};
const A_SNAPSHOT: Given = Given {
    is_snapshot_published: true,
    ..NO_SNAPSHOT
};

impl Forge {
    /// A request is pushed to again and again.
    fn assert_reviews(&self, pipeline: Pipeline<'_>) {
        let review = Review {
            forge: self,
            others: self.comments(),
            pipeline,
        };
        review.assert_follows_pushes();
        let plan = review.assert_plans_on_a_snapshot();
        review.assert_leaves_alone(&plan);
    }

    /// After the merge, the plan of the host; `pipeline` tells how its job ends, and what it shows.
    fn assert_plans(&self, changes: i32, pipeline: impl Fn() -> (Option<i32>, String)) {
        self.assert_removes(changes, &pipeline);
        let refused = stopped_recipe()
            + &second_vm("other-vm").replace("/srv/seed/vmlinuz", "/srv/nowhere/vmlinuz");
        for (fleet, code) in [
            (stopped_recipe(), 0),
            (larger(&stopped_recipe()), changes),
            (refused, 3),
        ] {
            self.host.write_fleet(&fleet);
            let commit = self.checked_out();
            let named = ["--commit", &commit, "--out", "/run/test/reviewed.plan"];
            let arguments = ["plan", "--diff", "--format", "markdown"];
            let planned = self
                .host
                .armfleet(&[&arguments[..], &named].concat())
                .stdout;
            assert_eq!(pipeline(), (Some(code), planned));
        }
        // Of a fleet with secrets the plan is shown, and there is none to apply.
        let secret = |fleet: &str| fleet.replace("root=/dev/vda1", "root=/dev/vda1 key={env.KEY}");
        self.host.write_fleet(&secret(&stopped_recipe()));
        let (code, shown) = pipeline();
        assert_eq!(code, Some(changes), "{shown}");
        assert!(shown.contains("key="), "{shown}");
        self.host.write_fleet("fleet: recipe\nvms: 3\n");
        assert_eq!(pipeline(), (Some(4), String::new()));
        self.host.write_fleet(&stopped_recipe());
        self.host.assert_converged();
    }

    /// What was planned after the merge is applied while its commit is the branch's newest; `apply` runs the job with that and
    /// with a digest of the plan.
    fn assert_applies(
        &self,
        planned: i32,
        plan: impl Fn(&str) -> Option<i32>,
        apply: impl Fn(&str) -> Output,
    ) {
        self.check_out("main");
        self.host.write_fleet(&larger(&stopped_recipe()));
        self.commit();
        let merged = self.checked_out();
        assert_eq!(plan(&merged), Some(planned));
        self.commit_nothing();
        let newest = self.checked_out();
        let refused = apply(&newest);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        let why = format!("was made from commit {merged}; {newest} was asked for");
        assert!(refused.stderr.contains(&why), "{}", refused.stderr);
        let pending = self.host.armfleet(&["plan", "--detailed-exitcode"]);
        assert_eq!(pending.code, Some(2), "{}", pending.stdout);

        let applied = apply(&merged).success();
        assert!(
            applied.contains(&format!("commit {}", &merged[..12])),
            "{applied}"
        );
        self.host.assert_converged();
        self.host.write_fleet(&stopped_recipe());
        self.host.apply().success();
        self.check_out("main");
    }
}

impl Forge {
    /// Of a VM that left the file with the last commit, the label of its request decides.
    fn assert_removes(&self, changes: i32, pipeline: &dyn Fn() -> (Option<i32>, String)) {
        let both = stopped_recipe() + &second_vm("other-vm");
        // What the requests branch from stays as it is.
        self.check_out("main");
        self.host.write_fleet(&both);
        self.host.apply().success();
        self.commit();
        self.host.write_fleet(&stopped_recipe());
        self.commit();
        for (labels, code, planned) in [
            ("", 3, "removal needs --allow-removal"),
            ("armfleet-approved", changes, "**remove** domain"),
        ] {
            self.host.write(format!("{FOLDER}/labels"), labels);
            let (ended, shown) = pipeline();
            assert_eq!(ended, Some(code), "{shown}");
            assert!(shown.contains(planned), "{shown}");
        }
        // A removal that no request's files made is not the label's.
        self.commit_nothing();
        assert_eq!(pipeline().0, Some(3));
        self.host
            .armfleet(&["apply", "--auto-approve", "--allow-removal=1"])
            .success();
        self.check_out("main");
    }
}

/// What a job makes of a request, which has comments of others.
struct Review<'r> {
    forge: &'r Forge,
    others: Vec<String>,
    pipeline: Pipeline<'r>,
}

impl Review<'_> {
    fn assert_follows_pushes(&self) {
        // More than half of the VMs leave: the label allows that, where a pipeline has it.
        let gone = |_: &str| "fleet: recipe\nvms: {}\n".to_owned();
        let commits = self.forge.push(gone);
        let (ended, _) = (self.pipeline)(&commits, NO_SNAPSHOT);
        assert_eq!(ended, Some(2));
        let comment = self.forge.comments().pop().unwrap();
        assert!(comment.contains("**remove** domain"), "{comment}");

        let steps: [(Change<'_>, i32); 4] = [
            (&larger, 2),
            (
                &|fleet| larger(fleet).replace("size: 64MiB", "size: 96MiB"),
                2,
            ),
            (&moved, 3),
            (&str::to_owned, 0),
        ];
        for (change, code) in steps {
            let commits = self.forge.push(change);
            let from = self.assert_ends(&commits, NO_SNAPSHOT, code);
            self.assert_says(&commits, &self.forge.diff(&from));
        }
        // A file that is wrong leaves no comment of a former commit.
        let commits = self.forge.push(|_| "fleet: recipe\nvms: 3\n".to_owned());
        self.assert_ends(&commits, NO_SNAPSHOT, 4);
        self.assert_says(&commits, &format!("{NOTHING_SHOWN}\n\n"));
    }

    /// The plan, last, on a snapshot that has all there is to see.
    fn assert_plans_on_a_snapshot(&self) -> String {
        let forge = self.forge;
        let assert_diffs = |change: Change<'_>, note: &str| {
            let commits = forge.push(change);
            let from = self.assert_ends(&commits, A_SNAPSHOT, 2);
            self.assert_says(&commits, &format!("{note}\n\n{}", forge.diff(&from)));
        };
        assert_diffs(&larger, NOT_FETCHED);
        forge.host.write(format!("{FOLDER}/snapshot"), "none");
        assert_diffs(&larger, LACKS);
        forge.take_snapshot();
        assert_diffs(&|fleet| fleet.to_owned() + &second_vm("other-vm"), LACKS);

        let commits = forge.push(larger);
        self.assert_ends(&commits, A_SNAPSHOT, 2);
        let comment = forge.comments().pop().unwrap();
        for part in [
            &format!("{MARKER}### armfleet plan for fleet `recipe`\n\n**"),
            "On host `local`, libvirt 9.0.0, snapshot of 20",
            "memory 512 MiB -\\> 768 MiB (file changed)",
            // What the target's newest commit changed and nobody applied yet.
            "due without the change, too",
            &format!("<sub>commit {}</sub>", commits.head),
        ] {
            assert!(comment.contains(part), "{part} in {comment}");
        }
        comment
    }

    /// A run that a newer commit overtook, and one that the forge does not let in, write nothing.
    fn assert_leaves_alone(&self, comment: &str) {
        let forge = self.forge;
        let commits = forge.push(moved);
        forge.host.write(format!("{FOLDER}/head"), &commits.base);
        self.assert_ends(&commits, NO_SNAPSHOT, 3);
        assert_eq!(forge.comments().pop().unwrap(), comment);
        forge.host.write(format!("{FOLDER}/head"), &commits.head);
        let no_right = Given {
            token: "wrong",
            ..NO_SNAPSHOT
        };
        self.assert_ends(&commits, no_right, 22);
        assert_eq!(forge.comments().pop().unwrap(), comment);
    }

    /// Returns the commit that was compared with.
    #[track_caller]
    fn assert_ends(&self, commits: &Commits, given: Given, code: i32) -> String {
        let (ended, from) = (self.pipeline)(commits, given);
        assert_eq!(ended, Some(code));
        from
    }

    /// There is one comment of the job's, and those of others are as they were.
    #[track_caller]
    fn assert_says(&self, commits: &Commits, shown: &str) {
        let mut comments = self.others.clone();
        comments.push(comment_of(commits, shown));
        assert_eq!(self.forge.comments(), comments);
    }
}

fn comment_of(commits: &Commits, shown: &str) -> String {
    format!("{MARKER}{shown}\n<sub>commit {}</sub>\n", commits.head)
}

fn script_of(job: &Yaml) -> String {
    let lines = job["script"].as_sequence().unwrap().iter().map(text);
    lines.collect::<Vec<_>>().join("\n")
}

fn gitlab_script(job: &str) -> String {
    let file = yaml("ci/gitlab-ci.yml");
    // Changes alone do not fail the pipeline, and nothing else is allowed to.
    let allowed = file[job]["allow_failure"]["exit_codes"]
        .as_sequence()
        .unwrap();
    assert_eq!(allowed, &[Yaml::from(2)]);
    script_of(&file[job])
}

/// The variables of a job for a merge request; `merged` says whether its pipeline is for the merged result.
fn gitlab_variables(commits: &Commits, given: Given, merged: bool) -> Environment {
    let api = format!("{FORGE}/api/v4");
    let mut variables = environment([
        ("CI_API_V4_URL", api.as_str()),
        ("CI_MERGE_REQUEST_PROJECT_ID", "7"),
        ("CI_MERGE_REQUEST_IID", "3"),
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", &commits.base),
        ("CI_JOB_TOKEN", "a-job-token"),
        ("ARMFLEET_TOKEN", given.token),
        ("CI_MERGE_REQUEST_LABELS", "urgent,armfleet-approved"),
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
    if given.is_snapshot_published {
        set("ARMFLEET_SNAPSHOT_URL", &format!("{FORGE}{SNAPSHOT}"));
    }
    variables
}

#[test]
fn the_gitlab_jobs_write_one_note_and_plan_after_the_merge() {
    let forge = Forge::start();
    let plan = gitlab_script("armfleet-plan");
    forge.assert_plans(2, || {
        let api = format!("{FORGE}/api/v4");
        let variables = environment([
            ("CI_API_V4_URL", api.as_str()),
            ("CI_PROJECT_ID", "7"),
            ("CI_COMMIT_SHA", &forge.checked_out()),
            ("ARMFLEET_TOKEN", "a-token"),
        ]);
        let ended = forge.run(&plan, &variables, ON_HOST);
        (ended.code, forge.host.read("/run/test/plan.md"))
    });
    forge.assert_applies(
        2,
        |commit| {
            let variables = environment([("CI_COMMIT_SHA", commit)]);
            forge.run(&plan, &variables, ON_HOST).code
        },
        |newest| {
            let dotenv = forge.host.read("/run/test/plan.env");
            let (name, sha256) = dotenv.trim().split_once('=').unwrap();
            forge.set_newest(newest);
            let repository = format!("file://{WORK}");
            let trusting = "[safe]\n\tdirectory = *\n";
            forge.host.write(format!("{FOLDER}/.gitconfig"), trusting);
            let variables = environment([
                ("CI_REPOSITORY_URL", repository.as_str()),
                ("CI_COMMIT_BRANCH", BRANCH),
                (name, sha256),
                // git asks there whether the repository, another user's, is to be trusted. On a forge nothing does.
                ("HOME", FOLDER),
            ]);
            forge.run(
                &script_of(&yaml("ci/gitlab-ci.yml")["armfleet-apply"]),
                &variables,
                AS_ROOT,
            )
        },
    );
    let script = gitlab_script("armfleet-diff");
    let run = |commits: &Commits, given: Given, merged: bool| {
        let variables = gitlab_variables(commits, given, merged);
        forge.check_out(&variables["CI_COMMIT_SHA"]);
        let ended = forge.run(&script, &variables, OWNER);
        let base = if merged {
            &commits.target
        } else {
            &commits.base
        };
        (ended.code, base.clone())
    };
    forge.assert_reviews(&|commits, given| run(commits, given, true));
    // Without a pipeline for merged results, and in a fork, which has no token.
    let commits = forge.push(larger);
    let (ended, base) = run(&commits, NO_SNAPSHOT, false);
    assert_eq!(ended, Some(2));
    let before = forge.comments();
    assert_eq!(
        before.last(),
        Some(&comment_of(&commits, &forge.diff(&base)))
    );
    let commits = forge.push(larger);
    let no_token = Given {
        token: "",
        ..NO_SNAPSHOT
    };
    assert_eq!(run(&commits, no_token, false).0, Some(2));
    let kept = forge.host.read("/run/test/comment.md");
    assert_eq!(kept, comment_of(&commits, &forge.diff(&base)));
    assert_eq!(forge.comments(), before);
}

/// Runs the steps of a job of the workflow; tells how the first ended that failed, else the last.
fn workflow(forge: &Forge, job: &str, expressions: &Environment, runner: Runner) -> Output {
    let file = yaml("ci/github-workflow.yml");
    assert_eq!(text(&file["defaults"]["run"]["shell"]), "bash");
    let [output, summary] = ["output", "summary"].map(|name| format!("{TEMPORARY}/{name}"));
    forge
        .run(
            "find /run/test/runner -type f -delete",
            &environment([]),
            OWNER,
        )
        .success();
    let mut last = None;
    for step in file["jobs"][job]["steps"].as_sequence().unwrap() {
        let set = forge
            .run(&format!("cat {output} || true"), &environment([]), OWNER)
            .stdout;
        let output_of = |name: &str| {
            let mut lines = set.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default()
        };
        let is_skipped = |condition: &str| match condition {
            "steps.plan.outputs.sha256" => output_of("sha256").is_empty(),
            known => expressions[known] == "false",
        };
        if step["if"].as_str().is_some_and(is_skipped) {
            continue;
        }
        let script = step["run"]
            .as_str()
            .map_or_else(|| action(step), str::to_owned);
        let mut variables = environment([
            ("GITHUB_OUTPUT", output.as_str()),
            ("GITHUB_STEP_SUMMARY", &summary),
            ("GITHUB_WORKSPACE", WORK),
            ("HOME", TEMPORARY),
            ("RUNNER_TEMP", TEMPORARY),
        ]);
        for (name, value) in step["env"].as_mapping().into_iter().flatten() {
            let value = text(value)
                .strip_prefix("${{ ")
                .unwrap()
                .strip_suffix(" }}")
                .unwrap();
            let value = match value {
                "steps.diff.outputs.code" => output_of("code"),
                "steps.diff.outputs.allow" => output_of("allow"),
                known => &expressions[known],
            };
            variables.insert(text(name).to_owned(), value.to_owned());
        }
        let ended = forge.run(&script, &variables, runner);
        if ended.code != Some(0) {
            return ended;
        }
        last = Some(ended);
    }
    last.unwrap()
}

/// What an action does, as far as a job needs it: the forge keeps what one job leaves for another.
fn action(step: &Yaml) -> String {
    let path = || text(&step["with"]["path"]).replace("${{ runner.temp }}", TEMPORARY);
    match text(&step["uses"]) {
        "actions/checkout@v4" => "true".to_owned(),
        "actions/upload-artifact@v4" => format!("cp {} {FOLDER}/artifact", path()),
        "actions/download-artifact@v4" => format!("cp {FOLDER}/artifact {}/armfleet.plan", path()),
        other => panic!("{other}"),
    }
}

/// What the jobs after the merge read: of the commit, and of the plan that the first one made.
fn after_merge(commit: &str, sha256: &str) -> Environment {
    environment([
        ("github.token", "a-token"),
        ("github.api_url", FORGE),
        ("github.repository", "a/b"),
        ("github.ref_name", BRANCH),
        ("github.sha", commit),
        ("needs.plan.outputs.sha256", sha256),
    ])
}

fn expressions(commits: &Commits, given: Given, approved: bool, own: bool) -> Environment {
    let [comments, request, snapshot] =
        ["comments", "pulls/3", "snapshot"].map(|path| format!("{FORGE}/{path}"));
    let snapshot = if given.is_snapshot_published {
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
        ("github.token", given.token),
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
        let expressions = after_merge(&forge.checked_out(), "");
        let ended = workflow(&forge, "plan", &expressions, ON_HOST);
        (ended.code, summary())
    });
    let sha256 = || {
        let output = forge.host.read(format!("{TEMPORARY}/output"));
        let mut lines = output.lines();
        let sha256 = lines.find_map(|line| line.strip_prefix("sha256="));
        sha256.unwrap_or_default().to_owned()
    };
    let planned = RefCell::new(String::new());
    forge.assert_applies(
        0,
        |commit| {
            let expressions = after_merge(commit, "");
            let ended = workflow(&forge, "plan", &expressions, ON_HOST);
            planned.replace(sha256());
            ended.code
        },
        |newest| {
            forge.set_newest(newest);
            let expressions = after_merge("", &planned.borrow());
            workflow(&forge, "apply", &expressions, AS_ROOT)
        },
    );
    let run = |commits: &Commits, given: Given, approved: bool, own: bool| {
        forge.check_out(&commits.merged);
        let expressions = expressions(commits, given, approved, own);
        workflow(&forge, "diff", &expressions, IN_CONTAINER).code
    };
    forge.assert_reviews(&|commits, given| {
        let ended = run(commits, given, true, true);
        let code = forge.host.read(format!("{TEMPORARY}/output"));
        let code = code.lines().find_map(|line| line.strip_prefix("code="));
        let code = code.unwrap().parse().unwrap();
        // Changes that are approved pass.
        let passed = ended == Some(0) && matches!(code, 0 | 2);
        let ended = if passed { Some(code) } else { ended };
        (ended, commits.target.clone())
    });
    // Changes that are not approved wait, and what changes nothing does not.
    let unchanged = forge.push(str::to_owned);
    assert_eq!(run(&unchanged, NO_SNAPSHOT, false, true), Some(0));
    // Removals that nobody approved wait for the label, too.
    let gone = forge.push(|_| "fleet: recipe\nvms: {}\n".to_owned());
    assert_eq!(run(&gone, NO_SNAPSHOT, false, true), Some(1));
    assert!(summary().contains("--allow-removal=1"), "{}", summary());
    // From a fork: the token only reads.
    let before = forge.comments();
    let commits = forge.push(larger);
    assert_eq!(run(&commits, NO_SNAPSHOT, false, false), Some(1));
    assert!(summary().contains(&commits.head));
    assert_eq!(forge.comments(), before);
}

#[test]
fn jobs_of_one_request_wait_for_each_other_and_have_the_least_rights() {
    let (github, gitlab) = (yaml("ci/github-workflow.yml"), yaml("ci/gitlab-ci.yml"));
    let jobs = &github["jobs"];
    assert!(text(&jobs["diff"]["concurrency"]).contains("github.event.pull_request.number"));
    let group = text(&gitlab["armfleet-diff"]["resource_group"]);
    assert!(group.contains("$CI_MERGE_REQUEST_IID"));
    // With pull_request_target, the files of a fork would meet a token that writes.
    let events = github["on"].as_mapping().unwrap().keys().map(text);
    assert_eq!(events.collect::<Vec<_>>(), ["pull_request", "push"]);
    assert!(github["permissions"].as_mapping().unwrap().is_empty());
    let rights = |job: &str| jobs[job]["permissions"].as_mapping().unwrap().len();
    assert_eq!([rights("diff"), rights("plan"), rights("apply")], [2, 2, 1]);
    // Somebody approves what is applied, one at a time.
    for job in [&jobs["apply"], &gitlab["armfleet-apply"]] {
        assert_eq!(text(&job["environment"]), "armfleet");
    }
    assert_eq!(text(&jobs["apply"]["concurrency"]), "armfleet-apply");
    assert_eq!(
        text(&gitlab["armfleet-apply"]["resource_group"]),
        "armfleet-apply"
    );
    assert_eq!(
        text(&gitlab["armfleet-apply"]["rules"][0]["when"]),
        "manual"
    );
    // The host is asked after the merge.
    assert_eq!(text(&jobs["plan"]["if"]), "github.event_name == 'push'");
    let rules = gitlab["armfleet-plan"]["rules"].as_sequence().unwrap();
    let rules: Vec<_> = rules.iter().map(|rule| text(&rule["if"])).collect();
    assert_eq!(rules, ["$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"]);
}
