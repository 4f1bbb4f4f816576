//! Unpacks an initrd as a kernel would, keeping nothing, so that none is booted that Linux would not take.
//!
//! An initrd is a sequence of cpio archives, plain or compressed, with zero bytes between and after them
//! (Linux `Documentation/driver-api/early-userspace/buffer-format.rst`, `init/initramfs.c`, `lib/decompress*.c`).
//! What is looked at of each format, and what decides where one start may unpack no more:
//!
//! | format | unpacked by | its container tells |
//! |---|---|---|
//! | cpio, plain | nothing: every header is read, up to the trailer | |
//! | gzip | `flate2` | its header |
//! | bzip2 | `bzip2-rs` | that its end mark is there |
//! | lzma | `lzma-rust2` | its header |
//! | xz | `lzma-rust2` | every block and chunk, index and footer; check, filters and dictionaries |
//! | lzop | no decoder | every block up to the last; its checksums |
//! | lz4 (legacy) | `lz4_flex` | every block |
//! | zstd | `ruzstd` | every block up to the last; window and dictionary |
//!
//! Linux differs in these; each takes nothing from a guest that boots:
//!
//! - It ends without a word where a plain archive is cut, and takes an archive without a trailer. Both are signs of a cut.
//! - It compares no sums of gzip. A wrong one is a sign of damage.
//! - It takes any text for a number of an entry's header. No tool writes such.
//! - Archives with checksums ("newcrc", `070702`) are known since Linux 5.19. Which version will unpack it is not looked at.
//! - A 64-bit kernel with much memory takes larger windows than [`super::limits::WINDOW_LIMIT`], and since 6.12 the filter ARM64 of xz.
//! - What is in an archive is not looked at: a guest's memory may be too small for it, and its `/init` may be no program.

mod bits;
mod container;
mod cpio;
mod decode;
mod format;
mod source;
mod xz;

use super::limits::{Allowance, INITRD_LIMIT, UsedUp};
use super::mapped_link::Quoted;
use crate::values::Arch;
pub use format::InitrdFormat;
use format::{Start, recognise};
use source::{Source, WalkError};
use std::collections::BTreeSet;
use std::io::{self, Read, Seek};

/// What an initrd turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initrd {
    /// The formats of its parts.
    pub formats: BTreeSet<InitrdFormat>,
    /// How much of it was looked at.
    pub contents: Contents,
}

/// How much of an initrd was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// All of it, up to the trailers of its archives.
    Unpacked,
    /// Some parts were judged by their containers: there is no decoder.
    Undecoded,
    /// Some parts were judged by their containers: one start unpacks no more.
    Limited(UsedUp),
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
    /// Linux's decoder lacks what it needs.
    #[error("Linux does not unpack it: {0}")]
    NotUnpackable(&'static str),
    /// It is wrapped for U-Boot in a way that QEMU does not take.
    #[error("it is wrapped for U-Boot, and QEMU does not unwrap it: {0}")]
    Wrapped(&'static str),
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

impl InitrdError {
    /// What gives the guest an initrd that boots; none where nothing in it would.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Empty | Self::CutOff { .. } | Self::Damaged { .. } => {
                "run `update-initramfs -u` in the guest, which writes it again"
            }
            Self::NotUnpackable(_) => {
                "set COMPRESS=zstd in the guest's /etc/initramfs-tools/initramfs.conf and run `update-initramfs -u`"
            }
            Self::TooLarge(_) => {
                "set MODULES=dep in the guest's /etc/initramfs-tools/initramfs.conf and run `update-initramfs -u`"
            }
            Self::Wrapped(_) => {
                "put the ramdisk there as `update-initramfs` writes it, without U-Boot's header"
            }
            Self::Foreign { .. } => "put an initrd there, as `update-initramfs` writes it",
            Self::Read(_) => return None,
        })
    }
}

/// Walks an initrd to its end, unpacking what may be unpacked. Memory is bounded whatever the bytes are.
///
/// # Errors
/// Says where it ends early, what is wrong with it, or what its kernel lacks to unpack it.
pub fn walk_initrd<R: Read + Seek>(
    initrd: R,
    arch: Arch,
    allowance: &Allowance,
) -> Result<Initrd, InitrdError> {
    let mut source = Source::new(initrd, allowance).map_err(InitrdError::Read)?;
    if source.length() > INITRD_LIMIT {
        return Err(InitrdError::TooLarge(source.length()));
    }
    unwrap(&mut source)?;
    let mut walked = Initrd {
        formats: BTreeSet::new(),
        contents: Contents::Unpacked,
    };
    let parts = Parts {
        base: source.at(),
        arch,
        allowance,
    };
    while source.skip_zeros().map_err(InitrdError::Read)? {
        parts.walk(&mut source, &mut walked)?;
    }
    if walked.formats.is_empty() {
        return Err(InitrdError::Empty);
    }
    Ok(walked)
}

/// U-Boot's header (`include/image.h`), and what is in it.
const UBOOT_MAGIC: [u8; 4] = [0x27, 0x05, 0x19, 0x56];
const UBOOT_HEADER: u64 = 64;
const UBOOT_RAMDISK: u8 = 3;

/// Whether a file that begins like this is wrapped for U-Boot: QEMU loads nothing that is appended to it.
#[must_use]
pub fn is_wrapped(head: &[u8]) -> bool {
    head.starts_with(&UBOOT_MAGIC)
}

/// Passes over the header of a ramdisk for U-Boot, as QEMU does, which loads so many bytes behind it as the header says and
/// compares no sums (`hw/core/loader.c`, `load_uboot_image`).
fn unwrap<R: Read + Seek>(source: &mut Source<R>) -> Result<(), InitrdError> {
    let header = source.peek(UBOOT_HEADER).map_err(InitrdError::Read)?;
    if !is_wrapped(&header) {
        return Ok(());
    }
    let Ok(header) = <[u8; UBOOT_HEADER as usize]>::try_from(header) else {
        return Err(InitrdError::Wrapped("its header is cut off"));
    };
    if header[30] != UBOOT_RAMDISK {
        return Err(InitrdError::Wrapped("its header says it is no ramdisk"));
    }
    let [a, b, c, d] = [header[12], header[13], header[14], header[15]];
    let size = u64::from(u32::from_be_bytes([a, b, c, d]));
    let end = UBOOT_HEADER + size;
    if end > source.length() {
        return Err(InitrdError::Wrapped("it is cut off"));
    }
    source.go_to(end).map_err(InitrdError::Read)?;
    if source.skip_zeros().map_err(InitrdError::Read)? {
        return Err(InitrdError::Wrapped(
            "there is more behind it than its header says, which is not loaded",
        ));
    }
    source.end_at(end);
    source.go_to(UBOOT_HEADER).map_err(InitrdError::Read)
}

/// What is known of all parts.
struct Parts<'a> {
    /// Where offsets count from.
    base: u64,
    arch: Arch,
    allowance: &'a Allowance,
}

impl Parts<'_> {
    fn walk<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        walked: &mut Initrd,
    ) -> Result<(), InitrdError> {
        let at = source.at();
        let format = self.format(source)?;
        let is_first = walked.formats.is_empty();
        walked.formats.insert(format);
        let contents = self
            .part(source, format, is_first, walked.contents)
            .map_err(|fault| match fault {
                WalkError::Ends => InitrdError::CutOff { format, at },
                WalkError::Damaged(what) => InitrdError::Damaged { format, at, what },
                WalkError::Unsupported(what) => InitrdError::NotUnpackable(what),
                WalkError::Read(source) => InitrdError::Read(source),
                WalkError::UsedUp(used_up) => InitrdError::Read(io::Error::other(used_up)),
            })?;
        if contents != Contents::Unpacked {
            walked.contents = contents;
        }
        Ok(())
    }

    /// The format of the part that begins here.
    fn format<R: Read + Seek>(&self, source: &mut Source<R>) -> Result<InitrdFormat, InitrdError> {
        let at = source.at();
        let head = source.peek(16).map_err(InitrdError::Read)?;
        match recognise(&head) {
            // A kernel sees a plain archive only where a word begins.
            Start::Part(InitrdFormat::Cpio) if !(at - self.base).is_multiple_of(4) => {
                Err(InitrdError::NotUnpackable(
                    "a plain cpio part begins at an offset that is not a multiple of 4",
                ))
            }
            Start::Part(format) => Ok(format),
            Start::NotUnpackable(why) => Err(InitrdError::NotUnpackable(why)),
            Start::Foreign => {
                let found = Quoted::new(&head);
                Err(InitrdError::Foreign { at, found })
            }
        }
    }

    /// Checks the part that begins here, and goes to its end; to the end of all where only unpacking would have told that.
    fn part<R: Read + Seek>(
        &self,
        source: &mut Source<R>,
        format: InitrdFormat,
        is_first: bool,
        so_far: Contents,
    ) -> source::Walk<Contents> {
        if format == InitrdFormat::Cpio {
            return decode::plain(source, self.base).map(|()| Contents::Unpacked);
        }
        let begin = source.at();
        let end = container::end(format, self.arch, source)?;
        source.go_to(begin)?;
        let unpacked = match so_far {
            Contents::Limited(used_up) => Err(WalkError::UsedUp(used_up)),
            _ => decode::unpack(format, end, source, is_first, self.allowance),
        };
        let contents = match unpacked {
            Ok(true) => Contents::Unpacked,
            Ok(false) => Contents::Undecoded,
            Err(WalkError::UsedUp(used_up)) => Contents::Limited(used_up),
            Err(fault) => return Err(fault),
        };
        match (end, contents) {
            (Some(end), _) => source.go_to(end)?,
            (None, Contents::Unpacked) => {}
            (None, _) => source.go_to(source.length())?,
        }
        Ok(contents)
    }
}

#[cfg(test)]
mod tests;
