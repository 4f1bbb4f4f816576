//! Steps: each one atomic act, fully decided.

use crate::domain::{Cause, Edit, RowChange};
use crate::fleet::DiskFormat;
use crate::mark::{Action, Record};
use crate::paths;
use crate::trust::Ways;
use crate::values::{HostPath, Sha256Sum, Size, Uuid, VmName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a step is called, uniquely within a plan (`domain/armhf-vm`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(String);

impl StepId {
    /// An id of a kind of step and its subject.
    pub(super) fn new(kind: &str, subject: impl fmt::Display) -> Self {
        Self(format!("{kind}/{subject}"))
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One atomic act with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its id.
    pub id: StepId,
    /// The VM it belongs to; none for steps of the host.
    pub vm: Option<VmName>,
    /// Why it is taken.
    pub reason: String,
    /// Whether the fleet file changed since the last apply, or the host; none where neither did, or that is not known.
    pub cause: Option<Cause>,
    /// The steps that must have been done before.
    pub needs: Vec<StepId>,
    /// SHA-256 of the domain's definition that the plan was made on, in the first step that touches the domain.
    pub expects: Option<String>,
    /// What changes, property by property, where the step edits something.
    pub changes: Vec<RowChange>,
    /// The paths that it rests on, and by what their ways are judged right before; the plan took them so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ways: Option<Ways>,
    /// What is done.
    pub act: Act,
}

impl Step {
    /// SHA-256 of the stored definition that it edits, if it edits one. Its reason is then its cause, where that is known.
    #[must_use]
    pub fn edited(&self) -> Option<&str> {
        match &self.act {
            Act::Define {
                base: Base::Stored(digest),
                ..
            } => Some(digest),
            _ => None,
        }
    }

    /// SHA-256 of what it was planned on; none where that follows from the steps before.
    #[must_use]
    pub fn planned_on(&self) -> Option<&str> {
        match &self.act {
            Act::Undefine { digest, .. } => Some(digest),
            _ => self.edited().or(self.expects.as_deref()),
        }
    }

    /// What it is done to: a VM or a path.
    #[must_use]
    pub fn subject(&self) -> String {
        match &self.act {
            Act::InstallHook { .. } => paths::SHIM.to_owned(),
            Act::ReloadDaemon { .. } => "reload".to_owned(),
            Act::MendFolder { path, .. } => path.clone(),
            act => {
                let vm = self.vm.as_ref().map(ToString::to_string);
                let path = act.works_at().map(ToString::to_string);
                path.or(vm).unwrap_or_default()
            }
        }
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Writes the shim into libvirt's folder of hooks.
    InstallHook {
        /// Whether something of that name is replaced.
        replaces: bool,
        /// SHA-256 of the shim.
        sha256: String,
    },
    /// Makes libvirt's daemon look for hooks.
    ReloadDaemon {
        /// The file with its process number.
        pid_file: String,
    },
    /// Makes a boot share.
    CreateShare {
        /// The folder.
        path: HostPath,
        /// Its permission bits.
        mode: u32,
        /// QEMU's user and group; none where libvirt does not change owners.
        owner: Option<(u32, u32)>,
    },
    /// Sets owner and mode of a boot share's folder, and of nothing in it.
    OwnShare {
        /// The folder.
        path: HostPath,
        /// Its permission bits.
        mode: u32,
        /// QEMU's user and group.
        owner: (u32, u32),
    },
    /// Gives a folder of armfleet's own back to root, with a mode that lets QEMU pass and only root write.
    MendFolder {
        /// The folder.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Copies the seed pair beside the record.
    StageSeed {
        /// The kernel.
        kernel: SeedSource,
        /// The initrd.
        initrd: SeedSource,
        /// Whether another pair is replaced.
        replaces: bool,
    },
    /// Copies the device tree beside the record.
    StageDtb {
        /// The user's file.
        source: SeedSource,
        /// Whether another one is replaced.
        replaces: bool,
    },
    /// Copies the installer beside the record, with the files for the installation.
    StageInstaller(InstallerSource),
    /// Makes the disk that a VM's cloud-init reads.
    MakeCloudInit(CloudInitDisk),
    /// Removes a VM's disks for cloud-init.
    RemoveCloudInit,
    /// Erases a raw image, and what says in the boot share that it is installed.
    EraseDisk {
        /// The image.
        path: HostPath,
        /// Its size, which it keeps.
        size: Size,
        /// The file that the installation left last.
        mark: HostPath,
        /// The domain whose disk it is, which must be off.
        uuid: Option<Uuid>,
    },
    /// Creates an image.
    CreateDisk {
        /// The image.
        path: HostPath,
        /// Its size, as its guest sees it.
        size: Size,
        /// What it holds.
        #[serde(default, skip_serializing_if = "DiskContent::is_empty")]
        content: DiskContent,
        /// Its format.
        #[serde(default = "raw", skip_serializing_if = "is_raw")]
        format: DiskFormat,
    },
    /// Grows an image.
    GrowDisk {
        /// The image.
        path: HostPath,
        /// Its format.
        #[serde(default = "raw", skip_serializing_if = "is_raw")]
        format: DiskFormat,
        /// The size it has.
        from: Size,
        /// The size it gets.
        to: Size,
        /// The running domain whose disk it is.
        running: Option<Uuid>,
    },
    /// Defines a domain, or redefines it with edits.
    Define {
        /// Its UUID.
        uuid: Uuid,
        /// What the edits start from.
        base: Base,
        /// The edits.
        edits: Vec<Edit>,
    },
    /// Writes a VM's record.
    WriteRecord {
        /// The record, without who wrote it.
        record: Box<Record>,
        /// Whether there is one, however damaged.
        replaces: bool,
    },
    /// Sets whether libvirt starts the domain with the host.
    SetAutostart {
        /// Its UUID.
        uuid: Uuid,
        /// Whether it does.
        on: bool,
    },
    /// Waits for a domain that is stopping.
    AwaitOff {
        /// Its UUID.
        uuid: Uuid,
        /// How long it may take.
        timeout: Duration,
    },
    /// Starts a domain and sees that the hook ran and the VM stays up.
    Start {
        /// Its UUID.
        uuid: Uuid,
    },
    /// Asks the guest to power off, and waits.
    Stop {
        /// Its UUID.
        uuid: Uuid,
        /// How long it may take.
        timeout: Duration,
    },
    /// Cuts a domain's power; its guest is not asked.
    PowerOff {
        /// Its UUID.
        uuid: Uuid,
    },
    /// Undefines a domain; its disks, boot share and NVRAM stay.
    Undefine {
        /// Its UUID.
        uuid: Uuid,
        /// SHA-256 of the definition that the plan was made on.
        digest: String,
        /// Whether it has NVRAM, to be kept.
        keep_nvram: bool,
    },
    /// Removes a VM's record and armfleet's own copies of its kernels.
    Forget,
}

const fn raw() -> DiskFormat {
    DiskFormat::Raw
}

fn is_raw(format: &DiskFormat) -> bool {
    *format == DiskFormat::Raw
}

impl Act {
    /// Whether it only keeps armfleet's own books.
    #[must_use]
    pub const fn is_record(&self) -> bool {
        matches!(self, Self::WriteRecord { .. } | Self::Forget)
    }

    /// The image or share that root creates, owns or writes.
    #[must_use]
    pub const fn works_at(&self) -> Option<&HostPath> {
        match self {
            Self::CreateShare { path, .. }
            | Self::OwnShare { path, .. }
            | Self::EraseDisk { path, .. }
            | Self::CreateDisk { path, .. }
            | Self::GrowDisk { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The kind of thing that it is done to.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InstallHook { .. } => "hook",
            Self::ReloadDaemon { .. } => "libvirtd",
            Self::CreateShare { .. } | Self::OwnShare { .. } => "share",
            Self::MendFolder { .. } => "folder",
            Self::StageSeed { .. } => "seed",
            Self::StageDtb { .. } => "dtb",
            Self::StageInstaller(_) => "installer",
            Self::MakeCloudInit(_) | Self::RemoveCloudInit => "cloud-init",
            Self::EraseDisk { .. } => "erase",
            Self::CreateDisk { .. } | Self::GrowDisk { .. } => "disk",
            Self::Define { .. } | Self::Undefine { .. } => "domain",
            Self::WriteRecord { .. } | Self::Forget => "record",
            Self::SetAutostart { .. } => "autostart",
            Self::Start { .. } => "start",
            Self::Stop { .. } | Self::AwaitOff { .. } => "stop",
            Self::PowerOff { .. } => "power-off",
        }
    }

    /// What it does, in a word.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::InstallHook {
                replaces: false, ..
            }
            | Self::CreateShare { .. }
            | Self::StageInstaller(InstallerSource {
                replaces: false, ..
            })
            | Self::MakeCloudInit(CloudInitDisk {
                replaces: false, ..
            })
            | Self::StageSeed {
                replaces: false, ..
            }
            | Self::StageDtb {
                replaces: false, ..
            }
            | Self::WriteRecord {
                replaces: false, ..
            }
            | Self::CreateDisk { .. }
            | Self::Define {
                base: Base::Skeleton(_),
                ..
            } => Action::Create,
            Self::InstallHook { .. }
            | Self::ReloadDaemon { .. }
            | Self::OwnShare { .. }
            | Self::MendFolder { .. }
            | Self::GrowDisk { .. }
            | Self::Define { .. }
            | Self::StageSeed { .. }
            | Self::StageDtb { .. }
            | Self::StageInstaller(_)
            | Self::MakeCloudInit(_)
            | Self::WriteRecord { .. }
            | Self::SetAutostart { .. } => Action::Change,
            Self::RemoveCloudInit
            | Self::Undefine { .. }
            | Self::Forget
            | Self::EraseDisk { .. } => Action::Remove,
            Self::Start { .. } => Action::Start,
            Self::Stop { .. } | Self::AwaitOff { .. } | Self::PowerOff { .. } => Action::Stop,
        }
    }

    /// The UUID of the domain that it touches.
    #[must_use]
    pub fn domain(&self) -> Option<&Uuid> {
        match self {
            Self::Define { uuid, .. }
            | Self::SetAutostart { uuid, .. }
            | Self::AwaitOff { uuid, .. }
            | Self::Start { uuid }
            | Self::Stop { uuid, .. }
            | Self::PowerOff { uuid }
            | Self::Undefine { uuid, .. } => Some(uuid),
            Self::EraseDisk { uuid, .. } => uuid.as_ref(),
            Self::InstallHook { .. }
            | Self::StageInstaller(_)
            | Self::MakeCloudInit(_)
            | Self::RemoveCloudInit
            | Self::ReloadDaemon { .. }
            | Self::CreateShare { .. }
            | Self::OwnShare { .. }
            | Self::MendFolder { .. }
            | Self::StageSeed { .. }
            | Self::StageDtb { .. }
            | Self::CreateDisk { .. }
            | Self::GrowDisk { .. }
            | Self::WriteRecord { .. }
            | Self::Forget => None,
        }
    }
}

/// What a new image holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskContent {
    /// Nothing.
    #[default]
    Empty,
    /// What a base image holds.
    CopyOf(BaseFile),
    /// Nothing of its own: it lies over a base image.
    Over {
        /// The base image.
        base: HostPath,
        /// Its format.
        format: DiskFormat,
    },
}

impl DiskContent {
    const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// A base image as the plan saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFile {
    /// The image.
    pub path: HostPath,
    /// Its inode number.
    pub ino: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Last change of its bytes, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The SHA-256 that its bytes must have, where the user gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Sum>,
}

/// What edits start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// A new domain's skeleton.
    Skeleton(String),
    /// The stored definition, if it still has this SHA-256 without its secrets.
    Stored(String),
}

/// An installer's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallerSource {
    /// The kernel.
    pub kernel: SeedSource,
    /// The initrd.
    pub initrd: SeedSource,
    /// The files that are added to it, by their path in the installer.
    pub files: BTreeMap<HostPath, SeedSource>,
    /// Whether one that was staged before is replaced.
    pub replaces: bool,
}

/// A disk for cloud-init. Its texts may hold secrets, and are in no plan: whoever performs it has them from the fleet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudInitDisk {
    /// Its path.
    pub path: String,
    /// The files that it is made of, as the fleet file names them.
    pub sources: Vec<HostPath>,
    /// The digest of its texts, by the host's key; none where the host has none yet.
    pub digest: Option<String>,
    /// QEMU's group, which alone passes through its folder; none where that is not known.
    pub group: Option<u32>,
    /// Earlier ones that no domain has, which go.
    pub stale: Vec<String>,
    /// Whether there is an earlier one.
    pub replaces: bool,
}

/// One file of a seed pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSource {
    /// The file.
    pub path: HostPath,
    /// SHA-256 of the bytes that the plan was made on.
    pub sha256: String,
}
