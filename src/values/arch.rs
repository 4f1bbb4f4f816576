//! The architectures of guests: all that differs between them is one [`ArchFacts`] each, and there is no other list of them.

use super::Size;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

/// What differs between architectures.
#[derive(Debug)]
pub struct ArchFacts {
    /// The word for it in a fleet file.
    pub word: &'static str,
    /// What other programs call it.
    pub also_called: &'static [&'static str],
    /// The width of its registers.
    pub bits: u32,
    /// libvirt's name (`<os><type arch=…>`).
    pub libvirt: &'static str,
    /// How the devices of a new VM are attached unless the file says.
    pub transport: Transport,
    /// Whether its Debian kernels come with and without LPAE; those without do not reach PCI.
    pub has_lpae_kernels: bool,
    /// The processor that QEMU emulates unless the file says; none where the default of QEMU's `virt` machine is one for it.
    pub emulated_cpu: Option<&'static str>,
    /// The most memory of a guest.
    pub memory: Option<Limit<Size>>,
    /// The most virtual CPUs of a guest.
    pub vcpus: Limit<u32>,
    /// So many bytes of a command line the kernel keeps (COMMAND_LINE_SIZE without the final NUL).
    pub cmdline: usize,
    /// Others whose programs its kernels run, where the processor does.
    pub other_userlands: &'static [Arch],
    /// The filters of xz that its Debian kernels are built with (`lib/xz/Kconfig`), by their numbers. arm64's own is there since
    /// Linux 6.12 only.
    pub xz_filters: &'static [u64],
    /// What its kernels are.
    pub kernels: &'static [KernelFormat],
    /// The PE/COFF machine number of its kernels' EFI stubs.
    pub efi_machine: u16,
    /// The numbers of other EFI programs for it.
    pub other_efi_machines: &'static [u16],
}

/// A limit, and why there is one.
#[derive(Debug)]
pub struct Limit<T> {
    /// The most.
    pub most: T,
    /// Why, for people.
    pub why: &'static str,
}

/// A kernel's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFormat {
    /// A 32-bit ARM zImage; a device tree may be appended.
    ZImage,
    /// An arm64 Image.
    Image,
    /// A gzip'd arm64 Image.
    ImageGz,
    /// An arm64 EFI zboot image with a gzip'd payload.
    Zboot,
}

/// How virtio devices are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Memory-mapped; what a kernel without LPAE needs on QEMU's `virt` machine.
    Mmio,
    /// On the PCI bus, which a 32-bit kernel without LPAE does not reach.
    Pci,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mmio => "mmio",
            Self::Pci => "pci",
        })
    }
}

/// A guest's architecture, by its facts.
#[derive(Clone, Copy)]
pub struct Arch(&'static ArchFacts);

/// The processors that a GICv2 serves (`GIC_NCPU` in QEMU's `arm_gic_common.h`): the interrupt controller of an emulated guest.
pub const GICV2_VCPUS: u32 = 8;

static ARMHF: ArchFacts = ArchFacts {
    word: "armhf",
    also_called: &["armv7l", "armv7", "armel", "arm"],
    bits: 32,
    libvirt: "armv7l",
    transport: Transport::Mmio,
    has_lpae_kernels: true,
    emulated_cpu: None,
    // QEMU's `virt` machine puts RAM at 1 GiB, and a kernel without LPAE, such as Debian's `armmp`, addresses 4 GiB.
    memory: Some(Limit {
        most: Size::from_bytes(3 << 30),
        why: "its memory begins at 1 GiB, and a 32-bit kernel without LPAE sees nothing above 4 GiB",
    }),
    // What a 32-bit ARM kernel is built for (NR_CPUS).
    vcpus: Limit {
        most: 32,
        why: "32-bit ARM kernels support no more",
    },
    cmdline: 1023,
    other_userlands: &[],
    // ARM and ARM-Thumb.
    xz_filters: &[0x07, 0x08],
    kernels: &[KernelFormat::ZImage],
    // The stub of a 32-bit kernel is marked as Thumb.
    efi_machine: 0x01c2,
    other_efi_machines: &[0x01c0, 0x01c4],
};

static ARM64: ArchFacts = ArchFacts {
    word: "arm64",
    also_called: &["aarch64"],
    bits: 64,
    libvirt: "aarch64",
    transport: Transport::Pci,
    has_lpae_kernels: false,
    // The default of QEMU's `virt` machine has 32 bits: an arm64 kernel does not boot on it, and says nothing.
    emulated_cpu: Some("cortex-a57"),
    memory: None,
    vcpus: Limit {
        most: 512,
        why: "QEMU's `virt` machine takes no more",
    },
    cmdline: 2047,
    other_userlands: &[Arch::ARMHF],
    xz_filters: &[],
    kernels: &[
        KernelFormat::Image,
        KernelFormat::ImageGz,
        KernelFormat::Zboot,
    ],
    efi_machine: 0xaa64,
    other_efi_machines: &[],
};

impl Arch {
    /// 32-bit ARM with hardware floating point.
    pub const ARMHF: Self = Self(&ARMHF);
    /// 64-bit ARM.
    pub const ARM64: Self = Self(&ARM64);
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ARMHF, Self::ARM64];

    /// The architecture that libvirt calls this; none if armfleet boots no such guests.
    #[must_use]
    pub fn from_libvirt(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.libvirt == name)
    }

    /// The architecture that a fleet file calls this.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.word == word)
    }

    /// Whether its kernels run programs of another one, where the processor does.
    #[must_use]
    pub fn has_userland(self, userland: Self) -> bool {
        self == userland || self.other_userlands.contains(&userland)
    }

    /// Its facts.
    #[must_use]
    pub const fn facts(self) -> &'static ArchFacts {
        self.0
    }
}

impl Deref for Arch {
    type Target = ArchFacts;
    fn deref(&self) -> &ArchFacts {
        self.0
    }
}

impl PartialEq for Arch {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}

impl Eq for Arch {}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word)
    }
}

impl fmt::Debug for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arch({})", self.word)
    }
}

impl Serialize for Arch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word)
    }
}

impl<'de> Deserialize<'de> for Arch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::from_word(&word).ok_or_else(|| D::Error::custom("an architecture is not known"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What tells architectures apart tells one from another.
    #[test]
    fn no_two_architectures_share_a_name_a_kernel_format_or_an_efi_machine() {
        let mut names = BTreeSet::new();
        let mut machines = BTreeSet::new();
        let mut kernels = Vec::new();
        for arch in Arch::ALL {
            let all = [arch.word, arch.libvirt].into_iter();
            let all: BTreeSet<&str> = all.chain(arch.also_called.iter().copied()).collect();
            assert!(all.into_iter().all(|name| names.insert(name)), "{arch}");
            let numbers = [&[arch.efi_machine], arch.other_efi_machines].concat();
            assert!(numbers.into_iter().all(|number| machines.insert(number)));
            for format in arch.kernels {
                assert!(!kernels.contains(format), "{format:?}");
                kernels.push(*format);
            }
            assert_eq!(Arch::from_libvirt(arch.libvirt), Some(arch));
        }
        assert_eq!(Arch::from_libvirt("x86_64"), None);
    }
}
