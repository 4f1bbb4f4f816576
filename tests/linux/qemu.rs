//! The oracle: what QEMU and the test guest's own Linux make of kernels and initrds.

use armfleet::values::Arch;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use tempfile::NamedTempFile;

/// Whether something boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A kernel says its version; an initrd is unpacked, all of it.
    Taken,
    /// Not, or not all.
    Refused,
}

/// How long nothing is said before nothing will be: far more than a kernel takes to its first line, and between two, under
/// emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A QEMU that ends with the test.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file of the test guest.
pub(crate) fn guest(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest");
    folder.join(name)
}

/// The kernel of the armhf guest.
pub(crate) fn kernel() -> PathBuf {
    let versions = std::fs::read_to_string(guest("versions"))
        .expect("target/guest is missing: run tests/guest/build target/guest");
    let version = versions.split_whitespace().next_back().unwrap();
    guest(&format!("vmlinuz-{version}"))
}

/// What Linux makes of an initrd, and what it says of it. A QEMU that ends before that did not boot it.
///
/// # Errors
/// With what was said so far where nothing more is.
pub(crate) fn unpack(initrd: &[u8]) -> Result<(Verdict, String), String> {
    let initrd = file_of(initrd);
    let lines = Lines::of(Arch::ARMHF, &kernel(), Some(initrd.path()));
    let mut console = String::new();
    loop {
        let line = match lines.next() {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return Ok((Verdict::Refused, console)),
            Err(RecvTimeoutError::Timeout) => return Err(console),
        };
        if line.contains("Initramfs unpacking failed") {
            return Ok((Verdict::Refused, line));
        }
        if line.contains("Freeing initrd memory") {
            return Ok((Verdict::Taken, line));
        }
        console.push_str(&line);
        console.push('\n');
    }
}

/// Whether a kernel says its version.
pub(crate) fn boot(arch: Arch, kernel: &[u8]) -> Verdict {
    let kernel = file_of(kernel);
    let lines = Lines::of(arch, kernel.path(), None);
    while let Ok(line) = lines.next() {
        if line.contains("Linux version") {
            return Verdict::Taken;
        }
    }
    Verdict::Refused
}

/// The version of QEMU, of which only the first number is looked at.
pub(crate) fn version() -> u32 {
    let said = Command::new("qemu-system-aarch64")
        .arg("--version")
        .output();
    let said = String::from_utf8(said.expect("qemu-system-aarch64").stdout).unwrap();
    let version = said.split("version ").nth(1).and_then(|version| {
        let (major, _) = version.split_once('.')?;
        major.parse().ok()
    });
    version.unwrap_or_else(|| panic!("no version: {said}"))
}

fn file_of(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// A guest's console, up to its end; the guest ends with it.
struct Lines {
    lines: Receiver<String>,
    _qemu: Qemu,
}

impl Lines {
    fn of(arch: Arch, kernel: &Path, initrd: Option<&Path>) -> Self {
        let (program, processor) = match arch.bits {
            64 => ("qemu-system-aarch64", "cortex-a57"),
            _ => ("qemu-system-arm", "cortex-a15"),
        };
        let mut command = Command::new(program);
        command
            .args(["-machine", "virt", "-cpu", processor, "-m", "512"])
            .args(["-display", "none", "-nodefaults", "-no-reboot"])
            .args(["-serial", "stdio", "-append"])
            .arg("console=ttyAMA0 earlycon=pl011,0x09000000 loglevel=7 panic=-1")
            .arg("-kernel")
            .arg(kernel)
            .args(initrd.map(|_| "-initrd"))
            .args(initrd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut qemu = Qemu(command.spawn().expect(program));
        let console = BufReader::new(qemu.0.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in console.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { lines, _qemu: qemu }
    }

    fn next(&self) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(LIMIT)
    }
}
