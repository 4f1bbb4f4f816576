//! The libvirt hook: before a VM starts, it stages the kernel that the guest installed.
//!
//! libvirt runs [`SHIM`] for every operation of every domain. For the start of a VM that armfleet keeps, and only then,
//! the shim runs the binary `armfleet-hook`, which calls [`prepare`].
//!
//! While it runs, libvirtd holds the VM's lock, so its time is bounded; a call to libvirt from here would never return.
//! It runs as root, and everything in the share belongs to the guest: files are opened confined to the share, following
//! nothing; bytes, names and times are bounded; nothing is written there. armfleet's own files are root's, and
//! reached only by names that were checked and through folders that are no links; of them it removes what has the form of
//! its own, a generation or a draft, and reports everything else.
//!
//! Killed at any moment it leaves `current` as it was or as it will be: a generation is complete and on disk before it
//! gets its name, and both the name and `current` appear by a rename.

mod domain;
mod files;
mod linked;
mod open;
mod outcome;
mod prepare;
mod share;
mod start;
mod trial;

pub use crate::files::Root;
pub use outcome::{Outcome, Verdict};
pub use prepare::prepare;

pub use crate::boot::SHIM;

/// The binary's exit code when the VM may start. It is not 0, since an empty file that is executed gives 0.
pub const EXIT_DONE: u8 = 40;
/// The binary's exit code when the VM must not start. Every other code means that the binary could not run.
pub const EXIT_REFUSED: u8 = 41;
