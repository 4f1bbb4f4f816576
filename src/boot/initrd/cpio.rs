//! Plain cpio archives, "newc" (cpio(5); Linux `init/initramfs.c`).

use super::source::{Source, Walk, WalkError};
use std::io::{Read, Seek};

const HEADER: usize = 110;
/// Linux's PATH_MAX: a kernel skips an entry with a longer name.
const NAME_LIMIT: u64 = 4096;
const TRAILER: &[u8] = b"TRAILER!!!\0";

/// Walks one archive up to and including its trailer.
pub(super) fn walk<R: Read + Seek>(source: &mut Source<R>) -> Walk {
    loop {
        let header: [u8; HEADER] = source.array()?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return Err(WalkError::Damaged(
                "an entry does not begin where the last one ends",
            ));
        }
        let (size, name_size) = (field(&header, 6)?, field(&header, 11)?);
        if !(1..=NAME_LIMIT).contains(&name_size) {
            return Err(WalkError::Damaged(
                "an entry has no name, or an invalid one",
            ));
        }
        if name_size == TRAILER.len() as u64 {
            let name: [u8; TRAILER.len()] = source.array()?;
            if name == TRAILER {
                return Ok(());
            }
        } else {
            source.skip(name_size)?;
        }
        // Header and name, and then the content, are each padded to a multiple of 4.
        source.skip(padding(HEADER as u64 + name_size))?;
        source.skip(size)?;
        source.skip(padding(size))?;
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(4) - size
}

/// The n-th field after the magic: eight hexadecimal digits.
fn field(header: &[u8; HEADER], n: usize) -> Walk<u64> {
    header[6 + 8 * n..][..8].iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16);
        digit
            .map(|digit| value << 4 | u64::from(digit))
            .ok_or(WalkError::Damaged(
                "an entry's header has a field that is not a number",
            ))
    })
}
