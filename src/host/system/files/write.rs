//! Writing files, whole or not at all.

use super::{at, copy_hashed, folder_of, is_missing, open_plain, sync_folder};
use crate::host::primitives::{CallError, Copied};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file on its way: under another name until it is whole, and gone if it never is.
pub(super) struct Draft {
    pub(super) file: File,
    path: PathBuf,
}

impl Draft {
    /// Begins the file that is to be at `target`, in a folder of the same file system. Only its owner can read it.
    ///
    /// Its name follows from the target's, so that what a killed process left goes when the file is written again;
    /// nobody else writes it meanwhile, since whoever does holds a lock.
    pub(super) fn begin(target: &Path, folder: &Path) -> io::Result<Self> {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".armfleet");
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if !is_missing(&error) => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Self { file, path })
    }

    /// Puts it in place of what has that name.
    pub(super) fn replace(self, target: &Path, mode: u32) -> io::Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_bits_truncate(mode))?;
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        sync_folder(folder_of(target))
    }

    /// Puts it where nothing has that name.
    pub(super) fn place(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            // NFS has no such rename. A link, too, is made only where there is nothing; killed here, both names stay.
            Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(&self.path, target)?,
            placed => placed?,
        }
        drop(self);
        sync_folder(folder_of(target))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there any more if it was renamed, and nothing can be done about it if it stays.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file whole or not at all; its draft lies in `scratch`.
pub(in super::super) fn write(
    path: &Path,
    scratch: &Path,
    bytes: &[u8],
    mode: u32,
) -> Result<(), CallError> {
    let mut draft = Draft::begin(path, scratch).map_err(at(scratch))?;
    draft.file.write_all(bytes).map_err(at(scratch))?;
    draft.replace(path, mode).map_err(at(path))
}

/// Copies a regular file whole or not at all.
pub(in super::super) fn copy(
    from: &Path,
    to: &Path,
    limit: u64,
    mode: u32,
) -> Result<Copied, CallError> {
    let (file, source) = open_plain(from).map_err(at(from))?;
    let draft = Draft::begin(to, folder_of(to)).map_err(at(to))?;
    let sha256 = copy_hashed(&file, &source, limit, &draft.file).map_err(|error| CallError {
        why: format!("copying {} to {}: {error}", from.display(), to.display()),
        ..at(from)(error)
    })?;
    draft.replace(to, mode).map_err(at(to))?;
    Ok(Copied { source, sha256 })
}

/// Gives a file another name in its folder.
pub(in super::super) fn rename(from: &Path, to: &Path) -> Result<(), CallError> {
    fs::rename(from, to).map_err(at(from))?;
    sync_folder(folder_of(to)).map_err(at(to))
}

/// Removes one file, if it is there.
pub(in super::super) fn remove(path: &Path) -> Result<(), CallError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(folder_of(path)).map_err(at(path)),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(at(path)(error)),
    }
}

/// Appends a line with one write, on a line of its own even where the last one was cut off.
pub(in super::super) fn append_line(path: &Path, line: &str) -> Result<(), CallError> {
    if line.contains('\n') {
        let why = format!("{}: a line cannot hold a line break", path.display());
        return Err(CallError::other(why));
    }
    append(path, line).map_err(at(path))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
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
