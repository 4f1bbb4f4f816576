//! Every kind of wrong fleet file, and what is said about it: `tests/invalid/<name>/{fleet.yaml, stderr.txt}`.
//!
//! `SNAPSHOTS=overwrite cargo test --test diagnostics` writes the answers anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use armfleet::fleet::{FleetFile, Given, Text, TextError, read_files, read_fleet};
use armfleet::problem::{ProblemKind, Problems};
use armfleet::report::render_problems;
use armfleet::values::Secrets;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    let entries = folder.read_dir().unwrap();
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// The fleet files of a case, by name.
fn files(case: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = case.read_dir().unwrap().map(|entry| entry.unwrap());
    let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let yaml = entries.filter(|entry| name(entry).ends_with(".yaml"));
    let read = yaml.map(|entry| (name(&entry), std::fs::read(entry.path()).unwrap()));
    let mut files: Vec<_> = read.collect();
    files.sort();
    files
}

/// What is given to a case: lines of `var NAME=VALUE`, `env NAME=VALUE` and `text PATH=WHY` in `given.txt`, the last for what
/// cannot be read, and the files in its folder `texts`.
fn given(case: &Path) -> Given {
    let text = std::fs::read_to_string(case.join("given.txt")).unwrap_or_default();
    let of = |kind: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
        let pairs = lines.map(|line| line.trim().split_once('=').unwrap());
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let entries = case.join("texts").read_dir().into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found = names.map(|name| {
        let bytes = std::fs::read(case.join("texts").join(&name)).unwrap();
        (name, Ok(bytes))
    });
    let unread = of("text ").into_iter();
    let unread = unread.map(|(name, why)| (name, Err(why_unread(&why))));
    let texts = found.chain(unread).map(|(name, content)| {
        let path = format!("/home/me/fleet/{name}").parse().unwrap();
        let identity = None;
        (
            path,
            Text {
                name,
                content,
                identity,
            },
        )
    });
    Given {
        vars: of("var "),
        secrets: Secrets::new(of("env ")),
        texts: Some(texts.collect()),
    }
}

fn why_unread(why: &str) -> TextError {
    match why {
        "outside" => TextError::Outside,
        "not-plain" => TextError::NotPlain,
        "too-large" => TextError::TooLarge,
        "too-many" => TextError::TooMany,
        why => TextError::Unreadable(why.to_owned()),
    }
}

fn problems(case: &Path) -> Problems {
    let files = files(case);
    let files: Vec<_> = files
        .iter()
        .map(|(name, bytes)| FleetFile {
            name,
            folder: "/home/me/fleet",
            bytes,
        })
        .collect();
    let read = read_files(&files, &given(case));
    read.expect_err(&format!("{} is valid", case.display()))
}

#[test]
fn every_wrong_file_is_answered() {
    let cases = cases();
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    for case in cases {
        let answer = render_problems(&problems(&case), false);
        snapbox::assert_data_eq!(
            answer,
            snapbox::Data::read_from(&case.join("stderr.txt"), None).raw()
        );
    }
}

#[test]
fn every_kind_of_problem_has_a_case() {
    let answers: String = cases()
        .iter()
        .map(|case| std::fs::read_to_string(case.join("stderr.txt")).unwrap())
        .collect();
    for code in ProblemKind::ALL {
        // A file that is too large has no place here; it is tested beside the reader.
        let exempt = *code == ProblemKind::FileTooLarge;
        let answered = answers.contains(&format!("error[{code}]"));
        assert!(exempt || answered, "no case for {code}");
    }
}

#[test]
fn seven_mistakes_are_seven_problems() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid/seven-mistakes");
    assert_eq!(problems(&case).len(), 7);
}

#[test]
fn answers_are_the_same_in_colour() {
    for case in cases() {
        let problems = problems(&case);
        let coloured = render_problems(&problems, true);
        assert!(coloured.contains("\u{1b}[1m"), "{}", case.display());
        let plain = anstream::adapter::strip_str(&coloured).to_string();
        assert_eq!(
            plain,
            render_problems(&problems, false),
            "{}",
            case.display()
        );
    }
}

/// A thousand mistakes are not read by anybody, nor waited for.
#[test]
fn of_many_problems_the_first_are_shown() {
    let few: String = (0..200).map(|n| format!("key{n}: x\n")).collect();
    let many: String = (0..100_000).map(|n| format!("k{n}: x\n")).collect();
    for (text, end) in [
        (few, "202 problems in fleet.yaml; the first 100 are shown\n"),
        (
            many,
            "more than 1000 problems in fleet.yaml; the first 100 are shown\n",
        ),
    ] {
        let problems = read_fleet(text.as_bytes(), "fleet.yaml", "/").unwrap_err();
        let answer = render_problems(&problems, false);
        assert!(answer.ends_with(end), "{}", &answer[answer.len() - 100..]);
        assert_eq!(answer.matches("error[").count(), 100);
    }
}
