//! Folders.

use super::{Root, at, folder_of, is_missing, sync_folder};
use crate::host::primitives::{CallError, Owner};
use crate::spec::layout;
use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::{
    self,
    fs::{DirBuilderExt, OpenOptionsExt},
};
use std::path::Path;

/// What mapped 9p writes has names of this kind.
const PROBE: &str = "user.armfleet.probe";

/// Makes one folder with exactly this mode and owner, or none.
pub(in super::super) fn make(
    path: &Path,
    mode: u32,
    owner: Option<Owner>,
) -> Result<(), CallError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(at(path))?;
    let finish = || {
        set(path, mode, owner)?;
        sync_folder(folder_of(path))
    };
    finish().map_err(|error| {
        // It was made a moment ago, and is empty.
        let _ = fs::remove_dir(path);
        at(path)(error)
    })
}

/// Sets owner and mode of a folder itself.
pub(in super::super) fn set_owner(path: &Path, mode: u32, owner: Owner) -> Result<(), CallError> {
    set(path, mode, Some(owner)).map_err(at(path))
}

fn set(path: &Path, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    if let Some(Owner { uid, gid }) = owner {
        unix::fs::fchown(&folder, Some(uid), Some(gid))?;
    }
    // A change of owner takes bits of the mode away.
    rustix::fs::fchmod(&folder, Mode::from_bits_truncate(mode))?;
    Ok(())
}

/// Tries to give a file in this folder an extended attribute of the user's kind.
pub(in super::super) fn probe_xattr(folder: &Path) -> Result<(), CallError> {
    let probe = || {
        let file = nameless(folder)?;
        rustix::fs::fsetxattr(&file, PROBE, b"1", XattrFlags::empty())?;
        Ok(())
    };
    probe().map_err(|error: io::Error| {
        let why = format!(
            "{}: files here cannot have extended attributes of the kind user.*: {error}",
            folder.display()
        );
        CallError {
            why,
            ..at(folder)(error)
        }
    })
}

/// A new file without a name in this folder.
fn nameless(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        // Not every file system can make one.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            let path = folder.join(format!(".armfleet-probe-{}", std::process::id()));
            let mut new = OpenOptions::new();
            let file = new.write(true).create_new(true).mode(0o600).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        }
        file => Ok(file?.into()),
    }
}

/// Removes a folder below armfleet's own with all that is in it. Any other path is refused.
pub(in super::super) fn remove_tree(root: &Root, path: &str) -> Result<(), CallError> {
    if !layout::is_inside_own(path) {
        let why = format!("{path} is not below a folder of armfleet's own and is not removed");
        return Err(CallError::other(why));
    }
    let path = root.below(path);
    match fs::remove_dir_all(&path) {
        Ok(()) => sync_folder(folder_of(&path)).map_err(at(&path)),
        Err(error) if is_missing(&error) && !path.exists() => Ok(()),
        Err(error) => Err(at(&path)(error)),
    }
}
