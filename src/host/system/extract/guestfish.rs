//! libguestfs's shell, which looks into a disk image from inside a small VM of its own: what a guest wrote is parsed by no
//! kernel and no program of the host.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long an answer may take. Without KVM its VM starts within half a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why a disk cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuestfishError {
    #[error("guestfish is not installed")]
    NotInstalled,
    #[error("cannot run guestfish")]
    Run(#[source] io::Error),
    #[error("guestfish does not answer")]
    Silent,
    #[error("guestfish ended; what it said is above")]
    Ended,
}

/// A guestfish that looks at one disk and changes nothing.
pub(super) struct Guestfish {
    process: Child,
    input: ChildStdin,
    output: Receiver<String>,
    /// What it prints after each answer; unforeseeable, since some of what it prints is a guest's.
    end: String,
}

impl Guestfish {
    /// Starts it on a raw image.
    pub(super) fn open(disk: &Path) -> Result<Self, GuestfishError> {
        let mut process = Command::new("guestfish")
            .args(["--ro", "--format=raw", "--add"])
            .arg(disk)
            // By libvirt it would define a domain on this host.
            .env("LIBGUESTFS_BACKEND", "direct")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|fault| match fault.kind() {
                io::ErrorKind::NotFound => GuestfishError::NotInstalled,
                _ => GuestfishError::Run(fault),
            })?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(GuestfishError::Ended);
        };
        let (line, lines) = channel();
        let reading = thread::Builder::new().spawn(move || {
            for read in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if line
                    .send(String::from_utf8_lossy(&read).into_owned())
                    .is_err()
                {
                    return;
                }
            }
        });
        reading.map_err(GuestfishError::Run)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let end = format!(
            "armfleet-{}-{}",
            process.id(),
            now.unwrap_or_default().as_nanos()
        );
        let mut guestfish = Self {
            process,
            input,
            output: lines,
            end,
        };
        guestfish.ask("run")?;
        Ok(guestfish)
    }

    /// The lines that a command prints; none where it fails, which it says on standard error.
    pub(super) fn ask(&mut self, command: &str) -> Result<Vec<String>, GuestfishError> {
        let text = format!("-{command}\necho {}\n", self.end);
        let written = self.input.write_all(text.as_bytes());
        written.map_err(|_| GuestfishError::Ended)?;
        let mut lines = Vec::new();
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(line) if line == self.end => return Ok(lines),
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Timeout) => return Err(GuestfishError::Silent),
                Err(RecvTimeoutError::Disconnected) => return Err(GuestfishError::Ended),
            }
        }
    }

    /// The one line that a command prints.
    pub(super) fn ask_one(&mut self, command: &str) -> Result<Option<String>, GuestfishError> {
        Ok(self.ask(command)?.into_iter().next())
    }
}

impl Drop for Guestfish {
    /// It only reads, so nothing is lost.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
