//! What planning asks of a host, and what it gets: raw text, bytes and stat results, nothing interpreted.
//!
//! [`RawInventory`] can be written and read: it is what a snapshot's file holds, and what a remote host answers. It
//! may be incomplete, and says so fact by fact.

use super::address::RawAddress;
use super::device::RawDevice;
use crate::boot::{GivenAs, KernelKind, Unfit, Unusual};
use crate::paths;
use crate::trust::{End, Stop, StopKind, Writer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

/// What planning needs to see of a host. It follows from the spec alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Paths on the host, and how closely to look at each. Domains and libvirt itself are always looked at.
    pub paths: BTreeMap<String, Look>,
    /// Whether the networks of libvirt and the network devices of the host are looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub networks: bool,
    /// The VMs whose guests' addresses are asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<String>,
    /// Folders that are taken as they are, whoever may write there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub trusted: BTreeSet<String>,
}

/// How closely to look at a path. The path's last component is never followed when it is a symbolic link; outside of
/// armfleet's own files, its target is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// What `lstat` tells.
    Stat,
    /// The file's SHA-256, too.
    Digest,
    /// The text of a small file of armfleet's own, at most 1 MiB.
    Text,
    /// libvirt's `qemu.conf`: what it says about owners of files, and nothing else of it.
    Owners,
    /// A symbolic link's target.
    Link,
    /// A folder of armfleet's own: the names in it, and what they are.
    Folder,
    /// The link that names a generation: its target, and as entries what is in the generation.
    Generation,
    /// A boot share: the names in it, what they are, the text of its mapped links, and the guest's confirmation.
    Share,
    /// A folder of folders: the `record.json` of each, as [`Look::Text`], listed under their own paths.
    Records,
    /// A lock's file, with what its holder wrote into it as text while it is held.
    Lock,
    /// A seed's source file, with its SHA-256; taken from the receipt beside the staged copy while the source is
    /// unchanged by size, times and inode.
    Seed,
    /// As [`Look::Seed`], of a kernel: with the guests that it does not boot.
    SeedKernel,
    /// As [`Look::Seed`], of an initrd: with the guests that it does not boot, unless its digest is in a receipt.
    SeedInitrd,
    /// A device tree's source file: as [`Look::Seed`], with what it begins with where it was read.
    DeviceTree,
    /// A folder that a guest gets beside its boot share: what `lstat` tells. Nothing in it is looked at.
    FurtherShare,
    /// A disk image: whether it holds any byte, and what it begins with. A filesystem that cannot tell is taken to say
    /// that it does. Of an image that may not be opened, no more than what `lstat` tells.
    Image,
    /// A block device: its size, what lasts of it, what the host itself does with it, and what it begins with, if it may be
    /// opened. Root's links to it are followed.
    Device,
    /// A folder, and how much room its file system has.
    Room,
    /// A console's log: what it begins as, if that is no log. Of its text nothing is told.
    Log,
    /// A folder: the file system that it is on.
    Place,
    /// A text that grows, the journal or a console's log: its last lines.
    Tail,
    /// A program: the line that names its interpreter, as text, or else what it begins with.
    Program,
}

impl Look {
    /// How closely to look at what a VM has as a disk at this path.
    #[must_use]
    pub fn of_disk(path: &str) -> Self {
        match paths::is_device(path) {
            true => Self::Device,
            false => Self::Image,
        }
    }

    /// Whether what others than root may have put there is opened, and not only looked at from outside.
    #[must_use]
    pub const fn opens(self) -> bool {
        matches!(
            self,
            Self::Share | Self::Image | Self::Device | Self::Log | Self::Tail
        )
    }

    /// Whether the target of a symbolic link is told.
    #[must_use]
    pub const fn tells_target(self) -> bool {
        match self {
            Self::Stat
            | Self::Digest
            | Self::Link
            | Self::Share
            | Self::FurtherShare
            | Self::Image
            | Self::Device
            | Self::Room
            | Self::Log
            | Self::Place
            | Self::Program => true,
            Self::Text
            | Self::Owners
            | Self::Folder
            | Self::Generation
            | Self::Records
            | Self::Lock
            | Self::Tail
            | Self::Seed
            | Self::SeedKernel
            | Self::SeedInitrd
            | Self::DeviceTree => false,
        }
    }

    /// Whether it is for a file that is staged, and whose digest the plan holds.
    #[must_use]
    pub const fn is_source(self) -> bool {
        matches!(
            self,
            Self::Seed | Self::SeedKernel | Self::SeedInitrd | Self::DeviceTree
        )
    }

    /// What a source is given as, where that is checked.
    #[must_use]
    pub const fn given_as(self) -> Option<GivenAs> {
        match self {
            Self::SeedKernel => Some(GivenAs::Kernel),
            Self::SeedInitrd => Some(GivenAs::Initrd),
            _ => None,
        }
    }

    /// What the end of the way is to a path that is looked at like this; none where who decides about the way does not
    /// matter: what is copied from a source was planned by its digest.
    #[must_use]
    pub fn end_of(self, path: &str) -> Option<End> {
        let is_own = paths::own_part(path).is_some_and(|(_, rest)| !rest.is_empty());
        match self {
            _ if self.is_source() => None,
            Self::Share | Self::FurtherShare => Some(End::Share),
            Self::Image | Self::Device => Some(End::Image),
            _ if is_own => Some(End::RootsOwn),
            _ => Some(End::Roots),
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact<T> {
    /// It is there.
    Present(T),
    /// It is certainly not there.
    Absent,
    /// It was not looked at.
    #[default]
    NotObserved,
    /// It could not be seen; why.
    Unreadable(String),
}

/// The UUIDs of mounted file systems, by device number. Some file systems have none.
pub type FileSystems = BTreeMap<u64, String>;

/// Folders at which a part of a file system is mounted that is found elsewhere, too, each with where.
pub type Binds = BTreeMap<String, String>;

/// What was seen on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawInventory {
    /// When it was seen, in seconds since 1970-01-01 UTC.
    #[serde(default)]
    pub at: u64,
    /// libvirt itself.
    pub libvirt: Fact<RawLibvirt>,
    /// Every domain that libvirt knows, sorted by name.
    pub domains: Fact<Vec<RawDomain>>,
    /// libvirt's networks, sorted by name.
    #[serde(default, skip_serializing_if = "Fact::is_not_observed")]
    pub networks: Fact<Vec<RawNetwork>>,
    /// The host's network devices, sorted by name.
    #[serde(default, skip_serializing_if = "Fact::is_not_observed")]
    pub links: Fact<Vec<RawLink>>,
    /// What was told of the addresses of guests, by VM.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, Fact<Vec<RawAddress>>>,
    /// The paths of the query, and what they led to.
    pub paths: BTreeMap<String, Fact<RawFile>>,
    /// What domains use, and the folders on the way there, where the query does not name it. No more than `lstat` and the
    /// targets of links.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Fact<RawFile>>,
    /// The UUIDs of its file systems.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub file_systems: FileSystems,
    /// Folders at which a part of a file system is mounted once more, and where else that part is found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub binds: Binds,
}

/// What libvirt says of itself and the host, and what it does not know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawLibvirt {
    /// As `virConnectGetLibVersion` has it: major × 1,000,000 + minor × 1,000 + release.
    pub version: u32,
    /// `virConnectGetCapabilities`.
    pub capabilities: String,
    /// What an arm64 host does with guests of 32 bits; absent of other hosts, and of those that an earlier version saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits32: Option<RawBits32>,
}

/// What an arm64 host's processor does with 32 bits, as those say who know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawBits32 {
    /// Whether KVM runs kernels of 32 bits: `KVM_CAP_ARM_EL1_32BIT`.
    pub kernels: Fact<bool>,
    /// Whether the host runs programs of 32 bits: `personality(PER_LINUX32)`, as lscpu asks.
    pub programs: Fact<bool>,
}

/// A network of libvirt's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawNetwork {
    /// Its name.
    pub name: String,
    /// Its bridge, if it has one.
    pub bridge: Option<String>,
    /// Whether it is there now.
    pub active: bool,
    /// Whether libvirt starts it with the host.
    pub autostart: bool,
    /// Whether its bridge is one of Open vSwitch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub openvswitch: bool,
}

/// A network device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawLink {
    /// Its name.
    pub name: String,
    /// Whether it is a bridge.
    pub bridge: bool,
}

/// One domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawDomain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// `virDomainState`.
    pub state: u32,
    /// The state's reason, whose meaning depends on the state.
    pub reason: u32,
    /// Whether its definition outlives its process.
    pub persistent: bool,
    /// Whether libvirt starts it with the host.
    pub autostart: bool,
    /// Whether it has a managed save image.
    pub managed_save: bool,
    /// The names of its domain snapshots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// The names of its checkpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<String>,
    /// Its definition, `VIR_DOMAIN_XML_INACTIVE`, without secrets.
    pub inactive: Fact<String>,
    /// What its process was started with; absent when it is off.
    pub live: Fact<String>,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawFile {
    /// What `lstat` tells.
    pub stat: RawStat,
    /// SHA-256 of the bytes, in lower-case hexadecimal, where the look asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whose guests it does not boot, and why, where the look asked for it.
    #[serde(default, skip_serializing_if = "Unfit::is_empty")]
    pub unfit: Unfit,
    /// The text of the file, or the target of the link, where the look asked for it; of a boot share, what its guest wrote to
    /// confirm its boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why there is no text although the look asked for it: it is too large for one of armfleet's own, or none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_text: Option<String>,
    /// Whether it holds no byte since it was created or erased, where the look asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank: Option<bool>,
    /// Of an image that holds any byte, its head in lower-case hexadecimal, where the look asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// How many bytes of its file system an image has, which a sparse one has fewer of than its size, where the look asked
    /// for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated: Option<u64>,
    /// What is known of a block device, where the look asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<RawDevice>,
    /// What a file that is no console log begins as, where the look asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins_as: Option<Box<str>>,
    /// How many bytes its file system has left for users without privileges, where the look asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// The file system of a folder, where the look asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<Box<RawFileSystem>>,
    /// What is in the folder or the generation, where the look asked for it, sorted by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<RawEntry>>,
    /// Whether a share has more names than `entries`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Why there are no `entries` of a share although the look asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted: Option<String>,
}

/// The file system that a folder is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawFileSystem {
    /// Its type, as mount(8) has it.
    pub kind: String,
    /// Where it is mounted.
    pub at: String,
    /// How many bytes it has left for users without privileges.
    pub free: Option<u64>,
    /// Whether what is in it can have extended attributes of users (`user.*`).
    pub user_attributes: Fact<bool>,
}

/// What is asked of a host about itself, beside what planning looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawHealth {
    /// What programs say of their versions, by path.
    pub programs: BTreeMap<String, Fact<String>>,
    /// Whether something keeps the clock synchronised.
    pub synchronised: Fact<bool>,
}

/// What `lstat` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawStat {
    /// What it is.
    pub kind: FileKind,
    /// In bytes.
    pub size: u64,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Last change of contents, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last change of contents or attributes, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Birth, nanoseconds since 1970, where the file system keeps it and the look can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_ns: Option<i64>,
    /// Whom besides owner and everyone a folder's access control list lets write, where the list matters: without the
    /// group's right to write in `mode`, it lets nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<Writer>>,
    /// How many names a file has; none of anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<u32>,
    /// The number of the block device that this is a node of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
}

impl RawFile {
    /// A path of which no more is known than what `lstat` tells.
    #[must_use]
    pub fn only(stat: RawStat) -> Self {
        Self {
            stat,
            sha256: None,
            unfit: Unfit::new(),
            text: None,
            no_text: None,
            blank: None,
            allocated: None,
            device: None,
            head: None,
            begins_as: None,
            free: None,
            file_system: None,
            entries: None,
            cut: false,
            unlisted: None,
        }
    }
}

impl RawFile {
    /// Why another user than root could have made this file of armfleet's own what it is; none if only root could.
    #[must_use]
    pub fn not_roots(&self) -> Option<String> {
        let stat = &self.stat;
        if stat.kind != FileKind::File {
            return Some(format!("it is {}", stat.kind.describe()));
        }
        paths::not_roots(stat.uid, stat.mode)
    }

    /// Whether it is a plain file with a permission to execute it, whosever: what libvirt runs as a hook
    /// (`virFileIsExecutable`).
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.stat.kind == FileKind::File && self.stat.mode & 0o111 != 0
    }
}

impl RawFile {
    /// What it is on the way of a path; none where a link's target was not seen.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        let stat = &self.stat;
        Some(Stop {
            kind: match stat.kind {
                FileKind::Folder => StopKind::Folder,
                FileKind::Symlink => StopKind::Link(self.text.clone()?),
                FileKind::File | FileKind::Special => StopKind::Other,
            },
            uid: stat.uid,
            gid: stat.gid,
            mode: stat.mode,
            acl: stat.acl.clone(),
        })
    }
}

impl FileKind {
    /// In words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Symlink => "a symbolic link",
            Self::Special => "a device, socket or FIFO",
        }
    }
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A device, socket or FIFO.
    Special,
}

/// One name in a boot share, or in a folder of armfleet's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawEntry {
    /// Its name; names that are not UTF-8 are left out.
    pub name: String,
    /// What `lstat` tells.
    pub stat: RawStat,
    /// The guest's link text where it is a mapped link of at most 4095 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The bytes of a mapped link whose text is too long, or no text at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_bytes: Option<Vec<u8>>,
    /// What it is to the guest, where its kind on the host does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusual: Option<Unusual>,
    /// What a kernel is for, in a share, as far as it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelKind>,
    /// The digest of a generation's file that was changed after the generation's note was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl<T> Fact<T> {
    /// The thing, if it was seen.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(thing) => Some(thing),
            Self::Absent | Self::NotObserved | Self::Unreadable(_) => None,
        }
    }

    /// The same fact, by reference.
    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Present(thing) => Fact::Present(thing),
            Self::Absent => Fact::Absent,
            Self::NotObserved => Fact::NotObserved,
            Self::Unreadable(why) => Fact::Unreadable(why.clone()),
        }
    }

    /// Whether it was not looked at.
    pub fn is_not_observed(&self) -> bool {
        matches!(self, Self::NotObserved)
    }

    /// Whether it is certainly not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Why nothing is known about it, if nothing is.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Present(_) | Self::Absent => None,
            Self::NotObserved => Some("not observed"),
            Self::Unreadable(why) => Some(why),
        }
    }

    /// The fact about something read out of the thing.
    pub fn map<U>(self, read: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Present(thing) => Fact::Present(read(thing)),
            Self::Absent => Fact::Absent,
            Self::NotObserved => Fact::NotObserved,
            Self::Unreadable(why) => Fact::Unreadable(why),
        }
    }

    /// The fact about something read out of the thing; what makes no sense is unreadable.
    pub fn try_map<U, E: Error>(self, read: impl FnOnce(T) -> Result<U, E>) -> Fact<U> {
        match self.map(read) {
            Fact::Present(Ok(thing)) => Fact::Present(thing),
            Fact::Present(Err(error)) => Fact::Unreadable(chain(&error)),
            Fact::Absent => Fact::Absent,
            Fact::NotObserved => Fact::NotObserved,
            Fact::Unreadable(why) => Fact::Unreadable(why),
        }
    }
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
