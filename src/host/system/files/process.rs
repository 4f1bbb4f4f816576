//! The daemon's process, and the user.

use super::at;
use crate::host::primitives::CallError;
use rustix::process::{Pid, PidfdFlags, Signal, getuid, pidfd_open, pidfd_send_signal};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// libvirt's daemons that run QEMU: the monolithic one, and the modular one.
pub(in super::super) const DAEMONS: [&str; 2] = ["libvirtd", "virtqemud"];

/// Sends SIGHUP to the process whose number is in this file, if it is libvirt's daemon.
pub(in super::super) fn reload_daemon(pid_file: &Path) -> Result<(), CallError> {
    let text = fs::read_to_string(pid_file).map_err(at(pid_file))?;
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    let pid = number.and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| {
        CallError::other(format!("{} holds no process number", pid_file.display()))
    })?;
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let failed = |error: rustix::io::Errno| at(&process)(error.into());
    // The process is held by a descriptor first: a number may mean another one a moment later.
    let held = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| match error {
        rustix::io::Errno::SRCH => failed(rustix::io::Errno::NOENT),
        error => failed(error),
    })?;
    let name = fs::read_to_string(process.join("comm")).map_err(at(&process))?;
    if !DAEMONS.contains(&name.trim_end()) {
        return Err(CallError::other(format!(
            "process {} of {} is {}, not libvirt's daemon, and gets no signal",
            pid.as_raw_nonzero(),
            pid_file.display(),
            name.trim_end()
        )));
    }
    pidfd_send_signal(held, Signal::HUP).map_err(failed)
}

/// The user's name; behind sudo the one who called it.
pub(in super::super) fn user(passwd: &Path) -> String {
    let uid = getuid();
    let caller = env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    if let (Some(caller), true) = (caller, uid.is_root()) {
        return caller;
    }
    let users = fs::read_to_string(passwd).unwrap_or_default();
    name_of(&users, uid.as_raw()).map_or_else(|| format!("uid {}", uid.as_raw()), str::to_owned)
}

/// The name that this uid has in the text of a `passwd` file.
fn name_of(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}
