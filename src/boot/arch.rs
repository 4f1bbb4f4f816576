//! The instruction sets whose kernels can be told.

use crate::fleet::Arch;
use std::fmt;

/// A guest's instruction set, as libvirt's `<os><type arch=…>` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestArch {
    /// 32-bit ARM.
    Armv7l,
    /// 64-bit ARM.
    Aarch64,
}

impl GuestArch {
    /// Reads libvirt's name; `None` for an instruction set that armfleet does not boot.
    #[must_use]
    pub fn from_libvirt(name: &str) -> Option<Self> {
        match name {
            "armv7l" => Some(Self::Armv7l),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }
}

impl From<Arch> for GuestArch {
    fn from(arch: Arch) -> Self {
        match arch {
            Arch::Armhf => Self::Armv7l,
        }
    }
}

impl fmt::Display for GuestArch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Armv7l => "armv7l",
            Self::Aarch64 => "aarch64",
        })
    }
}
