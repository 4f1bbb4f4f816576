//! The oracle: the test guest's kernel under QEMU, as far as it unpacks its initrd.

use crate::cases::Verdict;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Far more than a kernel takes to unpack an initrd under emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A QEMU that ends with the test.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kernel() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest");
    let versions = std::fs::read_to_string(folder.join("versions"))
        .expect("target/guest is missing: run tests/guest/build target/guest");
    let version = versions.split_whitespace().next_back().unwrap();
    folder.join(format!("vmlinuz-{version}"))
}

/// What Linux makes of an initrd, and what it says of it.
pub(crate) fn unpack(initrd: &[u8]) -> (Verdict, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(initrd).unwrap();
    let child = Command::new("qemu-system-arm")
        .args(["-machine", "virt", "-cpu", "cortex-a15", "-m", "512"])
        .args([
            "-display",
            "none",
            "-nodefaults",
            "-no-reboot",
            "-serial",
            "stdio",
        ])
        .args(["-append", "console=ttyAMA0 loglevel=7 panic=-1", "-kernel"])
        .arg(kernel())
        .arg("-initrd")
        .arg(file.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("qemu-system-arm");
    let mut qemu = Qemu(child);
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
    let mut console = String::new();
    loop {
        let line = lines
            .recv_timeout(LIMIT)
            .unwrap_or_else(|_| panic!("Linux says nothing more of its initrd:\n{console}"));
        if line.contains("Initramfs unpacking failed") {
            return (Verdict::Refused, line);
        }
        if line.contains("Freeing initrd memory") {
            return (Verdict::Taken, line);
        }
        console.push_str(&line);
        console.push('\n');
    }
}
