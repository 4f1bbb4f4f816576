//! Telling systemd: readiness, a line of status, and that the process lives (`sd_notify(3)`). Without systemd nothing is
//! sent. The crate `sd-notify` (0.5) takes the name of an abstract socket for that of a file, and sends nothing.

use crate::host::system::event_beats;
use crate::watch::Supervisor;
use std::cell::Cell;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The service manager, if there is one.
pub(super) struct Systemd {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    /// When it was last told that the process lives, and libvirt's event loop had beaten how often then.
    alive: Cell<Option<(Instant, u64)>>,
}

impl Systemd {
    /// The manager that the environment names.
    pub(super) fn from_environment() -> Self {
        let address = std::env::var_os("NOTIFY_SOCKET").and_then(|name| address(name.as_bytes()));
        let socket = UnixDatagram::unbound().ok();
        let ours =
            std::env::var("WATCHDOG_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
        let patience = std::env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|time| time.parse().ok())
            .filter(|time| ours && *time > 0);
        Self {
            socket: socket.zip(address),
            watchdog: patience.map(Duration::from_micros),
            alive: Cell::new(None),
        }
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd was not told {text}");
        }
    }
}

/// A path, or with `@` before it a name in the abstract namespace.
fn address(name: &[u8]) -> Option<SocketAddr> {
    match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None => {
            SocketAddr::from_pathname(std::path::Path::new(std::ffi::OsStr::from_bytes(name))).ok()
        }
    }
}

impl Supervisor for Systemd {
    fn ready(&self) {
        self.tell("READY=1");
    }

    fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"));
    }

    /// The process lives if its main loop calls this and libvirt's event loop has turned since the last time.
    fn alive(&self) {
        let Some(patience) = self.watchdog else {
            return;
        };
        let beats = event_beats();
        let due = match self.alive.get() {
            None => true,
            Some((at, before)) => at.elapsed() >= patience / 3 && beats != before,
        };
        if due {
            self.alive.set(Some((Instant::now(), beats)));
            self.tell("WATCHDOG=1");
        }
    }

    fn stopping(&self) {
        self.tell("STOPPING=1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@armfleet-test-{}", std::process::id());
        for name in [path.to_str().unwrap(), &name] {
            let address = address(name.as_bytes()).unwrap();
            let listener = UnixDatagram::bind_addr(&address).unwrap();
            let systemd = Systemd {
                socket: Some((UnixDatagram::unbound().unwrap(), address)),
                watchdog: Some(Duration::from_secs(60)),
                alive: Cell::new(None),
            };
            systemd.ready();
            systemd.alive();
            systemd.alive();
            systemd.status("watching 2 VMs");
            let mut buffer = [0; 64];
            for expected in ["READY=1", "WATCHDOG=1", "STATUS=watching 2 VMs"] {
                let length = listener.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], expected.as_bytes());
            }
        }
    }

    #[test]
    fn nobody_needs_to_listen() {
        let missing = address(b"/nonexistent/notify");
        let systemd = Systemd {
            socket: UnixDatagram::unbound().ok().zip(missing),
            watchdog: None,
            alive: Cell::new(None),
        };
        systemd.ready();
        systemd.alive();
        assert!(address(&[b'x'; 200]).is_none());
    }
}
