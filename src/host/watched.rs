//! A host whose every primitive call is seen before it is made, and may be stopped there: to record what was called, to let
//! a call fail, or to let a process end.

use super::primitives::{CallError, Copied, Extended, Held, Owner, Primitives, Reads};
use crate::inventory::{Fact, Look, RawDomain, RawFile, RawLibvirt, RunState};
use crate::mark::Moment;
use crate::values::HostPath;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sees calls.
pub trait Watch: Send + Sync {
    /// Sees one call before it is made.
    ///
    /// # Errors
    /// The call is not made, and fails with this.
    fn before(&self, call: Call<'_>) -> Result<(), CallError>;

    /// Sees one call after it was made.
    ///
    /// # Errors
    /// The call was made, and whoever made it gets this for an answer.
    fn after(&self, _: Call<'_>) -> Result<(), CallError> {
        Ok(())
    }
}

impl<W: Watch> Watch for &W {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        (*self).before(call)
    }

    fn after(&self, call: Call<'_>) -> Result<(), CallError> {
        (*self).after(call)
    }
}

/// One primitive call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Its name.
    pub name: &'static str,
    /// What it is made on: a path or a UUID.
    pub subject: &'a str,
    /// Whether it changes anything.
    pub changes: bool,
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(format!("{} {}", self.name, self.subject).trim_end())
    }
}

/// A host whose calls are watched.
pub struct Watched<P, W> {
    /// The host.
    pub calls: P,
    /// Who watches.
    pub watch: W,
}

/// Records calls.
#[derive(Debug, Default)]
pub struct Recording(Mutex<Vec<Recorded>>);

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recorded {
    /// Its name and what it was made on.
    pub call: String,
    /// Whether it changes anything.
    pub changes: bool,
}

/// Lets one call fail, and no other.
#[derive(Debug)]
pub struct Failing {
    call: String,
    /// How many times it is still to succeed.
    left: AtomicUsize,
    /// Whether it is made, and only its answer is lost.
    made: bool,
}

/// Lets every call from the n-th on fail, as for a process that is killed there.
#[derive(Debug)]
pub struct Killed {
    at: usize,
    seen: AtomicUsize,
}

impl Recording {
    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Recorded> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The calls so far that change something.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| call.changes);
        calls.map(|call| call.call).collect()
    }
}

impl Watch for Recording {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        let recorded = Recorded {
            call: call.to_string(),
            changes: call.changes,
        };
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(recorded);
        Ok(())
    }
}

impl Failing {
    /// Lets a call, as a [`Recording`] has it, fail once, after it has succeeded so many times. Counting equal calls only
    /// makes it the same one whatever else is done meanwhile.
    pub fn new(call: impl Into<String>, successes: usize) -> Self {
        Self {
            call: call.into(),
            left: AtomicUsize::new(successes),
            made: false,
        }
    }

    /// The same, but the call is made: only its answer is lost.
    pub fn answer(call: impl Into<String>, successes: usize) -> Self {
        Self {
            made: true,
            ..Self::new(call, successes)
        }
    }

    /// Whether it has failed.
    pub fn has_failed(&self) -> bool {
        // Counting on below zero wraps, and no call is made so often.
        self.left.load(Ordering::SeqCst) > usize::MAX / 2
    }

    fn see(&self, call: Call<'_>, made: bool) -> Result<(), CallError> {
        let is_it = self.made == made && call.to_string() == self.call;
        if is_it && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(CallError::other(format!("{call} fails")));
        }
        Ok(())
    }
}

impl Watch for Failing {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        self.see(call, false)
    }

    fn after(&self, call: Call<'_>) -> Result<(), CallError> {
        self.see(call, true)
    }
}

impl Killed {
    /// Lets this call, counted from 0, and all after it fail.
    #[must_use]
    pub fn at(at: usize) -> Self {
        Self {
            at,
            seen: AtomicUsize::new(0),
        }
    }

    /// Whether a call has failed.
    pub fn is_dead(&self) -> bool {
        self.seen.load(Ordering::SeqCst) > self.at
    }
}

impl Watch for Killed {
    fn before(&self, call: Call<'_>) -> Result<(), CallError> {
        if self.seen.fetch_add(1, Ordering::SeqCst) < self.at {
            return Ok(());
        }
        Err(CallError::other(format!("{call}: killed")))
    }
}

impl<P, W: Watch> Watched<P, W> {
    fn reads<T>(
        &self,
        name: &'static str,
        subject: &str,
        make: impl FnOnce(&P) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let changes = false;
        let call = Call {
            name,
            subject,
            changes,
        };
        self.make(call, make)
    }

    fn changes<T>(
        &self,
        name: &'static str,
        subject: &str,
        make: impl FnOnce(&P) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let changes = true;
        let call = Call {
            name,
            subject,
            changes,
        };
        self.make(call, make)
    }

    fn make<T>(
        &self,
        call: Call<'_>,
        make: impl FnOnce(&P) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.watch.before(call)?;
        let answer = make(&self.calls);
        self.watch.after(call)?;
        answer
    }
}

impl<P: Reads, W: Watch> Reads for Watched<P, W> {
    fn libvirt(&self) -> Result<RawLibvirt, CallError> {
        self.reads("libvirt", "", |calls| calls.libvirt())
    }

    fn domains(&self) -> Result<Vec<RawDomain>, CallError> {
        self.reads("domains", "", |calls| calls.domains())
    }

    fn domain(&self, uuid: &str) -> Result<RawDomain, CallError> {
        self.reads("domain", uuid, |calls| calls.domain(uuid))
    }

    fn state(&self, uuid: &str) -> Result<RunState, CallError> {
        self.reads("state", uuid, |calls| calls.state(uuid))
    }

    fn look(&self, path: &str, look: Look) -> Fact<RawFile> {
        self.reads("look", path, |calls| Ok(calls.look(path, look)))
            .unwrap_or_else(|error| Fact::Unreadable(error.why))
    }

    fn records(&self, folder: &str) -> Result<Vec<String>, CallError> {
        self.reads("records", folder, |calls| calls.records(folder))
    }

    fn now(&self) -> u64 {
        self.calls.now()
    }
}

impl<P: Primitives, W: Watch> Primitives for Watched<P, W> {
    fn dump_secure(&self, uuid: &str) -> Result<String, CallError> {
        self.reads("dump_secure", uuid, |calls| calls.dump_secure(uuid))
    }

    fn define(&self, xml: &str) -> Result<(), CallError> {
        self.changes("define", "", |calls| calls.define(xml))
    }

    fn undefine(&self, uuid: &str, keep_nvram: bool) -> Result<(), CallError> {
        self.changes("undefine", uuid, |calls| calls.undefine(uuid, keep_nvram))
    }

    fn set_autostart(&self, uuid: &str, on: bool) -> Result<(), CallError> {
        self.changes("set_autostart", uuid, |calls| calls.set_autostart(uuid, on))
    }

    fn start(&self, uuid: &str) -> Result<(), CallError> {
        self.changes("start", uuid, |calls| calls.start(uuid))
    }

    fn shutdown(&self, uuid: &str, within: Duration) -> Result<(), CallError> {
        self.changes("shutdown", uuid, |calls| calls.shutdown(uuid, within))
    }

    fn block_resize(&self, uuid: &str, path: &str, bytes: u64) -> Result<(), CallError> {
        self.changes("block_resize", path, |calls| {
            calls.block_resize(uuid, path, bytes)
        })
    }

    fn make_folder(&self, path: &str, mode: u32, owner: Option<Owner>) -> Result<(), CallError> {
        self.changes("make_folder", path, |calls| {
            calls.make_folder(path, mode, owner)
        })
    }

    fn probe_xattr(&self, folder: &str) -> Result<(), CallError> {
        self.changes("probe_xattr", folder, |calls| calls.probe_xattr(folder))
    }

    fn set_folder_owner(&self, path: &str, mode: u32, owner: Owner) -> Result<(), CallError> {
        self.changes("set_folder_owner", path, |calls| {
            calls.set_folder_owner(path, mode, owner)
        })
    }

    fn write_file(
        &self,
        path: &str,
        scratch: &str,
        bytes: &[u8],
        mode: u32,
    ) -> Result<(), CallError> {
        self.changes("write_file", path, |calls| {
            calls.write_file(path, scratch, bytes, mode)
        })
    }

    fn create_image(&self, path: &str, bytes: u64) -> Result<(), CallError> {
        self.changes("create_image", path, |calls| {
            calls.create_image(path, bytes)
        })
    }

    fn grow_image(&self, path: &str, from: u64, to: u64) -> Result<(), CallError> {
        self.changes("grow_image", path, |calls| calls.grow_image(path, from, to))
    }

    fn copy_file(&self, from: &str, to: &str, limit: u64, mode: u32) -> Result<Copied, CallError> {
        self.changes("copy_file", to, |calls| {
            calls.copy_file(from, to, limit, mode)
        })
    }

    fn extend_initrd(
        &self,
        base: &str,
        files: &BTreeMap<HostPath, HostPath>,
        to: &str,
        limit: u64,
        mode: u32,
    ) -> Result<Extended, CallError> {
        self.changes("extend_initrd", to, |calls| {
            calls.extend_initrd(base, files, to, limit, mode)
        })
    }

    fn erase_image(&self, path: &str, bytes: u64) -> Result<(), CallError> {
        self.changes("erase_image", path, |calls| calls.erase_image(path, bytes))
    }

    fn remove_file(&self, path: &str) -> Result<(), CallError> {
        self.changes("remove_file", path, |calls| calls.remove_file(path))
    }

    fn remove_folder(&self, path: &str, known: &[&str]) -> Result<Vec<String>, CallError> {
        self.changes("remove_folder", path, |calls| {
            calls.remove_folder(path, known)
        })
    }

    fn rename_file(&self, from: &str, to: &str) -> Result<(), CallError> {
        self.changes("rename_file", from, |calls| calls.rename_file(from, to))
    }

    fn append_line(&self, path: &str, line: &str) -> Result<(), CallError> {
        self.changes("append_line", path, |calls| calls.append_line(path, line))
    }

    fn lock(&self, path: &str, note: &str, patience: Duration) -> Result<Box<dyn Held>, CallError> {
        self.changes("lock", path, |calls| calls.lock(path, note, patience))
    }

    fn reload_daemon(&self, pid_file: &str) -> Result<(), CallError> {
        self.changes("reload_daemon", pid_file, |calls| {
            calls.reload_daemon(pid_file)
        })
    }

    fn user(&self) -> String {
        self.calls.user()
    }

    fn boots_at_once(&self) -> usize {
        self.calls.boots_at_once()
    }

    fn pause(&self, time: Duration) {
        self.calls.pause(time);
    }

    fn moment(&self) -> Moment {
        self.calls.moment()
    }
}
