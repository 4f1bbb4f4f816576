//! The libvirt hook: installed, current, executable, and known to the daemon.

use super::planner::{Draft, Sight};
use super::step::{Act, StepId};
use crate::boot::SHIM;
use crate::domain::Cause;
use crate::inventory::{Fact, FileKind, RawFile, digest};
use crate::paths;

/// libvirt runs the files of `qemu.d` since 6.5.0.
const FIRST_WITH_FOLDER: u32 = 6_005_000;
/// What the plan calls the hook.
const SUBJECT: &str = "hook";

/// What a start needs of the hook.
pub(super) struct Hook {
    /// The steps that must come before any start.
    pub needs: Vec<StepId>,
    /// Whether nothing may be started, because no kernel would be handed over.
    pub blocked: bool,
}

pub(super) fn plan(sight: &Sight<'_>, draft: &mut Draft) -> Hook {
    let nothing = Hook {
        needs: Vec::new(),
        blocked: false,
    };
    if sight.selected().next().is_none() {
        return nothing;
    }
    if sight.libvirt.version < FIRST_WITH_FOLDER {
        let why = format!(
            "libvirt {} runs no hooks from {}",
            sight.libvirt.version_text(),
            paths::HOOK_FOLDER
        );
        draft.refuse(SUBJECT, why, "upgrade libvirt to 6.5.0 or newer");
        return Hook {
            blocked: true,
            ..nothing
        };
    }
    let mut hook = Hook {
        blocked: !binary_usable(sight, draft),
        ..nothing
    };
    let shim = sight.inventory.path(paths::SHIM);
    if let Some(why) = shim.unknown() {
        draft.unknown(paths::SHIM, why);
        hook.blocked = true;
        return hook;
    }
    let installed = shim.present();
    if installed.is_some_and(|file| file.stat.kind != FileKind::File) {
        draft.refuse(
            SUBJECT,
            format!("{} is not a plain file", paths::SHIM),
            "move it away",
        );
        hook.blocked = true;
        return hook;
    }
    let live = match installed {
        Some(file) if is_executable(file) => known_to_daemon(sight, file),
        _ => Ok(false),
    };
    if let Some(reason) = install_reason(installed) {
        let act = Act::InstallHook {
            replaces: installed.is_some(),
            sha256: digest(SHIM),
        };
        let id = StepId::new("hook", "qemu");
        let step = draft.step(id, None, reason, &[], Vec::new(), act);
        // Whoever has records has had a hook.
        let drifted = !sight.inventory.records.is_empty();
        let cause = drifted.then_some(Cause::Drifted);
        hook.needs.extend(draft.because(cause, Some(step)));
    }
    match live {
        Ok(true) => {}
        Ok(false) => reload(sight, &mut hook, draft),
        Err(why) => {
            draft.unknown(
                "libvirtd",
                format!("whether it knows the hook could not be seen: {why}"),
            );
            hook.blocked = true;
        }
    }
    hook
}

/// Why the shim is to be written.
fn install_reason(installed: Option<&RawFile>) -> Option<String> {
    let Some(file) = installed else {
        return Some("not installed".to_owned());
    };
    if file.sha256.as_deref() != Some(&digest(SHIM)) {
        return Some("its contents are not this version's".to_owned());
    }
    if file.stat.mode != 0o755 {
        return Some(format!(
            "its mode is {:04o} instead of 0755",
            file.stat.mode
        ));
    }
    if (file.stat.uid, file.stat.gid) != (0, 0) {
        return Some("it does not belong to root".to_owned());
    }
    None
}

fn binary_usable(sight: &Sight<'_>, draft: &mut Draft) -> bool {
    let remedy = format!(
        "install armfleet's package, or copy armfleet-hook to {}",
        paths::HOOK_BINARY
    );
    match sight.inventory.path(paths::HOOK_BINARY) {
        Fact::Present(file) if is_executable(file) || file.stat.kind == FileKind::Symlink => true,
        Fact::Present(_) => {
            draft.refuse(
                SUBJECT,
                format!("{} cannot be executed", paths::HOOK_BINARY),
                remedy,
            );
            false
        }
        Fact::Absent => {
            draft.refuse(
                SUBJECT,
                format!(
                    "{} is not there, so no kernel can be handed over",
                    paths::HOOK_BINARY
                ),
                remedy,
            );
            false
        }
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => {
            draft.unknown(paths::HOOK_BINARY, fact.unknown().unwrap_or_default());
            false
        }
    }
}

fn is_executable(file: &RawFile) -> bool {
    file.stat.kind == FileKind::File && file.stat.mode & 0o111 != 0
}

/// The daemon looks for hooks only when it starts or reloads (`virHookInitialize`); its process number's file is written
/// when it starts.
fn known_to_daemon<'a>(sight: &Sight<'a>, shim: &RawFile) -> Result<bool, &'a str> {
    let started = daemon_pid_file(sight).and_then(|path| sight.inventory.path(path).present());
    if started.is_some_and(|file| shim.stat.ctime_ns < file.stat.mtime_ns) {
        return Ok(true);
    }
    match sight.inventory.path(paths::RELOADED) {
        // Armfleet's own reload came after the shim even if the clock did not tick in between.
        Fact::Present(file) => Ok(shim.stat.ctime_ns <= file.stat.mtime_ns),
        Fact::Absent => Ok(false),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => Err(fact.unknown().unwrap_or_default()),
    }
}

/// The process number's file of the daemon that started last.
fn daemon_pid_file(sight: &Sight<'_>) -> Option<&'static str> {
    paths::DAEMON_PID_FILES
        .into_iter()
        .filter_map(|path| Some((sight.inventory.path(path).present()?.stat.mtime_ns, path)))
        .max()
        .map(|(_, path)| path)
}

fn reload(sight: &Sight<'_>, hook: &mut Hook, draft: &mut Draft) {
    let Some(pid_file) = daemon_pid_file(sight) else {
        let why = format!(
            "libvirt's daemon left no {}, so it cannot be told to look for hooks",
            paths::DAEMON_PID_FILES[0]
        );
        draft.refuse("libvirtd", why, "systemctl reload libvirtd, or restart it");
        return;
    };
    let act = Act::ReloadDaemon {
        pid_file: pid_file.to_owned(),
    };
    let reason = "it looks for hooks only when it starts or reloads";
    let needs = hook.needs.clone();
    hook.needs.push(draft.step(
        StepId::new("reload", "libvirtd"),
        None,
        reason,
        &needs,
        Vec::new(),
        act,
    ));
}
