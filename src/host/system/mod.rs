//! The real host: libvirt and the file system, behind the primitive calls. Delegation only.
//!
//! What may be written follows from the type alone: [`SystemReads`] has a read-only connection and no changing call. Only
//! guests' agents are asked by another connection, since libvirt takes that from nobody else.

mod bits32;
mod events;
mod extract;
mod files;
mod guests;
mod hanging;
mod host_capabilities;
mod libvirt;
mod links;
mod pool;
mod programs;

pub use extract::Extracted;
pub use guests::{SystemFiles, SystemGuests, event_beats, moment};
pub use host_capabilities::HostCapabilities;

use super::primitives::{Answer, CallError, Change, Primitives, Read, Reads};
use crate::files::Root;
use crate::inventory::AddressSource;
use crate::mark::Moment;
use crate::values::HostKey;
use files::seed::Receipts;
use files::{folder, image, initrd, lock, look, mounts, process, write};
use libvirt::{Agents, ReadConnection, WriteConnection};
use std::fs::File;
use std::io::Read as _;
use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A host that can only be looked at.
pub struct SystemReads {
    libvirt: ReadConnection,
    agents: Agents,
    files: FileReads,
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
        let libvirt = ReadConnection::open(uri)?;
        Ok(Self {
            agents: Agents::new(&libvirt, uri),
            libvirt,
            files: FileReads::below(root),
        })
    }

    /// Looks at what the host offers to VMs.
    ///
    /// # Errors
    /// When libvirt cannot be asked or the network devices cannot be listed.
    pub fn host_capabilities(&self) -> Result<HostCapabilities, CallError> {
        let networks = self.libvirt.networks()?;
        let links = links::links(&self.files.root)?;
        Ok(HostCapabilities::new(
            self.libvirt.about()?,
            networks,
            links,
        ))
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
        &self.reads.files.root
    }
}

impl Reads for SystemReads {
    fn read(&self, call: Read<'_>) -> Result<Answer, CallError> {
        let libvirt = &self.libvirt;
        Ok(match call {
            Read::Libvirt {} => libvirt.about()?.into(),
            Read::Domains {} => libvirt.domains()?.into(),
            Read::Domain { uuid } => libvirt.domain(uuid)?.into(),
            Read::State { uuid } => libvirt.state(uuid)?.into(),
            Read::Networks {} => libvirt.networks()?.into(),
            Read::Addresses { uuid, source } => match source {
                AddressSource::Lease => libvirt.leases(uuid)?.into(),
                AddressSource::Agent => self.agents.addresses(uuid)?.into(),
            },
            call => self.files.read(call)?,
        })
    }

    fn now(&self) -> u64 {
        seconds_since_1970()
    }
}

/// A host whose libvirt does not answer: all the rest of it can be looked at.
pub struct SilentHost {
    files: FileReads,
    why: CallError,
}

impl SilentHost {
    /// The host below `root`: `/`, but for tests; `why` is what every call of libvirt's fails with.
    #[must_use]
    pub fn new(root: &Path, why: CallError) -> Self {
        Self {
            files: FileReads::below(root),
            why,
        }
    }
}

impl Reads for SilentHost {
    fn read(&self, call: Read<'_>) -> Result<Answer, CallError> {
        match call {
            Read::Libvirt {}
            | Read::Domains {}
            | Read::Domain { .. }
            | Read::State { .. }
            | Read::Networks {}
            | Read::Addresses { .. } => Err(self.why.clone()),
            call => self.files.read(call),
        }
    }

    fn now(&self) -> u64 {
        seconds_since_1970()
    }
}

/// What is read of a host without libvirt.
struct FileReads {
    root: Root,
    seeds: Receipts,
}

impl FileReads {
    fn below(root: &Path) -> Self {
        Self {
            root: Root::at(root),
            seeds: Receipts::default(),
        }
    }

    fn read(&self, call: Read<'_>) -> Result<Answer, CallError> {
        let root = &self.root;
        Ok(match call {
            Read::Look { path, look } => look::look(root, &self.seeds, path, look).into(),
            Read::Links {} => links::links(root)?.into(),
            Read::Binds {} => mounts::binds(root)?.into(),
            Read::FileSystems {} => mounts::file_systems(root)?.into(),
            Read::Way { path, end, rules } => look::way(root, path, end, rules)?.into(),
            Read::Records { folder } => look::records(root, folder)?.into(),
            Read::Version { program } => programs::version(program)?.into(),
            Read::Synchronised {} => events::synchronised()?.into(),
            Read::Libvirt {}
            | Read::Domains {}
            | Read::Domain { .. }
            | Read::State { .. }
            | Read::Networks {}
            | Read::Addresses { .. } => return Err(CallError::other("it is libvirt's to answer")),
        })
    }
}

impl Reads for SystemHost {
    fn read(&self, call: Read<'_>) -> Result<Answer, CallError> {
        self.reads.read(call)
    }

    fn now(&self) -> u64 {
        self.reads.now()
    }
}

impl Primitives for SystemHost {
    fn change(&self, call: Change<'_>) -> Result<Answer, CallError> {
        use Change as C;
        let (root, libvirt) = (&self.reads.files.root, &self.libvirt);
        Ok(match call {
            C::DumpSecure { uuid } => libvirt.dump_secure(uuid)?.into(),
            C::Define { xml } => libvirt.define(xml)?.into(),
            C::Undefine { uuid, keep_nvram } => libvirt.undefine(uuid, keep_nvram)?.into(),
            C::SetAutostart { uuid, on } => libvirt.set_autostart(uuid, on)?.into(),
            C::Start { uuid } => libvirt.start(uuid)?.into(),
            C::Shutdown { uuid, within } => libvirt.shutdown(uuid, within)?.into(),
            C::PowerOff { uuid } => libvirt.cut(uuid)?.into(),
            C::BlockResize {
                uuid,
                path,
                from,
                to,
            } => libvirt.block_resize(uuid, path, from, to)?.into(),
            C::MakeFolder { path, mode, owner } => folder::make(root, path, mode, owner)?.into(),
            C::ProbeXattr { folder } => folder::probe_xattr(root, folder)?.into(),
            C::SetFolderOwner { path, mode, owner } => {
                folder::set_owner(root, path, mode, owner)?.into()
            }
            C::WriteFile {
                path,
                scratch,
                bytes,
                mode,
            } => write::write(root, path, scratch, bytes, mode)?.into(),
            C::CreateImage { path, head, bytes } => image::create(root, path, head, bytes)?.into(),
            C::CopyImage {
                base,
                from,
                to,
                grown,
            } => image::copy(root, base, from, to, grown)?.into(),
            C::GrowQcow2 { path, from, to } => image::grow_qcow2(root, path, from, to)?.into(),
            C::GrowImage { path, from, to } => image::grow(root, path, from, to)?.into(),
            C::CopyFile {
                from,
                to,
                limit,
                mode,
            } => write::copy(root, from, to, limit, mode)?.into(),
            C::ExtendInitrd {
                base,
                files,
                to,
                limit,
                mode,
            } => initrd::extend(root, base, files, to, limit, mode)?.into(),
            C::EraseImage { path, bytes } => image::erase(root, path, bytes)?.into(),
            C::RemoveFile { path } => write::remove(root, path)?.into(),
            C::RemoveFolder { path, known } => folder::remove(root, path, known)?.into(),
            C::RenameFile { from, to } => write::rename(root, from, to)?.into(),
            C::AppendLine { path, line } => write::append_line(root, path, line)?.into(),
            C::Lock {
                path,
                note,
                patience,
            } => lock::lock(root, path, note, patience)?.into(),
            C::ReloadDaemon { pid_file } => process::reload_daemon(&root.below(pid_file))?.into(),
        })
    }

    fn user(&self) -> String {
        process::user(&self.root().below("/etc/passwd"))
    }

    fn random(&self) -> Result<[u8; HostKey::LENGTH], CallError> {
        let mut bytes = [0; HostKey::LENGTH];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        read.map_err(|error| CallError::other(format!("/dev/urandom: {error}")))?;
        Ok(bytes)
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
