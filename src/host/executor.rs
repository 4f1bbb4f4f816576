//! A host over primitive calls, and the locks that its work is done under.

use super::HostError;
use super::failure::{cannot, not_locked};
use super::formats::leave_later;
use super::primitives::{CallErrorKind, Held, Primitives};
use crate::inventory::{Fact, Look, Redaction};
use crate::mark::{CalledFrom, HOLD_FORMAT, LockNote, RECORD_FORMAT, read_hold};
use crate::paths;
use crate::values::VmName;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// How long to wait for another process's short work on a VM.
pub(super) const VM_PATIENCE: Duration = Duration::from_secs(10);

/// For whom a host is changed.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Where the command was called.
    pub from: CalledFrom,
}

/// A host that performs steps over primitive calls.
pub struct Executor<P> {
    pub(super) calls: P,
    /// For whom.
    pub(super) caller: Caller,
    /// How the host is known without its secrets.
    pub(super) redaction: RwLock<Option<Arc<Redaction>>>,
    /// How many guests boot at once, if the user gave it.
    pub(super) boots_at_once: Option<usize>,
    /// Held as long as this host: one apply at a time.
    _apply_lock: Option<Box<dyn Held>>,
}

impl<P: Primitives> Executor<P> {
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
            redaction: RwLock::default(),
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

impl<P: Primitives> Executor<P> {
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

    /// Fails if the VM has been held since it was planned.
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
        let note = LockNote {
            pid: std::process::id(),
            user: &self.calls.user(),
            since: self.calls.now(),
        };
        note.to_string()
    }
}
