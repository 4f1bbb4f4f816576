//! One start of one VM: what it boots.

use super::files::{
    Deadline, FileFault, chain, identity, lock, make_folder, open_plain, read_own, write_stamp,
};
use super::generations::{Generations, Incoming, Rules, StageFault, Staged};
use super::prepare::{Outcome, is_bootable};
use super::root::Root;
use super::share::Share;
use crate::boot::{
    Candidate, GenerationId, GuestArch, NoteError, Origin, PairSource, SeedPart, SeedReceipt,
    choose, read_seed_receipt,
};
use crate::mark::{Record, Wanted};
use crate::spec::{VmName, layout};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long the share may be read, copied and checked.
const STAGING_TIME: Duration = Duration::from_secs(20);
/// How long a staged pair may be read again.
const VERIFYING_TIME: Duration = Duration::from_secs(10);
/// How long to wait for whoever else has the staging lock; an apply holds it while it copies a seed.
const LOCK_TIME: Duration = Duration::from_secs(5);
/// How soon after its `restore` hook libvirt calls the `prepare` hook, at the most: other hooks may run between.
const RESTORE_TIME: Duration = Duration::from_secs(60);

/// Why nothing was staged.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("there is no pair of kernel and initrd to boot")]
    NoPair,
    #[error("somebody else holds the staging lock for too long")]
    Locked,
    #[error("its architecture is `{0}`; armfleet boots armv7l and aarch64")]
    UnknownArch(String),
    #[error(transparent)]
    Own(#[from] FileFault),
}

/// Why the seed cannot be used.
#[derive(Debug, thiserror::Error)]
enum SeedFault {
    #[error("{} is not there; run `armfleet apply`", .0.display())]
    NoReceipt(PathBuf),
    #[error("{} is damaged; run `armfleet apply`", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: NoteError,
    },
    #[error(transparent)]
    Own(#[from] FileFault),
    #[error(transparent)]
    Stage(#[from] StageFault),
}

/// One start, and what is to be said about it.
pub(super) struct Start<'a> {
    root: &'a Root,
    record: &'a Record,
    /// libvirt's name of the domain's instruction set.
    arch: String,
    lines: Vec<String>,
}

impl<'a> Start<'a> {
    pub(super) fn new(root: &'a Root, record: &'a Record, arch: String) -> Self {
        let lines = Vec::new();
        Self {
            root,
            record,
            arch,
            lines,
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        let switched = self.switch();
        let outcome = self.outcome(switched);
        // For `status`. The stamp's time, which matters more, was set at the beginning.
        let _ = write_stamp(&self.path(layout::hook_seen), &outcome.text);
        outcome
    }

    /// Makes `current` name what the VM is to boot.
    fn switch(&mut self) -> Result<(), Trouble> {
        self.make_run_folders()?;
        write_stamp(&self.path(layout::hook_seen), "")?;
        if self.is_restored() && is_bootable(&self.path(layout::current)) {
            self.say("restored with its memory; nothing was staged");
            return Ok(());
        }
        let rules = self.rules()?;
        let lock = lock(&self.path(layout::staging_lock), LOCK_TIME)?;
        let _held = lock.ok_or(Trouble::Locked)?;
        let generations = Generations::open(self.path(layout::boot_folder))?;
        let chosen = self
            .wanted_pair(&generations)
            .or_else(|| self.chosen_pair(&generations, rules));
        let switched = match chosen {
            Some(chosen) => generations.switch(&chosen).map_err(Trouble::from),
            None => Err(Trouble::NoPair),
        };
        if let Err(fault) = generations.tidy(self.wanted_id().as_ref()) {
            self.say(chain(&fault));
        }
        switched
    }

    /// Where one of the VM's files is.
    fn path(&self, of: fn(&VmName) -> String) -> PathBuf {
        self.root.below(&of(&self.record.vm))
    }

    fn make_run_folders(&self) -> Result<(), FileFault> {
        [layout::RUN, layout::STAGING_LOCKS, layout::HOOK_SEEN]
            .iter()
            .try_for_each(|folder| make_folder(&self.root.below(folder), 0o700))
    }

    /// Whether libvirt restores this VM from a file, or takes it over from another host: its kernel is in its memory.
    /// libvirt calls the hook with `restore` (`migrate`) right before (`src/qemu/qemu_driver.c`, `qemuDomainObjRestore`;
    /// `src/qemu/qemu_migration.c`), and the shim then leaves a file. An old one is of a restore that went no further.
    fn is_restored(&self) -> bool {
        let path = self.path(layout::restoring);
        let noted = fs::symlink_metadata(&path).and_then(|seen| seen.modified());
        let fresh = noted.is_ok_and(|at| {
            let age = SystemTime::now().duration_since(at);
            age.is_ok_and(|age| age < RESTORE_TIME)
        });
        // It counts once: the next start is a start.
        let taken = fs::remove_file(&path).is_ok();
        fresh && taken
    }

    fn rules(&self) -> Result<Rules, Trouble> {
        let arch = GuestArch::from_libvirt(&self.arch);
        // The share's group is QEMU's, as apply made it; a guest cannot change it in mapped mode.
        let share = fs::symlink_metadata(self.record.boot.share.as_str());
        Ok(Rules {
            arch: arch.ok_or_else(|| Trouble::UnknownArch(self.arch.clone()))?,
            group: share.map_or(0, |share| share.gid()),
            deadline: Deadline::after(STAGING_TIME),
        })
    }

    fn wanted_id(&self) -> Option<GenerationId> {
        match &self.record.boot.wanted {
            Wanted::Auto => None,
            Wanted::Generation(id) => GenerationId::try_from(id.clone()).ok(),
        }
    }

    /// The generation that the record asks for, if its bytes are what they were.
    fn wanted_pair(&mut self, generations: &Generations) -> Option<GenerationId> {
        let Wanted::Generation(name) = &self.record.boot.wanted else {
            return None;
        };
        match self.wanted_id().and_then(|id| generations.get(id)) {
            Some(staged) => self.staged_pair(generations, &staged),
            None => {
                let name = name.escape_default();
                self.say(format!("the wanted generation `{name}` is not there"));
                None
            }
        }
    }

    /// What the share has; else what is staged; else the seed. A staged seed gives way to another one.
    fn chosen_pair(&mut self, generations: &Generations, rules: Rules) -> Option<GenerationId> {
        let staged = generations.current();
        let staged = staged.as_ref();
        let seeded = staged.is_some_and(|staged| staged.note.source == PairSource::Seed);
        if let Some(id) = self.share_pair(generations, staged, rules) {
            return Some(id);
        }
        if seeded {
            self.seed_pair(generations, staged, rules)
                .or_else(|| self.staged_pair(generations, staged?))
        } else {
            staged
                .and_then(|staged| self.staged_pair(generations, staged))
                .or_else(|| self.seed_pair(generations, staged, rules))
        }
    }

    /// A staged generation, if its bytes are what they were.
    fn staged_pair(&mut self, generations: &Generations, staged: &Staged) -> Option<GenerationId> {
        let verified = generations.verify(staged, Deadline::after(VERIFYING_TIME));
        let fault = match verified {
            Ok(()) => {
                self.say(format!("boots {}, staged before", described(staged)));
                return Some(staged.id.clone());
            }
            Err(fault) => fault,
        };
        self.say(format!("staged before: {}", chain(&fault)));
        None
    }

    fn share_pair(
        &mut self,
        generations: &Generations,
        staged: Option<&Staged>,
        rules: Rules,
    ) -> Option<GenerationId> {
        let path = Path::new(self.record.boot.share.as_str());
        let looked = Share::open(path).and_then(|share| {
            let seen = share
                .look()
                .map_err(FileFault::new("look into the share", path))?;
            Ok((share, seen))
        });
        let (share, seen) = looked.map_err(|fault| self.say(chain(&fault))).ok()?;
        for considered in choose(&seen.listing) {
            let pair = match considered {
                Ok(pair) => pair,
                Err(passed_over) => {
                    self.say(passed_over.to_string());
                    continue;
                }
            };
            let origins = seen.origins(&pair)?;
            let unchanged = |staged: &&Staged| {
                is_unchanged(staged, &pair, &origins) && generations.is_whole(staged)
            };
            if let Some(staged) = staged.filter(unchanged) {
                return Some(staged.id.clone());
            }
            match stage_candidate(generations, &share, &pair, origins, rules) {
                Ok(id) => {
                    self.say(format!(
                        "boots {} ({})",
                        pair.version,
                        pair.source.describe()
                    ));
                    return Some(id);
                }
                Err(fault) => self.say(format!("{}: {}", pair.source.describe(), chain(&fault))),
            }
        }
        None
    }

    fn seed_pair(
        &mut self,
        generations: &Generations,
        staged: Option<&Staged>,
        rules: Rules,
    ) -> Option<GenerationId> {
        if !self.record.boot.seed {
            self.say("seed: the fleet file gives none");
            return None;
        }
        match stage_seed(generations, &self.path(layout::seed_folder), staged, rules) {
            Ok(id) => {
                self.say("boots its seed");
                Some(id)
            }
            Err(fault) => {
                self.say(format!("seed: {}", chain(&fault)));
                None
            }
        }
    }

    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn outcome(&mut self, switched: Result<(), Trouble>) -> Outcome {
        let (vm, share) = (&self.record.vm, &self.record.boot.share);
        let trouble = match switched {
            Ok(()) => return Outcome::done(vm, &self.lines),
            Err(trouble) => trouble,
        };
        let why = chain(&trouble);
        if matches!(trouble, Trouble::NoPair) {
            let remedy = format!(
                "put the guest's vmlinuz-VERSION and initrd.img-VERSION into {share}, or give the VM a `boot.seed` in the \
                 fleet file and run `armfleet apply`; then start the VM again."
            );
            return Outcome::refused(vm, &why, &self.lines, &remedy);
        }
        if is_bootable(&self.path(layout::current)) {
            self.lines
                .push(format!("{why}; boots what was staged before"));
            return Outcome::done(vm, &self.lines);
        }
        Outcome::refused(
            vm,
            &why,
            &self.lines,
            "put this right, then start the VM again.",
        )
    }
}

/// Whether a staged generation is still what a candidate would give.
fn is_unchanged(staged: &Staged, pair: &Candidate, (kernel, initrd): &(Origin, Origin)) -> bool {
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

fn stage_candidate(
    generations: &Generations,
    share: &Share,
    pair: &Candidate,
    (kernel, initrd): (Origin, Origin),
    rules: Rules,
) -> Result<GenerationId, StageFault> {
    let open = |name| {
        let opened = share.open_file(name);
        opened.map_err(|source| StageFault::Copy {
            name: name.to_string(),
            source,
        })
    };
    let incoming = Incoming {
        source: pair.source,
        version: Some(pair.version.clone()),
        kernel: (kernel, open(&pair.kernel)?),
        initrd: (initrd, open(&pair.initrd)?),
        expected: None,
    };
    generations.stage(incoming, rules)
}

fn stage_seed(
    generations: &Generations,
    folder: &Path,
    staged: Option<&Staged>,
    rules: Rules,
) -> Result<GenerationId, SeedFault> {
    let receipt = read_receipt(&folder.join("seed.json"))?;
    let same = |staged: &&Staged| staged.id == receipt.id() && generations.is_whole(staged);
    if let Some(staged) = staged.filter(same) {
        return Ok(staged.id.clone());
    }
    let open = |file: &str, part: &SeedPart| {
        let path = folder.join(file);
        let opened = open_plain(&path).and_then(|file| Ok((identity(&file)?, file)));
        let (identity, file) = opened.map_err(FileFault::new("open", &path))?;
        let origin = Origin {
            name: part.path.to_string(),
            link: None,
            file: identity,
        };
        Ok::<_, FileFault>((origin, file))
    };
    let incoming = Incoming {
        source: PairSource::Seed,
        version: receipt.version(),
        kernel: open("vmlinuz", &receipt.kernel)?,
        initrd: open("initrd.img", &receipt.initrd)?,
        expected: Some(receipt.id()),
    };
    Ok(generations.stage(incoming, rules)?)
}

fn read_receipt(path: &Path) -> Result<SeedReceipt, SeedFault> {
    match read_own(path)? {
        None => Err(SeedFault::NoReceipt(path.to_owned())),
        Some(text) => read_seed_receipt(&text).map_err(|source| SeedFault::Damaged {
            path: path.to_owned(),
            source,
        }),
    }
}
