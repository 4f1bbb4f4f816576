//! Texts in files of armfleet's own.

use super::raw_stat;
use crate::files::{Folder, Root};
use crate::inventory::RawFile;
use std::io;

/// The largest text that is read.
const TEXT_LIMIT: u64 = 1 << 20;

/// The text of a file of armfleet's own; without it, why that is none.
pub(super) fn text(root: &Root, path: &str) -> io::Result<RawFile> {
    let (folder, name) = root.holding(path)?;
    text_in(&folder, name)
}

pub(super) fn text_in(folder: &Folder, name: &str) -> io::Result<RawFile> {
    let (bytes, stat) = folder.read(name, TEXT_LIMIT)?;
    let large = bytes.len() as u64 > TEXT_LIMIT;
    let text = if large {
        Err("it is larger than 1 MiB".to_owned())
    } else {
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
    };
    Ok(RawFile {
        no_text: text.as_ref().err().cloned(),
        text: text.ok(),
        ..RawFile::only(raw_stat(&stat))
    })
}

pub(super) fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}
