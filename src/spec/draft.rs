//! A fleet file on its way to a spec: whatever could be read is there, with its place, so that one mistake hides no other.

use super::fields::At;
use super::problem::{Checked, Layer};
use super::{
    Accel, Arch, Boot, Cmdline, DesiredState, Disk, DiskName, FleetName, GuestReboot, Handover,
    HostPath, Install, MachineName, Restart, Secrets, Seed, Size, Spec, Transport, Vm, VmName,
};
use std::ops::Range;
use std::time::Duration;

/// A fleet, read as far as it can be.
#[derive(Debug)]
pub(super) struct Drafts {
    pub(super) fleet: Checked<At<FleetName>>,
    pub(super) vms: Checked<Vec<Checked<DraftVm>>>,
}

/// What is checked at once: one VM, or all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft<'d>(pub(super) &'d [Checked<DraftVm>]);

/// A VM, read as far as it can be.
#[derive(Debug)]
pub(super) struct DraftVm {
    pub(super) name: Checked<At<VmName>>,
    pub(super) arch: Checked<Arch>,
    pub(super) accel: Checked<Accel>,
    pub(super) machine: Checked<MachineName>,
    pub(super) memory: Checked<At<Size>>,
    pub(super) vcpus: Checked<At<u32>>,
    pub(super) transport: Checked<Option<Transport>>,
    pub(super) boot: Checked<DraftBoot>,
    pub(super) install: Checked<Option<DraftInstall>>,
    pub(super) disks: Checked<Vec<Checked<DraftDisk>>>,
    pub(super) console_log: Checked<Option<At<HostPath>>>,
    pub(super) state: Checked<DesiredState>,
    pub(super) autostart: Checked<bool>,
    pub(super) on_guest_reboot: Checked<GuestReboot>,
    pub(super) stop_timeout: Checked<At<Duration>>,
    pub(super) restart: Checked<Restart>,
    pub(super) protect: Checked<bool>,
    /// The parts of the files that it is made of, besides its own.
    pub(super) layers: Vec<Layer>,
}

/// A VM's `boot`, read as far as it can be.
#[derive(Debug)]
pub(super) struct DraftBoot {
    pub(super) share: Checked<At<HostPath>>,
    pub(super) handover: Checked<Handover>,
    pub(super) cmdline: Checked<At<Cmdline>>,
    pub(super) seed: Checked<Option<DraftSeed>>,
    pub(super) confirm_within: Checked<Option<At<Duration>>>,
}

/// A VM's `install`, read as far as it can be.
#[derive(Debug)]
pub(super) struct DraftInstall {
    pub(super) key: Range<usize>,
    pub(super) kernel: Checked<At<HostPath>>,
    pub(super) initrd: Checked<At<HostPath>>,
    pub(super) cmdline: Checked<At<Cmdline>>,
    pub(super) files: Checked<Vec<DraftFile>>,
}

/// A file for the installer, read as far as it can be.
#[derive(Debug)]
pub(super) struct DraftFile {
    pub(super) target: Checked<At<HostPath>>,
    pub(super) source: Checked<At<HostPath>>,
}

/// A VM's `boot.seed`, read as far as it can be.
#[derive(Debug)]
pub(super) struct DraftSeed {
    pub(super) kernel: Checked<At<HostPath>>,
    pub(super) initrd: Checked<At<HostPath>>,
}

/// A disk, read as far as it can be.
#[derive(Debug)]
pub(super) struct DraftDisk {
    pub(super) name: Checked<At<DiskName>>,
    pub(super) path: Checked<At<HostPath>>,
    pub(super) size: Checked<Option<At<Size>>>,
}

impl<'d> Draft<'d> {
    /// The VMs that could be read at all.
    pub(super) fn readable_vms(&self) -> impl Iterator<Item = &'d DraftVm> + use<'d> {
        self.0.iter().flatten()
    }
}

impl Drafts {
    /// The spec, if everything could be read.
    pub(super) fn finish(self, secrets: &Secrets) -> Checked<Spec> {
        let vms = self.vms?.into_iter().map(|vm| {
            let vm = vm?.finish()?;
            Ok((vm.name.clone(), vm))
        });
        Ok(Spec {
            fleet: self.fleet?.value,
            vms: vms.collect::<Checked<_>>()?,
            secrets: secrets.clone(),
        })
    }
}

impl DraftVm {
    /// The disks that could be read at all.
    pub(super) fn readable_disks(&self) -> impl Iterator<Item = &DraftDisk> {
        self.disks.iter().flatten().flatten()
    }

    /// The seed, if there is one that could be read at all.
    pub(super) fn readable_seed(&self) -> Option<&DraftSeed> {
        self.boot.as_ref().ok()?.seed.as_ref().ok()?.as_ref()
    }

    /// What is to install it, if that could be read at all.
    pub(super) fn readable_install(&self) -> Option<&DraftInstall> {
        self.install.as_ref().ok()?.as_ref()
    }

    fn finish(self) -> Checked<Vm> {
        let disks = self.disks?.into_iter().map(|disk| disk?.finish());
        Ok(Vm {
            name: self.name?.value,
            arch: self.arch?,
            accel: self.accel?,
            machine: self.machine?,
            memory: self.memory?.value,
            vcpus: self.vcpus?.value,
            transport: self.transport?,
            boot: self.boot?.finish()?,
            install: self.install?.map(DraftInstall::finish).transpose()?,
            disks: disks.collect::<Checked<_>>()?,
            console_log: self.console_log?.map(|path| path.value),
            state: self.state?,
            autostart: self.autostart?,
            on_guest_reboot: self.on_guest_reboot?,
            stop_timeout: self.stop_timeout?.value,
            restart: self.restart?,
            protect: self.protect?,
        })
    }
}

impl DraftBoot {
    fn finish(self) -> Checked<Boot> {
        Ok(Boot {
            share: self.share?.value,
            handover: self.handover?,
            cmdline: self.cmdline?.value,
            seed: self.seed?.map(DraftSeed::finish).transpose()?,
            confirm_within: self.confirm_within?.map(|within| within.value),
        })
    }
}

impl DraftInstall {
    fn finish(self) -> Checked<Install> {
        let files = self.files?.into_iter();
        let files = files.map(|file| Ok((file.target?.value, file.source?.value)));
        Ok(Install {
            kernel: self.kernel?.value,
            initrd: self.initrd?.value,
            cmdline: self.cmdline?.value,
            files: files.collect::<Checked<_>>()?,
        })
    }
}

impl DraftSeed {
    fn finish(self) -> Checked<Seed> {
        Ok(Seed {
            kernel: self.kernel?.value,
            initrd: self.initrd?.value,
        })
    }
}

impl DraftDisk {
    fn finish(self) -> Checked<Disk> {
        Ok(Disk {
            name: self.name?.value,
            path: self.path?.value,
            size: self.size?.map(|size| size.value),
        })
    }
}
