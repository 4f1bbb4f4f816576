//! Starting and stopping VMs: what libvirt is asked, and what is waited for after that.
//!
//! No step waits by itself. What it waits for is a [`Waiting`], and the engine looks at all of them from time to
//! time: a guest that takes minutes to power off keeps nothing else waiting.

use super::executor::VM_PATIENCE;
use super::failure::cannot;
use super::formats::leave_later;
use super::kept::PRIVATE;
use super::primitives::{CallError, CallErrorKind, Primitives};
use super::waits::{Wait, spoken};
use super::{Begun, Executor, HostError, Traces};
use crate::inventory::{Look, RunState};
use crate::mark::{Moment, RUN_FORMAT, RunEnd, RunNote, RunStamp, read_run_note, render_run_note};
use crate::paths;
use crate::values::{Uuid, VmName};
use std::time::Duration;

/// A VM counts as started when it still runs after this time.
const SETTLED: Duration = Duration::from_secs(2);
/// How often a stopping VM is looked at.
const GLANCE: Duration = Duration::from_millis(250);
/// How often a guest is asked again to power off: one that is still booting loses the power key.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long libvirt may take to pass on that question. It waits 30 s itself for a domain that is busy.
const ASKING: Duration = Duration::from_secs(30);

/// A step that was begun and waits for a guest.
#[derive(Debug, Clone)]
pub struct Waiting {
    vm: VmName,
    uuid: Uuid,
    until: Until,
    began: Moment,
    limit: Duration,
    due: Moment,
    /// Why the guest was not asked, where libvirt gave no answer.
    unheard: Option<CallError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// It has run for long enough to count as started.
    Up,
    /// It is off; there is nothing to wait for.
    Off,
    /// It is off, and asked to be from this moment on.
    OffWhenAsked(Moment),
}

impl Waiting {
    /// When it is to be looked at next.
    #[must_use]
    pub fn due(&self) -> Moment {
        self.due
    }

    /// The wait, as it is at this moment.
    #[must_use]
    pub fn wait(&self, now: Moment) -> Wait {
        Wait {
            subject: Some(self.vm.to_string()),
            what: match self.until {
                Until::Up => "waiting to see that it stays up".to_owned(),
                Until::Off | Until::OffWhenAsked(_) => {
                    "waiting for its guest to power off".to_owned()
                }
            },
            already: now.since(self.began),
            limit: self.limit,
            causes: Vec::new(),
        }
    }
}

impl<P: Primitives> Executor<P> {
    /// Waits for a guest that is on its way off.
    pub(super) fn await_off(&self, vm: &VmName, uuid: &Uuid, limit: Duration) -> Begun {
        self.waiting(vm, uuid, Until::Off, limit)
    }

    /// Asks a guest to power off, and waits.
    pub(super) fn stop(&self, vm: &VmName, uuid: &Uuid, limit: Duration) -> Begun {
        let ask = Until::OffWhenAsked(self.calls().moment());
        self.waiting(vm, uuid, ask, limit)
    }

    fn waiting(&self, vm: &VmName, uuid: &Uuid, until: Until, limit: Duration) -> Begun {
        let began = self.calls().moment();
        Begun::Waits(Waiting {
            vm: vm.clone(),
            uuid: uuid.clone(),
            until,
            began,
            limit,
            due: match until {
                Until::Up => began.after(limit),
                Until::Off | Until::OffWhenAsked(_) => began,
            },
            unheard: None,
        })
    }

    /// Looks at a VM that a step waits for; nothing while the wait goes on.
    pub(super) fn look_at_waiting(&self, waiting: &mut Waiting) -> Result<Option<()>, HostError> {
        let state = self.state(&waiting.vm, &waiting.uuid)?;
        match (waiting.until, state) {
            (Until::Up, RunState::Off) => Err(went_off(&waiting.vm)),
            (Until::Up, _) | (_, RunState::Off) => Ok(Some(())),
            _ => self.still_on(waiting).map(|()| None),
        }
    }

    /// Asks again where it is time to, and fails when the time is over.
    fn still_on(&self, waiting: &mut Waiting) -> Result<(), HostError> {
        let now = self.calls().moment();
        let rest = waiting.limit.saturating_sub(now.since(waiting.began));
        if rest.is_zero() {
            return Err(did_not_stop(waiting));
        }
        if let Until::OffWhenAsked(again) = waiting.until
            && again <= now
        {
            waiting.until = Until::OffWhenAsked(now.after(ASK_AGAIN));
            waiting.unheard = self.ask_to_stop(&waiting.vm, &waiting.uuid, rest)?;
        }
        let end = waiting.began.after(waiting.limit);
        waiting.due = self.calls().moment().after(GLANCE).min(end);
        Ok(())
    }

    /// Asks a guest to power off; why it could not be asked, where libvirt gave no answer.
    fn ask_to_stop(
        &self,
        vm: &VmName,
        uuid: &Uuid,
        rest: Duration,
    ) -> Result<Option<CallError>, HostError> {
        let _lock = self.lock_vm_within(vm, rest.min(VM_PATIENCE))?;
        self.note_asked(vm)?;
        match self.calls().shutdown(uuid.as_str(), rest.min(ASKING)) {
            Err(error) if error.kind == CallErrorKind::Unanswered => Ok(Some(error)),
            // It may have stopped by itself meanwhile, which is what was wanted.
            Err(error) if self.state(vm, uuid)? != RunState::Off => {
                Err(cannot(format!("ask {vm} to stop"))(error))
            }
            _ => Ok(None),
        }
    }

    /// Cuts a VM's power.
    pub(super) fn power_off(&self, vm: &VmName, uuid: &Uuid) -> Result<Begun, HostError> {
        let _lock = self.lock_vm(vm)?;
        self.note_asked(vm)?;
        match self.calls().power_off(uuid.as_str()) {
            // It may have stopped by itself meanwhile.
            Err(error) if self.state(vm, uuid)? != RunState::Off => {
                Err(cannot(format!("power off {vm}"))(error))
            }
            _ => Ok(Begun::Done(Traces::default())),
        }
    }

    /// Leaves word that this stop is armfleet's, for a watcher that comes later.
    fn note_asked(&self, vm: &VmName) -> Result<(), HostError> {
        let path = paths::run_note(vm);
        let run = self.hook_seen(vm);
        leave_later(self.calls(), &path, RUN_FORMAT)?;
        let seen = self.calls().look(&path, Look::Text);
        let last = seen.present().and_then(|file| file.text.as_deref());
        let last = last.and_then(|text| read_run_note(text.as_bytes()).ok());
        let note = RunNote::for_run(run, last.as_ref());
        if note.end.is_some() {
            return Ok(());
        }
        let text = render_run_note(&RunNote {
            end: Some(RunEnd::Asked),
            ..note
        });
        self.ensure_folder(paths::RUNS, 0o700)?;
        self.keep(&path, PRIVATE, text)
    }

    pub(super) fn state(&self, vm: &VmName, uuid: &Uuid) -> Result<RunState, HostError> {
        self.calls()
            .state(uuid.as_str())
            .map_err(cannot(format!("look at domain {vm}")))
    }

    /// Starts a VM and sees that its hook ran. What is left is to see that it stays up.
    pub(super) fn start(&self, vm: &VmName, uuid: &Uuid) -> Result<Begun, HostError> {
        let before = self.hook_seen(vm);
        let started = {
            let _lock = self.lock_vm(vm)?;
            match self.calls().start(uuid.as_str()) {
                // What does not answer for one will not answer for the other.
                Err(error) if error.kind == CallErrorKind::Unanswered => {
                    return Err(cannot(format!("start {vm}"))(error));
                }
                // A watcher was faster.
                Err(_) if self.state(vm, uuid).is_ok_and(RunState::has_process) => Ok(()),
                started => started,
            }
        };
        let hook_ran = self.hook_seen(vm) != before;
        if let Err(error) = started {
            let (error, hook) = hook_words(error);
            let failed = HostError::new(format!("cannot start {vm}"), error).by_hook(hook);
            return Err(if hook_ran {
                failed
            } else {
                self.without_hook(failed)
            });
        }
        if !hook_ran {
            return Err(self.without_hook(HostError::plain(format!(
                "{vm} started, but its hook did not run"
            ))));
        }
        Ok(self.waiting(vm, uuid, Until::Up, SETTLED))
    }

    /// The hook left no proof. Forgetting the last reload makes the next plan reload the daemon.
    fn without_hook(&self, error: HostError) -> HostError {
        let forgotten = self.calls().remove_file(paths::RELOADED);
        tracing::debug!(?forgotten, "the hook left no proof");
        error.with_remedy(format!(
            "the libvirt hook did not run: check that {} runs, then apply again, or systemctl reload libvirtd",
            paths::HOOK_BINARY
        ))
    }

    fn hook_seen(&self, vm: &VmName) -> Option<RunStamp> {
        let seen = self.calls().look(&paths::hook_seen(vm), Look::Stat);
        seen.present().map(|file| RunStamp {
            ino: file.stat.ino,
            mtime_ns: file.stat.mtime_ns,
        })
    }
}

fn went_off(vm: &VmName) -> HostError {
    let what = format!("{vm} started, and stopped again within {}", spoken(SETTLED));
    HostError::plain(what).with_remedy(format!(
        "see its console's log and /var/log/libvirt/qemu/{vm}.log"
    ))
}

fn did_not_stop(waiting: &mut Waiting) -> HostError {
    let vm = &waiting.vm;
    let what = format!("{vm} did not stop within {}", spoken(waiting.limit));
    let failed = match waiting.unheard.take() {
        Some(unheard) => HostError::new(what, unheard),
        None => HostError::plain(what),
    };
    failed.with_remedy(format!("look at its console (armfleet console {vm}); raise stop_timeout, or armfleet stop --force {vm}, which cuts its power"))
}

/// Of a failed hook, what it said itself: libvirt puts the whole command line before it (`virRunScript`). One that is not
/// armfleet's is named, and told.
fn hook_words(mut error: CallError) -> (CallError, Option<String>) {
    if error.kind != CallErrorKind::Hook {
        return (error, None);
    }
    let parts = error.why.rsplit_once(") unexpected ");
    let Some((command, (how, said))) = parts.and_then(|(command, rest)| {
        let said = rest.split_once(": ").unwrap_or((rest, ""));
        Some((command.rsplit_once('(')?.1, said))
    }) else {
        return (error, None);
    };
    let said = said.trim();
    // Before it are variables, after it what it was called for.
    let script = command.split(' ').find(|word| word.starts_with('/'));
    let theirs = script
        .filter(|script| *script != paths::SHIM)
        .map(str::to_owned);
    error.why = match &theirs {
        Some(script) => {
            format!("the hook {script}, which is not armfleet's, ended with {how}\n{said}")
        }
        None => said.to_owned(),
    };
    error.why.truncate(error.why.trim_end().len());
    (error, theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(why: &str) -> String {
        let kind = CallErrorKind::Hook;
        let why = format!("Hook script execution failed: internal error: {why}");
        hook_words(CallError { kind, why }).0.why
    }

    #[test]
    fn a_hook_that_is_not_armfleets_is_named() {
        let child = |script: &str, end: &str| {
            format!(
                "Child process (LC_ALL=C PATH=/usr/bin:/bin HOME=/root {script} vm prepare begin -) unexpected {end}"
            )
        };
        let theirs = "/etc/libvirt/hooks/qemu.d/10-theirs";
        let named = format!("the hook {theirs}, which is not armfleet's, ended with");
        for (why, expected) in [
            (
                child(paths::SHIM, "exit status 1: armfleet: no room\n"),
                "armfleet: no room".to_owned(),
            ),
            (
                child(theirs, "exit status 7: no (\ndisk: x\n"),
                format!("{named} exit status 7\nno (\ndisk: x"),
            ),
            (
                child(theirs, "exit status 1: \n"),
                format!("{named} exit status 1"),
            ),
            (
                child(theirs, "fatal signal 9: "),
                format!("{named} fatal signal 9"),
            ),
        ] {
            assert_eq!(words(&why), expected);
        }
        assert!(words("something else").ends_with("something else"));
    }
}
