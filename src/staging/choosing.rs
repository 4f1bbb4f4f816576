//! Which pair of a VM's own boots at one start.

use super::generations::{Arrival, Generations, Incoming, Rules, StageError, Staged};
use super::receipts::stage_seed;
use super::said::Said;
use super::share::Seen;
use crate::boot::{
    Candidate, Contents, Failure, FileNote, GenerationId, INSTALLED, Origin, PairSource,
    PassedOver, Trials, Unusable, choose,
};
use crate::files::{BootShare, Directory, OpenFile as _, OwnFileError, chain, digest_unchanged};
use crate::mark::{Record, Wanted};
use crate::values::HostPath;
use std::io;
use std::path::Path;

/// What choosing looks at, and what it has to say.
pub struct Choosing<'a, D, S> {
    /// The VM's.
    pub record: &'a Record,
    /// What is staged.
    pub generations: &'a Generations<D>,
    /// The VM's share, if it can be opened.
    pub share: Option<&'a S>,
    /// What holds for a pair that is staged.
    pub rules: Rules<'a>,
    /// What is known of the pairs that ran.
    pub trials: &'a mut Trials,
    /// What there is to say.
    pub said: &'a mut Said,
}

impl<D: Directory, S: BootShare<File = D::File>> Choosing<'_, D, S> {
    /// What the user chose; else what the share has; else what is staged or worked before; else the seed. A staged seed
    /// is replaced by another one.
    pub fn choose(&mut self) -> Option<GenerationId> {
        let chosen = self.choose_pair();
        self.say_pages(chosen.as_ref());
        chosen
    }

    fn choose_pair(&mut self) -> Option<GenerationId> {
        if let Some(id) = self.wanted_pair().or_else(|| self.share_pair()) {
            return Some(id);
        }
        let staged = self.generations.current();
        let staged = staged.as_ref();
        if staged.is_some_and(|staged| staged.note.source == PairSource::Seed) {
            self.seed_pair(staged)
                .or_else(|| self.staged_pair(staged?))
                .or_else(|| self.proved_pair())
        } else {
            staged
                .and_then(|staged| self.staged_pair(staged))
                .or_else(|| self.proved_pair())
                .or_else(|| self.seed_pair(staged))
        }
    }

    /// The generation that the record asks for, if its bytes are what they were.
    fn wanted_pair(&mut self) -> Option<GenerationId> {
        let Wanted::Generation(name) = &self.record.boot.wanted else {
            return None;
        };
        let wanted = wanted_id(self.record);
        match wanted.and_then(|id| self.generations.get(id)) {
            Some(staged) => self.verified(&staged, "as asked for"),
            None => {
                let name = name.escape_default();
                self.say(format!("the wanted generation `{name}` is not there"));
                None
            }
        }
    }

    /// What is staged, unless it failed.
    fn staged_pair(&mut self, staged: &Staged) -> Option<GenerationId> {
        match self.trials.failure(&staged.id) {
            Some(failure) => {
                self.say_failed(&staged.id, failure);
                None
            }
            None => self.verified(staged, "staged before"),
        }
    }

    /// The pair that worked last.
    fn proved_pair(&mut self) -> Option<GenerationId> {
        let proved = self.trials.proved.clone()?;
        match self.generations.get(proved) {
            Some(staged) => self.verified(&staged, "which worked before"),
            None => {
                self.say("the pair that worked before is not there any more");
                None
            }
        }
    }

    /// A staged generation, if its bytes are what they were.
    fn verified(&mut self, staged: &Staged, why: &str) -> Option<GenerationId> {
        if staged.note.source == PairSource::Installer {
            self.say("what is staged is its installer, which is not booted again");
            return None;
        }
        if !self.is_for_guest(staged) {
            let arch = self.rules.arch;
            self.say(format!(
                "{} is no kernel for {arch}, which its guest is now",
                described(staged)
            ));
            return None;
        }
        match self.generations.renew(staged, self.rules.group) {
            Ok(()) => {
                self.said.boots(format!("{}, {why}", described(staged)));
                Some(staged.id.clone())
            }
            Err(fault) => {
                self.said.warn(format!("{why}: {}", chain(&fault)));
                None
            }
        }
    }

    /// The first pair of the share that is good. Where a failed one is met first, the one that worked last boots.
    fn share_pair(&mut self) -> Option<GenerationId> {
        let share = self.share?;
        let path = Path::new(self.record.boot.share.as_str());
        let looked = Seen::of(share).map_err(OwnFileError::new("look into the share", path));
        let seen = looked.map_err(|fault| self.said.warn(chain(&fault))).ok()?;
        let staged = self.generations.current();
        // Links that name a kernel for another processor are no complaint of a guest that has one for this, too.
        let mut others = Vec::new();
        for considered in choose(&seen.listing, self.rules.arch) {
            let pair = match considered {
                Ok(pair) => pair,
                Err(passed_over)
                    if !others.is_empty()
                        || matches!(passed_over.why, Unusable::OtherArch { .. }) =>
                {
                    others.push(passed_over);
                    continue;
                }
                Err(passed_over) if passed_over.was_withheld() => {
                    self.said.warn(passed_over.to_string());
                    continue;
                }
                Err(passed_over) => {
                    self.said.pass_over(passed_over.to_string());
                    continue;
                }
            };
            let (kernel, initrd) = seen.origins(&pair)?;
            let known = self
                .trials
                .failed_files(&kernel.file, &initrd.file)
                .cloned();
            if let Some(id) = known {
                match self.instead_of(&id) {
                    None => continue,
                    chosen => return chosen,
                }
            }
            let unchanged = |staged: &&Staged| {
                is_unchanged(staged, &pair, &kernel, &initrd) && self.is_for_guest(staged)
            };
            let staged = staged.as_ref().filter(unchanged);
            if let Some(staged) = staged.filter(|staged| self.is_still(staged, share, &pair)) {
                match self.generations.renew(staged, self.rules.group) {
                    Ok(()) => {
                        if self.said.calls_for_attention() {
                            let source = pair.source.describe();
                            self.said.boots(format!("{} ({source})", pair.version));
                        }
                        return Some(staged.id.clone());
                    }
                    Err(fault) => self
                        .said
                        .warn(format!("{}; it is staged again", chain(&fault))),
                }
            }
            let files = (kernel.file, initrd.file);
            match self.stage_candidate(share, &pair, kernel, initrd) {
                Ok(staged) => {
                    let source = pair.source.describe();
                    self.said.boots(format!("{} ({source})", pair.version));
                    self.say_unpacked(pair.initrd.as_str(), staged.contents);
                    return Some(staged.id);
                }
                Err(fault @ StageError::UsedUp(_)) => {
                    let why = format!("{}: {}", pair.source.describe(), chain(&fault));
                    self.said.use_up(why);
                    break;
                }
                Err(StageError::Failed(id, _)) => {
                    self.trials.seen_again(&id, files.0, files.1);
                    match self.instead_of(&id) {
                        None => {}
                        chosen => return chosen,
                    }
                }
                Err(fault) => self.refuse_candidate(&pair, &fault),
            }
        }
        self.pass_over_others(&others);
        None
    }

    /// Says why a pair is not staged: for lack of something on the host, or for what the guest made of it.
    fn refuse_candidate(&mut self, pair: &Candidate, fault: &StageError) {
        let mut why = format!("{}: {}", pair.source.describe(), chain(fault));
        if let Some(remedy) = fault.remedy() {
            why = format!("{why} -> {remedy}");
        }
        if fault.is_the_hosts() {
            self.said.warn(why);
            self.said.advise(fault.hosts_remedy());
        } else {
            self.said.pass_over(why);
        }
    }

    /// Says which pairs are not for this VM's processor, once nothing else boots.
    fn pass_over_others(&mut self, others: &[PassedOver]) {
        if !others.is_empty() {
            let arch = self.rules.arch;
            self.said.advise(Some(format!(
                "have the fleet file say the `arch` of the kernels in {}, or give the VM a `boot.seed` for {arch}, and run \
                 `armfleet apply`",
                self.record.boot.share
            )));
        }
        for other in others {
            self.said.pass_over(other.to_string());
        }
    }

    /// Whether files that look as they did when they were staged hold what they held. Where a change may not have shown, they
    /// are read.
    fn is_still(&self, staged: &Staged, share: &S, pair: &Candidate) -> bool {
        let note = &staged.note;
        if note.kernel.settled && note.initrd.settled {
            return true;
        }
        let size = note.kernel.size.saturating_add(note.initrd.size);
        if self.rules.allowance.read_pair(size).is_err() {
            return false;
        }
        let mut settled = true;
        let mut holds = |name, note: &FileNote| {
            let mut file = share.open_file(name).ok()?;
            settled &= file.settle().ok()?;
            let sha256 = digest_unchanged(&mut file, &note.from.file, note.size).ok()?;
            (sha256 == note.sha256).then_some(())
        };
        let is_still = holds(&pair.kernel, &note.kernel)
            .and_then(|()| holds(&pair.initrd, &note.initrd))
            .is_some();
        if is_still && settled {
            // Else they are read once more, next time.
            let _ = self.generations.note_settled(staged);
        }
        is_still
    }

    /// What boots instead of a pair that failed.
    fn instead_of(&mut self, id: &GenerationId) -> Option<GenerationId> {
        let failure = self.trials.failure(id)?;
        self.say_failed(id, failure);
        self.proved_pair()
    }

    fn stage_candidate(
        &self,
        share: &S,
        pair: &Candidate,
        kernel: Origin,
        initrd: Origin,
    ) -> Result<Arrival, StageError> {
        let size = kernel.file.size.saturating_add(initrd.file.size);
        self.rules.allowance.read_pair(size)?;
        let open = |name| {
            let opened = share.open_file(name);
            opened.map_err(|source| StageError::unopened(name.to_string(), source))
        };
        let incoming = Incoming {
            source: pair.source,
            version: Some(pair.version.clone()),
            kernel: (kernel, open(&pair.kernel)?),
            initrd: (initrd, open(&pair.initrd)?),
            expected: None,
        };
        self.generations.stage(incoming, self.rules, self.trials)
    }

    fn seed_pair(&mut self, staged: Option<&Staged>) -> Option<GenerationId> {
        if !self.record.boot.seed {
            self.say("seed: the fleet file gives none");
            return None;
        }
        match stage_seed(self.generations, staged, self.rules, self.trials) {
            Ok(seed) => {
                self.said.boots("its seed");
                self.say_unpacked("its initrd", seed.contents);
                Some(seed.id)
            }
            Err(fault) => {
                self.said.warn(format!("seed: {}", chain(&fault)));
                None
            }
        }
    }

    /// Says that the guest will not start with the kernel that was chosen. A plan says it, too.
    fn say_pages(&mut self, chosen: Option<&GenerationId>) {
        let programs = self.record.applied.userland();
        let staged = chosen.and_then(|id| self.generations.get(id.clone()));
        let kind = staged.and_then(|staged| self.generations.kind(&staged));
        let (Some(programs), Some(kind)) = (programs, kind) else {
            return;
        };
        if let Some(pages) = kind.pages.filter(|_| !kind.runs(programs)) {
            self.say(format!(
                "its kernel has pages of {pages}, and runs no {programs} programs"
            ));
        }
    }

    /// Says that an initrd was not unpacked to its end, if that is so.
    fn say_unpacked(&mut self, initrd: &str, contents: Contents) {
        if let Contents::Limited(used_up) = contents {
            self.said.use_up(format!(
                "{initrd} was checked by its container and parameters only: {used_up}"
            ));
        }
    }

    fn is_for_guest(&self, staged: &Staged) -> bool {
        self.generations.is_for(staged, self.rules.arch)
    }

    fn say_failed(&mut self, id: &GenerationId, failure: Failure) {
        let what = self.trials.name_of(id);
        let vm = &self.record.vm;
        self.say(format!(
            "{what} failed ({failure}) and is not booted until its bytes change; `armfleet boot retry {vm}` gives it another \
             chance"
        ));
    }

    fn say(&mut self, line: impl Into<String>) {
        self.said.say(line);
    }
}

/// The generation that the record asks for.
pub fn wanted_id(record: &Record) -> Option<GenerationId> {
    match &record.boot.wanted {
        Wanted::Auto => None,
        Wanted::Generation(id) => GenerationId::try_from(id.clone()).ok(),
    }
}

/// Why nothing may be installed.
#[derive(Debug, thiserror::Error)]
pub enum MayNotInstall {
    /// The guest says so.
    #[error("it is installed, and must not be installed again")]
    Installed,
    /// The installer has begun.
    #[error(
        "its installation ended without a kernel in its boot share, and its disk {0} is no longer empty"
    )]
    Failed(HostPath),
    /// The guest may have said so.
    #[error("its boot share cannot be read, so whether it is installed is not known")]
    ShareUnreadable(#[source] io::Error),
    /// Something of the host.
    #[error(transparent)]
    Own(#[from] OwnFileError),
}

/// Fails unless the installer would begin on an empty disk. Nothing else says as surely that a VM was not installed:
/// neither a record nor a share, which may be lost.
///
/// # Errors
/// Why it may not.
pub fn may_install(
    share: &impl BootShare,
    disk: &HostPath,
    is_blank: impl FnOnce(&HostPath) -> io::Result<bool>,
) -> Result<(), MayNotInstall> {
    match share.see(INSTALLED.as_bytes()) {
        Ok(Some(_)) => return Err(MayNotInstall::Installed),
        Ok(None) => {}
        Err(error) => return Err(MayNotInstall::ShareUnreadable(error)),
    }
    let path = Path::new(disk.as_str());
    let blank = is_blank(disk).map_err(OwnFileError::new("look at the disk", path))?;
    if blank {
        Ok(())
    } else {
        Err(MayNotInstall::Failed(disk.clone()))
    }
}

/// Whether a staged generation is still what a candidate would give.
fn is_unchanged(staged: &Staged, pair: &Candidate, kernel: &Origin, initrd: &Origin) -> bool {
    staged.note.source == pair.source
        && staged.note.kernel.from == *kernel
        && staged.note.initrd.from == *initrd
}

fn described(staged: &Staged) -> String {
    match &staged.note.version {
        Some(version) => version.to_string(),
        None => format!("generation {}", staged.id),
    }
}
