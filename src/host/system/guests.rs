//! The real host, as its watcher sees it: one connection that tells of events, and the file system.

use super::events::{self, Listener, Tell};
use super::files::seed::Receipts;
use super::files::{folder, lock, look, process, write};
use super::libvirt::WriteConnection;
use super::pool::close;
use super::seconds_since_1970;
use crate::files::Root;
use crate::host::guests::{Event, GuestAnswer, GuestCall, Guests};
use crate::host::primitives::{CallError, CallErrorKind, Held};
use crate::inventory::{Fact, Look, RawFile};
use crate::mark::Moment;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A host whose guests are watched.
pub struct SystemGuests {
    /// Taken when this ends, before the connections.
    listener: Option<Listener>,
    libvirt: WriteConnection,
    files: SystemFiles,
}

/// The files of a host, for work that needs no libvirt.
pub struct SystemFiles {
    root: Root,
    seeds: Receipts,
}

impl SystemGuests {
    /// Connects to libvirt and has it tell of events, on another thread, until this is dropped. Every path of the host is
    /// taken to be below `root`: `/`, but for tests.
    ///
    /// # Errors
    /// When libvirt cannot be reached, or this user may not change anything, or it tells of no events.
    pub fn connect(
        uri: &str,
        root: &Path,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, CallError> {
        events::start_loop()?;
        let libvirt = WriteConnection::open(uri)?;
        let tell: Tell = Arc::new(tell);
        Ok(Self {
            listener: Some(libvirt.listen(move |connect| Listener::register(connect, &tell))?),
            libvirt,
            files: SystemFiles::new(root),
        })
    }
}

impl Drop for SystemGuests {
    fn drop(&mut self) {
        close(self.listener.take());
    }
}

/// How often libvirt's event loop has woken up since the process began, at least once a second: while this grows, events
/// are told.
#[must_use]
pub fn event_beats() -> u64 {
    events::beats()
}

/// The present moment of the host's uptime.
#[must_use]
pub fn moment() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let milliseconds = time.tv_sec.saturating_mul(1000) + time.tv_nsec / 1_000_000;
    Moment(u64::try_from(milliseconds).unwrap_or(0))
}

impl SystemFiles {
    /// The files below `root`: `/`, but for tests.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: Root::at(root),
            seeds: Receipts::default(),
        }
    }

    /// Looks at a path.
    #[must_use]
    pub fn look(&self, path: &str, look: Look) -> Fact<RawFile> {
        look::look(&self.root, &self.seeds, path, look)
    }

    /// Takes a lock; folders that it needs are made.
    ///
    /// # Errors
    /// `Locked` with the holder's note, or as the system says.
    pub fn lock(
        &self,
        path: &str,
        note: &str,
        patience: Duration,
    ) -> Result<Box<dyn Held>, CallError> {
        lock::lock(&self.root, path, note, patience)
    }

    /// Writes a file whole or not at all, mode 0600. Its folder is made, if only that is missing.
    ///
    /// # Errors
    /// As the system says.
    pub fn write(&self, path: &str, text: &str) -> Result<(), CallError> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        match folder::make(&self.root, parent, 0o700, None) {
            Err(error) if error.kind != CallErrorKind::Exists => return Err(error),
            _ => {}
        }
        write::write(&self.root, path, parent, text.as_bytes(), 0o600)
    }

    /// Removes one file, if it is there.
    ///
    /// # Errors
    /// As the system says.
    pub fn remove(&self, path: &str) -> Result<(), CallError> {
        write::remove(&self.root, path)
    }

    /// Who is working: the user's name, behind sudo the one who called it.
    #[must_use]
    pub fn user(&self) -> String {
        process::user(&self.root.below("/etc/passwd"))
    }

    /// Seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now(&self) -> u64 {
        seconds_since_1970()
    }
}

impl Guests for SystemGuests {
    fn ask(&self, call: GuestCall<'_>) -> Result<GuestAnswer, CallError> {
        use GuestCall as C;
        let (libvirt, files) = (&self.libvirt, &self.files);
        Ok(match call {
            C::Guests {} => libvirt.guests()?.into(),
            C::Guest { name } => libvirt.guest(name)?.into(),
            C::Start { uuid } => libvirt.start(uuid)?.into(),
            C::Cut { uuid } => libvirt.cut(uuid)?.into(),
            C::Look { path, look } => files.look(path, look).into(),
            C::Write { path, text } => files.write(path, text)?.into(),
            C::AppendLine { path, line } => write::append_line(&files.root, path, line)?.into(),
            C::Lock {
                path,
                note,
                patience,
            } => files.lock(path, note, patience)?.into(),
        })
    }

    fn now(&self) -> u64 {
        seconds_since_1970()
    }

    fn moment(&self) -> Moment {
        moment()
    }
}
