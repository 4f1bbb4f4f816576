//! The scenario of a case (`scenario.yaml`): what the host has, what was applied, and what happened since.

use super::case::text;
use super::kernels::whole;
use super::{DATA, new_host_with, perform_in_order, spec};
use armfleet::fleet::DiskFormat;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives};
use armfleet::inventory::{Fact, RawBits32};
use armfleet::mark::{Hold, render_hold};
use armfleet::paths;
use armfleet::values::{Size, VmName};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const ROOT: Owner = Owner { uid: 0, gid: 0 };
/// QEMU's user on the captured host.
const QEMU: Owner = Owner {
    uid: 64055,
    gid: 64055,
};

/// A scenario.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What the host has, where that matters.
    #[serde(default)]
    pub(crate) host: HostFacts,
    /// The fleet file that was applied, relative to the case; on a new host there is none. Since then every guest that
    /// boots a kernel of its own has written to its disks.
    applied: Option<String>,
    /// What happened behind armfleet's back since, in this order.
    #[serde(default, with = "serde_yaml::with::singleton_map_recursive")]
    then: Vec<Event>,
    /// The options of the command line.
    pub(crate) options: Option<String>,
}

/// What a host has. Without a word about it, that is what the captured host has: QEMU for ARM, no KVM, and machines
/// `virt` of 512 vCPUs.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostFacts {
    /// Its memory.
    pub(crate) memory: Option<Bytes>,
    /// How many vCPUs its machine `virt` takes.
    pub(crate) vcpus: Option<u32>,
    /// Whether it has KVM for ARM guests.
    #[serde(default)]
    pub(crate) kvm: bool,
    /// What an arm64 host says of guests with 32 bits
    pub(crate) bits32: Option<Bits32>,
    /// Whether it lacks an emulator for ARM guests.
    #[serde(default)]
    pub(crate) no_emulator: bool,
    /// Its bridges.
    #[serde(default)]
    pub(crate) bridges: Vec<String>,
    /// The networks of libvirt that are active and start with it.
    #[serde(default)]
    pub(crate) networks: Vec<String>,
    /// The room left in the file systems of these folders.
    #[serde(default)]
    pub(crate) free: BTreeMap<String, Bytes>,
}

/// What an arm64 host says of guests with 32 bits; without a word, that it could not be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bits32 {
    kernels: Option<bool>,
    programs: Option<bool>,
}

impl Bits32 {
    pub(crate) fn of(kernels: bool, programs: bool) -> Self {
        Self {
            kernels: Some(kernels),
            programs: Some(programs),
        }
    }

    pub(crate) fn raw(&self) -> RawBits32 {
        let fact = |said: Option<bool>, why: &str| match said {
            Some(said) => Fact::Present(said),
            None => Fact::Unreadable(why.to_owned()),
        };
        RawBits32 {
            kernels: fact(self.kernels, "/dev/kvm: Permission denied"),
            programs: fact(self.programs, "setarch: No such file or directory"),
        }
    }
}

/// What can happen on a host. Domains, files and images are named; paths are those of the host.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Event {
    /// Another fleet file is applied; no guest writes anything.
    Apply(String),

    /// `virsh destroy`
    PowerOff(String),
    /// `virsh start`
    Start(String),
    /// `virsh destroy`, then `virsh start`
    Restart(String),
    /// `virsh define`, of this XML
    Define(String),
    /// `virsh undefine`
    Undefine(String),
    /// `virsh domrename`
    Rename {
        domain: String,
        to: String,
    },
    /// `virt-clone`: the images are copied, the share is not
    Clone {
        domain: String,
        to: String,
    },
    /// `virsh managedsave`
    Save(String),
    /// `virsh snapshot-create-as` and `virsh checkpoint-create-as`
    Snapshot {
        domain: String,
        name: String,
        checkpoint: String,
    },
    /// `virsh edit`: in the place of a text another, everywhere
    Edit {
        domain: String,
        replace: String,
        with: String,
    },
    /// `virsh edit`: its metadata is taken out
    Unmark(String),
    /// `virsh autostart --disable`
    DisableAutostart(String),
    /// libvirt says that the domain is in this state.
    State {
        domain: String,
        is: State,
    },
    /// libvirt cannot dump the domain's definition.
    UnreadableDefinition {
        domain: String,
        why: String,
    },
    StopLibvirt,
    RestartLibvirt,
    /// QEMU is upgraded to one whose machine `virt` has this name, and which has not the former one.
    UpgradeQemu {
        from: String,
        to: String,
    },

    /// A file of root's, mode 0644; filled up to the size with zero bytes
    Write {
        path: String,
        text: String,
        size: Option<Bytes>,
    },
    /// A kernel or an initrd, as its name says, with this in it
    Seed {
        path: String,
        text: String,
    },
    /// In a file, in the place of a text another, everywhere
    EditFile {
        path: String,
        replace: String,
        with: String,
    },
    /// A raw image, mode 0600, with this at its beginning
    CreateImage {
        path: String,
        size: Bytes,
        text: Option<String>,
    },
    /// Cuts a file, or grows it with zero bytes.
    Resize {
        path: String,
        to: Bytes,
    },
    /// A folder with mode 0755 of root's, or 0700 of QEMU's
    CreateFolder {
        path: String,
        #[serde(default)]
        of_qemu: bool,
    },
    CreateSocket(String),
    /// `ln`, or of a folder `mount --bind`
    Bind {
        path: String,
        to: String,
    },
    /// A file or a folder with all in it
    Remove(String),
    /// `chown` to a user and their group of the same number, and `chmod`, in octal
    Own {
        path: String,
        uid: u32,
        mode: String,
    },
    /// Nobody can look at it any more.
    Unreadable {
        path: String,
        why: String,
    },

    /// The guest makes a file in its share.
    GuestFile {
        share: String,
        name: String,
        text: String,
    },
    /// The guest writes to its disk.
    GuestWrites(String),
    /// The guest's package manager installs a kernel, its initrd and the links to both.
    GuestInstalls {
        share: String,
        kernel: String,
    },

    /// `armfleet hold`, until this time in seconds since 1970-01-01 UTC, or for good
    Hold {
        vm: VmName,
        until: Option<u64>,
    },
    /// `armfleet watch` ends.
    StopWatch,
}

/// States of a domain that no verb above leads to.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    PausedByUser,
    PausedForMigration,
    PausedByIoError,
    /// Its process ends seven seconds later.
    ShuttingDown,
    Crashed,
    Asleep,
    /// One that no version of libvirt had when this was written
    Unknown,
}

impl State {
    /// `virDomainState` and its reason.
    fn numbers(self) -> (u32, u32) {
        match self {
            Self::PausedByUser => (3, 1),
            Self::PausedForMigration => (3, 3),
            Self::PausedByIoError => (3, 5),
            Self::ShuttingDown => (4, 1),
            Self::Crashed => (6, 1),
            Self::Asleep => (7, 0),
            Self::Unknown => (9, 0),
        }
    }
}

/// A size in bytes, written as in a fleet file.
#[derive(Clone, Copy)]
pub(crate) struct Bytes(pub(crate) u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let size: Result<Size, _> = String::deserialize(deserializer)?.parse();
        size.map(|size| Self(size.bytes()))
            .map_err(serde::de::Error::custom)
    }
}

impl Scenario {
    /// Whether this file of the case is applied in it.
    pub(crate) fn applies(&self, file: &str) -> bool {
        let later = self.then.iter().filter_map(|event| match event {
            Event::Apply(file) => Some(file),
            _ => None,
        });
        self.applied.iter().chain(later).any(|name| name == file)
    }

    /// The host on which it happened. It is the same every time.
    #[track_caller]
    pub(crate) fn play(&self, folder: &Path) -> Memory {
        let host = new_host_with(&self.host);
        if let Some(file) = &self.applied {
            let fleet = text(folder, file);
            perform_in_order(&host, &fleet);
            guests_write(&host, &fleet);
        }
        for event in &self.then {
            event.happen(&host, folder);
        }
        host
    }
}

/// Every guest that boots a kernel of its own writes to its disks.
fn guests_write(host: &Memory, fleet: &str) {
    for vm in spec(fleet).vms.values().filter(|vm| vm.install.is_none()) {
        // What they write into a qcow2 image is not at its beginning.
        let raw = vm
            .disks
            .iter()
            .filter(|disk| disk.format == DiskFormat::Raw);
        for disk in raw {
            host.write_image(disk.path.as_str(), DATA).unwrap();
        }
    }
}

impl Event {
    fn happen(&self, host: &Memory, folder: &Path) {
        match self {
            Self::Apply(file) => perform_in_order(host, &text(folder, file)),

            Self::PowerOff(domain) => host.destroy(domain).unwrap(),
            Self::Start(domain) => host.start(&host.uuid_of(domain).unwrap()).unwrap(),
            Self::Restart(domain) => {
                host.destroy(domain).unwrap();
                host.start(&host.uuid_of(domain).unwrap()).unwrap();
            }
            Self::Define(xml) => host.define(xml).unwrap(),
            Self::Undefine(domain) => host.undefine_domain(domain).unwrap(),
            Self::Rename { domain, to } => host.rename_domain(domain, to).unwrap(),
            Self::Clone { domain, to } => host.clone_domain(domain, to).unwrap(),
            Self::Save(domain) => host.save_domain(domain).unwrap(),
            Self::Snapshot {
                domain,
                name,
                checkpoint,
            } => host.add_snapshot(domain, name, checkpoint).unwrap(),
            Self::Edit {
                domain,
                replace,
                with,
            } => host
                .edit_domain(domain, |xml| replaced(xml, replace, with))
                .unwrap(),
            Self::Unmark(domain) => host.edit_domain(domain, unmarked).unwrap(),
            Self::DisableAutostart(domain) => {
                let uuid = host.uuid_of(domain).unwrap();
                host.set_autostart(&uuid, false).unwrap();
            }
            Self::State { domain, is } => put_into(host, domain, *is),
            Self::UnreadableDefinition { domain, why } => host.forbid_dump(domain, why).unwrap(),
            Self::StopLibvirt => host.stop_daemon(),
            Self::RestartLibvirt => host.restart_daemon(),
            Self::UpgradeQemu { from, to } => host.upgrade_qemu(from, to),

            Self::Write { path, text, size } => {
                host.put_file(path, text).unwrap();
                if let Some(size) = size {
                    host.truncate(path, size.0).unwrap();
                }
            }
            Self::Seed { path, text } => {
                let (_, name) = path.rsplit_once('/').unwrap();
                host.put_file(path, whole(name, text)).unwrap();
            }
            Self::EditFile {
                path,
                replace,
                with,
            } => {
                let text = String::from_utf8(host.bytes(path).unwrap()).unwrap();
                host.put_file(path, replaced(&text, replace, with)).unwrap();
            }
            Self::CreateImage { path, size, text } => {
                host.create_image(path, &[], size.0).unwrap();
                if let Some(text) = text {
                    host.write_image(path, text).unwrap();
                }
            }
            Self::Resize { path, to } => host.truncate(path, to.0).unwrap(),
            Self::CreateFolder { path, of_qemu } => {
                let (mode, owner) = if *of_qemu {
                    (0o700, QEMU)
                } else {
                    (0o755, ROOT)
                };
                host.make_folder(path, mode, Some(owner)).unwrap();
            }
            Self::Bind { path, to } => host.bind(path, to).unwrap(),
            Self::CreateSocket(path) => host.put_special(path).unwrap(),
            Self::Remove(path) => host.remove(path),
            Self::Own { path, uid, mode } => {
                let mode = u32::from_str_radix(mode, 8).unwrap();
                let owner = Owner {
                    uid: *uid,
                    gid: *uid,
                };
                host.own(path, mode, owner).unwrap();
            }
            Self::Unreadable { path, why } => host.make_unreadable(path, why),

            Self::GuestFile { share, name, text } => {
                host.put_guest_file(share, name, text).unwrap();
            }
            Self::GuestWrites(disk) => host.write_image(disk, DATA).unwrap(),
            Self::GuestInstalls { share, kernel } => install_kernel(host, share, kernel),

            Self::Hold { vm, until } => hold(host, vm, *until),
            Self::StopWatch => host.remove_file(paths::WATCH_LOCK).unwrap(),
        }
    }
}

#[track_caller]
fn replaced(text: &str, part: &str, with: &str) -> String {
    assert!(text.contains(part), "no `{part}` in {text}");
    text.replace(part, with)
}

/// A definition without its metadata, where armfleet's mark is.
fn unmarked(definition: &str) -> String {
    let (before, rest) = definition.split_once("  <metadata>").unwrap();
    let (_, after) = rest.split_once("  </metadata>\n").unwrap();
    format!("{before}{after}")
}

fn put_into(host: &Memory, domain: &str, state: State) {
    let (number, reason) = state.numbers();
    host.set_state(domain, number, reason).unwrap();
    if matches!(state, State::ShuttingDown) {
        host.end_process_after(domain, Duration::from_secs(7))
            .unwrap();
    }
}

/// A guest installs a kernel as Debian does, its initrd being made last.
pub(crate) fn install_kernel(host: &Memory, share: &str, version: &str) {
    for name in ["vmlinuz", "initrd.img"] {
        let file = format!("{name}-{version}");
        let bytes = whole(&file, &file);
        host.put_guest_file(share, &file, bytes).unwrap();
        if let Some(old) = host.bytes(&format!("{share}/{name}")) {
            let old = String::from_utf8(old).unwrap();
            host.put_guest_link(share, &format!("{name}.old"), &old)
                .unwrap();
        }
        host.put_guest_link(share, name, &file).unwrap();
    }
}

fn hold(host: &Memory, vm: &VmName, until: Option<u64>) {
    let hold = Hold {
        by: "anna".to_owned(),
        at: 1_700_000_000,
        until,
        why: Some("its disk is being moved".to_owned()),
    };
    host.put_file(&paths::hold(vm), render_hold(&hold).unwrap())
        .unwrap();
}
