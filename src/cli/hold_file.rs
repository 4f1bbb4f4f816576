//! The file of a VM's hold, and the lock under which it changes.

use super::local::lock_note;
use crate::format::UPGRADE;
use crate::host::HostError;
use crate::host::primitives::{CallError, Held};
use crate::host::system::SystemFiles;
use crate::inventory::{Fact, Look};
use crate::mark::{HOLD_FORMAT, Hold, read_hold, render_hold};
use crate::paths;
use crate::values::VmName;
use std::time::Duration;

/// How long to wait for another process's short work on a VM.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Fails if a later version of armfleet wrote the hold: then it says more than this version knows.
fn known(files: &SystemFiles, path: &str) -> Result<(), HostError> {
    let seen = files.look(path, Look::Text);
    let text = seen.present().and_then(|file| file.text.as_deref());
    let later = text.and_then(|text| HOLD_FORMAT.later(text.as_bytes()));
    later.map_or(Ok(()), |error| {
        Err(HostError::new(format!("{path} stays as it is"), error).with_remedy(UPGRADE))
    })
}

/// The lock of a VM that armfleet keeps on this host, unless a later version of armfleet holds the VM.
pub(super) fn lock(files: &SystemFiles, vm: &VmName) -> Result<Box<dyn Held>, HostError> {
    match files.look(&paths::record(vm), Look::Stat) {
        Fact::Present(_) => {}
        Fact::Unreadable(why) => {
            let error = CallError::other(why);
            return Err(
                HostError::new(format!("cannot look at {}", paths::record(vm)), error)
                    .with_remedy("run it as root"),
            );
        }
        Fact::Absent | Fact::NotObserved => {
            return Err(
                HostError::plain(format!("armfleet keeps no VM {vm} on this host"))
                    .with_remedy(format!("ls {} lists them", paths::VMS)),
            );
        }
    }
    let lock = files.lock(&paths::vm_lock(vm), &lock_note(files), LOCK_PATIENCE);
    let lock = lock.map_err(|error| {
        HostError::new(format!("cannot lock {vm}"), error)
            .with_remedy("run it as root, or again when the other command has ended")
    })?;
    known(files, &paths::hold(vm))?;
    Ok(lock)
}

/// Writes a hold, whatever there was.
pub(super) fn write(files: &SystemFiles, vm: &VmName, hold: &Hold) -> Result<(), HostError> {
    let path = paths::hold(vm);
    let text =
        render_hold(hold).map_err(|error| HostError::new(format!("cannot write {path}"), error))?;
    files.write(&path, &text).map_err(cannot("write", &path))
}

pub(super) fn remove(files: &SystemFiles, vm: &VmName) -> Result<(), HostError> {
    let path = paths::hold(vm);
    files.remove(&path).map_err(cannot("remove", &path))
}

/// The hold that is in force, if there is one; one that cannot be read is in force.
pub(super) fn in_force(files: &SystemFiles, vm: &VmName) -> Result<Option<Hold>, HostError> {
    let path = paths::hold(vm);
    let seen = files.look(&path, Look::Text);
    let seen = seen.map(|file| file.text.unwrap_or_default());
    match seen.try_map(|text| read_hold(text.as_bytes())) {
        Fact::Present(hold) => Ok(Some(hold).filter(|hold| hold.holds_at(files.now()))),
        Fact::Absent | Fact::NotObserved => Ok(None),
        Fact::Unreadable(why) => Err(HostError::plain(format!("{path} cannot be read: {why}"))
            .with_remedy(format!("armfleet release {vm}, as root"))),
    }
}

fn cannot(doing: &str, path: &str) -> impl FnOnce(CallError) -> HostError {
    let what = format!("cannot {doing} {path}");
    move |error| HostError::new(what, error).with_remedy("run it as root")
}
