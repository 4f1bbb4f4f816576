//! bzip2, whose blocks begin and end at any bit.

use super::source::{Source, Walk, WalkError};
use std::io::{BufRead, Read, Seek};

const END_MARK: u64 = 0x1772_4538_5090;
const MARK_BITS: u32 = 48;
const CRC_BITS: u32 = 32;

/// Walks one stream up to the CRC behind its end mark. The mark's 48 bits turn up within compressed bytes once in some
/// ten thousand gigabytes.
pub(super) fn bzip2<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    let [.., level] = source.array::<4>()?;
    if !level.is_ascii_digit() || level == b'0' {
        return Err(WalkError::Damaged("its header gives no block size"));
    }
    let mut window = 0u64;
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Err(WalkError::Ends);
        }
        let length = buffer.len();
        for (n, byte) in buffer.iter().enumerate() {
            window = window << 8 | u64::from(*byte);
            if let Some(bits_left) = (0..8).find(|shift| is_mark(window >> shift)) {
                source.consume(n + 1);
                return source.skip(u64::from((CRC_BITS - bits_left).div_ceil(8)));
            }
        }
        source.consume(length);
    }
}

fn is_mark(window: u64) -> bool {
    window & ((1 << MARK_BITS) - 1) == END_MARK
}
