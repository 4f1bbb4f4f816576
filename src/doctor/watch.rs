//! Who is at work: the watcher, and those who hold locks.

use super::facts::Facts;
use super::finding::{Check, Finding, Remedy};
use super::query::names_in;
use crate::inventory::Fact;
use crate::mark::LockNote;
use crate::paths;

pub(super) fn watcher(facts: &Facts<'_>) -> Vec<Finding> {
    let check = Check::Watch;
    vec![match facts.inventory.watcher() {
        Fact::Present(note) => check.fine(format!("armfleet watch runs ({note})")),
        Fact::Absent if !facts.relies_on_watch() => match facts.unknown_vms() {
            Some(why) => check.not_checked(format!("whether a VM relies on armfleet watch: {why}")),
            None => check.fine("armfleet watch does not run, and no VM relies on it"),
        },
        Fact::Absent => check.problem(
            "armfleet watch does not run: a VM whose guest reboots stays off, and no kernel is rolled back",
            begin_watching(facts),
        ),
        unseen => {
            let why = unseen.unknown().unwrap_or("it was not looked at");
            check.not_checked(format!("whether armfleet watch runs: {why}"))
        }
    }]
}

fn begin_watching(facts: &Facts<'_>) -> Remedy {
    let mut units = paths::WATCH_UNITS.iter();
    match units.any(|unit| facts.inventory.path(unit).present().is_some()) {
        true => Remedy::run("systemctl enable --now armfleet-watch"),
        false => Remedy::act(
            "put examples/systemd/armfleet-watch.service into /etc/systemd/system, then systemctl enable --now armfleet-watch",
        ),
    }
}

pub(super) fn locks(facts: &Facts<'_>) -> Vec<Finding> {
    let folders = [paths::VM_LOCKS, paths::STAGING_LOCKS];
    let of_vms = folders.into_iter().flat_map(|folder| {
        names_in(facts.inventory, folder).map(move |name| format!("{folder}/{name}"))
    });
    let paths = [paths::APPLY_LOCK.to_owned()].into_iter().chain(of_vms);
    let found: Vec<_> = paths.filter_map(|path| lock(facts, &path)).collect();
    match found.is_empty() {
        true => vec![Check::Locks.fine("no lock is held")],
        false => found,
    }
}

fn lock(facts: &Facts<'_>, path: &str) -> Option<Finding> {
    let check = Check::Locks;
    match facts.inventory.path(path) {
        Fact::Present(file) => {
            let note = file.text.as_deref()?;
            let what = format!("{path} is held by {note}");
            Some(check.notice(what, release(note)))
        }
        Fact::Absent => None,
        unseen => {
            let why = unseen.unknown().unwrap_or("it was not looked at");
            Some(check.not_checked(format!("{path}: {why}")))
        }
    }
}

/// Most locks are held for a moment, and an apply at work is no fault: nobody is told to end one unseen.
fn release(note: &str) -> Remedy {
    Remedy::act(match LockNote::pid_in(note) {
        Some(pid) => format!(
            "wait; if it stays, see what the process does: ps -fp {pid}; kill -INT {pid} has it end"
        ),
        None => "find the process: lslocks --output PID,COMMAND,PATH".to_owned(),
    })
}
