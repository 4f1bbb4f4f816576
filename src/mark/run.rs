//! What is known about a VM's present run and how it ended (`/run/armfleet/runs/<vm>.json`): so that a later watcher
//! can tell a reboot from a power-off. It ends with the host's uptime.

use crate::format::{Format, FormatError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a run's file says it is.
pub const RUN_FORMAT: Format = Format::new("armfleet-run", 64 << 10);

/// What tells one run of a VM from the next: the stamp that the hook left before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStamp {
    /// The stamp's inode.
    pub ino: u64,
    /// When it was written, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// A moment of the host's uptime, suspended time included, in milliseconds. It means the same to every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(time))
    }

    /// How long ago an earlier moment was.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One run of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNote {
    /// Which run; none where no hook left a stamp.
    pub run: Option<RunStamp>,
    /// When it began, if that was seen.
    pub began: Option<Moment>,
    /// How many short runs in a row ended in a reboot before it.
    pub streak: u32,
    /// How it ended or is to end; none while nothing points to an end.
    pub end: Option<RunEnd>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunEnd {
    /// armfleet asked the guest to power off.
    Asked,
    /// The guest powered off.
    PowerOff,
    /// The guest rebooted: its next run is due.
    Reboot {
        /// Not before then.
        due: Moment,
    },
    /// Its kernel gave no sign of life within `boot.confirm_within`: its power is cut, and its next run is due.
    Silent {
        /// Not before then.
        due: Moment,
    },
    /// Something else ended it, as libvirt calls it.
    Other(String),
}

impl RunNote {
    /// A run whose stamp is all that is known.
    #[must_use]
    pub fn of(run: Option<RunStamp>) -> Self {
        Self {
            run,
            began: None,
            streak: 0,
            end: None,
        }
    }

    /// What was noted about a run: the note, if it is that run's; else a new one that goes on counting.
    #[must_use]
    pub fn for_run(run: Option<RunStamp>, last: Option<&Self>) -> Self {
        match last {
            Some(last) if last.run == run => last.clone(),
            Some(last) => Self {
                streak: last.streak,
                ..Self::of(run)
            },
            None => Self::of(run),
        }
    }
}

/// Reads a run's file.
///
/// # Errors
/// Says why it is none.
pub fn read_run_note(text: &[u8]) -> Result<RunNote, FormatError> {
    RUN_FORMAT.read(text)
}

/// The text of a run's file, ending in a newline.
///
/// # Errors
/// None in practice: every part of it can be written as JSON.
pub fn render_run_note(note: &RunNote) -> Result<String, FormatError> {
    RUN_FORMAT.render(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> RunNote {
        RunNote {
            run: Some(RunStamp {
                ino: u64::MAX,
                mtime_ns: i64::MIN,
            }),
            began: Some(Moment(7)),
            streak: 3,
            end: Some(RunEnd::Reboot { due: Moment(9) }),
        }
    }

    #[test]
    fn a_note_reads_back_as_it_was_written() {
        for end in [
            None,
            note().end,
            Some(RunEnd::Asked),
            Some(RunEnd::PowerOff),
            Some(RunEnd::Silent { due: Moment(9) }),
            Some(RunEnd::Other("destroyed".to_owned())),
        ] {
            let note = RunNote { end, ..note() };
            let text = render_run_note(&note).unwrap();
            assert_eq!(read_run_note(text.as_bytes()).unwrap(), note);
        }
        assert!(read_run_note(b"{\"format\": \"armfleet-run/2\"}").is_err());
    }

    #[test]
    fn another_run_starts_afresh_and_goes_on_counting() {
        let other = Some(RunStamp {
            ino: 1,
            mtime_ns: 1,
        });
        let fresh = RunNote::for_run(other, Some(&note()));
        assert_eq!((fresh.run, fresh.streak, fresh.end), (other, 3, None));
        assert_eq!(RunNote::for_run(note().run, Some(&note())), note());
        assert_eq!(RunNote::for_run(None, None), RunNote::of(None));
    }
}
