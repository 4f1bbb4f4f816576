//! Everything that an apply or `armfleet boot` keeps on a host in files of armfleet's own goes through here.
//!
//! What `armfleet hold`, `armfleet watch` and the hook keep has nothing of a fleet file or a definition in it, so there is
//! nothing to redact; they write by the functions of `files`, as this does.

use super::failure::cannot;
use super::primitives::Primitives;
use super::{Executor, HostError};
use crate::files::parent_and_name;
use crate::format::FormatError;
use crate::paths;

/// What is kept as root's alone.
pub(super) const PRIVATE: u32 = 0o600;
/// What `status` also shows to users other than root.
pub(super) const SHOWN: u32 = 0o644;

impl<P: Primitives> Executor<P> {
    /// Keeps a text as a file, whole or not at all.
    pub(super) fn keep(
        &self,
        path: &str,
        mode: u32,
        text: Result<String, FormatError>,
    ) -> Result<(), HostError> {
        let text = text.map_err(not_written(path))?;
        self.keep_whole(path, mode, text.as_bytes())
    }

    /// Keeps a disk for cloud-init, whole or not at all: it is meant to hold the secrets that its texts name.
    pub(super) fn keep_disk(&self, path: &str, bytes: &[u8]) -> Result<(), HostError> {
        self.keep_whole(path, paths::CLOUD_INIT_DISK, bytes)
    }

    fn keep_whole(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), HostError> {
        let (folder, _) = parent_and_name(path);
        self.calls()
            .write_file(path, folder, bytes, mode)
            .map_err(cannot(format!("write {path}")))
    }

    /// Keeps a line at the end of a file.
    pub(super) fn keep_line(
        &self,
        path: &str,
        line: Result<String, FormatError>,
    ) -> Result<(), HostError> {
        let line = line.map_err(not_written(path))?;
        self.calls()
            .append_line(path, &self.redacted(&line))
            .map_err(cannot(format!("write {path}")))
    }
}

impl<P: Primitives> Executor<P> {
    /// A text without the secrets that are known.
    pub(super) fn redacted(&self, text: &str) -> String {
        let redaction = self.redaction().unwrap_or_default();
        redaction.secrets().redact(text).into_owned()
    }
}

fn not_written(path: &str) -> impl FnOnce(FormatError) -> HostError {
    move |error| HostError::new(format!("cannot write {path}"), error)
}
