//! What the set-up would install on other machines than this one. apt answers for any machine that a dpkg status file
//! describes, from the package lists of this one, and changes nothing.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
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
    let option = quickstart.iter().find(|told| told.starts_with("--"));
    assert_eq!(option, None);
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
