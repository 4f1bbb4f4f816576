//! `armfleet hold VM -- COMMAND`: a VM that is held for as long as a command runs.

use super::exit::Exit;
use super::hold_file::{in_force, lock, remove, write};
use super::plan::failed;
use super::terminal;
use crate::host::HostError;
use crate::host::system::SystemFiles;
use crate::mark::Hold;
use crate::values::VmName;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// A hold that is not renewed any more, since armfleet was killed, ends after this time.
const OUTLIVES: Duration = Duration::from_secs(600);
const RENEWED: Duration = Duration::from_secs(120);
/// How often the command is looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// Holds a VM, runs the command, releases the VM, and ends the process with the command's exit code.
pub(super) fn hold_while(
    files: &SystemFiles,
    vm: &VmName,
    why: Option<String>,
    command: Command,
) -> Result<Exit, Exit> {
    let hold = begin(files, vm, why, &command).map_err(failed)?;
    let ended = run(command, || renew(files, vm, &hold));
    let released = release(files, vm, &hold);
    let status = ended.map_err(failed)?;
    released.map_err(failed)?;
    let code = status.code();
    std::process::exit(code.unwrap_or_else(|| BY_SIGNAL + status.signal().unwrap_or_default()))
}

fn begin(
    files: &SystemFiles,
    vm: &VmName,
    why: Option<String>,
    command: &Command,
) -> Result<Hold, HostError> {
    let _lock = lock(files, vm)?;
    if let Some(other) = in_force(files, vm)? {
        let remedy = format!("wait for it, or armfleet release {vm}");
        return Err(HostError::plain(format!("{vm} is {other}"))
            .with_remedy(remedy)
            .as_refusal());
    }
    let program = command.get_program().to_string_lossy();
    let hold = Hold {
        by: files.user(),
        at: files.now(),
        until: Some(files.now() + OUTLIVES.as_secs()),
        why: why.or_else(|| Some(format!("while {program} runs"))),
    };
    write(files, vm, &hold)?;
    Ok(hold)
}

/// Whether the hold in force is still this one.
fn is_own(files: &SystemFiles, vm: &VmName, hold: &Hold) -> Result<bool, HostError> {
    let present = in_force(files, vm)?;
    let same = |other: &Hold| (&other.by, other.at, &other.why) == (&hold.by, hold.at, &hold.why);
    Ok(present.as_ref().is_some_and(same))
}

fn renew(files: &SystemFiles, vm: &VmName, hold: &Hold) -> Result<(), HostError> {
    let _lock = lock(files, vm)?;
    if !is_own(files, vm, hold)? {
        return Err(HostError::plain(format!(
            "{vm} was released while its command runs"
        )));
    }
    let until = Some(files.now() + OUTLIVES.as_secs());
    write(
        files,
        vm,
        &Hold {
            until,
            ..hold.clone()
        },
    )
}

fn release(files: &SystemFiles, vm: &VmName, hold: &Hold) -> Result<(), HostError> {
    let _lock = lock(files, vm)?;
    match is_own(files, vm, hold)? {
        true => remove(files, vm),
        false => Ok(()),
    }
}

/// Runs a command to its end. Signals that would end armfleet go to the command.
fn run(
    mut command: Command,
    renew: impl Fn() -> Result<(), HostError>,
) -> Result<ExitStatus, HostError> {
    let cannot = |error: io::Error, program: &str| {
        HostError::new(format!("cannot run {program}"), error)
            .with_remedy("the VM is released; name a program that can be run")
    };
    let program = command.get_program().to_string_lossy().into_owned();
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| cannot(error, &program))?;
    let mut child = command.spawn().map_err(|error| cannot(error, &program))?;
    let mut renewed = Instant::now();
    loop {
        for signal in signals.pending() {
            pass_on(&child, signal);
        }
        if let Some(status) = child.try_wait().map_err(|error| cannot(error, &program))? {
            return Ok(status);
        }
        if renewed.elapsed() >= RENEWED {
            renewed = Instant::now();
            if let Err(error) = renew() {
                terminal::warning(&error.failure());
            }
        }
        thread::sleep(GLANCE);
    }
}

/// A terminal sends Ctrl-C to the command itself, too.
fn pass_on(child: &Child, signal: i32) {
    let is_told = signal == SIGINT && terminal::can_ask();
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = match signal {
        SIGINT => Signal::INT,
        SIGHUP => Signal::HUP,
        _ => Signal::TERM,
    };
    if let Some(number) = number.filter(|_| !is_told) {
        // It may have ended meanwhile.
        let _ = kill_process(number, signal);
    }
}
