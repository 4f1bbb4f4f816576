//! Reading, hashing and copying open files, with a bound on bytes.

use super::OpenFile;
use crate::boot::Identity;
use crate::values::Sha256Sum;
use rustix::fs::SeekFrom as Offset;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

const BUFFER: usize = 256 << 10;

/// A file that was not the same before and after it was read.
#[derive(Debug, thiserror::Error)]
#[error("it changed while it was read")]
pub struct ChangedMeanwhile;

impl ChangedMeanwhile {
    /// Whether an error says so.
    #[must_use]
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// The SHA-256 of all the bytes of a file.
///
/// # Errors
/// As the system says.
pub fn digest(mut file: impl Read + Seek) -> io::Result<Sha256Sum> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Sum::of(hash)),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// The processor time that this thread has taken. It does not depend on what else the host does.
#[must_use]
pub fn processor_time() -> Duration {
    let taken = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(taken).unwrap_or_default()
}

/// Copies at most `limit` bytes; the file system shares the blocks where it can (`copy_file_range`).
///
/// # Errors
/// As the system says.
pub fn copy(from: &mut impl Read, to: &mut impl Write, limit: u64) -> io::Result<u64> {
    io::copy(&mut from.take(limit), to)
}

/// Copies the first bytes of a file into an empty one, which is as large then. The file system shares the blocks where it
/// can; elsewhere what is a hole stays one.
///
/// # Errors
/// As the system says.
pub fn copy_blocks(from: &File, to: &File, size: u64) -> io::Result<()> {
    if share_blocks(from, to)? {
        return Ok(());
    }
    to.set_len(size)?;
    let (mut from, mut to) = (from, to);
    let mut at = 0;
    while let Some((start, end)) = data_from(from, at, size)? {
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        if copy(&mut from, &mut to, end - start)? < end - start {
            return Err(io::Error::other(ChangedMeanwhile));
        }
        at = end;
    }
    Ok(())
}

/// Has an empty file hold what another holds, by the same blocks; false where the file system cannot.
pub(super) fn share_blocks(from: &File, to: &File) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        // What a file system says that shares no blocks, or not with this one.
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Copies a whole file into an empty one, by its blocks or in one pass, and tells the digest of the copy. Nothing waits for
/// the disk.
///
/// # Errors
/// As the system says.
pub fn copy_hashed_fresh<F: OpenFile>(from: &mut F, to: &mut F) -> io::Result<Sha256Sum> {
    if to.share_blocks(from)? {
        return digest(to);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(Sha256Sum::of(hash)),
            count => {
                hash.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
            }
        }
    }
}

/// Where the next data of a file begins and ends; nothing after the last.
fn data_from(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, Offset::Data(at)) {
        Ok(start) => start.min(size),
        Err(Errno::NXIO) => return Ok(None),
        // It keeps no account of holes: all is data.
        Err(Errno::INVAL) => return Ok(Some((at, size))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(file, Offset::Hole(start))?.min(size);
    Ok((start < end).then_some((start, end)))
}

/// Copies a whole file into an empty one, and tells the digest of the copy.
///
/// # Errors
/// [`ChangedMeanwhile`] if it is not what it was `before`; when it has more bytes than the limit; as [`copy`].
pub fn copy_hashed<F: OpenFile>(
    from: &mut F,
    before: &Identity,
    to: &mut F,
    limit: u64,
) -> io::Result<Sha256Sum> {
    at_most(before.size, limit)?;
    let size = copy(from, to, limit)?;
    unchanged(size == before.size && from.identity()? == *before)?;
    digest(to)
}

/// All the bytes of a file, and their digest.
///
/// # Errors
/// As [`copy_hashed`].
pub fn read_hashed(from: &File, before: &Identity, limit: u64) -> io::Result<(Vec<u8>, Sha256Sum)> {
    at_most(before.size, limit)?;
    let mut bytes = Vec::new();
    from.take(limit).read_to_end(&mut bytes)?;
    unchanged(bytes.len() as u64 == before.size && from.identity()? == *before)?;
    let sha256 = digest(io::Cursor::new(&bytes))?;
    Ok((bytes, sha256))
}

/// The digest of a file that stays what it was meanwhile.
///
/// # Errors
/// As [`copy_hashed`].
pub fn digest_unchanged<F: OpenFile>(
    file: &mut F,
    before: &Identity,
    limit: u64,
) -> io::Result<Sha256Sum> {
    at_most(before.size, limit)?;
    let sha256 = digest(&mut *file)?;
    unchanged(file.identity()? == *before)?;
    Ok(sha256)
}

fn at_most(size: u64, limit: u64) -> io::Result<()> {
    if size <= limit {
        return Ok(());
    }
    let why = format!("it has {size} bytes, more than the {limit} that are allowed");
    Err(io::Error::other(why))
}

fn unchanged(is: bool) -> io::Result<()> {
    is.then_some(())
        .ok_or_else(|| io::Error::other(ChangedMeanwhile))
}

/// Whether a disk image holds no byte: nothing was ever written to it since it was created or erased. Where the file system
/// cannot tell, it counts as written.
///
/// # Errors
/// As the system says.
pub fn is_blank(image: &File) -> io::Result<bool> {
    match rustix::fs::seek(image, Offset::Data(0)) {
        Err(Errno::NXIO) => Ok(true),
        Ok(_) | Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
