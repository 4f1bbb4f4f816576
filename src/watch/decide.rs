//! What is to be done about a VM: a pure function of what happened, what was seen under the VM's lock, and the moment.
//!
//! Nothing is remembered between two decisions but the note of the present run, which is a file. So a watcher that was
//! killed, or a connection that broke, changes no answer: the next watcher reads the note and looks.
//!
//! ```text
//!              SHUTDOWN guest-reset            STOPPED, or seen off
//!   running ───────────────────────▶ reboot ─────────────────────────▶ started when it is due
//!      │     SHUTDOWN guest-shutdown
//!      ├───────────────────────────▶ power-off ─────────────────────▶ stays off
//!      │     armfleet asks it to stop
//!      ├───────────────────────────▶ asked ─────────────────────────▶ stays off
//!      │     virsh destroy, saved, crashed …
//!      ├────────────────────────────────────────────────────────────▶ stays off
//!      │     no sign of life within boot.confirm_within
//!      ├───────────────────────────▶ silent ─────▶ its power is cut ─▶ started
//!      │     seen off, and nothing noted: its guest's own note says power-off
//!      ├────────────────────────────────────────────────────────────▶ stays off
//!      └─────────────────── else ───────────────────────────────────▶ started when it is due
//! ```

use crate::boot::GuestStop;
use crate::fleet::{DesiredState, GuestReboot};
use crate::host::guests::{Cause, Guest, Happening, Off};
use crate::inventory::RunState;
use crate::mark::{Hold, Moment, Record, RunEnd, RunNote, RunStamp};
use crate::values::render_duration;
use std::time::Duration;

/// A run that lasted this long was a good one: a reboot after it begins no loop.
const GOOD_RUN: Duration = Duration::from_secs(600);
/// So many short runs in a row are followed by the next at once: an upgrade may well reboot twice.
const FREE_REBOOTS: u32 = 2;
/// The first pause of a loop; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A VM that stopped for an unknown reason is looked at again after this: the event may still be under way.
const SECOND_GLANCE: Duration = Duration::from_secs(1);
/// How often a VM that is held and due is looked at.
const HOLD_GLANCE: Duration = Duration::from_secs(5);

/// Why a VM is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something happened to it, in this run: the stamp that there was when it was told.
    Event(Happening, Option<RunStamp>),
    /// No event: a look finds out what was missed.
    Look,
    /// The moment came for which another look was asked.
    Due,
}

/// Whether the VM is held (`armfleet hold`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// There is no hold.
    Free,
    /// It is held.
    Held(Hold),
    /// The hold could not be read, and why; it counts as held.
    Unreadable(String),
}

/// A VM as it is seen under its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its record.
    pub record: Record,
    /// Its domain; none where libvirt gave no answer.
    pub guest: Option<Guest>,
    /// Whether it is held.
    pub holding: Holding,
    /// The stamp that the hook left before its last start.
    pub run: Option<RunStamp>,
    /// The last note about a run.
    pub note: Option<RunNote>,
    /// What its guest wrote into the share about how it means to stop, since that start.
    pub guest_stop: Option<GuestStop>,
    /// What its kernel still has to show.
    pub trial: Option<OnTrial>,
}

/// A kernel on trial without a sign of life, while another is known to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnTrial {
    /// Its name, as people know it.
    pub kernel: String,
    /// How long it may take to give a sign of life.
    pub within: Duration,
    /// When that time is over.
    pub until: Moment,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The note to write, if it is another one.
    pub note: Option<RunNote>,
    /// What to do.
    pub act: Act,
    /// What to say about it.
    pub say: Option<String>,
}

/// What to do about a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Rest,
    /// Start it.
    Start,
    /// Cut its power.
    Cut,
    /// Look at it again at this moment.
    Again(Moment),
}

/// Decides.
#[must_use]
pub fn decide(seen: &Seen, heard: Heard, now: Moment) -> Decision {
    if seen.record.on_guest_reboot != GuestReboot::ColdBoot || seen.is_another_domain() {
        return Decision {
            note: None,
            act: Act::Rest,
            say: None,
        };
    }
    let before = RunNote::for_run(seen.run, seen.note.as_ref());
    let after = noted(seen, heard, &before, now);
    let act = if heard == Heard::Look && seen.is_a_riddle(&after) {
        Act::Again(now.after(SECOND_GLANCE))
    } else {
        seen.act(&after, now)
    };
    let say = (before.end != after.end)
        .then(|| describe(seen, &after, now))
        .flatten();
    Decision {
        note: (seen.note.as_ref() != Some(&after)).then_some(after),
        act,
        say,
    }
}

/// What is known about the run after this.
fn noted(seen: &Seen, heard: Heard, note: &RunNote, now: Moment) -> RunNote {
    match heard {
        // It is told late, of a former run: by now the VM was started again.
        Heard::Event(_, Some(run)) if Some(run) != seen.run => note.clone(),
        Heard::Event(Happening::Started, _) => RunNote {
            began: note.began.or(Some(now)),
            end: None,
            ..note.clone()
        },
        Heard::Event(Happening::Shutdown(cause), _) => told(note, cause, now),
        Heard::Event(Happening::Stopped(off), _) if !seen.runs() => stopped(seen, note, off, now),
        Heard::Look if seen.is_a_riddle(note) => note.clone(),
        Heard::Look | Heard::Due if seen.is_off() => stopped(seen, note, seen.why_off(), now),
        _ if seen.runs() => RunNote {
            began: note.began.or(Some(now)),
            end: under_way(seen, note, now),
            ..note.clone()
        },
        _ => note.clone(),
    }
}

/// How a run that goes on will end. A guest that speaks after all is let alone.
fn under_way(seen: &Seen, note: &RunNote, now: Moment) -> Option<RunEnd> {
    match &note.end {
        None | Some(RunEnd::Silent { .. }) => {
            seen.is_overdue(now).then_some(RunEnd::Silent { due: now })
        }
        other => other.clone(),
    }
}

/// QEMU told what its guest wants. The first counts; that armfleet asked for something else does not.
fn told(note: &RunNote, cause: Cause, now: Moment) -> RunNote {
    match (cause, &note.end) {
        (Cause::Reset, None | Some(RunEnd::Asked | RunEnd::Silent { .. })) => rebooted(note, now),
        (Cause::PowerOff, None | Some(RunEnd::Asked | RunEnd::Silent { .. })) => {
            ended(note, RunEnd::PowerOff, now)
        }
        _ => note.clone(),
    }
}

/// It is off. The note of this run says why, unless something else ended it meanwhile.
fn stopped(seen: &Seen, note: &RunNote, off: Off, now: Moment) -> RunNote {
    match (&note.end, off) {
        (
            None | Some(RunEnd::Reboot { .. }),
            Off::Destroyed | Off::Saved | Off::Migrated | Off::Snapshot,
        )
        | (None, Off::Crashed | Off::Failed | Off::Daemon) => {
            ended(note, RunEnd::Other(off.describe().to_owned()), now)
        }
        (None, Off::Shutdown | Off::Unknown) => unseen(seen, note, now),
        (Some(_), _) => note.clone(),
    }
}

/// Its guest stopped it, and no watcher saw how. In this uptime of the host it did run, or there would be no stamp.
fn unseen(seen: &Seen, note: &RunNote, now: Moment) -> RunNote {
    match (seen.run, seen.guest_stop) {
        (None, _) => note.clone(),
        (Some(_), Some(GuestStop::PowerOff)) => ended(note, RunEnd::PowerOff, now),
        (Some(_), Some(GuestStop::Reboot) | None) => rebooted(note, now),
    }
}

/// A good run ends every loop.
fn ended(note: &RunNote, end: RunEnd, now: Moment) -> RunNote {
    let began = note.began;
    let good = began.is_some_and(|began| now.since(began) >= GOOD_RUN);
    RunNote {
        streak: if good { 0 } else { note.streak },
        end: Some(end),
        ..note.clone()
    }
}

fn rebooted(note: &RunNote, now: Moment) -> RunNote {
    let ended = ended(note, RunEnd::Reboot { due: now }, now);
    let streak = ended.streak.saturating_add(1);
    let due = now.after(pause(streak));
    RunNote {
        streak,
        end: Some(RunEnd::Reboot { due }),
        ..ended
    }
}

/// What is known about the run that a start began.
#[must_use]
pub fn begun(note: &RunNote, run: Option<RunStamp>, now: Moment) -> RunNote {
    RunNote {
        run,
        began: Some(now),
        streak: note.streak,
        end: None,
    }
}

/// What is known after a start that failed: another is due, never at once.
#[must_use]
pub fn failed(note: &RunNote, run: Option<RunStamp>, now: Moment) -> RunNote {
    let streak = note.streak.saturating_add(1).max(FREE_REBOOTS + 1);
    let due = now.after(pause(streak));
    RunNote {
        run,
        began: None,
        streak,
        end: Some(match note.end {
            // Its power was cut on purpose.
            Some(RunEnd::Silent { .. }) => RunEnd::Silent { due },
            _ => RunEnd::Reboot { due },
        }),
    }
}

/// How long to wait after this many short runs.
fn pause(streak: u32) -> Duration {
    match streak.checked_sub(FREE_REBOOTS + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE
            .saturating_mul(1 << doublings.min(16))
            .min(LONGEST_PAUSE),
    }
}

impl Seen {
    /// Whether the domain of this name is not the one that armfleet made.
    fn is_another_domain(&self) -> bool {
        let uuid = self.record.uuid.as_str();
        self.guest.as_ref().is_some_and(|guest| guest.uuid != uuid)
    }

    fn runs(&self) -> bool {
        let guest = self.guest.as_ref();
        guest.is_some_and(|guest| guest.state.has_process())
    }

    fn is_off(&self) -> bool {
        let guest = self.guest.as_ref();
        guest.is_some_and(|guest| guest.state == RunState::Off)
    }

    fn why_off(&self) -> Off {
        self.guest.as_ref().map_or(Off::Unknown, |guest| guest.off)
    }

    /// Whether its guest stopped it, and nothing says yet whether to reboot or to power off.
    fn is_a_riddle(&self, note: &RunNote) -> bool {
        let by_guest = matches!(self.why_off(), Off::Shutdown | Off::Unknown);
        self.is_off() && self.run.is_some() && note.end.is_none() && by_guest
    }

    /// Whether the time of its kernel is over, so that the last one that worked takes its place. Not while it is paused:
    /// then it cannot say anything.
    fn is_overdue(&self, now: Moment) -> bool {
        let guest = self.guest.as_ref();
        let running = guest.is_some_and(|guest| guest.state == RunState::Running);
        let over = self.trial.as_ref().is_some_and(|trial| trial.until <= now);
        over && running && self.is_wanted() && self.holding == Holding::Free
    }

    fn is_wanted(&self) -> bool {
        self.record.state == DesiredState::Running
    }

    fn act(&self, note: &RunNote, now: Moment) -> Act {
        match &note.end {
            Some(RunEnd::Reboot { due } | RunEnd::Silent { due })
                if self.is_off() && self.is_wanted() =>
            {
                if now < *due {
                    Act::Again(*due)
                } else {
                    self.start(now)
                }
            }
            Some(RunEnd::Silent { .. }) if self.is_overdue(now) => Act::Cut,
            None if self.runs() && self.is_wanted() => match &self.trial {
                Some(trial) if now < trial.until => Act::Again(trial.until),
                // Its time is over, and it is held or paused.
                Some(_) => Act::Again(now.after(HOLD_GLANCE)),
                None => Act::Rest,
            },
            _ => Act::Rest,
        }
    }

    /// Starts it, as soon as it is not held.
    fn start(&self, now: Moment) -> Act {
        match self.holding {
            Holding::Free => Act::Start,
            Holding::Held(_) | Holding::Unreadable(_) => Act::Again(now.after(HOLD_GLANCE)),
        }
    }
}

fn describe(seen: &Seen, note: &RunNote, now: Moment) -> Option<String> {
    Some(match note.end.as_ref()? {
        RunEnd::Asked => return None,
        RunEnd::Silent { .. } => {
            let trial = seen.trial.as_ref()?;
            format!(
                "{} gave no sign of life within {}: the VM is powered off and boots the last kernel that worked",
                trial.kernel,
                render_duration(trial.within)
            )
        }
        RunEnd::PowerOff => "its guest powered off: it stays off".to_owned(),
        RunEnd::Other(why) => format!("{why}: it stays off"),
        RunEnd::Reboot { due } if *due <= now => "its guest rebooted".to_owned(),
        RunEnd::Reboot { due } => format!(
            "its guest rebooted {} times in a row, each time within {} min of its start: it is started in {} s",
            note.streak,
            GOOD_RUN.as_secs() / 60,
            due.since(now).as_secs()
        ),
    })
}

#[cfg(test)]
pub(super) mod tests;
