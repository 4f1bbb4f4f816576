//! The schema of fleet files: it is the committed one, it takes what the reader takes, and it refuses what it can.
//!
//! `SNAPSHOTS=overwrite cargo test --test schema` writes the committed file anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use armfleet::fleet::read_fleet;
use armfleet::fleet::schema::schema;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    jsonschema::draft7::meta::validate(&schema).unwrap();
    jsonschema::draft7::new(&schema).unwrap()
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder with this suffix.
fn files(folder: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = root().join(folder).read_dir().unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.flat_map(|path| match path.is_dir() {
        true => files(path.to_str().unwrap(), suffix),
        false => vec![path],
    });
    paths
        .filter(|path| path.extension().is_some_and(|found| found == suffix))
        .collect()
}

/// A file as an editor sees it: YAML's values as JSON's.
fn as_json(bytes: &[u8]) -> Option<Value> {
    let value: serde_yaml::Value = serde_yaml::from_slice(bytes).ok()?;
    json(value)
}

fn json(value: serde_yaml::Value) -> Option<Value> {
    Some(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => value.into(),
        // `.inf` is a number that JSON does not have; any other will do.
        serde_yaml::Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) => Number::from_f64(float).map_or(Value::from(0.5), Value::Number),
            (None, None) => return None,
        },
        serde_yaml::Value::String(text) => text.into(),
        serde_yaml::Value::Sequence(list) => list
            .into_iter()
            .map(json)
            .collect::<Option<Vec<_>>>()?
            .into(),
        serde_yaml::Value::Mapping(map) => {
            let entries = map.into_iter().map(|(key, value)| {
                let key = match json(key)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Some((key, json(value)?))
            });
            entries.collect::<Option<Map<_, _>>>()?.into()
        }
        serde_yaml::Value::Tagged(_) => return None,
    })
}

/// What the schema says against a file.
fn complaints(bytes: &[u8]) -> Vec<String> {
    let Some(value) = as_json(bytes) else {
        return vec!["not read".to_owned()];
    };
    let errors = SCHEMA.iter_errors(&value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let committed = root().join("schema/fleet.schema.json");
    snapbox::assert_data_eq!(schema(), snapbox::Data::read_from(&committed, None).raw());
}

#[test]
fn every_example_is_valid_for_schema_and_reader() {
    let examples = files("examples", "yaml");
    assert!(examples.len() >= 2);
    for path in examples {
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(complaints(&bytes), [""; 0], "{}", path.display());
        let read = read_fleet(&bytes, "fleet.yaml", "/home/me/fleet");
        assert!(read.is_ok(), "{}: {read:#?}", path.display());
    }
}

#[test]
fn every_wrong_file_is_refused_by_schema_or_reader() {
    let mut by_schema = 0;
    let files = files("tests/invalid", "yaml").into_iter();
    // Of several files, each may be right by itself.
    for path in files.filter(|path| path.ends_with("fleet.yaml")) {
        let bytes = std::fs::read(&path).unwrap();
        let refused = !complaints(&bytes).is_empty();
        let read = read_fleet(&bytes, "fleet.yaml", "/home/me/fleet");
        assert!(refused || read.is_err(), "{}", path.display());
        by_schema += usize::from(refused && as_json(&bytes).is_some());
    }
    assert!(
        by_schema >= 25,
        "the schema by itself refuses only {by_schema}"
    );
}

/// A mistake that an editor is to mark, and where.
#[test]
fn common_mistakes_are_marked_by_the_schema() {
    let mistakes = [
        ("memroy: 1GiB", "/vms/vm"),
        ("arch: armhfp", "/vms/vm/arch"),
        ("memory: 8G", "/vms/vm/memory"),
        ("memory: 512", "/vms/vm/memory"),
        ("vcpus: 0", "/vms/vm/vcpus"),
        ("vcpus: '2'", "/vms/vm/vcpus"),
        ("autostart: yes", "/vms/vm/autostart"),
        ("stop_timeout: 2 minutes", "/vms/vm/stop_timeout"),
        ("state: started", "/vms/vm/state"),
        ("disks: [{ size: 8GiB }]", "/vms/vm/disks/0"),
        ("disks: [{ path: srv/a.img }]", "/vms/vm/disks/0/path"),
        ("console: pty", "/vms/vm/console"),
    ];
    for (mistake, place) in mistakes {
        let mut lines = vec!["arch: armhf", "memory: 1GiB", "boot: { cmdline: a }"];
        let key = mistake.split_once(':').unwrap().0;
        lines.retain(|line| !line.starts_with(key));
        lines.push(mistake);
        let file = format!("fleet: f\nvms:\n  vm:\n    {}\n", lines.join("\n    "));
        let complaints = complaints(file.as_bytes());
        assert!(
            complaints
                .iter()
                .any(|complaint| complaint.starts_with(&format!("{place}:"))),
            "{mistake}: {complaints:?}"
        );
    }
}

/// Valid files, to be damaged. Of layers the reader takes no value that another layer replaces, whatever it is; the
/// schema judges each, so files with layers are left out.
fn valid_files() -> Vec<Vec<u8>> {
    let examples = files("examples", "yaml").into_iter();
    let texts = examples.map(|path| std::fs::read_to_string(path).unwrap());
    let plain = texts.filter(|text| !text.contains("profiles:") && !text.contains("defaults:"));
    plain.map(String::into_bytes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// An editor never marks what is right.
    #[test]
    fn what_the_reader_takes_the_schema_takes(
        file in prop::sample::select(valid_files()),
        line in any::<prop::sample::Index>(),
        value in r#"~|[0-9]{1,3}|[0-9]+ ?(B|kB|MiB|GiB|s|min|h)|true|false|yes|0x1f|1e3|\.inf|-1|[a-z]{1,9}|"[ -~]{0,9}"|/[a-z/.-]{0,12}|[a-z/.-]{0,12}|'[{}a-z ]{0,9}'|"[{]var[.](size|release|none)[}]"|[{]\}"#,
    ) {
        let text = String::from_utf8(file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let chosen = line.index(lines.len());
        let changed = lines.iter().enumerate().map(|(at, line)| match line.split_once(": ") {
            Some((key, _)) if at == chosen => format!("{key}: {value}\n"),
            _ => format!("{line}\n"),
        });
        let bytes = changed.collect::<String>().into_bytes();
        if read_fleet(&bytes, "fleet.yaml", "/home/me/fleet").is_ok() {
            prop_assert_eq!(complaints(&bytes), [""; 0]);
        }
    }
}
