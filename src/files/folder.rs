//! One open folder.

use super::LinkInTheWay;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxFlags,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What every look asks of a file.
pub const STATX: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// An open folder. Its own methods follow no link, neither to a name in it nor at that name.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// Something else than a regular file where one was expected.
#[derive(Debug, thiserror::Error)]
#[error("it is not a regular file")]
pub struct NotPlain;

/// Opens a regular file for reading. A link at its name is not followed, and nothing else is waited for.
///
/// # Errors
/// [`NotPlain`], or as the system says.
pub fn open_plain(path: &Path) -> io::Result<File> {
    plain(rustix::fs::openat(CWD, path, READING, Mode::empty()))
}

const READING: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Enough to reach what is in a folder: a right to pass through one is not always one to list it.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn plain(opened: Result<OwnedFd, Errno>) -> io::Result<File> {
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::LOOP | Errno::NXIO) => return Err(io::Error::other(NotPlain)),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other(NotPlain))
    }
}

impl Folder {
    /// Opens a folder by its path, whose links are followed.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, FOLDER, Mode::empty())?;
        let path = path.to_owned();
        Ok(Self { fd, path })
    }

    /// Opens a folder below this one; the way to it has no links.
    ///
    /// # Errors
    /// [`LinkInTheWay`], or as the system says.
    pub fn sub(&self, path: &str) -> io::Result<Self> {
        let confined =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.fd, path, FOLDER, Mode::empty(), confined) {
            Ok(fd) => Ok(Self {
                fd,
                path: self.at(path),
            }),
            Err(Errno::LOOP) => Err(io::Error::other(self.link_to(path))),
            Err(error) => Err(error.into()),
        }
    }

    /// The first link on the way to a folder that could not be opened for one.
    fn link_to(&self, path: &str) -> LinkInTheWay {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let ways = ends.chain([path.len()]).map(|end| &path[..end]);
        let mut links = ways.filter(|way| {
            let stat = rustix::fs::statx(&self.fd, *way, AtFlags::SYMLINK_NOFOLLOW, STATX);
            stat.is_ok_and(|stat| kind(&stat) == FileType::Symlink)
        });
        LinkInTheWay(self.at(links.next().unwrap_or(path)))
    }

    /// Opens a folder in this one, which is made if it is not there. It gets the bits of this mode that it lacks, whatever
    /// the umask is, since one that a killed run made may be without.
    ///
    /// # Errors
    /// [`LinkInTheWay`], or as the system says.
    pub fn sub_or_make(&self, name: &str, mode: u32) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let folder = self.sub(name)?;
        let has = rustix::fs::fstat(&folder.fd)?.st_mode & 0o7777;
        if has & mode != mode {
            rustix::fs::fchmod(folder.readable()?, Mode::from_bits_truncate(has | mode))?;
        }
        Ok(folder)
    }

    /// The folder itself, for calls that need more than to reach what is in it.
    ///
    /// # Errors
    /// As the system says.
    pub fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?)
    }

    /// Where a name in it is, for messages.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its own path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What has this name; a link is seen as one.
    ///
    /// # Errors
    /// As the system says.
    pub fn stat(&self, name: &str) -> io::Result<Statx> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::statx(&self.fd, name, flags, STATX)?)
    }

    /// The kind of what has this name; none if nothing has.
    ///
    /// # Errors
    /// As the system says.
    pub fn kind(&self, name: &str) -> io::Result<Option<FileType>> {
        match rustix::fs::statx(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW, STATX) {
            Ok(stat) => Ok(Some(kind(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in it, sorted; those that are not UTF-8 with replacement characters.
    ///
    /// # Errors
    /// As the system says.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(self.readable()?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !matches!(name.as_str(), "." | "..") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The target of a link.
    ///
    /// # Errors
    /// As the system says; what is no link has none.
    pub fn read_link(&self, name: &str) -> io::Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new())?;
        Ok(target.into_bytes())
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// [`NotPlain`], or as the system says.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        plain(rustix::fs::openat(&self.fd, name, READING, Mode::empty()))
    }

    /// What a regular file holds, cut to one byte more than the limit, and what it is.
    ///
    /// # Errors
    /// [`NotPlain`], or as the system says.
    pub fn read(&self, name: &str, limit: u64) -> io::Result<(Vec<u8>, Statx)> {
        let file = self.open_file(name)?;
        let stat = rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, STATX)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok((bytes, stat))
    }

    /// Opens a regular file for writing, or for both with [`OFlags::RDWR`].
    ///
    /// # Errors
    /// [`NotPlain`], or as the system says.
    pub fn open_with(&self, name: &str, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::from_bits_truncate(mode);
        plain(rustix::fs::openat(&self.fd, name, flags, mode))
    }

    /// Creates a file where nothing has that name, readable by its owner alone.
    ///
    /// # Errors
    /// As the system says.
    pub fn create(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600)
    }

    /// Removes whatever has this name and is no folder; tells whether there was something.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a folder in which there are at most files of these names, and those files with it. What else is in it stays,
    /// and the folder, too: the names that keep it are the answer. A missing one is fine.
    ///
    /// # Errors
    /// [`LinkInTheWay`] where the name is a link, or as the system says.
    pub fn remove_folder(&self, name: &str, known: &[&str]) -> io::Result<Vec<String>> {
        let folder = match self.sub(name) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        for known in known {
            match folder.kind(known)? {
                None | Some(FileType::Directory) => {}
                Some(_) => drop(folder.remove(known)?),
            }
        }
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(Vec::new()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => folder.names(),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a name in it another one, in a folder of the same file system.
    ///
    /// # Errors
    /// As the system says.
    pub fn rename(&self, from: &str, into: &Self, to: &str, how: RenameFlags) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(
            &self.fd, from, &into.fd, to, how,
        )?)
    }

    /// Makes a link.
    ///
    /// # Errors
    /// As the system says.
    pub fn link(&self, target: &str, name: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.fd, name)?)
    }

    /// Puts its names on disk.
    ///
    /// # Errors
    /// As the system says.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.readable()?)?)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}
