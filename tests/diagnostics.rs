//! Every kind of wrong fleet file, and what is said about it: `tests/invalid/<name>/{fleet.yaml, stderr.txt}`.
//!
//! `SNAPSHOTS=overwrite cargo test --test diagnostics` writes the answers anew.

use armfleet::report::render_problems;
use armfleet::spec::read_fleet;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    let entries = folder.read_dir().expect("the folder of cases");
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_wrong_file_is_answered() {
    let cases = cases();
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    for case in cases {
        let text = std::fs::read(case.join("fleet.yaml")).unwrap();
        let problems = read_fleet(&text, "fleet.yaml", "/home/me/fleet")
            .expect_err(&format!("{} is valid", case.display()));
        let answer = render_problems(&problems, &text, false);
        snapbox::assert_data_eq!(
            answer,
            snapbox::Data::read_from(&case.join("stderr.txt"), None).raw()
        );
    }
}
