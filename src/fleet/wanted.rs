//! A fleet as wanted: valid by construction.

use crate::values::{Cmdline, DiskName, FleetName, HostPath, MachineName, Secrets, Size, VmName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a graceful stop may take unless the file says otherwise; also for a VM that left it.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// A whole fleet file after validation and defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The ownership name that marks this file's domains.
    pub fleet: FleetName,
    /// The VMs, by name. All are on the host `local`.
    pub vms: BTreeMap<VmName, Vm>,
    /// The secrets that are in it.
    pub secrets: Secrets,
}

/// One VM as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vm {
    /// Its name and its domain's.
    pub name: VmName,
    /// The guest's instruction set.
    pub arch: Arch,
    /// How it is executed.
    pub accel: Accel,
    /// The QEMU machine, `virt` unless given; satisfied by whatever versioned machine libvirt stored.
    pub machine: MachineName,
    /// Memory at boot.
    pub memory: Size,
    /// Virtual CPUs, 1 or more.
    pub vcpus: u32,
    /// How virtio devices are attached; `None`: an existing domain keeps its own, a new one gets the architecture's.
    pub transport: Option<Transport>,
    /// How it boots.
    pub boot: Boot,
    /// What installs it; used once.
    pub install: Option<Install>,
    /// Its disks, in the order in which the guest numbers them.
    pub disks: Vec<Disk>,
    /// The file on the host that keeps the console's output.
    pub console_log: Option<HostPath>,
    /// Whether it should run.
    pub state: DesiredState,
    /// Whether libvirt starts it when the host boots.
    pub autostart: bool,
    /// What a reboot inside the guest does.
    pub on_guest_reboot: GuestReboot,
    /// How long a graceful stop may take.
    pub stop_timeout: Duration,
    /// What becomes of a change that a running VM gets at a boot only.
    pub restart: Restart,
    /// Whether armfleet never stops, restarts or removes it, also after it left the file.
    pub protect: bool,
}

/// A guest's instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 32-bit ARM with hardware floating point; libvirt's `armv7l`.
    Armhf,
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Armhf => "armhf",
        })
    }
}

/// How a guest is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// An existing domain keeps what it has; a new one gets KVM where the host offers it for this guest.
    Auto,
    /// By the host's processor.
    Kvm,
    /// By QEMU's translator.
    Tcg,
}

impl Transport {
    /// The word for it in a fleet file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pci => "pci",
            Self::Mmio => "mmio",
        }
    }
}

/// How virtio devices are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// On the PCI bus, which a 32-bit kernel without LPAE does not reach.
    Pci,
    /// Memory-mapped; what a kernel without LPAE needs on QEMU's `virt` machine.
    Mmio,
}

/// How a VM boots: from the kernel that its guest keeps in the boot share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// The host folder that the guest sees as `/boot`.
    pub share: HostPath,
    /// How a pair gets from share to domain.
    pub handover: Handover,
    /// The kernel command line.
    pub cmdline: Cmdline,
    /// The pair to boot while the share has none.
    pub seed: Option<Seed>,
    /// How long a guest may take to confirm a new pair; `None`: that it runs for ten minutes confirms it, too.
    pub confirm_within: Option<Duration>,
}

impl Handover {
    /// The word for it in a fleet file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Link => "link",
        }
    }
}

/// How a boot pair gets from share to domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handover {
    /// A validated copy, a generation.
    Copy,
    /// Names inside the share, as the recipe has them, for the pair of that generation.
    Link,
}

/// The boot pair that the user provides for the time before the guest has installed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seed {
    /// Kernel file on the host.
    pub kernel: HostPath,
    /// Initrd file on the host.
    pub initrd: HostPath,
}

/// What boots until the VM has a kernel of its own, on an empty disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Install {
    /// The installer's kernel, a file on the host.
    pub kernel: HostPath,
    /// The installer's initrd, a file on the host.
    pub initrd: HostPath,
    /// The kernel command line of the installation.
    pub cmdline: Cmdline,
    /// Files that are added to the initrd: path in the installer to file on the host.
    pub files: BTreeMap<HostPath, HostPath>,
}

/// One disk as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Its identity within the VM.
    pub name: DiskName,
    /// The image on the host, raw.
    pub path: HostPath,
    /// The image's least size, for which it is created if it is not there; `None`: it must exist.
    pub size: Option<Size>,
}

/// Whether a VM should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// It is started when it does not run.
    Running,
    /// It is stopped gracefully when it runs.
    Stopped,
}

/// What a reboot inside the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestReboot {
    /// The VM stops, and `armfleet watch` starts it again: it boots what the guest installed.
    ColdBoot,
    /// QEMU resets the machine and goes on with the kernel that it loaded when it started.
    Warm,
    /// The VM stops; its next start boots what the guest installed.
    Stop,
}

/// What becomes of a change that a running VM gets at a boot only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It waits for the VM's next boot, whoever brings that about.
    Never,
    /// The VM is stopped gracefully and started again.
    WhenRequired,
}
