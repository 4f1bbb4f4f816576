//! Where commands read fleet files from.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const WRONG: &str = "fleet: obs\nvms: { obs-01: { arch: mips } }\n";

/// What a shell command says of the fleet file that it gets as its standard input.
fn said(folder: &Path, shell: &str) -> String {
    let mut child = Command::new("bash")
        .args(["-c", shell])
        .current_dir(folder)
        .env("armfleet", env!("CARGO_BIN_EXE_armfleet"))
        .env_remove("ARMFLEET_FILE")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read it may have ended.
    let _ = child.stdin.take().unwrap().write_all(WRONG.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn pipes_are_read_and_problems_name_them() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, name) in [
        ("$armfleet validate -f -", "-"),
        ("$armfleet validate -", "-"),
        ("cat | $armfleet validate /dev/stdin", "/dev/stdin"),
        ("$armfleet validate <(cat)", "/dev/fd/"),
    ] {
        let said = said(folder.path(), shell);
        assert!(said.contains(&format!("--> {name}")), "{shell}: {said}");
        assert!(said.contains("2:24"), "{shell}: {said}");
    }
}

#[test]
fn paths_in_a_pipe_are_beside_the_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = "fleet: obs\nvms: { obs-01: { arch: armhf, memory: 1GiB, boot: { cmdline: a, seed: { kernel: k, initrd: i } }, \
                 disks: [{ path: /srv/a.img, size: 1GiB }] } }\n";
    std::fs::write(folder.path().join("other.yaml"), fleet).unwrap();
    let show = |shell: &str| {
        let output = Command::new("bash")
            .args(["-c", shell])
            .current_dir(folder.path())
            .env("armfleet", env!("CARGO_BIN_EXE_armfleet"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let piped = show("cat other.yaml | $armfleet show obs-01 -f -");
    assert_eq!(piped, show("$armfleet show obs-01 -f other.yaml"));
    assert_eq!(
        piped,
        show("ARMFLEET_FILE=other.yaml $armfleet show obs-01")
    );
    let here = folder.path().canonicalize().unwrap();
    assert!(piped.contains(&format!("{}/k", here.display())), "{piped}");
}

#[test]
fn the_environment_names_the_file_that_is_read_unless_others_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.yaml"), WRONG).unwrap();
    std::fs::write(folder.path().join("other.yaml"), WRONG).unwrap();
    let mine = said(folder.path(), "ARMFLEET_FILE=mine.yaml $armfleet validate");
    assert!(mine.contains("--> mine.yaml:2:24"), "{mine}");
    let other = said(
        folder.path(),
        "ARMFLEET_FILE=mine.yaml $armfleet validate other.yaml",
    );
    assert!(
        other.contains("--> other.yaml:2:24") && !other.contains("mine"),
        "{other}"
    );
    let default = said(folder.path(), "ARMFLEET_FILE= $armfleet validate");
    assert!(default.contains("cannot read fleet.yaml"), "{default}");
}
