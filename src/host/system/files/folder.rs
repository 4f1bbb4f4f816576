//! Folders.

use super::at;
use crate::files::{Directory as _, Folder, Root};
use crate::host::primitives::{CallError, CallErrorKind, Owner};
use crate::paths;
use rustix::fs::{AtFlags, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::fchown;

/// What mapped 9p writes has names of this kind.
const PROBE: &str = "user.armfleet.probe";

/// Makes one folder with exactly this mode and owner, or none.
pub(in super::super) fn make(
    root: &Root,
    path: &str,
    mode: u32,
    owner: Option<Owner>,
) -> Result<(), CallError> {
    let make = || {
        let (parent, name) = root.place(path)?;
        rustix::fs::mkdirat(&parent, name, Mode::RWXU)?;
        let finish = || {
            set(&parent, name, mode, owner)?;
            parent.sync()
        };
        finish().inspect_err(|_| {
            // It was made a moment ago, and is empty.
            let _ = rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR);
        })
    };
    make().map_err(at(&root.below(path)))
}

/// Sets owner and mode of a folder itself.
pub(in super::super) fn set_owner(
    root: &Root,
    path: &str,
    mode: u32,
    owner: Owner,
) -> Result<(), CallError> {
    let set = || {
        let (parent, name) = root.place(path)?;
        set(&parent, name, mode, Some(owner))
    };
    set().map_err(at(&root.below(path)))
}

fn set(parent: &Folder, name: &str, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let folder = parent.sub(name)?.readable()?;
    if let Some(Owner { uid, gid }) = owner {
        fchown(&folder, Some(uid), Some(gid))?;
    }
    // A change of owner takes bits of the mode away.
    rustix::fs::fchmod(folder, Mode::from_bits_truncate(mode))?;
    Ok(())
}

/// Tries to give a file in this folder an extended attribute of the user's kind.
pub(in super::super) fn probe_xattr(root: &Root, folder: &str) -> Result<(), CallError> {
    let path = &root.below(folder);
    let probe = || {
        let file = nameless(&root.reached(folder)?)?;
        rustix::fs::fsetxattr(&file, PROBE, b"1", XattrFlags::empty())?;
        Ok(())
    };
    probe().map_err(|error: io::Error| {
        let failed = at(path)(error);
        match failed.kind {
            CallErrorKind::Unsupported => CallError {
                why: format!(
                    "{}: files here cannot have extended attributes of the kind user.*",
                    path.display()
                ),
                ..failed
            },
            _ => failed,
        }
    })
}

/// A new file without a name in this folder.
fn nameless(folder: &Folder) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, ".", flags, Mode::RUSR | Mode::WUSR) {
        // Not every file system can make one.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            let name = format!(".armfleet-probe-{}", std::process::id());
            let file = folder.create(&name)?;
            folder.remove(&name)?;
            Ok(file)
        }
        file => Ok(file?.into()),
    }
}

/// Removes a folder below armfleet's own, or one of root's beside a share, with those of its files that are named. Any other
/// path is refused.
pub(in super::super) fn remove(
    root: &Root,
    path: &str,
    known: &[&str],
) -> Result<Vec<String>, CallError> {
    let is_own = paths::own_part(path).is_some_and(|(_, rest)| !rest.is_empty());
    if !is_own && !paths::is_beside(path) {
        let why = format!("{path} is not below a folder of armfleet's own and is not removed");
        return Err(CallError::other(why));
    }
    let remove = || {
        let (parent, name) = match root.holding(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        if !is_own && let Some(why) = not_roots(&parent, name)? {
            return Err(io::Error::other(format!("{why}, and is not removed")));
        }
        let stays = parent.remove_folder(name, known)?;
        parent.sync()?;
        Ok(stays)
    };
    remove().map_err(at(&root.below(path)))
}

/// Why a folder is not root's alone, if it is there.
fn not_roots(parent: &Folder, name: &str) -> io::Result<Option<String>> {
    match parent.stat(name) {
        Ok(seen) => Ok(paths::not_roots(
            seen.stx_uid,
            u32::from(seen.stx_mode) & 0o7777,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
