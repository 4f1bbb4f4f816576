//! armfleet keeps ARM virtual machines on libvirt hosts the way a YAML file says they should be. What no other tool does:
//! the guest owns its kernel. Its `/boot` is a folder on the host, and a libvirt hook turns what the guest's package
//! manager installed there into the kernel that the host boots.
//!
//! # Architecture
//!
//! A functional core and an imperative shell: everything that decides is pure and synchronous, and everything that touches
//! a host is behind one port of two verbs.
//!
//! ```text
//!  fleet.yaml ──spec──▶ Spec ──▶ Query ──observe──▶ RawInventory ──▶ Inventory
//!                        │                                               │
//!                        └──────────────▶ plan ◀─────────────────────────┘
//!                                          │
//!                       report ◀── Plan ──engine──▶ Host::perform(step) …
//!                                          │
//!                                observe and plan again: the residual
//!
//!  guest writes /boot ──▶ share ──hook, at each start──▶ generation ──▶ the kernel that QEMU loads
//! ```
//!
//! # File map
//!
//! A module uses those of its last column, which are all above it.
//!
//! | module | holds | uses |
//! |---|---|---|
//! | [`format`] | files of armfleet's own that say their format, and what to do about one of a later version |  |
//! | [`xml`] | a tree over XML text, and edits that splice bytes; no libvirt meaning |  |
//! | [`spec`] | the fleet file: document, positions, resolution, checks, and the names of everything |  |
//! | [`boot`] | which pair of a share boots, and whether it is whole; no I/O | format spec |
//! | [`mark`] | owner mark and record | format spec |
//! | [`inventory`] | what planning asks of a host, and what was seen | xml spec boot mark |
//! | [`domain`] | the table of a domain's properties, the edits that it leads to, the skeleton of a new domain | xml spec mark inventory |
//! | [`plan`] | the pure function, its steps, refusals and notices, and what came of the steps | format xml spec boot mark inventory domain |
//! | [`report`] | plans, outcomes, states and problems as people read them | spec boot mark inventory domain plan |
//! | [`files`] | folders that are held open; armfleet's own are reached without following a link | spec |
//! | [`host`] | the port; the real host and the in-memory one over the same primitive calls | format xml spec boot mark inventory domain plan files |
//! | [`engine`] | observe, plan, perform, plan again | spec mark inventory domain plan host |
//! | [`hook`] | what the libvirt hook does for one VM; its binary loads no libvirt | format spec boot mark files |
//! | [`watch`] | starts a VM again whose guest rebooted: a pure decision, and the loop around it | format spec boot mark inventory host |
//! | [`cli`] | commands, printing, exit codes | format xml spec boot mark inventory plan report files host engine watch |
//!
//! # Invariants
//!
//! Each is a test, most of them in `tests/tidy.rs`.
//!
//! - The core (`format xml spec boot mark inventory domain plan report`) names no libvirt, file system, environment, clock or
//!   process. Planning twice gives the same bytes; the order of keys in the file does not matter.
//! - Modules use what the map says; no files use each other in a circle.
//! - The `plan` command holds nothing that could write: a dry run is a type, not a flag.
//! - Success is an empty residual. There is no second comparison to disagree with the first.
//! - Failing the n-th primitive call, for every n, and applying again converges.
//! - Only `cli` and the hook's `main` print.
//! - An edit keeps every byte of a definition that it does not name.
//! - Nothing in the boot share is followed, trusted or written: its guest owns every byte there.

pub mod boot;
pub mod cli;
pub mod domain;
pub mod engine;
pub mod files;
pub mod format;
pub mod hook;
pub mod host;
pub mod inventory;
pub mod mark;
pub mod plan;
pub mod report;
pub mod spec;
pub mod watch;
pub mod xml;
