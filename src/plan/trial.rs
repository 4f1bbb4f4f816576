//! What past starts have shown about a VM's kernels.

use super::boot::{listing, unchanged};
use super::planner::Draft;
use crate::boot::{BootFileName, Candidate, Failure, GenerationId, Identity, Trials, choose};
use crate::fleet::Vm;
use crate::inventory::{Inventory, RawEntry};
use crate::mark::{Record, Wanted};
use crate::paths;

/// What is known of the pairs that a VM was started with.
#[must_use]
pub fn trials(inventory: &Inventory, vm: &Vm) -> Trials {
    let file = inventory.path(&paths::trials(&vm.name)).present();
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

/// Says which kernel a VM does not boot although its guest means it to, and which one it boots because somebody asked
/// for it.
pub(super) fn notices(inventory: &Inventory, vm: &Vm, record: Option<&Record>, draft: &mut Draft) {
    let name = &vm.name;
    let trials = trials(inventory, vm);
    if let Some(Wanted::Generation(wanted)) = record.map(|record| &record.boot.wanted) {
        let wanted = GenerationId::try_from(wanted.clone()).map(|id| trials.name_of(&id));
        let what = wanted.unwrap_or_else(|_| "another generation".to_owned());
        draft.notice(
            name,
            format!("boots {what}, as somebody asked for"),
            format!("armfleet boot use {name} auto: what its share has"),
        );
        return;
    }
    let share = inventory.path(vm.boot.share.as_str()).present();
    let Some(entries) = share.and_then(|share| share.entries.as_deref()) else {
        return;
    };
    let considered = choose(&listing(entries));
    let first = considered.iter().flatten().next();
    let failed = first.and_then(|pair| failed(&trials, entries, pair));
    if let Some((id, failure)) = failed {
        let what = trials.name_of(id);
        let instead = match &trials.proved {
            Some(id) => format!("{} boots instead; ", trials.name_of(id)),
            None => String::new(),
        };
        draft.notice(
            name,
            format!("{what} failed: {failure}"),
            format!("{instead}armfleet boot retry {name} gives it another chance"),
        );
    }
}
