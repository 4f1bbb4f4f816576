//! One open folder.

use super::{Directory, Inode, LinkInTheWay, OpenFile, OwnFile};
use crate::boot::{Identity, Timestamp};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxFlags,
};
use rustix::io::Errno;
use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What every look asks of a file.
pub const STATX: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// An open folder of the file system.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// Something else than a regular file, or a block device, where one was expected.
#[derive(Debug, thiserror::Error)]
#[error("it is not a regular file")]
pub struct NotPlain;

/// Opens a regular file for reading. A link at its name is not followed, and nothing else is waited for.
///
/// # Errors
/// [`NotPlain`], or as the system says.
pub fn open_plain(path: &Path) -> io::Result<File> {
    open_plain_at(CWD, path)
}

const LOOKING: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READING: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

fn open_plain_at(folder: impl AsFd, name: impl rustix::path::Arg) -> io::Result<File> {
    open_of_kind(folder, name, FileType::RegularFile)
}

/// Opens the very thing that was looked at: opening a device or a FIFO can have effects.
fn open_of_kind(
    folder: impl AsFd,
    name: impl rustix::path::Arg,
    wanted: FileType,
) -> io::Result<File> {
    let there = rustix::fs::openat(folder, name, LOOKING, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&there)?.st_mode);
    if kind != wanted {
        return Err(io::Error::other(NotPlain));
    }
    let by_number = format!("/proc/self/fd/{}", there.as_raw_fd());
    Ok(File::from(rustix::fs::open(
        by_number,
        READING,
        Mode::empty(),
    )?))
}

/// Enough to reach what is in a folder: a right to pass through one is not always one to list it.
pub(super) const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

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

    /// The folder itself, for calls that need more than to reach what is in it.
    ///
    /// # Errors
    /// As the system says.
    pub fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?)
    }

    /// What has this name; a link is seen as one.
    ///
    /// # Errors
    /// As the system says.
    pub fn stat(&self, name: &str) -> io::Result<Statx> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::statx(&self.fd, name, flags, STATX)?)
    }

    /// The access control list of a folder in it, as the kernel keeps it; none where it has none.
    ///
    /// # Errors
    /// As the system says.
    pub fn acl(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let flags = FOLDER | OFlags::NOFOLLOW;
        let folder = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        acl(&folder)
    }

    /// What a regular file holds, cut to one byte more than the limit, and what it is.
    ///
    /// # Errors
    /// [`NotPlain`], or as the system says.
    pub fn read(&self, name: &str, limit: u64) -> io::Result<(Vec<u8>, Statx)> {
        let file = self.open_file(name)?;
        let stat = rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, STATX)?;
        // In one call, most often: it may grow meanwhile.
        let limit = limit.saturating_add(1);
        let size = stat.stx_size.min(limit).saturating_add(1);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(limit).read_to_end(&mut bytes)?;
        Ok((bytes, stat))
    }

    /// Gives an open file a name in it, where nothing has that name.
    ///
    /// # Errors
    /// As the system says.
    pub fn link_file(&self, file: &File, name: &str) -> Result<(), Errno> {
        rustix::fs::linkat(file, "", &self.fd, name, AtFlags::EMPTY_PATH)
    }

    /// Whether its file system has the attributes in which libvirt keeps whose a file was.
    #[must_use]
    pub fn keeps_owners(&self) -> bool {
        const ATTRIBUTE: &str = "trusted.libvirt.security.dac";
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let seen = rustix::fs::getxattr(path, ATTRIBUTE, &mut [0u8; 0][..]);
        !matches!(seen, Err(Errno::NOTSUP))
    }

    /// Opens a block device for reading.
    ///
    /// # Errors
    /// [`NotPlain`], or as the system says.
    pub fn open_device(&self, name: &str) -> io::Result<File> {
        open_of_kind(&self.fd, name, FileType::BlockDevice)
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
}

/// What was opened without the right to read it is asked through the process's own table of files.
pub(super) fn acl(opened: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    const ACL: &str = "system.posix_acl_access";
    /// As large as any attribute is (`XATTR_SIZE_MAX`).
    const LIMIT: usize = 64 << 10;
    let mut list = vec![0; LIMIT];
    let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
    match rustix::fs::getxattr(path, ACL, &mut list[..]) {
        Ok(length) => {
            list.truncate(length);
            Ok(Some(list))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Directory for Folder {
    type File = File;

    fn sub(&self, path: &str) -> io::Result<Self> {
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

    fn sub_or_make(&self, name: &str, mode: u32) -> io::Result<Self> {
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

    fn path(&self) -> &Path {
        &self.path
    }

    fn kind(&self, name: &str) -> io::Result<Option<FileType>> {
        match rustix::fs::statx(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW, STATX) {
            Ok(stat) => Ok(Some(kind(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn inode(&self, name: &str) -> io::Result<Option<Inode>> {
        let stat = match rustix::fs::statx(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW, STATX) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Inode {
            kind: kind(&stat),
            ino: stat.stx_ino,
            born_ns: born_ns(&stat),
        }))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(self.readable()?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !matches!(name.as_str(), "." | "..") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read_link(&self, name: &str) -> io::Result<Vec<u8>> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new())?;
        Ok(target.into_bytes())
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        open_plain_at(&self.fd, name)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600)
    }

    fn remove(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn rename(&self, from: &str, into: &Self, to: &str, how: RenameFlags) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(
            &self.fd, from, &into.fd, to, how,
        )?)
    }

    fn link(&self, target: &str, name: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.fd, name)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.readable()?)?)
    }

    fn read_own(&self, name: &str, limit: u64) -> io::Result<OwnFile> {
        let (bytes, seen) = self.read(name, limit)?;
        Ok(OwnFile {
            bytes,
            uid: seen.stx_uid,
            mode: seen.stx_mode.into(),
        })
    }

    fn remove_empty(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// More than the coarsest time of a file, which is a second, and one more since seconds are compared.
const SETTLING: Duration = Duration::from_secs(3);
/// The file systems that give a time also to what is written through a mapping: ext2 to ext4, XFS, Btrfs and F2FS, by their
/// numbers in Linux' `include/uapi/linux/magic.h`. A tmpfs does not.
const TELLING: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

impl OpenFile for File {
    fn identity(&self) -> io::Result<Identity> {
        let seen = self.metadata()?;
        Ok(Identity {
            dev: seen.dev(),
            ino: seen.ino(),
            size: seen.size(),
            mtime: Timestamp(seen.mtime(), seen.mtime_nsec()),
            ctime: Timestamp(seen.ctime(), seen.ctime_nsec()),
        })
    }

    fn extend(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn give(&self, group: Option<u32>, mode: u32) -> io::Result<()> {
        fchown(self, None, group)?;
        self.set_permissions(Permissions::from_mode(mode))
    }

    fn finish(&self, group: Option<u32>, mode: u32) -> io::Result<()> {
        self.give(group, mode)?;
        self.sync_all()
    }

    fn settle(&self) -> io::Result<bool> {
        // What is mapped and not yet written changes without a sign; once it is written, the next change is seen.
        let written = self.sync_data().is_ok();
        let changed =
            UNIX_EPOCH + Duration::from_secs(self.metadata()?.ctime().try_into().unwrap_or(0));
        let age = SystemTime::now().duration_since(changed);
        let is_old = age.is_ok_and(|age| age >= SETTLING);
        let kind = rustix::fs::fstatfs(self)?.f_type;
        Ok(written
            && is_old
            && TELLING
                .iter()
                .any(|telling| i128::from(*telling) == i128::from(kind)))
    }

    fn share_blocks(&mut self, from: &Self) -> io::Result<bool> {
        super::copy::share_blocks(from, self)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// When a file was made, nanoseconds since 1970; none where its file system does not keep that.
#[must_use]
pub fn born_ns(stat: &Statx) -> Option<i64> {
    let time = &stat.stx_btime;
    let is_kept = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let ns = || {
        time.tv_sec
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec.into())
    };
    is_kept.then(ns)
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}
