//! One look at one VM: read under its lock, judged, done.

use super::judge::{Act, Heard, Holding, Seen, begun, failed, judge};
use crate::boot::{GuestStop, STOP_NOTE};
use crate::host::guests::{Guests, Happening};
use crate::host::primitives::CallError;
use crate::inventory::{Fact, Look};
use crate::mark::{
    Moment, Record, RunNote, RunStamp, read_hold, read_record, read_run_note, render_run_note,
};
use crate::spec::{VmName, layout};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long to wait for somebody else's short work on a VM; a start with its hook is the longest.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Who the journal says it was.
const USER: &str = "armfleet watch";

/// One VM to look at.
pub(super) struct Attendant<'a> {
    pub(super) guests: &'a dyn Guests,
    pub(super) vm: &'a VmName,
    /// Whether nothing is to be started any more: the host may be shutting down.
    pub(super) ending: &'a AtomicBool,
}

/// Whether armfleet keeps a VM of this name.
pub(super) fn is_kept(guests: &dyn Guests, vm: &VmName) -> bool {
    let record = guests.look(&layout::record(vm), Look::Stat);
    record.present().is_some()
}

/// The stamp that the hook left before a VM's last start.
pub(super) fn stamp(guests: &dyn Guests, vm: &VmName) -> Option<RunStamp> {
    let seen = guests.look(&layout::hook_seen(vm), Look::Stat);
    seen.present().map(|file| RunStamp {
        ino: file.stat.ino,
        mtime_ns: file.stat.mtime_ns,
    })
}

impl Attendant<'_> {
    /// Looks and does what is called for; tells when to look again.
    pub(super) fn attend(&self, heard: Heard) -> Result<Option<Moment>, CallError> {
        let note = format!("pid {}, {USER}", std::process::id());
        let path = layout::vm_lock(self.vm);
        let _lock = self.guests.lock(&path, &note, LOCK_PATIENCE)?;
        let Some(record) = self.record() else {
            return Ok(None);
        };
        let seen = self.see(record, heard);
        let now = self.guests.moment();
        let judgement = judge(&seen, heard, now);
        tracing::debug!(vm = %self.vm, ?heard, ?judgement, "judged");
        if let Some(note) = &judgement.note {
            self.write(note)?;
        }
        if let Some(say) = judgement.say {
            tracing::info!("{}: {say}", self.vm);
        }
        match judgement.act {
            Act::Rest => Ok(None),
            Act::Again(moment) => {
                self.say_held(&seen);
                Ok(Some(moment))
            }
            Act::Start => {
                let note = judgement.note.or_else(|| seen.note.clone());
                self.start(&seen, &note.unwrap_or_else(|| RunNote::of(seen.run)))
            }
        }
    }

    fn see(&self, record: Record, heard: Heard) -> Seen {
        let run = stamp(self.guests, self.vm);
        // A guest that has only said what it wants has not changed yet, and libvirt may be on its way out with it.
        let guest = match heard {
            Heard::Event(Happening::Shutdown(_), _) => None,
            _ => self.guests.guest(self.vm.as_str()).ok(),
        };
        Seen {
            guest,
            holding: self.holding(),
            run,
            note: self.note(),
            guest_stop: run.and_then(|run| self.guest_stop(&record, run)),
            record,
        }
    }

    fn record(&self) -> Option<Record> {
        let path = layout::record(self.vm);
        let read = |text: &str| read_record(text.as_bytes());
        match self.text(&path).try_map(|text| read(&text)) {
            Fact::Present(record) => Some(record),
            Fact::Absent | Fact::NotObserved => None,
            Fact::Unreadable(why) => {
                tracing::warn!(
                    "{}: left alone, since {path} cannot be read: {why}",
                    self.vm
                );
                None
            }
        }
    }

    fn holding(&self) -> Holding {
        let hold = self.text(&layout::hold(self.vm));
        match hold.try_map(|text| read_hold(text.as_bytes())) {
            Fact::Present(hold) if hold.holds_at(self.guests.now()) => Holding::Somebody(hold),
            Fact::Present(_) | Fact::Absent | Fact::NotObserved => Holding::Nobody,
            Fact::Unreadable(why) => Holding::Unreadable(why),
        }
    }

    /// A note that cannot be read is as good as none.
    fn note(&self) -> Option<RunNote> {
        let text = self.text(&layout::run_note(self.vm));
        read_run_note(text.present()?.as_bytes()).ok()
    }

    /// What the guest wrote since this run began. The time of the change is the host's; the rest is the guest's.
    fn guest_stop(&self, record: &Record, run: RunStamp) -> Option<GuestStop> {
        let path = format!("{}/{STOP_NOTE}", record.boot.share);
        let file = self.guests.look(&path, Look::Text);
        let file = file.present()?;
        let fresh = file.stat.ctime_ns >= run.mtime_ns;
        fresh
            .then(|| GuestStop::read(file.text.as_deref()?))
            .flatten()
    }

    fn text(&self, path: &str) -> Fact<String> {
        let seen = self.guests.look(path, Look::Text);
        seen.map(|file| file.text.unwrap_or_default())
    }

    fn write(&self, note: &RunNote) -> Result<(), CallError> {
        let path = layout::run_note(self.vm);
        let text = render_run_note(note)
            .map_err(|error| CallError::other(format!("cannot write {path}: {error}")))?;
        self.guests.write(&path, &text)
    }

    fn say_held(&self, seen: &Seen) {
        let why = match &seen.holding {
            Holding::Nobody => return,
            Holding::Somebody(hold) => hold.to_string(),
            Holding::Unreadable(why) => format!("its hold cannot be read: {why}"),
        };
        tracing::debug!("{}: not started: {why}", self.vm);
    }

    fn start(&self, seen: &Seen, note: &RunNote) -> Result<Option<Moment>, CallError> {
        if self.ending.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let started = self.guests.start(seen.record.uuid.as_str());
        let run = stamp(self.guests, self.vm);
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
                }
                self.journal("done");
                Ok(None)
            }
            Err(error) => self.not_started(note, run, now, &error),
        }
    }

    fn not_started(
        &self,
        note: &RunNote,
        run: Option<RunStamp>,
        now: Moment,
        error: &CallError,
    ) -> Result<Option<Moment>, CallError> {
        // Without an answer the connection is gone, and whoever comes next looks anew.
        let guest = self.guests.guest(self.vm.as_str())?;
        if guest.state.has_process() {
            self.write(&begun(note, run, now))?;
            return Ok(None);
        }
        let note = failed(note, run, now);
        self.write(&note)?;
        tracing::warn!("{}: could not be started: {error}", self.vm);
        self.journal(&error.to_string());
        Ok(Some(now))
    }

    fn journal(&self, result: &str) {
        let line = serde_json::json!({
            "at": self.guests.now(),
            "user": USER,
            "step": format!("start/{}", self.vm),
            "reason": "its guest rebooted",
            "result": result,
        });
        if let Err(error) = self.guests.append_line(layout::JOURNAL, &line.to_string()) {
            tracing::error!(error = &error as &dyn Error, "{}", layout::JOURNAL);
        }
    }
}
