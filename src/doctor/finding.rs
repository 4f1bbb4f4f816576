//! What was found of a host.

use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// What is looked into. The name of each never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Whether libvirt answers, and which version does.
    Libvirt,
    /// Whether there is an emulator for the guests of each architecture.
    Emulators,
    /// Whether KVM runs them, and what `accel: auto` chooses.
    Kvm,
    /// Which fixes QEMU's 9p server lacks.
    Qemu9p,
    /// Whether libvirt's hook is installed and current.
    Hook,
    /// Whether libvirt's daemon knows that there is a hook.
    HookLive,
    /// The program that the hook runs.
    HookProgram,
    /// The hooks that are not armfleet's.
    OtherHooks,
    /// Whether libvirt's AppArmor helper gives VMs what they use.
    ImagePlaces,
    /// The file system on which kernels are staged.
    Staging,
    /// The file systems of boot shares.
    Shares,
    /// Whether `armfleet watch` is at work.
    Watch,
    /// Which locks are held.
    Locks,
    /// What libvirt does with the owners of files.
    QemuConf,
    /// What happens to VMs when the host shuts down.
    LibvirtGuests,
    /// The host's clock.
    Clock,
    /// What a plan of the fleet refuses because of the host.
    Fleet,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked into.
    pub check: Check,
    /// How it is.
    pub verdict: Verdict,
    /// What is so, where, and what follows from it; or why it could not be seen.
    pub what: String,
}

/// How something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Worth knowing; VMs run nevertheless.
    Notice(Remedy),
    /// Something fails, or will.
    Problem(Remedy),
    /// It could not be seen.
    NotChecked,
}

/// What to do about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A command of a shell, which root runs as it stands.
    Run(String),
    /// What no command does.
    Do(String),
}

impl Verdict {
    /// What to do, if there is anything to be done.
    #[must_use]
    pub const fn remedy(&self) -> Option<&Remedy> {
        match self {
            Self::Notice(remedy) | Self::Problem(remedy) => Some(remedy),
            Self::Fine | Self::NotChecked => None,
        }
    }
}

impl Check {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Libvirt => "libvirt",
            Self::Emulators => "emulators",
            Self::Kvm => "kvm",
            Self::Qemu9p => "qemu9p",
            Self::Hook => "hook",
            Self::HookLive => "hook-live",
            Self::HookProgram => "hook-program",
            Self::OtherHooks => "other-hooks",
            Self::ImagePlaces => "image-places",
            Self::Staging => "staging",
            Self::Shares => "shares",
            Self::Watch => "watch",
            Self::Locks => "locks",
            Self::QemuConf => "qemu-conf",
            Self::LibvirtGuests => "libvirt-guests",
            Self::Clock => "clock",
            Self::Fleet => "fleet",
        }
    }

    fn found(self, verdict: Verdict, what: impl Into<String>) -> Finding {
        Finding {
            check: self,
            verdict,
            what: what.into(),
        }
    }

    pub(super) fn fine(self, what: impl Into<String>) -> Finding {
        self.found(Verdict::Fine, what)
    }

    pub(super) fn notice(self, what: impl Into<String>, remedy: Remedy) -> Finding {
        self.found(Verdict::Notice(remedy), what)
    }

    pub(super) fn problem(self, what: impl Into<String>, remedy: Remedy) -> Finding {
        self.found(Verdict::Problem(remedy), what)
    }

    pub(super) fn not_checked(self, why: impl Into<String>) -> Finding {
        self.found(Verdict::NotChecked, why)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Remedy {
    pub(super) fn run(command: impl Into<String>) -> Self {
        Self::Run(command.into())
    }

    pub(super) fn act(what: impl Into<String>) -> Self {
        Self::Do(what.into())
    }

    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Run(text) | Self::Do(text) => text,
        }
    }

    /// The command, if it is one.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::Run(command) => Some(command),
            Self::Do(_) => None,
        }
    }
}
