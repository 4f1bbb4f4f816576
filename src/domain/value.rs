//! Typed values of properties: compared as what they mean, never as text.

use crate::inventory::GuestSupport;
use crate::values::{CpuSet, Size};
use crate::xml::{self, Part};
use roxmltree::Node;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A property's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// An amount of memory in KiB.
    Kib(u64),
    /// A number of things.
    Count(u64),
    /// A name, a path, a word.
    Text(String),
}

/// How a value stands in the XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Text with a `unit` attribute beside it.
    Kib,
    /// A decimal number.
    Count,
    /// Text as it is.
    Text,
    /// A set of CPUs, whatever it is written as.
    Cpus,
    /// A machine: satisfied by the versioned machine that its alias stands or once stood for.
    Machine,
}

impl Codec {
    /// Reads a value; `None` where there is none, or none that makes sense.
    pub(super) fn read(self, node: Node<'_, '_>, part: Part) -> Option<Value> {
        let text = xml::read(node, part)?;
        match self {
            Self::Kib => kib(text.trim(), node.attribute("unit").unwrap_or("KiB")).map(Value::Kib),
            Self::Count => text.trim().parse().ok().map(Value::Count),
            Self::Cpus => Some(Value::Text(cpus(text))),
            Self::Text | Self::Machine => Some(Value::Text(text)),
        }
    }

    /// Reads a value as [`Value::recorded`] writes it; text that makes no sense is itself, and equal to nothing else.
    pub(super) fn read_recorded(self, text: &str) -> Value {
        let value = match self {
            Self::Kib => read_recorded_kib(text).map(Value::Kib),
            Self::Count => text.parse().ok().map(Value::Count),
            Self::Text | Self::Machine | Self::Cpus => None,
        };
        value.unwrap_or_else(|| Value::Text(text.to_owned()))
    }

    /// Whether what is there is what is wanted.
    pub(super) fn satisfied(
        self,
        wanted: &Value,
        seen: &Value,
        guest: Option<&GuestSupport>,
    ) -> bool {
        match (self, wanted, seen) {
            (Self::Machine, Value::Text(wanted), Value::Text(seen)) => {
                same_machine(wanted, seen, guest)
            }
            _ => wanted == seen,
        }
    }
}

impl Value {
    /// The text that stands in records, the same for ever: what is printed may change, and would look like drift.
    pub(super) fn recorded(&self) -> String {
        match self {
            Self::Kib(kib) => recorded_kib(*kib),
            Self::Count(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    /// The text that stands in a fleet file.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Kib(_) => self.to_string().replace(' ', ""),
            Self::Count(_) | Self::Text(_) => self.to_string(),
        }
    }

    /// The text that stands in the XML.
    pub(super) fn xml_text(&self) -> String {
        match self {
            Self::Kib(number) | Self::Count(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// The units of recorded amounts, in bytes.
const RECORDED_UNITS: [(&str, u64); 9] = [
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

/// An amount in the unit that makes the smallest whole number of it.
fn recorded_kib(kib: u64) -> String {
    let bytes = kib.saturating_mul(1024);
    let fits = |&(_, factor): &(&str, u64)| bytes >= factor && bytes.is_multiple_of(factor);
    let units = RECORDED_UNITS.into_iter().filter(fits);
    let (unit, factor) = units
        .min_by_key(|(_, factor)| bytes / factor)
        .unwrap_or(("B", 1));
    format!("{} {unit}", bytes / factor)
}

fn read_recorded_kib(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once(' ')?;
    let (_, factor) = RECORDED_UNITS.iter().find(|(name, _)| *name == unit)?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(*factor)?;
    bytes.is_multiple_of(1024).then_some(bytes / 1024)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kib(kib) => f.pad(&Size::from_bytes(kib.saturating_mul(1024)).to_string()),
            Self::Count(number) => f.pad(&number.to_string()),
            Self::Text(text) => f.pad(text),
        }
    }
}

/// libvirt stores the machine that an alias stood for when the domain was defined (`qemuCanonicalizeMachine`); after an
/// upgrade of QEMU the alias stands for a newer one, and the domain keeps the old one on purpose.
fn same_machine(wanted: &str, seen: &str, guest: Option<&GuestSupport>) -> bool {
    if wanted == seen {
        return true;
    }
    let canonical = guest.and_then(|guest| guest.machines.get(wanted));
    let is_alias = canonical.is_none_or(|canonical| canonical != wanted);
    let versioned = seen
        .strip_prefix(wanted)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|version| {
            !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.')
        });
    canonical.is_some_and(|canonical| canonical == seen) || (is_alias && versioned)
}

/// A set of CPUs in the one form that a fleet file's is brought into; what is none stays as it is.
fn cpus(text: String) -> String {
    text.parse().map_or(text, |cpus: CpuSet| cpus.to_string())
}

/// An amount in libvirt's units (`virScaleInteger`), as KiB, a part of one counting as a whole.
fn kib(number: &str, unit: &str) -> Option<u64> {
    let factor: u64 = match unit {
        "b" | "bytes" => 1,
        "KB" => 1_000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    Some(
        number
            .parse::<u64>()
            .ok()?
            .checked_mul(factor)?
            .div_ceil(1024),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_machine_is_satisfied_by_what_its_alias_stood_for_and_by_nothing_else() {
        let machines = [
            ("virt", "virt-7.2"),
            ("virt-7.2", "virt-7.2"),
            ("pc", "pc-i440fx-7.2"),
            ("none", "none"),
        ];
        let machines: BTreeMap<_, _> = machines.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let guest = GuestSupport {
            machines,
            ..GuestSupport::default()
        };
        let same = |wanted, seen| same_machine(wanted, seen, Some(&guest));
        for (wanted, seen) in [
            ("virt", "virt-7.2"),
            ("virt", "virt"),
            ("virt", "virt-6.1"),
            ("pc", "pc-i440fx-7.2"),
        ] {
            assert!(same(wanted, seen), "{wanted} by {seen}");
        }
        for (wanted, seen) in [
            ("virt-7.2", "virt"),
            ("virt-7.2", "virt-6.1"),
            ("virt", "virtex"),
            ("virt", "virt-"),
            ("none", "none-1"),
        ] {
            assert!(!same(wanted, seen), "{wanted} by {seen}");
        }
    }

    #[test]
    fn memory_is_read_in_every_unit_of_libvirt() {
        for (number, unit, wanted) in [
            ("524288", "KiB", 524_288),
            ("512", "MiB", 524_288),
            ("1", "bytes", 1),
            ("1", "GB", 976_563),
        ] {
            assert_eq!(kib(number, unit), Some(wanted), "{number} {unit}");
        }
        assert_eq!(kib("1", "ells"), None);
        assert_eq!(kib("99999999999999999999", "KiB"), None);
        assert_eq!(kib("9999999999999999999", "TiB"), None);
    }

    #[test]
    fn what_is_recorded_is_the_same_for_ever_and_reads_back() {
        for (kib, text) in [
            (0, "0 B"),
            (1, "1 KiB"),
            (1023, "1023 KiB"),
            (524_288, "512 MiB"),
            (1_572_864, "1536 MiB"),
            (1_953_125, "2 GB"),
            (2_097_152, "2 GiB"),
            (1 << 30, "1 TiB"),
            (1 << 40, "1024 TiB"),
        ] {
            assert_eq!(Value::Kib(kib).recorded(), text);
            assert_eq!(Codec::Kib.read_recorded(text), Value::Kib(kib));
        }
        for text in ["vdz", "/srv/a b.img", ""] {
            let value = Value::Text(text.to_owned());
            assert_eq!(value.recorded(), text);
            assert_eq!(Codec::Text.read_recorded(text), value);
            assert_eq!(Codec::Kib.read_recorded(text), value);
        }
        assert_eq!(Value::Count(4).recorded(), "4");
        assert_eq!(Codec::Count.read_recorded("4"), Value::Count(4));
    }

    proptest::proptest! {
        #[test]
        fn every_amount_reads_back(kib: u32, shift in 0u32..21) {
            let value = Value::Kib(u64::from(kib) << shift);
            proptest::prop_assert_eq!(Codec::Kib.read_recorded(&value.recorded()), value);
        }
    }
}
