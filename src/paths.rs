//! Where armfleet's own things are on a host. Constant: hooks, AppArmor and other tools rely on it.

use crate::values::{HostPath, VmName};

/// armfleet's folder.
pub const STATE: &str = "/var/lib/armfleet";
/// The folder of VMs.
pub const VMS: &str = "/var/lib/armfleet/vms";
/// The key of the digests of texts that may hold secrets.
pub const KEY: &str = "/var/lib/armfleet/key.json";
/// What was done, when, by whom.
pub const JOURNAL: &str = "/var/lib/armfleet/journal.jsonl";
/// So many older journals are kept beside it.
pub const OLDER_JOURNALS: usize = 9;
/// The definitions of domains before and after each change, by VM. They outlive the VM.
pub const HISTORY: &str = "/var/lib/armfleet/history";
/// armfleet's folder for things that end with the host's uptime.
pub const RUN: &str = "/run/armfleet";
/// Held by the one apply that may run on a host.
pub const APPLY_LOCK: &str = "/run/armfleet/apply.lock";
/// The folder of locks of VMs.
pub const VM_LOCKS: &str = "/run/armfleet/vm";
/// The folder of locks for changes of generations and seeds.
pub const STAGING_LOCKS: &str = "/run/armfleet/staging";
/// The folder of the hook's proofs that it ran.
pub const HOOK_SEEN: &str = "/run/armfleet/hook-seen";
/// Its time says when armfleet last made libvirtd look for hooks.
pub const RELOADED: &str = "/run/armfleet/reloaded";
/// Held by the one watcher that may run on a host.
pub const WATCH_LOCK: &str = "/run/armfleet/watch.lock";
/// The folder of what is known about each VM's present run.
pub const RUNS: &str = "/run/armfleet/runs";
/// libvirt's folder of hooks.
pub const HOOKS: &str = "/etc/libvirt/hooks";
/// The folder in which libvirt (6.5 or newer) runs every executable file as a QEMU hook.
pub const HOOK_FOLDER: &str = "/etc/libvirt/hooks/qemu.d";
/// armfleet's hook there, a shim.
pub const SHIM: &str = "/etc/libvirt/hooks/qemu.d/50-armfleet";
/// What the shim runs. AppArmor lets a hook run nothing outside the system paths.
pub const HOOK_BINARY: &str = "/usr/bin/armfleet-hook";
/// The file there that libvirt has run as a QEMU hook since its beginnings.
pub const HOOK_SCRIPT: &str = "/etc/libvirt/hooks/qemu";
/// What the service that shuts VMs down with the host is told, in Debian.
pub const LIBVIRT_GUESTS: &str = "/etc/default/libvirt-guests";
/// Whether the kernel has AppArmor: `Y` or `N`.
pub const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";
/// Where the unit of `armfleet watch` may be.
pub const WATCH_UNITS: [&str; 3] = [
    "/etc/systemd/system/armfleet-watch.service",
    "/usr/lib/systemd/system/armfleet-watch.service",
    "/lib/systemd/system/armfleet-watch.service",
];
/// Where libvirt's daemons, monolithic and modular, keep their process numbers.
pub const DAEMON_PID_FILES: [&str; 2] = ["/run/libvirtd.pid", "/run/virtqemud.pid"];
/// Where libvirt's daemons take orders; whoever may write to such a socket is root's equal.
pub const LIBVIRT_SOCKETS: [&str; 2] = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];

/// The name of the kernel that 0.1.0 had a domain boot inside its share, with the handover `link`.
pub const LINKED_KERNEL: &str = "virtio-vmlinuz";
/// The same of the initrd.
pub const LINKED_INITRD: &str = "virtio-initrd.img";
/// How the folder is called that is beside a share and holds what boots with the handover `link`, before the share's name.
const BESIDE: &str = ".armfleet-";
/// How libvirt is configured to work with QEMU.
pub const QEMU_CONF: &str = "/etc/libvirt/qemu.conf";

/// Where a file about a VM is.
pub type PathOf = fn(&VmName) -> String;
/// The mode of armfleet's folders on the way to a staged kernel: QEMU, which is not root, passes through them.
pub const PASSAGE: u32 = 0o711;
/// The folder of a VM's seed, beside its generations.
pub const SEED_FOLDER: &str = "seed";
/// The folder of a VM's installer, beside its generations.
pub const INSTALLER_FOLDER: &str = "installer";
/// The draft of a generation, beside the generations.
pub const GENERATION_DRAFT: &str = ".draft";
/// Names of files; those after `whole` are written whole or not at all, so that their drafts may be there, too.
macro_rules! files {
    ($($file:literal)* whole $($whole:literal)+) => {
        [$($file,)* $(concat!(".", $whole, ".armfleet"), $whole,)+]
    };
}

/// All that a generation holds, or a draft of one: what is known of it, the mark of an installer, its masters, and the copies of
/// them that boot. The first version that staged had no masters.
pub const GENERATION_FILES: [&str; 9] = files!("installer" "vmlinuz.master" "initrd.img.master" whole "pair.json" "vmlinuz" "initrd.img");
/// What is known of a generation.
pub const PAIR_NOTE: &str = "pair.json";
/// Its files that only root can read and write, of which copies boot.
pub const MASTERS: [&str; 2] = ["vmlinuz.master", "initrd.img.master"];
/// Kernel and initrd in it that boot.
pub const BOOTS: [&str; 2] = ["vmlinuz", "initrd.img"];
/// All that a VM's folder itself holds; its record goes last.
pub const VM_FILES: [&str; 9] =
    files!("started" "stopped" "restoring" whole "hold.json" "fresh.json" "record.json");
/// What the hook keeps in a VM's folder about the scratch disks that it made.
pub const FRESH_RECEIPT: &str = "fresh.json";
/// The same on its way.
pub const FRESH_RECEIPT_DRAFT: &str = ".fresh.json.armfleet";
/// All that a VM's folder of staged kernels holds; 0.1.0 left drafts called `trials.new`.
const BOOT_FILES: [&str; 7] =
    files!("current" "previous" ".link" "linked" "trials.new" whole "trials.json");
const SEED_FILES: [&str; 6] = files!(whole "seed.json" "vmlinuz" "initrd.img");
const DTB_FILES: [&str; 4] = files!(whole "dtb.json" "machine.dtb");
/// The name of the copy of a device tree.
pub const DTB_FILE: &str = "machine.dtb";
const INSTALLER_FILES: [&str; 6] = files!(whole "installer.json" "vmlinuz" "initrd.img");
/// The names of a VM's disks for cloud-init. A running VM, its definition and a new one may each have another.
pub const CLOUD_INIT_DISKS: [&str; 4] = ["1.img", "2.img", "3.img", "4.img"];
/// All that the folder of a VM's disks for cloud-init holds.
pub const CLOUD_INIT_FILES: [&str; 10] =
    files!(whole "cloud-init.json" "1.img" "2.img" "3.img" "4.img");
/// All that is in the folder where an extracted pair is checked.
pub const EXTRACTED_FILES: [&str; 2] = ["vmlinuz", "initrd.img"];

/// The folders within a VM's own, inner ones first, each with all the files that it may hold; a generation has its own.
#[must_use]
pub fn folders_of(vm: &VmName) -> [(String, &'static [&'static str]); 7] {
    [
        (generations(vm), &[]),
        (seed_folder(vm), &SEED_FILES),
        (dtb_folder(vm), &DTB_FILES),
        (installer_folder(vm), &INSTALLER_FILES),
        (extracted(vm), &EXTRACTED_FILES),
        (cloud_init_folder(vm), &CLOUD_INIT_FILES),
        (boot_folder(vm), &BOOT_FILES),
    ]
}

/// The name of the folder beside a share of this name that holds what boots with the handover `link`. In the share itself
/// QEMU's user could have libvirt, which is root and follows links, open and give away any other file.
#[must_use]
pub fn beside_named(share: &str) -> String {
    format!("{BESIDE}{share}")
}

/// That folder.
#[must_use]
pub fn beside(share: &HostPath) -> String {
    let above = share.parent().trim_end_matches('/');
    format!("{above}/{}", beside_named(share.file_name()))
}

/// All that such a folder holds.
pub const BESIDE_FILES: [&str; 4] = files!(whole "vmlinuz" "initrd.img");

/// Whether a path is such a folder's, and goes back nowhere on its way.
#[must_use]
pub fn is_beside(path: &str) -> bool {
    let named = |path: &str| {
        path.rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with(BESIDE))
    };
    named(path) && path.parse::<HostPath>().is_ok()
}

/// The kernel to boot with the handover `link`.
#[must_use]
pub fn kernel_beside(share: &HostPath) -> String {
    format!("{}/{}", beside(share), BOOTS[0])
}

/// The initrd to boot with the handover `link`.
#[must_use]
pub fn initrd_beside(share: &HostPath) -> String {
    format!("{}/{}", beside(share), BOOTS[1])
}

/// The share beside which a kernel is to boot; none if it is another one.
#[must_use]
pub fn share_beside(kernel: &str) -> Option<HostPath> {
    let folder = kernel.strip_suffix(BOOTS[0])?.strip_suffix('/')?;
    let (above, name) = folder.rsplit_once('/')?;
    let share = name.strip_prefix(BESIDE)?;
    format!("{above}/{share}").parse().ok()
}

/// A file in a share.
#[must_use]
pub fn in_share(share: &HostPath, name: &str) -> String {
    format!("{share}/{name}")
}

/// Whether a path of a disk is a block device's, and not an image's.
#[must_use]
pub fn is_device(path: &str) -> bool {
    path.starts_with("/dev/")
}

/// A path within armfleet's own folders: which of the two it is below, and the way from there, empty for that one itself.
/// A path that goes back on its way is within neither.
#[must_use]
pub fn own_part(path: &str) -> Option<(&'static str, &str)> {
    let part = |base: &'static str| {
        let rest = path.strip_prefix(base)?;
        let inside = rest.strip_prefix('/');
        (rest.is_empty() || inside.is_some()).then_some((base, inside.unwrap_or_default()))
    };
    let plain = |rest: &str| !rest.split('/').any(|part| matches!(part, "" | "." | ".."));
    part(STATE)
        .or_else(|| part(RUN))
        .filter(|(_, rest)| rest.is_empty() || plain(rest))
}

/// The journal that came so many before the present one.
#[must_use]
pub fn older_journal(age: usize) -> String {
    match age {
        0 => JOURNAL.to_owned(),
        age => format!("{STATE}/journal.{age}.jsonl"),
    }
}

/// Where a file or folder about a VM is.
macro_rules! of_vm {
    ($vm:ident; $($(#[doc = $text:literal])+ $name:ident = $path:literal;)*) => {$(
        $(#[doc = $text])+
        #[must_use]
        pub fn $name($vm: &VmName) -> String {
            format!($path)
        }
    )*};
}

/// Of a path through the link `current`: the folder that the link is in, and what is named beyond it.
#[must_use]
pub fn through_current(path: &str) -> Option<(&str, &str)> {
    path.split_once("/current/")
        .filter(|(boot, _)| boot.starts_with(VMS) && boot.ends_with("/boot"))
}

of_vm! { vm;
    /// The folder of what a VM's domain was.
    history = "{HISTORY}/{vm}";
    /// A VM's folder.
    vm_folder = "{VMS}/{vm}";
    /// A VM's record.
    record = "{VMS}/{vm}/record.json";
    /// A VM's folder of staged kernels.
    boot_folder = "{VMS}/{vm}/boot";
    /// The link that names the generation to boot.
    current = "{VMS}/{vm}/boot/current";
    /// The kernel that a VM's domain boots.
    kernel = "{VMS}/{vm}/boot/current/vmlinuz";
    /// The initrd that a VM's domain boots.
    initrd = "{VMS}/{vm}/boot/current/initrd.img";
    /// Says to the shim that the VM boots from its share, which only the hook's binary may check.
    linked = "{VMS}/{vm}/boot/linked";
    /// What the staged generation is.
    current_pair = "{VMS}/{vm}/boot/current/pair.json";
    /// The link that names the generation before the current one.
    previous = "{VMS}/{vm}/boot/previous";
    /// The folder of a VM's generations.
    generations = "{VMS}/{vm}/boot/g";
    /// The host's uptime when the VM had started, left by the shim.
    started = "{VMS}/{vm}/started";
    /// The host's uptime when the VM had stopped, left by the shim.
    stopped = "{VMS}/{vm}/stopped";
    /// What libvirt says of a VM's runs, and QEMU in them.
    libvirt_log = "/var/log/libvirt/qemu/{vm}.log";
    /// What is known of the pairs that a VM was started with.
    trials = "{VMS}/{vm}/boot/trials.json";
    /// The folder of a VM's installer.
    installer_folder = "{VMS}/{vm}/boot/installer";
    /// What was staged as the installer.
    installer_receipt = "{VMS}/{vm}/boot/installer/installer.json";
    /// Where a pair taken out of a VM's disk is checked.
    extracted = "{VMS}/{vm}/boot/extracted";
    /// The folder of a VM's seed.
    seed_folder = "{VMS}/{vm}/boot/seed";
    /// What was staged as the seed.
    seed_receipt = "{VMS}/{vm}/boot/seed/seed.json";
    /// The folder of a VM's device tree.
    dtb_folder = "{VMS}/{vm}/boot/dtb";
    /// The device tree that a VM's domain boots with.
    dtb = "{VMS}/{vm}/boot/dtb/machine.dtb";
    /// What was staged as the device tree.
    dtb_receipt = "{VMS}/{vm}/boot/dtb/dtb.json";
    /// The folder of the disk that a VM's cloud-init reads.
    cloud_init_folder = "{VMS}/{vm}/cloud-init";
    /// What that disk is.
    cloud_init_receipt = "{VMS}/{vm}/cloud-init/cloud-init.json";
    /// Which files of scratch disks the hook made.
    fresh_receipt = "{VMS}/{vm}/fresh.json";
    /// What the shim leaves when libvirt is about to restore a VM with its memory: nothing is staged then.
    restoring = "{VMS}/{vm}/restoring";
    /// The proof that the hook ran for a VM.
    hook_seen = "{HOOK_SEEN}/{vm}";
    /// Who holds a VM, so that armfleet leaves it alone. It outlives the host's uptime.
    hold = "{VMS}/{vm}/hold.json";
    /// What is known about a VM's present run, and how it ended.
    run_note = "{RUNS}/{vm}.json";
    /// A VM's lock.
    vm_lock = "{VM_LOCKS}/{vm}.lock";
    /// The lock for changes of a VM's generations or seed; libvirt is never called while it is held.
    staging_lock = "{STAGING_LOCKS}/{vm}.lock";
}

/// A definition of a VM's domain, by its SHA-256.
#[must_use]
pub fn kept_definition(vm: &VmName, sha256: &str) -> String {
    format!("{HISTORY}/{vm}/{sha256}.xml")
}

/// The permission bits of the folder of a VM's disks for cloud-init, which are readable in it: only QEMU's group passes.
pub const CLOUD_INIT_FOLDER: u32 = 0o710;
/// Those of such a disk. QEMU's user can read it, and not change what another VM boots with.
pub const CLOUD_INIT_DISK: u32 = 0o644;

/// A disk for a VM's cloud-init, by its name.
#[must_use]
pub fn cloud_init_disk(vm: &VmName, name: &str) -> String {
    format!("{VMS}/{vm}/cloud-init/{name}")
}

/// Whether a path is that of such a disk, and of which VM.
#[must_use]
pub fn cloud_init_disk_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix(VMS)?.strip_prefix('/')?;
    let (vm, rest) = inside.split_once('/')?;
    let name = rest.strip_prefix("cloud-init/")?;
    CLOUD_INIT_DISKS.contains(&name).then_some(vm)
}

/// One generation's note.
#[must_use]
pub fn pair(vm: &VmName, generation: &str) -> String {
    format!("{VMS}/{vm}/boot/g/{generation}/pair.json")
}

/// Why a user other than root could have written a file of armfleet's own with this owner and these permission bits; none if
/// only root could. The planner and the hook share this rule, so that both trust the same files.
pub(crate) fn not_roots(uid: u32, mode: u32) -> Option<String> {
    if uid != 0 {
        return Some(format!("it belongs to user {uid}, not to root"));
    }
    let writable = mode & 0o022 != 0;
    writable.then(|| format!("its mode {mode:04o} lets others than root write it"))
}
