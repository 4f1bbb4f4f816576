//! Steps, performed by primitive calls. Nothing is decided here: a step says everything, and what it rests on is checked
//! once more before it is done.

use super::formats::leave_later;
use super::generations::recorded;
use super::observe::observe;
use super::primitives::{CallError, CallErrorKind, Held, Owner, Primitives};
use super::waiting::Waiting;
use super::{Begun, Caller, Host, HostError, Inspect, Traces};
use crate::boot::SHIM;
use crate::domain::{Edit, applied_source, apply_edits};
use crate::inventory::{Fact, Look, Query, RawFile, RawInventory, RunState, digest};
use crate::mark::{
    AppliedBy, Event, HOLD_FORMAT, Moment, RECORD_FORMAT, Record, read_hold, render_record,
};
use crate::paths;
use crate::plan::{Act, Base, Step};
use crate::values::{HostPath, Uuid, VmName};
use std::time::Duration;

/// How long to wait for somebody else's short work on a VM.
pub(super) const VM_PATIENCE: Duration = Duration::from_secs(10);

/// A host that performs steps over primitive calls.
pub struct Performer<P> {
    pub(super) calls: P,
    /// For whom.
    pub(super) caller: Caller,
    /// How many guests boot at once, if somebody has said so.
    boots_at_once: Option<usize>,
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
        let lock = host.calls.lock(paths::APPLY_LOCK, &note, Duration::ZERO);
        host._apply_lock = Some(lock.map_err(|error| {
            match error.kind {
                CallErrorKind::Locked => {
                    HostError::new("another apply is at work on this host", error)
                        .with_remedy("wait for it, then apply again")
                        .as_refusal()
                }
                _ => cannot(format!("lock {}", paths::APPLY_LOCK))(error),
            }
        })?);
        Ok(host)
    }

    /// A host for short work on single VMs, which may go on beside an apply.
    pub fn unlocked(calls: P) -> Self {
        Self {
            calls,
            caller: Caller::default(),
            boots_at_once: None,
            _apply_lock: None,
        }
    }

    /// The same, at work for this caller.
    #[must_use]
    pub fn called_by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// The same, with so many guests booting at once; none for as many as suit the host.
    #[must_use]
    pub fn booting_at_once(self, boots_at_once: Option<usize>) -> Self {
        Self {
            boots_at_once,
            ..self
        }
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
    fn begin(&self, step: &Step) -> Result<Begun, HostError> {
        if let (Some(vm), Some(uuid), Some(planned)) = (&step.vm, step.act.domain(), &step.expects)
        {
            self.unchanged(vm, uuid, planned)?;
        }
        match (&step.act, &step.vm) {
            (Act::AwaitOff { uuid, timeout }, Some(vm)) => Ok(self.await_off(vm, uuid, *timeout)),
            (Act::Stop { uuid, timeout }, Some(vm)) => Ok(self.stop(vm, uuid, *timeout)),
            (Act::Start { uuid }, Some(vm)) => self.start(vm, uuid),
            (Act::Define { uuid, base, edits }, Some(vm)) => {
                self.define(vm, uuid, base, edits).map(Begun::Done)
            }
            (
                Act::Undefine {
                    uuid,
                    digest,
                    keep_nvram,
                },
                Some(vm),
            ) => self
                .undefine(vm, uuid, digest, *keep_nvram)
                .map(Begun::Done),
            (Act::Forget, Some(vm)) => self.forget(vm).map(Begun::Done),
            _ => self.act(step).map(|()| Begun::Done(Traces::default())),
        }
    }

    fn look_again(&self, waiting: &mut Waiting) -> Option<Result<(), HostError>> {
        self.look_at_waiting(waiting).transpose()
    }

    fn moment(&self) -> Moment {
        self.calls.moment()
    }

    fn pause(&self, time: Duration) {
        self.calls.pause(time);
    }

    fn boots_at_once(&self) -> usize {
        self.boots_at_once
            .unwrap_or_else(|| self.calls.boots_at_once())
    }

    fn note(&self, event: Event) -> Result<(), HostError> {
        self.write_journal(event)
    }
}

/// What to say when a call fails.
pub(super) fn cannot(doing: String) -> impl FnOnce(CallError) -> HostError {
    move |error| {
        let remedy = match error.kind {
            CallErrorKind::Unanswered => Some("apply again once libvirt answers: virsh list"),
            _ => error.remedy(),
        };
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
            Act::AwaitOff { .. }
            | Act::Stop { .. }
            | Act::Start { .. }
            | Act::Define { .. }
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
        self.ensure_folder(paths::HOOKS, 0o755)?;
        self.ensure_folder(paths::HOOK_FOLDER, 0o755)?;
        let doing = cannot(format!("write {}", paths::SHIM));
        self.calls
            .write_file(paths::SHIM, paths::HOOKS, SHIM.as_bytes(), 0o755)
            .map_err(doing)
    }

    fn reload(&self, pid_file: &str) -> Result<(), HostError> {
        self.calls.reload_daemon(pid_file).map_err(|error| {
            HostError::new("cannot make libvirtd look for hooks", error)
                .with_remedy("systemctl reload libvirtd")
        })?;
        let doing = cannot(format!("write {}", paths::RELOADED));
        self.calls
            .write_file(paths::RELOADED, paths::RUN, b"", 0o600)
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
        let path = paths::record(vm);
        let mut record = record.clone();
        // What somebody asked for meanwhile stands: no plan decides that.
        if let Ok(present) = recorded(&self.calls, vm) {
            record.boot.wanted = present.boot.wanted;
        }
        self.note_places(&mut record);
        let text = render_record(&Record {
            applied_by,
            ..record
        })
        .map_err(|error| HostError::new(format!("cannot write {path}"), error))?;
        let doing = cannot(format!("write {path}"));
        self.calls
            .write_file(&path, &paths::vm_folder(vm), text.as_bytes(), 0o600)
            .map_err(doing)
    }

    /// Notes what is at the path of each device for which the plan could not: its steps made or changed it.
    fn note_places(&self, record: &mut Record) {
        for (name, device) in &mut record.applied.devices {
            let path = applied_source(name, device);
            let Some(path) = path.filter(|_| device.place.is_none()) else {
                continue;
            };
            let seen = self.calls.look(path, Look::Image);
            device.place = seen.present().map(RawFile::place);
        }
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
        self.lock_vm_within(vm, VM_PATIENCE)
    }

    pub(super) fn lock_vm_within(
        &self,
        vm: &VmName,
        patience: Duration,
    ) -> Result<Box<dyn Held>, HostError> {
        let lock = self
            .calls
            .lock(&paths::vm_lock(vm), &self.lock_note(), patience);
        let lock = lock.map_err(|error| {
            let held = || format!("another command is at work on {vm}");
            not_locked(error, held, || format!("lock {vm}"))
        })?;
        self.not_held(vm)?;
        leave_later(&self.calls, &paths::record(vm), RECORD_FORMAT)?;
        Ok(lock)
    }

    /// Fails if somebody has come to hold the VM since it was planned.
    fn not_held(&self, vm: &VmName) -> Result<(), HostError> {
        leave_later(&self.calls, &paths::hold(vm), HOLD_FORMAT)?;
        let seen = self.calls.look(&paths::hold(vm), Look::Text);
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
            .lock(&paths::staging_lock(vm), &self.lock_note(), VM_PATIENCE);
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
