//! Patterns that choose VMs or hosts by name: `*`, `?` and `[a-z]`, as in a shell.

use super::name::Unacceptable;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A pattern for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This character.
    One(char),
    /// Any one character.
    Any,
    /// One of these ranges of characters, or none of them.
    Set(Vec<(char, char)>, bool),
    /// Any number of characters.
    Star,
}

/// No name is longer, and no pattern needs to be.
const LIMIT: usize = 256;

impl Pattern {
    /// Whether a name is one of the pattern's.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        // The places in the pattern that what was read of the name may have led to.
        let mut places = vec![false; self.parts.len() + 1];
        places[0] = true;
        self.pass_stars(&mut places);
        for c in name {
            let mut next = vec![false; places.len()];
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| places[*at]) {
                match part {
                    Part::Star => next[at] = true,
                    part if part.takes(c) => next[at + 1] = true,
                    _ => {}
                }
            }
            self.pass_stars(&mut next);
            places = next;
        }
        places.last().copied().unwrap_or(false)
    }

    /// A star may stand for nothing.
    fn pass_stars(&self, places: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            if places[at] && *part == Part::Star {
                places[at + 1] = true;
            }
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::One(one) => *one == c,
            Self::Any | Self::Star => true,
            Self::Set(ranges, without) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *without
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = Unacceptable;

    fn from_str(text: &str) -> Result<Self, Unacceptable> {
        if text.is_empty() || text.len() > LIMIT {
            return Err(Unacceptable(format!(
                "a pattern has 1 to {LIMIT} characters"
            )));
        }
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Star,
                '?' => Part::Any,
                '[' => {
                    let (set, after) = rest.as_str().split_once(']').ok_or_else(|| {
                        Unacceptable(format!("`{text}` has a `[` without its `]`"))
                    })?;
                    rest = after.chars();
                    set_of(set, text)?
                }
                c => Part::One(c),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

/// What stands between brackets.
fn set_of(set: &str, pattern: &str) -> Result<Part, Unacceptable> {
    let without = set.starts_with(['!', '^']);
    let chars: Vec<char> = set.chars().skip(usize::from(without)).collect();
    let mut ranges = Vec::new();
    let mut rest = chars.as_slice();
    while let [from, after @ ..] = rest {
        let (to, after) = match after {
            ['-', to, after @ ..] => (to, after),
            after => (from, after),
        };
        if from > to {
            return Err(Unacceptable(format!(
                "`{from}-{to}` in `{pattern}` is backwards"
            )));
        }
        ranges.push((*from, *to));
        rest = after;
    }
    if ranges.is_empty() {
        return Err(Unacceptable(format!("`{pattern}` has empty brackets")));
    }
    Ok(Part::Set(ranges, without))
}

impl TryFrom<String> for Pattern {
    type Error = Unacceptable;

    fn try_from(text: String) -> Result<Self, Unacceptable> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(name)
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in [
            ("obs-01", "obs-01"),
            ("obs-*", "obs-"),
            ("*", ""),
            ("*-0[1-3]", "obs-02"),
            ("obs-?[!0]", "obs-01"),
            ("a**b*c", "axxbyc"),
            ("[a-]x", "-x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("obs-01", "obs-011"),
            ("obs-?", "obs-"),
            ("*-0[1-3]", "obs-04"),
            ("obs-?[!0]", "obs-10"),
            ("a*b", "abc"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        for pattern in ["", "[", "a[]", "[z-a]", "[!]"] {
            assert!(pattern.parse::<Pattern>().is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_stars_around_its_parts(name in "[a-z0-9.-]{0,20}", at in 0usize..20) {
            let (head, tail) = name.split_at(at.min(name.len()));
            let pattern = format!("{}*{}", head, tail);
            prop_assert!(matches(&pattern, &name));
        }

        #[test]
        fn no_text_panics(pattern in ".{0,40}", name in ".{0,40}") {
            if let Ok(pattern) = pattern.parse::<Pattern>() {
                let _ = pattern.matches(&name);
            }
        }
    }
}
