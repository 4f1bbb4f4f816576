//! The trials of a VM's pairs as files: what is remembered of them, and what the last run left behind.

use crate::boot::{
    CONFIRMATION, Confirmation, Evidence, GuestStop, Identity, Ran, STOP_NOTE, TrialOutcome,
    Trials, ends_destroyed,
};
use crate::files::{
    Directory as _, Draft, OpenFile as _, OwnFileError, Root, Share, append_line, chain, holding,
    read_named, read_own, remove_file,
};
use crate::mark::{Action, Entry, Event, RunEnd, RunStamp, StepTrace, read_run_note, render_entry};
use crate::paths;
use crate::values::VmName;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

/// libvirt says last how a run ended; so much is read of what it and QEMU say.
const LOG_TAIL: u64 = 4 << 10;

/// What is remembered, with a complaint if that cannot be read: then nothing is.
pub(super) fn recall(root: &Root, vm: &VmName) -> (Trials, Option<String>) {
    let path = paths::trials(vm);
    let text = match read_own(root, &path) {
        Ok(None) => return (Trials::default(), None),
        Ok(Some(file)) => file.bytes,
        Err(fault) => return (Trials::default(), Some(chain(&fault))),
    };
    match Trials::read(&text) {
        Ok(trials) => (trials, None),
        Err(fault) => {
            let why = format!("{path} is damaged; a new one is begun: {}", chain(&fault));
            (Trials::default(), Some(why))
        }
    }
}

/// Writes the trials, if they have changed. Only a verdict is worth waiting for the disk: a start that a power cut forgets has no verdict.
pub(super) fn remember(
    root: &Root,
    vm: &VmName,
    trials: Option<&Trials>,
    durable: bool,
) -> Result<(), OwnFileError> {
    let path = paths::trials(vm);
    let (folder, name) = holding(root, &path)?;
    let failed = || OwnFileError::new("write", &folder.at(name));
    let Some(trials) = trials else {
        return Draft::remove_left(name, &folder)
            .map(drop)
            .map_err(failed());
    };
    let text = trials.render().map_err(io::Error::other);
    let text = text.map_err(failed())?;
    let write = || {
        let mut draft = Draft::begin(name, &folder)?;
        draft.file.write_all(text.as_bytes())?;
        if durable {
            draft.replace(&folder, name, 0o644)
        } else {
            draft.replace_soon(&folder, name, 0o644)
        }
    };
    write().map_err(failed())
}

/// What the last run left behind. The stamps are taken away, so that no run is outcome twice.
pub(super) fn take_evidence(
    root: &Root,
    vm: &VmName,
    share: Option<&Share>,
    run: Option<RunStamp>,
) -> Evidence {
    let take = |path: String| {
        let (folder, name) = holding(root, &path).ok()?;
        let text = read_named(&folder, name).ok().flatten();
        let taken = remove_file(&folder, name).ok()?;
        text.filter(|_| taken)
            .and_then(|text| String::from_utf8(text).ok())
    };
    let shut_down = share.is_some_and(|share| has_said_goodbye(root, vm, share));
    let (started, stopped) = (take(paths::started(vm)), take(paths::stopped(vm)));
    Evidence {
        ran: Ran::between(started.as_deref(), stopped.as_deref()),
        was_ended: shut_down || was_destroyed(root, vm) || was_powered_off(root, vm, run),
        confirmation: share.and_then(confirmation),
    }
}

/// The guest's confirmation, by what tells it from another.
pub(super) fn confirmation_identity(share: &Share) -> Option<Identity> {
    share.open_named(CONFIRMATION).ok()?.identity().ok()
}

/// Whether the guest said in this run that it shuts down. The time of the change is the host's; the rest is the guest's.
fn has_said_goodbye(root: &Root, vm: &VmName, share: &Share) -> bool {
    let since = || {
        let path = paths::started(vm);
        let (folder, name) = holding(root, &path).ok()?;
        folder.open_file(name).ok()?.identity().ok()
    };
    let (Some(started), Some((note, text))) = (since(), share.word(STOP_NOTE)) else {
        return false;
    };
    GuestStop::read(&String::from_utf8_lossy(&text)).is_some() && note.ctime >= started.mtime
}

/// The stamp that was left before the last start: `armfleet watch` tells runs apart by it.
pub(super) fn last_run(root: &Root, vm: &VmName) -> Option<RunStamp> {
    let path = paths::hook_seen(vm);
    let (folder, name) = holding(root, &path).ok()?;
    let seen = folder.open_file(name).ok()?.identity().ok()?;
    Some(RunStamp {
        ino: seen.ino,
        mtime_ns: seen.mtime.nanoseconds(),
    })
}

/// Whether the guest powered off, as QEMU told `armfleet watch`, or armfleet itself had asked it to. No kernel that panics does:
/// it reboots, which libvirt alone does not tell from a power-off.
fn was_powered_off(root: &Root, vm: &VmName, run: Option<RunStamp>) -> bool {
    let note = || {
        let file = read_own(root, &paths::run_note(vm)).ok()??;
        read_run_note(&file.bytes).ok()
    };
    note().is_some_and(|note| {
        let is_off = matches!(note.end, Some(RunEnd::PowerOff | RunEnd::Asked));
        is_off && run.is_some() && note.run == run
    })
}

/// Whether an operator cut the last run off.
fn was_destroyed(root: &Root, vm: &VmName) -> bool {
    let read = || -> Option<String> {
        let path = paths::libvirt_log(vm);
        let (folder, name) = holding(root, &path).ok()?;
        let mut log = folder.open_file(name).ok()?;
        let end = log.seek(SeekFrom::End(0)).ok()?;
        log.seek(SeekFrom::Start(end.saturating_sub(LOG_TAIL)))
            .ok()?;
        let mut tail = Vec::new();
        log.take(LOG_TAIL).read_to_end(&mut tail).ok()?;
        Some(String::from_utf8_lossy(&tail).into_owned())
    };
    read().is_some_and(|tail| ends_destroyed(&tail))
}

/// What the guest wrote about itself.
fn confirmation(share: &Share) -> Option<(Identity, Confirmation)> {
    let (seen, bytes) = share.word(CONFIRMATION)?;
    Some((seen, Confirmation::read(&bytes)?))
}

/// Adds a decision to the journal.
pub(super) fn journal(
    root: &Root,
    vm: &VmName,
    outcome: &TrialOutcome,
) -> Result<(), OwnFileError> {
    let (folder, name) = holding(root, paths::JOURNAL)?;
    let failed = || OwnFileError::new("write", &folder.at(name));
    let at = SystemTime::now().duration_since(UNIX_EPOCH);
    let entry = Entry {
        at: at.map_or(0, |since| since.as_secs()),
        by: "armfleet-hook".to_owned(),
        event: Event::Step(StepTrace::of_vm(
            vm,
            "trial",
            Action::Change,
            outcome.to_string(),
        )),
    };
    let line = render_entry(&entry).map_err(io::Error::other);
    let line = line.map_err(failed())?;
    append_line(&folder, name, &line).map_err(failed())
}
