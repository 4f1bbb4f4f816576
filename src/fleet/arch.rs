//! The keys `arch` and `transport`: the words for what [`values`](crate::values) knows of architectures.

use crate::fleetfile::{Field, Scalar, ValueType, Words};
use crate::problem::Checked;
use crate::values::{Arch, Transport};

/// How many architectures a fleet file may name.
const SUPPORTED: usize = {
    let (mut at, mut count) = (0, 0);
    while at < Arch::ALL.len() {
        count += Arch::ALL[at].facts().is_supported as usize;
        at += 1;
    }
    count
};

/// The words for them, and the most virtual CPUs of a guest of any of them.
const NAMED: ([&str; SUPPORTED], u32) = {
    let (mut words, mut most) = ([""; SUPPORTED], 0);
    let (mut at, mut count) = (0, 0);
    while at < Arch::ALL.len() {
        let facts = Arch::ALL[at].facts();
        if facts.is_supported {
            words[count] = facts.word;
            count += 1;
            if facts.vcpus.most > most {
                most = facts.vcpus.most;
            }
        }
        at += 1;
    }
    (words, most)
};

/// The most virtual CPUs of a guest of any architecture that a fleet file may name.
pub(super) const MOST_VCPUS: u32 = NAMED.1;

impl Scalar for Arch {
    type Value = Self;

    const TYPE: ValueType = ValueType::Word(&NAMED.0);

    fn scalar(field: &Field<'_>) -> Checked<Self> {
        let (known, planned): (Vec<Self>, Vec<Self>) =
            Self::ALL.into_iter().partition(|arch| arch.is_supported);
        let known: Vec<_> = known.into_iter().map(|arch| (arch.word, arch)).collect();
        let planned: Vec<_> = planned.into_iter().map(|arch| arch.facts().word).collect();
        let others = |arch: Self| {
            let names = arch.facts().also_called.iter();
            names.map(move |name| (*name, arch.facts().word))
        };
        let also_called: Vec<_> = Self::ALL.into_iter().flat_map(others).collect();
        field.word(Words {
            known: &known,
            planned: &planned,
            also_called: &also_called,
        })
    }
}

impl Scalar for Transport {
    type Value = Self;

    const TYPE: ValueType = ValueType::Word(&["mmio", "pci"]);

    fn scalar(field: &Field<'_>) -> Checked<Self> {
        field.word(Words {
            known: &[("mmio", Self::Mmio), ("pci", Self::Pci)],
            planned: &[],
            also_called: &[("virtio-mmio", "mmio"), ("virtio-pci", "pci")],
        })
    }
}
