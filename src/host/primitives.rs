//! The calls that steps are made of: one of libvirt or of the file system each, and nothing decided in between.
//!
//! [`Reads`] is all that planning may use. The real host, the in-memory host and the wrappers that record calls or let
//! the n-th one fail all stand behind these two traits.

use crate::inventory::{Fact, Look, RawDomain, RawFile, RawLibvirt, RawStat, RunState};
use crate::mark::Moment;
use crate::values::HostPath;
use std::collections::BTreeMap;
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
    /// Somebody else holds the lock.
    Locked,
    /// No answer came in time. What was asked for may have been done, or be done yet.
    Unanswered,
    /// The file system is full, or the owner's share of it (`ENOSPC`, `EDQUOT`).
    NoSpace,
    /// The file system is mounted read-only (`EROFS`).
    ReadOnly,
    /// The file system cannot do that at all (`EOPNOTSUPP`).
    Unsupported,
    /// Anything else.
    Other,
}

/// A lock that ends when it is dropped.
pub trait Held: Send + Sync {}

/// The reading calls.
pub trait Reads: Send + Sync {
    /// libvirt's version and capabilities.
    ///
    /// # Errors
    /// When libvirt cannot be reached.
    fn libvirt(&self) -> Result<RawLibvirt, CallError>;

    /// Every domain, sorted by name; a domain that cannot be dumped has unreadable XML.
    ///
    /// # Errors
    /// When libvirt cannot be reached.
    fn domains(&self) -> Result<Vec<RawDomain>, CallError>;

    /// One domain as [`Reads::domains`] would list it.
    ///
    /// # Errors
    /// [`CallErrorKind::Missing`] when there is none with that UUID.
    fn domain(&self, uuid: &str) -> Result<RawDomain, CallError>;

    /// What a domain is doing.
    ///
    /// # Errors
    /// [`CallErrorKind::Missing`] when there is none with that UUID.
    fn state(&self, uuid: &str) -> Result<RunState, CallError>;

    /// Looks at a path. [`Look::Records`] answers for the folder itself; its records are listed by [`Reads::records`].
    fn look(&self, path: &str, look: Look) -> Fact<RawFile>;

    /// The paths of the records below a folder of VMs, sorted.
    ///
    /// # Errors
    /// When the folder cannot be listed; a missing folder has no records.
    fn records(&self, folder: &str) -> Result<Vec<String>, CallError>;

    /// Seconds since 1970-01-01 UTC.
    fn now(&self) -> u64;
}

/// The changing calls.
pub trait Primitives: Reads {
    /// A domain's definition with its secrets (`INACTIVE | SECURE`).
    ///
    /// # Errors
    /// As libvirt says.
    fn dump_secure(&self, uuid: &str) -> Result<String, CallError>;
    /// Defines or redefines a domain (`virDomainDefineXMLFlags` with `VALIDATE`).
    ///
    /// # Errors
    /// As libvirt says; [`CallErrorKind::Exists`] where name and UUID belong to different domains.
    fn define(&self, xml: &str) -> Result<(), CallError>;
    /// Undefines an inactive domain; NVRAM is kept where there is some.
    ///
    /// # Errors
    /// As libvirt says.
    fn undefine(&self, uuid: &str, keep_nvram: bool) -> Result<(), CallError>;
    /// Sets whether libvirt starts the domain with the host.
    ///
    /// # Errors
    /// As libvirt says.
    fn set_autostart(&self, uuid: &str, on: bool) -> Result<(), CallError>;
    /// Starts a domain.
    ///
    /// # Errors
    /// As libvirt says; [`CallErrorKind::Hook`] where a hook ended it.
    fn start(&self, uuid: &str) -> Result<(), CallError>;
    /// Asks the guest to power off, and does not wait for it; being asked takes no longer than `within`.
    ///
    /// # Errors
    /// As libvirt says.
    fn shutdown(&self, uuid: &str, within: Duration) -> Result<(), CallError>;
    /// Tells a running domain that its disk image has grown to so many bytes, and grows it.
    ///
    /// # Errors
    /// As libvirt says.
    fn block_resize(&self, uuid: &str, path: &str, bytes: u64) -> Result<(), CallError>;

    /// Makes one folder with exactly this mode and owner; its parent exists.
    ///
    /// # Errors
    /// [`CallErrorKind::Exists`] when anything has that name.
    fn make_folder(&self, path: &str, mode: u32, owner: Option<Owner>) -> Result<(), CallError>;
    /// Fails unless files in this folder can have the extended attributes that mapped 9p needs (`user.*`). Leaves
    /// nothing behind.
    ///
    /// # Errors
    /// Says what the file system answered.
    fn probe_xattr(&self, folder: &str) -> Result<(), CallError>;
    /// Sets owner and mode of a folder itself, never of what is in it, and never through a link.
    ///
    /// # Errors
    /// When it is not a folder, or as the system says.
    fn set_folder_owner(&self, path: &str, mode: u32, owner: Owner) -> Result<(), CallError>;
    /// Writes a file whole or not at all, replacing what has that name. The temporary file lies in `scratch`, a folder of
    /// the same file system, because libvirt runs every executable file of a hook folder.
    ///
    /// # Errors
    /// As the system says.
    fn write_file(
        &self,
        path: &str,
        scratch: &str,
        bytes: &[u8],
        mode: u32,
    ) -> Result<(), CallError>;
    /// Creates a raw image of so many zero bytes, mode 0600, where nothing has that name.
    ///
    /// # Errors
    /// [`CallErrorKind::Exists`] when anything has that name; nothing is overwritten.
    fn create_image(&self, path: &str, bytes: u64) -> Result<(), CallError>;
    /// Grows a raw image that has `from` bytes to `to`.
    ///
    /// # Errors
    /// When it has another size, or as the system says.
    fn grow_image(&self, path: &str, from: u64, to: u64) -> Result<(), CallError>;
    /// Copies a plain file to a new one, whole or not at all, replacing what has that name, and tells what it copied.
    ///
    /// # Errors
    /// When the source is no plain file or larger than `limit` bytes, or as the system says.
    fn copy_file(&self, from: &str, to: &str, limit: u64, mode: u32) -> Result<Copied, CallError>;
    /// Writes a copy of an initrd to which files are appended (path in the initrd to file of the host), whole or not at
    /// all, replacing what has that name, and tells what it copied.
    ///
    /// # Errors
    /// When a source is no plain file or too large, or as the system says.
    fn extend_initrd(
        &self,
        base: &str,
        files: &BTreeMap<HostPath, HostPath>,
        to: &str,
        limit: u64,
        mode: u32,
    ) -> Result<Extended, CallError>;
    /// Erases every byte of a raw image, which has so many bytes afterwards.
    ///
    /// # Errors
    /// When it is no plain file, or as the system says.
    fn erase_image(&self, path: &str, bytes: u64) -> Result<(), CallError>;
    /// Removes one file; a missing one is fine.
    ///
    /// # Errors
    /// As the system says.
    fn remove_file(&self, path: &str) -> Result<(), CallError>;
    /// Removes a folder below armfleet's own and the files of these names in it; a missing one is fine. Whatever else is in
    /// it stays, and so does the folder: the answer names what. Follows no links.
    ///
    /// # Errors
    /// As the system says.
    fn remove_folder(&self, path: &str, known: &[&str]) -> Result<Vec<String>, CallError>;
    /// Gives a file another name in the same folder, replacing what has that name.
    ///
    /// # Errors
    /// [`CallErrorKind::Missing`] when there is no such file, or as the system says.
    fn rename_file(&self, from: &str, to: &str) -> Result<(), CallError>;
    /// Appends a line to a file, creating it with mode 0600.
    ///
    /// # Errors
    /// As the system says.
    fn append_line(&self, path: &str, line: &str) -> Result<(), CallError>;
    /// Takes a lock, waiting at most `patience`, and leaves `note` in its file for whoever meets it. Folders that the file
    /// needs are made, mode 0700.
    ///
    /// # Errors
    /// [`CallErrorKind::Locked`] with the holder's note.
    fn lock(&self, path: &str, note: &str, patience: Duration) -> Result<Box<dyn Held>, CallError>;
    /// Tells the daemon whose process number is in this file to read its hooks again (SIGHUP).
    ///
    /// # Errors
    /// When there is no such process, or it is not libvirt's.
    fn reload_daemon(&self, pid_file: &str) -> Result<(), CallError>;

    /// Who is working: the user's name, behind sudo the one who called it.
    fn user(&self) -> String;
    /// How many guests the host can boot at once.
    fn boots_at_once(&self) -> usize;
    /// Waits.
    fn pause(&self, time: Duration);
    /// The present moment of the clock that waits are measured by.
    fn moment(&self) -> Moment;
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

impl CallError {
    /// What to do about it, where that follows from the failure alone.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self.kind {
            CallErrorKind::NoSpace => Some("free some room in that file system, then try again"),
            CallErrorKind::ReadOnly => Some("mount that file system writable, then try again"),
            _ => None,
        }
    }

    /// A failure that nobody tells apart.
    pub fn other(why: impl Into<String>) -> Self {
        Self {
            kind: CallErrorKind::Other,
            why: why.into(),
        }
    }
}
