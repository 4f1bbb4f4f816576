//! Waits: what is waited for, how long already, and how long at the most. Every wait has a limit, and one of more than
//! ten seconds is said.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// A wait that is worth a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The VM that it is about, if it is about one.
    pub subject: Option<String>,
    /// What is waited for, as in "waiting for its guest to power off".
    pub what: String,
    /// How long it has lasted.
    pub already: Duration,
    /// How long it may last.
    pub limit: Duration,
    /// What seems to be the cause, where that can be seen.
    pub causes: Vec<String>,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (already, limit) = (spoken(self.already), spoken(self.limit));
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        write!(f, "{}, {already} of {limit}", self.what)?;
        self.causes
            .iter()
            .try_for_each(|cause| write!(f, "; {cause}"))
    }
}

/// When a wait is said: after ten seconds, and whenever it has become twice as long since.
#[derive(Debug, Clone, Copy)]
pub struct Pace(Duration);

impl Default for Pace {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

impl Pace {
    /// How long the wait will have lasted when it is said next.
    #[must_use]
    pub fn next(self) -> Duration {
        self.0
    }

    /// Whether a wait of this length is announced now; if so, the next time is later.
    pub fn is_due(&mut self, already: Duration) -> bool {
        let due = already >= self.0;
        while self.0 <= already {
            self.0 = self.0.saturating_mul(2);
        }
        due
    }
}

static LISTENER: RwLock<Option<fn(&Wait)>> = RwLock::new(None);

/// From now on, has this process tell of its waits for libvirt here. There is one listener, as there is one standard error.
pub fn listen(listener: fn(&Wait)) {
    *LISTENER.write().unwrap_or_else(PoisonError::into_inner) = Some(listener);
}

/// Tells the listener.
pub(super) fn say(wait: &Wait) {
    let listener = *LISTENER.read().unwrap_or_else(PoisonError::into_inner);
    match listener {
        Some(listener) => listener(wait),
        None => tracing::warn!("{wait}"),
    }
}

/// A duration for people, to the nearest second: `10 s`, `2 min`, `1 h 30 min`.
#[must_use]
pub fn spoken(duration: Duration) -> String {
    let seconds = duration
        .saturating_add(Duration::from_millis(500))
        .as_secs();
    let units = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let parts = units.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    match parts.is_empty() {
        true => "0 s".to_owned(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_said_after_ten_seconds_and_then_ever_more_rarely() {
        let mut pace = Pace::default();
        let said: Vec<u64> = (0..=200)
            .filter(|second| pace.is_due(Duration::from_secs(*second)))
            .collect();
        assert_eq!(said, [10, 20, 40, 80, 160]);
        let mut late = Pace::default();
        assert!(late.is_due(Duration::from_secs(75)));
        assert_eq!(late.next(), Duration::from_secs(80));
    }

    #[test]
    fn a_wait_says_its_limit_and_its_cause() {
        let mut wait = Wait {
            subject: Some("obs-02".to_owned()),
            what: "waiting for its guest to power off".to_owned(),
            already: Duration::from_millis(10_400),
            limit: Duration::from_secs(120),
            causes: Vec::new(),
        };
        let text = "obs-02: waiting for its guest to power off, 10 s of 2 min";
        assert_eq!(wait.to_string(), text);
        wait.causes.push("its QEMU is stopped (pid 7)".to_owned());
        assert_eq!(
            wait.to_string(),
            format!("{text}; its QEMU is stopped (pid 7)")
        );
    }

    #[test]
    fn durations_are_spoken_in_whole_units() {
        let all = [0, 9, 60, 150, 3600, 5400].map(|seconds| spoken(Duration::from_secs(seconds)));
        assert_eq!(
            all,
            ["0 s", "9 s", "1 min", "2 min 30 s", "1 h", "1 h 30 min"]
        );
    }
}
