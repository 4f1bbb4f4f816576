//! Colour, where it is wanted.

use anstyle::{AnsiColor, Style};

/// What a piece of text is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something comes.
    Good,
    /// Something changes.
    Attention,
    /// Something goes or is refused.
    Bad,
    /// Something by the way.
    Quiet,
}

/// Whether text is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// With the terminal's colours.
    Colours,
    /// Not at all.
    Plain,
}

impl Paint {
    /// The text in its tone.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let colour = match tone {
            Tone::Good => AnsiColor::Green,
            Tone::Attention => AnsiColor::Yellow,
            Tone::Bad => AnsiColor::Red,
            Tone::Quiet => AnsiColor::Cyan,
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => {
                let style = Style::new().fg_color(Some(colour.into()));
                format!("{style}{text}{style:#}")
            }
        }
    }
}
