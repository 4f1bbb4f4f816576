//! Long lines on narrow terminals: broken between words, so that a path or a number is read in one piece.

use std::os::fd::AsFd;

/// How much further in the rest of a line begins.
const HANG: usize = 4;

/// The columns of a terminal; none of anything else, and of a terminal that does not tell.
pub(super) fn columns(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// A text for so many columns. Words that are longer stay whole, and so do lines of sources and of definitions, whose places
/// matter.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let lines = text.split_inclusive('\n');
    lines.map(|line| wrapped_line(line, columns)).collect()
}

fn wrapped_line(line: &str, columns: usize) -> String {
    let (content, end) = match line.strip_suffix('\n') {
        Some(content) => (content, "\n"),
        None => (line, ""),
    };
    if width(content) <= columns || is_verbatim(content) {
        return line.to_owned();
    }
    let words = content.trim_start_matches(' ');
    let indent = content.len() - words.len();
    // A line that begins far to the right would leave no room.
    let hang = (indent + HANG).min(columns / 2);
    let mut wrapped = " ".repeat(indent);
    let mut at = indent;
    let mut rest = words;
    while !rest.is_empty() {
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        let next = behind.trim_start_matches(' ');
        wrapped += word;
        at += width(word);
        let gap = rest.len() - word.len() - next.len();
        let (following, _) = next.split_once(' ').unwrap_or((next, ""));
        if next.is_empty() {
            // Spaces at the end show nothing.
        } else if at + gap + width(following) <= columns {
            wrapped += &" ".repeat(gap);
            at += gap;
        } else {
            wrapped.push('\n');
            wrapped += &" ".repeat(hang);
            at = hang;
        }
        rest = next;
    }
    wrapped + end
}

/// How many columns a text takes; sequences that colour it take none.
fn width(text: &str) -> usize {
    shown(text).count()
}

fn shown(text: &str) -> impl Iterator<Item = char> {
    let mut is_sequence = false;
    text.chars().filter(move |character| {
        let was_sequence = is_sequence;
        is_sequence = match character {
            '\x1b' => true,
            'm' => false,
            _ => is_sequence,
        };
        !was_sequence && !is_sequence
    })
}

/// Whether a line is one of a file that is shown beside its number, or one of a definition.
fn is_verbatim(line: &str) -> bool {
    let shown: String = shown(line).collect();
    let content = shown.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
    content.starts_with('|') || shown.trim_start_matches([' ', '+', '-']).starts_with('<')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_broken_between_words_and_its_rest_hangs() {
        let plan = "  + share     /srv/armhf-vm-boot      0700 64055:64055, the guest's /boot\n  > start     armhf-vm\n";
        assert_eq!(
            wrapped(plan, 48),
            "  + share     /srv/armhf-vm-boot      0700\n      64055:64055, the guest's /boot\n  > start     armhf-vm\n"
        );
        assert_eq!(wrapped(plan, 200), plan);
    }

    #[test]
    fn what_is_longer_than_the_terminal_stays_whole() {
        let path = "/srv/a/very/long/path/of/an/image";
        assert_eq!(
            wrapped(&format!("  -> chown root {path}"), 20),
            format!("  -> chown root\n      {path}")
        );
    }

    #[test]
    fn colours_take_no_columns() {
        let coloured = "\x1b[1m\x1b[91merror:\x1b[0m a word";
        assert_eq!(wrapped(coloured, 13), coloured);
        assert_eq!(
            wrapped(coloured, 12),
            "\x1b[1m\x1b[91merror:\x1b[0m a\n    word"
        );
    }

    #[test]
    fn sources_and_definitions_stay_as_they_are() {
        for line in [
            "15 |   seed: { kernel: /srv/seed/vmlinuz, initrd: /srv/seed/initrd.img }",
            "   |           ^^^^^^ this key is not one of a seed, as far as is known",
            "-  <memory unit='KiB'>524288</memory> <!-- what it has today -->",
        ] {
            assert_eq!(wrapped(line, 40), line);
        }
        let help = "   = help: give each its own path, with `{name}` in it";
        assert_eq!(
            wrapped(help, 40),
            "   = help: give each its own path, with\n       `{name}` in it"
        );
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_no_line_is_longer_than_it_must_be(text in "[ a-z]{0,120}(\n[ a-z]{0,120}){0,2}", columns in 8usize..60) {
            let wrapped = wrapped(&text, columns);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&wrapped), words(&text));
            for line in wrapped.lines().filter(|line| line.len() > columns) {
                prop_assert!(words(line).len() <= 1, "{:?}", line);
            }
        }
    }
}
