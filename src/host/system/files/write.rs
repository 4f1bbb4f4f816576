//! Writing files, whole or not at all.

use super::{at, copy_hashed, is_missing};
use crate::files::{Folder, Root, parent_and_name};
use crate::host::primitives::{CallError, Copied};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// A file on its way: under another name until it is whole, and gone if it never is.
pub(super) struct Draft {
    pub(super) file: File,
    folder: Folder,
    name: String,
}

/// The name of a file's draft. It follows from the file's, so that what a killed process left goes when the file is written
/// again; nobody else writes it meanwhile, since whoever does holds a lock.
fn draft_of(name: &str) -> String {
    format!(".{name}.armfleet")
}

impl Draft {
    /// Begins the file that is to have this name, in a folder of the same file system. Only its owner can read it.
    pub(super) fn begin(name: &str, folder: Folder) -> io::Result<Self> {
        let name = draft_of(name);
        folder.remove(&name)?;
        let file = folder.create(&name)?;
        Ok(Self { file, folder, name })
    }

    /// The same, in the folder that the file is to be in.
    pub(super) fn beside<'a>(root: &Root, path: &'a str) -> io::Result<(Self, Folder, &'a str)> {
        let (folder, name) = root.holding(path)?;
        let (into, _) = root.holding(path)?;
        Ok((Self::begin(name, folder)?, into, name))
    }

    /// Puts it in place of what has that name.
    pub(super) fn replace(self, into: &Folder, name: &str, mode: u32) -> io::Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_bits_truncate(mode))?;
        self.file.sync_all()?;
        self.folder
            .rename(&self.name, into, name, RenameFlags::empty())?;
        into.sync()
    }

    /// Puts it where nothing has that name.
    pub(super) fn place(self, into: &Folder, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        let placed = self
            .folder
            .rename(&self.name, into, name, RenameFlags::NOREPLACE);
        match placed.map_err(|error| (Errno::from_io_error(&error), error)) {
            // NFS has no such rename. A link, too, is made only where there is nothing; killed here, both names stay.
            Err((Some(Errno::INVAL | Errno::NOSYS), _)) => {
                let none = AtFlags::empty();
                rustix::fs::linkat(&self.folder, &self.name, into, name, none)?;
            }
            placed => placed.map_err(|(_, error)| error)?,
        }
        drop(self);
        into.sync()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there any more if it was renamed, and nothing can be done about it if it stays.
        let _ = self.folder.remove(&self.name);
    }
}

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
    let begin = || {
        let mut draft = Draft::begin(name, root.folder(scratch)?)?;
        draft.file.write_all(bytes)?;
        Ok(draft)
    };
    let draft = begin().map_err(at(&scratch_place))?;
    draft.replace(&into, name, mode).map_err(at(&place))
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
    let (file, source) = super::open_plain(&from).map_err(at(&from))?;
    let (draft, into, name) = Draft::beside(root, to).map_err(at(&place))?;
    let sha256 = copy_hashed(&file, &source, limit, &draft.file).map_err(|error| CallError {
        why: format!("copying {} to {}: {error}", from.display(), place.display()),
        ..at(&from)(error)
    })?;
    draft.replace(&into, name, mode).map_err(at(&place))?;
    Ok(Copied { source, sha256 })
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

/// Removes one file, if it is there. One may be in a share, in whose place somebody may have put a link meanwhile.
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
    append(root, path, line).map_err(at(&root.below(path)))
}

fn append(root: &Root, path: &str, line: &str) -> io::Result<()> {
    let (folder, name) = root.holding(path)?;
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
    let mut file = folder.open_with(name, flags, 0o600)?;
    let whole = ends_a_line(&file)?;
    let text = format!("{}{line}\n", if whole { "" } else { "\n" });
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

fn ends_a_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else {
        return Ok(true);
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}
