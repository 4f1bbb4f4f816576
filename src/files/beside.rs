//! Files beside the user's own: opened once, below a folder that nothing leads out of, and read from that descriptor.

use super::NotPlain;
use crate::boot::Identity;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Why such a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum BesideError {
    /// A link leads out of the folder.
    #[error("a link on the way leads out of the folder")]
    Outside,
    /// It has more bytes than are read.
    #[error("it is too large")]
    TooLarge,
    /// It is no plain file.
    #[error(transparent)]
    NotPlain(NotPlain),
    /// As the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a file by its path from a folder, and tells which file that is. Links within the folder are followed.
///
/// # Errors
/// Why not.
pub fn read_beside(
    folder: &Path,
    path: &str,
    limit: usize,
) -> Result<(Vec<u8>, Identity), BesideError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, folder, flags, Mode::empty()).map_err(io::Error::from)?;
    // Without waiting: a FIFO has no writer yet, and is refused.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(&folder, path, flags, Mode::empty(), within);
    let file = File::from(file.map_err(|errno| match errno {
        Errno::XDEV | Errno::LOOP => BesideError::Outside,
        // A socket.
        Errno::NXIO => BesideError::NotPlain(NotPlain),
        errno => BesideError::Io(errno.into()),
    })?);
    if !file.metadata()?.is_file() {
        return Err(BesideError::NotPlain(NotPlain));
    }
    let identity = super::OpenFile::identity(&file)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    (&file).take(most).read_to_end(&mut bytes)?;
    match bytes.len() > limit {
        true => Err(BesideError::TooLarge),
        false => Ok((bytes, identity)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("fleet");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(outer.path().join("secret"), "no").unwrap();
        fs::write(folder.join("sub/data"), "yes").unwrap();
        symlink("../secret", folder.join("out")).unwrap();
        symlink(outer.path().join("secret"), folder.join("absolute")).unwrap();
        symlink("..", folder.join("sub/up")).unwrap();
        symlink("sub/data", folder.join("in")).unwrap();
        symlink("loop", folder.join("loop")).unwrap();
        let read = |path: &str, limit| read_beside(&folder, path, limit).map(|(bytes, _)| bytes);
        for inside in ["sub/data", "in", "sub/up/in"] {
            assert_eq!(read(inside, 3).unwrap(), b"yes", "{inside}");
        }
        for outside in [
            "out",
            "absolute",
            "../secret",
            "sub/up/out",
            "loop",
            "/etc/passwd",
        ] {
            let error = read(outside, 9).unwrap_err();
            assert!(matches!(error, BesideError::Outside), "{outside}: {error}");
        }
        assert!(matches!(read("in", 2), Err(BesideError::TooLarge)));
        assert!(matches!(read("sub", 2), Err(BesideError::NotPlain(_))));
        let absent = |error| matches!(error, BesideError::Io(error) if error.kind() == io::ErrorKind::NotFound);
        assert!(absent(read("gone", 2).unwrap_err()));
        rustix::fs::mknodat(
            CWD,
            folder.join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(matches!(read("fifo", 2), Err(BesideError::NotPlain(_))));
    }
}
