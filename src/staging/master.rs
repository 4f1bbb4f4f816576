//! The masters of a generation's files, and the copies of them that boot.
//!
//! libvirt gives what boots to QEMU's user, which all VMs share: each of them can write to it while it runs, and through a
//! file that it keeps open also later. So what is kept is another file, that only root can read and write, and each start
//! boots a fresh copy of it.

use crate::files::{Directory, OpenFile as _, OwnFileError, copy_hashed_fresh, create};
use crate::values::Sha256Sum;
use std::io;
use std::path::PathBuf;

/// Until libvirt labels it, only root and QEMU's group read what boots: an initrd may hold secrets.
const BOOT_MODE: u32 = 0o640;
pub(super) const MASTER_MODE: u32 = 0o600;

/// A file of a generation.
#[derive(Debug, Clone, Copy)]
pub struct StagedFile {
    /// The name of the copy that boots, which no later start boots again.
    pub boots: &'static str,
    /// The name of the master, which 0.1.0 did not have.
    pub master: &'static str,
    draft: &'static str,
}

pub(super) const KERNEL: StagedFile = StagedFile {
    boots: "vmlinuz",
    master: "vmlinuz.master",
    draft: ".vmlinuz.armfleet",
};
pub(super) const INITRD: StagedFile = StagedFile {
    boots: "initrd.img",
    master: "initrd.img.master",
    draft: ".initrd.img.armfleet",
};

/// Why a staged generation is not to be trusted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Unverified {
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not what was staged: its SHA-256 differs", .0.display())]
    Differs(PathBuf),
    /// What boots could not be made of it.
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

impl StagedFile {
    /// Opens the master, or what boots where 0.1.0 staged it.
    pub(super) fn open<D: Directory>(self, folder: &D) -> io::Result<D::File> {
        match folder.open_file(self.master) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => folder.open_file(self.boots),
            opened => opened,
        }
    }

    /// Makes the copy that boots anew, from a master of this digest.
    pub(super) fn renew<D: Directory>(
        self,
        folder: &D,
        sha256: &Sha256Sum,
        group: u32,
    ) -> Result<(), Unverified> {
        let made = self.copy(folder, self.master, sha256);
        let copy = match made {
            Err(Unverified::Own(fault)) if fault.is_no_room() => {
                // What boots gives way to its successor, which is as large.
                let removed = folder.remove(self.boots);
                removed.map_err(OwnFileError::new("remove", &folder.at(self.boots)))?;
                self.copy(folder, self.master, sha256)?
            }
            made => made?,
        };
        let path = folder.at(self.boots);
        copy.give(Some(group), BOOT_MODE)
            .and_then(|()| self.publish_fresh(folder))
            .map_err(OwnFileError::new("renew", &path))?;
        Ok(())
    }

    /// Removes the copy that boots, if there is a master to make it from again.
    pub(super) fn retire(self, folder: &impl Directory) -> io::Result<()> {
        if folder.kind(self.master)?.is_some() {
            folder.remove(self.boots)?;
        }
        Ok(())
    }

    /// Makes a master of what 0.1.0 staged, which may have been changed since; tells whether it had to.
    pub(super) fn adopt(
        self,
        folder: &impl Directory,
        sha256: &Sha256Sum,
    ) -> Result<bool, Unverified> {
        let path = folder.at(self.master);
        let there = folder.kind(self.master);
        if there
            .map_err(OwnFileError::new("look at", &path))?
            .is_some()
        {
            return Ok(false);
        }
        let copy = self.copy(folder, self.boots, sha256)?;
        copy.finish(None, MASTER_MODE)
            .and_then(|()| self.publish(folder, self.master))
            .map_err(OwnFileError::new("make", &path))?;
        Ok(true)
    }

    /// A draft with the bytes of a file in its folder. Their digest is the draft's, which nobody else can change.
    fn copy<D: Directory>(
        self,
        folder: &D,
        from: &str,
        sha256: &Sha256Sum,
    ) -> Result<D::File, Unverified> {
        let unreadable = |source| Unverified::Unreadable {
            path: folder.at(from),
            source,
        };
        let mut from_file = folder.open_file(from).map_err(unreadable)?;
        let path = folder.at(self.draft);
        let removed = folder.remove(self.draft);
        removed.map_err(OwnFileError::new("remove", &path))?;
        let mut into = create(folder, self.draft)?;
        let copied = copy_hashed_fresh(&mut from_file, &mut into);
        let same = copied
            .map_err(OwnFileError::new("write", &path))
            .map(|copied| copied == *sha256);
        match same {
            Ok(true) => return Ok(into),
            Ok(false) | Err(_) => {
                // Nothing can be done about it if it stays; the next start removes it.
                let _ = folder.remove(self.draft);
            }
        }
        same?;
        Err(Unverified::Differs(folder.at(from)))
    }

    /// Puts the draft in place of what booted. A rename over a file would have ext4 write the copy to disk at once, which it is
    /// not worth.
    fn publish_fresh(self, folder: &impl Directory) -> io::Result<()> {
        let how = rustix::fs::RenameFlags::EXCHANGE;
        match folder.rename(self.draft, folder, self.boots, how) {
            Ok(()) => folder.remove(self.draft).map(drop),
            // There is none yet, or the file system knows no exchange.
            Err(_) => self.publish(folder, self.boots),
        }
    }

    fn publish(self, folder: &impl Directory, name: &str) -> io::Result<()> {
        let how = rustix::fs::RenameFlags::empty();
        folder.rename(self.draft, folder, name, how)
    }
}
