//! A fleet file on its way to a spec: whatever could be read is there, with its place, so that one mistake hides no other.

use super::fields::Spanned;
use super::wanted::{
    Accel, Arch, Boot, DesiredState, Disk, GuestReboot, Handover, Install, Restart, Seed, Spec,
    Transport, Vm,
};
use crate::problem::{Checked, Layer};
use crate::values::{Cmdline, DiskName, FleetName, HostPath, MachineName, Secrets, Size, VmName};
use std::ops::Range;
use std::time::Duration;

/// A fleet, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialSpec {
    pub(crate) fleet: Checked<Spanned<FleetName>>,
    pub(crate) vms: Checked<Vec<Checked<PartialVm>>>,
}

/// What is checked at once: one VM, or all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartialVms<'d>(pub(crate) &'d [Checked<PartialVm>]);

/// A VM, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialVm {
    pub(crate) name: Checked<Spanned<VmName>>,
    pub(crate) arch: Checked<Arch>,
    pub(crate) accel: Checked<Accel>,
    pub(crate) machine: Checked<MachineName>,
    pub(crate) memory: Checked<Spanned<Size>>,
    pub(crate) vcpus: Checked<Spanned<u32>>,
    pub(crate) transport: Checked<Option<Transport>>,
    pub(crate) boot: Checked<PartialBoot>,
    pub(crate) install: Checked<Option<PartialInstall>>,
    pub(crate) disks: Checked<Vec<Checked<PartialDisk>>>,
    pub(crate) console_log: Checked<Option<Spanned<HostPath>>>,
    pub(crate) state: Checked<DesiredState>,
    pub(crate) autostart: Checked<bool>,
    pub(crate) on_guest_reboot: Checked<GuestReboot>,
    pub(crate) stop_timeout: Checked<Spanned<Duration>>,
    pub(crate) restart: Checked<Restart>,
    pub(crate) protect: Checked<bool>,
    /// The parts of the files that it is made of, besides its own.
    pub(crate) layers: Vec<Layer>,
}

/// A VM's `boot`, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialBoot {
    pub(crate) share: Checked<Spanned<HostPath>>,
    pub(crate) handover: Checked<Handover>,
    pub(crate) cmdline: Checked<Spanned<Cmdline>>,
    pub(crate) seed: Checked<Option<PartialSeed>>,
    pub(crate) confirm_within: Checked<Option<Spanned<Duration>>>,
}

/// A VM's `install`, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialInstall {
    pub(crate) key: Range<usize>,
    pub(crate) kernel: Checked<Spanned<HostPath>>,
    pub(crate) initrd: Checked<Spanned<HostPath>>,
    pub(crate) cmdline: Checked<Spanned<Cmdline>>,
    pub(crate) files: Checked<Vec<PartialFile>>,
}

/// A file for the installer, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialFile {
    pub(crate) target: Checked<Spanned<HostPath>>,
    pub(crate) source: Checked<Spanned<HostPath>>,
}

/// A VM's `boot.seed`, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialSeed {
    pub(crate) kernel: Checked<Spanned<HostPath>>,
    pub(crate) initrd: Checked<Spanned<HostPath>>,
}

/// A disk, read as far as it can be.
#[derive(Debug)]
pub(crate) struct PartialDisk {
    pub(crate) name: Checked<Spanned<DiskName>>,
    pub(crate) path: Checked<Spanned<HostPath>>,
    pub(crate) size: Checked<Option<Spanned<Size>>>,
}

impl<'d> PartialVms<'d> {
    /// The VMs that could be read at all.
    pub(crate) fn readable_vms(&self) -> impl Iterator<Item = &'d PartialVm> + use<'d> {
        self.0.iter().flatten()
    }
}

impl PartialSpec {
    /// The spec, if everything could be read.
    pub(crate) fn finish(self, secrets: &Secrets) -> Checked<Spec> {
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

impl PartialVm {
    /// The disks that could be read at all.
    pub(crate) fn readable_disks(&self) -> impl Iterator<Item = &PartialDisk> {
        self.disks.iter().flatten().flatten()
    }

    /// The seed, if there is one that could be read at all.
    pub(crate) fn readable_seed(&self) -> Option<&PartialSeed> {
        self.boot.as_ref().ok()?.seed.as_ref().ok()?.as_ref()
    }

    /// What is to install it, if that could be read at all.
    pub(crate) fn readable_install(&self) -> Option<&PartialInstall> {
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
            install: self.install?.map(PartialInstall::finish).transpose()?,
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

impl PartialBoot {
    fn finish(self) -> Checked<Boot> {
        Ok(Boot {
            share: self.share?.value,
            handover: self.handover?,
            cmdline: self.cmdline?.value,
            seed: self.seed?.map(PartialSeed::finish).transpose()?,
            confirm_within: self.confirm_within?.map(|within| within.value),
        })
    }
}

impl PartialInstall {
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

impl PartialSeed {
    fn finish(self) -> Checked<Seed> {
        Ok(Seed {
            kernel: self.kernel?.value,
            initrd: self.initrd?.value,
        })
    }
}

impl PartialDisk {
    fn finish(self) -> Checked<Disk> {
        Ok(Disk {
            name: self.name?.value,
            path: self.path?.value,
            size: self.size?.map(|size| size.value),
        })
    }
}
