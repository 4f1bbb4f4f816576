//! What the user wants: the fleet file, read, resolved and checked.
//!
//! [`Spec`] is valid by construction. The shapes of the file and the checks that lead to it are private files of this
//! module; nothing outside knows that YAML was involved.

mod checks;
mod expand;
pub mod explain;
mod fields;
mod install;
mod kept;
mod key_texts;
mod keys;
mod layers;
mod partial;
mod path_checks;
mod read;
mod resolve;
mod scalars;
pub mod schema;
mod value_type;
mod vars;
mod vms;
mod wanted;

pub use crate::yaml::FleetFile;
pub use kept::{FleetSource, KeptFile};
pub use read::{Given, environment, read_files, read_fleet};
pub use wanted::{
    Accel, Arch, Boot, DEFAULT_STOP_TIMEOUT, DesiredState, Disk, GuestReboot, Handover, Install,
    Restart, Seed, Spec, Transport, Vm,
};

#[cfg(test)]
mod tests;
