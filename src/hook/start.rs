//! One start of one VM: what it boots.

use super::domain::{Linked, Starting};
use super::files::{lock, write_stamp};
use super::linked::{HandOverError, had_beside, hand_over, take_back};
use super::open::{can_boot_unchecked, is_bootable, open_generations, renew_staged};
use super::outcome::Outcome;
use super::share;
use super::trial;
use crate::boot::{Allowance, GenerationId, TRIALS_FORMAT, Trials};
use crate::files::{
    Directory as _, Folder, LaterFile, OwnFileError, Root, Share, chain, holding, is_blank, later,
    processor_time, remove_file,
};
use crate::format::UPGRADE;
use crate::mark::{Phase, Record, RunStamp, Wanted};
use crate::paths;
use crate::staging::{
    Choosing, Generations, MayNotInstall, ReceiptError, RenewError, Rules, Said, Unverified,
    beside_note, may_install, renew, stage_installer, wanted_id,
};
use crate::values::{Arch, HostPath, VmName};
use std::fs;

use std::os::unix::fs::MetadataExt;

use std::time::{Duration, SystemTime};

/// How long to wait for another process with the staging lock; an apply holds it while it copies a seed.
const LOCK_TIME: Duration = Duration::from_secs(5);
/// How soon after its `restore` hook libvirt calls the `prepare` hook, at the most: other hooks may run between.
const RESTORE_TIME: Duration = Duration::from_secs(60);

/// Why nothing was staged.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("there is no pair of kernel and initrd to boot")]
    NoPair,
    #[error("another process holds the staging lock for too long")]
    Locked,
    #[error("its architecture is `{0}`; armfleet boots {bootable}", bootable = bootable())]
    UnknownArch(String),
    #[error(transparent)]
    Install(#[from] MayNotInstall),
    #[error("its installer cannot be used")]
    Installer(#[source] ReceiptError),
    #[error(transparent)]
    Later(LaterFile),
    #[error(transparent)]
    Link(#[from] HandOverError),
    /// Others can have one of its paths lead elsewhere.
    #[error(transparent)]
    Way(OwnFileError),
    /// A scratch disk is as it was.
    #[error(transparent)]
    Scratch(#[from] RenewError),
    /// What is staged is not what it was.
    #[error(transparent)]
    Staged(#[from] Unverified),
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

/// The architectures of guests that boot, as libvirt calls them.
fn bootable() -> String {
    Arch::ALL.map(|arch| arch.facts().libvirt).join(" and ")
}

/// One start, and what the hook says about it.
pub(super) struct Start<'a> {
    root: &'a Root,
    record: &'a Record,
    domain: &'a Starting,
    linked: Option<Linked>,
    /// Whether libvirt restores it from a file, or takes it over from another host: its kernel is in its memory, and its
    /// disks go with that.
    restored: bool,
    /// The stamp of the run before this start.
    last_run: Option<RunStamp>,
    /// The trials as they were remembered.
    recalled: Trials,
    said: Said,
}

impl<'a> Start<'a> {
    pub(super) fn new(root: &'a Root, record: &'a Record, domain: &'a Starting) -> Self {
        Self {
            root,
            record,
            domain,
            linked: domain.linked(),
            restored: is_restored(root, &record.vm),
            last_run: trial::last_run(root, &record.vm),
            recalled: Trials::default(),
            said: Said::default(),
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        let switched = self.switch().and_then(|()| self.hand_over());
        let bootable = switched.or_else(|error| self.fall_back(error));
        // The last: a start that is refused erases nothing.
        let prepared = bootable.and_then(|()| self.renew());
        let outcome = self.outcome(prepared);
        // For `status`. The stamp's time, which matters more, was set at the beginning.
        let note = self.said.note().render();
        let _ = write_stamp(self.root, &paths::hook_seen(&self.record.vm), &note);
        outcome
    }

    /// Makes `current` name what the VM is to boot.
    fn switch(&mut self) -> Result<(), StartError> {
        let vm = &self.record.vm;
        self.make_run_folders()?;
        write_stamp(self.root, &paths::hook_seen(vm), "")?;
        share::check_ways(&self.record.boot).map_err(StartError::Way)?;
        if self.restored && is_bootable(self.root, vm, &self.domain.arch) {
            match renew_staged(self.root, vm) {
                Ok(()) => {
                    self.say("restored with its memory; nothing was staged");
                    return Ok(());
                }
                Err(fault) => self.said.warn(chain(&fault)),
            }
        }
        let allowance = Allowance::of_a_start(processor_time);
        let rules = self.rules(&allowance)?;
        let lock = lock(self.root, &paths::staging_lock(vm), LOCK_TIME)?;
        let _held = lock.ok_or(StartError::Locked)?;
        let generations = open_generations(self.root, vm)?;
        let trials = later(self.root, &paths::trials(vm), TRIALS_FORMAT);
        if let Some(later) = trials.or_else(|| generations.later_note()) {
            return self.keep_staged(later);
        }
        match &self.record.phase {
            Phase::Own => self.switch_to_own(&generations, rules),
            Phase::Installing { disk } => {
                let share = share::open(self.record)?;
                may_install(&share, disk, |disk| {
                    is_blank(&share::open_image(&self.record.boot, disk)?)
                })?;
                let id = stage_installer(&generations, rules).map_err(StartError::Installer)?;
                self.say("boots its installer");
                generations.switch(&id)?;
                Ok(())
            }
        }
    }

    /// Boots what a later version of armfleet has staged, and leaves everything as it is.
    fn keep_staged(&mut self, later: LaterFile) -> Result<(), StartError> {
        if self.record.phase == Phase::Own
            && is_bootable(self.root, &self.record.vm, &self.domain.arch)
        {
            renew_staged(self.root, &self.record.vm)?;
            self.say(format!("{}; boots what was staged before", chain(&later)));
            return Ok(());
        }
        Err(StartError::Later(later))
    }

    /// With `link`, links the pair beside the share, and takes away what it had beside another, or at all. The shim is told
    /// first: once they are there, only this program knows whether they are still good.
    fn hand_over(&mut self) -> Result<(), StartError> {
        let beside = match &self.linked {
            Some(Linked::Beside(share)) => Some(share.clone()),
            _ => None,
        };
        let mut former = had_beside(self.root, self.record)?;
        former.retain(|had| Some(had) != beside.as_ref());
        match &self.linked {
            Some(linked) => {
                self.note_beside(&former, beside.as_ref())?;
                hand_over(self.root, &self.record.vm, linked, Some(self.record))?;
                self.take_back(&mut former);
                self.note_beside(&former, beside.as_ref())?;
            }
            None => {
                let mark = paths::linked(&self.record.vm);
                let (folder, name) = holding(self.root, &mark)?;
                remove_file(&folder, name)?;
                self.take_back(&mut former);
            }
        }
        if matches!(self.linked, Some(Linked::Inside(_))) {
            self.said.warn(
                "its definition names its kernel inside its boot share, where QEMU's user can put another file in its place; \
                 `armfleet apply` moves it out"
            );
        }
        Ok(())
    }

    /// Notes beside which shares the VM has names, or may have.
    fn note_beside(&self, former: &[HostPath], now: Option<&HostPath>) -> Result<(), OwnFileError> {
        let text = beside_note(former.iter().chain(now));
        write_stamp(self.root, &paths::linked(&self.record.vm), &text)
    }

    /// Takes away what the VM has had beside shares that it boots from no more, and leaves those with which that failed.
    fn take_back(&mut self, former: &mut Vec<HostPath>) {
        former.retain(|share| {
            let taken = take_back(self.root, &self.record.vm, share);
            taken
                .inspect_err(|fault| self.said.say(chain(fault)))
                .is_err()
        });
    }

    /// Makes `current` name a pair of the guest's own, or its seed.
    fn switch_to_own(
        &mut self,
        generations: &Generations<Folder>,
        rules: Rules,
    ) -> Result<(), StartError> {
        let share = share::open(self.record)
            .map_err(|fault| self.said.warn(chain(&fault)))
            .ok();
        let (mut trials, outcome) = self.decide(share.as_ref());
        let mut choosing = Choosing {
            record: self.record,
            generations,
            share: share.as_ref(),
            rules,
            trials: &mut trials,
            said: &mut self.said,
        };
        let chosen = choosing.choose();
        let switched = match &chosen {
            Some(id) => generations.switch(id).map_err(StartError::from),
            None => Err(StartError::NoPair),
        };
        if let Some(staged) = chosen.and_then(|id| generations.get(id)) {
            let before = share.as_ref().and_then(trial::confirmation_identity);
            let asked_for = self.record.boot.wanted != Wanted::Auto;
            trials.begin(&staged.id, &staged.note, before, asked_for);
        }
        self.keep(generations, &mut trials, outcome);
        switched
    }

    /// Decides on the last run.
    fn decide(&mut self, share: Option<&Share>) -> (Trials, bool) {
        let vm = &self.record.vm;
        let (mut trials, complaint) = trial::recall(self.root, vm);
        self.recalled = trials.clone();
        complaint.into_iter().for_each(|line| self.said.warn(line));
        let evidence = trial::take_evidence(self.root, vm, share, self.last_run);
        let outcome = trials.decide(&evidence, self.record.boot.confirm_within);
        if let Some(outcome) = &outcome {
            self.say(outcome.to_string());
            if let Err(fault) = trial::journal(self.root, vm, outcome) {
                self.say(chain(&fault));
            }
        }
        (trials, outcome.is_some())
    }

    /// Keeps the generations that may be booted again with what is known of them, and removes the others.
    fn keep(&mut self, generations: &Generations<Folder>, trials: &mut Trials, outcome: bool) {
        let kept: Vec<GenerationId> = generations
            .linked()
            .chain(trials.proved.clone())
            .chain(wanted_id(self.record))
            .collect();
        trials.retain(&kept);
        let vm = &self.record.vm;
        let changed = *trials != self.recalled;
        let remembered = trial::remember(self.root, vm, changed.then_some(&*trials), outcome);
        let tidied = generations.tidy(&kept).map(|stays| {
            stays.into_iter().for_each(|line| self.said.warn(line));
        });
        for fault in [remembered, tidied].into_iter().filter_map(Result::err) {
            self.said.warn(chain(&fault));
        }
    }

    fn make_run_folders(&self) -> Result<(), OwnFileError> {
        [paths::RUN, paths::STAGING_LOCKS, paths::HOOK_SEEN]
            .iter()
            .try_for_each(|path| {
                let (parent, name) = holding(self.root, path)?;
                let made = parent.sub_or_make(name, 0o700);
                made.map(drop)
                    .map_err(OwnFileError::new("make the folder", &parent.at(name)))
            })
    }

    fn rules<'s>(&self, allowance: &'s Allowance) -> Result<Rules<'s>, StartError> {
        let arch = &self.domain.arch;
        // The share's group is QEMU's, as apply made it; a guest cannot change it in mapped mode.
        let share = fs::symlink_metadata(self.record.boot.share.as_str());
        Ok(Rules {
            arch: Arch::from_libvirt(arch).ok_or_else(|| StartError::UnknownArch(arch.clone()))?,
            group: share.map_or(0, |share| share.gid()),
            allowance,
        })
    }

    fn say(&mut self, line: impl Into<String>) {
        self.said.say(line);
    }

    /// Boots what was staged before, where that is safe.
    fn fall_back(&mut self, error: StartError) -> Result<(), StartError> {
        let can_fall_back = !matches!(error, StartError::NoPair | StartError::Way(_));
        let falls_back = self.record.phase == Phase::Own && can_fall_back;
        if !falls_back || !can_boot_unchecked(self.root, &self.record.vm, &self.domain.arch) {
            return Err(error);
        }
        if let Err(fault) = renew_staged(self.root, &self.record.vm) {
            self.said.warn(chain(&fault));
            return Err(error);
        }
        let why = chain(&error);
        self.said
            .warn(format!("{why}; boots what was staged before"));
        Ok(())
    }

    /// Makes its scratch disks anew.
    fn renew(&mut self) -> Result<(), StartError> {
        let (root, record) = (self.root, self.record);
        if record.boot.fresh.is_empty() {
            let receipt = paths::fresh_receipt(&record.vm);
            let (own, name) = holding(root, &receipt)?;
            remove_file(&own, name)?;
            return Ok(());
        }
        if self.restored {
            return Ok(());
        }
        let lock = lock(root, &paths::staging_lock(&record.vm), LOCK_TIME)?;
        let _held = lock.ok_or(StartError::Locked)?;
        let path = paths::vm_folder(&record.vm);
        let own = root.folder(&path);
        let own = own.map_err(OwnFileError::new("open", &root.below(&path)))?;
        let open = |path: &HostPath| share::image_place(&record.boot, path);
        for path in renew(record, &self.domain.disks, &own, open)? {
            self.said.say(format!("made its scratch disk {path} anew"));
        }
        Ok(())
    }

    fn outcome(&mut self, prepared: Result<(), StartError>) -> Outcome {
        let vm = &self.record.vm;
        let error = match prepared {
            Ok(()) => return Outcome::done(vm, self.said.lines()),
            Err(error) => error,
        };
        let why = chain(&error);
        let remedy = self.remedy(&error);
        let outcome = Outcome::refused(vm, &why, self.said.lines(), &remedy);
        self.say(format!("cannot start: {why}"));
        self.say(format!("To do: {remedy}"));
        outcome
    }

    fn remedy(&self, error: &StartError) -> String {
        let (vm, share) = (&self.record.vm, &self.record.boot.share);
        match error {
            StartError::NoPair if self.said.remedy().is_some() => {
                start_again(self.said.remedy().map(str::to_owned))
            }
            StartError::NoPair if self.record.boot.seed => {
                "run `armfleet apply`, which stages a damaged seed again, or have `boot.seed` name another kernel and \
                 initrd and apply; then start the VM again."
                    .to_owned()
            }
            StartError::NoPair => format!(
                "put the guest's vmlinuz-VERSION and initrd.img-VERSION into {share}, or give the VM a `boot.seed` in the \
                 fleet file and run `armfleet apply`; then start the VM again."
            ),
            StartError::Install(MayNotInstall::Installed) => {
                "run `armfleet apply`, which starts it with its own kernel.".to_owned()
            }
            StartError::Install(MayNotInstall::Failed(disk)) => format!(
                "`armfleet boot extract {vm}` takes a kernel out of the disk, if there is one; `armfleet apply --reinstall \
                 {vm}` erases {disk} and installs again."
            ),
            StartError::Scratch(error) => scratch_remedy(vm, error),
            StartError::Later(_) | StartError::Installer(ReceiptError::Later(_)) => {
                start_again(Some(UPGRADE.to_owned()))
            }
            StartError::Way(_) => start_again(Some("`armfleet plan` says what to do about it".to_owned())),
            StartError::Own(fault) | StartError::Install(MayNotInstall::Own(fault)) => start_again(fault.remedy()),
            StartError::Link(fault) => start_again(fault.remedy()),
            _ => start_again(None),
        }
    }
}

/// What to do about a scratch disk that was not made anew.
fn scratch_remedy(vm: &VmName, error: &RenewError) -> String {
    match error {
        RenewError::Elsewhere { .. } | RenewError::Format { .. } => {
            start_again(Some("run `armfleet apply`".to_owned()))
        }
        RenewError::NotOurs(path) => format!(
            "move {path} away and start the VM again, or run `armfleet apply --allow-replace {vm}` to have it erased at each \
             start."
        ),
        RenewError::Snapshots(_) => start_again(Some(format!(
            "`virsh snapshot-list {vm}` names them, and `virsh snapshot-delete {vm} NAME` removes one"
        ))),
        RenewError::Make { path, .. } => start_again(Some(format!(
            "put this right, or take `fresh` from the disk {path} in the fleet file and run `armfleet apply`"
        ))),
        RenewError::Later(_) => start_again(Some(UPGRADE.to_owned())),
        RenewError::Own(fault) => start_again(fault.remedy()),
    }
}

/// Whether libvirt restores a VM from a file, or takes it over from another host: its kernel is in its memory.
/// libvirt calls the hook with `restore` (`migrate`) right before (`src/qemu/qemu_driver.c`, `qemuDomainObjRestore`;
/// `src/qemu/qemu_migration.c`), and the shim then leaves a file. An old one is of a restore that went no further.
fn is_restored(root: &Root, vm: &VmName) -> bool {
    let path = paths::restoring(vm);
    let Ok((folder, name)) = holding(root, &path) else {
        return false;
    };
    let noted = folder.open_file(name).and_then(|file| file.metadata());
    let fresh = noted.and_then(|seen| seen.modified()).is_ok_and(|at| {
        let age = SystemTime::now().duration_since(at);
        age.is_ok_and(|age| age < RESTORE_TIME)
    });
    // It counts once: the next start is a start.
    let taken = remove_file(&folder, name).is_ok_and(|taken| taken);
    fresh && taken
}

/// What to do about a failure, before the VM is started again.
pub(super) fn start_again(remedy: Option<String>) -> String {
    let first = remedy.unwrap_or_else(|| "put this right".to_owned());
    format!("{first}; then start the VM again.")
}
