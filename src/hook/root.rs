//! Where the host's files are.

use std::path::{Path, PathBuf};

/// The folder that the host's paths ([`crate::spec::layout`]) begin at: `/`, or a test's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The host's own.
    #[must_use]
    pub fn host() -> Self {
        Self::at(Path::new("/"))
    }

    /// Another folder that has `var/lib/armfleet` and `run` in it.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Where a path of the host is.
    #[must_use]
    pub fn below(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }
}
