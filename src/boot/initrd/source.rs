//! The bytes of an initrd, read in order, with a known end.

use crate::boot::limits::{Allowance, UsedUp};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Why a walk stopped before the end of its part.
pub(super) enum WalkError {
    /// The bytes ended.
    Ends,
    /// The bytes are not what the format allows.
    Damaged(&'static str),
    /// Linux's decoder does not have what the bytes ask for.
    Unsupported(&'static str),
    /// Reading failed.
    Read(io::Error),
    /// Nothing more may be unpacked.
    UsedUp(UsedUp),
}

/// What no decoder of LZMA has the memory for.
pub(super) const DICTIONARY_TOO_LARGE: &str =
    "its dictionary is larger than 128 MiB; `xz -9` writes one of 64 MiB";

impl From<UsedUp> for WalkError {
    fn from(used_up: UsedUp) -> Self {
        Self::UsedUp(used_up)
    }
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Ends,
            _ => Self::Read(error),
        }
    }
}

pub(super) type Walk<T = ()> = Result<T, WalkError>;

/// A reader that knows where it is and where it must stop.
pub(super) struct Source<'a, R> {
    inner: BufReader<R>,
    at: u64,
    end: u64,
    allowance: &'a Allowance,
    /// Why a decoder could not read on.
    stopped: Option<WalkError>,
}

impl<'a, R: Read + Seek> Source<'a, R> {
    pub(super) fn new(mut inner: R, allowance: &'a Allowance) -> io::Result<Self> {
        let end = inner.seek(SeekFrom::End(0))?;
        inner.rewind()?;
        let inner = BufReader::with_capacity(64 << 10, inner);
        Ok(Self {
            inner,
            at: 0,
            end,
            allowance,
            stopped: None,
        })
    }

    /// Fails if reading did since the last call. Decoders give errors of their own for it.
    pub(super) fn stopped(&mut self) -> Walk {
        self.stopped.take().map_or(Ok(()), Err)
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> u64 {
        self.end
    }

    /// How many bytes have been read or skipped.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Skips zero bytes; false at the end.
    pub(super) fn skip_zeros(&mut self) -> io::Result<bool> {
        loop {
            let buffer = self.fill_buf()?;
            let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
            let done = zeros < buffer.len() || buffer.is_empty();
            let more = zeros < buffer.len();
            self.consume(zeros);
            if done {
                return Ok(more);
            }
        }
    }

    /// The next bytes, at most `count`, without reading past them.
    pub(super) fn peek(&mut self, count: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.by_ref().take(count).read_to_end(&mut head)?;
        let back = i64::try_from(head.len()).unwrap_or(0);
        self.inner.seek_relative(-back)?;
        self.at -= head.len() as u64;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Walk<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Walk<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Passes over bytes without looking at them.
    pub(super) fn skip(&mut self, count: u64) -> Walk {
        if count > self.end - self.at {
            return Err(WalkError::Ends);
        }
        let forward = i64::try_from(count).map_err(|_| WalkError::Ends)?;
        self.inner.seek_relative(forward)?;
        self.at += count;
        Ok(())
    }

    /// Leaves out what follows.
    pub(super) fn end_at(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    /// Goes to a place that was seen.
    pub(super) fn go_to(&mut self, at: u64) -> io::Result<()> {
        self.inner.seek(SeekFrom::Start(at))?;
        self.at = at;
        Ok(())
    }
}

impl<R: Read> BufRead for Source<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let buffer = self.inner.fill_buf()?;
        Ok(&buffer[..buffer.len().min(left)])
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.at += count as u64;
    }
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let count = buffer.len().min(into.len());
        into[..count].copy_from_slice(&buffer[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// The bytes of a part for its decoder, which may take no more time than there is.
pub(super) struct Packed<'s, 'a, R>(pub(super) &'s mut Source<'a, R>);

impl<R: Read> BufRead for Packed<'_, '_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let source = &mut *self.0;
        if source.inner.buffer().is_empty() {
            if let Err(used_up) = source.allowance.time() {
                source.stopped = Some(used_up.into());
                return Err(io::Error::other(used_up));
            }
            if let Err(error) = source.inner.fill_buf() {
                let kind = error.kind();
                source.stopped = Some(WalkError::Read(error));
                return Err(kind.into());
            }
        }
        source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl<R: Read> Read for Packed<'_, '_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let count = buffer.len().min(into.len());
        into[..count].copy_from_slice(&buffer[..count]);
        self.consume(count);
        Ok(count)
    }
}
