//! From the values of a VM, put together and with placeholders replaced, to the spec's.

use super::expand::HOST;
use super::expand::{Placeholders, Room};
use super::fields::{Field, Fields, Spanned, fields};
use super::install::install;
use super::keys;
use super::layers;
use super::partial::{PartialBoot, PartialDisk, PartialSeed, PartialSpec, PartialVm};
use super::read::Given;
use super::scalars::{Words, accept, boolean, later, parsed, size, text, whole, word, wrong_type};
use super::vars::Vars;
use super::wanted::{Accel, Arch, DesiredState, GuestReboot, Handover, Restart, Transport};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{Cmdline, DiskName, FleetName, HostPath, Unacceptable, VmName, parse_duration};
use crate::yaml::Sources;
use crate::yaml::at;
use crate::yaml::{Node, Value};

/// The QEMU machine unless the file says otherwise.
pub(crate) const MACHINE: &str = "virt";

pub(crate) const ARCH: &Words<Arch> = &[("armhf", Some(Arch::Armhf)), ("arm64", None)];
pub(crate) const ACCEL: &Words<Accel> = &[
    ("auto", Some(Accel::Auto)),
    ("kvm", Some(Accel::Kvm)),
    ("tcg", Some(Accel::Tcg)),
];
pub(crate) const TRANSPORT: &Words<Transport> = &[
    ("mmio", Some(Transport::Mmio)),
    ("pci", Some(Transport::Pci)),
];
pub(crate) const FROM: &Words<()> = &[("share", Some(())), ("files", None), ("uefi", None)];
pub(crate) const HANDOVER: &Words<Handover> = &[
    ("copy", Some(Handover::Copy)),
    ("link", Some(Handover::Link)),
];
pub(crate) const FORMAT: &Words<()> = &[("raw", Some(())), ("qcow2", None)];
/// Suffixes of images that are not raw. Attached as a raw disk, such a file's first sectors would be overwritten.
const OTHER_FORMATS: [&str; 6] = ["qcow2", "qcow", "qed", "vmdk", "vdi", "vhdx"];
pub(crate) const STATE: &Words<DesiredState> = &[
    ("running", Some(DesiredState::Running)),
    ("stopped", Some(DesiredState::Stopped)),
    ("ignore", None),
];
pub(crate) const RESTART: &Words<Restart> = &[
    ("never", Some(Restart::Never)),
    ("when-required", Some(Restart::WhenRequired)),
];
pub(crate) const GUEST_REBOOT: &Words<GuestReboot> = &[
    ("cold-boot", Some(GuestReboot::ColdBoot)),
    ("warm", Some(GuestReboot::Warm)),
    ("stop", Some(GuestReboot::Stop)),
];

/// What a VM's values are read with.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    sources: &'a Sources<'a>,
    vm: Checked<&'a str>,
}

/// Reads a whole fleet.
pub(crate) fn resolve(
    root: &Node,
    sources: &Sources<'_>,
    given: &Given,
    found: &mut Diagnostics,
) -> Checked<PartialSpec> {
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
    Ok(PartialSpec { fleet, vms })
}

fn fleet(
    fields: &Fields<'_>,
    words: Placeholders<'_>,
    found: &mut Diagnostics,
) -> Checked<Spanned<FleetName>> {
    let field = fields.required("fleet", found)?;
    let node = words.expand(field.node, &mut Room::default(), found)?;
    let field = Field {
        node: &node,
        ..field.clone()
    };
    parsed(&field, "a name", str::parse, found)
}

/// Reads a VM whose values are put together in `node`; `key` is where it is declared.
pub(crate) fn vm(
    name: Checked<VmName>,
    key: &Node,
    node: &Node,
    scope: Scope<'_>,
    found: &mut Diagnostics,
) -> Checked<PartialVm> {
    let fields = &fields(node, &key.range, &keys::VM, found)?;
    if let Some(host) = fields.get("host") {
        let _reported = host_name(host, found);
    }
    let state = optional(fields, "state", DesiredState::Running, |field| {
        word(field, STATE, found)
    });
    Ok(PartialVm {
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
            None => Ok(Spanned::new(1, &key.range)),
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
            None => Ok(Spanned::new(super::DEFAULT_STOP_TIMEOUT, &key.range)),
        },
        restart: optional(fields, "restart", Restart::Never, |field| {
            word(field, RESTART, found)
        }),
        protect: optional(fields, "protect", false, |field| boolean(field, found)),
        state,
        name: name.map(|name| Spanned::new(name, &key.range)),
        layers: Vec::new(),
    })
}

pub(crate) fn required<'n, T>(
    fields: &Fields<'n>,
    name: &str,
    found: &mut Diagnostics,
    read: impl FnOnce(&Field<'n>, &mut Diagnostics) -> Checked<T>,
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
fn accepted<T>(
    parsed: Result<T, Unacceptable>,
    node: &Node,
    found: &mut Diagnostics,
) -> Checked<T> {
    parsed.map_err(|why| found.report(at(ProblemKind::WrongValue, node, why.0)))
}

fn host_name(field: &Field<'_>, found: &mut Diagnostics) -> Checked<()> {
    match text(field, "a name", found)? {
        HOST => Ok(()),
        other => Err(later(field, other, found)),
    }
}

fn vcpus(field: &Field<'_>, found: &mut Diagnostics) -> Checked<Spanned<u32>> {
    let count = whole(field, found)?;
    u32::try_from(count.value)
        .map(|value| Spanned::new(value, &count.range))
        .map_err(|_| {
            let message = format!("no guest has {} virtual CPUs", count.value);
            found.report(at(ProblemKind::VcpuRange, field.node, message))
        })
}

fn boot(
    vm: &Fields<'_>,
    vm_key: &Node,
    scope: Scope<'_>,
    found: &mut Diagnostics,
) -> Checked<PartialBoot> {
    let Some(field) = vm.get("boot") else {
        let problem = at(ProblemKind::MissingKey, vm_key, "a VM needs `boot.cmdline`");
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
    Ok(PartialBoot {
        share,
        handover,
        cmdline,
        seed,
        confirm_within,
    })
}

fn seed(field: &Field<'_>, scope: Scope<'_>, found: &mut Diagnostics) -> Checked<PartialSeed> {
    let fields = &fields(field.node, &field.key, &keys::SEED, found)?;
    Ok(PartialSeed {
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
    found: &mut Diagnostics,
) -> Checked<Option<Spanned<HostPath>>> {
    let Some(field) = vm.get("console") else {
        return Ok(None);
    };
    let fields = fields(field.node, &field.key, &keys::CONSOLE, found)?;
    fields
        .get("log")
        .map(|field| scope.host_path(field, found))
        .transpose()
}

fn disks(
    vm: &Fields<'_>,
    scope: Scope<'_>,
    found: &mut Diagnostics,
) -> Checked<Vec<Checked<PartialDisk>>> {
    let Some(field) = vm.get("disks") else {
        return Ok(Vec::new());
    };
    let Value::List(entries) = &field.node.value else {
        return Err(wrong_type(field, "a list of disks", found));
    };
    if let Some(second) = entries.get(1) {
        let message = "more than one disk is not supported yet";
        found.report(at(ProblemKind::NotSupportedYet, second, message));
    }
    Ok(entries
        .iter()
        .map(|entry| disk(entry, scope, found))
        .collect())
}

fn disk(entry: &Node, scope: Scope<'_>, found: &mut Diagnostics) -> Checked<PartialDisk> {
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
    Ok(PartialDisk { name, path, size })
}

/// Reports a path that is no raw image: a device, or a file whose suffix is another format's.
fn raw_file(
    path: &Spanned<HostPath>,
    format: Option<&Field<'_>>,
    found: &mut Diagnostics,
) -> Checked<()> {
    let later = |message| Problem::new(ProblemKind::NotSupportedYet, &path.range, message);
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
            Problem::new(ProblemKind::DiskFormat, &path.range, message)
                .also(&format.node.range, "declared raw here")
        }
    };
    Err(found.report(problem.help(help)))
}

/// A disk's name where none is given: its file's, without the suffix.
fn name_of(path: &Spanned<HostPath>, found: &mut Diagnostics) -> Checked<Spanned<DiskName>> {
    let file = path.value.file_name();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    match stem.parse() {
        Ok(name) => Ok(Spanned::new(name, &path.range)),
        Err(why) => {
            let message = format!("the disk cannot be called after `{file}`: {why}");
            let problem = Problem::new(ProblemKind::WrongValue, &path.range, message)
                .help("give it a `name`");
            Err(found.report(problem))
        }
    }
}

impl<'a> Scope<'a> {
    pub(crate) const fn new(sources: &'a Sources<'a>, vm: Checked<&'a str>) -> Self {
        Self { sources, vm }
    }
    pub(crate) fn cmdline(
        &self,
        field: &Field<'_>,
        found: &mut Diagnostics,
    ) -> Checked<Spanned<Cmdline>> {
        let text = text(field, "a text", found)?;
        if text.trim_end().contains('\n') || !text.ends_with('\n') {
            return accept(field, text.parse(), found);
        }
        let message = "the kernel command line ends in a line break";
        let problem = at(ProblemKind::WrongValue, field.node, message)
            .help("begin the block with `>-`, which drops it, instead of `>` or `|`");
        Err(found.report(problem))
    }

    /// An absolute path on the host.
    fn host_path(&self, field: &Field<'_>, found: &mut Diagnostics) -> Checked<Spanned<HostPath>> {
        let text = text(field, "a path", found)?;
        if text.starts_with('/') {
            return accept(field, text.parse(), found);
        }
        let message = format!("`{}` is an absolute path, not `{text}`", field.name);
        let problem = at(ProblemKind::WrongValue, field.node, message);
        let problem = problem.help("it is a path on the VM's host: begin it with `/`");
        Err(found.report(problem))
    }

    /// A path on the host, or one beside the fleet file.
    pub(crate) fn path_beside(
        &self,
        field: &Field<'_>,
        found: &mut Diagnostics,
    ) -> Checked<Spanned<HostPath>> {
        let text = text(field, "a path", found)?;
        if text.is_empty() {
            return Err(wrong_type(field, "a path", found));
        }
        if text.starts_with('~') {
            let message = "`~` stands for nobody's home here";
            let problem = at(ProblemKind::WrongValue, field.node, message);
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
                let problem = at(ProblemKind::WrongValue, field.node, message);
                let help = format!("it is in {folder}: move it, or begin the path with `/`");
                Err(found.report(problem.help(help)))
            }
            _ => accept(field, path, found),
        }
    }

    /// Where the boot share is unless the file says otherwise.
    fn default_share(&self, vm_key: &Node, found: &mut Diagnostics) -> Checked<Spanned<HostPath>> {
        let path = accepted(format!("/srv/{}-boot", self.vm?).parse(), vm_key, found)?;
        Ok(Spanned::new(path, &vm_key.range))
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
