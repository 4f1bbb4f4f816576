//! Writing files, whole or not at all, and lines.

use super::{Directory as _, Folder};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

/// A file on its way: under another name until it is whole, and gone if it never is.
pub struct Draft<'a> {
    /// What is written to.
    pub file: File,
    folder: &'a Folder,
    name: String,
}

/// The name of a file's draft. It follows from the file's, so that what a killed process left goes when the file is written
/// again; it is not written by another process meanwhile, since writers hold a lock.
fn draft_of(name: &str) -> String {
    format!(".{name}.armfleet")
}

impl<'a> Draft<'a> {
    /// Begins the file that is to have this name, in a folder of the same file system. Only its owner can read it.
    ///
    /// # Errors
    /// As the system says.
    pub fn begin(name: &str, folder: &'a Folder) -> io::Result<Self> {
        let name = draft_of(name);
        folder.remove(&name)?;
        let file = folder.create(&name)?;
        Ok(Self { file, folder, name })
    }

    /// Removes what a killed process left of the file that has this name.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove_left(name: &str, folder: &Folder) -> io::Result<bool> {
        folder.remove(&draft_of(name))
    }

    /// Puts it in place of what has that name, on disk.
    ///
    /// # Errors
    /// As the system says.
    pub fn replace(self, into: &Folder, name: &str, mode: u32) -> io::Result<()> {
        self.file.sync_all()?;
        self.replace_soon(into, name, mode)?;
        into.sync()
    }

    /// The same, without waiting for the disk.
    ///
    /// # Errors
    /// As the system says.
    pub fn replace_soon(self, into: &Folder, name: &str, mode: u32) -> io::Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_bits_truncate(mode))?;
        self.folder
            .rename(&self.name, into, name, RenameFlags::empty())
    }

    /// Puts it where nothing has that name, on disk.
    ///
    /// # Errors
    /// As the system says.
    pub fn place(self, into: &Folder, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        let placed = self
            .folder
            .rename(&self.name, into, name, RenameFlags::NOREPLACE);
        match placed.map_err(|error| (Errno::from_io_error(&error), error)) {
            // NFS has no such rename. A link, too, is made only where there is nothing; killed here, both names stay.
            Err((Some(Errno::INVAL | Errno::NOSYS), _)) => {
                let none = AtFlags::empty();
                rustix::fs::linkat(self.folder, &self.name, into, name, none)?;
            }
            placed => placed.map_err(|(_, error)| error)?,
        }
        drop(self);
        into.sync()
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // It is not there any more if it was renamed, and nothing can be done about it if it stays.
        let _ = self.folder.remove(&self.name);
    }
}

/// Appends a line with one write, on a line of its own even where the last one was cut off. The file is created with mode
/// 0600.
///
/// # Errors
/// As the system says.
pub fn append_line(folder: &Folder, name: &str, line: &str) -> io::Result<()> {
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

/// Takes the lock of a file, for as long as it is open; tells whether that worked before the patience ended.
///
/// # Errors
/// As the system says.
pub fn lock(file: &File, patience: Duration) -> io::Result<bool> {
    /// How often a lock that is held is tried again.
    const POLL: Duration = Duration::from_millis(20);
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
