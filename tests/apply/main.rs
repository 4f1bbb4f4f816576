//! Applying, over a host in memory: what is done, what is left alone, and that whatever goes wrong, the next apply goes on.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::panic, clippy::unwrap_used)]

mod addresses;
mod bases;
mod boot;
mod change;
mod cloud_init;
mod devices;
mod dtb;
mod extraction;
mod faults;
mod folders;
#[expect(dead_code, reason = "the other part is for tests/cases.rs")]
#[path = "../harness/mod.rs"]
mod harness;
mod hook;
mod identity;
mod install;
mod kept;
mod later;
mod networks;
mod order;
mod outside;
mod places;
mod power;
mod property;
mod removal;
mod scratch;
mod secrets;
mod shares;
mod snapshot;
mod state;
mod storage;
mod trail;
mod unknown;
mod userland;
mod watch;
mod ways;
