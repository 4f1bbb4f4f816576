//! The real host: libvirt and the file system, behind the primitive calls. Delegation only.
//!
//! What may be written follows from the type alone: [`SystemReads`] has a read-only connection and no changing call.

mod events;
mod extract;
mod files;
mod guests;
mod hanging;
mod host_capabilities;
mod libvirt;
mod pool;

pub use extract::Extracted;
pub use guests::{SystemFiles, SystemGuests, event_beats, moment};
pub use host_capabilities::{HostCapabilities, Network};

use super::primitives::{CallError, Copied, Extended, Held, Owner, Primitives, Reads};
use crate::files::Root;
use crate::inventory::{Fact, Look, RawDomain, RawFile, RawLibvirt, RunState};
use crate::mark::Moment;
use crate::values::HostPath;
use files::seed::Receipts;
use files::{folder, image, initrd, lock, look, process, write};
use libvirt::{ReadConnection, WriteConnection};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A host that can only be looked at.
pub struct SystemReads {
    libvirt: ReadConnection,
    root: Root,
    seeds: Receipts,
}

/// A host that can be looked at and changed.
pub struct SystemHost {
    reads: SystemReads,
    libvirt: WriteConnection,
}

impl SystemReads {
    /// Connects to libvirt read-only. Every path of the host is taken to be below `root`: `/`, but for tests.
    ///
    /// # Errors
    /// When libvirt cannot be reached; the error names the remedy.
    pub fn open(uri: &str, root: &Path) -> Result<Self, CallError> {
        Ok(Self {
            libvirt: ReadConnection::open(uri)?,
            root: Root::at(root),
            seeds: Receipts::default(),
        })
    }

    /// Looks at what the host offers to VMs.
    ///
    /// # Errors
    /// When libvirt cannot be asked or the network devices cannot be listed.
    pub fn host_capabilities(&self) -> Result<HostCapabilities, CallError> {
        let networks = self.libvirt.networks()?;
        HostCapabilities::new(self.libvirt.about()?, networks, &self.root)
    }
}

impl SystemHost {
    /// Connects to libvirt twice: read-only for all that is read, and once more for the changing calls. Every path of
    /// the host is taken to be below `root`: `/`, but for tests.
    ///
    /// # Errors
    /// When libvirt cannot be reached, or this user may not change anything; the error names the remedy.
    pub fn open(uri: &str, root: &Path) -> Result<Self, CallError> {
        let reads = SystemReads::open(uri, root)?;
        Ok(Self {
            libvirt: WriteConnection::beside(&reads.libvirt, uri)?,
            reads,
        })
    }

    fn root(&self) -> &Root {
        &self.reads.root
    }
}

impl Reads for SystemReads {
    fn libvirt(&self) -> Result<RawLibvirt, CallError> {
        self.libvirt.about()
    }

    fn domains(&self) -> Result<Vec<RawDomain>, CallError> {
        self.libvirt.domains()
    }

    fn domain(&self, uuid: &str) -> Result<RawDomain, CallError> {
        self.libvirt.domain(uuid)
    }

    fn state(&self, uuid: &str) -> Result<RunState, CallError> {
        self.libvirt.state(uuid)
    }

    fn look(&self, path: &str, look: Look) -> Fact<RawFile> {
        look::look(&self.root, &self.seeds, path, look)
    }

    fn records(&self, folder: &str) -> Result<Vec<String>, CallError> {
        look::records(&self.root, folder)
    }

    fn now(&self) -> u64 {
        seconds_since_1970()
    }
}

impl Reads for SystemHost {
    fn libvirt(&self) -> Result<RawLibvirt, CallError> {
        self.reads.libvirt()
    }

    fn domains(&self) -> Result<Vec<RawDomain>, CallError> {
        self.reads.domains()
    }

    fn domain(&self, uuid: &str) -> Result<RawDomain, CallError> {
        self.reads.domain(uuid)
    }

    fn state(&self, uuid: &str) -> Result<RunState, CallError> {
        self.reads.state(uuid)
    }

    fn look(&self, path: &str, look: Look) -> Fact<RawFile> {
        self.reads.look(path, look)
    }

    fn records(&self, folder: &str) -> Result<Vec<String>, CallError> {
        self.reads.records(folder)
    }

    fn now(&self) -> u64 {
        self.reads.now()
    }
}

impl Primitives for SystemHost {
    fn dump_secure(&self, uuid: &str) -> Result<String, CallError> {
        self.libvirt.dump_secure(uuid)
    }

    fn define(&self, xml: &str) -> Result<(), CallError> {
        self.libvirt.define(xml)
    }

    fn undefine(&self, uuid: &str, keep_nvram: bool) -> Result<(), CallError> {
        self.libvirt.undefine(uuid, keep_nvram)
    }

    fn set_autostart(&self, uuid: &str, on: bool) -> Result<(), CallError> {
        self.libvirt.set_autostart(uuid, on)
    }

    fn start(&self, uuid: &str) -> Result<(), CallError> {
        self.libvirt.start(uuid)
    }

    fn shutdown(&self, uuid: &str, within: Duration) -> Result<(), CallError> {
        self.libvirt.shutdown(uuid, within)
    }

    fn block_resize(&self, uuid: &str, path: &str, bytes: u64) -> Result<(), CallError> {
        self.libvirt.block_resize(uuid, path, bytes)
    }

    fn make_folder(&self, path: &str, mode: u32, owner: Option<Owner>) -> Result<(), CallError> {
        folder::make(self.root(), path, mode, owner)
    }

    fn probe_xattr(&self, folder: &str) -> Result<(), CallError> {
        folder::probe_xattr(&self.root().below(folder))
    }

    fn set_folder_owner(&self, path: &str, mode: u32, owner: Owner) -> Result<(), CallError> {
        folder::set_owner(self.root(), path, mode, owner)
    }

    fn write_file(
        &self,
        path: &str,
        scratch: &str,
        bytes: &[u8],
        mode: u32,
    ) -> Result<(), CallError> {
        write::write(self.root(), path, scratch, bytes, mode)
    }

    fn create_image(&self, path: &str, bytes: u64) -> Result<(), CallError> {
        image::create(self.root(), path, bytes)
    }

    fn grow_image(&self, path: &str, from: u64, to: u64) -> Result<(), CallError> {
        image::grow(self.root(), path, from, to)
    }

    fn copy_file(&self, from: &str, to: &str, limit: u64, mode: u32) -> Result<Copied, CallError> {
        write::copy(self.root(), from, to, limit, mode)
    }

    fn extend_initrd(
        &self,
        base: &str,
        files: &BTreeMap<HostPath, HostPath>,
        to: &str,
        limit: u64,
        mode: u32,
    ) -> Result<Extended, CallError> {
        initrd::extend(self.root(), base, files, to, limit, mode)
    }

    fn erase_image(&self, path: &str, bytes: u64) -> Result<(), CallError> {
        image::erase(self.root(), path, bytes)
    }

    fn remove_file(&self, path: &str) -> Result<(), CallError> {
        write::remove(self.root(), path)
    }

    fn remove_folder(&self, path: &str, known: &[&str]) -> Result<Vec<String>, CallError> {
        folder::remove(self.root(), path, known)
    }

    fn rename_file(&self, from: &str, to: &str) -> Result<(), CallError> {
        write::rename(self.root(), from, to)
    }

    fn append_line(&self, path: &str, line: &str) -> Result<(), CallError> {
        write::append_line(self.root(), path, line)
    }

    fn lock(&self, path: &str, note: &str, patience: Duration) -> Result<Box<dyn Held>, CallError> {
        lock::lock(self.root(), path, note, patience)
    }

    fn reload_daemon(&self, pid_file: &str) -> Result<(), CallError> {
        process::reload_daemon(&self.root().below(pid_file))
    }

    fn user(&self) -> String {
        process::user(&self.root().below("/etc/passwd"))
    }

    // The field's type differs between architectures.
    #[allow(clippy::useless_conversion)]
    fn boots_at_once(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let system = rustix::system::sysinfo();
        let unit = u64::from(system.mem_unit).max(1);
        boots_at_once(processors, unit.saturating_mul(u64::from(system.totalram)))
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn moment(&self) -> Moment {
        moment()
    }
}

/// A clock set before 1970 tells no time at all.
fn seconds_since_1970() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A guest that boots keeps a processor busy, and its hook unpacks an initrd to look into it.
fn boots_at_once(processors: usize, memory: u64) -> usize {
    /// With fewer, one guest that is slow to start would keep others waiting.
    const FEWEST: usize = 4;
    const MEMORY_EACH: u64 = 256 << 20;
    let fit = usize::try_from(memory / MEMORY_EACH).unwrap_or(usize::MAX);
    processors.max(FEWEST).min(fit).max(1)
}

/// Held by a test that changes the domains of `test:///default`, or compares them: all its connections in one process see the
/// same domains.
#[cfg(test)]
fn test_driver() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::boots_at_once;

    #[test]
    fn as_many_guests_boot_at_once_as_processors_and_memory_allow() {
        let gibibytes = |count: u64| count << 30;
        assert_eq!(boots_at_once(2, gibibytes(16)), 4);
        assert_eq!(boots_at_once(32, gibibytes(256)), 32);
        assert_eq!(boots_at_once(96, gibibytes(8)), 32);
        assert_eq!(boots_at_once(8, gibibytes(1) / 8), 1);
    }
}
