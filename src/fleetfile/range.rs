//! Ranges of VMs: `obs-[01-12]`, in the way of ClusterShell's node sets.
//!
//! Between brackets stand numbers and runs of them, separated by commas; `/2` after a run takes every second. A `0` before
//! the first number of a run sets how wide all its numbers are. Several brackets give every combination.

use crate::values::NAME_LIMIT;
use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) part: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NameRange {
    /// What is before each bracket, with what the bracket stands for.
    brackets: Vec<(String, Vec<Run>)>,
    end: String,
}

/// Numbers at equal distances.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    last: u64,
    step: u64,
    width: usize,
}

/// The most digits of a number; all of these fit into 64 bits.
const DIGITS: usize = 18;

pub(crate) fn is_range(name: &str) -> bool {
    name.contains(['[', ']'])
}

impl NameRange {
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let mut brackets = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find(['[', ']']).map(|found| at + found) {
            if text[open..].starts_with(']') {
                return Err(lone(open, "this `]` closes nothing"));
            }
            let inner = open + 1;
            let close = text[inner..].find(['[', ']']).map(|found| inner + found);
            let Some(close) = close.filter(|close| text[*close..].starts_with(']')) else {
                return Err(lone(open, "this `[` is never closed"));
            };
            brackets.push((text[at..open].to_owned(), runs(text, inner..close)?));
            at = close + 1;
        }
        let end = text[at..].to_owned();
        let range = Self { brackets, end };
        match range.shortest() {
            // What would be longer is not written out, ten thousand times, to find that.
            0..=NAME_LIMIT => Ok(range),
            length => Err(Wrong {
                part: 0..text.len(),
                message: format!("the names of this range have {length} characters or more"),
                help: "a name has at most 64 characters",
            }),
        }
    }

    fn shortest(&self) -> usize {
        let bracket = |(before, runs): &(String, Vec<Run>)| {
            let digits = runs.iter().map(|run| run.number(0).len());
            before.chars().count() + digits.min().unwrap_or(0)
        };
        self.brackets.iter().map(bracket).sum::<usize>() + self.end.chars().count()
    }

    /// How many names it has; `u64::MAX`: more than can be counted.
    pub(crate) fn count(&self) -> u64 {
        let counts = |runs: &[Run]| runs.iter().map(Run::count).fold(0, u64::saturating_add);
        let sums = self.brackets.iter().map(|(_, runs)| counts(runs));
        sums.fold(1, u64::saturating_mul)
    }

    /// Its [`count`](Self::count) VMs, each with its index: its numbers as they are written in the name, with `-` between
    /// those of several brackets.
    pub(crate) fn members(&self) -> Vec<(String, String)> {
        let mut members = vec![(String::new(), String::new())];
        for (before, runs) in &self.brackets {
            let numbers: Vec<String> = runs.iter().flat_map(Run::numbers).collect();
            let with = |(name, index): &(String, String), number: &String| {
                let dash = if index.is_empty() { "" } else { "-" };
                let name = format!("{name}{before}{number}");
                (name, format!("{index}{dash}{number}"))
            };
            let each = members.iter();
            members = each
                .flat_map(|member| numbers.iter().map(move |number| with(member, number)))
                .collect();
        }
        members.iter_mut().for_each(|(name, _)| *name += &self.end);
        members
    }
}

impl Run {
    const fn count(&self) -> u64 {
        (self.last - self.first) / self.step + 1
    }

    fn number(&self, place: u64) -> String {
        let (number, width) = (self.first + place * self.step, self.width);
        format!("{number:0width$}")
    }

    fn numbers(&self) -> impl Iterator<Item = String> {
        (0..self.count()).map(|place| self.number(place))
    }
}

fn lone(at: usize, message: &str) -> Wrong {
    Wrong {
        part: at..at + 1,
        message: message.to_owned(),
        help: "a range is written as in `obs-[01-12]`",
    }
}

fn runs(text: &str, inner: Range<usize>) -> Result<Vec<Run>, Wrong> {
    let mut start = inner.start;
    let parts = text[inner.clone()].split(',').map(|part| {
        let place = start..start + part.len();
        start = place.end + 1;
        if part.is_empty() {
            return Err(Wrong {
                part: inner.start - 1..inner.end + 1,
                message: "a number is missing between the brackets".to_owned(),
                help: "write numbers and runs of them, as in `[1-9,12]`",
            });
        }
        run(part).map_err(|(message, help)| Wrong {
            part: place,
            message: message.replace("{}", part),
            help,
        })
    });
    parts.collect()
}

/// What is wrong with a run, `{}`, and what would be right.
type Reason = (&'static str, &'static str);

/// A number, or a run of them.
fn run(text: &str) -> Result<Run, Reason> {
    let (numbers, step) = match text.split_once('/') {
        Some((numbers, step)) => (numbers, Some(number(step)?)),
        None => (text, None),
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let is_padded = |number: &str| number.len() > 1 && number.starts_with('0');
    let run = Run {
        first: number(first)?,
        last: number(last)?,
        step: step.unwrap_or(1),
        width: if is_padded(first) { first.len() } else { 1 },
    };
    if run.last < run.first {
        let help = "write the smaller number first";
        return Err(("`{}` counts backwards", help));
    }
    if run.step == 0 || step.is_some() && !numbers.contains('-') {
        let help = "a step is after a run of numbers, as in `1-9/2`";
        return Err(("`{}` is one number and has no step", help));
    }
    if first.len() != last.len() && (is_padded(first) || is_padded(last)) {
        let help = "pad the first number with zeros to the width of the last, as in `008-120`";
        return Err(("the numbers of `{}` are not equally wide", help));
    }
    Ok(run)
}

fn number(digits: &str) -> Result<u64, Reason> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let help =
            match digits.contains(['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}']) {
                true => "this is a typographic dash; write a plain `-` between two numbers",
                false => {
                    "between brackets are numbers and runs of them, as in `[1-9,12]` or `[01-12/2]`"
                }
            };
        return Err(("`{}` is not a number or a run of numbers", help));
    }
    let number = digits.parse().ok().filter(|_| digits.len() <= DIGITS);
    number.ok_or((
        "`{}` has more digits than any count",
        "write smaller numbers",
    ))
}
