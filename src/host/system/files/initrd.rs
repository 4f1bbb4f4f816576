//! An installer's initrd with files for the installation.

use super::write::Draft;
use super::{at, copy_hashed, open_plain};
use crate::boot::{AddedFile, Sha256Hex, appended_files};
use crate::files::Root;
use crate::host::primitives::{CallError, Copied, Extended};
use crate::values::HostPath;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// The largest file that is added, in bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// Writes a copy of an initrd with files appended, whole or not at all.
pub(in super::super) fn extend(
    root: &Root,
    base: &str,
    files: &BTreeMap<HostPath, HostPath>,
    to: &str,
    limit: u64,
    mode: u32,
) -> Result<Extended, CallError> {
    let (base, place) = (&root.below(base), root.below(to));
    let mut added = Vec::new();
    let mut sources = BTreeMap::new();
    for (path, from) in files {
        let from = root.below(from.as_str());
        let (bytes, copied) = read(&from).map_err(at(&from))?;
        added.push(AddedFile {
            path: path.clone(),
            mode: copied.source.mode,
            bytes,
        });
        sources.insert(path.clone(), copied);
    }
    let (file, source) = open_plain(base).map_err(at(base))?;
    let (draft, folder, name) = Draft::beside(root, to).map_err(at(&place))?;
    let mut into = Hashing {
        into: &draft.file,
        hash: Sha256::new(),
        size: 0,
    };
    let sha256 = copy_hashed(&file, &source, limit, &mut into).map_err(at(base))?;
    if !added.is_empty() {
        let more = appended_files(source.size, &added);
        into.write_all(&more).map_err(at(&place))?;
    }
    let (size, hash) = (into.size, into.hash);
    draft.replace(&folder, name, mode).map_err(at(&place))?;
    Ok(Extended {
        base: Copied { source, sha256 },
        files: sources,
        size,
        sha256: Sha256Hex::of(hash).into(),
    })
}

fn read(from: &Path) -> io::Result<(Vec<u8>, Copied)> {
    let (file, source) = open_plain(from)?;
    let mut bytes = Vec::new();
    let sha256 = copy_hashed(&file, &source, FILE_LIMIT, &mut bytes)?;
    Ok((bytes, Copied { source, sha256 }))
}

/// Counts and hashes what is written.
struct Hashing<W> {
    into: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.into.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}
