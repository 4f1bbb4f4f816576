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
        self.styled(Style::new(), tone, text)
    }

    /// The text in its tone, marked within text of the same tone.
    #[must_use]
    pub fn mark(self, tone: Tone, text: &str) -> String {
        self.styled(Style::new().bold().underline(), tone, text)
    }

    fn styled(self, style: Style, tone: Tone, text: &str) -> String {
        let colour = match tone {
            Tone::Good => AnsiColor::Green,
            Tone::Attention => AnsiColor::Yellow,
            Tone::Bad => AnsiColor::Red,
            Tone::Quiet => AnsiColor::Cyan,
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => {
                let style = style.fg_color(Some(colour.into()));
                format!("{style}{text}{style:#}")
            }
        }
    }
}

/// A text that can do nothing to a terminal or to how a page reads: control characters, and those that turn the direction
/// of writing or show nothing, are replaced.
#[must_use]
pub(super) fn printable(text: &str) -> String {
    let safe = |c: char| {
        if is_printable(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    text.chars().map(safe).collect()
}

/// Unicode's controls, bidirectional formatting, zero-width characters and tags; a tab is fine.
const fn is_printable(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{8}' | '\u{a}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
