//! The bytes of an initrd, read in order, with a known end.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Why a walk stopped before the end of its part.
pub(super) enum WalkError {
    /// The bytes ended.
    Ends,
    /// The bytes are not what the format allows.
    Damaged(&'static str),
    /// Reading failed.
    Read(io::Error),
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
pub(super) struct Source<R> {
    inner: BufReader<R>,
    at: u64,
    end: u64,
}

impl<R: Read + Seek> Source<R> {
    pub(super) fn new(mut inner: R) -> io::Result<Self> {
        let end = inner.seek(SeekFrom::End(0))?;
        inner.rewind()?;
        let inner = BufReader::with_capacity(64 << 10, inner);
        Ok(Self { inner, at: 0, end })
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

    /// Passes over what is left.
    pub(super) fn skip_rest(&mut self) -> Walk {
        self.skip(self.end - self.at)
    }
}

impl<R: Read> BufRead for Source<R> {
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

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let count = buffer.len().min(into.len());
        into[..count].copy_from_slice(&buffer[..count]);
        self.consume(count);
        Ok(count)
    }
}
