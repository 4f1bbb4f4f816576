//! A hold: an administrator wants armfleet to leave a VM alone (`/var/lib/armfleet/vms/<vm>/hold.json`).

use crate::format::{Format, FormatError};
use crate::values::render_time;
use serde::{Deserialize, Serialize};

/// What a hold's file says it is.
pub const HOLD_FORMAT: Format = Format::new("armfleet-hold", 64 << 10);

/// Who holds a VM, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The user, as the system names them; behind sudo the one who called it.
    pub by: String,
    /// Since when, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// When it ends by itself, in seconds since 1970-01-01 UTC.
    pub until: Option<u64>,
    /// The reason given.
    pub why: Option<String>,
}

impl Hold {
    /// Whether it is in force at this time, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn holds_at(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "held by {} since {}", self.by, render_time(self.at))?;
        if let Some(until) = self.until {
            write!(f, " until {}", render_time(until))?;
        }
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

/// Reads a hold's file.
///
/// # Errors
/// Says why it is none.
pub fn read_hold(text: &[u8]) -> Result<Hold, FormatError> {
    HOLD_FORMAT.read(text)
}

/// The text of a hold's file, ending in a newline.
///
/// # Errors
/// None in practice: every part of a hold can be written as JSON.
pub fn render_hold(hold: &Hold) -> Result<String, FormatError> {
    HOLD_FORMAT.render(hold)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold() -> Hold {
        Hold {
            by: "anna".to_owned(),
            at: 951_827_640,
            until: Some(951_827_700),
            why: Some("disk is being moved".to_owned()),
        }
    }

    #[test]
    fn a_hold_reads_back_and_says_who_and_why() {
        let text = render_hold(&hold()).unwrap();
        assert_eq!(read_hold(text.as_bytes()).unwrap(), hold());
        assert_eq!(
            hold().to_string(),
            "held by anna since 2000-02-29 12:34 UTC until 2000-02-29 12:35 UTC: disk is being moved"
        );
        for damaged in ["", "{}", &text[..30], &text.replace("hold/1", "hold/2")] {
            assert!(read_hold(damaged.as_bytes()).is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_hold_ends_when_it_says() {
        assert!(hold().holds_at(0) && hold().holds_at(951_827_699));
        assert!(!hold().holds_at(951_827_700));
        let for_good = Hold {
            until: None,
            ..hold()
        };
        assert!(for_good.holds_at(u64::MAX));
    }
}
