//! Locks between processes: `flock` on files that stay.

use super::at;
use crate::files::{self, Directory as _, Folder, Root, parent_and_name};
use crate::host::primitives::{CallError, CallErrorKind, Held};
use rustix::fs::OFlags;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// The longest note that is read.
const NOTE_LIMIT: u64 = 4096;

struct Lock(File);

impl Held for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        // The note is only for those who meet the lock; a stale one does no harm, so a failure is ignored.
        let _ = self.0.set_len(0);
    }
}

/// Takes a lock. Folders that its file needs are made, mode 0700: those in `/run` end with the host's uptime.
pub(in super::super) fn lock(
    root: &Root,
    path: &str,
    note: &str,
    patience: Duration,
) -> Result<Box<dyn Held>, CallError> {
    let file = open(root, path).map_err(at(&root.below(path)))?;
    let path = &root.below(path);
    if !files::lock(&file, patience).map_err(at(path))? {
        return Err(CallError {
            kind: CallErrorKind::Locked,
            why: format!("{} is held by {}", path.display(), holder(&file)),
        });
    }
    let lock = Lock(file);
    sign(&lock.0, note).map_err(at(path))?;
    Ok(Box::new(lock))
}

fn open(root: &Root, path: &str) -> io::Result<File> {
    let (parent, name) = parent_and_name(path);
    made(root, parent)?.open_with(name, OFlags::RDWR | OFlags::CREATE, 0o600)
}

/// Opens a folder; what is missing on the way is made.
fn made(root: &Root, path: &str) -> io::Result<Folder> {
    match root.folder(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_empty() => {
            let (parent, name) = parent_and_name(path);
            made(root, parent)?.sub_or_make(name, 0o700)
        }
        opened => opened,
    }
}

/// What whoever holds a lock wrote into its file; none if nobody does. Nobody is kept from taking it for longer than this
/// takes.
pub(super) fn held_by(folder: &Folder, name: &str) -> io::Result<Option<String>> {
    let file = folder.open_file(name)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(holder(&file))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn sign(file: &File, note: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(note.as_bytes(), 0)
}

fn holder(file: &File) -> String {
    let mut note = Vec::new();
    match file.take(NOTE_LIMIT).read_to_end(&mut note) {
        Ok(count) if count > 0 => String::from_utf8_lossy(&note).trim().to_owned(),
        _ => "a process that left no note".to_owned(),
    }
}
