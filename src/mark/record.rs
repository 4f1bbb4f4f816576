//! The record: armfleet's file about one VM on its host (`/var/lib/armfleet/vms/<vm>/record.json`).
//!
//! It says what was last applied, so that a plan can tell a changed file from drift, and what the hook must know. The
//! hook reads it as root before every start, so it is written whole or not at all.

use super::ids::{ARCH, CMDLINE, CONSOLE_LOG, DeviceId, PropertyId};
use crate::fleet::{DEFAULT_STOP_TIMEOUT, DesiredState, DiskFormat, GuestReboot, Handover};
use crate::format::{Format, FormatError};
use crate::trust::End;
use crate::values::{Arch, FleetName, HostPath, Uuid, VmName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a record's file says it is.
pub const RECORD_FORMAT: Format = Format::new("armfleet-record", 1 << 20);

/// What is kept about a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The fleet that owns the VM.
    pub fleet: FleetName,
    /// The VM's name.
    pub vm: VmName,
    /// Its domain's UUID. The hook acts only for the domain that has it.
    pub uuid: Uuid,
    /// What the last apply wanted of the domain.
    pub applied: Applied,
    /// Command lines with secrets that its domain may have, with `{env.NAME}` for each secret: the applied one, and earlier
    /// ones until the domain has the applied one. Not compared; a version before 0.2 wrote none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secret_cmdlines: BTreeSet<String>,
    /// The digest of the applied command line with its secrets, by the host's key: what is recorded as applied is then the
    /// template. None without templates, and where a version before 0.2 applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmdline_digest: Option<String>,
    /// Whether the VM should run.
    pub state: DesiredState,
    /// Whether libvirt starts it with the host.
    pub autostart: bool,
    /// What a reboot inside the guest does.
    pub on_guest_reboot: GuestReboot,
    /// How long its guest may take to power off. A version before 0.2 did not keep it.
    #[serde(
        default = "default_stop_timeout",
        skip_serializing_if = "is_default_stop_timeout"
    )]
    pub stop_timeout: Duration,
    /// Whether it is never stopped, restarted or removed. Outlives the VM's entry in the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
    /// Whether its guest is there yet.
    #[serde(default)]
    pub phase: Phase,
    /// How it boots.
    pub boot: BootRecord,
    /// Who applied last. Not compared: it never makes a record differ.
    pub applied_by: Option<AppliedBy>,
}

const fn default_stop_timeout() -> Duration {
    DEFAULT_STOP_TIMEOUT
}

fn is_default_stop_timeout(timeout: &Duration) -> bool {
    *timeout == DEFAULT_STOP_TIMEOUT
}

/// What the last apply wanted of a domain. Each value is text in a form of its own that never changes, and that is not the
/// form in which it is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The domain's own properties.
    pub rows: BTreeMap<PropertyId, String>,
    /// Devices that armfleet put there.
    pub devices: BTreeMap<DeviceId, AppliedDevice>,
    /// The architecture of the guest's programs, where that is not its kernel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userland: Option<Arch>,
    /// The paths to which nobody but root decided the way. A version before 0.2 did not ask. Not compared.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub guarded: BTreeSet<HostPath>,
}

impl Applied {
    /// The file of the console log.
    #[must_use]
    pub fn console_log(&self) -> Option<&str> {
        let row = self.rows.get(&CONSOLE_LOG);
        row.map(String::as_str).filter(|log| log.starts_with('/'))
    }

    /// The architecture of the guest's programs; none where no apply wanted any.
    #[must_use]
    pub fn userland(&self) -> Option<Arch> {
        self.userland.or_else(|| self.arch())
    }

    /// The architecture of the guest's kernel; none where no apply wanted any.
    #[must_use]
    pub fn arch(&self) -> Option<Arch> {
        Arch::from_libvirt(self.rows.get(&ARCH)?)
    }

    /// The kernel command line.
    #[must_use]
    pub fn cmdline(&self) -> Option<&str> {
        self.rows.get(&CMDLINE).map(String::as_str)
    }
}

/// A device that armfleet put into a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedDevice {
    /// What identifies it in the domain's XML: a disk's target, a share's tag.
    pub key: String,
    /// Its properties.
    pub rows: BTreeMap<PropertyId, String>,
    /// What was at its path; none where a version before 0.2 applied it, or its image or folder was not made yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Of a disk that lies over a base image, what was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Place>,
}

/// What tells the image, folder or device that was applied from anything else at its path. No device number: a host may give
/// its file systems other numbers each time it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Inode number.
    pub ino: u64,
    /// Birth, nanoseconds since 1970, where the file system keeps it: inode numbers are given again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_ns: Option<i64>,
    /// The UUID of the file system that it is on, where that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<String>,
    /// Of a block device, the names that it has for ever; it may have none. Its node's numbers are not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<BTreeSet<String>>,
    /// Of an image or a device, what it held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageState>,
}

impl Place {
    /// A file of which only inode number and birth are known.
    #[must_use]
    pub const fn of_file(ino: u64, born_ns: Option<i64>) -> Self {
        Self {
            ino,
            born_ns,
            file_system: None,
            device: None,
            image: None,
        }
    }

    /// Whether this is the same file, folder or device, whatever is in it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.device, &other.device) {
            (None, None) => {}
            (Some(one), Some(other)) => {
                return one.is_empty() || other.is_empty() || !one.is_disjoint(other);
            }
            (None, Some(_)) | (Some(_), None) => return false,
        }
        let born = self.born_ns.zip(other.born_ns);
        self.ino == other.ino
            && born.is_none_or(|(one, other)| one == other)
            && !self.is_elsewhere(other)
    }

    /// Whether this is the same file with the same bytes, as far as its size and time tell.
    #[must_use]
    pub fn is_same_image(&self, other: &Self) -> bool {
        let image = |place: &Self| {
            let image = place.image.as_ref();
            image.map(|image| (image.size, image.mtime_ns))
        };
        self.is_same(other) && image(self) == image(other)
    }

    /// Whether this is on another file system. One that was not recorded, or has no UUID, is no other.
    #[must_use]
    pub fn is_elsewhere(&self, other: &Self) -> bool {
        let both = self.file_system.as_ref().zip(other.file_system.as_ref());
        both.is_some_and(|(one, other)| one != other)
    }
}

/// What an image held when it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageState {
    /// In bytes.
    pub size: u64,
    /// The format that it began as; none where that was not seen. No more than a word about it: the guest of a raw image
    /// writes what it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether it held no byte; none where that could not be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank: Option<bool>,
    /// Last change of its bytes, nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// What the hook must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    /// The folder that the guest sees as `/boot`.
    pub share: HostPath,
    /// How a pair gets to the domain.
    pub handover: Handover,
    /// Whether a seed pair is staged for the time while the share has none.
    pub seed: bool,
    /// Which pair to boot.
    pub wanted: Wanted,
    /// The VM's paths that nobody but root could have lead elsewhere when they were applied, without any trusted folder, and
    /// what is at the end of each. If others can when the VM starts, the hook refuses. A version before 0.2 did not ask.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ways: BTreeMap<HostPath, End>,
    /// The disks that are made anew at each start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fresh: BTreeMap<DeviceId, FreshDisk>,
    /// How long a guest may take to say that it has come up; with none, that it runs is enough.
    #[serde(default)]
    pub confirm_within: Option<Duration>,
}

/// How a disk is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshDisk {
    /// Its image.
    pub path: HostPath,
    /// What its guest sees, in bytes.
    pub size: u64,
    /// The image's format.
    pub format: DiskFormat,
    /// The base image that it lies over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backing: Option<FreshBacking>,
}

/// What a disk lies over that is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshBacking {
    /// The base image.
    pub path: HostPath,
    /// Its format.
    pub format: DiskFormat,
}

impl BootRecord {
    /// Whether the image at a path is made anew at each start.
    #[must_use]
    pub fn makes_anew(&self, path: &HostPath) -> bool {
        self.fresh.values().any(|disk| disk.path == *path)
    }
}

/// Whether a VM's guest is there yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It boots its own kernel; never again an installer.
    #[default]
    Own,
    /// Its installer boots, as long as this disk holds no byte.
    Installing {
        /// The system disk's image.
        disk: HostPath,
    },
}

/// Which pair the hook is to boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// What the guest installed.
    #[default]
    Auto,
    /// A certain generation.
    Generation(String),
}

/// Who applied last, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedBy {
    /// The user, as the system names them; behind sudo the one who called it.
    pub user: String,
    /// Seconds since 1970-01-01 UTC.
    pub at: u64,
}

impl Record {
    /// Takes over the command line that another record of the VM has as applied.
    pub fn keep_cmdline(&mut self, other: &Self) {
        let cmdline = other.applied.rows.get(&CMDLINE).cloned();
        match cmdline {
            Some(cmdline) => self.applied.rows.insert(CMDLINE, cmdline),
            None => self.applied.rows.remove(&CMDLINE),
        };
        self.cmdline_digest.clone_from(&other.cmdline_digest);
    }
}

/// Reads a record's file. Unknown fields are left alone: a later version of the same format may add some.
///
/// # Errors
/// Says why the text is not a record of this format.
pub fn read_record(text: &[u8]) -> Result<Record, FormatError> {
    RECORD_FORMAT.read(text)
}

/// The text of a record's file, ending in a newline.
///
/// # Errors
/// None in practice: every part of a record can be written as JSON.
pub fn render_record(record: &Record) -> Result<String, FormatError> {
    RECORD_FORMAT.render(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let rows = BTreeMap::from([(PropertyId::new("memory"), "512 MiB".to_owned())]);
        let disk = AppliedDevice {
            key: "vdz".to_owned(),
            rows: BTreeMap::new(),
            place: Some(Place {
                ino: 12,
                born_ns: Some(34),
                file_system: Some("0b1c".to_owned()),
                device: Some(BTreeSet::from(["dm-uuid-LVM-1".to_owned()])),
                image: Some(ImageState {
                    size: 56,
                    format: Some("raw".to_owned()),
                    blank: Some(true),
                    mtime_ns: 78,
                }),
            }),
            base: None,
        };
        Record {
            fleet: "obs".parse().unwrap(),
            vm: "armhf-vm".parse().unwrap(),
            uuid: "729407af-9814-8a14-ab03-bb922bf75d3d".parse().unwrap(),
            applied: Applied {
                rows,
                devices: BTreeMap::from([(DeviceId::from("disk root".to_owned()), disk)]),
                userland: Some(Arch::ARMHF),
                guarded: BTreeSet::from(["/srv/armhf-vm-boot".parse().unwrap()]),
            },
            secret_cmdlines: BTreeSet::from(["key={env.KEY}".to_owned()]),
            cmdline_digest: Some("0".repeat(64)),
            state: DesiredState::Running,
            autostart: true,
            on_guest_reboot: GuestReboot::Stop,
            stop_timeout: DEFAULT_STOP_TIMEOUT,
            protect: false,
            phase: Phase::Installing {
                disk: "/srv/armhf-vm.img".parse().unwrap(),
            },
            boot: BootRecord {
                share: "/srv/armhf-vm-boot".parse().unwrap(),
                handover: Handover::Copy,
                seed: true,
                wanted: Wanted::Auto,
                ways: BTreeMap::from([("/srv/armhf-vm-boot".parse().unwrap(), End::Share)]),
                fresh: BTreeMap::from([(
                    DeviceId::from("disk scratch".to_owned()),
                    FreshDisk {
                        path: "/srv/scratch.qcow2".parse().unwrap(),
                        size: 1 << 30,
                        format: DiskFormat::Qcow2,
                        backing: Some(FreshBacking {
                            path: "/srv/base.img".parse().unwrap(),
                            format: DiskFormat::Raw,
                        }),
                    },
                )]),
                confirm_within: Some(Duration::from_secs(300)),
            },
            applied_by: Some(AppliedBy {
                user: "root".to_owned(),
                at: 1,
            }),
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let text = render_record(&record()).unwrap();
        assert_eq!(read_record(text.as_bytes()).unwrap(), record());
    }

    #[test]
    fn a_damaged_or_foreign_record_says_what_it_is() {
        let text = render_record(&record()).unwrap();
        assert!(matches!(
            read_record(&text.as_bytes()[..40]),
            Err(FormatError::Malformed(_))
        ));
        assert!(matches!(read_record(b""), Err(FormatError::Malformed(_))));
        let later = text.replace("record/1", "record/2");
        assert!(matches!(
            read_record(later.as_bytes()),
            Err(FormatError::Later { .. })
        ));
        let hostile = text.replace("/srv/armhf-vm-boot", "/srv/../etc");
        assert!(matches!(
            read_record(hostile.as_bytes()),
            Err(FormatError::Malformed(_))
        ));
    }
}
