//! What a VM boots: what is staged for it, what its share offers, and what past starts have shown.

use super::builder::PlanInput;
use super::copies::damaged_master;
use crate::boot::{
    BootFileName, Candidate, Considered, Failure, FileNote, GenerationId, HookNote, Identity,
    PairNote, PairSource, Standing, Trials, choose, read_pair_note,
};
use crate::fleet::Vm;
use crate::inventory::{Fact, Inventory, RawEntry, RawFile};
use crate::paths;
use crate::values::{Arch, HostPath, VmName};

/// Of a VM that on which it depends which kernels it has.
#[derive(Debug, Clone, Copy)]
pub struct KernelSource<'a> {
    /// The VM.
    pub vm: &'a VmName,
    /// Its boot share.
    pub share: &'a HostPath,
    /// The architecture of its kernel.
    pub arch: Arch,
}

impl<'a> From<&'a Vm> for KernelSource<'a> {
    fn from(vm: &'a Vm) -> Self {
        Self {
            vm: &vm.name,
            share: &vm.boot.share,
            arch: vm.arch,
        }
    }
}

/// Whether a start would find a kernel.
pub(super) enum Bootable {
    /// As far as names and sizes tell.
    Yes,
    /// It would not.
    No {
        /// Why.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// The share could not be seen.
    Unknown(String),
}

/// Whether a start would find a kernel: in the share, staged before, or as the seed.
pub(super) fn bootable(input: &PlanInput<'_>, vm: &Vm) -> Bootable {
    let staged = staged(input.inventory, vm);
    if vm.boot.seed.is_some() || matches!(staged, Staged::Whole) {
        return Bootable::Yes;
    }
    match share_choice(input, vm) {
        Fact::Present(considered) if considered.iter().any(Result::is_ok) => Bootable::Yes,
        Fact::Present(considered) => {
            let passed_over = considered.iter().filter_map(|pair| pair.as_ref().err());
            let why: Vec<_> = passed_over.map(ToString::to_string).collect();
            no_kernel(vm, &format!(" ({})", why.join("; ")))
        }
        Fact::Absent => no_kernel(vm, ""),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => Bootable::Unknown(format!(
            "its boot share could not be read: {}",
            fact.unknown().unwrap_or_default()
        )),
    }
}

/// What `current` names.
pub(super) enum Staged {
    Nothing,
    /// As far as sizes and times tell.
    Whole,
    Damaged(String),
}

pub(super) fn staged(inventory: &Inventory, vm: &Vm) -> Staged {
    let path = paths::current(&vm.name);
    let Some(current) = inventory.path(&path).present() else {
        return Staged::Nothing;
    };
    // An inventory of an older version did not look into it.
    if current.entries.is_none() {
        return Staged::Whole;
    }
    let text = current.text.as_deref().unwrap_or_default();
    let id = GenerationId::of_link(text.as_bytes());
    match staged_pair(inventory, &vm.name) {
        Some(note) if id == Some(note.id()) => {
            if note.kind.is_some_and(|kind| kind.arch != vm.arch) {
                return Staged::Nothing;
            }
            let damage = damaged_master(inventory, &path, &note);
            damage.map_or(Staged::Whole, Staged::Damaged)
        }
        Some(_) => Staged::Damaged("its pair.json is another generation's".to_owned()),
        None => Staged::Damaged("its pair.json is gone or cannot be read".to_owned()),
    }
}

/// What the hook left about the VM's last start.
pub(super) fn hook_note(inventory: &Inventory, vm: &Vm) -> Option<HookNote> {
    let said = inventory.path(&paths::hook_seen(&vm.name)).present()?;
    said.text.as_deref().map(HookNote::read)
}

fn no_kernel(vm: &Vm, detail: &str) -> Bootable {
    Bootable::No {
        why: format!("its boot share has no kernel with its initrd{detail}"),
        remedy: format!(
            "give it a first pair with boot.seed: {{ kernel: …, initrd: … }}, or take one out of its disk: armfleet boot extract {}",
            vm.name
        ),
    }
}

/// The kernels of a VM, by version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kernels {
    /// What its last start was given; while it runs, what it runs.
    pub staged: Option<String>,
    /// How that stands, if it was tried.
    pub standing: Option<Standing>,
    /// What its share would give the next start, if that is something else.
    pub offered: Option<String>,
    /// What its share would give, had that not failed.
    pub failed: Option<String>,
}

/// The kernels of a VM, as far as they were seen.
#[must_use]
pub fn kernels<'a>(inventory: &Inventory, vm: impl Into<KernelSource<'a>>) -> Kernels {
    let vm = vm.into();
    let Some(note) = staged_pair(inventory, vm.vm) else {
        return Kernels::default();
    };
    let staged = note
        .version
        .as_ref()
        .map_or_else(|| "the seed".to_owned(), ToString::to_string);
    let offered = offered(inventory, vm, &note).map(|offered| {
        if offered == staged {
            format!("another build of {offered}")
        } else {
            offered
        }
    });
    Kernels {
        staged: Some(staged),
        standing: standing(inventory, vm, &note.id()),
        offered,
        failed: meant_and_failed(inventory, vm),
    }
}

/// How a pair stands. What its guest said since it was started counts.
fn standing(inventory: &Inventory, vm: KernelSource<'_>, id: &GenerationId) -> Option<Standing> {
    let share = inventory.path(vm.share.as_str()).present();
    let mut trials = trials(inventory, vm.vm).heard(share.and_then(|share| share.confirmation()));
    trials.pairs.remove(id).map(|trial| trial.standing)
}

/// What the hook passed over when the VM started last, if that was a pair that its guest meant to boot.
pub(super) fn passed_over(inventory: &Inventory, vm: &Vm) -> Vec<String> {
    let fell_back = staged_pair(inventory, &vm.name)
        .is_some_and(|note| matches!(note.source, PairSource::OldLinks | PairSource::Newest));
    let note = hook_note(inventory, vm).filter(|_| fell_back);
    note.unwrap_or_default().passed_over
}

/// The version that the share would boot, if its files are not those that were staged.
fn offered(inventory: &Inventory, vm: KernelSource<'_>, note: &PairNote) -> Option<String> {
    let share = inventory.path(vm.share.as_str()).present()?;
    let entries = share.entries.as_deref()?;
    let considered = choose(&share.listing(), vm.arch);
    let trials = trials(inventory, vm.vm);
    let candidate = considered.iter().flatten().next()?;
    if failed(&trials, entries, candidate).is_some() {
        return None;
    }
    let same = |note: &FileNote, name: &BootFileName| {
        let entry = entries.iter().find(|entry| entry.name == name.as_str());
        note.from.name == name.as_str()
            && entry.is_some_and(|entry| unchanged(&note.from.file, entry))
    };
    let unchanged = same(&note.kernel, &candidate.kernel) && same(&note.initrd, &candidate.initrd);
    (!unchanged).then(|| candidate.version.to_string())
}

/// The version that the share would boot, if that was seen to fail.
fn meant_and_failed(inventory: &Inventory, vm: KernelSource<'_>) -> Option<String> {
    let share = inventory.path(vm.share.as_str()).present()?;
    let considered = choose(&share.listing(), vm.arch);
    let candidate = considered.iter().flatten().next()?;
    let entries = share.entries.as_deref()?;
    let failed = failed(&trials(inventory, vm.vm), entries, candidate).is_some();
    failed.then(|| candidate.version.to_string())
}

/// What is staged for a VM, as its note says.
pub(super) fn staged_pair(inventory: &Inventory, vm: &VmName) -> Option<PairNote> {
    let file = inventory.path(&paths::current_pair(vm)).present()?;
    read_pair_note(file.text.as_deref()?.as_bytes()).ok()
}

/// Whether an entry of a share is still the file that was seen. A guest could deceive this, though not the hook, which
/// looks at the time of the inode's change, too; here that would tell of nothing more than a new link or label.
pub(super) fn unchanged(file: &Identity, entry: &RawEntry) -> bool {
    let seen = entry.stat.identity();
    (seen.dev, seen.ino, seen.size, seen.mtime) == (file.dev, file.ino, file.size, file.mtime)
}

fn share_choice(input: &PlanInput<'_>, vm: &Vm) -> Fact<Vec<Considered>> {
    match input.inventory.path(vm.boot.share.as_str()).as_ref() {
        Fact::Present(RawFile {
            unlisted: Some(why),
            ..
        }) => Fact::Unreadable(why.clone()),
        share => share.map(|share| choice(share, vm.arch)),
    }
}

/// Which pairs of a share could boot, as far as names and sizes tell.
pub(super) fn choice(share: &RawFile, arch: Arch) -> Vec<Considered> {
    choose(&share.listing(), arch)
}

/// What is known of the pairs that a VM was started with.
#[must_use]
pub fn trials(inventory: &Inventory, vm: &VmName) -> Trials {
    let file = inventory.path(&paths::trials(vm)).present();
    let text = file.and_then(|file| file.text.as_deref());
    text.and_then(|text| Trials::read(text.as_bytes()).ok())
        .unwrap_or_default()
}

/// The failed pair that these files of a share are, by what was last seen of them.
pub(super) fn failed<'t>(
    trials: &'t Trials,
    entries: &[RawEntry],
    pair: &Candidate,
) -> Option<(&'t GenerationId, Failure)> {
    let is = |identity: &Identity, name: &BootFileName| {
        let entry = entries.iter().find(|entry| entry.name == name.as_str());
        entry.is_some_and(|entry| unchanged(identity, entry))
    };
    let mut failed = trials
        .pairs
        .iter()
        .filter_map(|(id, trial)| Some((id, trial, trials.failure(id)?)));
    failed
        .find(|(_, trial, _)| is(&trial.kernel, &pair.kernel) && is(&trial.initrd, &pair.initrd))
        .map(|(id, _, failure)| (id, failure))
}
