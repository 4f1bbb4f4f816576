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
//!  fleet.yaml ──fleet──▶ Spec ──▶ Query ──observe──▶ RawInventory ──▶ Inventory
//!                         │                                               │
//!                         └──────────────▶ plan ◀─────────────────────────┘
//!                                           │
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
//! | [`values`] | sizes, names, paths, times, secrets, and what is known of architectures: no meaning of libvirt or YAML |  |
//! | [`paths`] | where everything is on a host | values |
//! | [`qcow2`] | the header of an image in QEMU's format, and a new image |  |
//! | [`trust`] | who besides root can change what a path leads to |  |
//! | [`problem`] | what can be wrong with a fleet file or a host, each kind with its explanation | values |
//! | [`yaml`] | text to a tree with places; several files as one | problem |
//! | [`fleetfile`] | the language of fleet files: how keys are declared, read, layered and explained | values problem yaml |
//! | [`fleet`] | what a fleet is: one file per map of keys, each with its checks | values paths qcow2 problem yaml fleetfile |
//! | [`format`] | files of armfleet's own that say their format, and what to do about one of a later version |  |
//! | [`xml`] | a tree over XML text, and edits that splice bytes; no libvirt meaning |  |
//! | [`boot`] | which pair of a share boots, and whether it is whole; no I/O | values paths format |
//! | [`mark`] | owner mark and record | values trust fleet format |
//! | [`inventory`] | what planning asks of a host, and what was seen; snapshot files | values paths qcow2 trust fleet format xml boot mark |
//! | [`domain`] | the rows of a domain's properties, both ways, and a file for each kind of device; the edits that they lead to, the skeleton of a new domain | values paths fleet xml mark inventory |
//! | [`plan`] | the pure function, its steps, refusals and notices, and what came of the steps | values paths qcow2 trust problem fleet format xml boot mark inventory domain |
//! | [`imagined`] | a host on which one fleet was applied, to plan another one on: what a change of the file means | values paths qcow2 fleet xml boot mark inventory domain plan |
//! | [`doctor`] | whether a host can do what is needed of it: what is looked at, and what was found | values paths fleet boot mark inventory plan |
//! | [`report`] | plans, outcomes, states and problems as people read them | values paths problem fleet boot mark inventory domain plan doctor |
//! | [`files`] | the one file layer: folders that are held open, boot shares, whole-file writes, copies, locks; armfleet's own folders are reached without following a link | values paths trust format boot |
//! | [`staging`] | what a VM is started with, over the folders of `files`: which pair it boots, and its copy; its scratch disks. For the hook, and for the in-memory host | values paths qcow2 fleet format xml boot mark files |
//! | [`host`] | the port; the real host and the in-memory one over the same primitive calls | values paths qcow2 trust fleet format xml boot mark inventory domain plan files staging |
//! | [`engine`] | observe, plan, perform, plan again; look into a host | fleet mark inventory domain plan doctor host |
//! | [`hook`] | what the libvirt hook does for one VM; its binary loads no libvirt | values paths trust format boot mark files staging |
//! | [`watch`] | starts a VM again whose guest rebooted: a pure decision, and the loop around it | values paths fleet format boot mark inventory host |
//! | [`cli`] | commands, printing, exit codes | values paths problem yaml fleetfile fleet format xml boot mark inventory plan imagined report files host engine watch |
//!
//! # How to add a key
//!
//! A key of a VM is declared once, in the file of its map under `fleet/` (`vm.rs`, `boot.rs`, `disk.rs`, …): its text, its
//! type, what its absence means, when a change takes effect, an example, and what others call it. `fleetfile/declare.rs` has
//! the form. If it takes one of a few words, `words!` beside it declares them. What can be wrong with it is a function in the
//! same file, named in the map's `checks`; what can be wrong between VMs is in `fleet/conflicts.rs`. Reading, messages,
//! `explain`, `show`, the schema and the README's table follow from that. What it means in libvirt is one row
//! of `domain/rows.rs`, which goes both ways: `want` from the key to the definition, `give` back. An example in `examples`
//! has to use it, and `SNAPSHOTS=overwrite cargo test --test schema --test documents` writes the generated files anew.
//!
//! # How to add a device
//!
//! 1. `fleet/NAME.rs`: its keys as a map with its checks, and a line for it in `fleet/mod.rs`.
//! 2. `fleet/vm.rs`: the key that holds it, a list or one map.
//! 3. `domain/kinds/NAME.rs`: a `DeviceKind` with the element below `<devices>`, what tells one from another there, a blank
//!    one, its rows, and `wanted`: the devices that a VM wants, each with its name and its place in the definition. A name
//!    lasts; a place is chosen once and then kept by the record.
//! 4. `domain/kinds/mod.rs`: a line in `KINDS`. Comparing, editing, removing and reading back follow.
//! 5. What it needs on the host before the domain is defined, if anything, is planned in `plan/vm/storage.rs`.
//! 6. The round trip in `tests/domain/round_trip.rs` gets its keys, `tests/contract` and `tests/e2e` the device on a libvirt.
//!
//! An architecture is one `ArchFacts` in `values/arch.rs`, whatever reads it.
//!
//! # How to add a problem of fleet files
//!
//! 1. `problem/kind.rs`: a line in `ProblemKind` with its name, which users look up and which never changes, why it is a
//!    problem, and what to do. `explain` lists it from then on.
//! 2. The map's file under `fleet/` (or `fleet/conflicts.rs`, where it is between VMs): a function that reports it at the
//!    place in the file, with a help line that gives the correction. All problems of a file are reported at once.
//! 3. `tests/invalid/NAME`: a fleet file that has it, and the message that is expected. `tests/explain.rs` fails without.
//!
//! # How to add a host check
//!
//! 1. `problem/kind.rs`: a line in `HostCheck`, in the same form.
//! 2. `inventory/`: what has to be seen of the host for it, if that is not seen yet: a fact in `facts.rs`, the raw form in
//!    `raw.rs`, and what asks for it in `mod.rs`. `host/system` and `host/memory` answer it.
//! 3. `plan/vm/host_checks.rs`, or the file of the part of the VM that it is about: a function that compares and calls
//!    `PlanBuilder::refuse_on`. What could not be seen is unknown, not refused.
//! 4. `tests/cases/NAME`: a scenario where it fails, and the plan. `tests/cases.rs` fails without it, `tests/documents.rs`
//!    without the check's name in the CHANGELOG.
//!
//! # How to add a check of doctor
//!
//! 1. `doctor/finding.rs`: a word in `Check`, which never changes.
//! 2. `doctor/query.rs`: what has to be looked at for it; a program or the clock is asked through `Inspect::ask`.
//! 3. The file of its layer under `doctor/`: a function that gives at least one finding, `not_checked` where it could not see,
//!    and a place in the list of `examine`. A remedy that is a command is a `Remedy::Run`, and works as it stands.
//! 4. `tests/doctor.rs`: a host with the fault. `tests/e2e/doctor.rs`: the fault on a real host, where its remedy is run.
//!
//! # How to add a command
//!
//! 1. `cli/NAME.rs`: its arguments (clap), and `run`, which returns an `Exit`. Results are printed by `cli/terminal.rs`.
//! 2. `cli/mod.rs`: a line in `Command` with the help's one sentence, and one where commands are run.
//! 3. What it decides is a pure function above `host`. What it asks of the host is a request of the port in
//!    `host/mod.rs`: a reading one belongs to `Inspect`, so that commands which must not write cannot.
//! 4. How its result reads is a file of `report/`. Completions and manual pages follow by themselves; README has a table.
//! 5. `tests/e2e/NAME.rs`: the command on a libvirt, its exit codes and its refusals.
//!
//! # How to add a report format
//!
//! 1. `report/NAME.rs`: a function from the report's data to text. The data of plans is `report/model.rs`, that of an apply
//!    `applied.rs`, of states `status.rs`, of the journal `history.rs`; a format adds no data of its own.
//! 2. `cli/arguments.rs`: the word in `PlanFormat` or `Format`, and a line in each command that matches it.
//! 3. `tests/formats.rs`: its golden, made from the same plans as those of the other formats. JSON has a schema in `schema`,
//!    which is generated from the report's types, and a name such as `armfleet-plan/1`: a field may be added, and every other
//!    change needs the next number.
//!
//! # Invariants
//!
//! Each is a test, most of them in `tests/tidy.rs`.
//!
//! - The core (`values paths qcow2 trust problem yaml fleetfile fleet format xml boot mark inventory domain plan imagined doctor report`) names no
//!   libvirt, file system, environment, clock or process. Planning twice gives the same bytes; the order of keys in the file does not matter.
//! - Modules use what the map says; no files use each other in a circle.
//! - The `plan` command holds nothing that could write: a dry run is a type, not a flag.
//! - A spec, an inventory, a plan and a record hold no secret but templates; the steps that define a domain and that make its
//!   disk for cloud-init fill them. The texts of such disks are in a spec and in no plan, inventory or record.
//! - Success is an empty residual. There is no second comparison to disagree with the first.
//! - Failing the n-th primitive call, for every n, and applying again converges.
//! - Only `cli` and the hook's `main` print.
//! - An edit keeps every byte of a definition that it does not name.
//! - Nothing in the boot share is followed, trusted or written: its guest owns every byte there.

pub mod boot;
pub mod cli;
pub mod doctor;
pub mod domain;
pub mod engine;
pub mod files;
pub mod fleet;
pub mod fleetfile;
pub mod format;
pub mod hook;
pub mod host;
pub mod imagined;
pub mod inventory;
pub mod mark;
pub mod paths;
pub mod plan;
pub mod problem;
pub mod qcow2;
pub mod report;
pub mod staging;
pub mod trust;
pub mod values;
pub mod watch;
pub mod xml;
pub mod yaml;
