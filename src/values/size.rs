//! Sizes and durations with their units.

use super::name::Unacceptable;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A size in bytes, written with its unit (`512MiB`, `8GiB`, `20GB`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(u64);

/// Units from the largest; binary before decimal, so that a size that is both prints as binary.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of time from the largest. `humantime` would take `1M` for a month and prints `1h 30m`.
const TIMES: [(&str, u64); 5] = [("d", 86_400), ("h", 3600), ("min", 60), ("m", 60), ("s", 1)];

/// The form of a duration, as a pattern: the units are those of [`parse_duration`].
pub(crate) const DURATION_PATTERN: &str = "^([0-9]+(s|m|min|h|d))+$";

/// The form of a size, as a pattern.
pub(crate) fn pattern() -> String {
    let units: Vec<_> = UNITS.iter().map(|(name, _)| *name).collect();
    format!(r"^[0-9]+\s*({})$", units.join("|"))
}

impl Size {
    /// The correction of a text that is not a size, where it can be guessed.
    pub(crate) fn meant(text: &str) -> Option<String> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let meant = format!("{number}{}", near_unit(unit.trim_start())?);
        meant.parse::<Self>().ok().map(|_| meant)
    }

    /// A size of so many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// 1 GiB.
    pub const GIB: Self = Self(1 << 30);

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In KiB, libvirt's unit of memory; a part of one counts as a whole.
    #[must_use]
    pub const fn kib(self) -> u64 {
        self.0.div_ceil(1024)
    }
}

impl FromStr for Size {
    type Err = Unacceptable;

    fn from_str(text: &str) -> Result<Self, Unacceptable> {
        bytes_of(text).map(Self).map_err(Unacceptable)
    }
}

fn bytes_of(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = unit.trim_start();
    if number.is_empty() {
        return Err(format!(
            "`{text}` is not a size; write a whole number and a unit, as in 512MiB or 8GiB"
        ));
    }
    if unit.starts_with(['.', ',']) {
        return Err(format!(
            "`{text}` is not a whole number; use a smaller unit, as in 1536MiB for 1.5GiB"
        ));
    }
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit; {}", unit_meant(number)));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let help = match near_unit(unit) {
            Some(near) => format!("did you mean {number}{near}?"),
            None => "use KiB, MiB, GiB, TiB, or kB, MB, GB, TB".to_owned(),
        };
        return Err(format!("`{unit}` is not a unit of size; {help}"));
    };
    let number = number.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(*factor))
        .filter(|bytes| *bytes <= i64::MAX as u64)
        .ok_or_else(|| format!("`{text}` is larger than any file can be"))
}

/// What a number without a unit was most likely to be. Who writes few means gigabytes, who writes hundreds or thousands means
/// megabytes; libvirt counts in KiB, and most programs in bytes.
fn unit_meant(number: &str) -> String {
    const MOST_GIB: u64 = 1 << 6;
    const MOST_MIB: u64 = 1 << 17;
    const MOST_KIB: u64 = 1 << 28;
    let written = |size: Size| size.to_string().replace(' ', "");
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    if number < MOST_GIB {
        format!("write {number}GiB")
    } else if number < MOST_MIB {
        format!("write {number}MiB")
    } else if number < MOST_KIB {
        let size = written(Size(number << 10));
        format!("if it is in KiB, as in libvirt's XML, write {size}")
    } else {
        format!("if it is in bytes, write {}", written(Size(number)))
    }
}

/// A guess at a misspelled unit: `G`, `gb` and `Gib` are taken for binary units.
fn near_unit(unit: &str) -> Option<&'static str> {
    match unit.to_ascii_lowercase().as_str() {
        "k" | "ki" | "kib" | "kb" => Some("KiB"),
        "m" | "mi" | "mib" | "mb" | "mo" => Some("MiB"),
        "g" | "gi" | "gib" | "gb" | "go" => Some("GiB"),
        "t" | "ti" | "tib" | "tb" | "to" => Some("TiB"),
        _ => None,
    }
}

impl Size {
    /// About as much, for people: in the largest unit that fits, with a digit after the point, and no more than it is.
    #[must_use]
    pub fn about(self) -> String {
        let binary = UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
        let fitting = binary.filter(|(_, factor)| self.0 >= *factor);
        let Some((name, factor)) = fitting.max_by_key(|(_, factor)| *factor) else {
            return self.to_string();
        };
        let tenths = u128::from(self.0) * 10 / u128::from(*factor);
        match (tenths / 10, tenths % 10) {
            (whole, 0) => format!("{whole} {name}"),
            (whole, rest) => format!("{whole}.{rest} {name}"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = UNITS
            .iter()
            .filter(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .min_by_key(|(_, factor)| self.0 / factor)
            .copied()
            .unwrap_or(("B", 1));
        f.pad(&format!("{} {name}", self.0 / factor))
    }
}

/// Reads a duration of one or more numbers with units (`90s`, `2min`, `1h30min`).
///
/// # Errors
/// Says what a duration looks like.
pub fn parse_duration(text: &str) -> Result<Duration, Unacceptable> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = seconds_of(text).ok_or_else(|| match is_number {
        true => format!("`{text}` has no unit; write {text}s or {text}min"),
        false => format!("`{text}` is not a duration; write it as 90s, 2min or 1h30min"),
    });
    seconds.map(Duration::from_secs).map_err(Unacceptable)
}

fn seconds_of(text: &str) -> Option<u64> {
    let (mut seconds, mut rest) = (0u64, text);
    loop {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, factor) = TIMES.iter().find(|(unit, _)| after.starts_with(unit))?;
        let part = number.parse::<u64>().ok()?.checked_mul(*factor)?;
        seconds = seconds.checked_add(part)?;
        rest = &after[unit.len()..];
        if rest.is_empty() {
            return Some(seconds);
        }
    }
}

/// A duration as a user would write it (`2min`, `1h30min`).
#[must_use]
pub fn render_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, factor) in TIMES {
        if seconds >= factor {
            text += &format!("{}{unit}", seconds / factor);
            seconds %= factor;
        }
    }
    match text.is_empty() {
        true => "0s".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_size_reads_back_as_it_prints(bytes in 0..=i64::MAX as u64) {
            let size = Size::from_bytes(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn a_duration_reads_back_as_it_prints(seconds in 0u64..10_000_000) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&render_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Size>();
            let _ = parse_duration(&text);
        }
    }

    #[test]
    fn free_space_is_told_in_the_largest_unit_and_never_as_more() {
        for (bytes, about) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (18_899_943_424, "17.6 GiB"),
            ((2 << 40) - 1, "1.9 TiB"),
        ] {
            assert_eq!(Size::from_bytes(bytes).about(), about);
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit_that_is_exact() {
        assert_eq!(Size::from_bytes(8 << 30).to_string(), "8 GiB");
        assert_eq!(Size::from_bytes(20_000_000_000).to_string(), "20 GB");
        assert_eq!(Size::from_bytes(1025).to_string(), "1025 B");
    }
}
