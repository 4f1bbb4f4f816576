//! Watching a host's guests: a VM whose guest reboots is started again, and so boots the kernel that its guest installed.
//!
//! The decision is a pure function ([`judge`]); around it is a loop that hears events, reads files under the VM's lock,
//! and does what was decided.

mod attend;
mod judge;
mod lane;
mod run;

#[cfg(test)]
mod faults;

pub use judge::{Act, Heard, Holding, Judgement, OnTrial, Seen, begun, failed, judge};
pub use run::{Connect, Ender, Supervisor, Tell, Watcher};
