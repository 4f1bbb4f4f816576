//! Walks an initrd to its end, as a kernel would, so that one that was cut off is never booted.
//!
//! An initrd is a sequence of cpio archives, plain or compressed, with zero bytes between and after them
//! (Linux `Documentation/driver-api/early-userspace/buffer-format.rst`, `init/initramfs.c`, `lib/decompress.c`).
//! What can be told of each format:
//!
//! | format | checked |
//! |---|---|
//! | cpio, plain | every header, up to the trailer |
//! | gzip | inflated to its end, length and CRC |
//! | xz | every block and chunk, index and footer with their CRCs; not the contents |
//! | zstd, lzop | every block up to the last; not the contents |
//! | bzip2 | that its end mark is there; not the contents |
//! | lz4 (legacy) | every block; a cut exactly between two blocks cannot be told |
//! | lzma | its header; it keeps no sizes, so a cut cannot be told |

mod bits;
mod blocks;
mod cpio;
mod source;
mod xz;

use super::INITRD_LIMIT;
use super::mapped_link::Quoted;
use source::{Source, WalkError};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Seek};

/// What an initrd turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initrd {
    /// The formats of its parts.
    pub formats: BTreeSet<InitrdFormat>,
}

impl Initrd {
    /// Whether a cut would have been noticed.
    #[must_use]
    pub fn end_is_proved(&self) -> bool {
        !self.formats.contains(&InitrdFormat::Lzma)
    }
}

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

/// Why a file is not a whole initrd.
#[derive(Debug, thiserror::Error)]
pub enum InitrdError {
    /// It has no bytes, or only zeros.
    #[error("it is empty")]
    Empty,
    /// It is larger than any initrd.
    #[error("it has {0} bytes, more than the limit of {INITRD_LIMIT}")]
    TooLarge(u64),
    /// It ends within a part.
    #[error("it is cut off: the {format} part that begins at byte {at} does not end")]
    CutOff {
        /// The part's format.
        format: InitrdFormat,
        /// Where the part begins.
        at: u64,
    },
    /// A part is not what it seemed.
    #[error("it is damaged: in the {format} part that begins at byte {at}, {what}")]
    Damaged {
        /// The part's format.
        format: InitrdFormat,
        /// Where the part begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// No kernel unpacks it.
    #[error("no kernel unpacks it: {0}")]
    NotUnpackable(&'static str),
    /// Something begins that is no part of an initrd.
    #[error("from byte {at} on it is not an initrd: {found}")]
    Foreign {
        /// Where.
        at: u64,
        /// How it begins.
        found: Quoted,
    },
    /// It could not be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
}

/// What the first bytes of a part say.
enum Start {
    Part(InitrdFormat),
    NotUnpackable(&'static str),
    Foreign,
}

fn recognise(head: &[u8]) -> Start {
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

/// Walks an initrd to its end. Memory is bounded whatever the bytes are.
///
/// # Errors
/// Says where it ends early, or what is wrong with it.
pub fn walk_initrd<R: Read + Seek>(initrd: R) -> Result<Initrd, InitrdError> {
    let mut source = Source::new(initrd).map_err(InitrdError::Read)?;
    if source.length() > INITRD_LIMIT {
        return Err(InitrdError::TooLarge(source.length()));
    }
    let mut formats = BTreeSet::new();
    while source.skip_zeros().map_err(InitrdError::Read)? {
        formats.insert(walk_part(&mut source)?);
    }
    if formats.is_empty() {
        return Err(InitrdError::Empty);
    }
    Ok(Initrd { formats })
}

fn walk_part<R: Read + Seek>(source: &mut Source<R>) -> Result<InitrdFormat, InitrdError> {
    let at = source.at();
    let head = source.peek(16).map_err(InitrdError::Read)?;
    let format = match recognise(&head) {
        // A kernel sees a plain archive only where a word begins.
        Start::Part(InitrdFormat::Cpio) if !at.is_multiple_of(4) => {
            return Err(InitrdError::NotUnpackable(
                "a plain cpio part begins at an offset that is not a multiple of 4",
            ));
        }
        Start::Part(format) => format,
        Start::NotUnpackable(why) => return Err(InitrdError::NotUnpackable(why)),
        Start::Foreign => {
            let found = Quoted::new(&head);
            return Err(InitrdError::Foreign { at, found });
        }
    };
    let walked = match format {
        InitrdFormat::Cpio => cpio::walk(source),
        InitrdFormat::Gzip => blocks::gzip(source),
        InitrdFormat::Bzip2 => bits::bzip2(source),
        InitrdFormat::Lzma => blocks::lzma(source),
        InitrdFormat::Xz => xz::walk(source),
        InitrdFormat::Lzop => blocks::lzop(source),
        InitrdFormat::Lz4 => blocks::lz4(source),
        InitrdFormat::Zstd => blocks::zstd(source),
    };
    walked.map(|()| format).map_err(|trouble| match trouble {
        WalkError::Ends => InitrdError::CutOff { format, at },
        WalkError::Damaged(what) => InitrdError::Damaged { format, at, what },
        WalkError::Read(source) => InitrdError::Read(source),
    })
}

#[cfg(test)]
mod tests;
