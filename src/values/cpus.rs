//! Sets of a host's CPUs.

use super::Unacceptable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// CPUs of a host, by number. It is written in one way: runs of numbers, in order (`0-3,8`), as libvirt writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet(BTreeSet<u32>);

/// libvirt takes no larger number (`VIR_DOMAIN_CPUMASK_LEN`).
const LIMIT: u32 = 16384;

impl CpuSet {
    /// What a set may look like, as a regular expression.
    pub const PATTERN: &'static str = r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$";

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that the other set has not; nothing where it has all.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Self> {
        let missing: BTreeSet<u32> = self.0.difference(&other.0).copied().collect();
        (!missing.is_empty()).then_some(Self(missing))
    }
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        Self(numbers.into_iter().collect())
    }
}

impl FromStr for CpuSet {
    type Err = Unacceptable;
    fn from_str(text: &str) -> Result<Self, Unacceptable> {
        let mut numbers = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(Unacceptable(format!(
                    "a run of CPUs begins with the smaller number: {last}-{first}, not {part}"
                )));
            }
            numbers.extend(first..=last);
        }
        Ok(Self(numbers))
    }
}

fn number(text: &str) -> Result<u32, Unacceptable> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|number| is_number && *number < LIMIT);
    number.ok_or_else(|| {
        Unacceptable(format!(
            "a set of CPUs is numbers below {LIMIT} and runs of them, as in 0-3,8, and {text:?} is no such number"
        ))
    })
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for &number in &self.0 {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => runs.push((number, number)),
            }
        }
        let runs = runs.into_iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        f.pad(&runs.collect::<Vec<_>>().join(","))
    }
}

impl TryFrom<String> for CpuSet {
    type Error = Unacceptable;
    fn try_from(text: String) -> Result<Self, Unacceptable> {
        text.parse()
    }
}

impl From<CpuSet> for String {
    fn from(cpus: CpuSet) -> Self {
        cpus.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_form() {
        for (written, form) in [
            ("0-3", "0-3"),
            ("3,1,2,0", "0-3"),
            ("0,2,4-4", "0,2,4"),
            ("7,7", "7"),
            ("0-1,1-2", "0-2"),
            ("16383", "16383"),
        ] {
            assert_eq!(written.parse::<CpuSet>().unwrap().to_string(), form);
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for written in [
            "", "a", "1-", "-1", "3-1", "1,,2", "0-1,^1", " 1", "+1", "16384", "0x1",
        ] {
            assert!(written.parse::<CpuSet>().is_err(), "{written}");
        }
    }
}
