//! Comments on pull requests as a browser shows them. The pictures stay in cargo's folder for tests, to be looked at.

use super::harness::applied::{applied, plan_on, see, spec, vm};
use super::{PlanReport, example, render_markdown};
use flate2::read::ZlibDecoder;
use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a reviewer sees of a comment without scrolling, and the picture's width.
const SCREEN: u32 = 900;
const WIDTH: u32 = 864;
/// No picture is higher; a longer comment's is its beginning.
const HIGHEST: u32 = 12_000;
/// The longest comment that GitHub takes.
const FORGE_LIMIT: usize = 65_536;

const VMS: usize = 500;

/// A text that looks like markup, and is shown as it is.
const HOSTILE: &str = "</details> <b> **x** `y` | z";

#[test]
#[ignore = "long: a browser draws comments"]
fn comments_are_readable_in_a_browser() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("comments");
    fs::create_dir_all(&folder).unwrap();
    let comments = [
        ("small", small()),
        ("plan-alike", large_plan(|_| 2048)),
        ("plan-each", large_plan(|number| 1024 + number)),
        ("diff-500", diff(&fleet(""), &fleet(", vcpus: 2"))),
        ("diff-range", diff(&range("2GiB"), &range("3GiB"))),
        ("diff-wide", diff(&fleet(""), &wide())),
    ];
    let rendered = comments.map(|(name, markdown)| Rendered::new(&folder, name, &markdown));
    rendered.iter().for_each(Rendered::judge);
}

fn small() -> String {
    let (spec, host) = example();
    let plan = plan_on(&spec, &host);
    let definitions = plan.definitions(&see(&spec, &host));
    render_markdown(&PlanReport::new(&plan, Some(&definitions)))
}

/// Every VM of 500 gets a gibibyte more than it has, and every tenth is restarted for it.
fn large_plan(mebibytes: fn(usize) -> usize) -> String {
    let file = |more: usize| {
        let vms = (0..VMS).map(|number| {
            let memory = format!("{}MiB", mebibytes(number) + more);
            let rest = match number % 10 {
                0 => ", restart: when-required",
                _ => "",
            };
            vm(&format!("obs-{number:03}"), &memory, rest)
        });
        spec(&format!("fleet: obs\nvms:\n{}", vms.collect::<String>()))
    };
    let after = file(1024);
    let host = applied(&file(0));
    let plan = plan_on(&after, &host);
    let changed = plan.steps.iter().filter(|step| !step.changes.is_empty());
    assert_eq!(changed.count(), VMS);
    let definitions = plan.definitions(&see(&after, &host));
    render_markdown(&PlanReport::new(&plan, Some(&definitions)))
}

/// A fleet file with 500 VMs of their own; every tenth is restarted where it has to be.
fn fleet(rest: &str) -> String {
    let vms = (0..VMS).map(|number| {
        let restart = if number % 10 == 0 {
            ", restart: when-required"
        } else {
            ""
        };
        let memory = format!("{}MiB", 512 + number);
        vm(
            &format!("obs-{number:03}"),
            &memory,
            &format!("{restart}{rest}"),
        )
    });
    format!("fleet: obs\nvms:\n{}", vms.collect::<String>())
}

/// As many VMs by one name.
fn range(memory: &str) -> String {
    let range = vm("RANGE", memory, ", restart: when-required");
    let range = range.replace("/srv/RANGE.img", "\"/srv/{name}.img\"");
    format!(
        "fleet: obs\nvms:\n{}",
        range.replace("RANGE", "\"obs-[001-500]\"")
    )
}

/// Texts without a space to break them at, and some that look like markup.
fn wide() -> String {
    let word = "x".repeat(180);
    fleet("")
        .replacen("root=/dev/vda1", &format!("root=/dev/vda1 {word}"), 1)
        .replacen(
            "cmdline: console=ttyAMA0 root=/dev/vda1, ",
            &format!("cmdline: '{HOSTILE}', "),
            1,
        )
        .replacen("/srv/obs-004.img", &format!("/srv/{word}/obs-004.img"), 1)
}

fn diff(old: &str, new: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.yaml"), old).unwrap();
    fs::write(folder.path().join("new.yaml"), new).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_armfleet"))
        .args([
            "diff", "--diff", "--format", "markdown", "old.yaml", "new.yaml",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // One of them refuses a disk.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A comment as the jobs of `examples/ci` post it, and as a forge and a browser show it.
struct Rendered {
    name: String,
    characters: usize,
    measured: Value,
    picture: PathBuf,
}

impl Rendered {
    fn new(folder: &Path, name: &str, markdown: &str) -> Self {
        let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        let commit = "0a1b2c3d".repeat(5);
        let posted = format!("<!-- armfleet -->\n{markdown}\n<sub>commit {commit}</sub>\n");
        fs::write(file("md"), &posted).unwrap();
        let html = run(
            "cmark-gfm",
            &[
                "--unsafe",
                "-e",
                "table",
                "-e",
                "strikethrough",
                "-e",
                "autolink",
                "-e",
                "tagfilter",
                path(&file("md")),
            ],
        );
        let page = include_str!("comment.html")
            .replace("HOSTILE", HOSTILE)
            .replacen("COMMENT", &html, 1);
        fs::write(file("html"), page).unwrap();
        let address = format!("file://{}", path(&file("html")));
        let page = browser(SCREEN, &["--dump-dom", &address]);
        let (_, measured) = page.rsplit_once("id=\"measured\">").unwrap();
        let measured: Value =
            serde_json::from_str(measured.split_once("</script>").unwrap().0).unwrap();
        let height = measured["height"]
            .as_u64()
            .unwrap()
            .try_into()
            .unwrap_or(HIGHEST);
        let screenshot = format!("--screenshot={}", path(&file("png")));
        browser(height.min(HIGHEST), &[&screenshot, &address]);
        Self {
            name: name.to_owned(),
            characters: posted.chars().count(),
            measured,
            picture: file("png"),
        }
    }

    fn judge(&self) {
        let (name, measured) = (&self.name, &self.measured);
        assert!(
            self.characters <= FORGE_LIMIT,
            "{name}: {}",
            self.characters
        );
        assert_eq!(
            measured["wide"],
            Value::Array(Vec::new()),
            "{name}: wider than the comment"
        );
        assert_eq!(
            measured["raw"],
            Value::Array(Vec::new()),
            "{name}: shown as it is written"
        );
        self.judge_folds();
        self.judge_first_screen();
        self.judge_picture();
    }

    /// All are closed, begin with the line that opens them, hold something, and end before what follows.
    fn judge_folds(&self) {
        let (name, measured) = (&self.name, &self.measured);
        for fold in measured["folds"].as_array().unwrap() {
            assert_eq!(fold["open"], false, "{name}: {fold}");
            assert_eq!(fold["summaries"], serde_json::json!([0]), "{name}: {fold}");
            assert_ne!(fold["contents"], 0, "{name}: {fold}");
            assert_eq!(fold["within"], 0, "{name}: {fold}");
        }
        for heading in measured["headings"].as_array().unwrap() {
            assert_eq!(heading["folded"], false, "{name}: {heading}");
        }
        let last = &measured["last"];
        assert_eq!(last["fold"], false, "{name}: {last}");
        assert!(
            last["text"].as_str().unwrap().starts_with("commit "),
            "{name}: {last}"
        );
    }

    /// Who decides sees at once what is interrupted: all of it, or where that is much, its beginning.
    fn judge_first_screen(&self) {
        let name = &self.name;
        let headings = self.measured["headings"].as_array().unwrap().iter();
        let interruptions =
            headings.filter(|heading| heading["text"].as_str().unwrap().starts_with("Interrupts"));
        let tops: Vec<f64> = interruptions
            .map(|heading| heading["top"].as_f64().unwrap())
            .collect();
        let third = f64::from(SCREEN) / 3.0;
        assert!(matches!(tops[..], [top] if top < third), "{name}: {tops:?}");
        let rows = self.measured["rows"].as_array().unwrap().iter();
        let bottoms: Vec<f64> = rows.map(|row| row.as_f64().unwrap()).collect();
        let is_seen = |bottom: &&f64| **bottom < f64::from(SCREEN);
        let seen = bottoms.iter().filter(is_seen).count();
        assert!(
            seen > 0 && seen >= bottoms.len().min(5),
            "{name}: {bottoms:?}"
        );
    }

    /// There is ink on it, on each screen of it.
    fn judge_picture(&self) {
        let name = &self.name;
        let rows = ink(&fs::read(&self.picture).unwrap());
        for (at, screen) in rows.chunks(SCREEN as usize / 2).enumerate() {
            let inked: usize = screen.iter().sum();
            assert!(
                inked > 100 || screen.len() < 100,
                "{name}: half screen {at} has {inked} dark points"
            );
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} (run tests/sandbox/prerequisites --long): {error}")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A browser that knows no other host, with a profile of its own.
fn browser(height: u32, arguments: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let size = format!("--window-size={WIDTH},{height}");
    let profile = format!("--user-data-dir={}", path(profile.path()));
    let fixed = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        &size,
        &profile,
    ];
    run("chromium", &[&fixed, arguments].concat())
}

/// How many dark points each row of a picture has. PNG: colours of 8 bits, with or without transparency.
fn ink(png: &[u8]) -> Vec<usize> {
    let (mut header, mut packed) = (Vec::new(), Vec::new());
    let mut rest = &png[8..];
    while let Some((length, chunk)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        match &chunk[..4] {
            b"IHDR" => header = chunk[4..4 + length].to_vec(),
            b"IDAT" => packed.extend_from_slice(&chunk[4..4 + length]),
            _ => {}
        }
        rest = &chunk[length + 8..];
    }
    let width = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
    let bytes = match header[8..] {
        [8, 2, _, _, 0] => 3,
        [8, 6, _, _, 0] => 4,
        _ => panic!("{header:?}"),
    };
    let mut lines = Vec::new();
    ZlibDecoder::new(&packed[..])
        .read_to_end(&mut lines)
        .unwrap();
    let mut above = vec![0; width * bytes];
    let rows = lines.chunks(width * bytes + 1).map(|line| {
        above = unfiltered(line[0], &line[1..], &above, bytes);
        above
            .chunks(bytes)
            .filter(|point| point[..3].iter().all(|part| *part < 128))
            .count()
    });
    rows.collect()
}

/// A row of a PNG without its filter, each byte of which is added to what is left of it, above it, or both.
fn unfiltered(filter: u8, line: &[u8], above: &[u8], bytes: usize) -> Vec<u8> {
    let mut row: Vec<u8> = Vec::with_capacity(line.len());
    for (at, byte) in line.iter().enumerate() {
        let left = at.checked_sub(bytes).map_or(0, |at| row[at]);
        let corner = at.checked_sub(bytes).map_or(0, |at| above[at]);
        let up = above[at];
        let guess = match filter {
            0 => 0,
            1 => left,
            2 => up,
            3 => u8::midpoint(left, up),
            4 => nearest(left, up, corner),
            _ => panic!("filter {filter}"),
        };
        row.push(byte.wrapping_add(guess));
    }
    row
}

/// Paeth's guess.
fn nearest(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let far = |value: u8| (guess - i16::from(value)).abs();
    [left, up, corner]
        .into_iter()
        .min_by_key(|value| far(*value))
        .unwrap_or(0)
}
