//! Whether a host's KVM runs a guest. Of arm64 hosts there are three kinds: some run kernels and programs of 32 bits, some
//! only programs, some neither. libvirt offers KVM for 32-bit guests on all of them.

use super::{Fact, Libvirt};
use crate::fleet::Vm;
use crate::values::Arch;

/// The domain type of KVM.
const KVM: &str = "kvm";

/// Whether a host's KVM runs a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kvm {
    /// It does.
    Runs,
    /// There is none for such guests.
    NotOffered,
    /// It runs 32-bit programs, but no 32-bit kernels.
    ProgramsOnly,
    /// It runs nothing of 32 bits.
    NoBits32,
    /// It could not be asked, and why.
    Unknown(String),
    /// No host was asked: a fleet is compared with another one.
    NotAsked,
}

impl Libvirt {
    /// Whether this host's KVM runs a VM's kernel and programs.
    #[must_use]
    pub fn kvm(&self, vm: &Vm) -> Kvm {
        self.kvm_of(vm.arch, vm.userland)
    }

    /// Whether this host's KVM runs kernels of one architecture with programs of another.
    #[must_use]
    pub fn kvm_of(&self, kernel: Arch, programs: Arch) -> Kvm {
        let guest = self.guests.get(kernel.libvirt);
        // A libvirt that has an emulator says what types of domains that runs.
        if guest.is_some_and(|guest| guest.domain_types.is_empty()) {
            return Kvm::NotAsked;
        }
        let is_offered =
            guest.is_some_and(|guest| guest.domain_types.iter().any(|kind| kind == KVM));
        if !is_offered {
            return Kvm::NotOffered;
        }
        let asked = match (kernel.bits, programs.bits) {
            (32, _) => self.bits32(),
            (_, 32) => self.programs32(),
            _ => None,
        };
        asked.unwrap_or(Kvm::Runs)
    }

    /// What an arm64 host's KVM does with programs of 32 bits under a kernel of 64.
    fn programs32(&self) -> Option<Kvm> {
        let seen = self.bits32.as_ref()?;
        Some(match (&seen.kernels, &seen.programs) {
            // A processor that runs such kernels runs their programs.
            (Fact::Present(true), _) | (_, Fact::Present(true)) => Kvm::Runs,
            (_, Fact::Present(false)) => Kvm::NoBits32,
            (_, programs) => Kvm::Unknown(why(programs)),
        })
    }

    /// What an arm64 host's KVM does with guests of 32 bits.
    fn bits32(&self) -> Option<Kvm> {
        let seen = self.bits32.as_ref()?;
        Some(match (&seen.kernels, &seen.programs) {
            (Fact::Present(true), _) => Kvm::Runs,
            (Fact::Present(false), Fact::Present(true)) => Kvm::ProgramsOnly,
            (Fact::Present(false), Fact::Present(false)) => Kvm::NoBits32,
            (Fact::Present(false), programs) => Kvm::Unknown(why(programs)),
            (kernels, _) => Kvm::Unknown(why(kernels)),
        })
    }

    /// The same for people, in a few words; none where the host is no arm64 one.
    #[must_use]
    pub fn bits32_words(&self) -> Option<String> {
        Some(match self.bits32()? {
            Kvm::Runs => "kernels and programs run under KVM".to_owned(),
            Kvm::ProgramsOnly => {
                "programs run under KVM (arch: arm64 with userland: armhf), kernels do not: the processor has no 32-bit mode \
                 for them"
                    .to_owned()
            }
            Kvm::NoBits32 | Kvm::NotOffered => {
                "nothing runs under KVM: the processor has no 32-bit mode".to_owned()
            }
            Kvm::NotAsked => "not known".to_owned(),
            Kvm::Unknown(why) => format!("not known, since KVM could not be asked ({why})"),
        })
    }
}

fn why(fact: &Fact<bool>) -> String {
    fact.unknown()
        .map_or_else(|| "not asked".to_owned(), |why| why.to_string())
}
