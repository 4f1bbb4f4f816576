//! What a report rests on where that is not the host as it is now, and how its first line says so.

use crate::values::{render_duration, render_time};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// What a report rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Basis {
    /// A snapshot file, which a host was recorded in.
    Snapshot {
        /// When it was taken, in seconds since 1970-01-01 UTC.
        taken: u64,
        /// How old it was when the report was made, in seconds; null if the clocks of the two hosts disagree.
        age: Option<u64>,
    },
    /// Two fleet files, and no host: the plan says what the change from one to the other means.
    Files {
        /// The old one, as the user calls it.
        old: String,
        /// The new one.
        new: String,
    },
}

impl Basis {
    /// A snapshot taken at one time and used at another.
    #[must_use]
    pub fn snapshot(taken: u64, now: u64) -> Self {
        let age = now.checked_sub(taken);
        Self::Snapshot { taken, age }
    }

    /// Two fleet files.
    #[must_use]
    pub const fn files(old: String, new: String) -> Self {
        Self::Files { old, new }
    }

    /// Whether it says something of a host.
    #[must_use]
    pub const fn has_host(&self) -> bool {
        match self {
            Self::Snapshot { .. } => true,
            Self::Files { .. } => false,
        }
    }

    /// As the first line of a report says it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Snapshot { taken, age } => {
                let age = age.map_or_else(
                    || "later than the clock here".to_owned(),
                    |age| format!("{} old", render_age(age)),
                );
                format!("snapshot of {}, {age}", render_time(*taken))
            }
            Self::Files { old, new } => format!("{old} -> {new} · no host was looked at"),
        }
    }
}

/// As much of a commit's name as people compare.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// An age in its largest unit: that of a snapshot matters by its order.
fn render_age(seconds: u64) -> String {
    const UNITS: [u64; 3] = [86_400, 3_600, 60];
    let unit = UNITS.into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    render_duration(Duration::from_secs(seconds - seconds % unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_said_in_its_largest_unit() {
        for (age, words) in [
            (0, "0s old"),
            (59, "59s old"),
            (61, "1min old"),
            (7_300, "2h old"),
            (200_000, "2d old"),
        ] {
            let basis = Basis::snapshot(951_827_640, 951_827_640 + age);
            let said = format!("snapshot of 2000-02-29 12:34 UTC, {words}");
            assert_eq!(basis.words(), said);
        }
        let ahead = Basis::snapshot(951_827_640, 951_827_639);
        assert!(ahead.words().ends_with("later than the clock here"));
    }
}
