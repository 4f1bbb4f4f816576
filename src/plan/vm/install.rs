//! Installing a VM: the way from an empty disk to a kernel of its own, walked once.

use super::seed::{INSTALLER_FILE, INSTALLER_INITRD, INSTALLER_KERNEL, refuse_unfit, seed_source};
use crate::boot::{INSTALLED, InstallerReceipt, SeedPart, read_installer_receipt};
use crate::fleet::{Disk, GuestReboot, Handover, Install, Restart, Spec, Vm};
use crate::inventory::{Domain, Fact, Inventory, RawFile};
use crate::mark::{Phase, Record};
use crate::paths;
use crate::plan::builder::{Blocked, PlanBuilder, PlanInput, VmPlanner};
use crate::plan::copies::{Expected, damage};
use crate::plan::kernels::choice;
use crate::plan::step::{Act, InstallerSource, SeedSource, StepId};
use crate::values::VmName;

/// What is to be said and done about a VM's installation.
pub(super) struct Installation {
    /// The phase that the VM is in, or enters.
    pub(super) phase: Phase,
    /// Whether its disk is erased first.
    pub(super) erases: bool,
}

impl Installation {
    fn of(phase: Phase) -> Self {
        Self {
            phase,
            erases: false,
        }
    }

    /// What is said of a VM that enters another phase than its record has.
    pub(super) fn moved(&self, record: Option<&Record>) -> Option<&'static str> {
        match (&record?.phase, &self.phase) {
            (Phase::Installing { .. }, Phase::Own) => Some("it is installed"),
            (_, Phase::Installing { .. }) if self.erases => Some("it is installed again"),
            _ => None,
        }
    }
}

/// What its boot share tells of a VM's installation.
struct Seen {
    /// The late command says that it is complete.
    complete: bool,
    /// There is a pair that could boot.
    bootable: bool,
}

/// The VMs whose installers run.
#[must_use]
pub fn installing(spec: &Spec, inventory: &Inventory) -> Vec<VmName> {
    let runs = |vm: &Vm| {
        let domains = inventory.domains.present();
        let domain = domains.and_then(|domains| domains.get(vm.name.as_str()));
        let recorded = inventory.records.get(vm.name.as_str());
        let record = recorded.and_then(|record| record.present()?.good());
        domain.is_some_and(|domain| domain.state.has_process())
            && record.is_some_and(|record| matches!(record.phase, Phase::Installing { .. }))
    };
    let vms = spec.vms.values().filter(|vm| runs(vm));
    vms.map(|vm| vm.name.clone()).collect()
}

/// A VM as it is wanted while its installer runs: nothing starts it but an apply, and its reboot is its end.
pub(super) fn during(vm: &Vm, phase: &Phase) -> Vm {
    let mut vm = vm.clone();
    if let (Phase::Installing { .. }, Some(install)) = (phase, &vm.install) {
        vm.boot.cmdline = install.cmdline.clone();
        // An installer is not the share's.
        vm.boot.handover = Handover::Copy;
        vm.autostart = false;
        vm.on_guest_reboot = GuestReboot::Stop;
        vm.restart = Restart::Never;
        // An installer that meets a second disk asks which one it is to use.
        vm.cloud_init = None;
    }
    vm
}

impl VmPlanner<'_> {
    /// Where the VM's installation is.
    pub(super) fn installation(
        &self,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<Installation, Blocked> {
        let reinstall = self.input.policy.reinstall.as_ref() == Some(&self.vm.name);
        let (Some(_), Some(disk)) = (&self.vm.install, self.vm.system_disk()) else {
            if reinstall {
                let why = "it cannot be installed again: the file gives it no `install`";
                builder.refuse(&self.vm.name, why, "");
                return Err(Blocked);
            }
            return Ok(Installation::of(Phase::Own));
        };
        let runs = domain.is_some_and(|domain| domain.state.has_process());
        if reinstall {
            return self.again(disk, runs, builder);
        }
        match record.map(|record| &record.phase) {
            Some(Phase::Own) => Ok(Installation::of(Phase::Own)),
            Some(Phase::Installing { .. }) => self.under_way(disk, runs, builder),
            None => self.unknown_to_us(disk, builder),
        }
    }

    /// The user wants the disk erased (`--reinstall`).
    fn again(
        &self,
        disk: &Disk,
        runs: bool,
        builder: &mut PlanBuilder,
    ) -> Result<Installation, Blocked> {
        let name = &self.vm.name;
        if self.vm.protect {
            let why = "protected: its disk is not erased";
            builder.refuse(name, why, "set protect: false");
            return Err(Blocked);
        }
        if runs {
            let why = "it is not installed again while it runs";
            builder.refuse(name, why, format!("armfleet stop {name}, then apply again"));
            return Err(Blocked);
        }
        Ok(Installation {
            phase: installing_on(disk),
            erases: true,
        })
    }

    /// It was seen installing.
    fn under_way(
        &self,
        disk: &Disk,
        runs: bool,
        builder: &mut PlanBuilder,
    ) -> Result<Installation, Blocked> {
        let name = &self.vm.name;
        let seen = self.share_tells(builder)?;
        if runs {
            let (what, outlook) = if seen.complete {
                (
                    "its installation is complete, and its guest has yet to power off",
                    "then armfleet apply",
                )
            } else {
                (
                    "it is being installed",
                    "armfleet apply --wait follows it to its own kernel",
                )
            };
            builder.notice(name, what, outlook);
            return Ok(Installation::of(installing_on(disk)));
        }
        match seen {
            Seen {
                complete: true,
                bootable: true,
            } => Ok(Installation::of(Phase::Own)),
            Seen { complete: true, .. } => {
                let why = format!(
                    "its installation reports in {} that it is complete, but there is no kernel with its initrd there",
                    self.vm.boot.share
                );
                builder.refuse(name, why, self.remedies(disk));
                Err(Blocked)
            }
            Seen { .. } if self.is_blank(disk, builder)? => {
                Ok(Installation::of(installing_on(disk)))
            }
            Seen { .. } => {
                let why = format!(
                    "its installation ended without a kernel in {}",
                    self.vm.boot.share
                );
                builder.refuse(name, why, self.remedies(disk));
                Err(Blocked)
            }
        }
    }

    /// There is no record: only an empty disk is certainly not installed.
    fn unknown_to_us(
        &self,
        disk: &Disk,
        builder: &mut PlanBuilder,
    ) -> Result<Installation, Blocked> {
        let name = &self.vm.name;
        let (seen, blank) = (self.share_tells(builder)?, self.is_blank(disk, builder)?);
        match (seen.complete, blank) {
            (false, true) => Ok(Installation::of(installing_on(disk))),
            (true, true) => {
                let share = &self.vm.boot.share;
                let why = format!("{share} holds an earlier installation, and its disk is empty");
                builder.refuse(name, why, format!("mv {share} {share}.old"));
                Err(Blocked)
            }
            (_, false) if seen.bootable => Ok(Installation::of(Phase::Own)),
            (_, false) => {
                let why = format!(
                    "it is not installed on {}: that disk is not empty, and no record says that armfleet made it",
                    disk.path
                );
                builder.refuse(name, why, self.remedies(disk));
                Err(Blocked)
            }
        }
    }

    fn remedies(&self, disk: &Disk) -> String {
        let name = &self.vm.name;
        format!(
            "armfleet boot extract {name} takes a kernel out of the disk, if there is one; armfleet apply --reinstall {name} \
             erases {} and installs again",
            disk.path
        )
    }

    fn share_tells(&self, builder: &mut PlanBuilder) -> Result<Seen, Blocked> {
        let path = self.vm.boot.share.as_str();
        match self.input.inventory.path(path) {
            Fact::Present(RawFile {
                unlisted: Some(why),
                ..
            }) => Err(builder.unreadable(&self.vm.name, path, Some(why))),
            Fact::Present(share) => Ok(Seen {
                complete: has_mark(share),
                bootable: choice(share, self.vm.arch).iter().any(Result::is_ok),
            }),
            Fact::Absent => Ok(Seen {
                complete: false,
                bootable: false,
            }),
            fact => Err(builder.unreadable(&self.vm.name, path, fact.unknown())),
        }
    }

    /// Whether a disk holds no byte, or is not there yet.
    fn is_blank(&self, disk: &Disk, builder: &mut PlanBuilder) -> Result<bool, Blocked> {
        let path = disk.path.as_str();
        match self.input.inventory.path(path) {
            Fact::Present(RawFile {
                blank: Some(blank), ..
            }) => Ok(*blank),
            Fact::Absent => Ok(true),
            fact => {
                let why = fact.unknown().unwrap_or("armfleet may not open it");
                builder.unknown(&self.vm.name, format!("{path} could not be read: {why}"));
                Err(Blocked)
            }
        }
    }

    /// Plans what an installer needs: the empty disk, and its own files.
    pub(super) fn installer(
        &self,
        installation: &Installation,
        domain: Option<&Domain>,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) -> Result<Vec<StepId>, Blocked> {
        let (Phase::Installing { .. }, Some(install)) = (&installation.phase, &self.vm.install)
        else {
            return Ok(Vec::new());
        };
        let mut steps = Vec::new();
        if installation.erases {
            steps.extend(self.erasure(domain, needs, builder));
        }
        steps.extend(self.staged_installer(install, builder)?);
        Ok(steps)
    }

    fn erasure(
        &self,
        domain: Option<&Domain>,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) -> Option<StepId> {
        let (vm, disk) = (self.vm, self.vm.system_disk()?);
        let file = self.input.inventory.path(disk.path.as_str()).present()?;
        let act = Act::EraseDisk {
            path: disk.path.clone(),
            size: crate::values::Size::from_bytes(file.stat.size),
            mark: format!("{}/{INSTALLED}", vm.boot.share).parse().ok()?,
            uuid: domain.map(|domain| self.uuid(Some(domain))),
        };
        let reason = "--reinstall: every byte of it is lost";
        let id = StepId::new("erase", &vm.name);
        Some(builder.step(id, Some(&vm.name), reason, needs, Vec::new(), act))
    }

    fn staged_installer(
        &self,
        install: &Install,
        builder: &mut PlanBuilder,
    ) -> Result<Option<StepId>, Blocked> {
        let (input, vm) = (self.input, self.vm);
        let receipt = staged(input, vm);
        let damage = receipt.as_ref().and_then(|(file, receipt)| {
            let expected = Expected::by_receipt(file, &receipt.kernel, &receipt.initrd);
            damage(
                input.inventory,
                &paths::installer_folder(&vm.name),
                expected,
            )
        });
        let whole = receipt.is_some() && damage.is_none();
        let mut source = |path, name| seed_source(input, vm, path, name, whole, builder);
        let kernel = source(&install.kernel, INSTALLER_KERNEL);
        let initrd = source(&install.initrd, INSTALLER_INITRD);
        let (kernel, initrd) = (kernel?, initrd?);
        let mut files = Vec::new();
        for (target, path) in &install.files {
            files.push(source(path, INSTALLER_FILE)?.map(|source| (target.clone(), source)));
        }
        let files: Option<Vec<_>> = files.into_iter().collect();
        let (Some(kernel), Some(initrd), Some(files)) = (kernel, initrd, files) else {
            return Ok(None);
        };
        let wanted = InstallerSource {
            kernel,
            initrd,
            files: files.into_iter().collect(),
            replaces: receipt.is_some(),
        };
        let reason = match (&receipt, damage) {
            (Some(_), Some(damage)) => format!("staged again, since its copy is damaged: {damage}"),
            (Some((_, receipt)), None) if is_staged(receipt, &wanted) => return Ok(None),
            (Some(_), None) => "its files changed".to_owned(),
            (None, _) => "what boots until it has a kernel of its own".to_owned(),
        };
        let pair = [
            (&install.kernel, INSTALLER_KERNEL),
            (&install.initrd, INSTALLER_INITRD),
        ];
        refuse_unfit(input, vm, pair, builder)?;
        let id = StepId::new("installer", &vm.name);
        let act = Act::StageInstaller(wanted);
        Ok(Some(builder.step(
            id,
            Some(&vm.name),
            reason,
            &[],
            Vec::new(),
            act,
        )))
    }
}

fn installing_on(disk: &Disk) -> Phase {
    Phase::Installing {
        disk: disk.path.clone(),
    }
}

fn has_mark(share: &RawFile) -> bool {
    let entries = share.entries.as_deref().unwrap_or_default();
    entries.iter().any(|entry| entry.name == INSTALLED)
}

/// What was staged, as its receipt says; one that cannot be understood, or that is not root's, is as good as none.
fn staged<'a>(input: &PlanInput<'a>, vm: &Vm) -> Option<(&'a RawFile, InstallerReceipt)> {
    let path = paths::installer_receipt(&vm.name);
    let file = input.inventory.path(&path).present()?;
    let text = file
        .text
        .as_deref()
        .filter(|_| file.not_roots().is_none())?;
    Some((file, read_installer_receipt(text.as_bytes()).ok()?))
}

fn is_staged(receipt: &InstallerReceipt, wanted: &InstallerSource) -> bool {
    // The same bytes at another path are no change.
    let same = |part: &SeedPart, source: &SeedSource| part.sha256.as_str() == source.sha256;
    same(&receipt.kernel, &wanted.kernel)
        && receipt.initrd_source.as_str() == wanted.initrd.sha256
        && receipt.files.len() == wanted.files.len()
        && wanted.files.iter().all(|(path, source)| {
            let part = receipt.files.get(path);
            part.is_some_and(|part| same(part, source))
        })
}
