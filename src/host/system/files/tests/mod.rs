//! The file calls of the real host, on real files below a folder of their own.

mod devices;
mod locking;
mod looking;
mod writing;

use crate::host::primitives::{CallError, CallErrorKind, Primitives, Reads};
use crate::host::system::SystemHost;
use crate::inventory::{Fact, Look, RawStat};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use std::env;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A host whose files are below a folder that goes away.
struct Sandbox {
    host: SystemHost,
    root: TempDir,
}

impl Sandbox {
    fn new() -> Self {
        // Beside the test's own binary: /tmp may be a file system without extended attributes.
        let binary = env::current_exe().unwrap();
        let root = tempfile::tempdir_in(binary.parent().unwrap()).unwrap();
        let host = SystemHost::open("test:///default", root.path()).unwrap();
        Self { host, root }
    }

    fn real(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn folder(&self, path: &str) {
        fs::create_dir_all(self.real(path)).unwrap();
    }

    fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.real(path), bytes).unwrap();
    }

    fn fifo(&self, path: &str) {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, self.real(path), FileType::Fifo, mode, 0).unwrap();
    }

    fn symlink(&self, target: &str, path: &str) {
        std::os::unix::fs::symlink(target, self.real(path)).unwrap();
    }

    /// A file as QEMU keeps it for a guest whose mode of it is this.
    fn mapped(&self, path: &str, bytes: impl AsRef<[u8]>, mode: &[u8]) {
        self.file(path, bytes);
        let path = self.real(path);
        rustix::fs::setxattr(path, "user.virtfs.mode", mode, XattrFlags::empty()).unwrap();
    }

    /// Every name below the root, sorted, folders with a slash.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let name = path.strip_prefix(self.root.path()).unwrap();
                let name = name.to_str().unwrap().to_owned();
                if entry.file_type().unwrap().is_dir() {
                    names.push(name + "/");
                    folders.push(path);
                } else {
                    names.push(name);
                }
            }
        }
        names.sort();
        names
    }
}

fn kind<T>(result: Result<T, CallError>) -> CallErrorKind {
    result.map(drop).unwrap_err().kind
}

fn stat(sandbox: &Sandbox, path: &str) -> RawStat {
    match sandbox.host.look(path, Look::Stat) {
        Fact::Present(file) => file.stat,
        other => panic!("{path}: {other:?}"),
    }
}

fn text(sandbox: &Sandbox, path: &str) -> String {
    fs::read_to_string(sandbox.real(path)).unwrap()
}
