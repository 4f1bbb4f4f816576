//! The xz format (`xz-file-format.txt` 1.2.0), walked without decoding: LZMA2 chunks carry their sizes.

use super::source::{DICTIONARY_TOO_LARGE, Source, Walk, WalkError};
use crate::boot::limits::WINDOW_LIMIT;
use crate::values::Arch;
use flate2::Crc;
use std::io::{Read, Seek};

const LZMA2: u64 = 0x21;

/// Walks one stream: header, blocks, index, footer. Linux takes no check but none and CRC32, and of filters before LZMA2 one
/// of those that a kernel is built with (`lib/xz/xz_dec_stream.c`).
pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>, arch: Arch) -> Walk {
    let header: [u8; 12] = source.array()?;
    let [_, _, _, _, _, _, flags @ .., _, _, _, _] = header;
    if !crc_matches(&flags, &header[8..]) {
        return Err(WalkError::Damaged("its header's CRC is wrong"));
    }
    let check_size = check_size(flags)?;
    let mut blocks = Blocks::default();
    loop {
        match source.byte()? {
            0 => break,
            size => {
                let unpadded = block(source, size, check_size, arch)?;
                blocks.count += 1;
                blocks.bytes += unpadded.next_multiple_of(4);
            }
        }
    }
    let index_size = index(source, &blocks)?;
    footer(source, flags, index_size)
}

/// What the index must say of the blocks: their number, and the sum of their padded sizes.
#[derive(Default, PartialEq)]
struct Blocks {
    count: u64,
    bytes: u64,
}

/// The size of the check behind each block (section 2.1.1.2).
fn check_size(flags: [u8; 2]) -> Walk<u64> {
    match flags {
        [0, 0] => Ok(0),
        [0, 1] => Ok(4),
        [0, 2..=15] => Err(WalkError::Unsupported(
            "its integrity check is not CRC32, the only one of `xz` that Linux takes: `xz --check=crc32`",
        )),
        _ => Err(WalkError::Damaged("its header sets a reserved bit")),
    }
}

/// Walks a block; `size` is its first byte. Returns its size without the padding before its check (sections 3, 4.3).
fn block<R: Read + Seek>(
    source: &mut Source<R>,
    size: u8,
    check_size: u64,
    arch: Arch,
) -> Walk<u64> {
    let mut header = vec![0; (usize::from(size) + 1) * 4];
    header[0] = size;
    source.read_exact(&mut header[1..])?;
    let (fields, crc) = header.split_at(header.len() - 4);
    if !crc_matches(fields, crc) {
        return Err(WalkError::Damaged("a block header's CRC is wrong"));
    }
    let invalid = WalkError::Damaged("a block's header is invalid");
    let BlockHeader { declared, filters } = BlockHeader::read(&fields[1..]).ok_or(invalid)?;
    check_filters(&filters, arch)?;
    let begin = source.at();
    lzma2(source)?;
    let compressed = source.at() - begin;
    if declared.is_some_and(|declared| declared != compressed) {
        return Err(WalkError::Damaged(
            "a block's size is not what its header says",
        ));
    }
    source.skip(compressed.next_multiple_of(4) - compressed + check_size)?;
    Ok(header.len() as u64 + compressed + check_size)
}

/// A block's header (section 3.1).
struct BlockHeader<'a> {
    /// The compressed size, if it is there.
    declared: Option<u64>,
    /// Each filter's number and properties.
    filters: Vec<(u64, &'a [u8])>,
}

impl<'a> BlockHeader<'a> {
    fn read(mut fields: &'a [u8]) -> Option<Self> {
        let (flags, rest) = fields.split_first()?;
        fields = rest;
        let mut size = |bit| match flags & bit {
            0 => Some(None),
            _ => number(&mut fields).map(Some),
        };
        let declared = size(0x40)?;
        size(0x80)?;
        let mut filters = Vec::new();
        for _ in 0..=flags & 3 {
            let filter = number(&mut fields)?;
            let count = usize::try_from(number(&mut fields)?).ok()?;
            let (properties, rest) = fields.split_at_checked(count)?;
            filters.push((filter, properties));
            fields = rest;
        }
        (flags & 0x3c == 0).then_some(Self { declared, filters })
    }
}

fn check_filters(filters: &[(u64, &[u8])], arch: Arch) -> Walk {
    let Some((&(LZMA2, &[dictionary]), before)) = filters.split_last() else {
        return Err(WalkError::Damaged("a block is not compressed with LZMA2"));
    };
    let is_known = |(filter, properties): &(u64, &[u8])| {
        arch.xz_filters.contains(filter) && properties.is_empty()
    };
    if before.len() > 1 || !before.iter().all(is_known) {
        return Err(WalkError::Unsupported(
            "it has a filter that its kernel's decoder lacks: `xz --check=crc32` alone uses none",
        ));
    }
    match dictionary {
        0..40 if (2 | u64::from(dictionary & 1)) << (dictionary / 2 + 11) <= WINDOW_LIMIT => Ok(()),
        0..=40 => Err(WalkError::Unsupported(DICTIONARY_TOO_LARGE)),
        _ => Err(WalkError::Damaged("a block's header is invalid")),
    }
}

/// A number of variable length: seven bits a byte, the lowest first, at most nine bytes (section 1.2).
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Walks LZMA2 chunks up to the end mark (Linux `lib/xz/xz_dec_lzma2.c`).
fn lzma2<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    loop {
        match source.byte()? {
            0 => return Ok(()),
            1 | 2 => {
                let size = u16::from_be_bytes(source.array()?);
                source.skip(u64::from(size) + 1)?;
            }
            control @ 0x80.. => {
                let [_, _, high, low] = source.array()?;
                let properties = u64::from(control >= 0xc0);
                source.skip(u64::from(u16::from_be_bytes([high, low])) + 1 + properties)?;
            }
            _ => {
                return Err(WalkError::Damaged("a chunk has an unknown type"));
            }
        }
    }
}

/// Reads the index behind its first byte, compares it with the blocks, and returns its size (section 4).
fn index<R: Read + Seek>(source: &mut Source<R>, blocks: &Blocks) -> Walk<u64> {
    let mut index = Summed::new(source);
    let count = index.number()?;
    let mut listed = Blocks::default();
    // As many records as there were blocks: a larger count is wrong, and must not be followed.
    while listed.count < count && listed.count <= blocks.count {
        let unpadded = index.number()?;
        index.number()?;
        listed.count += 1;
        listed.bytes = listed.bytes.saturating_add(unpadded.saturating_add(3) & !3);
    }
    if count != blocks.count || listed != *blocks {
        return Err(WalkError::Damaged(
            "its index lists other blocks than it has",
        ));
    }
    while !index.size.is_multiple_of(4) {
        index.byte()?;
    }
    let (sum, size) = (index.crc.sum(), index.size);
    if source.array()? != sum.to_le_bytes() {
        return Err(WalkError::Damaged("its index's CRC is wrong"));
    }
    Ok(size + 4)
}

/// The index's bytes, summed as they are read.
struct Summed<'s, 'a, R> {
    source: &'s mut Source<'a, R>,
    crc: Crc,
    size: u64,
}

impl<'s, 'a, R: Read + Seek> Summed<'s, 'a, R> {
    fn new(source: &'s mut Source<'a, R>) -> Self {
        let mut crc = Crc::new();
        crc.update(&[0]);
        Self {
            source,
            crc,
            size: 1,
        }
    }

    fn byte(&mut self) -> Walk<u8> {
        let byte = self.source.byte()?;
        self.crc.update(&[byte]);
        self.size += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Walk<u64> {
        let mut bytes = Vec::with_capacity(9);
        loop {
            bytes.push(self.byte()?);
            if let Some(value) = number(&mut bytes.as_slice()) {
                return Ok(value);
            }
            if bytes.len() == 9 {
                return Err(WalkError::Damaged("its index has an invalid number"));
            }
        }
    }
}

/// Reads the footer (section 2.1.2).
fn footer<R: Read + Seek>(source: &mut Source<R>, flags: [u8; 2], index_size: u64) -> Walk {
    let [crc @ .., a, b, c, d, flag_a, flag_b, y, z]: [u8; 12] = source.array()?;
    let backward_size = (u64::from(u32::from_le_bytes([a, b, c, d])) + 1) * 4;
    let fits = [y, z] == *b"YZ"
        && [flag_a, flag_b] == flags
        && backward_size == index_size
        && crc_matches(&[a, b, c, d, flag_a, flag_b], &crc);
    if fits {
        Ok(())
    } else {
        Err(WalkError::Damaged("its footer does not match"))
    }
}

fn crc_matches(bytes: &[u8], little_endian: &[u8]) -> bool {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes() == little_endian
}
