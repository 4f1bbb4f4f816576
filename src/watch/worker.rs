//! One look at one VM: read under its lock, decided, done.

use super::decide::{Act, Heard, Holding, OnTrial, Seen, begun, decide, failed};
use crate::boot::{
    Evidence, GuestStop, HookNote, Ran, STOP_NOTE, TrialOutcome, Trials, read_uptime,
};
use crate::format::UPGRADE;
use crate::host::guests::{Guests, Happening, confirmation, word};
use crate::host::primitives::{CallError, CallErrorKind};
use crate::inventory::{Fact, Look, RawFile, chain};
use crate::mark::{
    Action, Entry, Event, LockNote, Moment, RUN_FORMAT, Record, RunEnd, RunNote, RunStamp,
    StepTrace, read_hold, read_record, read_run_note, render_entry, render_run_note,
};
use crate::paths;
use crate::values::VmName;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long to wait for another process's short work on a VM; a start with its hook is the longest.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Who the journal says it was.
const USER: &str = "armfleet watch";
/// Why a VM's power is cut, and why it is started after that.
const SILENT: &str = "its kernel gave no sign of life in time";

/// One VM to look at.
pub(super) struct Worker<'a> {
    pub(super) guests: &'a dyn Guests,
    pub(super) vm: &'a VmName,
    /// Whether nothing is to be started any more: the host may be shutting down.
    pub(super) ending: &'a AtomicBool,
}

fn look(guests: &dyn Guests) -> impl Fn(&str) -> Fact<RawFile> {
    move |path| guests.look(path, Look::Text)
}

/// Whether armfleet keeps a VM of this name. Where that cannot be seen, it is looked at.
pub(super) fn is_kept(guests: &dyn Guests, vm: &VmName) -> bool {
    let record = guests.look(&paths::record(vm), Look::Stat);
    matches!(record, Fact::Present(_) | Fact::Unreadable(_))
}

/// The stamp that the hook left before a VM's last start.
pub(super) fn stamp(guests: &dyn Guests, vm: &VmName) -> Fact<RunStamp> {
    let seen = guests.look(&paths::hook_seen(vm), Look::Stat);
    seen.map(|file| RunStamp {
        ino: file.stat.ino,
        mtime_ns: file.stat.mtime_ns,
    })
}

impl Worker<'_> {
    /// Looks and does what is called for; tells when to look again.
    ///
    /// # Errors
    /// When something could not be seen or done: the same is to be decided once more.
    pub(super) fn handle(&self, heard: Heard) -> Result<Option<Moment>, CallError> {
        let note = LockNote {
            pid: std::process::id(),
            user: USER,
            since: self.guests.now(),
        };
        let note = note.to_string();
        let path = paths::vm_lock(self.vm);
        let _lock = self.guests.lock(&path, &note, LOCK_PATIENCE)?;
        let Some(record) = self.record()? else {
            return Ok(None);
        };
        if self.is_noted_later()? {
            return Ok(None);
        }
        let (seen, unseen) = self.see(record, heard)?;
        let now = self.guests.moment();
        let decision = decide(&seen, heard, now);
        tracing::debug!(vm = %self.vm, ?heard, ?decision, "decided");
        if let Some(note) = &decision.note {
            self.write(note)?;
        }
        if let Some(say) = decision.say {
            match decision.act {
                Act::Cut => tracing::warn!("{}: {say}", self.vm),
                _ => tracing::info!("{}: {say}", self.vm),
            }
        }
        // What was told is noted, whether libvirt answers or not; what is to be done about it is found out later.
        if let Some(error) = unseen {
            return Err(error);
        }
        match decision.act {
            Act::Rest => Ok(None),
            Act::Again(moment) => {
                self.say_held(&seen);
                Ok(Some(moment))
            }
            Act::Start => {
                let note = decision.note.or_else(|| seen.note.clone());
                self.start(&seen, &note.unwrap_or_else(|| RunNote::of(seen.run)))
            }
            Act::Cut => self.cut(&seen),
        }
    }

    /// Looks at the VM; and why libvirt said nothing about it, if it did not.
    fn see(&self, record: Record, heard: Heard) -> Result<(Seen, Option<CallError>), CallError> {
        let run = known(stamp(self.guests, self.vm))?;
        let (guest, unseen) = match heard {
            // A guest that has only said what it wants has not changed yet, and libvirt may be on its way out with it.
            Heard::Event(Happening::Shutdown(_), _) => (None, None),
            _ => match self.guests.guest(self.vm.as_str()) {
                Ok(guest) => (Some(guest), None),
                Err(error) if error.kind == CallErrorKind::Missing => (None, None),
                Err(error) => (None, Some(error)),
            },
        };
        let seen = Seen {
            guest,
            holding: self.holding(),
            run,
            note: self.note()?,
            guest_stop: run.and_then(|run| self.guest_stop(&record, run)),
            trial: self.trial(&record)?,
            record,
        };
        Ok((seen, unseen))
    }

    /// The VM's record, if armfleet keeps it. One that makes no sense is apply's to mend, or a later version's.
    fn record(&self) -> Result<Option<Record>, CallError> {
        let path = paths::record(self.vm);
        let Some(file) = known(self.guests.look(&path, Look::Text))? else {
            return Ok(None);
        };
        if let Some(why) = file.not_roots().or(file.no_text) {
            tracing::warn!("{}: left alone: {path}: {why}", self.vm);
            return Ok(None);
        }
        match read_record(file.text.unwrap_or_default().as_bytes()) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                let why = chain(&error);
                let upgrade = if error.is_later() {
                    UPGRADE
                } else {
                    "run armfleet apply"
                };
                tracing::warn!("{}: left alone: {path}: {why}; {upgrade}", self.vm);
                Ok(None)
            }
        }
    }

    fn holding(&self) -> Holding {
        let hold = self.text(&paths::hold(self.vm));
        match hold.try_map(|text| read_hold(text.as_bytes())) {
            Fact::Present(hold) if hold.holds_at(self.guests.now()) => Holding::Held(hold),
            Fact::Present(_) | Fact::Absent | Fact::NotObserved => Holding::Free,
            Fact::Unreadable(why) => Holding::Unreadable(why),
        }
    }

    /// Whether a later version of armfleet noted how the VM runs: what it meant by that, this one cannot go on with.
    fn is_noted_later(&self) -> Result<bool, CallError> {
        let path = paths::run_note(self.vm);
        let text = known(self.text(&path))?;
        let later = text.and_then(|text| RUN_FORMAT.later(text.as_bytes()));
        if let Some(error) = &later {
            tracing::warn!("{}: left alone: {path}: {error}; {UPGRADE}", self.vm);
        }
        Ok(later.is_some())
    }

    /// A note that makes no sense is as good as none.
    fn note(&self) -> Result<Option<RunNote>, CallError> {
        let text = known(self.text(&paths::run_note(self.vm)))?;
        Ok(text.and_then(|text| read_run_note(text.as_bytes()).ok()))
    }

    /// What the guest wrote since this run began. The time of the change is the host's; the rest is the guest's.
    fn guest_stop(&self, record: &Record, run: RunStamp) -> Option<GuestStop> {
        let (stat, text) = word(look(self.guests), &record.boot.share, STOP_NOTE)?;
        let fresh = stat.ctime_ns >= run.mtime_ns;
        fresh.then(|| GuestStop::read(&text)).flatten()
    }

    /// What the present run's kernel still has to show, as the next start will decide on it.
    fn trial(&self, record: &Record) -> Result<Option<OnTrial>, CallError> {
        let Some(within) = record.boot.confirm_within else {
            return Ok(None);
        };
        let (started, trials) = (
            known(self.text(&paths::started(self.vm)))?,
            known(self.text(&paths::trials(self.vm)))?,
        );
        let started = started.and_then(|text| read_uptime(&text));
        let trials = trials.and_then(|text| Trials::read(text.as_bytes()).ok());
        let (Some(started), Some(mut trials)) = (started, trials) else {
            return Ok(None);
        };
        let evidence = Evidence {
            ran: Ran::For(within),
            confirmation: confirmation(look(self.guests), &record.boot.share),
            ..Evidence::default()
        };
        Ok(match trials.decide(&evidence, Some(within)) {
            Some(TrialOutcome::Failed(kernel, _)) => Some(OnTrial {
                kernel,
                within,
                until: Moment(0).after(started.saturating_add(within)),
            }),
            _ => None,
        })
    }

    fn text(&self, path: &str) -> Fact<String> {
        let seen = self.guests.look(path, Look::Text);
        seen.map(|file| file.text.unwrap_or_default())
    }

    fn write(&self, note: &RunNote) -> Result<(), CallError> {
        let path = paths::run_note(self.vm);
        let text = render_run_note(note)
            .map_err(|error| CallError::other(format!("cannot write {path}: {error}")))?;
        self.guests.write(&path, &text)
    }

    fn say_held(&self, seen: &Seen) {
        let why = match &seen.holding {
            Holding::Free => return,
            Holding::Held(hold) => hold.to_string(),
            Holding::Unreadable(why) => format!("its hold cannot be read: {why}"),
        };
        tracing::debug!("{}: not started: {why}", self.vm);
    }

    fn start(&self, seen: &Seen, note: &RunNote) -> Result<Option<Moment>, CallError> {
        if self.ending.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let asked = self.guests.moment();
        let started = self.guests.start(seen.record.uuid.as_str());
        let run = stamp(self.guests, self.vm).present().copied();
        let now = self.guests.moment();
        match started {
            Ok(()) => {
                self.write(&begun(note, run, now))?;
                if run == seen.run {
                    tracing::warn!(
                        "{}: started, but its hook did not run, so it boots the kernel it had; run armfleet apply",
                        self.vm
                    );
                } else {
                    tracing::info!("{}: started", self.vm);
                    self.say_what_the_hook_said();
                }
                self.journal(Action::Start, why(&note.end), now.since(asked), None);
                Ok(None)
            }
            Err(error) => self.not_started(note, run, (asked, now), &error),
        }
    }

    fn not_started(
        &self,
        note: &RunNote,
        run: Option<RunStamp>,
        (asked, now): (Moment, Moment),
        error: &CallError,
    ) -> Result<Option<Moment>, CallError> {
        // Without an answer the connection is gone, and the next look starts anew.
        let guest = self.guests.guest(self.vm.as_str())?;
        if guest.state.has_process() {
            self.write(&begun(note, run, now))?;
            return Ok(None);
        }
        let reason = note.end.clone();
        let note = failed(note, run, now);
        self.write(&note)?;
        tracing::warn!("{}: could not be started: {error}", self.vm);
        self.journal(Action::Start, why(&reason), now.since(asked), Some(error));
        Ok(Some(now))
    }

    /// Cuts the power of a VM whose kernel had its time. Its start is due at once.
    fn cut(&self, seen: &Seen) -> Result<Option<Moment>, CallError> {
        if self.ending.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let asked = self.guests.moment();
        let cut = self.guests.cut(seen.record.uuid.as_str());
        let now = self.guests.moment();
        self.journal(Action::Stop, SILENT, now.since(asked), cut.as_ref().err());
        cut?;
        Ok(Some(now))
    }

    /// Whether its last start used up what one start may use for the guest's share.
    pub(super) fn is_costly(&self) -> bool {
        self.hook_note().used_up
    }

    fn hook_note(&self) -> HookNote {
        let said = self.text(&paths::hook_seen(self.vm));
        HookNote::read(said.present().map_or("", |text| text))
    }

    /// Which kernel the hook chose, and why: a line for each reason.
    fn say_what_the_hook_said(&self) {
        for line in self.hook_note().said {
            tracing::info!("{}: {line}", self.vm);
        }
    }

    fn journal(&self, action: Action, reason: &str, took: Duration, error: Option<&CallError>) {
        let act = match action {
            Action::Stop => "cut",
            _ => action.word(),
        };
        let entry = Entry {
            at: self.guests.now(),
            by: USER.to_owned(),
            event: Event::Step(StepTrace {
                id: format!("{act}/{}", self.vm),
                milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                error: error.map(ToString::to_string).into_iter().collect(),
                ..StepTrace::of_vm(self.vm, action.word(), action, reason.to_owned())
            }),
        };
        let line = match render_entry(&entry) {
            Ok(line) => line,
            Err(error) => return tracing::error!("{}: {error}", paths::JOURNAL),
        };
        if let Err(error) = self.guests.append_line(paths::JOURNAL, &line) {
            tracing::error!("{}: {error}", paths::JOURNAL);
        }
    }
}

/// What there is, if anything is; what could not be seen is to be looked at again.
fn known<T>(fact: Fact<T>) -> Result<Option<T>, CallError> {
    match fact {
        Fact::Present(thing) => Ok(Some(thing)),
        Fact::Absent | Fact::NotObserved => Ok(None),
        Fact::Unreadable(why) => Err(CallError::other(why)),
    }
}

/// Why a VM is started again.
fn why(end: &Option<RunEnd>) -> &'static str {
    match end {
        Some(RunEnd::Silent { .. }) => SILENT,
        _ => "its guest rebooted",
    }
}
