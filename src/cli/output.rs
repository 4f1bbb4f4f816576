//! Files that the user asked for: written whole or not at all.

use super::exit::Exit;
use super::terminal;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file for its owner alone, replacing what has that name, and prints why that failed.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    replace(path, bytes).map_err(|source| {
        let path = path.display().to_string();
        terminal::error(&Unwritable { path, source }, None);
        Exit::Failed
    })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = name.to_os_string();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = create(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| forget(&beside))
}

fn create(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn forget(path: &Path) {
    // What failed before is the error worth telling.
    let _ = fs::remove_file(path);
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
struct Unwritable {
    path: String,
    source: io::Error,
}
