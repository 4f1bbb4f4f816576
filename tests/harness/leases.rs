//! Files that nobody can open without waiting.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Holds leases on files until it is dropped, as a process of QEMU's user can.
pub(crate) struct Leases(Child);

impl Leases {
    const HOLD: &str = r#"
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
files = [open(path, "rb+") for path in sys.argv[1:]]
for file in files: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
"#;

    pub(crate) fn on(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut holder = Command::new("python3")
            .args(["-c", Self::HOLD])
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 4];
        let held = holder.stdout.as_mut().unwrap().read_exact(&mut said);
        held.expect("python3 and files that can be leased");
        Self(holder)
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
