//! Formats that are a sequence of sized blocks, and those with a decoder at hand or none.

use super::source::{Source, Walk, WalkError};
use std::io::{self, Read, Seek};

/// The most that a gzip part may inflate to: more than any guest of ours can unpack into its memory.
const INFLATED_LIMIT: u64 = 4 << 30;

/// Inflates one gzip member to its end, which checks its length and CRC (RFC 1952).
pub(super) fn gzip<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    let mut inflating = flate2::bufread::GzDecoder::new(source).take(INFLATED_LIMIT);
    match io::copy(&mut inflating, &mut io::sink()) {
        Ok(INFLATED_LIMIT) => Err(WalkError::Damaged("it inflates to more than 4 GiB")),
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                WalkError::Damaged("its compressed bytes or their CRC are wrong")
            }
            _ => error.into(),
        }),
    }
}

/// The largest block of a Zstandard frame, compressed or not (RFC 8878, 3.1.1.2.4).
const ZSTD_BLOCK_LIMIT: u64 = 128 << 10;

/// Walks one Zstandard frame: its header, its blocks up to the one marked last, its checksum (RFC 8878, 3.1.1).
pub(super) fn zstd<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    let [.., descriptor] = source.array::<5>()?;
    if descriptor & 0x08 != 0 {
        return Err(WalkError::Damaged("its header sets a reserved bit"));
    }
    let single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_size = match descriptor >> 6 {
        0 => u64::from(single_segment),
        flag => 1 << flag,
    };
    source.skip(u64::from(!single_segment) + dictionary + content_size)?;
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

const LZ4_MAGIC: u32 = 0x184c_2102;
/// What 8 MiB, the size of every block but the last, take at most (`LZ4_COMPRESSBOUND`).
const LZ4_BLOCK_LIMIT: u32 = (8 << 20) + (8 << 20) / 255 + 16;

/// Walks lz4's legacy blocks. They have no end mark: they end where the bytes do, or where only zeros follow
/// (Linux `lib/decompress_unlz4.c`).
pub(super) fn lz4<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    source.skip(4)?;
    let mut blocks = 0u64;
    loop {
        let head = source.peek(4)?;
        let Ok(head) = <[u8; 4]>::try_from(head) else {
            // Fewer than four bytes are padding if they are zeros, which the caller sees.
            return if blocks == 0 {
                Err(WalkError::Ends)
            } else {
                Ok(())
            };
        };
        match u32::from_le_bytes(head) {
            0 if blocks == 0 => return Err(WalkError::Damaged("it has no blocks")),
            0 => return Ok(()),
            LZ4_MAGIC => source.skip(4)?,
            size if size > LZ4_BLOCK_LIMIT => {
                return Err(WalkError::Damaged("a block is larger than blocks can be"));
            }
            size => {
                source.skip(4 + u64::from(size))?;
                blocks += 1;
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
/// lzop's largest block (`MAX_BLOCK_SIZE`).
const LZOP_BLOCK_LIMIT: u32 = 64 << 20;

/// Walks one lzop member: its header, its blocks up to the empty one (lzop `src/lzop.c`; Linux
/// `lib/decompress_unlzo.c`).
pub(super) fn lzop<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    if source.array()? != LZOP_MAGIC {
        return Err(WalkError::Damaged("its magic number is incomplete"));
    }
    let version = u16::from_be_bytes(source.array()?);
    // Since 0.940 the header also names the version it needs, the level, and the upper half of the time.
    let recent = version >= 0x940;
    source.skip(if recent { 2 + 2 + 1 + 1 } else { 2 + 1 })?;
    let flags = u32::from_be_bytes(source.array()?);
    let has = |flag: u32| flags & flag != 0;
    source.skip(if has(LZOP_FILTER) { 4 } else { 0 })?;
    source.skip(if recent { 12 } else { 8 })?;
    let name = source.byte()?;
    source.skip(u64::from(name) + 4)?;
    if has(LZOP_EXTRA_FIELD) {
        let size = u32::from_be_bytes(source.array()?);
        source.skip(u64::from(size) + 4)?;
    }
    let checksums = |a, b| 4 * (u64::from(has(a)) + u64::from(has(b)));
    loop {
        let plain = u32::from_be_bytes(source.array()?);
        if plain == 0 {
            return Ok(());
        }
        let packed = u32::from_be_bytes(source.array()?);
        if plain > LZOP_BLOCK_LIMIT || packed > plain {
            return Err(WalkError::Damaged("a block is larger than blocks can be"));
        }
        let mut sums = checksums(LZOP_ADLER32_PLAIN, LZOP_CRC32_PLAIN);
        if packed < plain {
            sums += checksums(LZOP_ADLER32_PACKED, LZOP_CRC32_PACKED);
        }
        source.skip(sums + u64::from(packed))?;
    }
}

/// Checks the header of an lzma part, and takes everything after it for its bytes: the format keeps no size of them.
pub(super) fn lzma<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    let header: [u8; 14] = source.array()?;
    let [_, _, _, _, _, size @ .., first] = header;
    let size = u64::from_le_bytes(size);
    if first != 0 || (size != u64::MAX && size > INFLATED_LIMIT) {
        return Err(WalkError::Damaged("its header is invalid"));
    }
    source.skip_rest()
}
