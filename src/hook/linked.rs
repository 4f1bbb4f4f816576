//! The handover `link`: the pair of a generation under the recipe's names inside the share, where its domain boots it.

use super::open::open_generations;
use super::share;
use crate::boot::FileNote;
use crate::files::{Folder, OpenFile as _, OwnFileError, Root, Share, copy};
use crate::paths;
use crate::staging::{Generations, files};
use crate::values::VmName;
use std::fs::File;
use std::io;

/// Why a pair has not got its names.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandOverError {
    #[error("nothing is staged that could be linked")]
    NothingStaged,
    #[error("{0} in its boot share is a folder")]
    Folder(&'static str),
    #[error("cannot put {name} into its boot share")]
    Place {
        name: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

/// Gives the pair that is staged for a VM its names inside its share.
pub(super) fn hand_over(root: &Root, vm: &VmName, share: &Share) -> Result<(), HandOverError> {
    let generations = open_generations(root, vm)?;
    place(&generations, share)
}

/// Gives the pair that `current` names the recipe's names, each by a rename.
///
/// Where the guest's own file still has the bytes that were checked, the name is a hard link to it. A symbolic link
/// would be one that no guest can read, and would have AppArmor deny the guest its own kernel, since it denies paths.
/// For bytes that the share does not have, such as a seed's, it is a copy: the guest must not get at a generation.
fn place(generations: &Generations<Folder>, share: &Share) -> Result<(), HandOverError> {
    let staged = generations.current().ok_or(HandOverError::NothingStaged)?;
    let names = [paths::LINKED_KERNEL, paths::LINKED_INITRD];
    for ((file, note), name) in files(&staged).into_iter().zip(names) {
        let open = || generations.open_file(&staged, file);
        place_one(share, name, note, open)?;
    }
    share.sync().map_err(fault("both names"))
}

fn place_one(
    share: &Share,
    name: &'static str,
    note: &FileNote,
    staged: impl FnOnce() -> io::Result<File>,
) -> Result<(), HandOverError> {
    match guests_own(share, note) {
        Some(file) if share::has(share, name, &file) => return Ok(()),
        Some(file) => share.link(&file, name),
        None => staged().and_then(|from| {
            share.write(name, |mut into| {
                copy(&mut &from, &mut into, note.size).map(drop)
            })
        }),
    }
    .map_err(fault(name))
}

/// The guest's file, if it is still the one that was checked.
fn guests_own(share: &Share, note: &FileNote) -> Option<File> {
    let file = share::open_by_name(share, &note.from.name).ok()?;
    (file.identity().ok()? == note.from.file).then_some(file)
}

fn fault(name: &'static str) -> impl FnOnce(io::Error) -> HandOverError {
    move |source| match source.kind() {
        io::ErrorKind::IsADirectory => HandOverError::Folder(name),
        _ => HandOverError::Place { name, source },
    }
}
