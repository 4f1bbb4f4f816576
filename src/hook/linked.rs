//! The handover `link`: the guest's own files under names of root's, where its domain boots them.
//!
//! The names are in a folder of root's beside the share. In the share QEMU's user could put a link to any file in their place,
//! which libvirt, that opens them as root, would give to it. That the guest can write to its files also after they were checked
//! remains.

use super::domain::Linked;
use super::open::open_generations;
use super::share;
use crate::boot::{FileNote, keeps_what_it_takes};
use crate::files::{
    Directory, Folder, NotOurs, OpenFile as _, OwnFileError, Root, Share, copy_hashed_fresh,
    read_own, sync_folder,
};
use crate::mark::Record;
use crate::paths;
use crate::staging::{Generations, Staged, StagedFile, files, may_be_of, noted_beside};
use crate::values::{HostPath, VmName};
use rustix::fs::{FileType, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// QEMU, which is not root, reads a copy by its group.
const COPY_MODE: u32 = 0o640;
/// Far above libvirt's own, which is mostly comments.
const CONF_LIMIT: u64 = 1 << 20;

/// Why a pair has not got its names.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandOverError {
    #[error("nothing is staged that could be linked")]
    NothingStaged,
    #[error("what is staged for {} is not what it was", .0.display())]
    Differs(PathBuf),
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

impl HandOverError {
    /// What to do about it, where the failure alone tells.
    pub(super) fn remedy(&self) -> Option<String> {
        match self {
            Self::Own(fault) => fault.remedy(),
            Self::NothingStaged | Self::Differs(_) => None,
        }
    }
}

/// Gives the pair that is staged for a VM its names.
pub(super) fn hand_over(
    root: &Root,
    vm: &VmName,
    linked: &Linked,
    record: Option<&Record>,
) -> Result<(), HandOverError> {
    let (share, above, name) = share::open_with_folder(linked.share(), record)?;
    let (folder, names) = match linked {
        Linked::Beside(_) => (make_beside(&above, &name)?, paths::BOOTS),
        Linked::Inside(_) => {
            let inside = above.sub(&name);
            let inside = inside.map_err(OwnFileError::new("open", &above.at(&name)))?;
            (inside, [paths::LINKED_KERNEL, paths::LINKED_INITRD])
        }
    };
    let generations = open_generations(root, vm)?;
    let staged = generations.current().ok_or(HandOverError::NothingStaged)?;
    let place = Place {
        generations: &generations,
        staged: &staged,
        share: &share,
        folder: &folder,
        links: folder.keeps_owners() && !libvirt_keeps_what_it_takes(root),
    };
    for ((file, note), name) in files(&staged).into_iter().zip(names) {
        place.put(file, note, name)?;
    }
    Ok(sync_folder(&folder)?)
}

/// The shares beside which a VM has had names.
pub(super) fn had_beside(root: &Root, record: &Record) -> Result<Vec<HostPath>, OwnFileError> {
    let note = read_own(root, &paths::linked(&record.vm))?;
    let note = note.map(|file| file.bytes);
    Ok(noted_beside(note.as_deref(), record))
}

/// Takes the names away that a VM, which does not run, has had beside a share, unless they are another VM's by now.
pub(super) fn take_back(root: &Root, vm: &VmName, share: &HostPath) -> Result<(), OwnFileError> {
    if is_anothers(root, vm, share)? {
        return Ok(());
    }
    let (above, name) = share::roots_folder_of(share)?;
    let name = paths::beside_named(&name);
    let removed = above.remove_folder(&name, &paths::BESIDE_FILES);
    removed
        .map(drop)
        .map_err(OwnFileError::new("remove", &above.at(&name)))
}

/// Whether a share is another VM's, or may be, as its record cannot be read.
fn is_anothers(root: &Root, vm: &VmName, share: &HostPath) -> Result<bool, OwnFileError> {
    let path = root.below(paths::VMS);
    let names = root.folder(paths::VMS).and_then(|folder| folder.names());
    let names = names.map_err(OwnFileError::new("list", &path))?;
    let mut others = names.iter().filter_map(|name| name.parse::<VmName>().ok());
    Ok(others.any(|other| {
        other != *vm
            && match read_own(root, &paths::record(&other)) {
                Ok(file) => file.is_some_and(|file| may_be_of(&file.bytes, share)),
                Err(_) => true,
            }
    }))
}

/// The folder of root's beside a share of this name.
fn make_beside(above: &Folder, share: &str) -> Result<Folder, HandOverError> {
    let name = paths::beside_named(share);
    let path = above.at(&name);
    let made = above.sub_or_make(&name, paths::PASSAGE);
    let folder = made.map_err(OwnFileError::new("make the folder", &path))?;
    let seen = folder
        .stat(".")
        .map_err(OwnFileError::new("look at", &path))?;
    if paths::not_roots(seen.stx_uid, u32::from(seen.stx_mode) & 0o7777).is_some() {
        let what = "a folder that others than root can write";
        let fault = io::Error::other(NotOurs {
            path: path.clone(),
            what,
        });
        return Err(OwnFileError::new("use", &path)(fault).into());
    }
    Ok(folder)
}

/// Where a pair gets its names.
struct Place<'a> {
    generations: &'a Generations<Folder>,
    staged: &'a Staged,
    share: &'a Share,
    folder: &'a Folder,
    /// Whether a file that is linked is the guest's again when the VM has stopped.
    links: bool,
}

impl Place<'_> {
    /// Gives a file its name, by a rename.
    ///
    /// Where the guest's own file still has the bytes that were checked, the name is a hard link to it. A symbolic link
    /// would have AppArmor deny the guest its own kernel, since it denies paths. Of bytes that the share does not have, such
    /// as a seed's, it is a fresh copy: the guest must not get at a master. A copy is made, too, where
    /// links do not hold, as the plan says.
    fn put(&self, file: StagedFile, note: &FileNote, name: &str) -> Result<(), HandOverError> {
        let own = guests_own(self.share, note).filter(|_| self.links);
        if own.as_ref().is_some_and(|own| self.has(name, own)) {
            return Ok(());
        }
        let path = self.folder.at(name);
        let draft = draft_of(name);
        for name in [name, &draft] {
            no_folder(self.folder, name).map_err(OwnFileError::new("replace", &path))?;
        }
        let removed = self.folder.remove(&draft);
        removed.map_err(OwnFileError::new("remove", &self.folder.at(&draft)))?;
        let linked = match own.map(|own| self.folder.link_file(&own, &draft)) {
            // A share that is a file system of its own, which no link leads out of; or its guest removed the file meanwhile,
            // or gave it all the links that a file can have.
            None | Some(Err(Errno::XDEV | Errno::NOENT | Errno::MLINK)) => false,
            Some(Err(error)) => Err(OwnFileError::new("link", &path)(error.into()))?,
            Some(Ok(())) => true,
        };
        if !linked {
            self.copy(file, note, &draft)?;
        }
        let renamed = self
            .folder
            .rename(&draft, self.folder, name, RenameFlags::empty());
        Ok(renamed.map_err(OwnFileError::new("replace", &path))?)
    }

    fn copy(&self, file: StagedFile, note: &FileNote, draft: &str) -> Result<(), HandOverError> {
        let path = self.folder.at(draft);
        let copy = || {
            let mut from = self.generations.open_file(self.staged, file)?;
            let mut into = self.folder.create(draft)?;
            let sha256 = copy_hashed_fresh(&mut from, &mut into)?;
            into.give(Some(self.share.stat()?.stx_gid), COPY_MODE)?;
            Ok(sha256)
        };
        match copy().map_err(OwnFileError::new("write", &path))? {
            sha256 if sha256 == note.sha256 => Ok(()),
            _ => Err(HandOverError::Differs(path)),
        }
    }

    /// Whether this name is a link to this file.
    fn has(&self, name: &str, file: &File) -> bool {
        let there = self
            .folder
            .open_file(name)
            .and_then(|there| there.identity());
        there.is_ok_and(|there| file.identity().is_ok_and(|file| file == there))
    }
}

fn draft_of(name: &str) -> String {
    format!(".{name}.armfleet")
}

/// Fails if a folder has this name: armfleet makes none there.
fn no_folder(folder: &Folder, name: &str) -> io::Result<()> {
    match folder.kind(name)? {
        Some(FileType::Directory) => Err(io::Error::other(NotOurs {
            path: folder.at(name),
            what: "a folder",
        })),
        _ => Ok(()),
    }
}

/// The guest's file, if it is still the one that was checked. One of another owner is not the guest's: libvirt would give it to
/// QEMU.
fn guests_own(share: &Share, note: &FileNote) -> Option<File> {
    let file = share::open_by_name(share, &note.from.name).ok()?;
    let is_same = file.identity().ok()? == note.from.file;
    let is_guests = file.metadata().ok()?.uid() == share.stat().ok()?.stx_uid;
    (is_same && is_guests).then_some(file)
}

fn libvirt_keeps_what_it_takes(root: &Root) -> bool {
    let conf = root.holding(paths::QEMU_CONF);
    let conf = conf.and_then(|(folder, name)| folder.read(name, CONF_LIMIT));
    conf.is_ok_and(|(bytes, _)| keeps_what_it_takes(&String::from_utf8_lossy(&bytes)))
}
