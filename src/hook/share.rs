//! What the hook does with a share of the file system.

use crate::boot::BootFileName;
use crate::files::{BootShare as _, OpenFile as _, OwnFileError, Share};
use crate::values::HostPath;
use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a VM's share.
pub(super) fn open(path: &HostPath) -> Result<Share, OwnFileError> {
    let path = Path::new(path.as_str());
    Share::open(path).map_err(OwnFileError::new("open the share", path))
}

/// Opens a file of the share by what a note says is its name.
pub(super) fn open_by_name(share: &Share, name: &str) -> io::Result<File> {
    let name = BootFileName::new(name.as_bytes()).map_err(io::Error::other)?;
    share.open_file(&name)
}

/// Whether this name is a link to this file.
pub(super) fn has(share: &Share, name: &'static str, file: &File) -> bool {
    let there = share.open_named(name).and_then(|there| there.identity());
    there.is_ok_and(|there| file.identity().is_ok_and(|file| file == there))
}
