//! The hook, run for real in folders of its own: what it stages, what it makes of hostile shares, what a kill leaves,
//! and what its shim does when the binary is broken.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod binary;
mod corpus;
mod crash;
mod exchanged;
mod fresh;
mod hostile;
mod later;
#[path = "../harness/leases.rs"]
mod leases;
mod linked;
mod mixed;
mod no_room;
mod own_folders;
mod ownership;
mod pinned;
mod race;
mod shim;
mod staging;
mod trial;
#[path = "../harness/watched.rs"]
mod watched;
mod way;
mod world;
mod worst;
