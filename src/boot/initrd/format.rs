//! The formats of the parts of an initrd, told by their first bytes as Linux does (`lib/decompress.c`).

use std::fmt;

/// The format of a part of an initrd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InitrdFormat {
    /// A plain cpio archive, "newc".
    Cpio,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// The old format of LZMA without a container.
    Lzma,
    /// xz.
    Xz,
    /// lzop.
    Lzop,
    /// lz4 in its legacy framing, the only one that Linux reads.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl fmt::Display for InitrdFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpio => "cpio",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzop => "lzop",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// What the first bytes of a part say.
pub(super) enum Start {
    Part(InitrdFormat),
    NotUnpackable(&'static str),
    Foreign,
}

pub(super) fn recognise(head: &[u8]) -> Start {
    use InitrdFormat as F;
    const MAGICS: [(&[u8], Start); 14] = [
        (b"070701", Start::Part(F::Cpio)),
        (b"070702", Start::Part(F::Cpio)),
        (
            b"0707",
            Start::NotUnpackable("it is a cpio archive in an old format, not \"newc\""),
        ),
        (b"\x1f\x8b", Start::Part(F::Gzip)),
        (b"BZh", Start::Part(F::Bzip2)),
        (b"\x5d\0", Start::Part(F::Lzma)),
        (b"\xfd7zXZ\0", Start::Part(F::Xz)),
        (b"\x89LZO", Start::Part(F::Lzop)),
        (b"\x02\x21\x4c\x18", Start::Part(F::Lz4)),
        (
            b"\x04\x22\x4d\x18",
            Start::NotUnpackable(
                "it is in lz4's frame format; `lz4 -l` writes the one that Linux reads",
            ),
        ),
        (b"\x28\xb5\x2f\xfd", Start::Part(F::Zstd)),
        (
            b"\x1f\x9e",
            Start::NotUnpackable("it is in an old format of gzip"),
        ),
        (b"\x1f\x9d", Start::NotUnpackable("it was made by compress")),
        (b"\x1f\xa0", Start::NotUnpackable("it was made by compress")),
    ];
    MAGICS
        .into_iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map_or(Start::Foreign, |(_, start)| start)
}
