//! Problems as data: at the same places as in the text, and with corrections that correct.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use armfleet::fleet::{FleetFile, Given, environment, read_files};
use armfleet::problem::{Problem, Problems};
use armfleet::report::{ProblemsReport, schemas};
use armfleet::values::Secrets;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Wrong fleets of one file.
fn wrong_files() -> Vec<(PathBuf, Vec<u8>, Problems)> {
    let folder = root().join("tests/invalid");
    let cases = folder.read_dir().unwrap();
    let files = cases.map(|case| case.unwrap().path().join("fleet.yaml"));
    let mut wrong = Vec::new();
    for path in files.filter(|path| path.exists()) {
        let bytes = std::fs::read(&path).unwrap();
        let problems = read(&bytes).unwrap();
        wrong.push((path, bytes, problems));
    }
    assert!(wrong.len() > 60);
    wrong
}

/// With a value for each secret that a file asks for.
fn read(bytes: &[u8]) -> Option<Problems> {
    let file = FleetFile {
        name: "fleet.yaml",
        folder: "/home/me/fleet",
        bytes,
    };
    let values = environment(bytes).into_iter();
    let values = values.map(|name| (name, "hunter2".to_owned()));
    let given = Given {
        secrets: Secrets::new(values.collect()),
        ..Given::default()
    };
    read_files(&[file], &given).err()
}

fn armfleet(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_armfleet"));
    let command = command.args(arguments).current_dir(folder);
    command.output().unwrap()
}

/// The byte at a line and column, counted the slow way.
fn offset(bytes: &[u8], line: u64, column: u64) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let start: usize = text
        .split_inclusive('\n')
        .take(line as usize - 1)
        .map(str::len)
        .sum();
    let rest = text[start..]
        .strip_prefix('\u{feff}')
        .unwrap_or(&text[start..]);
    let mark = text[start..].len() - rest.len();
    let skipped: usize = rest
        .chars()
        .take(column as usize - 1)
        .map(char::len_utf8)
        .sum();
    start + mark + skipped
}

#[test]
fn lines_columns_and_offsets_agree() {
    let mut places = 0;
    for (path, bytes, problems) in wrong_files() {
        if std::str::from_utf8(&bytes).is_err() {
            continue;
        }
        let report = serde_json::to_value(ProblemsReport::new(&problems)).unwrap();
        let listed = report["problems"].as_array().unwrap();
        assert_eq!(listed.len(), problems.len());
        for (listed, problem) in listed.iter().zip(problems.iter()) {
            assert_eq!(listed["at"]["start"]["offset"], problem.place.range.start);
            assert_eq!(listed["at"]["end"]["offset"], problem.place.range.end);
            assert_eq!(listed["at"]["file"], "fleet.yaml");
            let related = listed["related"].as_array().unwrap();
            let all = related.iter().map(|related| &related["at"]);
            for at in all.chain([&listed["at"]]) {
                for end in ["start", "end"] {
                    let end = &at[end];
                    let number = |name: &str| end[name].as_u64().unwrap();
                    let expected = offset(&bytes, number("line"), number("column"));
                    assert_eq!(
                        number("offset") as usize,
                        expected,
                        "{}: {end}",
                        path.display()
                    );
                    places += 1;
                }
            }
        }
    }
    assert!(places > 300, "{places}");
}

#[test]
fn a_report_is_what_its_schema_says() {
    let schemas = schemas();
    let (_, schema) = schemas
        .iter()
        .find(|(name, _)| *name == "problems.schema.json")
        .unwrap();
    let validator = jsonschema::draft7::new(schema.as_value()).unwrap();
    for (path, _, problems) in wrong_files() {
        let mut report = serde_json::to_value(ProblemsReport::new(&problems)).unwrap();
        assert!(validator.is_valid(&report), "{}", path.display());
        report["problems"][0]["at"]["start"]["line"] = "one".into();
        assert!(!validator.is_valid(&report));
    }
}

/// The problem is gone when its correction is made, and no other has come.
#[test]
fn every_correction_corrects() {
    let mut corrections = 0;
    for (path, bytes, problems) in wrong_files() {
        for problem in problems.iter() {
            let Some(fix) = &problem.fix else {
                continue;
            };
            let mut mended = bytes.clone();
            mended.splice(problem.place.range.clone(), fix.bytes());
            let same = |other: &&Problem| {
                other.code == problem.code && other.place.range.start == problem.place.range.start
            };
            let after = read(&mended);
            let left = after.iter().flat_map(|left| left.iter()).find(same);
            assert_eq!(left, None, "{}: {fix:?}", path.display());
            corrections += 1;
        }
    }
    assert!(
        corrections >= 20,
        "only {corrections} corrections were tried"
    );
}

#[test]
fn what_is_suggested_can_be_applied() {
    let suggested = |problem: &&Problem| problem.place.text.starts_with("did you mean");
    let (mut all, mut applicable) = (0, 0);
    for (_, _, problems) in wrong_files() {
        all += problems.iter().filter(suggested).count();
        let fixes = problems.iter().filter(suggested);
        applicable += fixes.filter(|problem| problem.fix.is_some()).count();
    }
    // Values that are used through an alias are corrected by hand.
    assert!(
        applicable > 0 && all - applicable <= 3,
        "{applicable} of {all}"
    );
}

#[test]
fn validate_prints_problems_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = "fleet: lab\nvms:\n  größe: {}\n  vm:\n    arch: armhf\n    memroy: 1GiB\n    boot: { cmdline: a }\n    autostart: yes\n";
    std::fs::write(folder.path().join("fleet.yaml"), file).unwrap();
    let output = armfleet(folder.path(), &["validate", "--format", "json"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stderr.is_empty());
    let stdout = String::from_utf8(output.stdout).unwrap();
    snapbox::assert_data_eq!(
        stdout,
        snapbox::str![[r#"
{
  "format": "armfleet-problems/1",
  "valid": false,
  "files": [
    "fleet.yaml"
  ],
  "fleet": null,
  "vms": null,
  "complete": true,
  "problems": [
    {
      "severity": "error",
      "code": "missing-key",
      "message": "a VM needs `arch`",
      "at": {
        "file": "fleet.yaml",
        "start": {
          "line": 3,
          "column": 3,
          "offset": 18
        },
        "end": {
          "line": 3,
          "column": 8,
          "offset": 25
        }
      },
      "label": null,
      "related": [],
      "help": "add it, as in `arch: armhf`",
      "fix": null
    },
    {
      "severity": "error",
      "code": "missing-key",
      "message": "a VM needs `boot.cmdline`",
      "at": {
        "file": "fleet.yaml",
        "start": {
          "line": 3,
          "column": 3,
          "offset": 18
        },
        "end": {
          "line": 3,
          "column": 8,
          "offset": 25
        }
      },
      "label": null,
      "related": [],
      "help": "add it, as in `boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }`",
      "fix": null
    },
    {
      "severity": "error",
      "code": "missing-key",
      "message": "a VM needs `memory`",
      "at": {
        "file": "fleet.yaml",
        "start": {
          "line": 3,
          "column": 3,
          "offset": 18
        },
        "end": {
          "line": 3,
          "column": 8,
          "offset": 25
        }
      },
      "label": null,
      "related": [],
      "help": "add it, as in `memory: 512MiB`",
      "fix": null
    },
    {
      "severity": "error",
      "code": "wrong-value",
      "message": "a name has only letters, digits, `.`, `_` and `-`, not 'ö'",
      "at": {
        "file": "fleet.yaml",
        "start": {
          "line": 3,
          "column": 3,
          "offset": 18
        },
        "end": {
          "line": 3,
          "column": 8,
          "offset": 25
        }
      },
      "label": null,
      "related": [],
      "help": null,
      "fix": null
    },
    {
      "severity": "error",
      "code": "unknown-key",
      "message": "a VM has no key `memroy`",
      "at": {
        "file": "fleet.yaml",
        "start": {
          "line": 6,
          "column": 5,
          "offset": 56
        },
        "end": {
          "line": 6,
          "column": 11,
          "offset": 62
        }
      },
      "label": "did you mean `memory`?",
      "related": [],
      "help": null,
      "fix": {
        "at": {
          "file": "fleet.yaml",
          "start": {
            "line": 6,
            "column": 5,
            "offset": 56
          },
          "end": {
            "line": 6,
            "column": 11,
            "offset": 62
          }
        },
        "replacement": "memory"
      }
    },
    {
      "severity": "error",
      "code": "wrong-type",
      "message": "`autostart` is `true` or `false`",
      "at": {
        "file": "fleet.yaml",
        "start": {
          "line": 8,
          "column": 16,
          "offset": 109
        },
        "end": {
          "line": 8,
          "column": 19,
          "offset": 112
        }
      },
      "label": "write true",
      "related": [],
      "help": null,
      "fix": {
        "at": {
          "file": "fleet.yaml",
          "start": {
            "line": 8,
            "column": 16,
            "offset": 109
          },
          "end": {
            "line": 8,
            "column": 19,
            "offset": 112
          }
        },
        "replacement": "true"
      }
    }
  ]
}

"#]]
    );
}

#[test]
fn validate_says_as_json_that_a_file_is_valid() {
    let output = armfleet(
        &root().join("examples"),
        &["validate", "recipe.yaml", "--format=json"],
    );
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    snapbox::assert_data_eq!(
        stdout,
        snapbox::str![[r#"
{
  "format": "armfleet-problems/1",
  "valid": true,
  "files": [
    "recipe.yaml"
  ],
  "fleet": "obs-workers",
  "vms": 1,
  "complete": true,
  "problems": []
}

"#]]
    );
    let output = armfleet(root(), &["validate", "no-such-file.yaml", "--format=json"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}
