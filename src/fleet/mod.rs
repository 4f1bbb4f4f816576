//! What the user wants: the fleet file, read, resolved and checked.
//!
//! [`Spec`] is valid by construction. The shapes of the file and the checks that lead to it are private files of this
//! module; nothing outside knows that YAML was involved.

mod adopt;
mod arch;
mod base_image;
mod boot;
mod cloud_init;
mod conflicts;
mod console;
mod cpu;
mod disk;
mod duplicates;
mod file;
mod hosts;
mod install;
mod kept;
mod network;
mod read;
mod share;
mod texts;
mod uses;
mod vm;

pub use crate::yaml::FleetFile;
pub use adopt::Adopt;
pub use base_image::{Backing, BaseCopy, DiskFormat};
pub use boot::{Boot, BootFrom, Handover, Seed};
pub use cloud_init::{CloudInit, NoCloud};
pub use console::Console;
pub use cpu::Cpu;
pub use disk::{Discard, Disk, DiskCache, DiskIo, Fresh};
pub use file::{Given, Spec};
pub use install::Install;
pub use kept::{FleetSource, KeptFile};
pub use network::{Network, NetworkModel, NetworkSource};
pub use read::{environment, read_files, read_fleet, texts_named, vars_declared};
pub use share::{FurtherShare, ShareAccess};
pub use texts::{NamedText, TEXT_LIMIT, TEXTS_LIMIT, Text, TextError, Texts};
pub use uses::prefix_without_vms;
pub use vm::{Accel, DEFAULT_STOP_TIMEOUT, DesiredState, GuestReboot, MemoryBacking, Restart, Vm};

/// Explanations of keys and problems.
pub mod explain {
    use super::file::FILE;
    use crate::fleetfile::explain as of;
    pub use crate::problem::ProblemTopic;
    pub use of::{KeyText, KeyTopic, Topic};

    /// Everything that can be explained: keys in the order of their maps, then problems, then checks of the host.
    #[must_use]
    pub fn topics() -> Vec<Topic> {
        of::topics(FILE)
    }

    /// Explains a key or a problem.
    ///
    /// # Errors
    /// When there is no such thing; with what was probably meant, if there is something near.
    pub fn explain(word: &str) -> Result<Vec<Topic>, Option<String>> {
        of::explain(FILE, word)
    }
}

/// The JSON Schema of fleet files, for editors.
pub mod schema {
    /// The schema as text.
    #[must_use]
    pub fn schema() -> String {
        crate::fleetfile::schema::schema(super::file::FILE)
    }
}
