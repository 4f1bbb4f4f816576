//! `armfleet hold` and `armfleet release`

use super::exit::Exit;
use super::local::lock_note;
use super::plan::failed;
use super::terminal;
use crate::format::UPGRADE;
use crate::host::HostError;
use crate::host::primitives::{CallError, Held};
use crate::host::system::SystemFiles;
use crate::inventory::{Fact, Look};
use crate::mark::{HOLD_FORMAT, Hold, render_hold};
use crate::paths;
use crate::values::{VmName, parse_duration, parse_time};
use clap::Args;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct HoldArguments {
    /// The VM
    vm: VmName,
    /// When it ends by itself: after a time (2h, 3d), or at a time in UTC (2026-11-22T13:20Z)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The reason, shown to everyone who meets the hold
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArguments {
    /// The VM
    vm: VmName,
}

/// How long to wait for another process's short work on a VM.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn hold(arguments: &HoldArguments) -> Result<Exit, Exit> {
    let files = SystemFiles::new(Path::new("/"));
    let now = files.now();
    let until = arguments.until.as_deref().map(|until| end(until, now));
    let hold = Hold {
        by: files.user(),
        at: now,
        until: until.transpose()?,
        why: arguments.why.clone(),
    };
    let vm = &arguments.vm;
    let path = paths::hold(vm);
    let _lock = lock(&files, vm).map_err(failed)?;
    known(&files, &path).map_err(failed)?;
    let text = render_hold(&hold)
        .map_err(|error| failed(HostError::new(format!("cannot write {path}"), error)))?;
    files.write(&path, &text).map_err(cannot("write", &path))?;
    let ends = match hold.until {
        Some(_) => "until then, or until",
        None => "until",
    };
    terminal::result(&format!(
        "{vm} is {hold}\napply and watch leave it alone {ends} armfleet release {vm}\n"
    ));
    Ok(Exit::Success)
}

pub(super) fn release(arguments: &ReleaseArguments) -> Result<Exit, Exit> {
    let files = SystemFiles::new(Path::new("/"));
    let vm = &arguments.vm;
    let path = paths::hold(vm);
    let _lock = lock(&files, vm).map_err(failed)?;
    known(&files, &path).map_err(failed)?;
    let held = files.look(&path, Look::Stat).present().is_some();
    files.remove(&path).map_err(cannot("remove", &path))?;
    terminal::result(&if held {
        format!("{vm} is released\n")
    } else {
        format!("{vm} was not held\n")
    });
    Ok(Exit::Success)
}

/// When a hold ends that was asked for with this text.
fn end(until: &str, now: u64) -> Result<u64, Exit> {
    let end = parse_duration(until)
        .map_or_else(
            |_| parse_time(until),
            |time| Some(now.saturating_add(time.as_secs())),
        )
        .ok_or_else(|| {
            let remedy = "write how long, as 2h or 3d, or when in UTC, as 2026-11-22T13:20Z";
            terminal::error(&NoTime(until.to_owned()), Some(remedy));
            Exit::Invalid
        })?;
    if end > now {
        return Ok(end);
    }
    terminal::error(&Past(until.to_owned()), None);
    Err(Exit::Invalid)
}

/// Fails if a later version of armfleet wrote the hold: then it says more than this version knows.
fn known(files: &SystemFiles, path: &str) -> Result<(), HostError> {
    let seen = files.look(path, Look::Text);
    let text = seen.present().and_then(|file| file.text.as_deref());
    let later = text.and_then(|text| HOLD_FORMAT.later(text.as_bytes()));
    later.map_or(Ok(()), |error| {
        Err(HostError::new(format!("{path} stays as it is"), error).with_remedy(UPGRADE))
    })
}

/// The lock of a VM that armfleet keeps on this host.
fn lock(files: &SystemFiles, vm: &VmName) -> Result<Box<dyn Held>, HostError> {
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
    files
        .lock(&paths::vm_lock(vm), &lock_note(files), LOCK_PATIENCE)
        .map_err(|error| {
            HostError::new(format!("cannot lock {vm}"), error)
                .with_remedy("run it as root, or again when the other command has ended")
        })
}

fn cannot(doing: &str, path: &str) -> impl FnOnce(CallError) -> Exit {
    let what = format!("cannot {doing} {path}");
    move |error| failed(HostError::new(what, error).with_remedy("run it as root"))
}

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a duration nor a time")]
struct NoTime(String);

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is in the past")]
struct Past(String);
