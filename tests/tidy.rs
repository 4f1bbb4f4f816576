//! The repository's own rules, each a test: what the crate's documentation calls an invariant is checked here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that belong to the repository, relative to its root.
fn files() -> Vec<PathBuf> {
    let list = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    let list = list.expect("git lists the files").stdout;
    let names = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let paths = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
    paths.filter(|path| root().join(path).is_file()).collect()
}

/// The library's source files with their text, by path below `src`.
fn sources() -> BTreeMap<String, String> {
    let sources: BTreeMap<String, String> = files()
        .into_iter()
        .filter_map(|path| path.to_str()?.strip_prefix("src/").map(str::to_owned))
        .filter(|name| name.ends_with(".rs"))
        .map(|name| {
            (
                name.clone(),
                std::fs::read_to_string(root().join("src").join(name)).unwrap(),
            )
        })
        .collect();
    assert!(sources.len() > 30, "the source files were not found");
    sources
}

/// The text of a source file without its tests and comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = before_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Whether a text names something: the word, not at the end of a longer one.
fn names(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part_of_word))
}

/// The module that a source file belongs to: its first folder, or its own name.
fn module(name: &str) -> &str {
    name.split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
}

fn is_test(name: &str) -> bool {
    name.split('/')
        .any(|part| matches!(part, "tests.rs" | "tests"))
}

const CORE: [&str; 14] = [
    "values",
    "paths",
    "problem",
    "yaml",
    "fleetfile",
    "fleet",
    "format",
    "xml",
    "boot",
    "mark",
    "inventory",
    "domain",
    "plan",
    "report",
];

/// Decisions outside of the core that are as pure.
const PURE_BESIDE: [&str; 2] = ["watch/judge.rs", "watch/lane.rs"];

#[test]
fn the_core_reaches_nothing_outside_itself() {
    let forbidden = [
        "virt::",
        "std::fs",
        "std::env",
        "SystemTime",
        "Instant",
        "std::process",
        "rustix",
        "HashMap",
        "HashSet",
    ];
    for (name, text) in sources() {
        let pure = CORE.contains(&module(&name)) || PURE_BESIDE.contains(&name.as_str());
        if !pure || is_test(&name) {
            continue;
        }
        for word in forbidden {
            assert!(!names(&code(&text), word), "src/{name} names {word}");
        }
    }
}

#[test]
fn modules_use_only_what_the_table_allows() {
    // Each line allows one module the modules after the colon.
    let table = [
        "values:",
        "paths: values",
        "problem: values",
        "yaml: problem",
        "fleetfile: values problem yaml",
        "fleet: values paths problem yaml fleetfile",
        "format:",
        "xml:",
        "boot: format values paths fleet",
        "mark: format values fleet",
        "inventory: format xml mark boot values paths fleet",
        "domain: xml mark values paths fleet inventory",
        "plan: format xml values paths problem fleet boot mark inventory domain",
        // An outcome is rendered from what the engine tells.
        "report: format xml values paths problem fleet boot mark inventory domain plan engine",
        // The engine knows the port's two verbs of a host, and nothing behind them.
        "engine: xml values paths fleet boot mark inventory domain plan host",
        "files: paths",
        "host: format xml values paths fleet boot mark inventory domain plan files",
        "hook: format boot mark xml values paths fleet files",
        "watch: format values paths fleet boot mark inventory host",
        "cli: format xml values paths problem fleet boot mark inventory domain plan report engine host hook watch files",
    ];
    let allowed: BTreeMap<&str, Vec<&str>> = table
        .iter()
        .map(|line| line.split_once(':').unwrap())
        .map(|(module, uses)| (module, uses.split_whitespace().collect()))
        .collect();
    for (name, text) in sources() {
        let own = module(&name);
        let Some(uses) = allowed.get(own) else {
            continue;
        };
        for used in code(&text).split("crate::").skip(1) {
            let used = used
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .next()
                .unwrap_or_default();
            let known = used.is_empty()
                || used == own
                || uses.contains(&used)
                || !allowed.contains_key(used);
            assert!(
                known || is_test(&name),
                "src/{name} uses crate::{used}, which is not below `{own}`"
            );
        }
    }
}

#[test]
fn one_file_names_each_outside_library_that_could_spread() {
    let owners: [(&str, &[&str]); 3] = [
        ("serde_yaml", &["yaml/document.rs"]),
        (
            "virt::",
            &["host/system/events.rs", "host/system/libvirt.rs"],
        ),
        ("annotate_snippets", &["report/diagnostics.rs"]),
    ];
    for (word, owners) in owners {
        let users: Vec<_> = sources()
            .into_iter()
            .filter(|(_, text)| names(&code(text), word))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(users, owners, "{word}");
    }
}

#[test]
fn one_module_is_unsafe() {
    for (name, text) in sources() {
        let is_unsafe = names(&code(&text), "unsafe") || text.contains("unsafe_code");
        assert_eq!(is_unsafe, name == "host/system/events.rs", "src/{name}");
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
}

#[test]
fn only_the_command_line_and_the_hook_print() {
    for (name, text) in sources() {
        let may = name.starts_with("cli/") || name == "bin/armfleet-hook.rs";
        for word in [
            "print!(",
            "println!(",
            "eprint!(",
            "eprintln!(",
            "stdout()",
            "stderr()",
        ] {
            assert!(
                may || is_test(&name) || !code(&text).contains(word),
                "src/{name} has {word}"
            );
        }
    }
}

#[test]
fn a_dry_run_is_a_type_and_not_a_flag() {
    for (name, text) in sources() {
        assert!(!code(&text).contains("dry_run"), "src/{name}");
    }
    let plan = std::fs::read_to_string(root().join("src/cli/plan.rs")).unwrap();
    assert!(
        !plan.contains("SystemHost") && !plan.contains("Executor"),
        "the plan command can write"
    );
}

#[test]
fn nothing_is_left_undone_in_silence() {
    for (name, text) in sources() {
        for word in [
            "todo!(",
            "unimplemented!(",
            "dbg!(",
            "#[ignore",
            "FIXME",
            "XXX",
        ] {
            assert!(!text.contains(word), "src/{name} has {word}");
        }
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "src/{name} has {lines} lines");
    }
}

#[test]
fn names_say_what_a_thing_is() {
    for (name, _) in sources() {
        for word in ["manager", "helper", "util", "data", "info", "context"] {
            let parts: Vec<&str> = name.split(['/', '.', '_']).collect();
            assert!(!parts.contains(&word), "src/{name}");
        }
    }
}

#[test]
fn every_module_is_in_the_file_map() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for name in sources().keys() {
        let module = module(name);
        let mapped = matches!(module, "lib" | "main" | "bin")
            || library.contains(&format!("| [`{module}`]"));
        assert!(
            mapped,
            "src/{name}: the map in src/lib.rs has no line for `{module}`"
        );
    }
}

#[test]
fn the_top_level_holds_what_was_agreed_and_nothing_else() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "examples",
        "schema",
        "tests",
        "README.md",
        "CHANGELOG.md",
    ];
    for path in files() {
        let top = path.iter().next().unwrap().to_string_lossy().into_owned();
        let fits = agreed.contains(&top.as_str()) || top == "LICENSE" || top.starts_with('.');
        assert!(fits, "{top} does not belong at the top level");
    }
}

#[test]
fn the_version_is_in_the_changelog() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(env!("CARGO_PKG_VERSION")) || changelog.contains("Unreleased"));
}
