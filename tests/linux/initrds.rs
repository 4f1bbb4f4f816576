//! The initrds, each with what the hook and Linux make of it.

use crate::qemu::Verdict;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;

/// An initrd.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) initrd: Vec<u8>,
    pub(crate) hook: Verdict,
    pub(crate) linux: Verdict,
    /// Why the hook differs from Linux.
    pub(crate) why: Option<&'static str>,
    /// Whether it is parts only, which others may precede.
    pub(crate) may_follow: bool,
}

impl Case {
    fn new(name: &str, initrd: Vec<u8>, verdict: Verdict) -> Self {
        Self {
            name: name.to_owned(),
            initrd,
            hook: verdict,
            linux: verdict,
            why: None,
            may_follow: true,
        }
    }

    pub(crate) fn taken(name: &str, initrd: Vec<u8>) -> Self {
        Self::new(name, initrd, Verdict::Taken)
    }

    fn refused(name: &str, initrd: Vec<u8>) -> Self {
        Self::new(name, initrd, Verdict::Refused)
    }

    /// The hook refuses it, and Linux says nothing.
    fn stricter(name: &str, why: &'static str, initrd: Vec<u8>) -> Self {
        Self {
            linux: Verdict::Taken,
            why: Some(why),
            ..Self::refused(name, initrd)
        }
    }

    /// The hook takes it, and Linux does not.
    fn laxer(name: &str, why: &'static str, initrd: Vec<u8>) -> Self {
        Self {
            linux: Verdict::Refused,
            why: Some(why),
            ..Self::taken(name, initrd)
        }
    }

    /// It is no sequence of parts: it means something else behind another.
    fn alone(self) -> Self {
        Self {
            may_follow: false,
            ..self
        }
    }
}

/// What a program makes of bytes.
pub(crate) fn packed(command: &str, bytes: &[u8]) -> Vec<u8> {
    let mut words = command.split(' ');
    let mut program = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command}: {error}"));
    let mut stdin = program.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        let output = program.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}");
        output.stdout
    })
}

/// An archive in this form with a program in it, as GNU cpio writes it.
fn cpio(form: &str, name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..20_000u32)
        .map(|n| (n.wrapping_mul(n) >> 9) as u8)
        .collect();
    std::fs::write(folder.path().join(name), noise).unwrap();
    std::fs::create_dir(folder.path().join(format!("{name}.d"))).unwrap();
    std::os::unix::fs::symlink(name, folder.path().join(format!("{name}.link"))).unwrap();
    let directory = folder.path().display();
    let names = format!("{name}\n{name}.d\n{name}.link\n");
    let command = format!("cpio --quiet -o -H {form} -R 0:0 -D {directory}");
    packed(&command, names.as_bytes())
}

/// Compressors with what Linux takes.
const TAKEN: [&str; 26] = [
    "gzip -1",
    "gzip -9",
    "bzip2 -1",
    "bzip2 -9",
    "xz --format=lzma -0",
    "xz --format=lzma -6",
    "xz --format=lzma -9e",
    "xz --check=crc32",
    "xz --check=none -0",
    "xz --check=crc32 -9e",
    "xz --check=crc32 -T2 --block-size=4096",
    "xz --check=crc32 --arm --lzma2=dict=64KiB",
    "xz --check=crc32 --armthumb --lzma2",
    "xz --check=crc32 --lzma2=dict=64MiB,lc=0,lp=2,pb=0",
    "lzop -1 -c",
    "lzop -9 -c",
    "lzop --crc32 -c",
    "lz4 -l -1 -c",
    "lz4 -l -9 -c",
    "zstd -1 -c",
    "zstd -19 -c",
    "zstd --ultra -22 -c",
    "zstd --long=27 -c",
    "zstd --no-check -c",
    "zstd --fast=5 -c",
    "zstd --no-content-size -c",
];

/// Compressors with what Linux does not take.
const REFUSED: [(&str, &str); 11] = [
    ("xz with its default check", "xz"),
    ("xz with SHA-256", "xz --check=sha256"),
    ("xz with a filter for x86", "xz --check=crc32 --x86 --lzma2"),
    (
        "xz with a filter for PowerPC",
        "xz --check=crc32 --powerpc --lzma2",
    ),
    (
        "xz with a filter for arm64",
        "xz --check=crc32 --arm64 --lzma2",
    ),
    (
        "xz with the delta filter",
        "xz --check=crc32 --delta --lzma2",
    ),
    (
        "xz with a start offset",
        "xz --check=crc32 --arm=start=4096 --lzma2",
    ),
    (
        "xz with two filters",
        "xz --check=crc32 --delta --arm --lzma2",
    ),
    ("lz4 in frames", "lz4 -c"),
    (
        "lzma with other properties",
        "xz --format=lzma --lzma1=lc=2,lp=1",
    ),
    ("lzop without checksums", "lzop --no-checksum -c"),
];

/// What memory limits, by the kernel that unpacks.
const LARGE: [(&str, &str); 3] = [
    (
        "xz with a dictionary of 512 MiB",
        "xz --check=crc32 --lzma2=dict=512MiB",
    ),
    (
        "lzma with a dictionary of 512 MiB",
        "xz --format=lzma --lzma1=dict=512MiB",
    ),
    (
        "zstd with a window of 512 MiB",
        "zstd --ultra --long=29 --no-content-size -c",
    ),
];

/// One compressor of each format.
const ONE_EACH: [&str; 7] = [
    "gzip",
    "bzip2",
    "xz --format=lzma",
    "xz --check=crc32",
    "lzop -c",
    "lz4 -l -c",
    "zstd -c",
];

pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The same with zero bytes up to a multiple of so many, and so many more behind.
fn padded(part: &[u8], multiple: usize, more: usize) -> Vec<u8> {
    let mut part = part.to_vec();
    part.resize(part.len().next_multiple_of(multiple) + more, 0);
    part
}

/// A part whose end is at least two bytes from a multiple of four; xz writes no such.
fn odd(command: &str) -> Option<Vec<u8>> {
    (0..8)
        .map(|n| packed(command, &cpio("newc", &"n".repeat(n + 1))))
        .find(|part| part.len() % 4 == 1 || part.len() % 4 == 2)
}

/// A ramdisk for U-Boot, as `mkimage` wraps it: type and compression.
fn wrapped(kind: u8, compression: u8, ramdisk: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..4].copy_from_slice(b"\x27\x05\x19\x56");
    header[12..16].copy_from_slice(&u32::try_from(ramdisk.len()).unwrap().to_be_bytes());
    header[28..32].copy_from_slice(&[5, 2, kind, compression]);
    join(&[&header, ramdisk])
}

/// A gzip stream with another field in its header.
fn with_field(flag: u8, field: &[u8], gzip: &[u8]) -> Vec<u8> {
    let mut gzip = gzip.to_vec();
    gzip[3] |= flag;
    gzip.splice(10..10, field.iter().copied());
    gzip
}

fn flipped(part: &[u8], at: usize) -> Vec<u8> {
    let mut part = part.to_vec();
    part[at] ^= 1;
    part
}

/// All of them.
pub(crate) static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let archive = cpio("newc", "init");
    let mut cases = whole(&archive);
    cases.extend(parameters(&archive));
    cases.extend(contents(&archive));
    cases.extend(cuts(&archive));
    cases.extend(sequences(&archive));
    cases.extend(damaged(&archive));
    cases.extend(foreign(&archive));
    cases
});

/// Every format as its programs write it.
fn whole(archive: &[u8]) -> Vec<Case> {
    let mut cases = vec![
        Case::taken("cpio", archive.to_vec()),
        Case::taken("cpio with checksums", cpio("crc", "init")),
        Case::taken("cpio behind zero bytes", join(&[&[0; 512], archive])),
        Case::taken(
            "gzip with a name",
            with_field(0x08, b"initrd\0", &packed("gzip", archive)),
        ),
    ];
    for command in TAKEN {
        let part = packed(command, archive);
        cases.push(Case::taken(command, part));
    }
    for command in ONE_EACH {
        let part = packed(command, archive);
        for (multiple, more) in [(4, 0), (512, 0), (4096, 0), (1, 1), (1, 3), (1, 4)] {
            let name = format!("{command}, padded to {multiple} and {more}");
            cases.push(Case::taken(&name, padded(&part, multiple, more)));
        }
    }
    cases
}

/// What other decoders have and Linux's lack.
fn parameters(archive: &[u8]) -> Vec<Case> {
    let mut cases: Vec<Case> = REFUSED
        .iter()
        .chain(&LARGE)
        .map(|(name, command)| Case::refused(name, packed(command, archive)))
        .collect();
    let gzip = packed("gzip", archive);
    for (name, flag, field) in [
        ("gzip with a comment", 0x10, &b"comment\0"[..]),
        ("gzip with an extra field", 0x04, b"\x04\0more"),
        ("gzip with a sum of its header", 0x02, b"\xaa\xbb"),
    ] {
        cases.push(Case::refused(name, with_field(flag, field, &gzip)));
    }
    cases.push(Case::refused("cpio odc", cpio("odc", "init")));
    cases.push(Case::refused("cpio bin", cpio("bin", "init")));
    cases
}

/// Whole streams of something else.
fn contents(archive: &[u8]) -> Vec<Case> {
    let image = vec![0x5a; 100_000];
    let zeros = vec![0; 1 << 20];
    let halves = archive.split_at(archive.len() / 2);
    let tail = join(&[archive, b"garbage"]);
    let mut cases = Vec::new();
    for command in ONE_EACH {
        let inner = [
            ("a file system image", &image[..]),
            ("nothing", b""),
            ("zero bytes", &zeros),
            ("half an archive", halves.0),
            ("an archive with garbage behind it", &tail),
        ];
        for (what, bytes) in inner {
            let name = match command.split(' ').next().unwrap() {
                "gzip" => format!("gzip of {what}"),
                _ => format!("{command}: {what}"),
            };
            let part = packed(command, bytes);
            cases.push(match command {
                "lzop -c" => Case::laxer(&name, "there is no decoder of LZO", part),
                _ => Case::refused(&name, part),
            });
        }
    }
    let twice = packed("gzip", &packed("gzip", archive));
    cases.push(Case::refused("gzip of gzip", twice));
    let split = join(&[&packed("gzip", halves.0), &packed("gzip", halves.1)]);
    cases.push(Case::refused("an archive in two gzip members", split));
    cases
}

/// What lost its end.
fn cuts(archive: &[u8]) -> Vec<Case> {
    let mut cases = Vec::new();
    for command in ONE_EACH {
        let part = packed(command, archive);
        for left in [part.len() / 2, part.len() - 600] {
            let name = format!("{command}, cut to {left}");
            cases.push(Case::refused(&name, part[..left].to_vec()));
        }
    }
    let body = archive.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let without = archive[..body].len() - 110 - b"TRAILER!!!".len();
    for (name, left) in [
        ("cpio, cut in a file", archive.len() / 2),
        ("cpio, cut in the trailer", body - 20),
        ("cpio, cut before the trailer", without),
    ] {
        let cut = archive[..left].to_vec();
        cases.push(Case::stricter(
            name,
            "Linux does not say that it ends early",
            cut,
        ));
    }
    cases.push(Case::stricter(
        "gzip of cpio without a trailer",
        "what has no trailer was cut",
        packed("gzip", &archive[..without]),
    ));
    cases
}

/// Parts behind one another.
fn sequences(archive: &[u8]) -> Vec<Case> {
    let early = cpio("newc", "early");
    let mut cases = Vec::new();
    for command in ONE_EACH {
        let part = packed(command, archive);
        let name = |what: &str| format!("{command} {what}");
        let taken = |what: &str, initrd| Case::taken(&name(what), initrd);
        let refused = |what: &str, initrd| Case::refused(&name(what), initrd);
        cases.push(taken("behind early cpio", join(&[&early, &part])));
        cases.push(taken("twice", join(&[&part, &part])));
        cases.push(taken(
            "and four zeros, and cpio",
            join(&[&padded(&padded(&part, 1, 4), 4, 0), &early]),
        ));
        cases.push(refused("and garbage", join(&[&part, b"garbage"])));
        cases.push(refused(
            "behind cpio at an odd offset",
            join(&[&early, &[0; 2], &part]),
        ));
        let Some(odd) = odd(command) else {
            continue;
        };
        cases.push(refused("and cpio at an odd offset", join(&[&odd, archive])));
        let near = join(&[&padded(&odd, 4, 0), archive]);
        cases.push(if command.starts_with("lz4") {
            refused("and fewer than four zeros, and cpio", near)
        } else {
            taken("and fewer than four zeros, and cpio", near)
        });
    }
    let gzip = packed("gzip", archive);
    cases.push(Case::taken(
        "gzip, and gzip of nothing",
        join(&[&gzip, &packed("gzip", b"")]),
    ));
    cases.push(Case::taken(
        "gzip, and gzip of zeros",
        join(&[&gzip, &packed("gzip", &[0; 999])]),
    ));
    cases.push(Case::taken("cpio twice", join(&[archive, &early])));
    cases.push(Case::refused(
        "cpio and garbage",
        join(&[archive, b"garbage"]),
    ));
    cases
}

/// What has other bytes than were written.
fn damaged(archive: &[u8]) -> Vec<Case> {
    let mut cases = Vec::new();
    for command in ["bzip2", "xz --check=crc32", "zstd -c"] {
        let part = packed(command, archive);
        let name = format!("{command}, damaged");
        cases.push(Case::refused(&name, flipped(&part, part.len() / 2)));
    }
    let gzip = packed("gzip", archive);
    let why = "Linux compares no sums of gzip";
    for (name, at) in [
        ("gzip with a wrong CRC", 8),
        ("gzip with a wrong length", 4),
    ] {
        cases.push(Case::stricter(name, why, flipped(&gzip, gzip.len() - at)));
    }
    let mut shifted = archive.to_vec();
    shifted.remove(130);
    cases.push(Case::refused("cpio with a byte too few", shifted.clone()));
    cases.push(Case::refused(
        "gzip of cpio with a byte too few",
        packed("gzip", &shifted),
    ));
    cases
}

/// What is no initrd, and what is wrapped.
fn foreign(archive: &[u8]) -> Vec<Case> {
    let gzip = packed("gzip", archive);
    let mut cases = vec![
        Case::refused("a file system image", vec![0x5a; 100_000]),
        Case::refused("a script", b"#!/bin/sh\nexit 0\n".to_vec()),
        Case::refused("garbage before gzip", join(&[b"x", &gzip])),
        Case::refused("an ELF file", join(&[b"\x7fELF", &[1; 1000]])),
        Case::refused("compress", join(&[b"\x1f\x9d", &[1; 1000]])),
        Case::refused(
            "zstd behind a skippable frame",
            join(&[
                b"\x50\x2a\x4d\x18\x04\0\0\0abcd",
                &packed("zstd -c", archive),
            ]),
        ),
        Case::taken("gzip wrapped for U-Boot", wrapped(3, 0, &gzip)).alone(),
        Case::taken("gzip wrapped for U-Boot as gzip", wrapped(3, 1, &gzip)).alone(),
        Case::taken("cpio wrapped for U-Boot", wrapped(3, 0, archive)).alone(),
        Case::taken(
            "wrapped for U-Boot, and zero bytes",
            padded(&wrapped(3, 0, &gzip), 512, 512),
        )
        .alone(),
        Case::refused("a kernel wrapped for U-Boot", wrapped(2, 0, &gzip)),
        Case::refused("garbage wrapped for U-Boot", wrapped(3, 0, b"what is this")),
    ];
    let more = join(&[&wrapped(3, 0, &gzip), archive]);
    cases.push(Case::stricter(
        "more behind what is wrapped for U-Boot",
        "QEMU leaves it out without a word",
        more,
    ));
    let mut cut = wrapped(3, 0, &gzip);
    cut.truncate(cut.len() - 10);
    cases.push(Case::refused("cut, and wrapped for U-Boot", cut));
    cases
}
