//! Characters that look like a space or a quote and are none: web pages and word processors put them into texts.

use crate::problem::{Problem, ProblemKind};

/// The first such character where YAML would take the right one for what it is: outside of quotes and comments.
pub(super) fn find(text: &str, base: usize) -> Option<Problem> {
    let mut scan = Scan::default();
    let (at, c) = text.char_indices().find(|(_, c)| scan.is_wrong(*c))?;
    let place = base + at..base + at + c.len_utf8();
    let code = u32::from(c);
    let new = |message: String| Problem::new(ProblemKind::Syntax, &place, message);
    Some(match c {
        '\u{a0}' | '\u{2007}' | '\u{202f}' => new(format!(
            "this is a no-break space (U+{code:04X}), which YAML does not take for a space"
        ))
        .help("write a plain space in its place"),
        '\u{2018}'..='\u{201b}' => new(format!(
            "`{c}` (U+{code:04X}) is a typographic quote, which YAML does not take for one"
        ))
        .help("write `'` or `\"` in its place"),
        '\u{201c}'..='\u{201f}' => new(format!(
            "`{c}` (U+{code:04X}) is a typographic quote, which YAML does not take for one"
        ))
        .help("write `\"` in its place"),
        _ => new(format!("an invisible character (U+{code:04X}) stands here"))
            .help("remove it; it comes from a web page or a word processor"),
    })
}

#[derive(Default)]
struct Scan {
    /// The quote that is open.
    quote: Option<char>,
    is_comment: bool,
    /// The last character on this line that is no space.
    last: Option<char>,
    is_after_space: bool,
    is_escaped: bool,
}

impl Scan {
    /// Takes the next character in, and tells whether it is one.
    fn is_wrong(&mut self, c: char) -> bool {
        let is_wrong = self.quote.is_none()
            && !self.is_comment
            && match c {
                '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{200b}'..='\u{200d}' | '\u{2060}' => true,
                '\u{2018}'..='\u{201f}' => self.begins_value(),
                _ => false,
            };
        self.take(c);
        is_wrong
    }

    /// Whether a value begins here.
    fn begins_value(&self) -> bool {
        match self.last {
            None | Some('[' | '{' | ',') => true,
            Some(':' | '-' | '?') => self.is_after_space,
            _ => false,
        }
    }

    fn take(&mut self, c: char) {
        match (self.quote, c) {
            (_, '\n') => {
                let quote = self.quote;
                *self = Self {
                    quote,
                    ..Self::default()
                };
                return;
            }
            (Some('"'), '\\') => {
                self.is_escaped = !self.is_escaped;
                return;
            }
            (Some(quote), _) if quote == c && !self.is_escaped => self.quote = None,
            (None, '"' | '\'') if !self.is_comment && self.begins_value() => self.quote = Some(c),
            (None, '#') if self.last.is_none() || self.is_after_space => self.is_comment = true,
            _ => {}
        }
        self.is_escaped = false;
        self.is_after_space = c == ' ';
        if c != ' ' {
            self.last = Some(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_for_a_space_or_a_quote_counts() {
        for (text, at) in [
            ("a:\u{a0}b", Some(2)),
            ("\u{a0}a: b", Some(0)),
            ("a: \u{201c}b\u{201d}", Some(3)),
            ("a: [\u{2018}b]", Some(4)),
            ("a: b\u{200b}", Some(4)),
            ("a: 'it''s' # x\nb:\u{a0}c", Some(17)),
            ("a: \"\\\"\u{a0}\"", None),
            ("a: '\u{a0}'", None),
            ("a: b # \u{a0}\u{201c}", None),
            ("a: don\u{2019}t", None),
            ("a: it's\u{2019}", None),
        ] {
            let place = find(text, 0).map(|problem| problem.place.range.start);
            assert_eq!(place, at, "{text:?}");
        }
    }
}
