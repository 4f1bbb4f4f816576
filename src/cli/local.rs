//! The host that armfleet runs on.

use super::exit::Exit;
use super::terminal;
use crate::host::primitives::CallError;
use crate::host::system::{SystemFiles, SystemHost, SystemReads};
use crate::mark::LockNote;
use std::path::Path;

/// The one libvirt of a host that runs build machines.
pub(super) const LIBVIRT: &str = "qemu:///system";

/// The name of the one host of this version.
pub(super) const HOST: &str = "local";

/// The host, to look at.
pub(super) fn reads() -> Result<SystemReads, Exit> {
    SystemReads::open(LIBVIRT, Path::new("/")).map_err(unreachable)
}

/// The host, to change.
pub(super) fn host() -> Result<SystemHost, Exit> {
    SystemHost::open(LIBVIRT, Path::new("/")).map_err(unreachable)
}

/// What a command leaves in the locks that it takes without libvirt.
pub(super) fn lock_note(files: &SystemFiles) -> String {
    let note = LockNote {
        pid: std::process::id(),
        user: &files.user(),
        since: files.now(),
    };
    note.to_string()
}

fn unreachable(error: CallError) -> Exit {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot reach libvirt at {LIBVIRT}")]
    struct Unreachable(#[source] CallError);
    terminal::error(&Unreachable(error), None);
    Exit::Failed
}
