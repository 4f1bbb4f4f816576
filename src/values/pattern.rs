//! Patterns that choose by name.

use super::name::Unacceptable;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A pattern that chooses VMs or hosts by name: `*`, `?` and `[a-z]` as in a shell, and `[01-12]` as in a fleet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// No name is longer, and no pattern needs to be.
const PATTERN_LIMIT: usize = 256;
/// The most digits of a number; all of these fit into 64 bits.
const DIGITS: usize = 18;

/// Numbers at equal distances, written as the first of them is.
struct Run {
    first: u64,
    last: u64,
    step: u64,
    width: usize,
}

/// A pattern around its first range of numbers.
struct Divided<'p> {
    before: &'p str,
    runs: Vec<Run>,
    after: &'p str,
}

impl Pattern {
    /// Whether a name is one of the pattern's.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }
}

impl FromStr for Pattern {
    type Err = Unacceptable;

    fn from_str(text: &str) -> Result<Self, Unacceptable> {
        check(text).map_err(Unacceptable)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = Unacceptable;

    fn try_from(text: String) -> Result<Self, Unacceptable> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn check(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > PATTERN_LIMIT {
        return Err(format!("a pattern has 1 to {PATTERN_LIMIT} characters"));
    }
    let mut rest = text;
    while let Some(Divided { runs, after, .. }) = divided(rest) {
        if let Some(run) = runs
            .iter()
            .find(|run| run.last < run.first || run.step == 0)
        {
            let (first, last) = (run.first, run.last);
            return Err(format!(
                "in `{text}` the range from {first} to {last} has no numbers; write the smaller one first, and no step of 0"
            ));
        }
        rest = after;
    }
    match compiled(&without_ranges(text)) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "`{text}` has brackets that are not closed, or that hold nothing"
        )),
    }
}

/// The pattern with a digit in the place of each range.
fn without_ranges(mut text: &str) -> String {
    let mut without = String::new();
    while let Some(Divided { before, after, .. }) = divided(text) {
        without += before;
        without.push('0');
        text = after;
    }
    without + text
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some(Divided {
        before,
        runs,
        after,
    }) = divided(pattern)
    else {
        return compiled(pattern).is_ok_and(|pattern| pattern.matches(name));
    };
    let Ok(before) = compiled(before) else {
        return false;
    };
    let digits = name.match_indices(|c: char| c.is_ascii_digit());
    let mut begins = digits
        .map(|(at, _)| at)
        .filter(|at| before.matches(&name[..*at]));
    begins.any(|begin| {
        let rest = &name[begin..];
        let most = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        (1..=most.min(DIGITS)).any(|length| {
            let (number, rest) = rest.split_at(length);
            runs.iter().any(|run| run.has(number)) && matches(after, rest)
        })
    })
}

impl Run {
    /// Reads `7`, `01-12` or `02-10/2`.
    fn parse(text: &str) -> Option<Self> {
        let (numbers, step) = text.split_once('/').unwrap_or((text, "1"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let number = |text: &str| {
            let is_number = text.len() <= DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok())?
        };
        Some(Self {
            first: number(first)?,
            last: number(last)?,
            step: number(step)?,
            width: if first.starts_with('0') {
                first.len()
            } else {
                1
            },
        })
    }

    fn has(&self, text: &str) -> bool {
        let width = self.width;
        text.parse::<u64>().is_ok_and(|number| {
            let is_within = (self.first..=self.last).contains(&number);
            is_within
                && (number - self.first).is_multiple_of(self.step)
                && format!("{number:0width$}") == text
        })
    }
}

/// Divides a pattern at its first range of numbers. Brackets without a `-` or `,` are a shell's: `[12]` is 1 or 2.
fn divided(pattern: &str) -> Option<Divided<'_>> {
    let mut at = 0;
    while let Some(open) = pattern[at..].find('[').map(|found| at + found) {
        let close = open + pattern[open..].find(']')?;
        let inner = &pattern[open + 1..close];
        if inner.contains(['-', ',']) {
            let runs: Option<Vec<Run>> = inner.split(',').map(Run::parse).collect();
            if let Some(runs) = runs {
                return Some(Divided {
                    before: &pattern[..open],
                    runs,
                    after: &pattern[close + 1..],
                });
            }
        }
        at = open + 1;
    }
    None
}

/// `glob` takes `**` for any number of folders and knows `[^a]` only as `[!a]`; shells make no difference in a name.
fn compiled(text: &str) -> Result<glob::Pattern, glob::PatternError> {
    let mut chars: Vec<char> = text.replace("[^", "[!").chars().collect();
    chars.dedup_by(|one, other| (*one, *other) == ('*', '*'));
    glob::Pattern::new(&String::from_iter(chars))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, other) in [
            ("obs-01", "obs-01", "obs-011"),
            ("obs-*", "obs-", "ob"),
            ("*-0[1-3]", "obs-02", "obs-04"),
            ("obs-?[!0]", "obs-01", "obs-10"),
            ("obs-?[^0]", "obs-01", "obs-1"),
            ("a**b*c", "axxbyc", "abd"),
            ("[a-]x", "-x", "bx"),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert!(pattern.matches(name), "{pattern} {name}");
            assert!(!pattern.matches(other), "{pattern} {other}");
        }
        for nothing in ["", "[", "a[]", "[!]"] {
            assert!(nothing.parse::<Pattern>().is_err(), "{nothing}");
        }
    }

    #[test]
    fn ranges_match_as_in_a_fleet_file() {
        for (pattern, names, others) in [
            (
                "obs-[01-12]",
                "obs-01 obs-09 obs-12",
                "obs-1 obs-00 obs-13 obs-012 obs-0 obs-",
            ),
            ("obs-[1-12]", "obs-1 obs-9 obs-12", "obs-01 obs-0 obs-13"),
            ("obs-[01-03,07]", "obs-03 obs-07", "obs-04 obs-7"),
            ("obs-[02-10/4]", "obs-02 obs-06 obs-10", "obs-04 obs-2"),
            ("*-[08-11]-[1-2]", "a-08-1 b-c-11-2", "a-8-1 a-08-3"),
            ("[1-3]x*", "1x 3xy", "4x 1y"),
            ("r[1-2][01-02]", "r101 r202", "r301 r11"),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            for name in names.split(' ') {
                assert!(pattern.matches(name), "{pattern} {name}");
            }
            for other in others.split(' ') {
                assert!(!pattern.matches(other), "{pattern} {other}");
            }
        }
        for nothing in ["obs-[12-01]", "obs-[01-09/0]", "[1-2][", "[1-2][]"] {
            assert!(nothing.parse::<Pattern>().is_err(), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in ".{0,40}|[0-9a\\[\\]/,*-]{0,20}", name in ".{0,40}|[0-9a]{0,30}") {
            let _ = pattern.parse::<Pattern>().map(|pattern| pattern.matches(&name));
        }
    }
}
