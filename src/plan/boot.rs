//! What a VM boots: its seed, what its share offers, and what runs.

use super::copies::{Expected, damage};
use super::planner::{Draft, Sight};
use super::step::{Act, SeedSource, StepId};
use super::trial;
use super::vm::Stuck;
use crate::boot::{
    BootFileName, Considered, Entry, FileNote, Identity, Listing, PairNote, PairSource, SeedPart,
    SeedReceipt, attention_of, choose, read_pair_note, read_seed_receipt,
};
use crate::fleet::Vm;
use crate::inventory::{Fact, FileKind, Inventory, RawEntry, RawFile};
use crate::paths;
use crate::values::HostPath;

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

/// Plans the staging of the seed pair.
pub(super) fn seed(sight: &Sight<'_>, vm: &Vm, draft: &mut Draft) -> Result<Option<StepId>, Stuck> {
    let Some(seed) = &vm.boot.seed else {
        return Ok(None);
    };
    let receipt = staged_seed(sight, vm, draft)?;
    let damage = seed_damage(sight.inventory, vm);
    let staged = receipt.is_some() && damage.is_none();
    let mut source = |path| seed_source(sight, vm, path, "seed", staged, draft);
    let (kernel, initrd) = (source(&seed.kernel)?, source(&seed.initrd)?);
    let (Some(kernel), Some(initrd)) = (kernel, initrd) else {
        return Ok(None);
    };
    let same = |part: &SeedPart, source: &SeedSource| {
        part.path == source.path && part.sha256.as_str() == source.sha256
    };
    let reason = match (&receipt, damage) {
        (Some(_), Some(damage)) => format!("staged again, since its copy is damaged: {damage}"),
        (Some(receipt), None)
            if same(&receipt.kernel, &kernel) && same(&receipt.initrd, &initrd) =>
        {
            return Ok(None);
        }
        (Some(_), None) => "the seed's files changed".to_owned(),
        (None, _) => "the pair to boot while the share has none".to_owned(),
    };
    let act = Act::StageSeed {
        kernel,
        initrd,
        replaces: receipt.is_some(),
    };
    Ok(Some(draft.step(
        StepId::new("seed", &vm.name),
        Some(&vm.name),
        reason,
        &[],
        Vec::new(),
        act,
    )))
}

/// What is wrong with the staged seed, if anything is to be seen.
fn seed_damage(inventory: &Inventory, vm: &Vm) -> Option<String> {
    let file = inventory.path(&paths::seed_receipt(&vm.name)).present()?;
    let receipt = receipt_in(file)?;
    let expected = Expected::by_receipt(file, &receipt.kernel, &receipt.initrd);
    damage(inventory, &paths::seed_folder(&vm.name), expected)
}

/// Whether what an apply staged as the seed is not there as it was.
pub(super) fn seed_is_lost(sight: &Sight<'_>, vm: &Vm) -> bool {
    let receipt = sight.inventory.path(&paths::seed_receipt(&vm.name));
    receipt.is_absent() || seed_damage(sight.inventory, vm).is_some()
}

/// What a seed's receipt says. One that cannot be understood, or that is not root's, is as good as none: the seed is staged
/// again.
fn receipt_in(file: &RawFile) -> Option<SeedReceipt> {
    let text = file
        .text
        .as_deref()
        .filter(|_| file.not_roots().is_none())?;
    read_seed_receipt(text.as_bytes()).ok()
}

fn staged_seed(
    sight: &Sight<'_>,
    vm: &Vm,
    draft: &mut Draft,
) -> Result<Option<SeedReceipt>, Stuck> {
    let path = paths::seed_receipt(&vm.name);
    match sight.inventory.path(&path) {
        Fact::Present(file) => Ok(receipt_in(file)),
        Fact::Absent => Ok(None),
        fact => {
            draft.unknown(
                &vm.name,
                format!(
                    "{path} could not be read: {}",
                    fact.unknown().unwrap_or_default()
                ),
            );
            Err(Stuck)
        }
    }
}

/// One file of a seed or an installer; none where it is gone and no longer needed.
pub(super) fn seed_source(
    sight: &Sight<'_>,
    vm: &Vm,
    path: &HostPath,
    what: &str,
    staged: bool,
    draft: &mut Draft,
) -> Result<Option<SeedSource>, Stuck> {
    let key = if what == "seed" {
        "boot.seed"
    } else {
        "install"
    };
    match sight.inventory.path(path.as_str()) {
        Fact::Present(file) if file.stat.kind != FileKind::File => {
            draft.refuse(
                &vm.name,
                format!("its {what} {path} is not a plain file"),
                "name the file itself",
            );
            Err(Stuck)
        }
        Fact::Present(file) => match &file.sha256 {
            Some(sha256) => Ok(Some(SeedSource {
                path: path.clone(),
                sha256: sha256.clone(),
            })),
            None => {
                draft.unknown(&vm.name, format!("{path} could not be read"));
                Err(Stuck)
            }
        },
        Fact::Absent if staged => {
            draft.notice(
                &vm.name,
                format!("its {what} {path} is gone"),
                "the copy staged before stays in use",
            );
            Ok(None)
        }
        Fact::Absent => {
            draft.refuse(
                &vm.name,
                format!("its {what} {path} is not there"),
                format!("put the file there, or correct {key}"),
            );
            Err(Stuck)
        }
        fact => {
            draft.unknown(
                &vm.name,
                format!(
                    "{path} could not be read: {}",
                    fact.unknown().unwrap_or_default()
                ),
            );
            Err(Stuck)
        }
    }
}

/// Whether a start would find a kernel: in the share, staged before, or as the seed.
pub(super) fn bootable(sight: &Sight<'_>, vm: &Vm) -> Bootable {
    let staged = staged(sight.inventory, vm);
    if vm.boot.seed.is_some() || matches!(staged, Staged::Whole) {
        return Bootable::Yes;
    }
    match share_choice(sight, vm) {
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
enum Staged {
    Nothing,
    /// As far as sizes tell.
    Whole,
    Damaged(String),
}

fn staged(inventory: &Inventory, vm: &Vm) -> Staged {
    let path = paths::current(&vm.name);
    let Some(current) = inventory.path(&path).present() else {
        return Staged::Nothing;
    };
    // An inventory of an older version did not look into it.
    if current.entries.is_none() {
        return Staged::Whole;
    }
    let id = current
        .text
        .as_deref()
        .and_then(|text| text.strip_prefix("g/"));
    match staged_pair(inventory, vm) {
        Some(note) if id == Some(note.id().as_str()) => {
            let damage = damage(inventory, &path, Expected::by_note(&note));
            damage.map_or(Staged::Whole, Staged::Damaged)
        }
        Some(_) => Staged::Damaged("its pair.json is another generation's".to_owned()),
        None => Staged::Damaged("its pair.json is gone or cannot be read".to_owned()),
    }
}

/// Says that what is staged is damaged, and what boots instead; what the hook asked to be looked at when the VM started
/// last, too.
pub(super) fn notices(sight: &Sight<'_>, vm: &Vm, draft: &mut Draft) {
    if let Staged::Damaged(why) = staged(sight.inventory, vm) {
        let outlook = match bootable(sight, vm) {
            Bootable::Yes => "its next start makes it again, from its share or its seed".to_owned(),
            Bootable::No { remedy, .. } => remedy,
            Bootable::Unknown(why) => why,
        };
        draft.notice(
            &vm.name,
            format!("its staged kernel is damaged: {why}"),
            outlook,
        );
    }
    for line in hook_note(sight.inventory, vm)
        .into_iter()
        .flat_map(attention_of)
    {
        draft.notice(&vm.name, format!("its last start: {line}"), "");
    }
}

/// What the hook left about the VM's last start.
fn hook_note<'a>(inventory: &'a Inventory, vm: &Vm) -> Option<&'a str> {
    let said = inventory.path(&paths::hook_seen(&vm.name)).present()?;
    said.text.as_deref()
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
    /// What its share would give the next start, if that is something else.
    pub offered: Option<String>,
}

/// The kernels of a VM, as far as they were seen.
#[must_use]
pub fn kernels(inventory: &Inventory, vm: &Vm) -> Kernels {
    let Some(note) = staged_pair(inventory, vm) else {
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
        offered,
    }
}

/// What the hook passed over when the VM started last, if that was a pair that its guest meant to boot.
pub(super) fn passed_over(inventory: &Inventory, vm: &Vm) -> Vec<String> {
    let fell_back = staged_pair(inventory, vm)
        .is_some_and(|note| matches!(note.source, PairSource::OldLinks | PairSource::Newest));
    let Some(text) = hook_note(inventory, vm).filter(|_| fell_back) else {
        return Vec::new();
    };
    let said_already: Vec<_> = attention_of(text).collect();
    let prefix = format!("armfleet: {}: ", vm.name);
    let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines
        .filter(|line| {
            let sources = [PairSource::Links, PairSource::OldLinks, PairSource::Newest];
            sources
                .iter()
                .any(|source| line.starts_with(source.describe()))
                && !said_already.contains(line)
        })
        .map(str::to_owned)
        .collect()
}

/// The version that the share would boot, if its files are not those that were staged.
fn offered(inventory: &Inventory, vm: &Vm, note: &PairNote) -> Option<String> {
    let share = inventory.path(vm.boot.share.as_str()).present()?;
    let entries = share.entries.as_deref()?;
    let considered = choose(&listing(entries));
    let trials = trial::trials(inventory, vm);
    let candidate = considered.iter().flatten().next()?;
    if trial::failed(&trials, entries, candidate).is_some() {
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

/// What is staged for a VM, as its note says.
pub(super) fn staged_pair(inventory: &Inventory, vm: &Vm) -> Option<PairNote> {
    let file = inventory.path(&paths::current_pair(&vm.name)).present()?;
    read_pair_note(file.text.as_deref()?.as_bytes()).ok()
}

/// Whether an entry of a share is still the file that was seen. A guest could deceive this, though not the hook, which
/// looks at the time of the inode's change, too; here that would tell of nothing more than a new link or label.
pub(super) fn unchanged(file: &Identity, entry: &RawEntry) -> bool {
    let seen = entry.stat.identity();
    (seen.dev, seen.ino, seen.size, seen.mtime) == (file.dev, file.ino, file.size, file.mtime)
}

fn share_choice(sight: &Sight<'_>, vm: &Vm) -> Fact<Vec<Considered>> {
    let share = sight.inventory.path(vm.boot.share.as_str()).as_ref();
    share.map(choice)
}

/// Which pairs of a share could boot, as far as names and sizes tell.
pub(super) fn choice(share: &RawFile) -> Vec<Considered> {
    choose(&listing(share.entries.as_deref().unwrap_or_default()))
}

pub(super) fn listing(entries: &[RawEntry]) -> Listing {
    let read = |entry: &RawEntry| match (&entry.link, entry.stat.kind) {
        (Some(text), FileKind::File) => Entry::Link(text.as_bytes().to_vec()),
        (None, FileKind::File) => Entry::File(entry.stat.size),
        (_, FileKind::Folder) => Entry::Other("a folder"),
        (_, FileKind::Symlink) => Entry::Other("a symbolic link of the host"),
        (_, FileKind::Special) => Entry::Other("a device, socket or FIFO"),
    };
    let named = entries
        .iter()
        .filter_map(|entry| Some((BootFileName::new(entry.name.as_bytes()).ok()?, read(entry))));
    Listing {
        entries: named.collect(),
        cut: false,
    }
}
