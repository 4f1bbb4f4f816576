//! `armfleet diff` as it is called: two files, and a file at a commit.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const FLEET: &str = "\
fleet: lab
vms:
  a:
    arch: armhf
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    disks: [{ path: /srv/a.img }]
    cloud_init: { user_data: texts/user-data }
";
const OTHER: &str = "\
vms:
  b: { arch: armhf, memory: 512MiB, boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }, disks: [{ path: /srv/b.img }] }
";
const USER_DATA: &str = "#cloud-config\nhostname: {name}\n";

struct Folder(TempDir);

impl Folder {
    /// A repository whose only commit has a fleet in the folder `fleet`.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.git(&["init", "--quiet", "--initial-branch=main"]);
        folder.write("fleet/fleet.yaml", FLEET);
        folder.write("fleet/texts/user-data", USER_DATA);
        folder.commit();
        folder
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let who = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
        let mut git = Command::new("git");
        git.current_dir(self.0.path()).args(who).args(arguments);
        assert!(git.status().unwrap().success(), "{arguments:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "x"]);
    }

    /// What `armfleet diff` says in a folder, with its exit code.
    fn diff_in(&self, folder: &str, arguments: &[&str]) -> String {
        let output = Self::armfleet(&self.path(folder), arguments);
        let said = [output.stdout, output.stderr].concat();
        let code = output.status.code().unwrap();
        format!("{}[{code}]", String::from_utf8(said).unwrap())
    }

    fn diff(&self, arguments: &[&str]) -> String {
        self.diff_in("fleet", arguments)
    }

    fn armfleet(folder: &Path, arguments: &[&str]) -> Output {
        let mut armfleet = Command::new(env!("CARGO_BIN_EXE_armfleet"));
        let armfleet = armfleet.current_dir(folder).arg("diff").args(arguments);
        armfleet.env_remove("A").output().unwrap()
    }
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}

#[test]
fn a_file_is_compared_with_what_it_was() {
    let folder = Folder::new();
    assert_says(
        &folder.diff(&["--git", "main"]),
        &[
            "fleet lab · fleet.yaml at main -> fleet.yaml · no host was looked at\n\nNo changes.\n[0]",
        ],
    );
    folder.write("fleet/fleet.yaml", &FLEET.replace("512MiB", "1GiB"));
    let grown = ["memory", "512 MiB -> 1 GiB", "at next boot"];
    for rev in ["main", "HEAD", "main~0"] {
        assert_says(&folder.diff(&["--git", rev]), &grown);
    }
    assert_says(
        &folder.diff(&["--git", "main", "--detailed-exitcode"]),
        &["[2]"],
    );
    assert_says(
        &folder.diff_in(".", &["--git", "main", "fleet/fleet.yaml"]),
        &grown,
    );
    assert_says(
        &folder.diff_in("fleet/texts", &["--git", "main", "../fleet.yaml"]),
        &grown,
    );
    assert_says(
        &folder.diff(&["--git", "main", "--vm", "b*"]),
        &["no VM of the file", "[3]"],
    );
    let json = folder.diff(&["--git", "main", "--format", "json"]);
    assert_says(
        &json,
        &[
            "\"kind\": \"files\"",
            "\"old\": \"fleet.yaml at main\"",
            "\"at-next-boot\"",
        ],
    );
    assert_says(
        &folder.diff(&["--git", "main", "--diff"]),
        &["-  <memory", "+  <memory"],
    );
    assert_says(
        &folder.diff(&["--git", "main", "--format", "markdown"]),
        &["### armfleet diff for fleet `lab`"],
    );
}

#[test]
fn texts_beside_the_file_are_those_of_the_commit() {
    let folder = Folder::new();
    folder.write("fleet/texts/user-data", "#cloud-config\nhostname: other\n");
    assert_says(&folder.diff(&["--git", "main"]), &["its files changed"]);
    folder.write(
        "fleet/fleet.yaml",
        &FLEET.replace("texts/user-data", "user-data"),
    );
    folder.write("fleet/user-data", USER_DATA);
    fs::remove_dir_all(folder.path("fleet/texts")).unwrap();
    assert_says(&folder.diff(&["--git", "main"]), &["No changes.\n[0]"]);
}

#[test]
fn a_seed_beside_the_file_is_compared_by_its_bytes() {
    let folder = Folder::new();
    let boot = "{ cmdline: console=ttyAMA0 root=/dev/vda1 }";
    let seed = "{ cmdline: console=ttyAMA0 root=/dev/vda1, seed: { kernel: seed/vmlinuz, initrd: seed/initrd.img } }";
    folder.write("fleet/fleet.yaml", &FLEET.replace(boot, seed));
    for name in ["vmlinuz", "initrd.img"] {
        folder.write(&format!("fleet/seed/{name}"), "one");
    }
    folder.commit();
    assert_says(&folder.diff(&["--git", "main"]), &["No changes.\n[0]"]);
    folder.write("fleet/seed/vmlinuz", "two");
    assert_says(
        &folder.diff(&["--git", "main"]),
        &["~ seed      a    the seed's files changed", "1 to change"],
    );
    // Two files in two folders: what is beside both is the same.
    folder.git(&["worktree", "add", "--quiet", "--detach", "other", "main"]);
    let other = folder.path("other/fleet/fleet.yaml");
    let said = folder.diff(&[other.to_str().unwrap(), "fleet.yaml"]);
    assert_says(
        &said,
        &["~ seed      a    the seed's files changed", "1 to change"],
    );
    folder.git(&["checkout", "--quiet", "."]);
    let said = folder.diff(&[other.to_str().unwrap(), "fleet.yaml"]);
    assert_says(&said, &["No changes.\n[0]"]);
    folder.git(&["worktree", "remove", "other"]);
}

#[test]
fn files_of_a_folder_come_and_go() {
    let folder = Folder::new();
    folder.write("fleet/other.yaml", OTHER);
    let came = folder.diff_in(".", &["--git", "main", "fleet"]);
    assert_says(&came, &["fleet at main -> fleet", "+ domain    b", "[0]"]);
    folder.commit();
    fs::remove_file(folder.path("fleet/other.yaml")).unwrap();
    let went = folder.diff_in(".", &["--git", "main", "fleet"]);
    assert_says(
        &went,
        &[
            "- domain    b",
            "1 to stop",
            "Interrupts if running: b (removed).",
            "[0]",
        ],
    );
}

#[test]
fn a_file_that_was_not_there_is_all_new() {
    let folder = Folder::new();
    folder.write(
        "new/fleet.yaml",
        &FLEET.replace("    cloud_init: { user_data: texts/user-data }\n", ""),
    );
    let new = folder.diff_in("new", &["--git", "main"]);
    assert_says(
        &new,
        &[
            "fleet.yaml at main, which has no such file -> fleet.yaml",
            "+ domain    a",
            "[0]",
        ],
    );
}

#[test]
fn what_cannot_be_compared_says_why_and_what_to_do() {
    let folder = Folder::new();
    let unknown = folder.diff(&["--git", "gone"]);
    assert_says(
        &unknown,
        &[
            "git rev-parse failed",
            "-> name a commit, a branch or a tag",
            "[4]",
        ],
    );
    let option = folder.diff(&["--git", "--output=/tmp/x"]);
    assert_says(&option, &["git rev-parse failed", "[4]"]);
    assert_says(&folder.diff(&["--git", "main", "/etc/hostname"]), &["[4]"]);
    assert_says(
        &folder.diff(&["--git", "main", "gone.yaml"]),
        &["cannot read gone.yaml", "[4]"],
    );
    assert_says(
        &folder.diff(&["fleet.yaml"]),
        &["diff compares two fleet files; 1 given", "[4]"],
    );
    let bare = tempfile::tempdir().unwrap();
    fs::write(bare.path().join("fleet.yaml"), FLEET).unwrap();
    let output = Folder::armfleet(bare.path(), &["--git", "main"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_says(
        &said,
        &["not a git repository", "-> work in a git repository"],
    );
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn an_invalid_file_is_told_with_its_place_and_its_side() {
    let folder = Folder::new();
    folder.write("fleet/fleet.yaml", &FLEET.replace("memory", "memry"));
    let new = folder.diff(&["--git", "main"]);
    assert_says(
        &new,
        &[
            "--> fleet.yaml:5:5",
            "the new fleet file, fleet.yaml, is not valid",
            "[4]",
        ],
    );
    folder.commit();
    folder.write("fleet/fleet.yaml", FLEET);
    let old = folder.diff(&["--git", "main"]);
    let place = "--> main:fleet/fleet.yaml:5:5";
    assert_says(
        &old,
        &[
            place,
            "the old fleet file, fleet.yaml at main, is not valid",
            "[4]",
        ],
    );
}

#[test]
fn secrets_have_no_values_and_variables_go_where_they_are_declared() {
    let folder = Folder::new();
    let with = |cmdline: &str, vars: &str| {
        let text = FLEET.replace(
            "{ cmdline: console=ttyAMA0 root=/dev/vda1 }",
            &format!("{{ cmdline: \"{cmdline}\" }}"),
        );
        format!("{text}{vars}")
    };
    folder.write("old.yaml", &with("root=/dev/vda1 key={env.A}", ""));
    folder.write(
        "new.yaml",
        &with(
            "root=/dev/vda1 key={env.B} {var.more}",
            "vars: { more: {} }\n",
        ),
    );
    folder.write("texts/user-data", USER_DATA);
    let said = folder.diff_in(".", &["old.yaml", "new.yaml", "--var", "more=quiet"]);
    assert_says(
        &said,
        &[
            "root=/dev/vda1 key={env.A} -> root=/dev/vda1 key={env.B} quiet",
            "at next boot",
            "[0]",
        ],
    );
    let said = folder.diff_in(".", &["old.yaml", "new.yaml", "--var", "mor=quiet"]);
    assert_says(&said, &["`--var` gives `mor`", "the new fleet file", "[4]"]);
}
