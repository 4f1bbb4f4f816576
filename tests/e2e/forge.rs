//! A pull request whose jobs run beside a libvirt host: its commits, its forge on the loopback device, and the runner.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::examples::{Unit, install_armfleet};
use crate::fleet::stopped_recipe;
use crate::host::{Output, Running, TestHost, WORK};

pub(crate) const FORGE: &str = "http://127.0.0.1:8095";
const PORT: &str = "8095";
/// What the forge keeps.
pub(crate) const FOLDER: &str = "/run/test/forge";
/// The runner's folder for files of its own.
pub(crate) const TEMPORARY: &str = "/run/test/runner";

/// What is merged into it is planned and applied. The requests' own branch stays as it is.
pub(crate) const BRANCH: &str = "released";

/// Who runs a script.
#[derive(Clone, Copy)]
pub(crate) struct Runner {
    user: &'static str,
    capabilities: &'static str,
}

pub(crate) const OWNER: Runner = Runner {
    user: "nobody",
    capabilities: "",
};
/// In a container, the files are another user's.
pub(crate) const IN_CONTAINER: Runner = Runner {
    user: "daemon",
    capabilities: "",
};
pub(crate) const ON_HOST: Runner = Runner {
    user: "nobody",
    capabilities: ",+dac_read_search",
};
pub(crate) const AS_ROOT: Runner = Runner {
    user: "root",
    capabilities: "",
};

pub(crate) type Environment = BTreeMap<String, String>;

pub(crate) fn environment<const N: usize>(pairs: [(&str, &str); N]) -> Environment {
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs.into()
}

/// A pull request's commits, of which the last is checked out.
pub(crate) struct Commits {
    /// The commit that it began at, and the newest one of the branch that it is for.
    pub(crate) base: String,
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) merged: String,
}

/// A host on which the fleet was applied, a forge with a pull request, and a runner.
pub(crate) struct Forge {
    pub(crate) host: TestHost,
    _server: Running,
}

impl Forge {
    pub(crate) fn start() -> Self {
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
                     git tag base && echo '    autostart: true' >>fleet.yaml && git commit --quiet -a -m target";
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
        self.run(script, &who, OWNER).success().trim().to_owned()
    }

    /// Commits the fleet file as it is, as what is checked out.
    pub(crate) fn commit(&self) {
        self.git("git add fleet.yaml && git commit --quiet -m merged");
    }

    /// The full name of what is checked out.
    pub(crate) fn checked_out(&self) -> String {
        self.git("git rev-parse HEAD")
    }

    /// What the forge says is the newest commit of the branch.
    pub(crate) fn set_newest(&self, commit: &str) {
        self.host.write(format!("{FOLDER}/newest"), commit);
        self.git(&format!("git branch --force {BRANCH} {commit}"));
    }

    /// A commit that changes no file.
    pub(crate) fn commit_nothing(&self) {
        self.git("git commit --quiet --allow-empty -m nothing");
    }

    /// Runs a script as a runner does.
    pub(crate) fn run(&self, script: &str, environment: &Environment, runner: Runner) -> Output {
        let Runner { user, capabilities } = runner;
        let mut command = self.host.command("env");
        if user != AS_ROOT.user {
            command = self.host.command("setpriv");
            command
                .args([
                    &format!("--reuid={user}"),
                    "--regid=nogroup",
                    "--clear-groups",
                ])
                .args(
                    ["inh-caps", "ambient-caps", "bounding-set"]
                        .map(|set| format!("--{set}=-all{capabilities}")),
                )
                .args(["--", "env"]);
        }
        command
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
    pub(crate) fn push(&self, change: impl Fn(&str) -> String) -> Commits {
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

    pub(crate) fn check_out(&self, commit: &str) {
        self.git(&format!("git checkout --quiet --force --detach {commit}"));
    }

    pub(crate) fn comments(&self) -> Vec<String> {
        let kept: Value =
            serde_json::from_str(&self.host.read(format!("{FOLDER}/comments.json"))).unwrap();
        let comments = kept.as_array().unwrap().iter();
        comments
            .map(|comment| comment["body"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn diff(&self, from: &str) -> String {
        let command = format!("armfleet diff --git {from} --format markdown");
        let shown = self.run(&command, &environment([]), OWNER);
        assert!(matches!(shown.code, Some(0 | 3)), "{}", shown.stderr);
        shown.stdout
    }

    /// The host's timer elapses.
    pub(crate) fn take_snapshot(&self) {
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
}
