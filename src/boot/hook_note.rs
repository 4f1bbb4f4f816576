//! What the hook leaves about a start, for `status` and for the watcher.

use crate::format::Format;
use serde::{Deserialize, Serialize};

const FORMAT: Format = Format::new("armfleet-hook-note", 1 << 20);

/// What the hook said of a VM's last start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HookNote {
    /// All lines.
    pub said: Vec<String>,
    /// Those of them that a person should look at until the next start.
    pub attention: Vec<String>,
    /// Those of them that say which pair of the guest's was passed over.
    pub passed_over: Vec<String>,
    /// Whether the guest's share used up what one start may use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used_up: bool,
}

impl HookNote {
    /// The note's text, empty where there is nothing to say.
    #[must_use]
    pub fn render(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        // Strings alone: that can always be written.
        FORMAT.render(self).unwrap_or_default()
    }

    /// Reads a note. One of version 0.1.0 has the lines alone, and the stamp of a start under way has none yet.
    #[must_use]
    pub fn read(text: &str) -> Self {
        FORMAT.read(text.as_bytes()).unwrap_or_else(|_| Self {
            said: text.lines().map(str::to_owned).collect(),
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_one_of_0_1_0_has_its_lines() {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let note = HookNote {
            said: owned(&["newest: no initrd", "no room", "boots 6.1"]),
            attention: owned(&["no room"]),
            passed_over: owned(&["newest: no initrd"]),
            used_up: true,
        };
        assert_eq!(HookNote::read(&note.render()), note);
        let old = HookNote::read("armfleet: a: boots 6.1\n");
        assert_eq!(old.said, ["armfleet: a: boots 6.1"]);
        assert!(old.attention.is_empty() && old.passed_over.is_empty());
        assert_eq!(HookNote::read(""), HookNote::default());
        assert_eq!(HookNote::default().render(), "");
    }
}
