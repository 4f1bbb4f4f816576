//! `armfleet hold` and `armfleet release`

use super::exit::Exit;
use super::hold_file::{lock, remove, write};
use super::hold_while::hold_while;
use super::plan::failed;
use super::terminal;
use crate::host::system::SystemFiles;
use crate::inventory::Look;
use crate::mark::Hold;
use crate::paths;
use crate::values::{VmName, parse_duration, parse_time};
use clap::Args;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

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
    /// Hold it while this command runs, release it whatever becomes of that, and end with its exit code
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "until")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArguments {
    /// The VM
    vm: VmName,
}

pub(super) fn hold(arguments: &HoldArguments) -> Result<Exit, Exit> {
    let files = SystemFiles::new(Path::new("/"));
    if let Some((program, rest)) = arguments.command.split_first() {
        let mut command = Command::new(program);
        command.args(rest);
        return hold_while(&files, &arguments.vm, arguments.why.clone(), command);
    }
    let now = files.now();
    let until = arguments.until.as_deref().map(|until| end(until, now));
    let hold = Hold {
        by: files.user(),
        at: now,
        until: until.transpose()?,
        why: arguments.why.clone(),
    };
    let vm = &arguments.vm;
    let _lock = lock(&files, vm).map_err(failed)?;
    write(&files, vm, &hold).map_err(failed)?;
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
    let _lock = lock(&files, vm).map_err(failed)?;
    let held = files.look(&paths::hold(vm), Look::Stat).present().is_some();
    remove(&files, vm).map_err(failed)?;
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

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a duration nor a time")]
struct NoTime(String);

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is in the past")]
struct Past(String);
