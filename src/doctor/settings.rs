//! libvirt's settings that would fight armfleet, and the clock.

use super::facts::Facts;
use super::finding::{Check, Finding, Remedy};
use crate::boot::keeps_what_it_takes;
use crate::inventory::Fact;
use crate::paths;
use crate::values::render_time;

pub(super) fn qemu_conf(facts: &Facts<'_>) -> Vec<Finding> {
    let (check, path) = (Check::QemuConf, paths::QEMU_CONF);
    let fine = || check.fine("libvirt gives files back to their owners when a VM stops");
    vec![match facts.inventory.path(path) {
        Fact::Absent => fine(),
        Fact::Present(file) => match file.text.as_deref() {
            Some(conf) if keeps_what_it_takes(conf) => check.notice(
                format!("{path} has remember_owner = 0: what a VM had becomes root's when it stops, with boot.handover: link its guest's kernel, too"),
                Remedy::run(format!(
                    "sed -i 's/^[[:space:]]*remember_owner.*/remember_owner = 1/' {path} && systemctl restart {}",
                    facts.daemon()
                )),
            ),
            Some(_) => fine(),
            None => check.not_checked(unread(path, file.no_text.as_deref())),
        },
        unseen => check.not_checked(unread(path, unseen.unknown())),
    }]
}

fn unread(path: &str, why: Option<&str>) -> String {
    format!("{path}: {}", why.unwrap_or("it was not read"))
}

/// What the service says of host's shutdown. Debian's default shuts VMs down.
pub(super) fn libvirt_guests(facts: &Facts<'_>) -> Vec<Finding> {
    let (check, path) = (Check::LibvirtGuests, paths::LIBVIRT_GUESTS);
    let fine = || vec![check.fine("libvirt-guests shuts VMs down with the host, and starts none")];
    let text = match facts.inventory.path(path) {
        Fact::Absent => return fine(),
        Fact::Present(file) => match file.text.as_deref() {
            Some(text) => text,
            None => return vec![check.not_checked(unread(path, file.no_text.as_deref()))],
        },
        unseen => return vec![check.not_checked(unread(path, unseen.unknown()))],
    };
    let set = |key: &str, value: &str| {
        Remedy::run(format!(
            "sed -i 's/^[[:space:]]*{key}=.*/{key}={value}/' {path}"
        ))
    };
    let suspends = setting(text, "ON_SHUTDOWN") == Some("suspend");
    let starts = setting(text, "ON_BOOT") == Some("start");
    let found = [
        suspends.then(|| {
            let what = format!("{path} has ON_SHUTDOWN=suspend: no VM can be saved whose guest has /boot mounted, and a saved one goes on with its old kernel");
            check.problem(what, set("ON_SHUTDOWN", "shutdown"))
        }),
        starts.then(|| {
            let what = format!("{path} has ON_BOOT=start: VMs that ran when the host shut down start with it, whatever autostart says");
            check.notice(what, set("ON_BOOT", "ignore"))
        }),
    ];
    let found: Vec<_> = found.into_iter().flatten().collect();
    if found.is_empty() { fine() } else { found }
}

/// What a shell that reads a file of assignments has for a variable.
fn setting<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut assigned = text.lines().filter_map(|line| {
        let (name, value) = line.trim_start().split_once('=')?;
        (name == key).then_some(value)
    });
    let value = assigned.next_back()?.split_whitespace().next()?;
    Some(value.trim_matches(['"', '\'']))
}

/// Files are written while the clock moves, and the last of them is not in the future.
const SKEW: u64 = 60;
const SYNCHRONISE: &str = "timedatectl set-ntp true";

pub(super) fn clock(facts: &Facts<'_>) -> Vec<Finding> {
    let (check, now) = (Check::Clock, facts.inventory.at());
    let is_later = |(path, written): &(&str, u64)| *written > now + SKEW && is_roots(path);
    let files = facts.inventory.paths().filter_map(|(path, fact)| {
        let written = fact.present()?.stat.mtime_ns / 1_000_000_000;
        Some((path, u64::try_from(written).ok()?))
    });
    let latest = files.filter(is_later).max_by_key(|(_, written)| *written);
    if let Some((path, written)) = latest {
        let (now, written) = (render_time(now), render_time(written));
        let what = format!(
            "it is {now} by the clock, and {path} was written at {written}: the clock is behind"
        );
        return vec![check.problem(what, Remedy::run(SYNCHRONISE))];
    }
    vec![match &facts.health.synchronised {
        Fact::Present(true) => check.fine("the clock is synchronised"),
        Fact::Present(false) => {
            let what = "nothing keeps the clock synchronised: times in history, holds and status may be wrong";
            check.notice(what, Remedy::run(SYNCHRONISE))
        }
        unseen => {
            let why = unseen.unknown().unwrap_or("it was not asked");
            check.not_checked(format!("whether the clock is synchronised: {why}"))
        }
    }]
}

/// Files whose times only armfleet and libvirt set.
fn is_roots(path: &str) -> bool {
    let own = paths::own_part(path).is_some();
    own || path == paths::SHIM || paths::DAEMON_PID_FILES.contains(&path)
}
