//! libvirt's hooks: armfleet's, what it runs, and others.

use super::facts::{Facts, is_roots_program};
use super::finding::{Check, Finding, Remedy};
use super::query::{interpreter, names_in};
use crate::inventory::{Fact, FileKind, RawFile};
use crate::mark::{Action, Event, read_entry};
use crate::paths;
use crate::plan::{install_binary, known_to_daemon, why_install};
use crate::values::render_time;

/// The first bytes of a program in Linux's own format.
const ELF: &str = "7f454c46";
/// What the AppArmor profile of libvirt's daemon lets a hook run (`usr.sbin.libvirtd`).
const RUNNABLE: [&str; 4] = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"];
/// Endings of backup and temporary files, which nobody means to be hooks.
const LEFT_OVER: [&str; 9] = [
    "~",
    ".bak",
    ".orig",
    ".rej",
    ".swp",
    ".tmp",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
];

/// The shim, and whether libvirt's daemon knows of it.
pub(super) fn installed(facts: &Facts<'_>) -> Vec<Finding> {
    let shim = facts.inventory.path(paths::SHIM);
    if let Some(why) = shim.unknown() {
        return vec![Check::Hook.not_checked(format!("{}: {why}", paths::SHIM))];
    }
    let shim = shim.present();
    if shim.is_some_and(|file| file.stat.kind != FileKind::File) {
        let what = format!("{} is not a plain file, so there is no hook", paths::SHIM);
        let away = Remedy::act("move it out of its folder, then apply");
        return vec![Check::Hook.problem(what, away)];
    }
    match (why_install(shim), shim) {
        (None, Some(file)) => {
            let fine = Check::Hook.fine(format!("{} is installed", paths::SHIM));
            vec![fine, live(facts, file)]
        }
        (why, _) => {
            let why = why.unwrap_or_default();
            let what = format!("{}: {why}", paths::SHIM);
            vec![if facts.is_used() {
                let what = format!("{what}; VMs boot no kernel that their guests install");
                Check::Hook.problem(what, facts.apply())
            } else {
                Check::Hook.notice(
                    format!("{what}; the first apply installs it"),
                    facts.apply(),
                )
            }]
        }
    }
}

fn live(facts: &Facts<'_>, shim: &RawFile) -> Finding {
    let daemon = facts.daemon();
    match known_to_daemon(facts.inventory, shim) {
        Ok(true) => Check::HookLive.fine(format!("{daemon} knows that there is a hook")),
        Ok(false) => Check::HookLive.problem(
            format!("the hook is newer than {daemon}, which looks for hooks only when it starts or reloads: it may not run"),
            Remedy::run(format!("systemctl restart {daemon}")),
        ),
        Err(why) => Check::HookLive.not_checked(format!("whether {daemon} knows the hook: {why}")),
    }
}

/// The program that the shim runs.
pub(super) fn program(facts: &Facts<'_>) -> Vec<Finding> {
    let path = paths::HOOK_BINARY;
    let check = Check::HookProgram;
    let file = match facts.inventory.path(path) {
        Fact::Present(_) => facts.target(path),
        Fact::Absent => {
            let what = format!("{path} is not there, so no kernel can be handed over");
            return vec![check.problem(what, Remedy::act(install_binary()))];
        }
        unseen => {
            let why = unseen.unknown().unwrap_or_default();
            return vec![check.not_checked(format!("{path}: {why}"))];
        }
    };
    let Some(file) = file else {
        let what = format!("{path} leads to nothing that could be seen");
        return vec![check.not_checked(what)];
    };
    if !is_roots_program(file) {
        let why = file.not_roots();
        let why = why.unwrap_or_else(|| "it cannot be executed".to_owned());
        let mend = format!("chown root: {path} && chmod 0755 {path}");
        let what = format!("{path}: {why}; libvirt runs it as root");
        return vec![check.problem(what, Remedy::run(mend))];
    }
    vec![version(facts), confined(facts)]
}

fn version(facts: &Facts<'_>) -> Finding {
    let path = paths::HOOK_BINARY;
    let ours = concat!("armfleet-hook ", env!("CARGO_PKG_VERSION"));
    let both = Remedy::act("install armfleet and armfleet-hook of the same version");
    match facts.health.programs.get(path) {
        Some(Fact::Present(said)) if said == ours => {
            Check::HookProgram.fine(format!("{path} is {ours}"))
        }
        Some(Fact::Present(said)) => Check::HookProgram.problem(
            format!("{path} says {said:?}; this armfleet needs {ours}"),
            both,
        ),
        Some(Fact::Unreadable(why)) => Check::HookProgram.problem(
            format!("it does not run, or is of another version: {why}"),
            both,
        ),
        _ => Check::HookProgram.not_checked(format!("the version of {path}: it was not asked")),
    }
}

fn confined(facts: &Facts<'_>) -> Finding {
    let path = paths::HOOK_BINARY;
    let place = facts.inventory.leads_to(path).unwrap_or_default();
    let runs = RUNNABLE.iter().any(|folder| place.starts_with(folder));
    match has_apparmor(facts) {
        _ if runs => Check::HookProgram.fine(format!("AppArmor lets a hook run {place}")),
        Ok(false) => Check::HookProgram.fine("AppArmor is off"),
        Ok(true) => Check::HookProgram.problem(
            format!("{path} is {place}, and AppArmor lets a hook of libvirt's run nothing there"),
            Remedy::run(format!(
                "install -m 0755 {place} {path}.new && mv {path}.new {path}"
            )),
        ),
        Err(why) => Check::HookProgram
            .not_checked(format!("whether AppArmor lets a hook run {place}: {why}")),
    }
}

/// Whether the kernel confines programs by AppArmor.
fn has_apparmor<'a>(facts: &Facts<'a>) -> Result<bool, &'a str> {
    match facts.inventory.path(paths::APPARMOR) {
        Fact::Present(file) => Ok(file
            .text
            .as_deref()
            .is_some_and(|text| text.starts_with('Y'))),
        Fact::Absent => Ok(false),
        unseen => Err(unseen.unknown().unwrap_or("it was not looked at")),
    }
}

/// Hooks that are not armfleet's: libvirt runs them all before each start, and one that fails ends it.
pub(super) fn others(facts: &Facts<'_>) -> Vec<Finding> {
    if let Some(why) = facts.inventory.path(paths::HOOK_FOLDER).unknown() {
        let what = format!("{}: {why}", paths::HOOK_FOLDER);
        return vec![Check::OtherHooks.not_checked(what)];
    }
    let names = names_in(facts.inventory, paths::HOOK_FOLDER);
    let beside = names.map(|name| format!("{}/{name}", paths::HOOK_FOLDER));
    let beside = beside.filter(|path| path != paths::SHIM);
    let found: Vec<_> = [paths::HOOK_SCRIPT.to_owned()]
        .into_iter()
        .chain(beside)
        .filter_map(|path| other(facts, &path))
        .collect();
    match found.is_empty() {
        true => vec![Check::OtherHooks.fine("there are no other hooks")],
        false => found,
    }
}

/// What there is to say of a hook; none if libvirt would not run it.
fn other(facts: &Facts<'_>, path: &str) -> Option<Finding> {
    let check = Check::OtherHooks;
    let seen = match facts.inventory.path(path) {
        Fact::Present(file) => file,
        Fact::Absent => return None,
        unseen => {
            let why = unseen.unknown().unwrap_or("it was not looked at");
            return Some(check.not_checked(format!("{path}: {why}")));
        }
    };
    let file = facts.target(path).unwrap_or(seen);
    if !file.is_executable() {
        return None;
    }
    let off = || Remedy::run(format!("chmod -x {path}"));
    Some(if let Some(why) = file.not_roots() {
        let mend = format!("chown root: {path} && chmod go-w {path}");
        check.problem(
            format!("{path}: {why}; libvirt runs it as root"),
            Remedy::run(mend),
        )
    } else if let Some(why) = why_not_run(facts, seen) {
        check.problem(
            format!("{path} cannot be executed, so libvirt starts no VM: {why}"),
            off(),
        )
    } else if let Some((what, at)) = ended_last(facts, path, file) {
        let at = render_time(at);
        check.problem(
            format!(
                "{path}, which is not armfleet's, ended {what} at {at}: no VM starts while it fails"
            ),
            off(),
        )
    } else if is_left_over(path) {
        let what = format!("{path} looks like a copy, and libvirt runs it, too, before each start");
        check.notice(what, off())
    } else if let Some(why) = facts.inventory.path(paths::JOURNAL).unknown() {
        let journal = paths::JOURNAL;
        check.not_checked(format!(
            "whether {path} ended the last start: {journal}: {why}"
        ))
    } else {
        check.fine(format!(
            "{path}, which is not armfleet's, runs before each start, too"
        ))
    })
}

/// What a hook ended, and when, if nothing was started since, nor the hook changed.
fn ended_last(facts: &Facts<'_>, path: &str, file: &RawFile) -> Option<(String, u64)> {
    let journal = facts.inventory.path(paths::JOURNAL).present()?;
    let lines = journal.text.as_deref()?.lines();
    let entries = lines.filter_map(|line| read_entry(line.as_bytes()).ok());
    let starts = entries.filter_map(|entry| match entry.event {
        Event::Step(step) if step.action == Action::Start => Some((entry.at, step)),
        _ => None,
    });
    // A start that failed for another reason says nothing about hooks.
    let mut telling = starts.filter(|(_, step)| step.hook.is_some() || step.error.is_empty());
    let (at, step) = telling.next_back()?;
    let changed = u64::try_from(file.stat.ctime_ns / 1_000_000_000).unwrap_or_default();
    let is_it = step.hook.as_deref() == Some(path) && changed <= at;
    is_it.then(|| (format!("the start of {}", step.subject), at))
}

/// Why Linux does not execute a file, as far as its beginning tells.
fn why_not_run(facts: &Facts<'_>, file: &RawFile) -> Option<String> {
    let head = file.head.as_deref()?;
    if head.starts_with(ELF) {
        return None;
    }
    let Some(line) = file.text.as_deref() else {
        return Some("it is neither a program nor a script that begins with #!".to_owned());
    };
    let Some(program) = interpreter(line) else {
        return Some(format!(
            "its first line names no program by an absolute path: {line}"
        ));
    };
    let is_gone = facts.is_there(&program) == Some(false);
    is_gone.then(|| format!("it is run by {program}, which is not there"))
}

fn is_left_over(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with('.') || LEFT_OVER.iter().any(|end| name.ends_with(end))
}
