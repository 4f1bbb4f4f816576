//! The way of a path by descriptors, judged as it is gone.

use super::folder::{FOLDER, acl};
use super::{Directory as _, Folder, Root, STATX, parent_and_name};
use crate::paths;
use crate::trust::{End, Flaw, Rules, Stop, StopKind, Walk, acl_writers};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// A path that others than root can have lead elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("it can be swapped: {}", said(.0, *.1))]
pub struct Swappable(Vec<Flaw>, Option<(u32, u32)>);

fn said(flaws: &[Flaw], qemu: Option<(u32, u32)>) -> String {
    let flaws = flaws.iter().map(|flaw| flaw.describe(qemu));
    flaws.collect::<Vec<_>>().join("; ")
}

impl Swappable {
    /// Whether an error says that a path can be swapped by this user, or this group of theirs.
    #[must_use]
    pub fn by(error: &io::Error, user: (u32, u32)) -> bool {
        let swappable = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Self>());
        swappable.is_some_and(|Self(flaws, _)| flaws.iter().any(|flaw| flaw.is_open_to(user)))
    }
}

impl Root {
    /// Goes the way of a path, and tells where it leads: a path without links on it.
    ///
    /// # Errors
    /// [`Swappable`] where others than root decide about that, or as the system says.
    pub fn way(&self, path: &str, end: End, rules: &Rules) -> io::Result<String> {
        let mut walk = Walk::to(path, end, rules);
        let mut folders: Vec<OwnedFd> = Vec::new();
        let mut place = String::from("/");
        while let Some(next) = walk.next() {
            folders.truncate(next.depth);
            let opened = match folders.last() {
                None => Some(rustix::fs::openat(CWD, &self.0, FOLDER, Mode::empty())?),
                Some(folder) => opened(folder, &next.name)?,
            };
            let stop = opened.as_ref().map(stop).transpose()?;
            let is_folder = stop
                .as_ref()
                .is_some_and(|stop| stop.kind == StopKind::Folder);
            folders.extend(opened.filter(|_| is_folder));
            place = next.path;
            if stop.is_none() && !next.is_last {
                return Err(io::ErrorKind::NotFound.into());
            }
            walk.see(stop);
        }
        if walk.is_endless() {
            return Err(Errno::LOOP.into());
        }
        match walk.flaws() {
            [] => Ok(place),
            flaws => Err(io::Error::other(Swappable(flaws.to_vec(), rules.qemu))),
        }
    }

    /// Opens the folder that a path is in, where no link is on the way, and gives the path's name there.
    ///
    /// # Errors
    /// [`super::LinkInTheWay`], or as the system says.
    pub fn place<'a>(&self, path: &'a str) -> io::Result<(Folder, &'a str)> {
        if paths::own_part(path).is_some() {
            return self.holding(path);
        }
        let (parent, name) = parent_and_name(path);
        Ok((self.reached(parent)?, name))
    }

    /// Opens a folder to which no link leads, and which is none.
    ///
    /// # Errors
    /// [`super::LinkInTheWay`], or as the system says.
    pub fn reached(&self, folder: &str) -> io::Result<Folder> {
        let root = Folder::open(&self.0)?;
        match folder.trim_start_matches('/') {
            "" => Ok(root),
            folder => root.sub(folder),
        }
    }
}

/// What has a name in a folder, whatever it is, not followed; none if nothing has.
fn opened(folder: &OwnedFd, name: &str) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn stop(opened: &OwnedFd) -> io::Result<Stop> {
    let stat = rustix::fs::statx(opened, "", AtFlags::EMPTY_PATH, STATX)?;
    let mode = u32::from(stat.stx_mode) & 0o7777;
    let (kind, list) = match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Directory if mode & 0o020 != 0 => (StopKind::Folder, acl(opened)?),
        FileType::Directory => (StopKind::Folder, None),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(opened, "", Vec::new())?;
            let target = target.into_string().map_err(io::Error::other)?;
            (StopKind::Link(target), None)
        }
        _ => (StopKind::Other, None),
    };
    Ok(Stop {
        kind,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mode,
        acl: list.and_then(|list| acl_writers(&list, stat.stx_gid)),
    })
}
