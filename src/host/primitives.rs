//! The calls that steps are made of: one of libvirt or of the file system each, and nothing decided in between.
//!
//! [`Reads`] is all that planning may use. The real host, the in-memory host and the wrapper that records calls or lets one
//! fail each are one function over the calls as values, [`Read`] and [`Change`].

use crate::fleet::DiskFormat;
use crate::inventory::{
    AddressSource, Binds, Fact, FileSystems, Look, RawAddress, RawDomain, RawFile, RawLibvirt,
    RawLink, RawNetwork, RawStat, RunState,
};
use crate::mark::Moment;
use crate::plan::BaseFile;
use crate::trust::{End, Rules};
use crate::values::{HostKey, HostPath, Sha256Sum};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Owner and group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Why a primitive call did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct CallError {
    /// What sort of failure it is; decisions rest on this, never on the text.
    pub kind: CallErrorKind,
    /// What libvirt or the system said.
    pub why: String,
}

/// The failures that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The thing is not there (`ENOENT`, `VIR_ERR_NO_DOMAIN`).
    Missing,
    /// Something is there already (`EEXIST`, a domain of that name or UUID).
    Exists,
    /// A hook ended the operation (`VIR_ERR_HOOK_SCRIPT_FAILED`).
    Hook,
    /// Another process holds the lock.
    Locked,
    /// No answer came in time. What was asked for may have been done, or be done yet.
    Unanswered,
    /// The file system is full, or the owner's share of it (`ENOSPC`, `EDQUOT`).
    NoSpace,
    /// The file system is mounted read-only (`EROFS`).
    ReadOnly,
    /// It is not what the plan saw.
    Changed,
    /// The file system cannot do that at all (`EOPNOTSUPP`).
    Unsupported,
    /// Files cannot be added to an initrd that is wrapped for U-Boot.
    Wrapped,
    /// Anything else.
    Other,
}

/// The size that an image has, as its guest sees it, and the size that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Its format.
    pub format: DiskFormat,
    /// In bytes.
    pub to: u64,
}

/// A lock that ends when it is dropped.
pub trait Held: Send + Sync {}

/// Declares the calls of a trait, each once: what it is as a value, whether it changes anything and on what it is made. The
/// trait has a method for each, and what stands behind the trait is one function over the values.
macro_rules! calls {
    (
        $(#[$about_trait:meta])*
        trait $trait:ident: $($above:path),+ { $($rest:tt)* }
        $(#[$about_enum:meta])*
        enum $enum:ident by $by:ident -> $all:ident;

        $($(#[$about:meta])*
        $effect:ident $variant:ident: fn $name:ident($($argument:ident: $type:ty),*) -> $answer:ty, on $subject:expr;)*
    ) => {
        $(#[$about_enum])*
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs)]
        pub enum $enum<'a> {
            $($(#[$about])* $variant { $($argument: $type),* },)*
        }

        impl<'a> $enum<'a> {
            /// What there is to say about the call.
            #[must_use]
            #[allow(unused_variables)]
            pub fn seen(self) -> $crate::host::primitives::Call<'a> {
                match self {
                    $(Self::$variant { $($argument),* } => $crate::host::primitives::Call {
                        name: stringify!($name),
                        subject: $subject,
                        changes: stringify!($effect) == "changes",
                    },)*
                }
            }
        }

        $(#[$about_trait])*
        pub trait $trait: $($above +)+ {
            /// Makes a call.
            ///
            /// # Errors
            /// As the method of the call's name.
            fn $by(
                &self,
                call: $enum<'_>,
            ) -> Result<$all, $crate::host::primitives::CallError>;

            $($(#[$about])*
            #[allow(clippy::extra_unused_lifetimes)]
            fn $name<'a>(&self, $($argument: $type),*) -> $answer {
                $crate::host::primitives::Answered::of(self.$by($enum::$variant { $($argument),* }))
            })*

            $($rest)*
        }
    };
}
pub(crate) use calls;

/// Declares what calls answer with, and that each is made from the answer of its sort alone.
macro_rules! answers {
    ($(#[$about:meta])* enum $all:ident { $($variant:ident($type:ty),)* }) => {
        $(#[$about])*
        // An answer is moved once: a box would cost more than its size does.
        #[allow(missing_docs, clippy::large_enum_variant)]
        pub enum $all { $($variant($type),)* }

        $(impl From<$type> for $all {
            fn from(answer: $type) -> Self {
                Self::$variant(answer)
            }
        }

        impl $crate::host::primitives::Answered<$all>
            for Result<$type, $crate::host::primitives::CallError>
        {
            fn of(answer: Result<$all, $crate::host::primitives::CallError>) -> Self {
                match answer? {
                    $all::$variant(answer) => Ok(answer),
                    _ => Err($crate::host::primitives::CallError::other("it was answered as another call")),
                }
            }
        })*
    };
}
pub(crate) use answers;

calls! {
    /// The reading calls.
    trait Reads: Send, Sync {
        /// Seconds since 1970-01-01 UTC.
        fn now(&self) -> u64;
    }
    /// A reading call as a value.
    enum Read by read -> Answer;

    /// libvirt's version and capabilities.
    ///
    /// # Errors
    /// When libvirt cannot be reached.
    reads Libvirt: fn libvirt() -> Result<RawLibvirt, CallError>, on "";
    /// Every domain, sorted by name; a domain that cannot be dumped has unreadable XML.
    ///
    /// # Errors
    /// When libvirt cannot be reached.
    reads Domains: fn domains() -> Result<Vec<RawDomain>, CallError>, on "";
    /// One domain as [`Reads::domains`] would list it.
    ///
    /// # Errors
    /// [`CallErrorKind::Missing`] when there is none with that UUID.
    reads Domain: fn domain(uuid: &'a str) -> Result<RawDomain, CallError>, on uuid;
    /// What a domain is doing.
    ///
    /// # Errors
    /// [`CallErrorKind::Missing`] when there is none with that UUID.
    reads State: fn state(uuid: &'a str) -> Result<RunState, CallError>, on uuid;
    /// Looks at a path. [`Look::Records`] answers for the folder itself; its records are listed by [`Reads::records`].
    reads Look: fn look(path: &'a str, look: Look) -> Fact<RawFile>, on path;
    /// The UUIDs of the mounted file systems, by device number.
    ///
    /// # Errors
    /// When mounts cannot be listed.
    reads FileSystems: fn file_systems() -> Result<FileSystems, CallError>, on "";
    /// Goes the way of a path, folder by folder, and tells where it leads: a path without links on it. The last name may
    /// stand for nothing yet.
    ///
    /// # Errors
    /// When others than root decide about that, or a folder on the way is not there.
    reads Way: fn way(path: &'a str, end: End, rules: &'a Rules) -> Result<String, CallError>, on path;
    /// libvirt's networks, sorted by name.
    ///
    /// # Errors
    /// When libvirt cannot be reached.
    reads Networks: fn networks() -> Result<Vec<RawNetwork>, CallError>, on "";
    /// The network devices of the host, sorted by name.
    ///
    /// # Errors
    /// When they cannot be listed.
    reads Links: fn links() -> Result<Vec<RawLink>, CallError>, on "";
    /// The addresses of a domain's guest, as one of those who may know them tells. A guest's agent is waited for.
    ///
    /// # Errors
    /// When the domain does not run, or nobody answers.
    reads Addresses: fn addresses(uuid: &'a str, source: AddressSource) -> Result<Vec<RawAddress>, CallError>, on uuid;
    /// The folders at which a part of a file system is mounted that is found elsewhere, too, each with where.
    ///
    /// # Errors
    /// When mounts cannot be listed.
    reads Binds: fn binds() -> Result<Binds, CallError>, on "";
    /// The paths of the records below a folder of VMs, sorted.
    ///
    /// # Errors
    /// When the folder cannot be listed; a missing folder has no records.
    reads Records: fn records(folder: &'a str) -> Result<Vec<String>, CallError>, on folder;
    /// The first line of what a program says of its version.
    ///
    /// # Errors
    /// When it cannot be run, fails, or says nothing in time.
    reads Version: fn version(program: &'a str) -> Result<String, CallError>, on program;
    /// Whether something keeps the clock synchronised.
    ///
    /// # Errors
    /// As the system says.
    reads Synchronised: fn synchronised() -> Result<bool, CallError>, on "";
}

calls! {
    /// The changing calls.
    trait Primitives: Reads {
        /// Who is working: the user's name, behind sudo the one who called it.
        fn user(&self) -> String;
        /// How many guests the host can boot at once.
        fn boots_at_once(&self) -> usize;
        /// Random bytes, for a key.
        ///
        /// # Errors
        /// When the system gives none.
        fn random(&self) -> Result<[u8; HostKey::LENGTH], CallError>;
        /// Waits.
        fn pause(&self, time: Duration);
        /// The present moment of the clock that waits are measured by.
        fn moment(&self) -> Moment;
    }
    /// A changing call as a value.
    enum Change by change -> Answer;

    /// A domain's definition with its secrets (`INACTIVE | SECURE`).
    ///
    /// # Errors
    /// As libvirt says.
    reads DumpSecure: fn dump_secure(uuid: &'a str) -> Result<String, CallError>, on uuid;
    /// Defines or redefines a domain (`virDomainDefineXMLFlags` with `VALIDATE`).
    ///
    /// # Errors
    /// As libvirt says; [`CallErrorKind::Exists`] where name and UUID belong to different domains.
    changes Define: fn define(xml: &'a str) -> Result<(), CallError>, on "";
    /// Undefines an inactive domain; NVRAM is kept where there is some.
    ///
    /// # Errors
    /// As libvirt says.
    changes Undefine: fn undefine(uuid: &'a str, keep_nvram: bool) -> Result<(), CallError>, on uuid;
    /// Sets whether libvirt starts the domain with the host.
    ///
    /// # Errors
    /// As libvirt says.
    changes SetAutostart: fn set_autostart(uuid: &'a str, on: bool) -> Result<(), CallError>, on uuid;
    /// Starts a domain.
    ///
    /// # Errors
    /// As libvirt says; [`CallErrorKind::Hook`] where a hook ended it.
    changes Start: fn start(uuid: &'a str) -> Result<(), CallError>, on uuid;
    /// Asks the guest to power off, and does not wait for it; being asked takes no longer than `within`.
    ///
    /// # Errors
    /// As libvirt says.
    changes Shutdown: fn shutdown(uuid: &'a str, within: Duration) -> Result<(), CallError>, on uuid;
    /// Cuts a domain's power: its QEMU writes out what it holds for its disks, and ends. The guest is not asked.
    ///
    /// # Errors
    /// As libvirt says; also when it is off already.
    changes PowerOff: fn power_off(uuid: &'a str) -> Result<(), CallError>, on uuid;
    /// Grows an image that a running domain has as a disk of `from` bytes, and tells its guest.
    ///
    /// # Errors
    /// When it has another size, or as libvirt says.
    changes BlockResize: fn block_resize(uuid: &'a str, path: &'a str, from: u64, to: u64) -> Result<(), CallError>, on path;
    /// Makes one folder with exactly this mode and owner; its parent exists.
    ///
    /// # Errors
    /// [`CallErrorKind::Exists`] when anything has that name.
    changes MakeFolder: fn make_folder(path: &'a str, mode: u32, owner: Option<Owner>) -> Result<(), CallError>, on path;
    /// Fails unless files in this folder can have the extended attributes that mapped 9p needs (`user.*`). Leaves
    /// nothing behind.
    ///
    /// # Errors
    /// Says what the file system answered.
    changes ProbeXattr: fn probe_xattr(folder: &'a str) -> Result<(), CallError>, on folder;
    /// Sets owner and mode of a folder itself, never of what is in it, and never through a link.
    ///
    /// # Errors
    /// When it is not a folder, or as the system says.
    changes SetFolderOwner: fn set_folder_owner(path: &'a str, mode: u32, owner: Owner) -> Result<(), CallError>, on path;
    /// Writes a file whole or not at all, replacing what has that name. The temporary file lies in `scratch`, a folder of
    /// the same file system, because libvirt runs every executable file of a hook folder.
    ///
    /// # Errors
    /// As the system says.
    changes WriteFile: fn write_file(path: &'a str, scratch: &'a str, bytes: &'a [u8], mode: u32)
        -> Result<(), CallError>, on path;
    /// Creates an image of so many bytes, which has these and then zeros, mode 0600, where nothing has that name.
    ///
    /// # Errors
    /// [`CallErrorKind::Exists`] when anything has that name; nothing is overwritten.
    changes CreateImage: fn create_image(path: &'a str, head: &'a [u8], bytes: u64) -> Result<(), CallError>, on path;
    /// Creates an image, mode 0600, with the bytes of a file where nothing has that name: whole or not at all. The file
    /// must be what the plan saw, and stay so. Holes stay holes, and a file system that can shares the blocks.
    ///
    /// # Errors
    /// [`CallErrorKind::Exists`] when anything has that name; [`CallErrorKind::Changed`] when the file is another; when the
    /// copy has another digest than `base` says, or cannot be grown to `grown`, or as the system says.
    changes CopyImage: fn copy_image(base: &'a BaseFile, from: &'a str, to: &'a str, grown: ImageSize)
        -> Result<(), CallError>, on to;
    /// Grows a raw image that has `from` bytes to `to`.
    ///
    /// # Errors
    /// When it has another size, or as the system says.
    changes GrowImage: fn grow_image(path: &'a str, from: u64, to: u64) -> Result<(), CallError>, on path;
    /// Grows a qcow2 image that no process has open from one size, as its guest sees it, to another.
    ///
    /// # Errors
    /// When it has another size, or its first table cannot become long enough where it is, or as the system says.
    changes GrowQcow2: fn grow_qcow2(path: &'a str, from: u64, to: u64) -> Result<(), CallError>, on path;
    /// Copies a plain file to a new one, whole or not at all, replacing what has that name, and tells what it copied.
    ///
    /// # Errors
    /// When the source is no plain file or larger than `limit` bytes, or as the system says.
    changes CopyFile: fn copy_file(from: &'a str, to: &'a str, limit: u64, mode: u32) -> Result<Copied, CallError>, on to;
    /// Writes a copy of an initrd to which files are appended (path in the initrd to file of the host), whole or not at
    /// all, replacing what has that name, and tells what it copied.
    ///
    /// # Errors
    /// When a source is no plain file or too large, or as the system says.
    changes ExtendInitrd: fn extend_initrd(
        base: &'a str,
        files: &'a BTreeMap<HostPath, HostPath>,
        to: &'a str,
        limit: u64,
        mode: u32
    ) -> Result<Extended, CallError>, on to;
    /// Erases every byte of a raw image, which has so many bytes afterwards.
    ///
    /// # Errors
    /// When it is no plain file, or as the system says.
    changes EraseImage: fn erase_image(path: &'a str, bytes: u64) -> Result<(), CallError>, on path;
    /// Removes one file; a missing one is fine.
    ///
    /// # Errors
    /// As the system says.
    changes RemoveFile: fn remove_file(path: &'a str) -> Result<(), CallError>, on path;
    /// Removes a folder below armfleet's own, or one of root's beside a share, and the files of these names in it; a missing
    /// one is fine. Whatever else is in it stays, and so does the folder: the answer names what. Follows no links.
    ///
    /// # Errors
    /// As the system says.
    changes RemoveFolder: fn remove_folder(path: &'a str, known: &'a [&'a str])
        -> Result<Vec<String>, CallError>, on path;
    /// Gives a file another name in the same folder, replacing what has that name.
    ///
    /// # Errors
    /// [`CallErrorKind::Missing`] when there is no such file, or as the system says.
    changes RenameFile: fn rename_file(from: &'a str, to: &'a str) -> Result<(), CallError>, on from;
    /// Appends a line to a file, creating it with mode 0600.
    ///
    /// # Errors
    /// As the system says.
    changes AppendLine: fn append_line(path: &'a str, line: &'a str) -> Result<(), CallError>, on path;
    /// Takes a lock, waiting at most `patience`, and leaves `note` in its file for those who meet it. Folders that the file
    /// needs are made, mode 0700.
    ///
    /// # Errors
    /// [`CallErrorKind::Locked`] with the holder's note.
    changes Lock: fn lock(path: &'a str, note: &'a str, patience: Duration) -> Result<Box<dyn Held>, CallError>, on path;
    /// Tells the daemon whose process number is in this file to read its hooks again (SIGHUP).
    ///
    /// # Errors
    /// When there is no such process, or it is not libvirt's.
    changes ReloadDaemon: fn reload_daemon(pid_file: &'a str) -> Result<(), CallError>, on pid_file;
}

/// One call, as those see it who only look on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Its name.
    pub name: &'static str,
    /// What it is made on: a path or a UUID.
    pub subject: &'a str,
    /// Whether it changes anything.
    pub changes: bool,
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(format!("{} {}", self.name, self.subject).trim_end())
    }
}

/// What a method of a call makes of the answer.
pub trait Answered<A> {
    /// From the answer.
    fn of(answer: Result<A, CallError>) -> Self;
}

answers! {
    /// What a call answers.
    enum Answer {
        Done(()),
        Text(String),
        Yes(bool),
        Names(Vec<String>),
        FileSystems(FileSystems),
        Binds(Binds),
        Libvirt(RawLibvirt),
        Domains(Vec<RawDomain>),
        Domain(RawDomain),
        Networks(Vec<RawNetwork>),
        Links(Vec<RawLink>),
        Addresses(Vec<RawAddress>),
        State(RunState),
        File(Fact<RawFile>),
        Copied(Copied),
        Extended(Extended),
        Lock(Box<dyn Held>),
    }
}

impl<A> Answered<A> for Fact<RawFile>
where
    Result<Self, CallError>: Answered<A>,
{
    fn of(answer: Result<A, CallError>) -> Self {
        Result::of(answer).unwrap_or_else(|error: CallError| Self::Unreadable(error.why))
    }
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The source, as it was before and after.
    pub source: RawStat,
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// An initrd to which files were appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extended {
    /// The initrd that it begins with.
    pub base: Copied,
    /// The appended files, by their path in it.
    pub files: BTreeMap<HostPath, Copied>,
    /// Its own size in bytes.
    pub size: u64,
    /// Its own SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// What is said of a base image with other bytes than the user named.
pub(super) fn wrong_digest(base: &BaseFile, wanted: &Sha256Sum, seen: &str) -> String {
    format!(
        "{} has SHA-256 {seen}, and the fleet file names {wanted}",
        base.path
    )
}

impl CallError {
    /// What to do about it, where that follows from the failure alone.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self.kind {
            CallErrorKind::NoSpace => Some("free some room in that file system, then try again"),
            CallErrorKind::Wrapped => Some(
                "have install.initrd name the ramdisk without U-Boot's header (dd bs=64 skip=1 takes it off), or leave out \
                 install.files",
            ),
            CallErrorKind::ReadOnly => Some("mount that file system writable, then try again"),
            _ => None,
        }
    }

    /// Files were to be added to an initrd that is wrapped for U-Boot.
    pub fn wrapped(path: impl std::fmt::Display) -> Self {
        Self {
            kind: CallErrorKind::Wrapped,
            why: format!(
                "{path} has U-Boot's header, and QEMU loads no files that are added behind what it names"
            ),
        }
    }

    /// A failure that callers do not tell apart.
    pub fn other(why: impl Into<String>) -> Self {
        Self {
            kind: CallErrorKind::Other,
            why: why.into(),
        }
    }
}
