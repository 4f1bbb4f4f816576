//! What guests do: the events that libvirt and QEMU tell of, and the few calls that answer them.

use super::primitives::{CallError, Held, answers, calls};
use crate::boot::{CONFIRMATION, CONFIRMATION_LIMIT, Confirmation, Identity};
use crate::inventory::{Fact, Look, RawFile, RawStat, RunState};
use crate::mark::Moment;
use crate::values::HostPath;
use serde::Deserialize;
use std::time::Duration;

/// What came over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something happened to a domain.
    Domain {
        /// Its name.
        name: String,
        /// What.
        what: Happening,
    },
    /// The connection is gone; why.
    Closed(&'static str),
}

/// What happened to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// QEMU said `SHUTDOWN`: the guest, or a user, wants this run to end.
    Shutdown(Cause),
    /// It runs.
    Started,
    /// It stopped.
    Stopped(Off),
}

/// Who ended a run, as QEMU tells (`ShutdownCause`, `qapi/run-state.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The guest rebooted, panicked with `panic=N`, or a user pressed its reset button (`virsh reset`).
    Reset,
    /// The guest powered off, by itself or asked to.
    PowerOff,
    /// Anything else, which says nothing about the guest: QEMU was ended from outside. After each end that the guest
    /// wanted comes one of these.
    Outside,
}

impl Cause {
    /// Reads the event's details, `{"guest": true, "reason": "guest-reset"}`. QEMU writes them, but what cannot be read
    /// decides nothing.
    #[must_use]
    pub fn read(details: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Details {
            reason: String,
        }
        match serde_json::from_slice::<Details>(details) {
            Ok(Details { reason }) => match reason.as_str() {
                "guest-reset" | "host-qmp-system-reset" => Self::Reset,
                "guest-shutdown" => Self::PowerOff,
                _ => Self::Outside,
            },
            Err(_) => Self::Outside,
        }
    }
}

/// Why a domain is off, as libvirt tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// libvirt does not know: it never ran, or libvirtd was restarted since.
    Unknown,
    /// Its guest ended it: a power-off and a reboot look alike.
    Shutdown,
    /// A user cut its power (`virsh destroy`).
    Destroyed,
    /// QEMU or the guest crashed.
    Crashed,
    /// It went to another host.
    Migrated,
    /// It was saved to a file.
    Saved,
    /// QEMU failed, or the start did.
    Failed,
    /// It was put back to a snapshot.
    Snapshot,
    /// libvirtd ended it.
    Daemon,
}

impl Off {
    /// Reads `virDomainShutoffReason`.
    #[must_use]
    pub fn from_reason(reason: u32) -> Self {
        match reason {
            1 => Self::Shutdown,
            2 => Self::Destroyed,
            3 => Self::Crashed,
            4 => Self::Migrated,
            5 => Self::Saved,
            6 => Self::Failed,
            7 => Self::Snapshot,
            8 => Self::Daemon,
            _ => Self::Unknown,
        }
    }

    /// Reads `virDomainEventStoppedDetailType`.
    #[must_use]
    pub fn from_detail(detail: i32) -> Self {
        match detail {
            0 => Self::Shutdown,
            1 => Self::Destroyed,
            2 => Self::Crashed,
            3 => Self::Migrated,
            4 => Self::Saved,
            5 => Self::Failed,
            6 => Self::Snapshot,
            _ => Self::Unknown,
        }
    }

    /// What happened, in words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Unknown => "it went off, and libvirt does not know why",
            Self::Shutdown => "its guest ended it",
            Self::Destroyed => "its power was cut",
            Self::Crashed => "it crashed",
            Self::Migrated => "it went to another host",
            Self::Saved => "it was saved",
            Self::Failed => "QEMU or its start failed",
            Self::Snapshot => "it was put back to a snapshot",
            Self::Daemon => "libvirtd ended it",
        }
    }
}

/// A domain, as far as a watcher looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// What it is doing.
    pub state: RunState,
    /// Why it is off, if it is.
    pub off: Off,
}

answers! {
    /// What a call for guests answers.
    enum GuestAnswer {
        Done(()),
        Guests(Vec<Guest>),
        Guest(Guest),
        File(Fact<RawFile>),
        Lock(Box<dyn Held>),
    }
}

calls! {
    /// A host whose guests are watched.
    trait Guests: Send, Sync {
        /// Seconds since 1970-01-01 UTC.
        fn now(&self) -> u64;
        /// The present moment of the host's uptime.
        fn moment(&self) -> Moment;
    }
    /// A call for guests as a value.
    enum GuestCall by ask -> GuestAnswer;

    /// Every domain.
    ///
    /// # Errors
    /// When libvirt cannot be reached.
    reads Guests: fn guests() -> Result<Vec<Guest>, CallError>, on "";
    /// The domain of a name.
    ///
    /// # Errors
    /// `Missing` when there is none.
    reads Guest: fn guest(name: &'a str) -> Result<Guest, CallError>, on name;
    /// Starts a domain.
    ///
    /// # Errors
    /// As libvirt says.
    changes Start: fn start(uuid: &'a str) -> Result<(), CallError>, on uuid;
    /// Cuts a domain's power: its QEMU writes out what it holds for its disks, and ends. The guest is not asked.
    ///
    /// # Errors
    /// As libvirt says; also when it is off already.
    changes Cut: fn cut(uuid: &'a str) -> Result<(), CallError>, on uuid;
    /// Looks at a path, as [`super::primitives::Reads::look`] does.
    reads Look: fn look(path: &'a str, look: Look) -> Fact<RawFile>, on path;
    /// Writes a file of armfleet's own whole or not at all, mode 0600; its folder is made.
    ///
    /// # Errors
    /// As the system says.
    changes Write: fn write(path: &'a str, text: &'a str) -> Result<(), CallError>, on path;
    /// Appends a line to a file.
    ///
    /// # Errors
    /// As the system says.
    changes AppendLine: fn append_line(path: &'a str, line: &'a str) -> Result<(), CallError>, on path;
    /// Takes a lock, as [`super::primitives::Primitives::lock`] does.
    ///
    /// # Errors
    /// `Locked` with the holder's note.
    changes Lock: fn lock(path: &'a str, note: &'a str, patience: Duration) -> Result<Box<dyn Held>, CallError>, on path;
}

/// A small file that a guest wrote into its share. What cannot be read twice the guest has made so, and says nothing.
pub(crate) fn word(
    look: impl Fn(&str) -> Fact<RawFile>,
    share: &HostPath,
    name: &str,
) -> Option<(RawStat, String)> {
    let path = format!("{share}/{name}");
    let file = match look(&path) {
        Fact::Unreadable(_) => look(&path),
        file => file,
    };
    match file {
        Fact::Present(file) if file.stat.size <= CONFIRMATION_LIMIT => {
            Some((file.stat, file.text?))
        }
        Fact::Present(_) | Fact::Absent | Fact::NotObserved | Fact::Unreadable(_) => None,
    }
}

/// A guest's sign of life, as its share has it.
pub(crate) fn confirmation(
    look: impl Fn(&str) -> Fact<RawFile>,
    share: &HostPath,
) -> Option<(Identity, Confirmation)> {
    let (stat, text) = word(look, share, CONFIRMATION)?;
    Some((stat.identity(), Confirmation::read(text.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn causes_are_read_from_what_qemu_says() {
        let read = |details: &str| Cause::read(details.as_bytes());
        assert_eq!(
            read(r#"{"guest":true,"reason":"guest-reset"}"#),
            Cause::Reset
        );
        assert_eq!(
            read(r#"{"guest":false,"reason":"host-qmp-system-reset"}"#),
            Cause::Reset
        );
        assert_eq!(
            read(r#"{"guest":true,"reason":"guest-shutdown"}"#),
            Cause::PowerOff
        );
        for details in [
            r#"{"guest":false,"reason":"host-signal"}"#,
            r#"{"guest":true}"#,
            r#"{"reason":["guest-reset"]}"#,
            r#"{"reason":"guest-reset"#,
            "guest-reset",
            "",
            "null",
        ] {
            assert_eq!(read(details), Cause::Outside, "{details}");
        }
    }

    proptest! {
        #[test]
        fn no_details_bring_the_reader_down(details in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Cause::read(&details);
        }
    }

    #[test]
    fn the_numbers_of_libvirt_are_told_apart() {
        assert_eq!(
            (Off::from_reason(1), Off::from_detail(0)),
            (Off::Shutdown, Off::Shutdown)
        );
        assert_eq!(
            (Off::from_reason(2), Off::from_detail(1)),
            (Off::Destroyed, Off::Destroyed)
        );
        for number in [-1, 7, 99] {
            assert_eq!(Off::from_detail(number), Off::Unknown);
        }
        assert_eq!(Off::from_reason(u32::MAX), Off::Unknown);
    }
}
