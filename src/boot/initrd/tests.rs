//! Walks over what the real programs write, over all beginnings of it, and over noise.

use super::*;
use crate::boot::limits::{PROCESSOR_TIME_LIMIT, UNPACKED_LIMIT};
use proptest::prelude::*;
use std::io::{Cursor, Write};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a program makes of bytes.
fn packed(command: &str, bytes: &[u8]) -> Vec<u8> {
    let mut words = command.split(' ');
    let mut program = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        let output = program.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}");
        output.stdout
    })
}

/// A cpio archive as GNU cpio writes it, padded to blocks of 512 bytes.
fn cpio(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files.iter().copied().chain([("TRAILER!!!", &b""[..])]) {
        let fields = [
            0,
            0o100_644,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        archive.extend_from_slice(b"070701");
        for field in fields {
            write!(archive, "{field:08x}").unwrap();
        }
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Zero bytes without end, of which a file has some.
struct Zeros {
    length: u64,
}

impl Zeros {
    fn of(length: u64) -> Self {
        Self { length }
    }
}

impl Read for Zeros {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        into.fill(0);
        Ok(into.len())
    }
}

impl Seek for Zeros {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        Ok(if matches!(to, io::SeekFrom::End(_)) {
            self.length
        } else {
            0
        })
    }
}

fn walk(initrd: &[u8]) -> Result<Initrd, InitrdError> {
    walk_within(initrd, &Allowance::without_clock())
}

fn walk_within(initrd: &[u8], allowance: &Allowance) -> Result<Initrd, InitrdError> {
    walk_initrd(Cursor::new(initrd), Arch::ARMHF, allowance)
}

fn why(initrd: &[u8]) -> String {
    walk(initrd).unwrap_err().to_string()
}

/// Compressors with everything that Linux takes.
const PACKERS: [(InitrdFormat, &str); 22] = {
    use InitrdFormat as F;
    [
        (F::Gzip, "gzip -1"),
        (F::Gzip, "gzip -9"),
        (F::Bzip2, "bzip2 -1"),
        (F::Bzip2, "bzip2 -9"),
        (F::Lzma, "xz --format=lzma -0"),
        (F::Lzma, "xz --format=lzma -9"),
        (F::Xz, "xz --check=crc32"),
        (F::Xz, "xz --check=none -0"),
        (F::Xz, "xz --check=crc32 -9e"),
        (F::Xz, "xz --check=crc32 -T2 --block-size=2048"),
        (F::Xz, "xz --check=crc32 --arm --lzma2=dict=64KiB"),
        (F::Xz, "xz --check=crc32 --armthumb --lzma2"),
        (F::Lzop, "lzop -1 -c"),
        (F::Lzop, "lzop -9 -c"),
        (F::Lzop, "lzop --crc32 -c"),
        (F::Lz4, "lz4 -l -1 -c"),
        (F::Lz4, "lz4 -l -9 -c"),
        (F::Zstd, "zstd -1 -c"),
        (F::Zstd, "zstd -19 -c"),
        (F::Zstd, "zstd --ultra -22 -c"),
        (F::Zstd, "zstd --long=27 -c"),
        (F::Zstd, "zstd --no-check -c"),
    ]
};

fn archive() -> Vec<u8> {
    let noise: Vec<u8> = (0..600u32).map(|n| ((n * n) >> 7) as u8).collect();
    cpio(&[
        ("init", b"#!/bin/sh\n"),
        ("bin/busybox", &noise),
        ("empty_dir1", b""),
    ])
}

/// The archive in every format.
static PARTS: LazyLock<Vec<(InitrdFormat, Vec<u8>)>> = LazyLock::new(|| {
    let archive = archive();
    let packed = PACKERS.map(|(format, command)| (format, packed(command, &archive)));
    let mut parts = Vec::from(packed);
    parts.push((InitrdFormat::Cpio, archive));
    parts
});

#[test]
fn every_format_is_unpacked_to_its_end() {
    for ((format, part), command) in PARTS.iter().zip(PACKERS.map(|(_, command)| command)) {
        let seen = walk(part).unwrap_or_else(|fault| panic!("{command}: {fault}"));
        assert_eq!(seen.formats, BTreeSet::from([*format]));
        let contents = match format {
            InitrdFormat::Lzop => Contents::Undecoded,
            _ => Contents::Unpacked,
        };
        assert_eq!(seen.contents, contents);
        for zeros in [1, 3, 512, 100_000] {
            let padded = [part.clone(), vec![0; zeros]].concat();
            assert!(walk(&padded).is_ok(), "{command} and {zeros} zeros");
        }
    }
}

#[test]
fn every_beginning_of_a_part_is_refused() {
    for (format, part) in PARTS.iter() {
        let whole = match format {
            // What pads an archive is no part of it: a cut there takes nothing away.
            InitrdFormat::Cpio => part.iter().rposition(|byte| *byte != 0).unwrap() + 2,
            // The last bytes of its arithmetic are not needed.
            InitrdFormat::Lzma => part.len() - 4,
            _ => part.len(),
        };
        for length in 0..whole {
            assert!(
                walk(&part[..length]).is_err(),
                "{format} cut to {length} of {whole}"
            );
        }
        let cut = walk(&part[..whole - 1]);
        assert!(
            matches!(cut, Err(InitrdError::CutOff { .. })),
            "{format}: {cut:?}"
        );
    }
}

#[test]
fn parts_follow_one_another() {
    let early = cpio(&[("kernel/x86/microcode/none", b"x")]);
    for (format, part) in PARTS.iter() {
        let both = [early.clone(), part.clone()].concat();
        let seen = walk(&both).unwrap();
        assert_eq!(seen.formats, BTreeSet::from([InitrdFormat::Cpio, *format]));
        let cut = if matches!(format, InitrdFormat::Cpio | InitrdFormat::Lzma) {
            600
        } else {
            1
        };
        assert!(
            walk(&both[..both.len() - cut]).is_err(),
            "{format} behind another part"
        );
        let mut appended = part.clone();
        appended.resize((appended.len() + 4).next_multiple_of(4), 0);
        appended.extend_from_slice(&early);
        assert!(walk(&appended).is_ok(), "an archive behind {format}");
        let late = [archive(), vec![0; 2], part.clone()].concat();
        assert!(
            walk(&late).is_err(),
            "{format} behind an archive at an odd offset"
        );
    }
}

#[test]
fn an_archive_does_not_go_on_in_the_next_part() {
    let archive = archive();
    let (one, two) = archive.split_at(archive.len() / 2);
    let halves = [gzip(one), gzip(two)].concat();
    assert!(why(&halves).contains("does not end in it"));
    // Such is what Linux takes: nothing, or zeros, behind an archive.
    for rest in [&b""[..], &[0; 100]] {
        assert!(walk(&[gzip(&archive), gzip(rest)].concat()).is_ok());
        assert!(why(&gzip(rest)).contains("no cpio archive"));
    }
}

#[test]
fn what_linux_would_not_unpack_is_refused() {
    assert!(why(b"").contains("empty"));
    assert!(why(&[0; 5000]).contains("empty"));
    let archive = archive();
    for (command, reason) in [
        ("lz4 -c", "lz4 -l"),
        ("xz", "--check=crc32"),
        ("xz --check=sha256", "--check=crc32"),
        ("xz --check=crc32 --x86 --lzma2", "filter"),
        ("xz --check=crc32 --delta --lzma2", "filter"),
        ("xz --check=crc32 --arm=start=4096 --lzma2", "filter"),
        ("xz --check=crc32 --arm --delta --lzma2", "filter"),
        ("xz --check=crc32 --lzma2=dict=512MiB", "128 MiB"),
        ("xz --format=lzma --lzma1=dict=512MiB", "128 MiB"),
        ("xz --format=lzma --lzma1=lc=2,lp=1", "not an initrd"),
        ("zstd --ultra --long=28 --no-content-size", "--long=27"),
        ("lzop --no-checksum -c", "checksums"),
    ] {
        let fault = why(&packed(command, &archive));
        assert!(fault.contains(reason), "{command}: {fault}");
    }
    assert!(why(b"070707000000").contains("old format"));
    let mut commented = gzip(&archive);
    commented[3] |= 0x10;
    commented.splice(10..10, *b"comment\0");
    assert!(why(&commented).contains("more fields"));
    let too_large = walk_initrd(
        Zeros::of(INITRD_LIMIT + 1),
        Arch::ARMHF,
        &Allowance::without_clock(),
    );
    assert!(matches!(too_large, Err(InitrdError::TooLarge(_))));
}

#[test]
fn what_is_compressed_is_looked_at() {
    let image = vec![7; 9000];
    let odd = cpio(&[("init", b"x")])
        .into_iter()
        .chain(*b"more")
        .collect::<Vec<u8>>();
    let mut shifted = archive();
    shifted.remove(130);
    for (format, command) in PACKERS {
        if format == InitrdFormat::Lzop {
            continue;
        }
        for (bytes, reason) in [
            (&image, "no cpio archive"),
            (&odd, "something else follows"),
            (&shifted, "does not begin where the last one ends"),
            (&archive()[..300].to_vec(), ""),
        ] {
            let fault = why(&packed(command, bytes));
            assert!(fault.contains(reason), "{command}: {fault}");
        }
    }
}

#[test]
fn what_follows_a_part_must_be_one() {
    let archive = cpio(&[("init", b"x")]);
    let garbage = [archive.clone(), b"garbage\x1b[2J".to_vec()].concat();
    assert_eq!(
        why(&garbage),
        r#"from byte 512 on it is not an initrd: "garbage\x1b[2J""#
    );
    let mut askew = gzip(&archive);
    askew.resize(askew.len().next_multiple_of(4) + 1, 0);
    askew.extend(archive);
    assert!(why(&askew).contains("multiple of 4"));
}

/// A ramdisk for U-Boot as `mkimage` wraps it, with no sums: QEMU compares none.
fn wrapped(kind: u8, size: usize, ramdisk: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..4].copy_from_slice(b"\x27\x05\x19\x56");
    header[12..16].copy_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
    header[30] = kind;
    [header, ramdisk.to_vec()].concat()
}

#[test]
fn a_ramdisk_for_u_boot_is_what_is_wrapped() {
    for (format, part) in PARTS.iter() {
        let seen = walk(&wrapped(3, part.len(), part)).unwrap();
        assert_eq!(seen.formats, BTreeSet::from([*format]));
        let padded = [wrapped(3, part.len(), part), vec![0; 512]].concat();
        assert_eq!(walk(&padded).unwrap(), seen);
        let cut = walk(&wrapped(3, part.len() + 1, part));
        assert!(matches!(cut, Err(InitrdError::Wrapped(_))));
    }
    let part = gzip(&archive());
    for (kind, size) in [(2, part.len()), (3, part.len() - 8)] {
        assert!(why(&wrapped(kind, size, &part)).contains("U-Boot"));
    }
    assert!(why(&wrapped(3, 0, b"")).contains("empty"));
    assert!(why(&wrapped(3, 4, b"what")).contains("not an initrd"));
}

#[test]
fn damage_is_found_where_the_format_has_a_sum() {
    for command in ["gzip", "bzip2", "xz --check=crc32", "zstd -c"] {
        let mut damaged = packed(command, &archive());
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        assert!(walk(&damaged).is_err(), "{command}");
    }
    let blocks = packed("xz --check=crc32 -T2 --block-size=512", &archive());
    for at in (0..12).chain(blocks.len() - 24..blocks.len()) {
        let mut damaged = blocks.clone();
        damaged[at] ^= 1;
        assert!(walk(&damaged).is_err(), "xz with byte {at} changed");
    }
}

#[test]
fn a_claimed_size_is_not_believed() {
    let mut archive = cpio(&[("init", b"x")]);
    archive[54..62].copy_from_slice(b"ffffffff");
    assert!(why(&archive).contains("cut off"));
    archive[94..102].copy_from_slice(b"ffffffff");
    assert!(why(&archive).contains("an invalid one"));
    archive[94..102].copy_from_slice(b"+0000005");
    assert!(why(&archive).contains("not a number"));
}

/// An archive of one file with so many zero bytes.
fn large(size: u32) -> Vec<u8> {
    let mut archive = cpio(&[("large", b"")]);
    archive[54..62].copy_from_slice(format!("{size:08x}").as_bytes());
    let header = 110 + 6;
    let rest = archive.split_off(header);
    archive.resize(header + size as usize, 0);
    archive.extend(rest);
    archive
}

/// A clock on which some time is gone whenever it is looked at.
fn slow() -> Duration {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    PROCESSOR_TIME_LIMIT / 3 * u32::try_from(LOOKS.fetch_add(1, Ordering::Relaxed)).unwrap()
}

#[test]
fn beyond_the_limits_containers_decide() {
    let archive = large(4 << 20);
    let limited = Contents::Limited(UsedUp::ProcessorTime);
    for (format, command) in PACKERS {
        if format == InitrdFormat::Lzop {
            continue;
        }
        let part = packed(command, &archive);
        let seen = walk_within(&part, &Allowance::of_a_start(slow)).unwrap();
        assert_eq!(seen.contents, limited, "{command}");
        // Where the end is known, what follows is looked at.
        let garbage = [part.clone(), b"garbage".to_vec()].concat();
        let seen = walk_within(&garbage, &Allowance::of_a_start(slow));
        let tells = !matches!(format, InitrdFormat::Gzip | InitrdFormat::Lzma);
        assert_eq!(seen.is_err(), tells, "{command}");
        let seen = walk_within(&part[..part.len() - 5], &Allowance::of_a_start(slow));
        assert_eq!(seen.is_err(), tells, "{command}");
    }
    let allowance = Allowance::without_clock();
    let rest = UNPACKED_LIMIT - u64::from(1u32 << 20);
    allowance.unpack(usize::try_from(rest).unwrap()).unwrap();
    let seen = walk_within(&gzip(&archive), &allowance).unwrap();
    assert_eq!(seen.contents, Contents::Limited(UsedUp::Unpacked));
}

#[test]
fn zeros_without_end_are_refused_at_once() {
    let zeros = gzip(&vec![0; 64 << 20]);
    let allowance = Allowance::without_clock();
    assert!(walk_within(&zeros, &allowance).is_err());
    assert!(
        allowance
            .unpack(usize::try_from(UNPACKED_LIMIT).unwrap() - (1 << 20))
            .is_ok()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(magic in 0usize..13, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let begun = |which: usize, count: usize| {
            let part = &PARTS[which].1;
            part[..count.min(part.len())].to_vec()
        };
        let begins = match magic {
            0 => Vec::new(),
            1 => b"070701".to_vec(),
            2 => wrapped(3, bytes.len(), b""),
            magic => begun(2 * (magic - 3), 20 + 40 * (bytes.len() % 4)),
        };
        let initrd = [begins, bytes].concat();
        if let Err(fault) = walk(&initrd) {
            prop_assert!(!fault.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn no_change_of_a_byte_panics(which in 0usize..23, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut part = PARTS[which].1.clone();
        let at = at.index(part.len());
        part[at] = to;
        let _ = walk(&part);
    }

    #[test]
    fn an_archive_is_the_same_in_all_pieces(cuts in proptest::collection::vec(1usize..200, 1..20)) {
        let archive = archive();
        let mut archives = cpio::Archives::first();
        let mut rest = &archive[..];
        for cut in cuts.into_iter().cycle() {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            prop_assert_eq!(archives.take(piece), Ok(piece.len()));
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(archives.are_whole());
    }
}
