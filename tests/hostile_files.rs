//! No fleet file, however strange, brings its reader down or makes anybody wait.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use armfleet::fleet::read_fleet;
use armfleet::report::render_problems;
use proptest::prelude::*;
use std::path::Path;
use std::time::Instant;

/// A file with every key.
const VALID: &str = r#"
fleet: obs-workers
vms:
  armhf-vm: &vm
    host: local
    arch: armhf
    accel: tcg
    machine: virt
    memory: &memory 512MiB
    vcpus: 2
    transport: mmio
    boot:
      from: share
      share: "/srv/{name}-boot"
      handover: copy
      cmdline: >-
        console=ttyAMA0
        root=/dev/vda1
      seed: { kernel: seed/vmlinuz, initrd: '/srv/initrd.gz' }
    disks: [{ name: root, path: "/srv/{name}.img", size: 8GiB, format: raw }]
    console: { log: "/var/log/{fleet}/{name}.log" }
    state: stopped
    autostart: false
    on_guest_reboot: stop
    stop_timeout: 1h30min
  other: { arch: armhf, memory: *memory, boot: { cmdline: "größe {{}}" } }
"#;

/// A valid file, and every wrong one.
fn files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    let cases = folder.read_dir().unwrap();
    let cases = cases.flat_map(|case| case.unwrap().path().read_dir().unwrap());
    let paths = cases.map(|entry| entry.unwrap().path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "yaml"));
    let mut files: Vec<_> = yaml.map(|path| std::fs::read(path).unwrap()).collect();
    files.sort();
    files.push(VALID.as_bytes().to_owned());
    files
}

#[test]
fn the_file_with_every_key_is_valid() {
    let read = read_fleet(VALID.as_bytes(), "fleet.yaml", "/home/me/fleet");
    assert_eq!(read.unwrap().vms.len(), 2);
}

/// Hostile files. The limit on time is far above what any of them takes, and far below what a parser without bounds does.
#[test]
fn hostile_files_are_answered_in_time() {
    const LENGTH: usize = 1 << 18;
    let fill = |piece: &str| piece.repeat(LENGTH / piece.len());
    let mut files: Vec<String> = [
        "[", "{", "{a: ", "- ", "? ", "a: ", "!a ", "&a ", "*a ", "'", "\"", "#", "\t", " ", "\n",
        "a", "a:\n", "- a\n", "---\n", ": ", "|\n", "é", "{}", "- {}\n", "- [a]\n", "<<: a\n", "%",
        "\\", "a: {", "[[],", "\"a\":", "!!str ",
    ]
    .map(fill)
    .into();
    for (before, piece, after) in [
        ("a: [", "a,", "]"),
        ("a: [", "a: b,", "]"),
        ("vms: {", "a: b,", "}"),
        ("a: \"", "\\n", "\""),
        ("a: |\n", "  x\n", ""),
        ("fleet: ", "x", ""),
        ("vms:\n  a:\n    memory: ", "8", "G"),
        ("vms: [", "!t a,", "]"),
        ("a: &a b\nvms: {b: [", "*a,", "]}"),
    ] {
        let room = LENGTH - before.len() - after.len();
        files.push(format!(
            "{before}{}{after}",
            piece.repeat(room / piece.len())
        ));
    }
    for text in files {
        let start = Instant::now();
        assert!(read_fleet(text.as_bytes(), "fleet.yaml", "/").is_err());
        let seconds = start.elapsed().as_secs_f64();
        assert!(
            seconds < 10.0,
            "{seconds} s for {:?}…",
            &text[..20.min(text.len())]
        );
    }
}

/// Whatever is wrong, it is told in the order of the file, at places that are there.
fn answered(bytes: &[u8]) {
    let Err(problems) = read_fleet(bytes, "fleet.yaml", "/home/me/fleet") else {
        return;
    };
    assert!(!problems.is_empty());
    let starts: Vec<_> = problems
        .iter()
        .map(|problem| problem.place.range.start)
        .collect();
    assert!(starts.is_sorted());
    for problem in problems.iter() {
        for label in problem.others.iter().chain([&problem.place]) {
            assert!(label.range.start <= label.range.end && label.range.end <= bytes.len());
        }
    }
    for color in [false, true] {
        let text = render_problems(&problems, color);
        let allowed = |c: char| c == '\n' || c == '\u{1b}' && color;
        assert!(
            !text.chars().any(|c| c.is_control() && !allowed(c)),
            "{text:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        answered(&bytes);
    }

    #[test]
    fn anything_like_yaml_is_answered(text in "([\\[\\]{}:,&*!|>'\"#%@`?<~.é\u{feff}\t\r -]|\n|\n  |: |- |--- |fleet|vms|boot|memory|disks|8GiB|a){0,60}") {
        answered(text.as_bytes());
    }

    #[test]
    fn damaged_files_are_answered(
        file in prop::sample::select(files()),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[ -~\n\té]{0,6}"), 1..6),
    ) {
        let mut bytes = file;
        for (place, length, text) in damages {
            let start = place.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, text.bytes());
        }
        answered(&bytes);
    }
}
