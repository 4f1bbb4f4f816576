//! Locks between processes: `flock` on files that stay.

use super::{at, folder_of};
use crate::files::Folder;
use crate::host::primitives::{CallError, CallErrorKind, Held};
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often a lock that is held is tried again.
const POLL: Duration = Duration::from_millis(50);
/// The longest note that is read.
const NOTE_LIMIT: u64 = 4096;

struct Lock(File);

impl Held for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        // The note is only for whoever meets the lock; a stale one misleads nobody, so a failure is none.
        let _ = self.0.set_len(0);
    }
}

/// Takes a lock. Folders that its file needs are made, mode 0700: those in `/run` end with the host's uptime.
pub(in super::super) fn lock(
    path: &Path,
    note: &str,
    patience: Duration,
) -> Result<Box<dyn Held>, CallError> {
    let file = open(path).map_err(at(path))?;
    if !taken(&file, patience).map_err(at(path))? {
        return Err(CallError {
            kind: CallErrorKind::Locked,
            why: format!("{} is held by {}", path.display(), holder(&file)),
        });
    }
    let lock = Lock(file);
    sign(&lock.0, note).map_err(at(path))?;
    Ok(Box::new(lock))
}

fn open(path: &Path) -> io::Result<File> {
    let mut folders = DirBuilder::new();
    folders
        .recursive(true)
        .mode(0o700)
        .create(folder_of(path))?;
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    Folder::open(folder_of(path))?.open_with(name, OFlags::RDWR | OFlags::CREATE, 0o600)
}

fn taken(file: &File, patience: Duration) -> io::Result<bool> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if began.elapsed() >= patience => return Ok(false),
            Err(TryLockError::WouldBlock) => thread::sleep(POLL.min(patience)),
        }
    }
}

/// What whoever holds a lock wrote into its file; none if nobody does. Nobody is kept from taking it for longer than this
/// takes.
pub(super) fn held_by(path: &Path) -> io::Result<Option<String>> {
    let (file, _) = super::open_plain(path)?;
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
        _ => "somebody who left no note".to_owned(),
    }
}
