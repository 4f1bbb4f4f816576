//! Where armfleet's files are on a host.

use crate::boot::GenerationId;
use crate::spec::{VmName, layout};
use std::path::PathBuf;

/// The folders under which armfleet keeps everything; the host's own, or a test's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// What must survive a reboot: `/var/lib/armfleet`.
    pub state: PathBuf,
    /// What must not: `/run/armfleet`.
    pub run: PathBuf,
}

impl Roots {
    /// The host's own.
    #[must_use]
    pub fn host() -> Self {
        Self {
            state: PathBuf::from(layout::STATE),
            run: PathBuf::from(layout::RUN),
        }
    }

    /// A VM's folder.
    #[must_use]
    pub fn vm(&self, vm: &VmName) -> PathBuf {
        self.state.join("vms").join(vm.as_str())
    }

    /// A VM's record.
    #[must_use]
    pub fn record(&self, vm: &VmName) -> PathBuf {
        self.vm(vm).join("record.json")
    }

    /// What the shim leaves when libvirt restores the VM from a file or takes it over from another host.
    #[must_use]
    pub fn restoring(&self, vm: &VmName) -> PathBuf {
        self.vm(vm).join("restoring")
    }

    /// The folder of a VM's generations and seed.
    #[must_use]
    pub fn boot(&self, vm: &VmName) -> PathBuf {
        self.vm(vm).join("boot")
    }

    /// The folder that a VM's domain boots from: a link to a generation.
    #[must_use]
    pub fn current(&self, vm: &VmName) -> PathBuf {
        self.boot(vm).join("current")
    }

    /// One generation's folder.
    #[must_use]
    pub fn generation(&self, vm: &VmName, id: &GenerationId) -> PathBuf {
        self.boot(vm).join("g").join(id.as_str())
    }

    /// The folder of the pair that the user provided: `vmlinuz`, `initrd.img` and their receipt `seed.json`.
    #[must_use]
    pub fn seed(&self, vm: &VmName) -> PathBuf {
        self.boot(vm).join("seed")
    }

    /// The lock that whoever changes a VM's generations or seed holds.
    #[must_use]
    pub fn staging_lock(&self, vm: &VmName) -> PathBuf {
        self.run.join("staging").join(format!("{vm}.lock"))
    }

    /// The hook's stamp: its time says when the hook last ran for the VM, its text what it did.
    #[must_use]
    pub fn hook_seen(&self, vm: &VmName) -> PathBuf {
        self.run.join("hook-seen").join(vm.as_str())
    }
}
