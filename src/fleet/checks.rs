//! What can be wrong with a file whose values are all of the right type: one named check for each way.
//!
//! A check looks at whatever could be read; that something else could not does not keep it from running.

use super::fields::Spanned;
use super::partial::{
    PartialDisk, PartialInstall, PartialSeed, PartialSpec, PartialVm, PartialVms,
};
use super::path_checks;
use super::wanted::{Accel, Arch};
use crate::problem::{Checked, Diagnostics, Problem, ProblemKind};
use crate::values::{Cmdline, HostPath, Size};
use std::collections::BTreeMap;
use std::time::Duration;

/// Finds everything of one kind that is wrong with a VM, or between VMs.
type Check = fn(&PartialVms) -> Vec<Problem>;

/// The checks of one VM, by the code of the problems that they find.
const OF_ONE: [(ProblemKind, Check); 13] = [
    (ProblemKind::MemoryRange, memory_range),
    (ProblemKind::MemoryFraction, memory_fraction),
    (ProblemKind::VcpuRange, vcpu_range),
    (ProblemKind::CmdlineLength, cmdline_length),
    (ProblemKind::DiskSize, disk_size),
    (ProblemKind::DuplicateDisk, duplicate_disk),
    (ProblemKind::SeedPair, seed_pair),
    (ProblemKind::InstallAndSeed, install_and_seed),
    (ProblemKind::InstallDisk, install_disk),
    (ProblemKind::ConfirmWithin, confirm_within),
    (ProblemKind::StopTimeout, stop_timeout),
    (ProblemKind::PathRefused, path_checks::path_refused),
    (ProblemKind::ShareTooGeneral, path_checks::share_too_general),
];
/// The checks that compare VMs.
const OF_ALL: [(ProblemKind, Check); 1] = [(ProblemKind::SharedPath, path_checks::shared_path)];

/// Runs every check.
pub(crate) fn check(drafts: &PartialSpec, found: &mut Diagnostics) {
    let Ok(vms) = &drafts.vms else {
        return;
    };
    for (number, one) in vms.iter().enumerate() {
        if found.patience().is_err() {
            break;
        }
        if let Ok(vm) = one {
            found.turn(number, &vm.layers);
            run(&OF_ONE, &PartialVms(std::slice::from_ref(one)), found);
        }
    }
    found.end_turns();
    run(&OF_ALL, &PartialVms(vms), found);
}

fn run(checks: &[(ProblemKind, Check)], draft: &PartialVms, found: &mut Diagnostics) {
    for (code, check) in checks {
        for problem in check(draft) {
            debug_assert_eq!(problem.code, *code);
            found.report(problem);
        }
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What a kernel and its initrd need at the least.
const LEAST_MEMORY: u64 = 32 * MIB;

/// QEMU's `virt` machine puts RAM at 1 GiB, and a kernel without LPAE, such as Debian's `armmp`, addresses 4 GiB.
fn memory_range(draft: &PartialVms) -> Vec<Problem> {
    const MOST: u64 = 3 * GIB;
    let problem = |vm: &PartialVm, memory: &Spanned<Size>| {
        let size = memory.value;
        let new = |message| Problem::new(ProblemKind::MemoryRange, &memory.range, message);
        if size.bytes() < LEAST_MEMORY {
            let message = format!("{size} of memory hold no kernel with its initrd");
            Some(new(message).help("give at least 32MiB; Debian wants 256MiB"))
        } else if size.bytes() > MOST && vm.arch == Ok(Arch::Armhf) {
            let message = format!("an armhf guest has at most 3 GiB of memory, not {size}");
            Some(new(message).help("its memory begins at 1 GiB, and a 32-bit kernel without LPAE sees nothing above 4 GiB"))
        } else {
            None
        }
    };
    let vms = draft.readable_vms();
    vms.filter_map(|vm| problem(vm, vm.memory.as_ref().ok()?))
        .collect()
}

/// libvirt rounds a guest's memory up to whole MiB when it starts, so anything else would always look changed.
fn memory_fraction(draft: &PartialVms) -> Vec<Problem> {
    let memories = draft
        .readable_vms()
        .filter_map(|vm| vm.memory.as_ref().ok());
    let fractions = memories.filter(|memory| {
        let bytes = memory.value.bytes();
        bytes >= LEAST_MEMORY && !bytes.is_multiple_of(MIB)
    });
    let problem = |memory: &Spanned<Size>| {
        let next = memory.value.bytes().div_ceil(MIB);
        let message = format!("{} is no whole number of MiB", memory.value);
        Problem::new(ProblemKind::MemoryFraction, &memory.range, message).help(format!(
            "libvirt gives memory in whole MiB; the next is {next}MiB"
        ))
    };
    fractions.map(problem).collect()
}

/// QEMU emulates a GICv2, an interrupt controller for 8 processors; under KVM it may be a GICv3. A 32-bit ARM kernel is
/// built for at most 32 (NR_CPUS).
fn vcpu_range(draft: &PartialVms) -> Vec<Problem> {
    const EMULATED: u32 = 8;
    const KNOWN: u32 = 32;
    let problem = |vm: &PartialVm, vcpus: &Spanned<u32>| {
        let count = vcpus.value;
        let new = |message: String| Problem::new(ProblemKind::VcpuRange, &vcpus.range, message);
        if count == 0 {
            Some(new("a VM needs at least one virtual CPU".to_owned()))
        } else if count > KNOWN {
            let message = format!("an armhf guest has at most {KNOWN} virtual CPUs, not {count}");
            Some(new(message).help("32-bit ARM kernels know no more"))
        } else if count > EMULATED && vm.accel.is_ok_and(|accel| accel != Accel::Kvm) {
            let message =
                format!("an emulated guest has at most {EMULATED} virtual CPUs, not {count}");
            Some(new(message).help("its interrupt controller, a GICv2, serves no more; `accel: kvm` allows 32, on a host with a GICv3"))
        } else {
            None
        }
    };
    let vms = draft.readable_vms();
    vms.filter_map(|vm| problem(vm, vm.vcpus.as_ref().ok()?))
        .collect()
}

/// The kernel keeps COMMAND_LINE_SIZE bytes, the final NUL among them: 1024 on 32-bit ARM.
fn cmdline_length(draft: &PartialVms) -> Vec<Problem> {
    const KEPT: usize = 1023;
    let boots = draft.readable_vms().filter_map(|vm| vm.boot.as_ref().ok());
    let boots = boots.map(|boot| &boot.cmdline);
    let installs = draft.readable_vms().filter_map(PartialVm::readable_install);
    let cmdlines = boots.chain(installs.map(|install| &install.cmdline));
    let cmdlines = cmdlines.filter_map(|cmdline| cmdline.as_ref().ok());
    let long = cmdlines.filter(|cmdline| cmdline.value.as_str().len() > KEPT);
    let problem = |cmdline: &Spanned<Cmdline>| {
        let length = cmdline.value.as_str().len();
        let message =
            format!("the kernel command line has {length} bytes, and an armhf kernel keeps {KEPT}");
        Problem::new(ProblemKind::CmdlineLength, &cmdline.range, message)
            .help("shorten it: the kernel would cut off the rest without a word")
    };
    long.map(problem).collect()
}

/// A disk is a whole number of sectors.
fn disk_size(draft: &PartialVms) -> Vec<Problem> {
    const SECTOR: u64 = 512;
    let disks = draft.readable_vms().flat_map(PartialVm::readable_disks);
    let sizes = disks.filter_map(|disk| disk.size.as_ref().ok()?.as_ref());
    let problem = |size: &Spanned<Size>| {
        let bytes = size.value.bytes();
        if bytes == 0 {
            let problem =
                Problem::new(ProblemKind::DiskSize, &size.range, "a disk cannot be empty");
            return Some(problem.help("without `size` the file must exist, and is used as it is"));
        }
        let next = Size::from_bytes(bytes.checked_next_multiple_of(SECTOR)?);
        let message = format!("{} is no whole number of {SECTOR}-byte sectors", size.value);
        let problem = Problem::new(ProblemKind::DiskSize, &size.range, message);
        (next != size.value)
            .then(|| problem.help(format!("the next size that is one is {}", written(next))))
    };
    sizes.filter_map(problem).collect()
}

/// A size as a fleet file has it, without a space.
fn written(size: Size) -> String {
    size.to_string().replace(' ', "")
}

/// Disks are told apart by their names.
fn duplicate_disk(draft: &PartialVms) -> Vec<Problem> {
    let mut problems = Vec::new();
    for vm in draft.readable_vms() {
        let mut seen = BTreeMap::new();
        let names = vm
            .readable_disks()
            .filter_map(|disk| disk.name.as_ref().ok());
        for name in names {
            let Some(first) = seen.insert(&name.value, &name.range) else {
                continue;
            };
            let message = format!("two disks of one VM are called `{}`", name.value);
            let problem = Problem::new(ProblemKind::DuplicateDisk, &name.range, message)
                .also(first, "the first")
                .help(
                    "give one of them another `name`; without one a disk is called after its file",
                );
            problems.push(problem);
        }
    }
    problems
}

/// A kernel is no initrd.
fn seed_pair(draft: &PartialVms) -> Vec<Problem> {
    let seeds = draft.readable_vms().filter_map(PartialVm::readable_seed);
    let problem = |kernel: &Spanned<HostPath>, initrd: &Spanned<HostPath>| {
        let same = kernel.value == initrd.value;
        let swapped = kernel.value.file_name().starts_with("initrd")
            && initrd.value.file_name().starts_with("vmlinu");
        let message = match (same, swapped) {
            (true, _) => "the seed's kernel and initrd are the same file",
            (_, true) => "the seed's kernel and initrd look swapped",
            _ => return None,
        };
        let problem = Problem::new(ProblemKind::SeedPair, &initrd.range, message);
        Some(
            problem
                .also(&kernel.range, "the kernel")
                .label("the initrd"),
        )
    };
    seeds
        .filter_map(|seed| problem(seed.kernel.as_ref().ok()?, seed.initrd.as_ref().ok()?))
        .collect()
}

/// Two answers to the same question: what boots first.
fn install_and_seed(draft: &PartialVms) -> Vec<Problem> {
    let vms = draft.readable_vms();
    let both = vms.filter_map(|vm| Some((vm.readable_install()?, vm.readable_seed()?)));
    let problem = |(install, seed): (&PartialInstall, &PartialSeed)| {
        let message = "a VM has an installer or a seed, not both";
        let problem = Problem::new(ProblemKind::InstallAndSeed, &install.key, message)
            .help("leave `boot.seed` out: the first kernel is the one that is installed");
        match &seed.kernel {
            Ok(kernel) => problem.also(&kernel.range, "the seed"),
            Err(_) => problem,
        }
    };
    both.map(problem).collect()
}

/// An installer needs a disk that is created for it.
fn install_disk(draft: &PartialVms) -> Vec<Problem> {
    let vms = draft.readable_vms();
    let installs = vms.filter_map(|vm| Some((vm.readable_install()?, vm.disks.as_ref().ok()?)));
    let problem =
        |(install, disks): (&PartialInstall, &Vec<Checked<PartialDisk>>)| {
            let Some(first) = disks.first() else {
                let message = "there is no disk to install on";
                let problem = Problem::new(ProblemKind::InstallDisk, &install.key, message);
                return Some(problem.help("give the VM `disks: [{ path: …, size: … }]`"));
            };
            let disk = first.as_ref().ok()?;
            let (Ok(None), Ok(path)) = (&disk.size, &disk.path) else {
                return None;
            };
            let message = "the disk to install on has no `size`";
            let problem = Problem::new(ProblemKind::InstallDisk, &path.range, message);
            Some(problem.help(
                "armfleet installs only on a disk that it creates, so it must know how large",
            ))
        };
    installs.filter_map(problem).collect()
}

/// A guest needs some time to come up, and one that takes a day is down.
fn confirm_within(draft: &PartialVms) -> Vec<Problem> {
    const LEAST: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_secs(24 * 3600);
    let boots = draft.readable_vms().filter_map(|vm| vm.boot.as_ref().ok());
    let times = boots.filter_map(|boot| boot.confirm_within.as_ref().ok()?.as_ref());
    let wrong = times.filter(|time| !(LEAST..=MOST).contains(&time.value));
    wrong
        .map(|time| {
            let message = "a guest gets from 10s to 24h to confirm that it has come up";
            Problem::new(ProblemKind::ConfirmWithin, &time.range, message)
        })
        .collect()
}

/// A stop that may take no time always fails, and one that may take days is never noticed to fail.
fn stop_timeout(draft: &PartialVms) -> Vec<Problem> {
    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(24 * 3600);
    let timeouts = draft
        .readable_vms()
        .filter_map(|vm| vm.stop_timeout.as_ref().ok());
    let wrong = timeouts.filter(|timeout| !(LEAST..=MOST).contains(&timeout.value));
    wrong
        .map(|timeout| {
            let message = "a graceful stop takes from 1s to 24h";
            Problem::new(ProblemKind::StopTimeout, &timeout.range, message)
        })
        .collect()
}
