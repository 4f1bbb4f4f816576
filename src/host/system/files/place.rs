//! The file systems of folders.

use super::mounts;
use crate::files::Root;
use crate::inventory::{Fact, RawFileSystem};
use rustix::io::Errno;
use std::path::Path;

/// An attribute that nothing has: asking for it tells whether the file system keeps such at all, and writes nothing.
const ATTRIBUTE: &str = "user.armfleet.asked";

/// The file system that a folder of the host is on; none where it cannot be told.
pub(super) fn file_system(root: &Root, name: &str) -> Option<RawFileSystem> {
    let path = root.below(name);
    let (kind, at) = mounts::holding(root, &path.canonicalize().ok()?)?;
    Some(RawFileSystem {
        kind,
        at,
        free: room(&path),
        user_attributes: keeps_attributes(&path),
    })
}

/// How much room a folder's file system has. One that cannot tell, and a link to nowhere, have nothing to compare with.
pub(super) fn room(path: &Path) -> Option<u64> {
    let room = rustix::fs::statvfs(path).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}

fn keeps_attributes(path: &Path) -> Fact<bool> {
    let mut value = [0_u8; 1];
    match rustix::fs::lgetxattr(path, ATTRIBUTE, &mut value) {
        Ok(_) | Err(Errno::NODATA | Errno::RANGE) => Fact::Present(true),
        Err(Errno::OPNOTSUPP) => Fact::Present(false),
        Err(error) => Fact::Unreadable(error.to_string()),
    }
}
