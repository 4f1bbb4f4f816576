//! From the values of a VM, put together and with placeholders replaced, to the spec's.

use super::document::{Node, Value};
use super::draft::{DraftBoot, DraftDisk, DraftSeed, DraftVm, Drafts};
pub(super) use super::expand::HOST;
use super::expand::{Placeholders, Room};
use super::fields::{At, Field, Fields, at, fields};
use super::install::install;
use super::keys;
use super::layers;
use super::problem::{Checked, Code, Found, Problem};
use super::sources::Sources;
use super::values::{Words, accept, boolean, later, parsed, size, text, whole, word, wrong_type};
use super::vars::Vars;
use super::{
    Accel, Arch, Cmdline, DesiredState, FleetName, Given, GuestReboot, Handover, HostPath, Restart,
    Transport, Unacceptable, VmName, parse_duration,
};

/// The QEMU machine unless the file says otherwise.
pub(super) const MACHINE: &str = "virt";

pub(super) const ARCH: &Words<Arch> = &[("armhf", Some(Arch::Armhf)), ("arm64", None)];
pub(super) const ACCEL: &Words<Accel> = &[
    ("auto", Some(Accel::Auto)),
    ("kvm", Some(Accel::Kvm)),
    ("tcg", Some(Accel::Tcg)),
];
pub(super) const TRANSPORT: &Words<Transport> = &[
    ("mmio", Some(Transport::Mmio)),
    ("pci", Some(Transport::Pci)),
];
pub(super) const FROM: &Words<()> = &[("share", Some(())), ("files", None), ("uefi", None)];
pub(super) const HANDOVER: &Words<Handover> = &[
    ("copy", Some(Handover::Copy)),
    ("link", Some(Handover::Link)),
];
pub(super) const FORMAT: &Words<()> = &[("raw", Some(())), ("qcow2", None)];
/// Suffixes of images that are not raw. Attached as a raw disk, such a file's first sectors would be overwritten.
const OTHER_FORMATS: [&str; 6] = ["qcow2", "qcow", "qed", "vmdk", "vdi", "vhdx"];
pub(super) const STATE: &Words<DesiredState> = &[
    ("running", Some(DesiredState::Running)),
    ("stopped", Some(DesiredState::Stopped)),
    ("ignore", None),
];
pub(super) const RESTART: &Words<Restart> = &[
    ("never", Some(Restart::Never)),
    ("when-required", Some(Restart::WhenRequired)),
];
pub(super) const GUEST_REBOOT: &Words<GuestReboot> = &[
    ("cold-boot", Some(GuestReboot::ColdBoot)),
    ("warm", Some(GuestReboot::Warm)),
    ("stop", Some(GuestReboot::Stop)),
];

/// What a VM's values are read with.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    sources: &'a Sources<'a>,
    vm: Checked<&'a str>,
}

/// Reads a whole fleet.
pub(super) fn resolve(
    root: &Node,
    sources: &Sources<'_>,
    given: &Given,
    found: &mut Found,
) -> Checked<Drafts> {
    let start = root.range.start..root.range.start;
    let fields = fields(root, &start, &keys::FILE, found)?;
    let none = Placeholders::none(&given.secrets, sources);
    let vars = &Vars::read(fields.get("vars"), &given.vars, &none, found);
    let fleet = fleet(
        &fields,
        Placeholders {
            vars: Some(vars),
            ..none
        },
        found,
    );
    let name = fleet.as_ref().map(|fleet| fleet.value.as_str());
    let words = Placeholders {
        host: Some(HOST),
        fleet: Some(name.map_err(|reported| *reported)),
        vars: Some(vars),
        ..none
    };
    let vms = layers::vms(&fields, words, found);
    Ok(Drafts { fleet, vms })
}

fn fleet(
    fields: &Fields<'_>,
    words: Placeholders<'_>,
    found: &mut Found,
) -> Checked<At<FleetName>> {
    let field = fields.required("fleet", found)?;
    let node = words.expand(field.node, &mut Room::default(), found)?;
    let field = Field {
        node: &node,
        ..field.clone()
    };
    parsed(&field, "a name", str::parse, found)
}

/// Reads a VM whose values are put together in `node`; `key` is where it is declared.
pub(super) fn vm(
    name: Checked<VmName>,
    key: &Node,
    node: &Node,
    scope: Scope<'_>,
    found: &mut Found,
) -> Checked<DraftVm> {
    let fields = &fields(node, &key.range, &keys::VM, found)?;
    if let Some(host) = fields.get("host") {
        let _reported = host_name(host, found);
    }
    let state = optional(fields, "state", DesiredState::Running, |field| {
        word(field, STATE, found)
    });
    Ok(DraftVm {
        arch: required(fields, "arch", found, |field, found| {
            word(field, ARCH, found)
        }),
        accel: optional(fields, "accel", Accel::Auto, |field| {
            word(field, ACCEL, found)
        }),
        machine: match fields.get("machine") {
            Some(field) => parsed(field, "a name", str::parse, found).map(|machine| machine.value),
            None => accepted(MACHINE.parse(), key, found),
        },
        memory: required(fields, "memory", found, |field, found| {
            size(field, "512MiB", found)
        }),
        vcpus: match fields.get("vcpus") {
            Some(field) => vcpus(field, found),
            None => Ok(At::new(1, &key.range)),
        },
        transport: optional(fields, "transport", None, |field| {
            word(field, TRANSPORT, found).map(Some)
        }),
        boot: boot(fields, key, scope, found),
        install: install(fields, scope, found),
        disks: disks(fields, scope, found),
        console_log: console_log(fields, scope, found),
        autostart: match fields.get("autostart") {
            Some(field) => boolean(field, found),
            None => state.map(|state| state == DesiredState::Running),
        },
        on_guest_reboot: optional(fields, "on_guest_reboot", GuestReboot::ColdBoot, |field| {
            word(field, GUEST_REBOOT, found)
        }),
        stop_timeout: match fields.get("stop_timeout") {
            Some(field) => parsed(field, "a duration, as in 2min", parse_duration, found),
            None => Ok(At::new(super::DEFAULT_STOP_TIMEOUT, &key.range)),
        },
        restart: optional(fields, "restart", Restart::Never, |field| {
            word(field, RESTART, found)
        }),
        protect: optional(fields, "protect", false, |field| boolean(field, found)),
        state,
        name: name.map(|name| At::new(name, &key.range)),
        layers: Vec::new(),
    })
}

pub(super) fn required<'n, T>(
    fields: &Fields<'n>,
    name: &str,
    found: &mut Found,
    read: impl FnOnce(&Field<'n>, &mut Found) -> Checked<T>,
) -> Checked<T> {
    let field = fields.required(name, found)?;
    read(field, found)
}

fn optional<'n, T>(
    fields: &Fields<'n>,
    name: &str,
    default: T,
    read: impl FnOnce(&Field<'n>) -> Checked<T>,
) -> Checked<T> {
    fields.get(name).map_or(Ok(default), read)
}

/// A value, or a report of why it cannot be.
fn accepted<T>(parsed: Result<T, Unacceptable>, node: &Node, found: &mut Found) -> Checked<T> {
    parsed.map_err(|why| found.report(at(Code::WrongValue, node, why.0)))
}

fn host_name(field: &Field<'_>, found: &mut Found) -> Checked<()> {
    match text(field, "a name", found)? {
        HOST => Ok(()),
        other => Err(later(field, other, found)),
    }
}

fn vcpus(field: &Field<'_>, found: &mut Found) -> Checked<At<u32>> {
    let count = whole(field, found)?;
    u32::try_from(count.value)
        .map(|value| At::new(value, &count.range))
        .map_err(|_| {
            let message = format!("no guest has {} virtual CPUs", count.value);
            found.report(at(Code::VcpuRange, field.node, message))
        })
}

fn boot(vm: &Fields<'_>, vm_key: &Node, scope: Scope<'_>, found: &mut Found) -> Checked<DraftBoot> {
    let Some(field) = vm.get("boot") else {
        let problem = at(Code::MissingKey, vm_key, "a VM needs `boot.cmdline`");
        let help = "add it, as in `boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }`";
        return Err(found.report(problem.help(help)));
    };
    let fields = &fields(field.node, &field.key, &keys::BOOT, found)?;
    let from = optional(fields, "from", (), |field| word(field, FROM, found));
    let share = match fields.get("share") {
        Some(field) => scope.host_path(field, found),
        None => scope.default_share(vm_key, found),
    };
    let handover = optional(fields, "handover", Handover::Copy, |field| {
        word(field, HANDOVER, found)
    });
    let cmdline = required(fields, "cmdline", found, |field, found| {
        scope.cmdline(field, found)
    });
    let seed = match fields.get("seed") {
        Some(field) => seed(field, scope, found).map(Some),
        None => Ok(None),
    };
    let confirm_within = match fields.get("confirm_within") {
        Some(field) => parsed(field, "a duration, as in 5min", parse_duration, found).map(Some),
        None => Ok(None),
    };
    from?;
    Ok(DraftBoot {
        share,
        handover,
        cmdline,
        seed,
        confirm_within,
    })
}

fn seed(field: &Field<'_>, scope: Scope<'_>, found: &mut Found) -> Checked<DraftSeed> {
    let fields = &fields(field.node, &field.key, &keys::SEED, found)?;
    Ok(DraftSeed {
        kernel: required(fields, "kernel", found, |field, found| {
            scope.path_beside(field, found)
        }),
        initrd: required(fields, "initrd", found, |field, found| {
            scope.path_beside(field, found)
        }),
    })
}

fn console_log(
    vm: &Fields<'_>,
    scope: Scope<'_>,
    found: &mut Found,
) -> Checked<Option<At<HostPath>>> {
    let Some(field) = vm.get("console") else {
        return Ok(None);
    };
    let fields = fields(field.node, &field.key, &keys::CONSOLE, found)?;
    fields
        .get("log")
        .map(|field| scope.host_path(field, found))
        .transpose()
}

fn disks(vm: &Fields<'_>, scope: Scope<'_>, found: &mut Found) -> Checked<Vec<Checked<DraftDisk>>> {
    let Some(field) = vm.get("disks") else {
        return Ok(Vec::new());
    };
    let Value::List(entries) = &field.node.value else {
        return Err(wrong_type(field, "a list of disks", found));
    };
    if let Some(second) = entries.get(1) {
        let message = "more than one disk is not supported yet";
        found.report(at(Code::NotSupportedYet, second, message));
    }
    Ok(entries
        .iter()
        .map(|entry| disk(entry, scope, found))
        .collect())
}

fn disk(entry: &Node, scope: Scope<'_>, found: &mut Found) -> Checked<DraftDisk> {
    let fields = &fields(entry, &entry.range, &keys::DISK, found)?;
    let path = required(fields, "path", found, |field, found| {
        scope.host_path(field, found)
    });
    let format = match fields.get("format") {
        Some(field) => word(field, FORMAT, found),
        None => Ok(()),
    };
    if let (Ok(path), Ok(())) = (&path, format) {
        let _reported = raw_file(path, fields.get("format"), found);
    }
    let name = match (fields.get("name"), &path) {
        (Some(field), _) => {
            let text = text(field, "a name", found);
            text.and_then(|text| accept(field, text.parse(), found))
        }
        (None, Ok(path)) => name_of(path, found),
        (None, Err(reported)) => Err(*reported),
    };
    let size = match fields.get("size") {
        Some(field) => size(field, "8GiB", found).map(Some),
        None => Ok(None),
    };
    format?;
    Ok(DraftDisk { name, path, size })
}

/// Reports a path that is no raw image: a device, or a file whose suffix is another format's.
fn raw_file(path: &At<HostPath>, format: Option<&Field<'_>>, found: &mut Found) -> Checked<()> {
    let later = |message| Problem::new(Code::NotSupportedYet, &path.range, message);
    if path.value.as_str().starts_with("/dev/") {
        let message = "a device as a disk is not supported yet";
        return Err(found.report(later(message.to_owned()).help("use an image file")));
    }
    let suffix = path
        .value
        .file_name()
        .rsplit_once('.')
        .map(|(_, suffix)| suffix);
    let other = OTHER_FORMATS.iter().find(|other| suffix == Some(**other));
    let (Some(other), format) = (other, format) else {
        return Ok(());
    };
    let help = format!("`qemu-img convert -f {other} -O raw` makes a raw image; call it `.img`");
    let problem = match format {
        None => later(format!("an image in {other} format is not supported yet")),
        Some(format) => {
            let message = format!("a raw image must not be called `.{other}`");
            Problem::new(Code::DiskFormat, &path.range, message)
                .also(&format.node.range, "declared raw here")
        }
    };
    Err(found.report(problem.help(help)))
}

/// A disk's name where none is given: its file's, without the suffix.
fn name_of(path: &At<HostPath>, found: &mut Found) -> Checked<At<super::DiskName>> {
    let file = path.value.file_name();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    match stem.parse() {
        Ok(name) => Ok(At::new(name, &path.range)),
        Err(why) => {
            let message = format!("the disk cannot be called after `{file}`: {why}");
            let problem =
                Problem::new(Code::WrongValue, &path.range, message).help("give it a `name`");
            Err(found.report(problem))
        }
    }
}

impl<'a> Scope<'a> {
    pub(super) const fn new(sources: &'a Sources<'a>, vm: Checked<&'a str>) -> Self {
        Self { sources, vm }
    }
    pub(super) fn cmdline(&self, field: &Field<'_>, found: &mut Found) -> Checked<At<Cmdline>> {
        let text = text(field, "a text", found)?;
        if text.trim_end().contains('\n') || !text.ends_with('\n') {
            return accept(field, text.parse(), found);
        }
        let message = "the kernel command line ends in a line break";
        let problem = at(Code::WrongValue, field.node, message)
            .help("begin the block with `>-`, which drops it, instead of `>` or `|`");
        Err(found.report(problem))
    }

    /// An absolute path on the host.
    fn host_path(&self, field: &Field<'_>, found: &mut Found) -> Checked<At<HostPath>> {
        let text = text(field, "a path", found)?;
        if text.starts_with('/') {
            return accept(field, text.parse(), found);
        }
        let message = format!("`{}` is an absolute path, not `{text}`", field.name);
        let problem = at(Code::WrongValue, field.node, message);
        let problem = problem.help("it is a path on the VM's host: begin it with `/`");
        Err(found.report(problem))
    }

    /// A path on the host, or one beside the fleet file.
    pub(super) fn path_beside(
        &self,
        field: &Field<'_>,
        found: &mut Found,
    ) -> Checked<At<HostPath>> {
        let text = text(field, "a path", found)?;
        if text.is_empty() {
            return Err(wrong_type(field, "a path", found));
        }
        if text.starts_with('~') {
            let message = "`~` stands for nobody's home here";
            let problem = at(Code::WrongValue, field.node, message);
            return Err(found.report(problem.help("write the path out, from `/`")));
        }
        let folder = self.sources.folder(field.node.range.start);
        let path = beside(folder, text).parse();
        match (
            &path,
            text.starts_with('/') || format!("/{text}").parse::<HostPath>().is_err(),
        ) {
            (Err(why), false) => {
                let message = format!("nothing can be named beside this file: {why}");
                let problem = at(Code::WrongValue, field.node, message);
                let help = format!("it is in {folder}: move it, or begin the path with `/`");
                Err(found.report(problem.help(help)))
            }
            _ => accept(field, path, found),
        }
    }

    /// Where the boot share is unless the file says otherwise.
    fn default_share(&self, vm_key: &Node, found: &mut Found) -> Checked<At<HostPath>> {
        let path = accepted(format!("/srv/{}-boot", self.vm?).parse(), vm_key, found)?;
        Ok(At::new(path, &vm_key.range))
    }
}

/// A path as seen from a folder: `./` and `../` count from there.
fn beside(folder: &str, path: &str) -> String {
    let mut folder = folder.trim_end_matches('/');
    let mut path = path;
    if path.starts_with('/') {
        return path.to_owned();
    }
    loop {
        if let Some(rest) = path.strip_prefix("./") {
            path = rest;
        } else if let Some(rest) = path.strip_prefix("../") {
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
            path = rest;
        } else {
            return format!("{folder}/{path}");
        }
    }
}
