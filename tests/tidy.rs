//! The repository's own rules, each a test: what the crate's documentation calls an invariant is checked here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "tidy/house.rs"]
mod house;

use house::{House, without_tests};
use std::collections::{BTreeMap, BTreeSet};
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
    let text = without_tests(text);
    let lines = text
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

const CORE: [&str; 17] = [
    "values",
    "paths",
    "qcow2",
    "trust",
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
    "doctor",
    "report",
];

/// Decisions outside of the core that are as pure.
const PURE_BESIDE: [&str; 2] = ["watch/decide.rs", "watch/vm_queue.rs"];

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
    let sources = sources();
    for file in PURE_BESIDE {
        assert!(sources.contains_key(file), "src/{file} is not there");
    }
    for (name, text) in sources {
        let pure = CORE.contains(&module(&name)) || PURE_BESIDE.contains(&name.as_str());
        if !pure || is_test(&name) {
            continue;
        }
        for word in forbidden {
            assert!(!names(&code(&text), word), "src/{name} names {word}");
        }
    }
}

/// The file map of the crate's documentation: each module with those that it uses, in the map's order.
fn file_map() -> Vec<(String, BTreeSet<String>)> {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows = library
        .lines()
        .filter_map(|line| line.strip_prefix("//! | [`"));
    let read = |row: &str| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let [module, _, uses, _] = columns[..] else {
            panic!("{row}");
        };
        let uses = uses.split_whitespace().map(str::to_owned);
        (module.trim_end_matches("`]").to_owned(), uses.collect())
    };
    rows.map(read).collect()
}

/// What the modules of these sources use of each other.
fn uses(sources: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let house = House::read(sources);
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, used) in house.arrows() {
        let own = module(file);
        let others = used.into_iter().map(module).filter(|used| *used != own);
        uses.entry(own.to_owned())
            .or_default()
            .extend(others.map(str::to_owned));
    }
    uses
}

#[test]
fn modules_use_what_the_file_map_says_and_all_of_it_is_above_them() {
    let uses = uses(&sources());
    let mut above = BTreeSet::new();
    for (module, may_use) in file_map() {
        assert_eq!(
            may_use.difference(&above).collect::<Vec<_>>(),
            [""; 0],
            "`{module}` uses what is not above it"
        );
        assert_eq!(
            uses[&module], may_use,
            "`{module}` uses (left) what the map says (right)"
        );
        above.insert(module);
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let sources = sources();
    let house = House::read(&sources);
    assert_eq!(house.circles(), Vec::<BTreeSet<&str>>::new());
}

#[test]
fn a_circle_and_an_arrow_that_runs_up_are_found() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let planted = BTreeMap::from([
        file(
            "xml/mod.rs",
            "mod tree;\npub use tree::Tree;\nfn up() { crate::plan::plan() }",
        ),
        file("xml/tree.rs", "use super::edit::Edit;\npub struct Tree;"),
        file("xml/edit.rs", "use crate::xml::Tree;\npub struct Edit;"),
        file(
            "plan.rs",
            "#[cfg(test)]\nmod tests { use crate::xml::Tree; }\npub fn plan() {}",
        ),
    ]);
    let house = House::read(&planted);
    assert_eq!(
        house.circles(),
        [BTreeSet::from(["xml/edit.rs", "xml/tree.rs"])]
    );
    let plan = BTreeSet::from(["plan".to_owned()]);
    assert_eq!(
        uses(&planted),
        BTreeMap::from([
            ("plan".to_owned(), BTreeSet::new()),
            ("xml".to_owned(), plan)
        ])
    );
}

#[test]
fn functions_stay_short_enough_to_read() {
    assert_eq!(House::read(&sources()).long_functions(90), [""; 0]);
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
        // `cache: unsafe` is a word of fleet files.
        let code = code(&text).replace("\"unsafe\"", "");
        let is_unsafe = names(&code, "unsafe") || text.contains("unsafe_code");
        assert_eq!(is_unsafe, name == "host/system/events.rs", "src/{name}");
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
}

#[test]
fn one_file_of_the_command_line_and_the_hook_print() {
    for (name, text) in sources() {
        let may = name == "cli/terminal.rs" || name == "bin/armfleet-hook.rs";
        for word in [
            "print!(",
            "println!(",
            "eprint!(",
            "eprintln!(",
            "stdout()",
            "stderr()",
            ".print()",
        ] {
            assert!(
                may || is_test(&name) || !code(&text).contains(word),
                "src/{name} has {word}"
            );
        }
    }
}

#[test]
fn one_file_keeps_what_a_command_leaves_on_a_host() {
    let below = ["system/", "memory/", "primitives.rs", "guests.rs"];
    for (name, text) in sources() {
        let Some(file) = name.strip_prefix("host/") else {
            continue;
        };
        // The hook's shim is a program, not something that is kept.
        let text = code(&text).replace(".write_file(paths::SHIM,", "");
        let keeps = [".write_file(", ".append_line("].map(|call| text.contains(call));
        let may = file == "kept.rs" || below.iter().any(|below| file.starts_with(below));
        assert!(may || is_test(&name) || keeps == [false; 2], "src/{name}");
    }
}

/// The short forms panic where the host has no thread left.
#[test]
fn a_thread_that_cannot_be_made_is_an_error() {
    for (name, text) in sources() {
        for word in ["thread::spawn(", "scope.spawn("] {
            assert!(
                is_test(&name) || !code(&text).contains(word),
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
        let fits =
            agreed.contains(&top.as_str()) || top.starts_with("LICENSE-") || top.starts_with('.');
        assert!(fits, "{top} does not belong at the top level");
    }
}

#[test]
fn the_version_is_in_the_changelog() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(env!("CARGO_PKG_VERSION")) || changelog.contains("Unreleased"));
}
