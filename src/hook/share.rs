//! What the hook does with a share of the file system.

use crate::boot::BootFileName;
use crate::files::{
    BootShare as _, Directory as _, Folder, LinkInTheWay, OwnFileError, Root, Share,
};
use crate::mark::BootRecord;
use crate::paths;
use crate::trust::{End, Rules};
use crate::values::HostPath;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Opens a VM's share. Where the last apply found that only root can change where its path leads, that must still hold:
/// another VM's QEMU could have moved the share into the place of another folder.
pub(super) fn open(boot: &BootRecord) -> Result<Share, OwnFileError> {
    open_at(&boot.share, boot.ways.contains_key(&boot.share))
}

/// The same with the folder that it is in, and its name there; of a share that a domain's definition names, with nothing
/// known but that, if it is not the record's.
pub(super) fn open_with_folder(
    path: &HostPath,
    boot: Option<&BootRecord>,
) -> Result<(Share, Folder, String), OwnFileError> {
    let guarded = boot.is_none_or(|boot| boot.ways.contains_key(path));
    let named = Path::new(path.as_str());
    let open = || {
        let (folder, name) = place(path, guarded)?;
        let share = Share::open_in(&folder, &name)?;
        Ok((share, folder, name))
    };
    open().map_err(OwnFileError::new("open the share", named))
}

fn open_at(path: &HostPath, guarded: bool) -> Result<Share, OwnFileError> {
    let named = Path::new(path.as_str());
    let open = || {
        let (folder, name) = place(path, guarded)?;
        match Share::open_in(&folder, &name) {
            Err(_) if named.is_symlink() => Err(io::Error::other(LinkInTheWay(named.into()))),
            opened => opened,
        }
    };
    open().map_err(OwnFileError::new("open the share", named))
}

fn place(path: &HostPath, guarded: bool) -> io::Result<(Folder, String)> {
    let root = Root::host();
    if !guarded {
        let (folder, name) = root.holding(path.as_str())?;
        return Ok((folder, name.to_owned()));
    }
    let place = root.way(path.as_str(), End::Share, &rules(&root))?;
    let (folder, name) = root.place(&place)?;
    Ok((folder, name.to_owned()))
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
