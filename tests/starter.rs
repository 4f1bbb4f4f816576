//! What `armfleet init` writes is valid, plans and applies as it stands, and overwrites nothing.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;

use armfleet::fleet::read_fleet;
use armfleet::plan::Policy;
use harness::{apply, new_host};
use std::path::Path;
use std::process::{Command, Output};

fn armfleet(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armfleet"));
    let command = command.args(arguments).current_dir(folder);
    command.output().unwrap()
}

#[test]
fn a_starter_is_valid_and_plans_and_applies() {
    let folder = tempfile::tempdir().unwrap();
    let init = armfleet(folder.path(), &["init"]);
    assert!(init.status.success(), "{init:?}");
    let validate = armfleet(folder.path(), &["validate"]);
    assert!(validate.status.success(), "{validate:?}");

    let text = std::fs::read_to_string(folder.path().join("fleet.yaml")).unwrap();
    let applied = apply(&new_host(), &text, &Policy::default());
    assert!(!applied.outcome.ended.is_empty());
    assert_eq!(applied.refused(), "");
    applied.assert_converged();
}

/// Each line that a user is to uncomment works.
#[test]
fn what_a_starter_has_in_comments_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    armfleet(folder.path(), &["init", "mine.yaml"]);
    let text = std::fs::read_to_string(folder.path().join("mine.yaml")).unwrap();
    let optional = ["# vcpus:", "# seed:", "# console:"];
    let mut uncommented = text.replace("state: stopped", "state: running");
    for key in optional {
        assert!(text.contains(key), "no {key}");
        uncommented = uncommented.replace(key, &key[2..]);
    }
    let spec = read_fleet(uncommented.as_bytes(), "mine.yaml", "/fleet").unwrap();
    let vm = spec.vms.values().next().unwrap();
    assert!(vm.boot.seed.is_some() && vm.console.log.is_some() && vm.vcpus == 2);
}

#[test]
fn init_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.yaml");
    std::fs::write(&path, "mine").unwrap();
    let init = armfleet(folder.path(), &["init"]);
    assert_eq!(init.status.code(), Some(3));
    snapbox::assert_data_eq!(
        String::from_utf8(init.stderr).unwrap(),
        snapbox::str![[r#"
error: cannot write fleet.yaml
  caused by: File exists (os error 17)
  -> nothing was written; name another file, or move that one away

"#]]
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");

    let init = armfleet(folder.path(), &["init", "no/such/folder.yaml"]);
    assert_eq!(init.status.code(), Some(1));
    snapbox::assert_data_eq!(
        String::from_utf8(init.stderr).unwrap(),
        snapbox::str![[r#"
error: cannot write no/such/folder.yaml
  caused by: No such file or directory (os error 2)
  -> make its folder first

"#]]
    );
}
