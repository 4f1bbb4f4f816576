//! What the hook does with a share of the file system.

use crate::boot::BootFileName;
use crate::files::{
    BootShare as _, Directory as _, Folder, LinkInTheWay, OwnFileError, Root, Share, Swappable,
};
use crate::mark::{BootRecord, Record};
use crate::paths;
use crate::trust::{End, Rules};
use crate::values::HostPath;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// What is asked of the way to a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Only root may decide where it leads: the last apply found it so.
    Roots,
    /// Whoever can be that user must not: no apply has asked, as with 0.1.0, or it found others who can.
    NotQemus,
    /// Nothing: its user trusts a folder on it.
    Trusted,
}

impl Guard {
    fn of(path: &HostPath, record: &Record) -> Self {
        if record.boot.ways.contains_key(path) {
            Self::Roots
        } else if record.applied.guarded.contains(path) {
            Self::Trusted
        } else {
            Self::NotQemus
        }
    }
}

/// Opens a VM's share. Another VM's QEMU could have moved it into the place of another folder, whose files root would read.
pub(super) fn open(record: &Record) -> Result<Share, OwnFileError> {
    let path = &record.boot.share;
    let named = Path::new(path.as_str());
    let open = || {
        let (folder, name) = place(path, Guard::of(path, record))?;
        match Share::open_in(&folder, &name) {
            Err(_) if named.is_symlink() => Err(io::Error::other(LinkInTheWay(named.into()))),
            opened => opened,
        }
    };
    open().map_err(OwnFileError::new("open the share", named))
}

/// The same with the folder that it is in, and its name there; of a share that a domain's definition names, with nothing
/// known but that, if it is not the record's.
pub(super) fn open_with_folder(
    path: &HostPath,
    record: Option<&Record>,
) -> Result<(Share, Folder, String), OwnFileError> {
    let guard = record.map_or(Guard::Roots, |record| Guard::of(path, record));
    let open = || {
        let (folder, name) = place(path, guard)?;
        let share = Share::open_in(&folder, &name)?;
        Ok((share, folder, name))
    };
    open().map_err(OwnFileError::new(
        "open the share",
        Path::new(path.as_str()),
    ))
}

/// The folder that a share is or was in, where only root decides which that is, and the share's name there.
pub(super) fn roots_folder_of(path: &HostPath) -> Result<(Folder, String), OwnFileError> {
    let place = place(path, Guard::Roots);
    place.map_err(OwnFileError::new(
        "go the way of the share",
        Path::new(path.as_str()),
    ))
}

fn place(path: &HostPath, guard: Guard) -> io::Result<(Folder, String)> {
    let root = Root::host();
    let rules = rules(&root);
    if guard == Guard::Roots {
        let place = root.way(path.as_str(), End::Share, &rules)?;
        let (folder, name) = root.place(&place)?;
        return Ok((folder, name.to_owned()));
    }
    if guard == Guard::NotQemus
        && let Some(qemu) = owner_of(path)
    {
        let rules = Rules {
            qemu: Some(qemu),
            ..rules
        };
        match root.way(path.as_str(), End::Share, &rules) {
            Err(error) if Swappable::by(&error, qemu) => return Err(error),
            _ => {}
        }
    }
    let (folder, name) = root.holding(path.as_str())?;
    Ok((folder, name.to_owned()))
}

/// As whom QEMU runs: apply gives it the share, whose owner its guest cannot change.
fn owner_of(share: &HostPath) -> Option<(u32, u32)> {
    let seen = Path::new(share.as_str()).symlink_metadata().ok()?;
    Some((seen.uid(), seen.gid())).filter(|(uid, _)| *uid != 0)
}

/// Opens an image where its way leads.
pub(super) fn open_image(boot: &BootRecord, path: &HostPath) -> io::Result<File> {
    let (folder, name) = image_place(boot, path)?;
    folder.open_file(&name)
}

/// The folder that an image is in, and its name there. Only root decides where its way leads, if that was so when it was
/// applied.
pub(super) fn image_place(boot: &BootRecord, path: &HostPath) -> io::Result<(Folder, String)> {
    let root = Root::host();
    let place = match boot.ways.get(path) {
        Some(end) => root.way(path.as_str(), *end, &rules(&root))?,
        None => {
            let (folder, name) = root.holding(path.as_str())?;
            return Ok((folder, name.to_owned()));
        }
    };
    let (folder, name) = root.place(&place)?;
    Ok((folder, name.to_owned()))
}

/// Goes the ways of a VM's paths, which libvirt is about to open and to give to QEMU by name.
pub(super) fn check_ways(boot: &BootRecord) -> Result<(), OwnFileError> {
    let root = Root::host();
    let rules = rules(&root);
    boot.ways.iter().try_for_each(|(path, end)| {
        let way = root.way(path.as_str(), *end, &rules).map(drop);
        way.map_err(OwnFileError::new("use", Path::new(path.as_str())))
    })
}

/// The groups that libvirt's sockets make root's equals.
fn rules(root: &Root) -> Rules {
    let sockets = paths::LIBVIRT_SOCKETS.iter();
    let sockets = sockets.filter_map(|path| root.below(path).symlink_metadata().ok());
    let open = sockets.filter(|stat| stat.file_type().is_socket() && stat.mode() & 0o020 != 0);
    Rules {
        equals: open.map(|stat| stat.gid()).collect(),
        ..Rules::default()
    }
}

/// Opens a file of the share by what a note says is its name.
pub(super) fn open_by_name(share: &Share, name: &str) -> io::Result<File> {
    let name = BootFileName::new(name.as_bytes()).map_err(io::Error::other)?;
    share.open_file(&name)
}
