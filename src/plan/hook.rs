//! The libvirt hook: installed, current, executable, and known to the daemon.

use super::About;
use super::builder::{Hook, PlanBuilder, PlanInput};
use super::step::{Act, Step, StepId};
use crate::boot::{EARLIER_SHIMS, SHIM};
use crate::domain::Cause;
use crate::inventory::{Fact, FileKind, Inventory, RawFile, digest};
use crate::paths;

/// libvirt runs the files of `qemu.d` since 6.5.0.
pub const FIRST_WITH_FOLDER: u32 = 6_005_000;

pub(super) fn plan(input: &PlanInput<'_>, builder: &mut PlanBuilder) -> Hook {
    let nothing = Hook {
        needs: Vec::new(),
        blocked: false,
    };
    if input.selected().next().is_none() {
        return nothing;
    }
    if input.libvirt.version < FIRST_WITH_FOLDER {
        let why = format!(
            "libvirt {} runs no hooks from {}",
            input.libvirt.version_text(),
            paths::HOOK_FOLDER
        );
        builder.refuse(About::HOOK, why, "upgrade libvirt to 6.5.0 or newer");
        return Hook {
            blocked: true,
            ..nothing
        };
    }
    let mut hook = Hook {
        blocked: !binary_usable(input, builder),
        ..nothing
    };
    let shim = input.inventory.path(paths::SHIM);
    if let Some(why) = shim.unknown() {
        builder.unknown(About::Path(paths::SHIM.to_owned()), why);
        hook.blocked = true;
        return hook;
    }
    let installed = shim.present();
    if installed.is_some_and(|file| file.stat.kind != FileKind::File) {
        builder.refuse(
            About::HOOK,
            format!("{} is not a plain file", paths::SHIM),
            "move it away",
        );
        hook.blocked = true;
        return hook;
    }
    let reason = why_install(installed);
    let live = match installed {
        Some(file) if reason.is_none() => known_to_daemon(input.inventory, file),
        _ => Ok(false),
    };
    if let Some(reason) = reason {
        let step = install(installed, reason, builder);
        // A host with records has had a hook.
        let drifted = !input.inventory.records.is_empty();
        let cause = drifted.then_some(Cause::Drifted);
        hook.needs.extend(builder.because(cause, Some(step)));
    }
    match live {
        Ok(true) => {}
        Ok(false) => {
            let reloaded = reload(input, hook.needs.clone(), builder);
            hook.needs.extend(reloaded);
        }
        Err(why) => {
            builder.unknown(
                About::DAEMON,
                format!("whether it knows the hook could not be seen: {why}"),
            );
            hook.blocked = true;
        }
    }
    hook
}

/// Replaces an earlier release's shim if there is something else to do.
pub(super) fn renew(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let installed = input.inventory.path(paths::SHIM).present();
    let is_planned = builder
        .steps
        .iter()
        .any(|step| matches!(step.act, Act::InstallHook { .. }));
    let can_reload = daemon_pid_file(input.inventory).is_some();
    if builder.steps.is_empty() || is_planned || !can_reload || !installed.is_some_and(is_earlier) {
        return;
    }
    let mut others = std::mem::take(&mut builder.steps);
    let written = install(installed, "an earlier version's".to_owned(), builder);
    let reload_step = |step: &&mut Step| matches!(step.act, Act::ReloadDaemon { .. });
    if let Some(planned) = others.iter_mut().find(reload_step) {
        planned.needs.push(written);
    } else {
        reload(input, vec![written], builder);
    }
    builder.steps.append(&mut others);
}

fn is_earlier(file: &RawFile) -> bool {
    let sha256 = file.sha256.as_deref().unwrap_or_default();
    EARLIER_SHIMS.contains(&sha256)
}

fn install(installed: Option<&RawFile>, reason: String, builder: &mut PlanBuilder) -> StepId {
    let act = Act::InstallHook {
        replaces: installed.is_some(),
        sha256: digest(SHIM),
    };
    let id = StepId::new("hook", "qemu");
    builder.step(id, None, reason, &[], Vec::new(), act)
}

/// Why the shim is to be written before anything else.
#[must_use]
pub fn why_install(installed: Option<&RawFile>) -> Option<String> {
    let Some(file) = installed else {
        return Some("not installed".to_owned());
    };
    if file.sha256.as_deref() != Some(&digest(SHIM)) && !is_earlier(file) {
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

/// What to do where the program that the hook runs is not there, or cannot be executed.
#[must_use]
pub fn install_binary() -> String {
    format!(
        "install armfleet's package, or copy armfleet-hook to {}",
        paths::HOOK_BINARY
    )
}

fn binary_usable(input: &PlanInput<'_>, builder: &mut PlanBuilder) -> bool {
    let remedy = install_binary();
    match input.inventory.path(paths::HOOK_BINARY) {
        Fact::Present(file) if file.is_executable() || file.stat.kind == FileKind::Symlink => true,
        Fact::Present(_) => {
            builder.refuse(
                About::HOOK,
                format!("{} cannot be executed", paths::HOOK_BINARY),
                remedy,
            );
            false
        }
        Fact::Absent => {
            builder.refuse(
                About::HOOK,
                format!(
                    "{} is not there, so no kernel can be handed over",
                    paths::HOOK_BINARY
                ),
                remedy,
            );
            false
        }
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => {
            builder.unknown(
                About::Path(paths::HOOK_BINARY.to_owned()),
                fact.unknown().unwrap_or_default(),
            );
            false
        }
    }
}

/// The daemon looks for hooks only when it starts or reloads (`virHookInitialize`); its process number's file is written
/// when it starts.
///
/// # Errors
/// Why that could not be seen.
pub fn known_to_daemon<'a>(inventory: &'a Inventory, shim: &RawFile) -> Result<bool, &'a str> {
    let started = daemon_pid_file(inventory).and_then(|path| inventory.path(path).present());
    if started.is_some_and(|file| shim.stat.ctime_ns < file.stat.mtime_ns) {
        return Ok(true);
    }
    match inventory.path(paths::RELOADED) {
        // Armfleet's own reload came after the shim even if the clock did not tick in between.
        Fact::Present(file) => Ok(shim.stat.ctime_ns <= file.stat.mtime_ns),
        Fact::Absent => Ok(false),
        fact @ (Fact::NotObserved | Fact::Unreadable(_)) => Err(fact.unknown().unwrap_or_default()),
    }
}

/// The process number's file of the daemon that started last.
#[must_use]
pub fn daemon_pid_file(inventory: &Inventory) -> Option<&'static str> {
    paths::DAEMON_PID_FILES
        .into_iter()
        .filter_map(|path| Some((inventory.path(path).present()?.stat.mtime_ns, path)))
        .max()
        .map(|(_, path)| path)
}

/// Plans a reload after these steps.
fn reload(input: &PlanInput<'_>, needs: Vec<StepId>, builder: &mut PlanBuilder) -> Option<StepId> {
    let Some(pid_file) = daemon_pid_file(input.inventory) else {
        let why = format!(
            "libvirt's daemon has no pid file {}, so it cannot be reloaded to find the hook",
            paths::DAEMON_PID_FILES[0]
        );
        builder.refuse(
            About::DAEMON,
            why,
            "systemctl reload libvirtd, or restart it",
        );
        return None;
    };
    let act = Act::ReloadDaemon {
        pid_file: pid_file.to_owned(),
    };
    let id = StepId::new("reload", "libvirtd");
    let reason = "it looks for hooks only when it starts or reloads";
    Some(builder.step(id, None, reason, &needs, Vec::new(), act))
}
