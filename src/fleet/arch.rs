//! The keys `arch` and `transport`: the words for what [`values`](crate::values) knows of architectures.

use crate::fleetfile::{Field, Scalar, ValueType, Words};
use crate::problem::Checked;
use crate::values::{Arch, Transport};

const COUNT: usize = Arch::ALL.len();

/// The words for architectures, and the most virtual CPUs of a guest of any of them.
const NAMED: ([&str; COUNT], u32) = {
    let (mut words, mut most) = ([""; COUNT], 0);
    let mut at = 0;
    while at < COUNT {
        let facts = Arch::ALL[at].facts();
        words[at] = facts.word;
        if facts.vcpus.most > most {
            most = facts.vcpus.most;
        }
        at += 1;
    }
    (words, most)
};

/// The most virtual CPUs of a guest of any architecture.
pub(super) const MOST_VCPUS: u32 = NAMED.1;

impl Scalar for Arch {
    type Value = Self;

    const TYPE: ValueType = ValueType::Word(&NAMED.0);

    fn scalar(field: &Field<'_>) -> Checked<Self> {
        let others = |arch: Self| {
            let names = arch.facts().also_called.iter();
            names.map(move |name| (*name, arch.facts().word))
        };
        let also_called: Vec<_> = Self::ALL.into_iter().flat_map(others).collect();
        field.word(Words {
            known: &Self::ALL.map(|arch| (arch.facts().word, arch)),
            planned: &[],
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
