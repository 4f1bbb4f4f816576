//! A VM's staged kernels on the file system.

use crate::files::{Directory as _, Folder, OwnFileError, Root};
use crate::paths;
use crate::staging::{Generations, Unverified};
use crate::values::VmName;

/// Opens a VM's generations, making what is missing.
pub(super) fn open_generations(
    root: &Root,
    vm: &VmName,
) -> Result<Generations<Folder>, OwnFileError> {
    let path = paths::boot_folder(vm);
    let boot = root
        .holding(&path)
        .and_then(|(folder, name)| folder.sub_or_make(name, paths::PASSAGE));
    let boot = boot.map_err(OwnFileError::new("open the folders of", &root.below(&path)))?;
    Generations::open(boot)
}

/// Makes the copies that boot anew of what is staged, for a start that chooses nothing. What a later version staged stays as
/// it is.
pub(super) fn renew_staged(root: &Root, vm: &VmName) -> Result<(), Unverified> {
    let generations = open_generations(root, vm)?;
    let Some(staged) = generations.current() else {
        return Ok(());
    };
    // QEMU's group has what booted before.
    let boots = format!("{}/{}", paths::generations(vm), staged.id);
    let seen = root
        .folder(&boots)
        .and_then(|folder| folder.stat(paths::BOOTS[0]));
    generations.renew(&staged, seen.map_or(0, |seen| seen.stx_gid))
}

/// Whether a VM has something staged to boot on a processor, by libvirt's name of it; an installer is nothing to fall back on.
pub(super) fn is_bootable(root: &Root, vm: &VmName, arch: &str) -> bool {
    let boot = root.folder(&paths::boot_folder(vm));
    boot.is_ok_and(|boot| Generations::is_bootable(&boot, arch))
}

/// Whether a VM has something to boot that is nobody's but armfleet's.
pub(super) fn can_boot_unchecked(root: &Root, vm: &VmName, arch: &str) -> bool {
    let linked = root
        .holding(&paths::linked(vm))
        .and_then(|(folder, name)| folder.kind(name));
    matches!(linked, Ok(None)) && is_bootable(root, vm, arch)
}
