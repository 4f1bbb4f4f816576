//! What tells where a part ends and what its decoder must have, without unpacking it. Where unpacking would cost too much, this
//! alone decides.

use super::format::InitrdFormat;
use super::source::{DICTIONARY_TOO_LARGE, Source, Walk, WalkError};
use super::{bits, xz};
use crate::boot::limits::WINDOW_LIMIT;
use crate::values::Arch;
use std::io::{Read, Seek};

/// Where the part that begins here ends, if its container tells. Fails where Linux's decoder would not take its parameters.
pub(super) fn end<R: Read + Seek>(
    format: InitrdFormat,
    arch: Arch,
    source: &mut Source<R>,
) -> Walk<Option<u64>> {
    match format {
        InitrdFormat::Gzip => return gzip(source).map(|()| None),
        InitrdFormat::Lzma => return lzma(source).map(|()| None),
        InitrdFormat::Cpio => return Ok(None),
        InitrdFormat::Bzip2 => bits::bzip2(source)?,
        InitrdFormat::Xz => xz::walk(source, arch)?,
        InitrdFormat::Lzop => lzop(source)?,
        InitrdFormat::Lz4 => lz4(source)?,
        InitrdFormat::Zstd => zstd(source)?,
    }
    Ok(Some(source.at()))
}

/// Flags of gzip's header for fields that Linux does not pass over (RFC 1952, 2.3.1; Linux `lib/decompress_inflate.c`).
const GZIP_OTHER_FIELDS: u8 = 0x02 | 0x04 | 0x10;

fn gzip<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    let [_, _, method, flags, ..] = source.array::<10>()?;
    match flags & GZIP_OTHER_FIELDS {
        _ if method != 8 => Err(WalkError::Damaged("its header is invalid")),
        0 => Ok(()),
        _ => Err(WalkError::Unsupported(
            "its gzip header has more fields than a name, which Linux does not pass over; `gzip` writes no others",
        )),
    }
}

/// The largest block of a Zstandard frame, compressed or not (RFC 8878, 3.1.1.2.4).
const ZSTD_BLOCK_LIMIT: u64 = 128 << 10;

/// Walks one Zstandard frame: its header, its blocks up to the one marked last, its checksum (RFC 8878, 3.1.1).
fn zstd<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    let [.., descriptor] = source.array::<5>()?;
    if descriptor & 0x08 != 0 {
        return Err(WalkError::Damaged("its header sets a reserved bit"));
    }
    let is_single_segment = descriptor & 0x20 != 0;
    let window = if is_single_segment {
        None
    } else {
        Some(source.byte()?)
    };
    if descriptor & 3 != 0 {
        return Err(WalkError::Unsupported(
            "it was compressed with a dictionary, which Linux does not have",
        ));
    }
    let content_size = zstd_content_size(source, descriptor)?;
    let window = window.map_or(content_size, |byte| {
        let base = 1u64 << (10 + (byte >> 3));
        base + base / 8 * u64::from(byte & 7)
    });
    if window > WINDOW_LIMIT {
        return Err(WalkError::Unsupported(
            "its zstd window is larger than 128 MiB; `zstd --long=27` is the most",
        ));
    }
    loop {
        let [a, b, c] = source.array()?;
        let header = u32::from_le_bytes([a, b, c, 0]);
        let size = u64::from(header >> 3);
        match (header >> 1) & 3 {
            _ if size > ZSTD_BLOCK_LIMIT => {
                return Err(WalkError::Damaged("a block is larger than blocks can be"));
            }
            0 | 2 => source.skip(size)?,
            1 => source.skip(1)?,
            _ => {
                return Err(WalkError::Damaged("a block has an unknown type"));
            }
        }
        if header & 1 != 0 {
            return source.skip(if descriptor & 0x04 == 0 { 0 } else { 4 });
        }
    }
}

/// The size of what is compressed, as far as a frame tells (RFC 8878, 3.1.1.1.4).
fn zstd_content_size<R: Read + Seek>(source: &mut Source<R>, descriptor: u8) -> Walk<u64> {
    let is_single_segment = descriptor & 0x20 != 0;
    let mut size = [0; 8];
    let bytes = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        flag => 1 << flag,
    };
    source.read_exact(&mut size[..bytes])?;
    let offset = if bytes == 2 { 256 } else { 0 };
    Ok(u64::from_le_bytes(size).saturating_add(offset))
}

const LZ4_MAGIC: u32 = 0x184c_2102;
/// The size of every block but the last, unpacked.
pub(super) const LZ4_UNPACKED_BLOCK: usize = 8 << 20;
/// What that takes at most (`LZ4_COMPRESSBOUND`).
const LZ4_BLOCK_LIMIT: u32 = (8 << 20) + (8 << 20) / 255 + 16;

fn lz4<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    source.skip(4)?;
    let mut is_empty = true;
    while let Some(size) = lz4_block(source)? {
        source.skip(size)?;
        is_empty = false;
    }
    if is_empty {
        return Err(WalkError::Damaged("it has no blocks"));
    }
    Ok(())
}

/// The size of the next block of lz4's legacy form. They have no end mark: they end where the bytes do, or where four zero
/// bytes follow (Linux `lib/decompress_unlz4.c`).
pub(super) fn lz4_block<R: Read + Seek>(source: &mut Source<R>) -> Walk<Option<u64>> {
    loop {
        let head = source.peek(4)?;
        let Ok(head) = <[u8; 4]>::try_from(head) else {
            // Fewer than four bytes are padding if they are zeros, which the caller sees.
            return Ok(None);
        };
        match u32::from_le_bytes(head) {
            0 => return Ok(None),
            LZ4_MAGIC => source.skip(4)?,
            size if size > LZ4_BLOCK_LIMIT => {
                return Err(WalkError::Damaged(
                    "a block is larger than blocks can be, or what follows it is not four zero bytes",
                ));
            }
            size => {
                source.skip(4)?;
                return Ok(Some(u64::from(size)));
            }
        }
    }
}

const LZOP_MAGIC: [u8; 9] = *b"\x89LZO\0\r\n\x1a\n";
/// Flags of lzop's header (lzop `src/conf.h`).
const LZOP_ADLER32_PLAIN: u32 = 0x1;
const LZOP_ADLER32_PACKED: u32 = 0x2;
const LZOP_EXTRA_FIELD: u32 = 0x40;
const LZOP_CRC32_PLAIN: u32 = 0x100;
const LZOP_CRC32_PACKED: u32 = 0x200;
const LZOP_FILTER: u32 = 0x800;
/// The largest block that Linux takes (`LZO_BLOCK_SIZE`), which is the size that lzop writes.
const LZOP_BLOCK_LIMIT: u32 = 256 << 10;

/// Walks one lzop member: its header, its blocks up to the empty one (lzop `src/lzop.c`; Linux
/// `lib/decompress_unlzo.c`).
fn lzop<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    if source.array()? != LZOP_MAGIC {
        return Err(WalkError::Damaged("its magic number is incomplete"));
    }
    let version = u16::from_be_bytes(source.array()?);
    // Since 0.940 the header also names the version it needs, the level, and the upper half of the time.
    let recent = version >= 0x940;
    source.skip(if recent { 2 + 2 + 1 + 1 } else { 2 + 1 })?;
    let flags = u32::from_be_bytes(source.array()?);
    let has = |flag: u32| flags & flag != 0;
    let sums = [LZOP_ADLER32_PLAIN, LZOP_CRC32_PLAIN].map(has);
    let other = LZOP_ADLER32_PACKED | LZOP_CRC32_PACKED | LZOP_FILTER | LZOP_EXTRA_FIELD;
    if sums[0] == sums[1] || has(other) {
        return Err(WalkError::Unsupported(
            "it has other checksums or filters than `lzop` writes without options",
        ));
    }
    source.skip(if recent { 12 } else { 8 })?;
    let name = source.byte()?;
    source.skip(u64::from(name) + 4)?;
    loop {
        let plain = u32::from_be_bytes(source.array()?);
        if plain == 0 {
            return Ok(());
        }
        let packed = u32::from_be_bytes(source.array()?);
        if plain > LZOP_BLOCK_LIMIT || packed == 0 || packed > plain {
            return Err(WalkError::Damaged("a block is larger than blocks can be"));
        }
        source.skip(4 + u64::from(packed))?;
    }
}

fn lzma<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    let header: [u8; 14] = source.array()?;
    let [_, a, b, c, d, size @ .., first] = header;
    let size = u64::from_le_bytes(size);
    if first != 0 {
        return Err(WalkError::Damaged("its header is invalid"));
    }
    if u64::from(u32::from_le_bytes([a, b, c, d])).min(size) > WINDOW_LIMIT {
        return Err(WalkError::Unsupported(DICTIONARY_TOO_LARGE));
    }
    Ok(())
}
