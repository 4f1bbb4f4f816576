//! A host in memory: files, libvirt's daemon with its domains, and the hook, as far as armfleet can tell them from the
//! real ones.
//!
//! It stands behind the same primitive calls as the real host and passes the same contract. Its time is a clock of its
//! own, which only its calls move, so that waiting takes no time and every run gives the same. Clones of a [`Memory`]
//! are the same host: whatever is built over one can be dropped, and the host stays.

mod daemon;
mod definition;
mod element;
mod files;
mod hook;
mod scenario;

use super::primitives::{
    Answer, CallError, CallErrorKind, Change, Held, Owner, Primitives, Read, Reads,
};
use crate::inventory::RawLibvirt;
use crate::mark::Moment;
use crate::paths;
use crate::values::HostKey;
use daemon::Daemon;
use files::{Content, Files, Tree};
pub use files::{TreeFile, TreeFolder};
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
    /// What its programs say of their versions.
    programs: BTreeMap<String, String>,
    /// Whether something keeps its clock synchronised.
    synchronised: bool,
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

const QEMU: &str = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)";
/// Its programs that tell their versions.
const PROGRAMS: [(&str, &str); 3] = [
    (
        paths::HOOK_BINARY,
        concat!("armfleet-hook ", env!("CARGO_PKG_VERSION")),
    ),
    ("/usr/bin/qemu-system-arm", QEMU),
    ("/usr/bin/qemu-system-aarch64", QEMU),
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
            programs: PROGRAMS
                .map(|(path, says)| (path.to_owned(), says.to_owned()))
                .into(),
            synchronised: true,
        });
        memory.restart_daemon();
        memory
    }

    /// Another host that is as this one is now, and goes its own way from here. Its locks are free.
    #[must_use]
    pub fn fork(&self) -> Self {
        let world = World {
            locked: BTreeSet::new(),
            ..self.world().clone()
        };
        Self::of(world)
    }

    /// Works in a folder of its file system as the hook does.
    ///
    /// # Errors
    /// When the folder is not there.
    pub fn within<T>(
        &self,
        path: &str,
        work: impl FnOnce(TreeFolder<'_, '_>) -> T,
    ) -> std::io::Result<T> {
        let world = &mut *self.world();
        let tree = Tree::new(&mut world.files);
        Ok(work(tree.folder(path)?))
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

    fn read(&self, call: Read<'_>) -> Result<Answer, CallError> {
        let world = &*self.world();
        let World { files, daemon, .. } = world;
        Ok(match call {
            Read::Libvirt {} => daemon.about()?.into(),
            Read::Domains {} => daemon.domains()?.into(),
            Read::Domain { uuid } => daemon.raw(uuid)?.into(),
            Read::State { uuid } => daemon.state(uuid)?.into(),
            Read::Look { path, look } => files.look(path, look).into(),
            Read::Networks {} => daemon.networks()?.into(),
            Read::Links {} => daemon.links().into(),
            Read::Addresses { uuid, source } => daemon.addresses(uuid, source)?.into(),
            Read::Binds {} => files.binds.clone().into(),
            Read::FileSystems {} => files.file_systems().into(),
            Read::Way { path, end, rules } => files.way(path, end, rules)?.into(),
            Read::Records { folder } => files.records(folder)?.into(),
            Read::Version { program } => world.version(program)?.into(),
            Read::Synchronised {} => world.synchronised.into(),
        })
    }
}

impl World {
    fn version(&self, program: &str) -> Result<String, CallError> {
        let said = self.programs.get(program).cloned();
        said.ok_or_else(|| CallError::other(format!("{program} --version: it says nothing")))
    }
}

impl Memory {
    /// Patience is real time: the clock of this host stands still during a wait.
    fn take_lock(
        &self,
        world: MutexGuard<'_, World>,
        path: &str,
        note: &str,
        patience: Duration,
    ) -> Result<Box<dyn Held>, CallError> {
        let taken = |world: &mut World| world.locked.contains(path);
        let (mut world, _) = self
            .shared
            .unlocked
            .wait_timeout_while(world, patience, taken)
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
}

impl Primitives for Memory {
    fn change(&self, call: Change<'_>) -> Result<Answer, CallError> {
        use Change as C;
        let mut world = self.world();
        let World { files, daemon, .. } = &mut *world;
        Ok(match call {
            C::DumpSecure { uuid } => daemon.secure(uuid)?.into(),
            C::Define { xml } => daemon.define(xml)?.into(),
            C::Undefine { uuid, keep_nvram } => daemon.undefine(uuid, keep_nvram)?.into(),
            C::SetAutostart { uuid, on } => daemon.set_autostart(uuid, on)?.into(),
            C::Start { uuid } => daemon.start(files, uuid)?.into(),
            C::Shutdown { uuid, .. } => daemon.shutdown(uuid)?.into(),
            C::PowerOff { uuid } => daemon.destroy(uuid)?.into(),
            C::BlockResize {
                uuid,
                path,
                from,
                to,
            } => daemon.block_resize(files, uuid, path, (from, to))?.into(),
            C::MakeFolder { path, mode, owner } => files.make_folder(path, mode, owner)?.into(),
            C::ProbeXattr { folder } => files.probe_xattr(folder)?.into(),
            C::SetFolderOwner { path, mode, owner } => {
                files.set_folder_owner(path, mode, owner)?.into()
            }
            C::WriteFile {
                path,
                scratch,
                bytes,
                mode,
            } => files.write_file(path, scratch, bytes, mode)?.into(),
            C::CreateImage { path, head, bytes } => files.create_image(path, head, bytes)?.into(),
            C::GrowQcow2 { path, from, to } => files.grow_qcow2(path, from, to)?.into(),
            C::GrowImage { path, from, to } => files.grow_image(path, from, to)?.into(),
            C::CopyImage {
                base,
                from,
                to,
                grown,
            } => files.copy_image(base, from, to, grown)?.into(),
            C::CopyFile {
                from,
                to,
                limit,
                mode,
            } => files.copy_file(from, to, limit, mode)?.into(),
            C::ExtendInitrd {
                base,
                files: added,
                to,
                limit,
                mode,
            } => files.extend_initrd(base, added, to, limit, mode)?.into(),
            C::EraseImage { path, bytes } => files.erase_image(path, bytes)?.into(),
            C::RemoveFile { path } => files.remove_file(path)?.into(),
            C::RemoveFolder { path, known } => files.remove_folder(path, known)?.into(),
            C::RenameFile { from, to } => files.rename_file(from, to)?.into(),
            C::AppendLine { path, line } => files.append_line(path, line)?.into(),
            C::Lock {
                path,
                note,
                patience,
            } => self.take_lock(world, path, note, patience)?.into(),
            C::ReloadDaemon { pid_file } => daemon.reload(files, pid_file)?.into(),
        })
    }

    fn user(&self) -> String {
        "root".to_owned()
    }

    fn boots_at_once(&self) -> usize {
        4
    }

    fn random(&self) -> Result<[u8; HostKey::LENGTH], CallError> {
        Ok(*b"random as a test wants it to be.")
    }

    fn pause(&self, time: Duration) {
        self.world().files.pass(time);
    }

    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.world().files.now_ns() / 1_000_000).unwrap_or_default())
    }
}
