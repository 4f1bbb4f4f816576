//! Reading, hashing and making files, with a bound on bytes and time.

use crate::boot::{Identity, Sha256Hex, Timestamp};
use crate::format::{Format, FormatError};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Above any record, receipt or note; whoever parses them refuses more.
const OWN_FILE_LIMIT: u64 = 2 << 20;

/// A call on one of the host's own files that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
pub(super) struct FileFault {
    act: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileFault {
    /// Names the act and the file of an error.
    pub(super) fn new(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { act, path, source }
    }
}

/// A file that a later version of armfleet wrote.
#[derive(Debug, thiserror::Error)]
#[error("{} stays as it is", path.display())]
pub(super) struct LaterFile {
    path: PathBuf,
    #[source]
    source: FormatError,
}

/// Whether a later version of armfleet wrote a file.
pub(super) fn later(path: &Path, format: Format) -> Option<LaterFile> {
    let source = format.later(&read_own(path).ok()??)?;
    let path = path.to_owned();
    Some(LaterFile { path, source })
}

/// When reading must stop: libvirtd holds the VM's lock for as long as the hook runs.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    pub(super) fn check(self) -> io::Result<()> {
        if Instant::now() < self.0 {
            return Ok(());
        }
        let why = "the hook's time is over";
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    }
}

/// A reader that fails when its time is over.
pub(super) struct Timed<'a> {
    pub(super) file: &'a File,
    pub(super) deadline: Deadline,
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.deadline.check()?;
        self.file.read(into)
    }
}

impl Seek for Timed<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// What tells whether a file is the one it was.
pub(super) fn identity(file: &File) -> io::Result<Identity> {
    let seen = file.metadata()?;
    Ok(Identity {
        dev: seen.dev(),
        ino: seen.ino(),
        size: seen.size(),
        mtime: Timestamp(seen.mtime(), seen.mtime_nsec()),
        ctime: Timestamp(seen.ctime(), seen.ctime_nsec()),
    })
}

/// The digest of a whole file.
pub(super) fn digest(file: &File, deadline: Deadline) -> io::Result<Sha256Hex> {
    let mut reader = Timed { file, deadline };
    reader.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Sha256Hex::of(hash)),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Copies at most `limit` bytes in pieces; the filesystem shares the blocks where it can (`copy_file_range`).
pub(super) fn copy(from: &File, mut to: &File, limit: u64, deadline: Deadline) -> io::Result<u64> {
    const PIECE: u64 = 8 << 20;
    let mut copied = 0;
    loop {
        deadline.check()?;
        let count = io::copy(&mut from.take(PIECE.min(limit - copied)), &mut to)?;
        copied += count;
        if count == 0 || copied == limit {
            return Ok(copied);
        }
    }
}

/// Opens a plain file for reading; a link is not followed, and nothing else is waited for.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a plain file"))
    }
}

/// Reads a file of one of armfleet's own kinds; `None` if it is not there. A file beyond the limit is cut to one byte more,
/// which whoever parses them refuses.
pub(super) fn read_own(path: &Path) -> Result<Option<Vec<u8>>, FileFault> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open_plain(path)?
            .take(OWN_FILE_LIMIT + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(FileFault::new("read", path)(fault)),
    }
}

/// Makes a folder of this mode, whatever the umask is, unless it is there.
pub(super) fn make_folder(path: &Path, mode: u32) -> Result<(), FileFault> {
    // One that is there may be without, made by a run that was killed.
    let lacks = || fs::symlink_metadata(path).is_ok_and(|seen| seen.mode() & mode != mode);
    let made = match DirBuilder::new().mode(mode).create(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists && !lacks() => Ok(()),
        Err(fault) if fault.kind() != io::ErrorKind::AlreadyExists => Err(fault),
        _ => fs::set_permissions(path, Permissions::from_mode(mode)),
    };
    made.map_err(FileFault::new("make the folder", path))
}

/// Creates a file that was not there, readable by root alone for now.
pub(super) fn create(path: &Path) -> Result<File, FileFault> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(FileFault::new("create", path))
}

/// Removes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), FileFault> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
            Err(FileFault::new("remove", path)(fault))
        }
        _ => Ok(()),
    }
}

/// Puts a folder's entries on disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), FileFault> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(FileFault::new("sync", path))
}

/// Writes a file that may be there and may be read at any time; on a filesystem that a reboot empties.
pub(super) fn write_stamp(path: &Path, text: &str) -> Result<(), FileFault> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(FileFault::new("write", path))
}

/// Takes a lock, held until the file is dropped; `None` if somebody else keeps it for longer than the limit.
pub(super) fn lock(path: &Path, limit: Duration) -> Result<Option<File>, FileFault> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(FileFault::new("open", path))?;
    let deadline = Deadline::after(limit);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(fault)) => return Err(FileFault::new("lock", path)(fault)),
            Err(TryLockError::WouldBlock) if deadline.check().is_err() => return Ok(None),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
