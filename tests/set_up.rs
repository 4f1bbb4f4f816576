//! What the set-up would install on other machines than this one. apt answers for any machine that a dpkg status file
//! describes, from the package lists of this one, and changes nothing.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The set-up's lists, from the shortest to the longest.
const LISTS: [&[&str]; 3] = [&["--quickstart"], &[], &["--long"]];
/// What no quickstart needs.
const OF_TESTS: [&str; 6] = [
    "ansible-core",
    "chromium",
    "guestfish",
    "jq",
    "linux-image-cloud-",
    "qemu-utils",
];

/// A machine: what its dpkg has installed, and which package lists its apt has.
struct Machine {
    folder: tempfile::TempDir,
    status: PathBuf,
}

impl Machine {
    fn new(status: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status");
        fs::write(&file, status).unwrap();
        Self {
            folder,
            status: file,
        }
    }

    /// A Debian 12 with a part of QEMU from its backports.
    fn with_newer_qemu_utils() -> Self {
        let status = Path::new(ROOT).join("tests/set_up/newer-qemu-utils.status");
        Self::new(&fs::read_to_string(status).unwrap())
    }

    /// The same with Debian's backports in its package lists: of them, what QEMU is made of, from which apt takes nothing by itself.
    fn with_backports(self) -> Self {
        const SUITE: &str = "bookworm-backports";
        let at = |name: &str| self.folder.path().join(name);
        let packages = Path::new(ROOT).join("tests/set_up/backports.Packages");
        let packages = downloadable(&fs::read_to_string(packages).unwrap());
        let lists = format!("dists/{SUITE}/main/binary-amd64");
        fs::create_dir_all(at(&lists)).unwrap();
        fs::write(at(&lists).join("Packages"), &packages).unwrap();
        let release = format!(
            "Suite: oldstable-backports\nCodename: {SUITE}\nNotAutomatic: yes\nButAutomaticUpgrades: yes\nArchitectures: amd64\n\
             Components: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            sha256(&packages),
            packages.len()
        );
        fs::write(at(&format!("dists/{SUITE}/Release")), release).unwrap();
        let folder = self.folder.path().display();
        let source = format!("deb [trusted=yes arch=amd64] file:{folder} {SUITE} main\n");
        // Its sources are this machine's and that one; only that one is fetched.
        fs::create_dir_all(at("sources.d")).unwrap();
        for file in in_folder("/etc/apt/sources.list.d") {
            fs::copy(&file, at("sources.d").join(file.file_name().unwrap())).unwrap();
        }
        let own = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
        fs::write(at("sources.list"), own + "\n" + &source).unwrap();
        fs::write(at("backports.list"), source).unwrap();
        fs::create_dir_all(at("lists/partial")).unwrap();
        for list in
            in_folder("/var/lib/apt/lists").filter(|list| list.is_file() && !list.ends_with("lock"))
        {
            symlink(&list, at("lists").join(list.file_name().unwrap())).unwrap();
        }
        let configuration = format!(
            "Dir::Etc::sourcelist \"{folder}/sources.list\";\nDir::Etc::sourceparts \"{folder}/sources.d\";\n\
             Dir::State::lists \"{folder}/lists\";\nDir::Cache \"{folder}/cache\";\nAPT::Sandbox::User \"root\";\n"
        );
        fs::create_dir_all(at("cache/archives/partial")).unwrap();
        fs::write(at("apt.conf"), configuration).unwrap();
        let mut update = Command::new("apt-get");
        update
            .args(["update", "-qq", "-o", "APT::Get::List-Cleanup=0", "-o"])
            .arg(format!("Dir::Etc::sourcelist={folder}/backports.list"))
            .args(["-o", "Dir::Etc::sourceparts=/dev/null"])
            .env("APT_CONFIG", at("apt.conf"));
        let updated = update.output().unwrap();
        let why = String::from_utf8_lossy(&updated.stderr);
        assert!(updated.status.success(), "{why}");
        self
    }

    /// What apt would be told. It has accepted that: no package is removed, and none conflicts with another.
    #[track_caller]
    fn told(&self, list: &[&str]) -> BTreeSet<String> {
        let mut command = Command::new(Path::new(ROOT).join("tests/sandbox/prerequisites"));
        command.args(list).arg("--simulate").arg(&self.status);
        let configuration = self.folder.path().join("apt.conf");
        if configuration.exists() {
            command.env("APT_CONFIG", configuration);
        }
        let simulated = command.output().unwrap();
        let why = String::from_utf8_lossy(&simulated.stderr);
        assert!(simulated.status.success(), "{why}");
        let told = String::from_utf8(simulated.stdout).unwrap();
        told.lines().map(str::to_owned).collect()
    }
}

fn in_folder(folder: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path())
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An option that apt would be told.
fn option_in(told: &BTreeSet<String>) -> Option<&String> {
    told.iter().find(|told| told.starts_with("--"))
}

/// apt considers only what it is told a file and a digest of.
fn downloadable(packages: &str) -> String {
    let stanzas = packages.trim_end().split("\n\n");
    let file = format!("Filename: none.deb\nSize: 1\nSHA256: {}\n", sha256("none"));
    stanzas
        .map(|stanza| format!("{stanza}\n{file}\n"))
        .collect()
}

#[test]
fn a_bare_debian_12_gets_what_each_list_needs_and_the_quickstart_no_more() {
    let machine = Machine::new("");
    let [quickstart, tests, long] = LISTS.map(|list| machine.told(list));
    assert!(quickstart.is_subset(&tests) && tests.is_subset(&long));
    for package in OF_TESTS {
        let has = |told: &BTreeSet<String>| told.iter().any(|told| told.starts_with(package));
        assert!(!has(&quickstart) && has(&long), "{package}");
    }
    assert!(quickstart.contains("qemu-system-arm"));
    assert_eq!(option_in(&quickstart), None);
}

#[test]
fn backports_that_nothing_is_installed_from_change_nothing() {
    let told = Machine::new("").with_backports().told(LISTS[0]);
    assert!(told.contains("qemu-system-arm"));
    assert_eq!(option_in(&told), None);
}

#[test]
fn with_backports_a_qemu_utils_from_there_has_all_of_qemu_come_from_there() {
    let machine = Machine::with_newer_qemu_utils().with_backports();
    let told = machine.told(LISTS[2]);
    for word in [
        "--target-release=bookworm-backports",
        "qemu-utils/bookworm-backports",
        "qemu-system-arm",
    ] {
        assert!(told.contains(word), "{told:?}");
    }
}

#[test]
fn a_newer_qemu_utils_without_its_suite_comes_along_with_all_that_needs_qemu() {
    let machine = Machine::with_newer_qemu_utils();
    for list in [LISTS[0], LISTS[2]] {
        let told = machine.told(list);
        for word in ["--allow-downgrades", "qemu-system-arm"] {
            assert!(told.contains(word), "{told:?}");
        }
        let came = told.iter().any(|told| told.starts_with("qemu-utils/"));
        assert!(came, "{told:?}");
    }
}
