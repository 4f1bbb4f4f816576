//! A host in memory: files, libvirt's daemon with its domains, and the hook, as far as armfleet can tell them from the
//! real ones.
//!
//! It stands behind the same primitive calls as the real host and passes the same contract. Its time is a clock of its
//! own, which only its calls move, so that waiting takes no time and every run gives the same. Clones of a [`Memory`]
//! are the same host: whatever is built over one can be dropped, and the host stays.

mod daemon;
mod definition;
mod files;
mod hook;
mod scenario;
mod tree;

use super::primitives::{
    CallError, CallErrorKind, Copied, Extended, Held, Owner, Primitives, Reads,
};
use crate::inventory::{Fact, Look, RawDomain, RawFile, RawLibvirt, RunState};
use crate::mark::Moment;
use crate::paths;
use crate::values::HostPath;
use daemon::Daemon;
use files::{Content, Files};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A host in memory.
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// A lock was given back.
    unlocked: Condvar,
}

#[derive(Debug, Clone)]
struct World {
    files: Files,
    daemon: Daemon,
    locked: BTreeSet<String>,
}

/// Ends a lock when it is dropped.
struct Lock {
    shared: Arc<Shared>,
    path: String,
}

impl Held for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut world = world(&self.shared);
        world.locked.remove(&self.path);
        // The note goes with the lock.
        let emptied = world.files.edit_file(&self.path, |bytes, size| {
            bytes.clear();
            *size = 0;
            Ok(())
        });
        drop(emptied);
        self.shared.unlocked.notify_all();
    }
}

fn world(shared: &Shared) -> MutexGuard<'_, World> {
    let mut world = shared.world.lock().unwrap_or_else(PoisonError::into_inner);
    let now_ns = world.files.now_ns();
    world.daemon.settle(now_ns);
    world
}

/// The folders that Debian's packages leave.
const FOLDERS: [&str; 7] = [
    "/etc/libvirt",
    "/run",
    "/srv",
    "/usr/bin",
    "/var/lib/libvirt/qemu/nvram",
    "/var/lib/libvirt/qemu/save",
    "/var/log",
];

impl Memory {
    /// A host with this libvirt, whose daemon has just started, and with armfleet's hook program; nothing else of
    /// armfleet is there.
    #[must_use]
    pub fn new(libvirt: RawLibvirt) -> Self {
        let mut files = Files::new();
        let root = Owner { uid: 0, gid: 0 };
        let made = FOLDERS
            .into_iter()
            .try_for_each(|path| files.make_folders(path, 0o755))
            .and_then(|()| files.put(paths::HOOK_BINARY, Content::file("ELF"), 0o755, root));
        // An empty file system has room for them.
        debug_assert!(made.is_ok());
        let memory = Self::of(World {
            files,
            daemon: Daemon::new(libvirt),
            locked: BTreeSet::new(),
        });
        memory.restart_daemon();
        memory
    }

    /// Another host that is as this one is now, and goes its own way from here. Nobody holds its locks.
    #[must_use]
    pub fn fork(&self) -> Self {
        let world = World {
            locked: BTreeSet::new(),
            ..self.world().clone()
        };
        Self::of(world)
    }

    fn of(world: World) -> Self {
        let shared = Shared {
            world: Mutex::new(world),
            unlocked: Condvar::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        world(&self.shared)
    }
}

impl Reads for Memory {
    fn now(&self) -> u64 {
        u64::try_from(self.world().files.now_ns() / 1_000_000_000).unwrap_or_default()
    }

    fn libvirt(&self) -> Result<RawLibvirt, CallError> {
        self.world().daemon.about()
    }

    fn domains(&self) -> Result<Vec<RawDomain>, CallError> {
        self.world().daemon.domains()
    }

    fn domain(&self, uuid: &str) -> Result<RawDomain, CallError> {
        self.world().daemon.raw(uuid)
    }

    fn state(&self, uuid: &str) -> Result<RunState, CallError> {
        self.world().daemon.state(uuid)
    }

    fn look(&self, path: &str, look: Look) -> Fact<RawFile> {
        self.world().files.look(path, look)
    }

    fn records(&self, folder: &str) -> Result<Vec<String>, CallError> {
        self.world().files.records(folder)
    }
}

impl Primitives for Memory {
    fn dump_secure(&self, uuid: &str) -> Result<String, CallError> {
        self.world().daemon.secure(uuid)
    }

    fn define(&self, xml: &str) -> Result<(), CallError> {
        self.world().daemon.define(xml)
    }

    fn undefine(&self, uuid: &str, keep_nvram: bool) -> Result<(), CallError> {
        self.world().daemon.undefine(uuid, keep_nvram)
    }

    fn set_autostart(&self, uuid: &str, on: bool) -> Result<(), CallError> {
        self.world().daemon.set_autostart(uuid, on)
    }

    fn start(&self, uuid: &str) -> Result<(), CallError> {
        let World { files, daemon, .. } = &mut *self.world();
        daemon.start(files, uuid)
    }

    fn shutdown(&self, uuid: &str, _within: Duration) -> Result<(), CallError> {
        self.world().daemon.shutdown(uuid)
    }

    fn block_resize(&self, uuid: &str, path: &str, bytes: u64) -> Result<(), CallError> {
        let World { files, daemon, .. } = &mut *self.world();
        daemon.block_resize(files, uuid, path, bytes)
    }

    fn make_folder(&self, path: &str, mode: u32, owner: Option<Owner>) -> Result<(), CallError> {
        self.world().files.make_folder(path, mode, owner)
    }

    fn probe_xattr(&self, folder: &str) -> Result<(), CallError> {
        self.world().files.probe_xattr(folder)
    }

    fn set_folder_owner(&self, path: &str, mode: u32, owner: Owner) -> Result<(), CallError> {
        self.world().files.set_folder_owner(path, mode, owner)
    }

    fn write_file(
        &self,
        path: &str,
        scratch: &str,
        bytes: &[u8],
        mode: u32,
    ) -> Result<(), CallError> {
        self.world().files.write_file(path, scratch, bytes, mode)
    }

    fn create_image(&self, path: &str, bytes: u64) -> Result<(), CallError> {
        self.world().files.create_image(path, bytes)
    }

    fn grow_image(&self, path: &str, from: u64, to: u64) -> Result<(), CallError> {
        self.world().files.grow_image(path, from, to)
    }

    fn copy_file(&self, from: &str, to: &str, limit: u64, mode: u32) -> Result<Copied, CallError> {
        self.world().files.copy_file(from, to, limit, mode)
    }

    fn extend_initrd(
        &self,
        base: &str,
        files: &BTreeMap<HostPath, HostPath>,
        to: &str,
        limit: u64,
        mode: u32,
    ) -> Result<Extended, CallError> {
        self.world()
            .files
            .extend_initrd(base, files, to, limit, mode)
    }

    fn erase_image(&self, path: &str, bytes: u64) -> Result<(), CallError> {
        self.world().files.erase_image(path, bytes)
    }

    fn remove_file(&self, path: &str) -> Result<(), CallError> {
        self.world().files.remove_file(path)
    }

    fn remove_folder(&self, path: &str, known: &[&str]) -> Result<Vec<String>, CallError> {
        self.world().files.remove_folder(path, known)
    }

    fn rename_file(&self, from: &str, to: &str) -> Result<(), CallError> {
        self.world().files.rename_file(from, to)
    }

    fn append_line(&self, path: &str, line: &str) -> Result<(), CallError> {
        self.world().files.append_line(path, line)
    }

    /// Patience is real time: the clock of this host stands still while somebody waits.
    fn lock(&self, path: &str, note: &str, patience: Duration) -> Result<Box<dyn Held>, CallError> {
        let taken = |world: &mut World| world.locked.contains(path);
        let (mut world, _) = self
            .shared
            .unlocked
            .wait_timeout_while(self.world(), patience, taken)
            .unwrap_or_else(PoisonError::into_inner);
        if taken(&mut world) {
            let note = world.files.bytes(path).unwrap_or_default();
            return Err(CallError {
                kind: CallErrorKind::Locked,
                why: format!("{path} is held by {}", String::from_utf8_lossy(note)),
            });
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        world.files.make_folders(folder, 0o700)?;
        world
            .files
            .write_file(path, folder, note.as_bytes(), 0o600)?;
        world.locked.insert(path.to_owned());
        Ok(Box::new(Lock {
            shared: Arc::clone(&self.shared),
            path: path.to_owned(),
        }))
    }

    fn reload_daemon(&self, pid_file: &str) -> Result<(), CallError> {
        let World { files, daemon, .. } = &mut *self.world();
        if files.stat(pid_file).is_none() || !daemon.runs {
            return Err(CallError {
                kind: CallErrorKind::Missing,
                why: format!("{pid_file}: No such process"),
            });
        }
        if !std::mem::take(&mut daemon.drops_reload) {
            daemon.look_for_hooks(files);
        }
        Ok(())
    }

    fn user(&self) -> String {
        "root".to_owned()
    }

    fn boots_at_once(&self) -> usize {
        4
    }

    fn pause(&self, time: Duration) {
        self.world().files.pass(time);
    }

    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.world().files.now_ns() / 1_000_000).unwrap_or_default())
    }
}
