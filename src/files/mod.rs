//! Folders that are held open, and what is done in them by name.
//!
//! armfleet's own folders are reached from its state folder, or the one below `/run`, without following a link: those two
//! are root's to place, what is below them is made by armfleet alone. Whoever replaces one of them by a link to something
//! else must not have armfleet write or remove there.

mod beside;
mod copy;
mod directory;
mod folder;
mod guarded;
mod own;
mod share;
mod write;

pub use beside::{BesideError, read_beside};
pub use copy::{
    ChangedMeanwhile, copy, copy_blocks, copy_hashed, copy_hashed_fresh, digest, digest_unchanged,
    is_blank, processor_time, read_hashed,
};
pub use directory::{BootShare, Directory, Inode, OpenFile, OwnFile};
pub use folder::{Folder, NotPlain, STATX, born_ns, open_plain};
pub use guarded::Swappable;
pub use own::{
    LaterFile, NotOurs, OwnFileError, chain, create, holding, later, read_named, read_own,
    read_owned, remove_file, sync_folder,
};
pub use share::Share;
pub use write::{Draft, append_line, lock};

use crate::paths;
use std::io;
use std::path::{Path, PathBuf};

/// Where the host's file system begins.
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

    /// Opens a folder of the host. Links on the way are followed, except within armfleet's own folders.
    ///
    /// # Errors
    /// [`LinkInTheWay`] for a link there, or as the system says.
    pub fn folder(&self, path: &str) -> io::Result<Folder> {
        match paths::own_part(path) {
            None => Folder::open(&self.below(path)),
            Some((base, "")) => Folder::open(&self.below(base)),
            Some((base, rest)) => Folder::open(&self.below(base))?.sub(rest),
        }
    }

    /// The same, where the folder itself is no link either, wherever it is.
    ///
    /// # Errors
    /// As [`Root::folder`].
    pub fn real_folder(&self, path: &str) -> io::Result<Folder> {
        if path.is_empty() || paths::own_part(path).is_some() {
            return self.folder(path);
        }
        let (above, name) = self.holding(path)?;
        above.sub(name)
    }

    /// Opens the folder that a path is in, and gives the path's name there.
    ///
    /// # Errors
    /// As [`Root::folder`].
    pub fn holding<'a>(&self, path: &'a str) -> io::Result<(Folder, &'a str)> {
        let (parent, name) = parent_and_name(path);
        Ok((self.folder(parent)?, name))
    }
}

/// The folder that a path is in, empty for the root, and its name there.
#[must_use]
pub fn parent_and_name(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A link where armfleet follows none.
#[derive(Debug, thiserror::Error)]
#[error("{} is a symbolic link, which armfleet does not follow", .0.display())]
pub struct LinkInTheWay(pub PathBuf);

impl LinkInTheWay {
    /// The link that an error is about.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Path> {
        let inner = error.get_ref()?.downcast_ref::<Self>()?;
        Some(&inner.0)
    }
}
