//! How a VM boots: its keys, and what can be wrong with them.

use crate::fleetfile::{Beside, Spanned, map, words};
use crate::problem::{Problem, ProblemKind};
use crate::values::{Cmdline, HostPath};
use std::time::Duration;

map! {
    /// How a VM boots: from the kernel that its guest keeps in the boot share.
    pub struct Boot, PartialBoot, "boot": "`boot`", "boot.", "it belongs under `boot`" {
        /// The kernel's command line. It names the console, which is ttyAMA0, and the root file system. A 32-bit ARM
        /// kernel keeps 1023 bytes of it. `{env.NAME}` is replaced by that environment variable of the caller. armfleet
        /// shows and keeps its value nowhere. What it cannot hide: the host's users see a running VM's command line in
        /// the process list and every VM's through libvirt's read-only socket, the guest's users see it in
        /// /proc/cmdline, and its kernel prints it on the console.
        cmdline: Cmdline {
            required, effect: NextBoot, example: "console=ttyAMA0 root=/dev/vda1", also_called: ["append", "args"],
        },
        /// Where the kernel comes from. `share`: from the boot share, where the guest's own package manager installs
        /// it.
        from: BootFrom { default: "share", effect: NextBoot, example: "share" },
        /// The boot share: the folder on the host that the guest sees as /boot. It is created if it is missing, and
        /// owned by QEMU's user. The guest owns everything in it, so it cannot be shared with another VM or another
        /// use.
        share: HostPath { default: "/srv/{name}-boot", effect: NextBoot, example: "\"/srv/{name}-boot\"" },
        /// How kernel and initrd get from the boot share to QEMU. `copy`: at each start they are copied, the copy is
        /// checked to be whole, and it is the copy that boots. Changes that the guest makes to its /boot meanwhile
        /// cannot break a start. `link`: the domain boots the guest's own files, by hard links in a folder beside the
        /// share, which is called .armfleet- and as the share and in which only root can put other files. The guest can
        /// change the files after they were checked, libvirt changes their owner while it runs, and without armfleet-hook
        /// the VM does not start.
        handover: Handover { default: "copy", effect: NextBoot, example: "copy" },
        /// The kernel and initrd to boot while the boot share has none: for the first start of a guest that then
        /// installs its own.
        seed: Option<Seed> {
            absent: "no start until the boot share holds a kernel with its initrd",
            effect: Described("at the VM's next start, if its boot share has no kernel then"),
            example: "{ kernel: seed/vmlinuz, initrd: seed/initrd.img }",
        },
        /// The compiled device tree that describes the VM's machine to its kernel: for a guest that needs another one than
        /// QEMU makes of the machine. QEMU adds memory, command line and initrd to it. armfleet copies it; a changed file is
        /// copied again, and the VM gets it at its next start. A relative path is beside the fleet file.
        dtb: Option<HostPath> as Option<Beside> {
            absent: "QEMU makes one of the VM's machine", effect: NextBoot, example: "machine.dtb", also_called: ["device_tree"],
        },
        /// How long a guest may take, from 10s to 24h, to say that its kernel works: `armfleet guest-setup` prints the
        /// service that says so. Without a confirmation in that time armfleet falls back to the last kernel that
        /// worked: `armfleet watch` powers the VM off and starts it again; without a watcher, the next start falls
        /// back. Without this key, a kernel that ran for ten minutes counts as working. In either case a kernel has
        /// failed after three starts without a sign of life.
        confirm_within: Option<Duration> {
            absent: "a run of ten minutes confirms a kernel", effect: Now, example: "5min",
        },
    }
    planned ["kernel", "initrd"]
    checks [confirm_within]
}

map! {
    /// The boot pair that the user provides for the time before the guest has installed one.
    pub struct Seed, PartialSeed, "seed": "`boot.seed`", "boot.seed.", "it belongs under `boot.seed`" {
        /// The seed's kernel. Many VMs may have the same.
        kernel: HostPath as Beside {
            required, effect: Described("at the VM's next start, if its boot share has no kernel then"),
            example: "seed/vmlinuz",
        },
        /// The seed's initrd, made for the seed's kernel.
        initrd: HostPath as Beside {
            required, effect: Described("at the VM's next start, if its boot share has no kernel then"),
            example: "seed/initrd.img",
        },
    }
    checks [seed_pair]
}

words! {
    /// Where the kernel comes from.
    pub enum BootFrom {
        /// From the boot share, where the guest's own package manager installs it.
        Share = "share",
    }
    planned ["files", "uefi"]
}

words! {
    /// How a boot pair gets from share to domain.
    pub enum Handover {
        /// A validated copy, a generation.
        Copy = "copy",
        /// Names inside the share, as the recipe has them, for the pair of that generation.
        Link = "link",
    }
}

fn confirm_within(boot: &PartialBoot) -> Option<Problem> {
    let message = "a guest gets from 10s to 24h to confirm that its kernel works";
    let time = boot.confirm_within.as_ref().ok()?.as_ref()?;
    not_within(time, 10, ProblemKind::ConfirmWithin, message)
}

/// The problem of a time that is shorter than some seconds, or longer than a day.
pub(super) fn not_within(
    time: &Spanned<Duration>,
    least: u64,
    code: ProblemKind,
    message: &str,
) -> Option<Problem> {
    let fits = (least..=24 * 3600).contains(&time.value.as_secs());
    (!fits).then(|| Problem::new(code, &time.range, message))
}

fn seed_pair(seed: &PartialSeed) -> Option<Problem> {
    let (kernel, initrd) = (seed.kernel.as_ref().ok()?, seed.initrd.as_ref().ok()?);
    let swapped = kernel.value.file_name().starts_with("initrd")
        && initrd.value.file_name().starts_with("vmlinu");
    let message = match (kernel.value == initrd.value, swapped) {
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
}
