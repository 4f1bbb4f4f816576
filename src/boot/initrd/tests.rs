//! Walks over small real streams, over all their beginnings, and over noise.

use super::*;
use proptest::prelude::*;
use std::io::{Cursor, Write};

/// What `xz --check=crc32` makes of a line of text, four times.
const XZ: &[u8] = b"\
    \xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\xe0\x00\x87\x00\
    \x28\x5d\x00\x30\x9c\x89\xdd\xe3\x27\x3b\x68\x47\x68\x91\xfc\x65\x09\xe5\xcb\xa5\xc8\x2e\xaf\x72\x52\x06\x7c\xf3\
    \x0e\x61\xe2\x52\x28\x5d\xd4\x4f\x5d\xbc\xfe\x3c\xe0\x00\x00\x00\x0a\xc2\xbc\x5b\x00\x01\x40\x88\x01\x00\x00\x00\
    \x87\x42\x27\xf5\x3e\x30\x0d\x8b\x02\x00\x00\x00\x00\x01\x59\x5a";
/// What `xz -T2 --block-size=64 --check=crc64` makes of a line of text, four times.
const XZ_BLOCKS: &[u8] = b"\
    \xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\xc0\x30\x40\x21\x01\x16\x00\xc0\x0f\x47\xb2\xe0\x00\x3f\x00\
    \x28\x5d\x00\x30\x9c\x89\xdd\xe3\x27\x3b\x68\x47\x68\x91\xfc\x65\x09\xe5\xcb\xa5\xc8\x2e\xaf\x72\x52\x06\x7c\xf3\
    \x0e\x61\xe2\x52\x28\x5d\xd4\x4f\x5c\xdb\xcf\xfa\x40\x00\x00\x00\xdc\xb2\x42\xf9\x57\x07\x2c\x0d\x02\xc0\x30\x40\
    \x21\x01\x16\x00\xc0\x0f\x47\xb2\xe0\x00\x3f\x00\x28\x5d\x00\x37\x19\x49\xd4\x7a\x56\xfb\x66\xca\xab\x4d\xde\x2c\
    \xf1\x72\x69\x7b\x52\xf4\x46\xbf\x5d\xe0\xf4\xb4\x1a\xcc\x79\xfd\xc1\x44\xd1\x96\x7c\x56\xa4\x22\xd0\x00\x00\x00\
    \x8c\xc7\xf9\xab\x01\x29\x4f\x2d\x02\xc0\x0c\x08\x21\x01\x16\x00\x9e\xdb\x7c\xa9\x01\x00\x07\x20\x6b\x65\x72\x6e\
    \x65\x6c\x0a\x00\xc4\x8d\xc3\x5f\x48\x32\x48\x3d\x00\x03\x44\x40\x44\x40\x20\x08\xfd\x3b\x43\x67\xb1\xc4\x67\xfb\
    \x02\x00\x00\x00\x00\x04\x59\x5a";
/// What `zstd` makes of a line of text, four times.
const ZSTD: &[u8] = b"\
    \x28\xb5\x2f\xfd\x04\x58\x55\x01\x00\x24\x02\x61\x72\x6d\x66\x6c\x65\x65\x74\x20\x6b\x65\x65\x70\x73\x20\x74\x68\
    \x65\x20\x67\x75\x65\x73\x74\x27\x73\x20\x6b\x65\x72\x6e\x65\x6c\x0a\x01\x00\x1a\x25\x55\x4f\x3b\x94\xfb\xbc";
/// What `zstd -1 --no-check` makes of a line of text, four times.
const ZSTD_NO_SUM: &[u8] = b"\
    \x28\xb5\x2f\xfd\x00\x48\x55\x01\x00\x24\x02\x61\x72\x6d\x66\x6c\x65\x65\x74\x20\x6b\x65\x65\x70\x73\x20\x74\x68\
    \x65\x20\x67\x75\x65\x73\x74\x27\x73\x20\x6b\x65\x72\x6e\x65\x6c\x0a\x01\x00\x1a\x25\x55\x4f";
/// What `lz4 -l` makes of a line of text, four times.
const LZ4: &[u8] = b"\
    \x02\x21\x4c\x18\x2d\x00\x00\x00\xff\x13\x61\x72\x6d\x66\x6c\x65\x65\x74\x20\x6b\x65\x65\x70\x73\x20\x74\x68\x65\
    \x20\x67\x75\x65\x73\x74\x27\x73\x20\x6b\x65\x72\x6e\x65\x6c\x0a\x22\x00\x4e\x50\x72\x6e\x65\x6c\x0a";
/// What `lz4` makes of a line of text, four times.
const LZ4_FRAME: &[u8] = b"\
    \x04\x22\x4d\x18\x64\x40\xa7\x2d\x00\x00\x00\xff\x13\x61\x72\x6d\x66\x6c\x65\x65\x74\x20\x6b\x65\x65\x70\x73\x20\
    \x74\x68\x65\x20\x67\x75\x65\x73\x74\x27\x73\x20\x6b\x65\x72\x6e\x65\x6c\x0a\x22\x00\x4e\x50\x72\x6e\x65\x6c\x0a\
    \x00\x00\x00\x00\xa6\xb3\x36\x8c";
/// What `bzip2` makes of a line of text, four times.
const BZIP2: &[u8] = b"\
    \x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xf3\x67\x54\xc8\x00\x00\x0d\xd1\x80\x00\x10\x40\x80\x23\xcf\x5e\x00\x20\
    \x00\x50\xa1\xa6\x98\x00\x0a\xaa\x7a\x21\xa6\x46\x35\x2e\x74\x6c\xd8\x83\x93\x07\xa7\x66\x4b\x15\x24\xa1\xa3\x05\
    \xc8\x15\x32\x48\xa1\xa2\x0d\x12\x50\x6c\xb1\x27\xe2\xee\x48\xa7\x0a\x12\x1e\x6c\xea\x99\x00";
/// What `xz --format=lzma` makes of a line of text, four times.
const LZMA: &[u8] = b"\
    \x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x30\x9c\x89\xdd\xe3\x27\x3b\x68\x47\x68\x91\xfc\x65\x09\
    \xe5\xcb\xa5\xc8\x2e\xaf\x72\x52\x06\x7c\xf3\x0e\x61\xe2\x52\x28\x5d\xd4\x4f\x5d\xbc\xfe\xa4\x15\xe3\xff\xff\xce\
    \x01\x00\x00";

/// A member of lzop 1.03, flags `ADLER32_D`, with one block that is stored and one that is packed.
const LZOP: &[u8] = b"\x89LZO\0\r\n\x1a\n\x10\x30\x20\x80\x09\x40\x01\x05\x03\x00\x00\x01\
    \x00\x00\x81\xa4\x00\x00\x00\x00\x00\x00\x00\x00\x02hi\xaa\xbb\xcc\xdd\
    \x00\x00\x00\x05\x00\x00\x00\x05\x01\x02\x03\x04plain\
    \x00\x00\x00\x10\x00\x00\x00\x03\x01\x02\x03\x04abc\
    \x00\x00\x00\x00";

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
    walk_initrd(Cursor::new(initrd))
}

fn why(initrd: &[u8]) -> String {
    walk(initrd).unwrap_err().to_string()
}

/// One whole part in each format, but those whose end cannot be told.
fn provable() -> Vec<(InitrdFormat, Vec<u8>)> {
    use InitrdFormat as F;
    let archive = cpio(&[
        ("init", b"#!/bin/sh\n"),
        ("bin/busybox", &[7; 5000]),
        ("empty_dir1", b""),
    ]);
    vec![
        (F::Gzip, gzip(&archive)),
        (F::Cpio, archive),
        (F::Xz, XZ.to_vec()),
        (F::Xz, XZ_BLOCKS.to_vec()),
        (F::Zstd, ZSTD.to_vec()),
        (F::Zstd, ZSTD_NO_SUM.to_vec()),
        (F::Bzip2, BZIP2.to_vec()),
        (F::Lzop, LZOP.to_vec()),
        (F::Lz4, LZ4.to_vec()),
    ]
}

#[test]
fn every_format_is_walked_to_its_end() {
    for (format, part) in provable() {
        let seen = walk(&part).unwrap_or_else(|fault| panic!("{format}: {fault}"));
        assert_eq!(seen.formats, BTreeSet::from([format]));
        assert!(seen.end_is_proved());
        for zeros in [1, 3, 512, 100_000] {
            let padded = [part.clone(), vec![0; zeros]].concat();
            assert!(walk(&padded).is_ok(), "{format} and {zeros} zeros");
        }
    }
}

#[test]
fn every_beginning_of_a_part_is_refused() {
    for (format, part) in provable() {
        // What pads an archive is no part of it: a cut there takes nothing away.
        let whole = part.len() - if format == InitrdFormat::Cpio { 511 } else { 0 };
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
    for (format, part) in provable() {
        let both = [early.clone(), part.clone()].concat();
        let seen = walk(&both).unwrap();
        assert_eq!(seen.formats, BTreeSet::from([InitrdFormat::Cpio, format]));
        let cut = walk(&both[..both.len() - if format == InitrdFormat::Cpio { 512 } else { 1 }]);
        assert!(cut.is_err(), "{format} behind another part");
        if format != InitrdFormat::Lz4 {
            let mut appended = part;
            appended.resize(appended.len().next_multiple_of(4), 0);
            appended.extend_from_slice(&early);
            assert!(walk(&appended).is_ok(), "an archive behind {format}");
        }
    }
}

#[test]
fn what_no_kernel_would_unpack_is_refused() {
    assert!(why(b"").contains("empty"));
    assert!(why(&[0; 5000]).contains("empty"));
    assert!(why(LZ4_FRAME).contains("lz4 -l"));
    assert!(why(b"070707000000").contains("old format"));
    let archive = cpio(&[("init", b"x")]);
    let garbage = [archive.clone(), b"garbage\x1b[2J".to_vec()].concat();
    assert_eq!(
        why(&garbage),
        r#"from byte 512 on it is not an initrd: "garbage\x1b[2J""#
    );
    let askew = [gzip(b"x"), archive].concat();
    assert_eq!(gzip(b"x").len() % 4, 1);
    assert!(why(&askew).contains("multiple of 4"));
    let too_large = walk_initrd(Zeros::of(INITRD_LIMIT + 1));
    assert!(matches!(too_large, Err(InitrdError::TooLarge(_))));
}

#[test]
fn an_lzma_part_is_taken_at_its_word() {
    let seen = walk(LZMA).unwrap();
    assert!(!seen.end_is_proved());
    assert!(walk(&LZMA[..13]).is_err());
    assert!(walk(&[&LZMA[..5], &[0x7f; 30]].concat()).is_err());
}

#[test]
fn damage_is_found_where_the_format_has_a_sum() {
    let mut archive = gzip(&cpio(&[("init", b"#!/bin/sh\n")]));
    let middle = archive.len() / 2;
    archive[middle] ^= 1;
    assert!(walk(&archive).is_err());
    for at in (0..12).chain(XZ_BLOCKS.len() - 24..XZ_BLOCKS.len()) {
        let mut damaged = XZ_BLOCKS.to_vec();
        damaged[at] ^= 1;
        assert!(walk(&damaged).is_err(), "xz with byte {at} changed");
    }
    let mut shifted = cpio(&[("init", b"x"), ("more", b"y")]);
    shifted.remove(130);
    assert!(why(&shifted).contains("does not begin where the last one ends"));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic(magic in 0usize..12, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let magics: [&[u8]; 12] = [
            b"", b"070701", b"\x1f\x8b\x08", b"BZh9", b"\x5d\0\0\x80\0", &XZ[..12], &XZ_BLOCKS[..20], &LZOP[..20],
            b"\x02\x21\x4c\x18", b"\x28\xb5\x2f\xfd", &LZOP[..50], &XZ[..XZ.len() - 20],
        ];
        let initrd = [magics[magic], &bytes].concat();
        if let Err(fault) = walk(&initrd) {
            prop_assert!(!fault.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn no_change_of_a_byte_panics(which in 0usize..9, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (_, mut part) = provable().swap_remove(which);
        let at = at.index(part.len());
        part[at] = to;
        let _ = walk(&part);
    }
}
