//! Steps, performed by primitive calls. Nothing is decided here: a step says everything, and what it rests on is checked
//! once more before it is done.

use super::generations::recorded;
use super::observe::observe;
use super::primitives::{CallError, CallErrorKind, Held, Owner, Primitives};
use super::{Caller, Host, HostError, Inspect, Traces};
use crate::boot::SHIM;
use crate::domain::{Edit, apply_edits};
use crate::inventory::{Fact, Look, Query, RawInventory, RunState, digest};
use crate::mark::{
    AppliedBy, Event, Record, RunEnd, RunNote, RunStamp, read_hold, read_run_note, render_record,
    render_run_note,
};
use crate::plan::{Act, Base, Step};
use crate::spec::{HostPath, Uuid, VmName, layout};
use std::time::Duration;

/// A VM counts as started when it still runs after this time.
const SETTLED: Duration = Duration::from_secs(2);
/// How often a stopping VM is looked at.
const GLANCE: Duration = Duration::from_millis(250);
/// How often a guest is asked again to power off: one that is still booting loses the power key.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long to wait for somebody else's short work on a VM.
const VM_PATIENCE: Duration = Duration::from_secs(10);

/// A host that performs steps over primitive calls.
pub struct Performer<P> {
    pub(super) calls: P,
    /// For whom.
    pub(super) caller: Caller,
    /// Held as long as this host: one apply at a time.
    _apply_lock: Option<Box<dyn Held>>,
}

impl<P: Primitives> Performer<P> {
    /// A host whose apply lock is taken, for as long as this lives.
    ///
    /// # Errors
    /// When another apply holds it, which the error names.
    pub fn locked(calls: P) -> Result<Self, HostError> {
        let mut host = Self::unlocked(calls);
        let note = host.lock_note();
        let lock = host.calls.lock(layout::APPLY_LOCK, &note, Duration::ZERO);
        host._apply_lock = Some(lock.map_err(|error| {
            match error.kind {
                CallErrorKind::Locked => {
                    HostError::new("another apply is at work on this host", error)
                        .with_remedy("wait for it, then apply again")
                        .as_refusal()
                }
                _ => cannot(format!("lock {}", layout::APPLY_LOCK))(error),
            }
        })?);
        Ok(host)
    }

    /// A host for short work on single VMs, which may go on beside an apply.
    pub fn unlocked(calls: P) -> Self {
        Self {
            calls,
            caller: Caller::default(),
            _apply_lock: None,
        }
    }

    /// The same, at work for this caller.
    #[must_use]
    pub fn called_by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// The calls below, for tests that change the host behind armfleet's back.
    pub fn calls(&self) -> &P {
        &self.calls
    }
}

impl<P: Primitives> Inspect for Performer<P> {
    fn observe(&self, query: &Query) -> Result<RawInventory, HostError> {
        Ok(observe(&self.calls, query))
    }
}

impl<P: Primitives> Host for Performer<P> {
    fn perform(&self, step: &Step) -> Result<Traces, HostError> {
        if let (Some(vm), Some(uuid), Some(planned)) = (&step.vm, step.act.domain(), &step.expects)
        {
            self.unchanged(vm, uuid, planned)?;
        }
        match (&step.act, &step.vm) {
            (Act::Define { uuid, base, edits }, Some(vm)) => self.define(vm, uuid, base, edits),
            (
                Act::Undefine {
                    uuid,
                    digest,
                    keep_nvram,
                },
                Some(vm),
            ) => self.undefine(vm, uuid, digest, *keep_nvram),
            (Act::Forget, Some(vm)) => self.forget(vm),
            _ => self.act(step).map(|()| Traces::default()),
        }
    }

    fn note(&self, event: Event) -> Result<(), HostError> {
        self.write_journal(event)
    }
}

/// What to say when a call fails.
pub(super) fn cannot(doing: String) -> impl FnOnce(CallError) -> HostError {
    move |error| {
        let remedy = error.remedy();
        let failed = HostError::new(format!("cannot {doing}"), error);
        match remedy {
            Some(remedy) => failed.with_remedy(remedy),
            None => failed,
        }
    }
}

/// A lock that was not taken: only one that is held says that somebody is at work.
fn not_locked(
    error: CallError,
    held: impl FnOnce() -> String,
    doing: impl FnOnce() -> String,
) -> HostError {
    match error.kind {
        CallErrorKind::Locked => HostError::new(held(), error).with_remedy("apply again"),
        _ => cannot(doing())(error),
    }
}

/// The step rests on something that has changed since it was planned.
pub(super) fn stale(what: impl std::fmt::Display) -> HostError {
    HostError::plain(format!("{what} changed since it was planned")).with_remedy("apply again")
}

impl<P: Primitives> Performer<P> {
    fn act(&self, step: &Step) -> Result<(), HostError> {
        match (&step.act, &step.vm) {
            (Act::InstallHook { sha256, .. }, _) => self.install_hook(sha256),
            (Act::ReloadDaemon { pid_file }, _) => self.reload(pid_file),
            (Act::CreateShare { path, mode, owner }, _) => self.create_share(path, *mode, *owner),
            (Act::OwnShare { path, mode, owner }, _) => {
                let owner = Owner {
                    uid: owner.0,
                    gid: owner.1,
                };
                self.calls
                    .set_folder_owner(path.as_str(), *mode, owner)
                    .map_err(cannot(format!("give {path} to QEMU")))
            }
            (Act::MendFolder { path, mode }, _) => self.mend_folder(path, *mode),
            (Act::CreateDisk { path, size }, _) => self
                .calls
                .create_image(path.as_str(), size.bytes())
                .map_err(cannot(format!("create {path}"))),
            (
                Act::GrowDisk {
                    path,
                    from,
                    to,
                    running,
                },
                _,
            ) => match running {
                Some(uuid) => self
                    .calls
                    .block_resize(uuid.as_str(), path.as_str(), to.bytes()),
                None => self
                    .calls
                    .grow_image(path.as_str(), from.bytes(), to.bytes()),
            }
            .map_err(cannot(format!("grow {path}"))),
            (act, Some(vm)) => self.act_on_vm(act, vm),
            (_, None) => Err(HostError::plain("the step names no VM")),
        }
    }

    fn act_on_vm(&self, act: &Act, vm: &VmName) -> Result<(), HostError> {
        match act {
            Act::StageSeed { kernel, initrd, .. } => self.stage_seed(vm, kernel, initrd),
            Act::StageInstaller(installer) => self.stage_installer(vm, installer),
            Act::EraseDisk {
                path,
                size,
                mark,
                uuid,
            } => self.erase_disk(vm, uuid.as_ref(), (path, *size), mark),
            Act::WriteRecord { record, .. } => self.write_record(vm, record),
            Act::SetAutostart { uuid, on } => {
                let _lock = self.lock_vm(vm)?;
                let doing = cannot(format!("set autostart of {vm}"));
                self.calls.set_autostart(uuid.as_str(), *on).map_err(doing)
            }
            Act::AwaitOff { uuid, timeout } => self.await_off(vm, uuid, *timeout, false),
            Act::Stop { uuid, timeout } => self.await_off(vm, uuid, *timeout, true),
            Act::Start { uuid } => self.start(vm, uuid),
            Act::Define { .. }
            | Act::Undefine { .. }
            | Act::Forget
            | Act::InstallHook { .. }
            | Act::ReloadDaemon { .. }
            | Act::CreateShare { .. }
            | Act::OwnShare { .. }
            | Act::MendFolder { .. }
            | Act::CreateDisk { .. }
            | Act::GrowDisk { .. } => Err(HostError::plain("the step is not one of a VM's domain")),
        }
    }

    fn install_hook(&self, sha256: &str) -> Result<(), HostError> {
        if digest(SHIM) != sha256 {
            return Err(HostError::plain("the plan's hook is another version's")
                .with_remedy("plan and apply with one version"));
        }
        self.ensure_folder(layout::HOOKS, 0o755)?;
        self.ensure_folder(layout::HOOK_FOLDER, 0o755)?;
        let doing = cannot(format!("write {}", layout::SHIM));
        self.calls
            .write_file(layout::SHIM, layout::HOOKS, SHIM.as_bytes(), 0o755)
            .map_err(doing)
    }

    fn reload(&self, pid_file: &str) -> Result<(), HostError> {
        self.calls.reload_daemon(pid_file).map_err(|error| {
            HostError::new("cannot make libvirtd look for hooks", error)
                .with_remedy("systemctl reload libvirtd")
        })?;
        let doing = cannot(format!("write {}", layout::RELOADED));
        self.calls
            .write_file(layout::RELOADED, layout::RUN, b"", 0o600)
            .map_err(doing)
    }

    fn create_share(
        &self,
        path: &HostPath,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<(), HostError> {
        // Asked of the parent, so that a file system that cannot serve is left as it was.
        self.calls
            .probe_xattr(path.parent())
            .map_err(|error| {
                match error.kind {
            CallErrorKind::Unsupported => HostError::new(
                format!(
                    "{path} cannot be a boot share: its file system keeps no extended attributes"
                ),
                error,
            )
            .with_remedy("set boot.share to a folder on ext4, xfs or btrfs"),
            _ => cannot(format!("make {path}"))(error),
        }
            })?;
        let owner = owner.map(|(uid, gid)| Owner { uid, gid });
        self.calls
            .make_folder(path.as_str(), mode, owner)
            .map_err(cannot(format!("make {path}")))
    }

    fn define(
        &self,
        vm: &VmName,
        uuid: &Uuid,
        base: &Base,
        edits: &[Edit],
    ) -> Result<Traces, HostError> {
        let _lock = self.lock_vm(vm)?;
        let doing = format!("define domain {vm}");
        let (text, mut traces) = match base {
            Base::Skeleton(text) => match self.calls.domain(uuid.as_str()) {
                Err(error) if error.kind == CallErrorKind::Missing => {
                    (text.clone(), Traces::default())
                }
                Err(error) => return Err(cannot(doing.clone())(error)),
                Ok(_) => return Err(stale(format_args!("domain {vm}"))),
            },
            Base::Stored(planned) => {
                let shown = self.unchanged(vm, uuid, planned)?;
                let whole = self
                    .calls
                    .dump_secure(uuid.as_str())
                    .map_err(cannot(doing.clone()))?;
                let traces = self.keep_before(vm, &shown, &whole);
                (whole, traces)
            }
        };
        let text = apply_edits(&text, edits)
            .map_err(|error| HostError::new(format!("cannot {doing}"), error))?;
        self.calls.define(&text).map_err(cannot(doing))?;
        self.keep_after(vm, uuid, &mut traces);
        Ok(traces)
    }

    /// A domain's definition without its secrets; fails if it is no longer the one that the plan was made on.
    fn unchanged(&self, vm: &VmName, uuid: &Uuid, planned: &str) -> Result<String, HostError> {
        let seen = self
            .calls
            .domain(uuid.as_str())
            .map_err(cannot(format!("read domain {vm}")))?;
        match seen.inactive {
            Fact::Present(text) if digest(&text) == planned => Ok(text),
            _ => Err(stale(format_args!("domain {vm}"))),
        }
    }

    fn write_record(&self, vm: &VmName, record: &Record) -> Result<(), HostError> {
        let _lock = self.lock_vm(vm)?;
        self.ensure_vm_folder(vm)?;
        let applied_by = Some(AppliedBy {
            user: self.calls.user(),
            at: self.calls.now(),
        });
        let path = layout::record(vm);
        let mut record = record.clone();
        // What somebody asked for meanwhile stands: no plan decides that.
        if let Ok(present) = recorded(&self.calls, vm) {
            record.boot.wanted = present.boot.wanted;
        }
        let text = render_record(&Record {
            applied_by,
            ..record
        })
        .map_err(|error| HostError::new(format!("cannot write {path}"), error))?;
        let doing = cannot(format!("write {path}"));
        self.calls
            .write_file(&path, &layout::vm_folder(vm), text.as_bytes(), 0o600)
            .map_err(doing)
    }

    fn await_off(
        &self,
        vm: &VmName,
        uuid: &Uuid,
        timeout: Duration,
        ask: bool,
    ) -> Result<(), HostError> {
        let mut waited = Duration::ZERO;
        loop {
            if self.state(vm, uuid)? == RunState::Off {
                return Ok(());
            }
            if waited >= timeout {
                return Err(HostError::plain(format!("{vm} did not stop within {}", crate::spec::render_duration(timeout)))
                    .with_remedy(format!("look at its console (virsh console {vm}); raise stop_timeout, or virsh destroy {vm} to cut its power")));
            }
            if ask && waited.as_millis().is_multiple_of(ASK_AGAIN.as_millis()) {
                self.ask_to_stop(vm, uuid)?;
            }
            self.calls.pause(GLANCE);
            waited += GLANCE;
        }
    }

    fn ask_to_stop(&self, vm: &VmName, uuid: &Uuid) -> Result<(), HostError> {
        let _lock = self.lock_vm(vm)?;
        self.note_asked(vm)?;
        match self.calls.shutdown(uuid.as_str()) {
            // It may have stopped by itself meanwhile, which is what was wanted.
            Err(error) if self.state(vm, uuid)? != RunState::Off => {
                Err(cannot(format!("ask {vm} to stop"))(error))
            }
            _ => Ok(()),
        }
    }

    /// Leaves word that this stop is armfleet's, for a watcher that comes later.
    fn note_asked(&self, vm: &VmName) -> Result<(), HostError> {
        let path = layout::run_note(vm);
        let run = self.hook_seen(vm);
        let seen = self.calls.look(&path, Look::Text);
        let last = seen.present().and_then(|file| file.text.as_deref());
        let last = last.and_then(|text| read_run_note(text.as_bytes()).ok());
        let note = RunNote::for_run(run, last.as_ref());
        if note.end.is_some() {
            return Ok(());
        }
        let text = render_run_note(&RunNote {
            end: Some(RunEnd::Asked),
            ..note
        })
        .map_err(|error| HostError::new(format!("cannot write {path}"), error))?;
        self.ensure_folder(layout::RUNS, 0o700)?;
        self.calls
            .write_file(&path, layout::RUNS, text.as_bytes(), 0o600)
            .map_err(cannot(format!("write {path}")))
    }

    pub(super) fn state(&self, vm: &VmName, uuid: &Uuid) -> Result<RunState, HostError> {
        let domain = self
            .calls
            .domain(uuid.as_str())
            .map_err(cannot(format!("look at domain {vm}")))?;
        Ok(RunState::read(domain.state, domain.reason))
    }

    fn start(&self, vm: &VmName, uuid: &Uuid) -> Result<(), HostError> {
        let before = self.hook_seen(vm);
        let started = {
            let _lock = self.lock_vm(vm)?;
            match self.calls.start(uuid.as_str()) {
                // A watcher was faster.
                Err(_) if self.state(vm, uuid).is_ok_and(RunState::has_process) => Ok(()),
                started => started,
            }
        };
        let hook_ran = self.hook_seen(vm) != before;
        if let Err(error) = started {
            let failed = HostError::new(format!("cannot start {vm}"), hook_words(error));
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
        self.calls.pause(SETTLED);
        match self.state(vm, uuid)? {
            RunState::Off => Err(HostError::plain(format!(
                "{vm} started, and stopped again within two seconds"
            ))
            .with_remedy(format!(
                "see its console's log and /var/log/libvirt/qemu/{vm}.log"
            ))),
            _ => Ok(()),
        }
    }

    /// The hook left no proof. Forgetting the last reload makes the next plan reload the daemon.
    fn without_hook(&self, error: HostError) -> HostError {
        let forgotten = self.calls.remove_file(layout::RELOADED);
        tracing::debug!(?forgotten, "the hook left no proof");
        error.with_remedy(format!(
            "the libvirt hook did not run: check that {} runs, then apply again, or systemctl reload libvirtd",
            layout::HOOK_BINARY
        ))
    }

    fn hook_seen(&self, vm: &VmName) -> Option<RunStamp> {
        let seen = self.calls.look(&layout::hook_seen(vm), Look::Stat);
        seen.present().map(|file| RunStamp {
            ino: file.stat.ino,
            mtime_ns: file.stat.mtime_ns,
        })
    }

    fn undefine(
        &self,
        vm: &VmName,
        uuid: &Uuid,
        planned: &str,
        keep_nvram: bool,
    ) -> Result<Traces, HostError> {
        let _lock = self.lock_vm(vm)?;
        let shown = self.unchanged(vm, uuid, planned)?;
        // Undefining a running domain would make it vanish when it stops.
        if self.state(vm, uuid)? != RunState::Off {
            return Err(stale(format_args!("domain {vm}")));
        }
        let doing = || cannot(format!("undefine domain {vm}"));
        let whole = self.calls.dump_secure(uuid.as_str()).map_err(doing())?;
        let traces = self.keep_before(vm, &shown, &whole);
        self.calls
            .undefine(uuid.as_str(), keep_nvram)
            .map_err(doing())?;
        Ok(traces)
    }

    pub(super) fn lock_vm(&self, vm: &VmName) -> Result<Box<dyn Held>, HostError> {
        let lock = self
            .calls
            .lock(&layout::vm_lock(vm), &self.lock_note(), VM_PATIENCE);
        let lock = lock.map_err(|error| {
            let held = || format!("another command is at work on {vm}");
            not_locked(error, held, || format!("lock {vm}"))
        })?;
        self.not_held(vm)?;
        Ok(lock)
    }

    /// Fails if somebody has come to hold the VM since it was planned.
    fn not_held(&self, vm: &VmName) -> Result<(), HostError> {
        let seen = self.calls.look(&layout::hold(vm), Look::Text);
        let text = seen.map(|file| file.text.unwrap_or_default());
        let why = match text.try_map(|text| read_hold(text.as_bytes())) {
            Fact::Present(hold) if hold.holds_at(self.calls.now()) => hold.to_string(),
            Fact::Present(_) | Fact::Absent | Fact::NotObserved => return Ok(()),
            Fact::Unreadable(why) => format!("its hold cannot be read: {why}"),
        };
        Err(HostError::plain(format!("{vm} is left alone: {why}"))
            .with_remedy(format!("armfleet release {vm}"))
            .as_refusal())
    }

    /// Keeps the hook from reading what is being changed.
    pub(super) fn lock_staging(&self, vm: &VmName) -> Result<Box<dyn Held>, HostError> {
        let lock = self
            .calls
            .lock(&layout::staging_lock(vm), &self.lock_note(), VM_PATIENCE);
        lock.map_err(|error| {
            let held = || format!("the hook is at work on {vm}");
            not_locked(error, held, || format!("lock what is staged for {vm}"))
        })
    }

    fn lock_note(&self) -> String {
        format!(
            "pid {}, user {}, since {}",
            std::process::id(),
            self.calls.user(),
            self.calls.now()
        )
    }
}

/// Of a failed hook, what it said itself: libvirt puts the whole command line before it (`virRunScript`).
fn hook_words(mut error: CallError) -> CallError {
    if error.kind == CallErrorKind::Hook {
        let said = error
            .why
            .rsplit_once("unexpected exit status ")
            .and_then(|(_, rest)| rest.split_once(": "));
        if let Some((_, said)) = said {
            error.why = said.trim().to_owned();
        }
    }
    error
}
