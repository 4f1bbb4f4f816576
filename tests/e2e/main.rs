//! The real thing: libvirtd, QEMU and an armhf guest on a private host per test.
//!
//! Needs root and what `tests/sandbox/prerequisites` installs; `tests/run` brings both together. Nothing is skipped: a
//! test that cannot run fails and says what is missing.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod arm64;
mod block_devices;
mod broken_hook;
mod build_farm;
mod cloud_init;
mod contract;
mod debian_installer;
mod debian_root;
mod devices;
mod disks;
mod disturbed;
mod doctor;
mod examples;
mod exit_codes;
mod extract;
mod first_kernel;
mod fleet;
mod forge;
#[path = "../releases/frozen.rs"]
mod frozen;
mod guest;
mod guest_setup;
mod handover;
mod hangs;
mod host;
mod init;
mod install;
mod interrupted;
mod keeps;
mod key_changes;
#[path = "../harness/key_changes.rs"]
mod key_table;
mod kvm;
#[path = "../harness/leases.rs"]
mod leases;
mod main_job;
mod memory;
mod moved;
mod networks;
mod on_pci;
mod overlays;
mod own_folders;
mod ownership;
mod places;
mod plans;
mod power;
mod read_only;
mod releases;
mod removal;
mod requests;
mod restored;
mod rollback;
mod run_state;
mod sandbox;
mod scratch;
mod secrets;
mod several_disks;
mod snapshot;
mod swapped;
mod trace;
mod traced;
mod trail;
mod trust;
mod userland;
mod vlan;
mod watch;
#[path = "../harness/watched.rs"]
mod watched;
mod written;
