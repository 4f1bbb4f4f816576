//! One VM: what it needs on its host, part by part.

mod arch;
mod bases;
mod boot;
mod claims;
mod cloud_init;
mod cmdline;
mod console_log;
mod definitions;
mod device;
mod dtb;
mod fresh;
mod handover;
mod host_checks;
mod identity;
mod install;
mod lpae;
mod moved;
mod networks;
mod numbering;
mod ownership;
mod pending;
mod power;
mod reached;
mod seed;
mod shares;
mod storage;
mod ways;

pub use install::installing;
pub(super) use ownership::{not_ours, renaming};
pub(super) use reached::reached;
pub(super) use storage::runs_with;
pub(super) use ways::of_host as ways_of_host;

use self::cloud_init::CloudInitPlan;
use self::definitions::Definitions;
use self::install::Installation;
use self::pending::await_boot;
use super::builder::{Blocked, Hook, PlanBuilder, PlanInput, Removals, VmPlanner};
use super::formats::refuse_later;
use super::step::{Act, Base, StepId};
use crate::domain::{
    ACCEL, CLOUD_INIT, Cause, CompareInput, Comparison, DISK, Extent, FILESYSTEM, SHARE, skeleton,
};
use crate::fleet::{Accel, DesiredState, Vm};
use crate::inventory::{Domain, Fact, FileKind, Kvm, SeenRecord};
use crate::mark::{Applied, BootRecord, Phase, Record, Wanted};
use crate::paths;
use crate::trust::End;
use crate::values::{HostPath, Transport, Uuid};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn plan(
    input: &PlanInput<'_>,
    vm: &Vm,
    hook: &Hook,
    removals: &Removals,
    builder: &mut PlanBuilder,
) {
    let planner = VmPlanner {
        input,
        vm,
        hook,
        removals,
        phase: Phase::Own,
    };
    // A stuck VM keeps the steps planned so far: each is right in itself, and the next apply goes on from there.
    let _ = planner.plan(builder);
}

/// What the record says of this VM.
struct Remembered<'a> {
    record: Option<&'a Record>,
    /// Why the record is to be written even if it says the right thing.
    repair: Option<String>,
    /// What an installation that has begun or ended makes of it: then the file is unchanged, and nothing drifted.
    moved: Option<&'static str>,
}

impl Remembered<'_> {
    /// Whether something is to be done because the file changed or because the host drifted: it drifted if the last apply
    /// wanted the same.
    fn cause(&self, wanted_the_same: impl FnOnce(&Record) -> bool) -> Option<Cause> {
        match self.record {
            Some(_) if self.moved.is_some() => None,
            Some(record) if wanted_the_same(record) => Some(Cause::Drifted),
            None if self.repair.is_some() => None,
            _ => Some(Cause::FileChanged),
        }
    }
}

impl VmPlanner<'_> {
    fn plan(&self, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        refuse_later(self.input, &self.vm.name, builder)?;
        let domain = self.own_domain(builder)?;
        let mut remembered = self.remembered(domain, builder)?;
        if self.input.policy.drift_only && domain.is_none() && remembered.record.is_none() {
            return Ok(());
        }
        if let Some(domain) = domain {
            self.changeable(domain, builder)?;
        } else {
            self.no_leftovers(builder)?;
        }
        self.host_can(domain, builder)?;
        self.links_hold(remembered.record, builder)?;
        let installation = self.installation(domain, remembered.record, builder)?;
        remembered.moved = installation.moved(remembered.record);
        let vm = install::during(self.vm, &installation.phase);
        let planner = VmPlanner {
            vm: &vm,
            phase: installation.phase.clone(),
            ..*self
        };
        let ways = planner.ways(remembered.record, builder)?;
        let first = builder.steps.len();
        let planned = planner.plan_parts(domain, &remembered, &installation, builder);
        ways::guard(&mut builder.steps[first..], &ways);
        self.cmdline_notices(builder);
        planned
    }

    fn plan_parts(
        &self,
        domain: Option<&Domain>,
        remembered: &Remembered<'_>,
        installation: &Installation,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let uuid = self.uuid(domain);
        let skeleton = skeleton(self.vm.arch, &self.input.spec.fleet, &self.vm.name, &uuid);
        let definitions = self.definitions(domain, &skeleton, builder)?;
        let moves = self.moves(remembered.record, &definitions.stored, builder)?;
        let mut cloud_init = self.cloud_init(&definitions, builder)?;
        let disk = cloud_init.path.as_deref();
        let mut comparison = self.compared(domain, remembered.record, &definitions, disk, builder);
        self.refuse_moved(domain, &definitions, &mut comparison, builder);
        self.numbering(&comparison, builder);
        self.adopt(domain, &mut comparison);
        let keeps_some = !comparison.moved.is_empty() || !comparison.held.is_empty();
        if remembered.record.is_none() && keeps_some {
            // A record written now would know nothing of these devices, and the next plan would add them anew.
            return Err(Blocked);
        }
        self.networks(domain, builder)?;
        let freed = self.own_addresses(domain, &comparison, builder)?;
        let mut needs = self.storage(domain, remembered, installation, &comparison, builder)?;
        needs.extend(freed);
        if comparison.keeps(&CLOUD_INIT) {
            cloud_init = CloudInitPlan::default();
        }
        needs.extend(self.make_cloud_init(&mut cloud_init, builder));
        let pending = self.pending(domain, remembered.record, &definitions, &comparison);
        if let Some(pending) = &pending {
            await_boot(&mut comparison, pending);
        }
        let pending = pending.unwrap_or_default();
        let cause = match domain {
            Some(_) if remembered.moved.is_none() => cause_of(&comparison),
            _ => remembered.cause(|_| true),
        };
        if remembered.moved.is_some() {
            comparison
                .changes
                .iter_mut()
                .for_each(|change| change.cause = None);
        }
        let adopted = self.adopted_from(domain);
        let adopted = adopted.map(|fleet| format!("adopted from fleet {fleet}"));
        let reason = adopted.as_deref().or(remembered.moved);
        let reason = reason.unwrap_or_else(|| reason_of(cause));
        let define = self.define(domain, &uuid, &comparison, reason, &needs, builder);
        needs.extend(builder.because(cause, define));
        self.remove_cloud_init(&cloud_init, &needs, builder);
        let written = self.record(remembered, domain, &comparison, &needs, builder);
        let cause = match &remembered.repair {
            Some(_) => Some(Cause::Drifted),
            None => (!self.accepts()).then_some(Cause::FileChanged),
        };
        needs.extend(builder.because(cause, written));
        let autostart = self.autostart(domain, &uuid, &needs, builder);
        let cause = remembered.cause(|record| record.autostart == self.vm.autostart);
        needs.extend(builder.because(cause, autostart));
        let cause = remembered.cause(|record| record.state == self.vm.state);
        if comparison.moved.is_empty() || self.vm.state == DesiredState::Stopped {
            self.run_state(domain, &pending, cause, &needs, builder);
        }
        boot::share_notices(self.input.inventory, self.vm, builder);
        boot::trial_notices(self.input.inventory, self.vm, remembered.record, builder);
        let stored = domain.map(|_| &definitions.stored);
        lpae::notice(self.input.inventory, self.vm, stored, builder);
        self.handover_notice(remembered.record, builder);
        if domain.is_none() || moves {
            self.emulation_notice(builder);
        }
        arch::page_size_notice(self.input.inventory, self.vm, builder);
        if let Some(domain) = domain {
            self.machine_notice(&definitions.stored, builder);
            boot::notices(self.input, self.vm, builder);
            self.not_compared(builder);
            self.notices(domain, &comparison, &pending, builder);
        }
        Ok(())
    }

    /// What must be there before the domain: its share, its disks, its seed.
    fn storage(
        &self,
        domain: Option<&Domain>,
        remembered: &Remembered<'_>,
        installation: &Installation,
        comparison: &Comparison,
        builder: &mut PlanBuilder,
    ) -> Result<Vec<StepId>, Blocked> {
        let mut needs = self.freed(domain, remembered.record, builder)?;
        needs.extend(self.folders(builder)?);
        self.console_log(domain, remembered.record, builder)?;
        if !comparison.keeps(&SHARE) {
            let share = self.share(remembered.record, builder)?;
            let cause = remembered.cause(|record| record.boot.share == self.vm.boot.share);
            needs.extend(builder.because(cause, share));
        }
        let shares = self.vm.shares.iter();
        for share in shares.filter(|_| !comparison.keeps(&FILESYSTEM)) {
            let share = self.further_share(share, remembered.record, builder)?;
            needs.extend(builder.because(Some(Cause::FileChanged), share));
        }
        let disks = self.vm.disks.iter().filter(|_| !comparison.keeps(&DISK));
        for disk in disks {
            let disk = self.disk(disk, domain, remembered.record, builder)?;
            needs.extend(builder.because(Some(Cause::FileChanged), disk));
        }
        for step in self.installer(installation, domain, &needs, builder)? {
            needs.extend(builder.because(Some(Cause::FileChanged), Some(step)));
        }
        let staged = seed::seed(self.input, self.vm, builder)?;
        needs.extend(self.dtb(builder)?);
        let lost = seed::seed_is_lost(self.input, self.vm);
        let cause = remembered.cause(|record| record.boot.seed && lost);
        needs.extend(builder.because(cause, staged));
        if let Some(log) = &self.vm.console.log {
            self.parent_exists(log, builder)?;
        }
        Ok(needs)
    }

    fn remembered(
        &self,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<Remembered<'_>, Blocked> {
        let name = &self.vm.name;
        let repair = |why: String| {
            Ok(Remembered {
                record: None,
                repair: Some(why),
                moved: None,
            })
        };
        match self.input.inventory.record(name) {
            Fact::Present(SeenRecord::Good(record)) => {
                let adopted = self.adopted_from(domain) == Some(&record.fleet);
                let foreign = record.fleet != self.input.spec.fleet && !adopted;
                match domain {
                    None if foreign => {
                        let why = format!(
                            "there is a record of fleet {} under this name",
                            record.fleet
                        );
                        builder.refuse(
                            name,
                            why,
                            "remove the VM with that fleet's file, or call this one something else",
                        );
                        Err(Blocked)
                    }
                    Some(domain)
                        if foreign
                            || record.uuid.as_str() != domain.raw.uuid
                            || record.vm != *name =>
                    {
                        repair("its record is another domain's: written again".to_owned())
                    }
                    _ => Ok(Remembered {
                        record: Some(&**record),
                        repair: None,
                        moved: None,
                    }),
                }
            }
            Fact::Present(SeenRecord::Damaged(_)) if self.record_is_a_folder() => {
                let path = paths::record(name);
                builder.refuse(
                    name,
                    format!("{path} is a folder"),
                    format!("mv {path} {path}.old"),
                );
                Err(Blocked)
            }
            Fact::Present(SeenRecord::Damaged(why) | SeenRecord::Later(why)) => {
                repair(format!("damaged ({why}): written again"))
            }
            Fact::Absent if domain.is_some() => {
                repair("lost: written again from what this host has".to_owned())
            }
            Fact::Absent => Ok(Remembered {
                record: None,
                repair: None,
                moved: None,
            }),
            fact @ (Fact::NotObserved | Fact::Unreadable(_)) => {
                let why = fact.unknown().unwrap_or_default();
                builder.unknown(name, format!("its record could not be read: {why}"));
                Err(Blocked)
            }
        }
    }

    fn record_is_a_folder(&self) -> bool {
        let seen = self.input.inventory.path(&paths::record(&self.vm.name));
        seen.present()
            .is_some_and(|file| file.stat.kind == FileKind::Folder)
    }

    fn compared(
        &self,
        domain: Option<&Domain>,
        record: Option<&Record>,
        definitions: &Definitions<'_>,
        cloud_init: Option<&str>,
        builder: &mut PlanBuilder,
    ) -> Comparison {
        let policy = &self.input.policy;
        let input = CompareInput {
            vm: self.vm,
            libvirt: self.input.libvirt,
            record,
            definition: &definitions.stored,
            new: domain.is_none(),
            extent: match policy.drift_only && domain.is_some() {
                true => Extent::Drift,
                false => Extent::All,
            },
            cloud_init,
            first_may_change: policy.allow_replace.contains(&self.vm.name),
        };
        let comparison = input.compare();
        for why in &comparison.refusals {
            builder.refuse(&self.vm.name, why, "");
        }
        comparison
    }

    fn define(
        &self,
        domain: Option<&Domain>,
        uuid: &Uuid,
        comparison: &Comparison,
        reason: &str,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) -> Option<StepId> {
        let name = &self.vm.name;
        let (base, reason, changes) = match domain {
            None => {
                let skeleton = skeleton(self.vm.arch, &self.input.spec.fleet, name, uuid);
                (
                    Base::Skeleton(skeleton),
                    self.summary(comparison),
                    Vec::new(),
                )
            }
            Some(_) if comparison.edits.is_empty() => return None,
            Some(domain) => (
                Base::Stored(domain.digest.clone()?),
                reason.to_owned(),
                comparison.changes.clone(),
            ),
        };
        let act = Act::Define {
            uuid: uuid.clone(),
            base,
            edits: comparison.edits.clone(),
        };
        Some(builder.step(
            StepId::new("domain", name),
            Some(name),
            reason,
            needs,
            changes,
            act,
        ))
    }

    /// A new domain in a line.
    fn summary(&self, comparison: &Comparison) -> String {
        let rows = &comparison.applied.rows;
        let accel = match rows.get(&ACCEL).map(String::as_str) {
            Some("kvm") => "KVM",
            _ if self.accel_is_open() => "KVM where the host has it",
            _ => "emulated",
        };
        let vcpus = if self.vm.vcpus == 1 {
            "1 vCPU".to_owned()
        } else {
            format!("{} vCPUs", self.vm.vcpus)
        };
        let bus = match self.vm.transport.unwrap_or(self.vm.arch.transport) {
            Transport::Pci => "virtio on PCI",
            Transport::Mmio => "virtio-mmio",
        };
        let boots = match self.phase {
            Phase::Own => "boots from its share",
            Phase::Installing { .. } => "boots its installer",
        };
        let networks = self.vm.networks.iter();
        let networks = networks.map(|network| format!("on {}, ", network.source()));
        let networks: String = networks.collect();
        let guest = match self.vm.has_other_userland() {
            true => format!("{} kernel, {} userland", self.vm.arch, self.vm.userland),
            false => self.vm.arch.to_string(),
        };
        format!(
            "{guest}, {accel}, {}, {vcpus}, {bus}, {networks}{boots}",
            self.vm.memory
        )
    }

    fn accel_is_open(&self) -> bool {
        self.vm.accel == Accel::Auto && self.input.libvirt.kvm(self.vm) == Kvm::NotAsked
    }

    fn record(
        &self,
        remembered: &Remembered<'_>,
        domain: Option<&Domain>,
        comparison: &Comparison,
        needs: &[StepId],
        builder: &mut PlanBuilder,
    ) -> Option<StepId> {
        let vm = self.vm;
        let mut applied = comparison.applied.clone();
        self.note_places(&mut applied, remembered.record, &comparison.moved, builder);
        self.note_guarded(&mut applied);
        let secret_cmdlines = self.secret_cmdlines(&applied, remembered.record);
        // Not what is wanted, but what an earlier apply left: the text of it is on the host only.
        let stays = applied.cmdline() != Some(vm.boot.cmdline.as_str());
        let digest = remembered.record.map(|record| &record.cmdline_digest);
        let digest = digest.cloned().flatten().unwrap_or_default();
        let share = self.share_kept(remembered.record, comparison);
        let wanted = Record {
            fleet: self.input.spec.fleet.clone(),
            vm: vm.name.clone(),
            uuid: self.uuid(domain),
            applied,
            cmdline_digest: (stays && !secret_cmdlines.is_empty()).then_some(digest),
            secret_cmdlines,
            state: vm.state,
            autostart: vm.autostart,
            on_guest_reboot: vm.on_guest_reboot,
            stop_timeout: vm.stop_timeout,
            protect: vm.protect,
            phase: self.phase.clone(),
            boot: BootRecord {
                ways: self.ways_kept(&share, remembered.record, comparison),
                fresh: self.fresh_kept(remembered.record, comparison),
                share,
                handover: vm.boot.handover,
                seed: vm.boot.seed.is_some(),
                wanted: remembered
                    .record
                    .map_or(Wanted::Auto, |record| record.boot.wanted.clone()),
                confirm_within: vm.boot.confirm_within,
            },
            applied_by: remembered
                .record
                .and_then(|record| record.applied_by.clone()),
        };
        let wanted = match remembered.record {
            // What changed in the file is not applied, and so not recorded.
            Some(record) if self.input.policy.drift_only => Record {
                applied: wanted.applied,
                ..record.clone()
            },
            _ => wanted,
        };
        let is_recorded = |record: &Record| self.is_recorded(&wanted, record);
        if remembered.repair.is_none() && remembered.record.is_some_and(is_recorded) {
            return None;
        }
        let reason = remembered
            .repair
            .clone()
            .unwrap_or_else(|| match self.accepts() {
                true => "--accept: its images and boot share as they are now".to_owned(),
                false => "for the hook and later plans".to_owned(),
            });
        let changes = self.fresh_changes(&wanted.boot.fresh, domain, remembered.record);
        let act = Act::WriteRecord {
            record: Box::new(wanted),
            replaces: !self.input.inventory.record(&vm.name).is_absent(),
        };
        Some(builder.step(
            StepId::new("record", &vm.name),
            Some(&vm.name),
            reason,
            needs,
            changes,
            act,
        ))
    }

    /// The templates by which later plans find secrets in the domain's command lines. An earlier one stays as long as
    /// one of these is not the applied one: a running domain keeps its own until it stops.
    fn secret_cmdlines(&self, applied: &Applied, record: Option<&Record>) -> BTreeSet<String> {
        let cmdline = applied.cmdline();
        let secrets = &self.input.spec.secrets;
        let template = cmdline.filter(|cmdline| secrets.is_named_in(cmdline));
        let earlier = record.map(|record| record.secret_cmdlines.clone());
        let earlier = earlier.filter(|earlier| {
            let seen = || self.input.inventory.cmdlines(&self.vm.name);
            !earlier.is_empty() && seen().iter().any(|seen| Some(seen.as_str()) != cmdline)
        });
        earlier
            .into_iter()
            .flatten()
            .chain(template.map(str::to_owned))
            .collect()
    }

    /// Says which secrets may have other values in the domain.
    fn not_compared(&self, builder: &mut PlanBuilder) {
        let secrets = &self.input.spec.secrets;
        for name in secrets.unknown_in(self.vm.boot.cmdline.as_str()) {
            builder.unknown_value(&self.vm.name, "cmdline", &name);
        }
    }

    /// The ways that the hook is to judge: also of disks that left the file and stay in the domain.
    fn ways_kept(
        &self,
        share: &HostPath,
        record: Option<&Record>,
        comparison: &Comparison,
    ) -> BTreeMap<HostPath, End> {
        let known = record.filter(|_| comparison.keeps(&DISK));
        let known = known
            .into_iter()
            .flat_map(|record| record.boot.ways.clone());
        known.chain(self.sound_ways(share)).collect()
    }

    /// The share that the hook is to read: one that was moved outside armfleet is not replaced.
    fn share_kept(&self, record: Option<&Record>, comparison: &Comparison) -> HostPath {
        let moved = |record: &&Record| {
            let moved = comparison.moved.iter();
            let mut shares = moved.filter(|moved| moved.id.kind == SHARE);
            shares.next().is_some() && record.boot.share != self.vm.boot.share
        };
        let share = record.filter(moved).map(|record| &record.boot.share);
        share.unwrap_or(&self.vm.boot.share).clone()
    }
}

/// Why a domain is edited, all its properties taken together; none where none is known.
fn cause_of(comparison: &Comparison) -> Option<Cause> {
    let causes: Option<Vec<Cause>> = comparison
        .changes
        .iter()
        .map(|change| change.cause)
        .collect();
    causes?.into_iter().reduce(Cause::together)
}

fn reason_of(cause: Option<Cause>) -> &'static str {
    cause.map_or("differs from the file", Cause::words)
}
