//! The calls that write files, whole or not at all, and give them other names.

use super::{at, is_missing};
use crate::files::{
    self, Directory as _, Draft, OpenFile as _, Root, copy_hashed, parent_and_name,
};
use crate::host::primitives::{CallError, Copied};
use crate::values::Sha256Sum;
use rustix::fs::RenameFlags;
use std::fs::File;
use std::io::{self, Write};

/// Writes a file whole or not at all; its draft lies in `scratch`.
pub(in super::super) fn write(
    root: &Root,
    path: &str,
    scratch: &str,
    bytes: &[u8],
    mode: u32,
) -> Result<(), CallError> {
    let (place, scratch_place) = (root.below(path), root.below(scratch));
    let (into, name) = root.holding(path).map_err(at(&place))?;
    let scratch = root.folder(scratch).map_err(at(&scratch_place))?;
    let begin = || {
        let mut draft = Draft::begin(name, &scratch)?;
        draft.file.write_all(bytes)?;
        Ok(draft)
    };
    let draft = begin().map_err(at(&scratch_place))?;
    draft.replace(&into, name, mode).map_err(at(&place))
}

/// Copies a file into a draft, and tells its SHA-256.
pub(super) fn copy_into(
    draft: &mut Draft<'_>,
    file: &mut File,
    limit: u64,
) -> io::Result<Sha256Sum> {
    let before = file.identity()?;
    copy_hashed(file, &before, &mut draft.file, limit)
}

/// Copies a regular file whole or not at all.
pub(in super::super) fn copy(
    root: &Root,
    from: &str,
    to: &str,
    limit: u64,
    mode: u32,
) -> Result<Copied, CallError> {
    let (from, place) = (root.below(from), root.below(to));
    let (mut file, source) = super::open_plain(&from).map_err(at(&from))?;
    let (folder, name) = root.holding(to).map_err(at(&place))?;
    let mut draft = Draft::begin(name, &folder).map_err(at(&place))?;
    let sha256 = copy_into(&mut draft, &mut file, limit).map_err(|error| CallError {
        why: format!("copying {} to {}: {error}", from.display(), place.display()),
        ..at(&from)(error)
    })?;
    draft.replace(&folder, name, mode).map_err(at(&place))?;
    Ok(Copied {
        source,
        sha256: sha256.into(),
    })
}

/// Gives a file another name in its folder.
pub(in super::super) fn rename(root: &Root, from: &str, to: &str) -> Result<(), CallError> {
    let rename = || {
        let (folder, from) = root.holding(from)?;
        let (into, to) = root.holding(to)?;
        folder.rename(from, &into, to, RenameFlags::empty())?;
        into.sync()
    };
    rename().map_err(at(&root.below(from)))
}

/// Removes one file, if it is there. One may be in a share, in whose place there may be a link meanwhile.
pub(in super::super) fn remove(root: &Root, path: &str) -> Result<(), CallError> {
    let remove = || {
        let (parent, name) = parent_and_name(path);
        let folder = root.real_folder(parent)?;
        if folder.remove(name)? {
            folder.sync()?;
        }
        Ok(())
    };
    match remove() {
        Err(error) if !is_missing(&error) => Err(at(&root.below(path))(error)),
        _ => Ok(()),
    }
}

/// Appends a line with one write, on a line of its own even where the last one was cut off.
pub(in super::super) fn append_line(root: &Root, path: &str, line: &str) -> Result<(), CallError> {
    if line.contains('\n') {
        let why = format!("{path}: a line cannot hold a line break");
        return Err(CallError::other(why));
    }
    let append = || {
        let (folder, name) = root.holding(path)?;
        files::append_line(&folder, name, line)
    };
    append().map_err(at(&root.below(path)))
}
