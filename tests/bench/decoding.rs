//! What unpacking an initrd costs in each format, against the program that is the format's reference.

use super::turns::{Turn, medians};
use super::world::cpio;
use armfleet::boot::{Allowance, Contents, walk_initrd};
use armfleet::values::Arch;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Cursor, Read, Seek, Write as _};
use std::process::{Command, Stdio};
use std::thread;

/// How each is made as Linux takes it, and unpacked.
const FORMATS: [(&str, &str, &str); 6] = [
    ("gzip", "gzip", "gzip -dc"),
    ("xz", "xz -3 --check=crc32", "xz -dc"),
    ("zstd", "zstd -q", "zstd -qdc"),
    ("lz4", "lz4 -lq", "lz4 -dcq"),
    ("bzip2", "bzip2", "bzip2 -dc"),
    ("lzma", "xz -3 --format=lzma", "xz -dc"),
];
const SIZE: usize = 16_000_000;
const ROUNDS: usize = 3;

/// An archive whose file is words in no order, which compress to about a third, as programs do.
pub(super) fn archive(size: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let mut word = || {
        [random() << 31 | random(), random() << 31 | random()]
            .map(u64::to_le_bytes)
            .concat()
    };
    let words: Vec<Vec<u8>> = (0..1024).map(|_| word()).collect();
    let mut file = Vec::with_capacity(size);
    while file.len() < size {
        let length = 6 + (random() % 8) as usize;
        file.extend_from_slice(&words[(random() % 1024) as usize][..length]);
    }
    cpio("file", &file)
}

/// What a program makes of bytes.
pub(super) fn compressed(command: &str, bytes: &[u8]) -> Vec<u8> {
    let mut process = program(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = process.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || to.write_all(bytes).unwrap());
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}");
        output.stdout
    })
}

fn program(command: &str) -> Command {
    let mut words = command.split(' ');
    let mut program = Command::new(words.next().unwrap());
    program.args(words);
    program
}

/// Unpacks an initrd as the hook does.
pub(super) fn walk(initrd: impl AsRef<[u8]>) {
    walk_to_the_end(Cursor::new(initrd));
}

fn walk_to_the_end(initrd: impl Read + Seek) {
    let walked = walk_initrd(initrd, Arch::ARMHF, &Allowance::without_clock()).unwrap();
    assert_eq!(walked.contents, Contents::Unpacked);
}

pub(super) fn costs() -> Value {
    let archive = archive(SIZE);
    let cost = |(format, pack, unpack): (&str, &str, &str)| {
        let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        file.write_all(&compressed(pack, &archive)).unwrap();
        let packed = file.metadata().unwrap().len();
        let rewound = || {
            let mut file: File = file.try_clone().unwrap();
            file.rewind().unwrap();
            file
        };
        let tool = || {
            let status = program(unpack)
                .stdin(rewound())
                .stdout(Stdio::null())
                .status();
            assert!(status.unwrap().success(), "{unpack}");
        };
        let [ours, theirs] = medians(
            ROUNDS,
            [Turn::new(|| walk_to_the_end(rewound())), Turn::new(tool)],
        );
        let cost = json!({
            "packed_bytes": packed,
            "milliseconds": { "hook": ours, "tool": theirs },
            "milliseconds_per_unpacked_megabyte": ours / (archive.len() as f64 / 1e6),
            "hook_over_tool": ours / theirs,
        });
        (format.to_owned(), cost)
    };
    let costs: serde_json::Map<String, Value> = FORMATS.into_iter().map(cost).collect();
    json!({ "unpacked_bytes": archive.len(), "formats": costs })
}
