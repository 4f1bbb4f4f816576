//! What people ask of a VM's generations. The hook obeys at the next start; until then nothing changes.

use super::formats::leave_later;
use super::guests::confirmation;
use super::kept::{PRIVATE, SHOWN};
use super::primitives::{Primitives, Reads};
use super::recorded::{recorded, trials};
use super::{Executor, Host as _, HostError};
use crate::boot::{Generation, GenerationId, PAIR_FORMAT, PairSource, read_pair_note};
use crate::inventory::{Fact, Look};
use crate::mark::{Action, Event, StepTrace, Wanted, render_record};
use crate::paths;
use crate::values::{Arch, VmName};

/// A VM's generations, sorted by version and name.
///
/// # Errors
/// When the VM is not known on this host, or what is known of it cannot be read.
pub fn generations(reads: &impl Reads, vm: &VmName) -> Result<Vec<Generation>, HostError> {
    let record = recorded(reads, vm)?;
    let named = |path: &str| match reads.look(path, Look::Link) {
        Fact::Present(file) => GenerationId::of_link(file.text?.as_bytes()),
        _ => None,
    };
    let current = named(&paths::current(vm));
    let previous = named(&paths::previous(vm));
    let wanted = match record.boot.wanted.clone() {
        Wanted::Auto => None,
        Wanted::Generation(id) => GenerationId::try_from(id).ok(),
    };
    let look = |path: &str| reads.look(path, Look::Text);
    let trials = trials(reads, vm)?.heard(confirmation(look, &record.boot.share));
    let pairs = trials.pairs.into_iter();
    let mut generations: Vec<Generation> = pairs
        .map(|(id, trial)| Generation {
            staged: is_staged(reads, vm, &id),
            current: current.as_ref() == Some(&id),
            previous: previous.as_ref() == Some(&id),
            wanted: wanted.as_ref() == Some(&id),
            id,
            trial,
        })
        .collect();
    generations.sort_by(|a, b| (&a.trial.version, &a.id).cmp(&(&b.trial.version, &b.id)));
    Ok(generations)
}

impl<P: Primitives> Executor<P> {
    /// Has a VM boot this generation from its next start on, or what its share has.
    ///
    /// # Errors
    /// When there is no such generation, or as the host says.
    pub fn want(&self, vm: &VmName, wanted: Wanted) -> Result<(), HostError> {
        let _lock = self.lock_vm(vm)?;
        let mut record = recorded(self.calls(), vm)?;
        let reason = match &wanted {
            Wanted::Auto => "what its share has".to_owned(),
            Wanted::Generation(id) => format!("generation {id}"),
        };
        if let Wanted::Generation(name) = &wanted {
            leave_later(self.calls(), &paths::pair(vm, name), PAIR_FORMAT)?;
            let id = GenerationId::try_from(name.clone());
            if !id.is_ok_and(|id| is_staged(self.calls(), vm, &id)) {
                let gone = HostError::plain(format!("{vm} has no generation {name}"));
                return Err(gone.with_remedy(format!("armfleet boot list {vm}")));
            }
            let kernel = kernel_arch(self.calls(), vm, name);
            let arch = record.applied.arch();
            if let (Some(kernel), Some(arch)) = (kernel, arch)
                && kernel != arch
            {
                let why = format!("generation {name} is a kernel for {kernel}, and {vm} is {arch}");
                return Err(HostError::plain(why)
                    .with_remedy(format!("set arch: {kernel} in the fleet file, and apply")));
            }
        }
        record.boot.wanted = wanted;
        let path = paths::record(vm);
        self.keep(&path, PRIVATE, render_record(&record))?;
        self.note_boot(vm, "use", &reason)
    }

    /// Gives a VM's failed pairs another chance; tells which there were.
    ///
    /// # Errors
    /// As the host says.
    pub fn retry(&self, vm: &VmName) -> Result<Vec<String>, HostError> {
        let _lock = self.lock_vm(vm)?;
        recorded(self.calls(), vm)?;
        let _staging = self.lock_staging(vm)?;
        let mut trials = trials(self.calls(), vm)?;
        let retried = trials.retry();
        if retried.is_empty() {
            return Ok(Vec::new());
        }
        let path = paths::trials(vm);
        self.keep(&path, SHOWN, trials.render())?;
        let names: Vec<_> = retried.iter().map(|id| trials.name_of(id)).collect();
        self.note_boot(vm, "retry", &names.join(", "))?;
        Ok(names)
    }
}

impl<P: Primitives> Executor<P> {
    /// Notes what a command has done to what a VM boots.
    pub(super) fn note_boot(&self, vm: &VmName, doing: &str, what: &str) -> Result<(), HostError> {
        let reason = format!("{doing} {what}");
        let step = StepTrace::of_vm(vm, "boot", Action::Change, reason);
        self.note(Event::Step(step))
    }
}

/// What a staged generation's kernel is for, if its note says.
fn kernel_arch(reads: &impl Reads, vm: &VmName, id: &str) -> Option<Arch> {
    let file = reads.look(&paths::pair(vm, id), Look::Text);
    let note = read_pair_note(file.present()?.text.as_deref()?.as_bytes()).ok()?;
    Some(note.kind?.arch)
}

/// Whether a generation is there to be booted; an installer is not.
fn is_staged(reads: &impl Reads, vm: &VmName, id: &GenerationId) -> bool {
    let file = reads.look(&paths::pair(vm, id.as_str()), Look::Text);
    let text = file.present().and_then(|file| file.text.as_deref());
    let note = text.and_then(|text| read_pair_note(text.as_bytes()).ok());
    note.is_some_and(|note| note.source != PairSource::Installer && note.id() == *id)
}
