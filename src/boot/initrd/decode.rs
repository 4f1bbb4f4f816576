//! What a part unpacks to, looked at as Linux looks at it: cpio archives up to their trailers.

use super::container::{self, LZ4_UNPACKED_BLOCK};
use super::cpio::{Archives, NO_ARCHIVE};
use super::format::InitrdFormat;
use super::source::{Packed, Source, Walk, WalkError};
use crate::boot::limits::{Allowance, WINDOW_LIMIT};
use std::io::{self, BufRead, Read, Seek};

/// How much is unpacked between two looks at what may be used.
const PIECE: usize = 128 << 10;

/// Unpacks the part that begins here and ends where its container says, and checks what is in it. False where there is no
/// decoder.
pub(super) fn unpack<R: Read + Seek>(
    format: InitrdFormat,
    end: Option<u64>,
    source: &mut Source<R>,
    is_first: bool,
    allowance: &Allowance,
) -> Walk<bool> {
    let mut archives = if is_first {
        Archives::first()
    } else {
        Archives::behind_others(0)
    };
    let mut into = Unpacked {
        archives: &mut archives,
        allowance,
    };
    let unpacked = match format {
        InitrdFormat::Cpio | InitrdFormat::Lzop => return Ok(false),
        InitrdFormat::Gzip => into.all_of(flate2::bufread::GzDecoder::new(Packed(source))),
        InitrdFormat::Bzip2 => {
            let size = end.map_or(u64::MAX, |end| end - source.at());
            into.all_of(bzip2_rs::DecoderReader::new(Packed(source).take(size)))
        }
        InitrdFormat::Xz => into.all_of(lzma_rust2::XzReader::new_mem_limit(
            Packed(source),
            false,
            memory(),
        )),
        InitrdFormat::Lzma => lzma(source, &mut into),
        InitrdFormat::Zstd => zstd(source, &mut into),
        InitrdFormat::Lz4 => lz4(source, &mut into),
    };
    // What a reader could not give is not the decoder's finding.
    source.stopped()?;
    unpacked?;
    match () {
        () if archives.are_whole() => Ok(true),
        () if archives.are_none() => Err(WalkError::Damaged(NO_ARCHIVE)),
        // Nothing else says that blocks are missing.
        () if format == InitrdFormat::Lz4 => Err(WalkError::Ends),
        () => Err(WalkError::Damaged("its cpio archive does not end in it")),
    }
}

/// What a decoder of LZMA may take in KiB: the dictionary, and some tables.
fn memory() -> u32 {
    u32::try_from((WINDOW_LIMIT >> 10) + (1 << 10)).unwrap_or(u32::MAX)
}

/// Where unpacked bytes go.
struct Unpacked<'a> {
    archives: &'a mut Archives,
    allowance: &'a Allowance,
}

impl Unpacked<'_> {
    fn take(&mut self, bytes: &[u8]) -> Walk {
        self.allowance.unpack(bytes.len())?;
        match self.archives.take(bytes) {
            Ok(taken) if taken == bytes.len() => Ok(()),
            Ok(_) => Err(WalkError::Damaged(
                "something else follows its cpio archive",
            )),
            Err(fault) => Err(WalkError::Damaged(fault)),
        }
    }

    fn all_of(&mut self, mut decoder: impl Read) -> Walk {
        let mut piece = vec![0; PIECE];
        loop {
            match decoder.read(&mut piece).map_err(not_decoded)? {
                0 => return Ok(()),
                count => self.take(&piece[..count])?,
            }
        }
    }
}

/// What a decoder's error says of the bytes.
fn not_decoded(error: io::Error) -> WalkError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => WalkError::Ends,
        _ => WalkError::Damaged("its compressed bytes or their checksum are wrong"),
    }
}

/// The format has no end but what its own bytes say, so that what was read too far is given back.
fn lzma<R: Read + Seek>(source: &mut Source<R>, into: &mut Unpacked) -> Walk {
    let mut decoder = lzma_rust2::LzmaReader::new_mem_limit(Packed(source), memory(), None)
        .map_err(not_decoded)?;
    into.all_of(&mut decoder)?;
    let (Packed(source), unused) = decoder.into_parts();
    Ok(source.go_to(source.at() - unused.len() as u64)?)
}

fn zstd<R: Read + Seek>(source: &mut Source<R>, into: &mut Unpacked) -> Walk {
    let decoder =
        ruzstd::decoding::StreamingDecoder::new_with_max_window_size(Packed(source), WINDOW_LIMIT);
    let mut decoder = decoder.map_err(|fault| not_decoded(io::Error::other(fault)))?;
    into.all_of(&mut decoder)?;
    let decoder = decoder.into_frame_decoder();
    if decoder.get_checksum_from_data() == decoder.get_calculated_checksum()
        || decoder.get_checksum_from_data().is_none()
    {
        Ok(())
    } else {
        Err(WalkError::Damaged(
            "its compressed bytes or their checksum are wrong",
        ))
    }
}

fn lz4<R: Read + Seek>(source: &mut Source<R>, into: &mut Unpacked) -> Walk {
    let mut plain = vec![0; LZ4_UNPACKED_BLOCK];
    let mut packed = Vec::new();
    source.skip(4)?;
    while let Some(size) = container::lz4_block(source)? {
        packed.clear();
        source.by_ref().take(size).read_to_end(&mut packed)?;
        let count = lz4_flex::block::decompress_into(&packed, &mut plain)
            .map_err(|_| WalkError::Damaged("a block's compressed bytes are wrong"))?;
        for piece in plain[..count].chunks(PIECE) {
            into.take(piece)?;
        }
    }
    Ok(())
}

/// Checks a part that is not compressed, up to where something else begins.
pub(super) fn plain<R: Read + Seek>(source: &mut Source<R>, base: u64) -> Walk {
    let mut archives = Archives::behind_others(source.at() - base);
    loop {
        let bytes = source.fill_buf()?;
        let (count, is_last) = match archives.take(bytes) {
            Ok(taken) => (taken, taken < bytes.len() || bytes.is_empty()),
            Err(fault) => return Err(WalkError::Damaged(fault)),
        };
        source.consume(count);
        if is_last {
            return if archives.are_whole() {
                Ok(())
            } else {
                Err(WalkError::Ends)
            };
        }
    }
}
