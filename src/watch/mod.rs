//! Watching a host's guests: a VM whose guest reboots is started again, and so boots the kernel that its guest installed.
//!
//! The decision is a pure function ([`decide`]); around it is a loop that hears events, reads files under the VM's lock,
//! and does what was decided.

mod decide;
mod run;
mod vm_queue;
mod worker;

#[cfg(test)]
mod faults;

pub use decide::{Act, Decision, Heard, Holding, OnTrial, Seen, begun, decide, failed};
pub use run::{Connect, Ender, Supervisor, Tell, Watcher};
