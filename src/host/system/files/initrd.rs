//! An installer's initrd with files for the installation.

use super::write::copy_into;
use super::{at, open_plain};
use crate::boot::{AddedFile, appended_files, is_wrapped};
use crate::files::{Draft, OpenFile as _, Root, digest, read_hashed};
use crate::host::primitives::{CallError, Copied, Extended};
use crate::values::HostPath;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
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
    let (mut file, source) = open_plain(base).map_err(at(base))?;
    let mut head = [0; 4];
    let _ = file.read_at(&mut head, 0).map_err(at(base))?;
    if !added.is_empty() && is_wrapped(&head) {
        return Err(CallError::wrapped(base.display()));
    }
    let (folder, name) = root.holding(to).map_err(at(&place))?;
    let mut draft = Draft::begin(name, &folder).map_err(at(&place))?;
    let base_sha256 = copy_into(&mut draft, &mut file, limit).map_err(at(base))?;
    let mut append = || {
        if !added.is_empty() {
            draft.file.write_all(&appended_files(source.size, &added))?;
        }
        let sha256 = digest(&draft.file)?;
        Ok((draft.file.metadata()?.len(), sha256))
    };
    let (size, sha256) = append().map_err(at(&place))?;
    draft.replace(&folder, name, mode).map_err(at(&place))?;
    Ok(Extended {
        base: Copied {
            source,
            sha256: base_sha256.into(),
        },
        files: sources,
        size,
        sha256: sha256.into(),
    })
}

fn read(from: &Path) -> io::Result<(Vec<u8>, Copied)> {
    let (file, source) = open_plain(from)?;
    let (bytes, sha256) = read_hashed(&file, &file.identity()?, FILE_LIMIT)?;
    let sha256 = sha256.into();
    Ok((bytes, Copied { source, sha256 }))
}
