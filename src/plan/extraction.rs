//! Whether a VM's first pair may be taken out of its disk.

use super::Policy;
use super::builder::{Blocked, PlanBuilder, PlanInput};
use super::kernels::choice;
use super::vm::{self, runs_with};
use crate::fleet::{Disk, DiskFormat, Spec, Vm};
use crate::inventory::{Domain, Fact, FileKind, Inventory};
use crate::trust::Ways;
use crate::values::{HostPath, VmName};
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// What is taken out of which disk, into which share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The VM.
    pub vm: VmName,
    /// Its system disk.
    pub disk: HostPath,
    /// Its boot share.
    pub share: HostPath,
    /// The ways to both, which are judged again right before.
    pub ways: Ways,
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

impl NoExtraction {
    fn new(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (why, remedy) = (why.into(), remedy.into());
        Self { why, remedy }
    }
}

/// What is to be taken out of a VM's disk.
///
/// # Errors
/// When a guest may be writing to the disk, when a plan would refuse the disk or the share, or when the share has a pair
/// already.
pub fn extraction(inventory: &Inventory, spec: &Spec, vm: &Vm) -> Result<Extraction, NoExtraction> {
    let disk = disk(inventory, vm)?;
    let policy = Policy::default();
    let nobody = BTreeSet::new();
    let Some(input) = PlanInput::new(spec, inventory, &policy, &nobody) else {
        let why = "libvirt's domains cannot be listed, so which VMs run is not known";
        return Err(NoExtraction::new(why, ""));
    };
    is_off(input.domains, vm, disk)?;
    let mut builder = PlanBuilder::default();
    let reached = vm::reached(&input, vm, &mut builder);
    let ways = reached.map_err(|Blocked| as_planned(builder))?;
    Ok(Extraction {
        vm: vm.name.clone(),
        disk: disk.clone(),
        share: vm.boot.share.clone(),
        ways,
        new_share: is_new(inventory, vm)?.then_some(input.libvirt.qemu_owner),
        completes: vm.install.is_some(),
    })
}

/// The disk that is looked into.
fn disk<'a>(inventory: &Inventory, vm: &'a Vm) -> Result<&'a HostPath, NoExtraction> {
    let Some(Disk { path, format, .. }) = vm.system_disk() else {
        let why = format!("{} has no disk", vm.name);
        return Err(NoExtraction::new(why, "give it `disks` in the fleet file"));
    };
    if *format != DiskFormat::Raw {
        return Err(NoExtraction::new(
            format!("{path} is a {format} image, and only raw ones are looked into"),
            "take the kernel out by hand: virt-copy-out of libguestfs",
        ));
    }
    match inventory.path(path.as_str()) {
        Fact::Present(file) if file.stat.kind == FileKind::File || file.device.is_some() => {
            Ok(path)
        }
        Fact::Absent => Err(NoExtraction::new(
            format!("{path} is not there"),
            "armfleet plan",
        )),
        _ => {
            let why = format!("{path} is neither a plain file nor a block device that can be read");
            Err(NoExtraction::new(why, ""))
        }
    }
}

fn is_off(
    domains: &BTreeMap<String, Domain>,
    vm: &Vm,
    disk: &HostPath,
) -> Result<(), NoExtraction> {
    let running = domains.iter().find(|(domain, seen)| {
        seen.state.has_process() && (domain.as_str() == vm.name.as_str() || runs_with(seen, disk))
    });
    let Some((domain, _)) = running else {
        return Ok(());
    };
    let stop = match domain.as_str() == vm.name.as_str() {
        true => "armfleet stop",
        false => "virsh shutdown",
    };
    Err(NoExtraction::new(
        format!("{domain} runs, and its guest may be writing to {disk}"),
        format!("{stop} {domain}, then try again"),
    ))
}

/// What a plan says that was refused.
fn as_planned(builder: PlanBuilder) -> NoExtraction {
    let refused = builder.refusals.into_iter().next();
    let unknown = builder.unknowns.into_iter().next();
    match (refused, unknown) {
        (Some(refused), _) => NoExtraction::new(refused.why, refused.remedy),
        (None, Some(unknown)) => NoExtraction::new(unknown.why, "run it as root"),
        (None, None) => NoExtraction::new("a plan refuses this VM", "armfleet plan"),
    }
}

/// Whether the share is not there yet. Where it is, it has no pair.
fn is_new(inventory: &Inventory, vm: &Vm) -> Result<bool, NoExtraction> {
    let (name, share) = (&vm.name, &vm.boot.share);
    match inventory.path(share.as_str()) {
        Fact::Absent => Ok(true),
        Fact::Present(folder) if folder.stat.kind == FileKind::Folder => {
            match choice(folder, vm.arch).into_iter().flatten().next() {
                Some(pair) => Err(NoExtraction::new(
                    format!("{share} has a kernel already, {}", pair.version),
                    format!("armfleet boot list {name}"),
                )),
                None => Ok(false),
            }
        }
        _ => {
            let why = format!("{share} is not a folder that can be read");
            Err(NoExtraction::new(why, "armfleet plan"))
        }
    }
}
