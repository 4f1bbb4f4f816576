//! What a guest writes into its share about how it means to stop: for the time in which no watcher runs on the host.

/// The file in the share, as the guest sees it in `/boot`.
pub const STOP_NOTE: &str = "armfleet-stop";

/// How a guest means to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestStop {
    /// It powers off, and is to stay off.
    PowerOff,
    /// It reboots.
    Reboot,
}

impl GuestStop {
    /// Reads the file's text: one of the words `power-off` and `reboot`. Anything else says nothing, since the guest may
    /// write what it likes.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match text.trim() {
            "power-off" => Some(Self::PowerOff),
            "reboot" => Some(Self::Reboot),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_words_mean_something() {
        assert_eq!(GuestStop::read("power-off\n"), Some(GuestStop::PowerOff));
        assert_eq!(GuestStop::read("reboot"), Some(GuestStop::Reboot));
        for text in ["", "poweroff", "power-off reboot", "\0", "REBOOT"] {
            assert_eq!(GuestStop::read(text), None, "{text}");
        }
    }
}
