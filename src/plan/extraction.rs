//! Whether a VM's first pair may be taken out of its disk.

use super::kernels::choice;
use super::vm::runs_with;
use crate::fleet::{DiskFormat, Vm};
use crate::inventory::{Fact, FileKind, Inventory};
use crate::values::{HostPath, VmName};

/// What is taken out of which disk, into which share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The VM.
    pub vm: VmName,
    /// Its system disk.
    pub disk: HostPath,
    /// Its boot share.
    pub share: HostPath,
    /// If the share is not there yet: whom it is to belong to, as far as that is known.
    pub new_share: Option<Option<(u32, u32)>>,
    /// Whether the VM's installation is complete with it.
    pub completes: bool,
}

/// Why nothing is taken out, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoExtraction {
    why: String,
    /// What to do about it; empty where there is nothing.
    pub remedy: String,
}

/// What is to be taken out of a VM's disk.
///
/// # Errors
/// When a guest may be writing to the disk, or when the share has a pair already.
pub fn extraction(inventory: &Inventory, vm: &Vm) -> Result<Extraction, NoExtraction> {
    let no = |why: String, remedy: &str| {
        let remedy = remedy.to_owned();
        Err(NoExtraction { why, remedy })
    };
    let (name, share) = (&vm.name, &vm.boot.share);
    let Some(disk) = vm.system_disk() else {
        return no(
            format!("{name} has no disk"),
            "give it `disks` in the fleet file",
        );
    };
    if disk.format != DiskFormat::Raw {
        return no(
            format!(
                "{} is a {} image, and only raw ones are looked into",
                disk.path, disk.format
            ),
            "take the kernel out by hand: virt-copy-out of libguestfs",
        );
    }
    match inventory.path(disk.path.as_str()) {
        Fact::Present(file) if file.stat.kind == FileKind::File => {}
        Fact::Absent => return no(format!("{} is not there", disk.path), "armfleet plan"),
        _ => {
            return no(
                format!("{} is not a plain file that can be read", disk.path),
                "",
            );
        }
    }
    let Fact::Present(domains) = &inventory.domains else {
        return no(
            "libvirt's domains cannot be listed, so which VMs run is not known".to_owned(),
            "",
        );
    };
    let running = domains.iter().find(|(domain, seen)| {
        seen.state.has_process()
            && (domain.as_str() == name.as_str() || runs_with(seen, &disk.path))
    });
    if let Some((domain, _)) = running {
        let why = format!(
            "{domain} runs, and its guest may be writing to {}",
            disk.path
        );
        return no(why, &format!("virsh shutdown {domain}, then try again"));
    }
    let new_share = match inventory.path(share.as_str()) {
        Fact::Absent => Some(
            inventory
                .libvirt
                .present()
                .and_then(|libvirt| libvirt.qemu_owner),
        ),
        Fact::Present(folder) if folder.stat.kind == FileKind::Folder => {
            if let Some(pair) = choice(folder).into_iter().flatten().next() {
                let why = format!("{share} has a kernel already, {}", pair.version);
                return no(why, &format!("armfleet boot list {name}"));
            }
            None
        }
        _ => {
            return no(
                format!("{share} is not a folder that can be read"),
                "armfleet plan",
            );
        }
    };
    Ok(Extraction {
        vm: name.clone(),
        disk: disk.path.clone(),
        share: share.clone(),
        new_share,
        completes: vm.install.is_some(),
    })
}
