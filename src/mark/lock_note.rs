//! What whoever holds a lock leaves in its file, for whoever meets it.

use crate::values::render_time;
use std::fmt;

/// Before the number of the process.
const PID: &str = "pid ";

/// Who holds a lock.
pub struct LockNote<'a> {
    /// The process.
    pub pid: u32,
    /// The user, or the service.
    pub user: &'a str,
    /// Since when, in seconds since 1970-01-01 UTC.
    pub since: u64,
}

impl LockNote<'_> {
    /// The process that a note names, of this version or an earlier one.
    #[must_use]
    pub fn pid_in(note: &str) -> Option<u32> {
        note.strip_prefix(PID)?.split(',').next()?.parse().ok()
    }
}

impl fmt::Display for LockNote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = render_time(self.since);
        write!(f, "{PID}{}, user {}, since {since}", self.pid, self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_names_its_process() {
        let note = LockNote {
            pid: 4711,
            user: "root",
            since: 1_700_000_000,
        };
        let text = note.to_string();
        assert!(
            text.starts_with("pid 4711, user root, since 2023-11-14"),
            "{text}"
        );
        assert_eq!(LockNote::pid_in(&text), Some(4711));
        assert_eq!(LockNote::pid_in("pid 12, armfleet-watch"), Some(12));
        for other in ["", "pid", "pid x, user root", "somebody"] {
            assert_eq!(LockNote::pid_in(other), None, "{other}");
        }
    }
}
