//! A VM: its keys, and what can be wrong with them.

use super::adopt::Adopt;
use super::arch::MOST_VCPUS;
use super::base_image::DiskFormat;
use super::boot::{Boot, PartialSeed, not_within};
use super::cloud_init::CloudInit;
use super::console::Console;
use super::cpu::Cpu;
use super::disk::{Disk, PartialDisk};
use super::duplicates::duplicates;
use super::install::{Install, PartialInstall};
use super::network::{self, Network, PartialNetwork};
use super::share::{FurtherShare, PartialFurtherShare, same_tag};
use crate::fleetfile::{Declared, Field, Scalar, Spanned, ValueType, map, words, written};
use crate::paths::is_device;
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{Arch, Cmdline, GICV2_VCPUS, HostPath, MachineName, Size, Transport, VmName};
use std::fmt;
use std::time::Duration;

/// How long a graceful stop may take unless the file says otherwise; also for a VM that left it.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// The host on which armfleet runs, which is the only one of this version.
pub(crate) const LOCAL: &str = "local";

map! {
    /// One VM as wanted.
    pub struct Vm, PartialVm, "vm": "a VM", "", "it belongs to a VM, under its name",
        name: VmName, "a VM's name is its key under `vms`"
    {
        /// The guest's instruction set. `armhf` is 32-bit ARM with hardware floating point, libvirt's `armv7l`.
        arch: Arch {
            required, effect: Described("when the VM is created; later only together with `userland: armhf`, at the next boot"),
            example: "armhf", also_called: ["architecture"],
        },
        /// The instruction set of the guest's programs, where that is not its kernel's. `armhf` under `arch: arm64` is a Debian armhf
        /// guest with Debian's arm64 kernel, for hosts whose processors run 32-bit programs and no 32-bit kernels: such a guest
        /// runs under KVM there. An armhf VM becomes one, and an armhf VM again, with its disks, share and names, as soon as its
        /// share has such a kernel, which `armfleet guest-setup --kernel arm64` installs. An emulated processor needs the 32-bit
        /// mode, too, as the default one has and `a64fx` has not.
        userland: Arch {
            derived(userland_by_arch): "as `arch`", effect: Now, example: "armhf",
        },
        /// The guest's memory, in whole MiB. An armhf guest has from 32MiB to 3GiB.
        memory: Size { required, effect: NextBoot, example: "512MiB", also_called: ["ram"] },
        /// Where the guest's memory comes from. `hugepages`: from the host's huge pages, as many as `memory` needs. They must
        /// be reserved on the host (`sysctl vm.nr_hugepages`) before the VM starts: QEMU does not start without them.
        /// `default`: from the host's ordinary memory, whatever else asked for huge pages.
        memory_backing: MemoryBacking {
            default: "default", effect: NextBoot, example: "hugepages", also_called: ["hugepages"],
        },
        /// How the VM boots: from the kernel and initrd that its guest installed into its boot share, the folder on the
        /// host that the guest sees as /boot.
        boot: Boot {
            absent: "an error, since `boot.cmdline` must be given", effect: NextBoot,
            example: "{ cmdline: console=ttyAMA0 root=/dev/vda1 }",
        },
        /// What installs the VM, once: its kernel and initrd boot only while the system disk is empty, and never again
        /// after that. `apply --wait` waits until the VM runs the kernel that it installed; `apply --reinstall VM`
        /// erases the disk and installs again.
        install: Option<Install> {
            absent: "nothing is installed", effect: Described("when the VM is created"),
            example: "{ kernel: vmlinuz, initrd: initrd.gz, cmdline: console=ttyAMA0 auto=true }",
        },
        /// The host that the VM is on. `local` is the machine on which armfleet runs.
        host: String as Host { default: "local", effect: Described("when the VM is created"), example: "local" },
        /// The profile whose keys the VM gets. The keys of its range and its own override them.
        profile: Option<String> as Option<Profile> { absent: "the VM has no profile", effect: Now, example: "worker" },
        /// How the guest is executed: `kvm` by the host's processor, `tcg` by QEMU's translator, which runs any guest
        /// on any host, many times slower. With `auto`, an existing domain keeps what it has, and a new one gets KVM
        /// where the host can run such a guest with it.
        accel: Accel { default: "auto", effect: NextBoot, example: "tcg" },
        /// The QEMU machine. libvirt stores the versioned machine that a name stands for when the domain is created
        /// (`virt-7.2` for `virt`), and any of them satisfies `virt`.
        machine: MachineName { default: "virt", effect: NextBoot, example: "virt" },
        /// How many virtual CPUs the guest has: at most 8 under emulation, and at most 32 with `accel: kvm` on a host
        /// with a GICv3.
        vcpus: u32 as Vcpus { default: "1", effect: NextBoot, example: "4", also_called: ["cpus", "cores", "smp"] },
        /// The guest's processor, and the host's CPUs that it may use.
        cpu: Cpu { absent: "the processor that fits the accelerator, on any CPU of the host", effect: NextBoot, example: "{ pin: 0-3 }" },
        /// How virtio devices are attached. `mmio` works with every armhf kernel. On `pci` a kernel without LPAE, such
        /// as Debian's armmp, finds no disk and no network; armmp-lpae does.
        transport: Option<Transport> {
            absent: "an existing domain keeps its own; a new armhf VM gets `mmio`, an arm64 one `pci`", effect: NextBoot, example: "mmio",
        },
        /// The disks, in the order in which the guest numbers them: the first is the system disk, its /dev/vda. Their
        /// identity is their name, so the order of existing entries may change without renaming anything in the guest.
        disks: Vec<Disk> {
            absent: "no disk", effect: NextBoot, example: "[{ path: \"/srv/{name}.img\", size: 8GiB }]",
        },
        /// The network interfaces, in the order in which the guest numbers them: the first is its eth0, where it counts them.
        /// Their identity is their name, so the order of existing entries may change without renaming anything in the guest.
        networks: Vec<Network> {
            absent: "no network", effect: NextBoot, example: "[{ bridge: br0 }]", also_called: ["interfaces", "nics"],
        },
        /// Further folders of the host that the guest can mount, by 9p. Their identity is their tag.
        shares: Vec<FurtherShare> {
            absent: "none but the boot share", effect: NextBoot,
            example: "[{ tag: ccache, path: \"/srv/{name}-ccache\" }]", also_called: ["filesystems"],
        },
        /// The files for cloud-init in the guest: armfleet makes a small disk of them, which cloud-init finds by its
        /// label, `CIDATA` (its datasource NoCloud). It is read-only, and the last of the guest's disks. Changed files are a
        /// new disk at the VM's next boot. cloud-init then runs again what it does at every boot; what it does once, such as
        /// users, packages and `runcmd`, it does again only with another `instance-id`, which `meta_data` can give.
        cloud_init: Option<CloudInit> {
            absent: "there is no such disk", effect: NextBoot, example: "{ user_data: cloud-init/user-data }",
            also_called: ["cloudinit", "cloud-init"],
        },
        /// Whether the guest has a virtio source of random numbers, fed from the host's /dev/urandom: without it a guest with
        /// little else to do may wait minutes for its first key.
        rng: Option<bool> {
            absent: "a new VM gets it, and an existing one stays as it is", effect: NextBoot, example: "true",
        },
        /// Whether the guest has the channel of the QEMU guest agent, which tells the host its addresses. The agent is the
        /// package qemu-guest-agent in the guest.
        agent: Option<bool> {
            absent: "a new VM gets it, and an existing one stays as it is", effect: NextBoot, example: "true",
            also_called: ["guest_agent", "qemu_agent"],
        },
        /// The guest's serial console, ttyAMA0. It is always there for `virsh console`; `log` names a file that keeps
        /// its output.
        console: Console {
            absent: "the output is not kept", effect: NextBoot, example: "{ log: \"/var/log/armhf/{name}.log\" }",
        },
        /// Whether the VM should run. `running`: it is started when it does not run. `stopped`: it is stopped
        /// gracefully when it runs.
        state: DesiredState { default: "running", effect: Now, example: "stopped", also_called: ["status"] },
        /// Whether libvirt starts the VM when the host boots.
        autostart: bool {
            derived(autostart_by_state): "`true` with `state: running`, `false` with `state: stopped`", effect: Now,
            example: "false",
        },
        /// What a reboot inside the guest does. `cold-boot`: the VM stops, and `armfleet watch`, which must run, starts
        /// it again with the kernel that the guest installed. `stop`: the VM stops, and whoever starts it next gets
        /// that kernel. `warm`: QEMU resets the machine and goes on with the kernel that it loaded when it started.
        on_guest_reboot: GuestReboot { default: "cold-boot", effect: NextBoot, example: "warm" },
        /// How long a graceful stop may take, from 1s to 24h. A stop that takes longer is reported as failed; the VM is
        /// never powered off by force.
        stop_timeout: Duration { default: "2min", effect: Now, example: "5min" },
        /// What happens to a change that a running VM gets only when it boots. `never`: it waits for the VM's next
        /// boot. `when-required`: armfleet stops the VM gracefully and starts it again.
        restart: Restart { default: "never", effect: Now, example: "when-required" },
        /// Whether armfleet never stops, restarts or removes the VM. It holds also after the VM left the file, until an
        /// apply with `protect: false`.
        protect: bool { default: "false", effect: Now, example: "true" },
        /// The fleet from which this one takes the VM over, as after `fleet` got another name. The VM's mark and armfleet's
        /// record of it change hands, and nothing else: it runs on, with its disks, share and UUID. It is done once; leave the
        /// key in the file while the VM has `cloud_init`, whose `instance-id` is made of the former fleet's name.
        adopt: Option<Adopt> {
            absent: "a VM that another fleet has is refused", effect: Now, example: "{ from: obs-old }",
        },
    }
    planned ["was"]
    checks [
        foreign_userland, cpu_model, memory_range, memory_fraction, vcpu_range, cmdline_length, duplicate_disk, same_place, same_network, network_model, same_share,
        install_and_seed, install_disk, fresh_system_disk, stop_timeout,
    ]
}

words! {
    /// Where a guest's memory comes from.
    pub enum MemoryBacking {
        /// The host's ordinary memory.
        Default = "default",
        /// The host's huge pages, of the size that is its default.
        Hugepages = "hugepages",
    }
}

words! {
    /// How a guest is executed.
    pub enum Accel {
        /// An existing domain keeps what it has; a new one gets KVM where the host offers it for this guest.
        Auto = "auto",
        /// By the host's processor.
        Kvm = "kvm",
        /// By QEMU's translator.
        Tcg = "tcg",
    }
    also_called ["qemu" = "tcg"]
}

words! {
    /// Whether a VM should run.
    pub enum DesiredState {
        /// It is started when it does not run.
        Running = "running",
        /// It is stopped gracefully when it runs.
        Stopped = "stopped",
    }
    planned ["ignore"]
    also_called [
        "started" = "running", "on" = "running", "up" = "running", "present" = "running",
        "off" = "stopped", "down" = "stopped", "shutdown" = "stopped",
    ]
}

words! {
    /// What a reboot inside the guest does.
    pub enum GuestReboot {
        /// The VM stops, and `armfleet watch` starts it again: it boots what the guest installed.
        ColdBoot = "cold-boot",
        /// QEMU resets the machine and goes on with the kernel that it loaded when it started.
        Warm = "warm",
        /// The VM stops; its next start boots what the guest installed.
        Stop = "stop",
    }
    also_called ["destroy" = "stop", "restart" = "warm"]
}

words! {
    /// What becomes of a change that a running VM gets at a boot only.
    pub enum Restart {
        /// It waits for the VM's next boot.
        Never = "never",
        /// The VM is stopped gracefully and started again.
        WhenRequired = "when-required",
    }
}

impl Vm {
    /// Whether the guest's programs are of 32 bits and its kernel is not.
    #[must_use]
    pub fn has_other_userland(&self) -> bool {
        self.userland != self.arch
    }

    /// The disk that the guest is on, or is installed on: the first of the list.
    #[must_use]
    pub fn system_disk(&self) -> Option<&Disk> {
        self.disks.first()
    }

    /// Whether the image at a path is made anew at each start.
    #[must_use]
    pub fn makes_anew(&self, path: &HostPath) -> bool {
        let mut fresh = self.disks.iter().filter(|disk| disk.fresh.is_some());
        fresh.any(|disk| disk.path == *path)
    }

    /// Its keys in full with their values, as a fleet file has them.
    #[must_use]
    pub fn written(&self) -> Vec<(String, String)> {
        written(Self::MAP, self)
    }
}

pub(crate) struct Host;

impl Scalar for Host {
    type Value = String;
    const TYPE: ValueType = ValueType::Word(&[LOCAL]);
    fn scalar(field: &Field<'_>) -> Checked<String> {
        match field.text("a name")? {
            LOCAL => Ok(LOCAL.to_owned()),
            other => Err(field.later(other)),
        }
    }
}

/// A VM's profile. Whether there is one of that name is checked when the layers are merged.
pub(crate) struct Profile;

impl Scalar for Profile {
    type Value = String;
    const TYPE: ValueType = ValueType::Line;
    fn scalar(field: &Field<'_>) -> Checked<String> {
        field.text("a profile's name").map(str::to_owned)
    }
}

pub(crate) struct Vcpus;

impl Scalar for Vcpus {
    type Value = u32;
    const TYPE: ValueType = ValueType::Whole(1, MOST_VCPUS as u64);
    fn scalar(field: &Field<'_>) -> Checked<u32> {
        let count = field.whole()?;
        u32::try_from(count).map_err(|_| {
            let message = format!("{count} are more virtual CPUs than a guest can have");
            field.report(field.problem(ProblemKind::VcpuRange, message))
        })
    }
}

fn autostart_by_state(vm: &PartialVm, _: &Diagnostics) -> Checked<Spanned<bool>> {
    let state = vm.state.as_ref().map_err(|reported| *reported)?;
    let runs = state.value == DesiredState::Running;
    Ok(Spanned::new(runs, &state.range))
}

fn userland_by_arch(vm: &PartialVm, _: &Diagnostics) -> Checked<Spanned<Arch>> {
    let arch = vm.arch.as_ref().map_err(|reported| *reported)?;
    Ok(Spanned::new(arch.value, &arch.range))
}

fn foreign_userland(vm: &PartialVm) -> Option<Problem> {
    let (arch, userland) = (vm.arch.as_ref().ok()?, vm.userland.as_ref().ok()?);
    (!arch.value.has_userland(userland.value)).then(|| {
        let (kernel, programs) = (arch.value, userland.value);
        let message = format!("an {kernel} kernel runs no {programs} programs");
        Problem::new(ProblemKind::ForeignUserland, &userland.range, message)
            .also(&arch.range, "the kernel's")
            .help(format!("leave `userland` out, or set `arch: {programs}`"))
    })
}

const MIB: u64 = 1 << 20;
/// What a kernel and its initrd need at the least.
const LEAST_MEMORY: u64 = 32 * MIB;

fn memory_range(vm: &PartialVm) -> Option<Problem> {
    let memory = vm.memory.as_ref().ok()?;
    let size = memory.value;
    let new = |message| Problem::new(ProblemKind::MemoryRange, &memory.range, message);
    if size.bytes() < LEAST_MEMORY {
        let message = format!("{size} of memory are too little for a kernel with its initrd");
        return Some(new(message).help("give at least 32MiB; Debian wants 256MiB"));
    }
    let arch = vm.readable_arch()?;
    let limit = arch.memory.as_ref().filter(|limit| size > limit.most)?;
    let most = limit.most;
    let message = format!("an {arch} guest has at most {most} of memory, not {size}");
    Some(new(message).help(limit.why))
}

fn memory_fraction(vm: &PartialVm) -> Option<Problem> {
    let memory = vm.memory.as_ref().ok()?;
    let bytes = memory.value.bytes();
    let fraction = bytes >= LEAST_MEMORY && !bytes.is_multiple_of(MIB);
    fraction.then(|| {
        let next = bytes.div_ceil(MIB);
        let message = format!("{} is not a whole number of MiB", memory.value);
        Problem::new(ProblemKind::MemoryFraction, &memory.range, message).help(format!(
            "libvirt gives memory in whole MiB; the next is {next}MiB"
        ))
    })
}

fn vcpu_range(vm: &PartialVm) -> Option<Problem> {
    let vcpus = vm.vcpus.as_ref().ok()?;
    let count = vcpus.value;
    let new = |message: String| Problem::new(ProblemKind::VcpuRange, &vcpus.range, message);
    if count == 0 {
        return Some(new("a VM needs at least one virtual CPU".to_owned()));
    }
    let arch = vm.readable_arch()?;
    let most = arch.vcpus.most;
    let accel = vm.accel.as_ref().ok();
    let emulated = accel.is_some_and(|accel| accel.value != Accel::Kvm);
    if count > most {
        let message = format!("an {arch} guest has at most {most} virtual CPUs, not {count}");
        Some(new(message).help(arch.vcpus.why))
    } else if count > GICV2_VCPUS && emulated {
        let message =
            format!("an emulated guest has at most {GICV2_VCPUS} virtual CPUs, not {count}");
        Some(new(message).help(format!("its interrupt controller, a GICv2, supports no more; `accel: kvm` allows {most}, on a host with a GICv3")))
    } else {
        None
    }
}

fn cpu_model(vm: &PartialVm) -> Option<Problem> {
    let (accel, cpu) = (vm.accel.as_ref().ok()?, vm.cpu.as_ref().ok()?);
    let model = cpu.model.as_ref().ok()?.as_ref()?;
    (accel.value == Accel::Kvm).then(|| {
        let message = "a guest under KVM has the host's processor, and no model";
        Problem::new(ProblemKind::CpuModel, &model.range, message)
            .also(&accel.range, "KVM")
            .help("leave `cpu.model` out, or set `accel: tcg` to have it emulated")
    })
}

fn cmdline_length(vm: &PartialVm) -> Vec<Problem> {
    let Some(arch) = vm.readable_arch() else {
        return Vec::new();
    };
    let kept = arch.cmdline;
    let boot = vm.boot.as_ref().ok().map(|boot| &boot.cmdline);
    let install = vm.readable_install().map(|install| &install.cmdline);
    let cmdlines = boot.into_iter().chain(install).flatten();
    let too_long = cmdlines.filter(|cmdline| cmdline.value.as_str().len() > kept);
    let problem = |cmdline: &Spanned<Cmdline>| {
        let length = cmdline.value.as_str().len();
        let message = format!(
            "the kernel command line has {length} bytes, and an {arch} kernel keeps {kept} of them"
        );
        Problem::new(ProblemKind::CmdlineLength, &cmdline.range, message)
            .help("shorten it: the kernel would cut off the rest without a message")
    };
    too_long.map(problem).collect()
}

fn duplicate_disk(vm: &PartialVm) -> Vec<Problem> {
    let names = vm
        .readable_disks()
        .filter_map(|disk| disk.name.as_ref().ok());
    duplicates(ProblemKind::DuplicateDisk, names, |name| {
        let help = "give one of them another `name`; without one a disk is named after its file";
        let message = format!("two disks of one VM are named `{name}`");
        (message, help.to_owned())
    })
}

fn same_place(vm: &PartialVm) -> Vec<Problem> {
    let targets = vm
        .readable_disks()
        .filter_map(|disk| disk.target.as_ref().ok()?.as_ref());
    let serials = vm
        .readable_disks()
        .filter_map(|disk| disk.serial.as_ref().ok()?.as_ref());
    let mut problems = twice("target", targets);
    problems.extend(twice("serial", serials));
    let for_cloud_init = matches!(vm.cloud_init, Ok(Some(_)));
    let most = MOST_DISKS - usize::from(for_cloud_init);
    if let Some(disk) = vm.readable_disks().nth(most) {
        let message = format!("a VM has at most {most} disks");
        let problem = Problem::new(ProblemKind::DiskPlace, &disk.at, message);
        problems.push(problem.help(match for_cloud_init {
            true => "virtio disks are vda to vdz, and one of them is for cloud-init",
            false => "virtio disks are vda to vdz",
        }));
    }
    problems
}

/// One disk for each letter.
const MOST_DISKS: usize = 26;

/// What two disks of one VM both have.
fn twice<'d, T: Ord + fmt::Display + 'd>(
    key: &str,
    values: impl Iterator<Item = &'d Spanned<T>>,
) -> Vec<Problem> {
    duplicates(ProblemKind::DiskPlace, values, |value| {
        let message = format!("two disks of one VM have the {key} `{value}`");
        (message, format!("give each its own, or leave `{key}` out"))
    })
}

fn same_network(vm: &PartialVm) -> Vec<Problem> {
    network::same_network(vm.readable_networks())
}

fn same_share(vm: &PartialVm) -> Vec<Problem> {
    same_tag(vm.readable_shares())
}

fn network_model(vm: &PartialVm) -> Vec<Problem> {
    let given = vm
        .transport
        .as_ref()
        .ok()
        .map(|given| given.as_ref().map(|given| given.value));
    let by_arch = || vm.readable_arch().map(|arch| arch.transport);
    match given.and_then(|given| given.or_else(by_arch)) {
        Some(Transport::Mmio) => network::pci_models(vm.readable_networks()),
        Some(Transport::Pci) | None => Vec::new(),
    }
}

fn install_and_seed(vm: &PartialVm) -> Option<Problem> {
    let (install, seed) = (vm.readable_install()?, vm.readable_seed()?);
    let message = "a VM has an installer or a seed, not both";
    let problem = Problem::new(ProblemKind::InstallAndSeed, &install.at, message)
        .help("leave `boot.seed` out: the first kernel is the one that is installed");
    Some(match &seed.kernel {
        Ok(kernel) => problem.also(&kernel.range, "the seed"),
        Err(_) => problem,
    })
}

fn install_disk(vm: &PartialVm) -> Option<Problem> {
    let (install, system) = (vm.readable_install()?, vm.system_disk()?);
    let Some(disk) = system else {
        let message = "there is no disk to install on";
        let problem = Problem::new(ProblemKind::InstallDisk, &install.at, message);
        return Some(problem.help("give the VM `disks: [{ path: …, size: … }]`"));
    };
    let disk = disk.as_ref().ok()?;
    if let Ok(format) = disk.format.as_ref()
        && format.value != DiskFormat::Raw
    {
        let message = format!("a {} disk cannot be installed on", format.value);
        let problem = Problem::new(ProblemKind::InstallDisk, &format.range, message);
        return Some(problem.help(
            "give the first disk `format: raw`: only of a raw image is it known that it is empty",
        ));
    }
    if let Ok(path) = disk.path.as_ref()
        && is_device(path.value.as_str())
    {
        let message = "a block device cannot be installed on";
        let problem = Problem::new(ProblemKind::InstallDisk, &path.range, message);
        return Some(problem.help(
            "armfleet installs only on an image that it creates: give the first disk a path such as /srv/{name}.img, and a `size`",
        ));
    }
    if let Ok(Some(from)) = &disk.from
        && let Ok(base) = &from.path
    {
        let message = "a copy of a base image cannot be installed on";
        let problem = Problem::new(ProblemKind::InstallDisk, &base.range, message);
        return Some(
            problem.help("leave `from` out, or `install`: a base image is installed already"),
        );
    }
    let (Ok(None), Ok(path)) = (&disk.size, &disk.path) else {
        return None;
    };
    let message = "the disk to install on has no `size`";
    let problem = Problem::new(ProblemKind::InstallDisk, &path.range, message);
    Some(
        problem.help("armfleet installs only on a disk that it creates, so it must know how large"),
    )
}

/// The system disk must outlive a start, unless a base image has the system.
fn fresh_system_disk(vm: &PartialVm) -> Option<Problem> {
    let disk = vm.system_disk()??.as_ref().ok()?;
    let fresh = disk.fresh.as_ref().ok()?.as_ref()?;
    if !matches!(disk.backing, Ok(None)) {
        return None;
    }
    let message = "the first disk holds the guest's system, and would be empty at each start";
    let problem = Problem::new(ProblemKind::FreshDisk, &fresh.range, message);
    Some(problem.help("leave `fresh` out here, or give the disk a base image (`backing`); a scratch disk is another entry, after the first"))
}

fn stop_timeout(vm: &PartialVm) -> Option<Problem> {
    let message = "a graceful stop takes from 1s to 24h";
    let time = vm.stop_timeout.as_ref().ok()?;
    not_within(time, 1, ProblemKind::StopTimeout, message)
}

impl PartialVm {
    /// As [`Vm::system_disk`]; nothing where the disks could not be read.
    fn system_disk(&self) -> Option<Option<&Checked<PartialDisk>>> {
        Some(self.disks.as_ref().ok()?.first())
    }

    fn readable_arch(&self) -> Option<Arch> {
        self.arch.as_ref().ok().map(|arch| arch.value)
    }

    pub(crate) fn readable_disks(&self) -> impl Iterator<Item = &PartialDisk> {
        self.disks.iter().flatten().flatten()
    }

    pub(crate) fn readable_networks(&self) -> impl Iterator<Item = &PartialNetwork> + Clone {
        self.networks.iter().flatten().flatten()
    }

    pub(crate) fn readable_shares(&self) -> impl Iterator<Item = &PartialFurtherShare> {
        self.shares.iter().flatten().flatten()
    }

    pub(crate) fn readable_seed(&self) -> Option<&PartialSeed> {
        self.boot.as_ref().ok()?.seed.as_ref().ok()?.as_ref()
    }

    pub(crate) fn readable_install(&self) -> Option<&PartialInstall> {
        self.install.as_ref().ok()?.as_ref()
    }
}
