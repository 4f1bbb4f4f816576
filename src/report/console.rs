//! What a guest said last on its console, as one line that does nothing to the terminal that shows it.

use super::style::printable;
use std::iter::Peekable;
use std::str::Chars;

/// No more of a line is shown.
const WIDTH: usize = 100;

/// The last line with a word in it of what a console's log ends with.
#[must_use]
pub fn last_line(log: &str) -> Option<String> {
    let text = plain(log);
    let has_word = |line: &&str| line.chars().any(char::is_alphanumeric);
    let line = text.lines().rfind(has_word)?;
    let line: String = line.trim().chars().take(WIDTH).collect();
    Some(printable(&line))
}

/// A line of a console's log, with its end, as it may be shown on a terminal.
#[must_use]
pub fn console_line(line: &str) -> String {
    let text = plain(line.trim_end_matches(['\r', '\n']));
    let lines = text.lines().map(|line| printable(line) + "\n");
    match text.is_empty() {
        true => "\n".to_owned(),
        false => lines.collect(),
    }
}

/// The text without what moves a terminal's cursor: each such move, as programs with a screen full of windows make them,
/// begins a line. What they draw frames with is left out.
fn plain(log: &str) -> String {
    let mut plain = String::new();
    let mut chars = log.chars().peekable();
    let mut draws = false;
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match sequence(&mut chars) {
                Sequence::Graphics(on) => draws = on,
                Sequence::Move => plain.push('\n'),
                Sequence::Other => {}
            },
            '\r' => plain.push('\n'),
            '\u{8}' => drop(plain.pop()),
            _ if !draws => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// What a terminal is told.
enum Sequence {
    /// Letters are parts of frames from now on, or letters again.
    Graphics(bool),
    Move,
    Other,
}

/// Reads a sequence after its escape character (ECMA-48: parameters, intermediates, and one final character).
fn sequence(chars: &mut Peekable<Chars<'_>>) -> Sequence {
    match chars.next() {
        Some('[') => {
            while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            match chars.next() {
                Some('m') => Sequence::Other,
                _ => Sequence::Move,
            }
        }
        Some('(') => Sequence::Graphics(chars.next() == Some('0')),
        _ => Sequence::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_line_with_a_word_is_told() {
        for (log, line) in [
            ("", None),
            ("\n \r\n--- \n", None),
            ("one\r\ntwo", Some("two")),
            ("one\r\ntwo \r\n\r\n# ", Some("two")),
            ("25%\r 50%\r 75%", Some("75%")),
            ("passwordd\u{8}: ", Some("password:")),
            (
                "\u{1b}[1mError\u{1b}[0m: \u{1b}[31mno disk\u{1b}[0m",
                Some("Error: no disk"),
            ),
            // As the installer's windows are drawn.
            (
                "\u{1b}[10;20H\u{1b}(0lqqqk\u{1b}(B\u{1b}[11;20H\u{1b}(0x\u{1b}(B Detecting disks\u{1b}[12;20H\u{1b}(0mqqj\u{1b}(B",
                Some("Detecting disks"),
            ),
            ("a\u{1b}", Some("a")),
            ("a\u{1b}[12", Some("a")),
            ("\u{202e}gnp.exe", Some("\u{fffd}gnp.exe")),
        ] {
            assert_eq!(last_line(log).as_deref(), line, "{log:?}");
        }
        for (line, shown) in [
            ("\n", "\n"),
            (
                "[  \u{1b}[0;32mOK\u{1b}[0m  ] Reached target\r\n",
                "[  OK  ] Reached target\n",
            ),
            ("25%\r 50%", "25%\n 50%\n"),
            ("\u{1b}]0;title\u{7}\n", "0;title\u{fffd}\n"),
        ] {
            assert_eq!(console_line(line), shown, "{line:?}");
        }
        assert_eq!(
            last_line(&"x".repeat(5000)).map(|line| line.len()),
            Some(WIDTH)
        );
    }

    proptest! {
        #[test]
        fn no_log_does_anything_to_a_terminal(log in ".{0,200}") {
            let line = last_line(&log).unwrap_or_default();
            prop_assert!(!line.chars().any(|c| c.is_control() && c != '\t'), "{line:?}");
            let shown = console_line(&log);
            let (text, end) = shown.split_at(shown.len() - 1);
            prop_assert!(!text.chars().any(|c| c.is_control() && !"\t\n".contains(c)) && end == "\n", "{shown:?}");
        }
    }
}
