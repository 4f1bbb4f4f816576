//! What is to be known about each key. `explain` prints it and the schema carries it.

use super::expand;
use super::keys::{self, Absence, Effect, Meaning};
use super::resolve as words;
use super::scalars::done;
use super::value_type::Form;

pub(crate) const FLEET: Meaning = Meaning {
    text: "The fleet's name, which marks its VMs as its own: armfleet changes and removes only domains with this mark. Choose one for each fleet file, and keep it.",
    form: Form::Name,
    absence: Absence::Error,
    effect: Effect::Told(
        "with another name, the VMs made so far are another fleet's, and are refused",
    ),
    example: "obs-workers",
};

pub(crate) const VMS: Meaning = Meaning {
    text: "The VMs by their names. A VM's name is its libvirt domain's, too. A VM that leaves the file is stopped and removed when that is confirmed; its disks and its boot share stay.",
    form: Form::Vms(&keys::VM),
    absence: Absence::Error,
    effect: Effect::Now,
    example: "{ armhf-vm: { arch: armhf, memory: 512MiB, boot: { cmdline: console=ttyAMA0 root=/dev/vda1 } } }",
};

pub(crate) const DEFAULTS: Meaning = Meaning {
    text: "What all VMs say unless something else is said for them: by their profile, by the range that they are of, or under their own name, each of which counts more than the one before. Maps are merged key by key, lists are replaced as a whole, and `null` takes a key away.",
    form: Form::Map(&keys::VM),
    absence: Absence::Means("each VM says everything itself"),
    effect: Effect::Now,
    example: "{ arch: armhf, memory: 2GiB }",
};

pub(crate) const PROFILES: Meaning = Meaning {
    text: "Named sets of a VM's keys. A VM takes over those of the one that it names under `profile`.",
    form: Form::Named(&keys::VM, "worker"),
    absence: Absence::Means("no VM can name a profile"),
    effect: Effect::Now,
    example: "{ worker: { vcpus: 4, autostart: true } }",
};

pub(crate) const VARS: Meaning = Meaning {
    text: "What the file leaves to whoever calls armfleet: `{var.NAME}` in a text stands for what `--var NAME=VALUE` gives, or else for the default.",
    form: Form::Named(&keys::VAR, "release"),
    absence: Absence::Means("there are no variables"),
    effect: Effect::Now,
    example: "{ release: { default: bookworm } }",
};

pub(crate) const VAR_DEFAULT: Meaning = Meaning {
    text: "The variable's value unless `--var` gives one. It is taken as it is; `{{` stands for `{`.",
    form: Form::Value,
    absence: Absence::Means("`--var` must give the value"),
    effect: Effect::Now,
    example: "bookworm",
};

pub(crate) const VAR_REQUIRED: Meaning = Meaning {
    text: "Whether `--var` must give the value. A variable without a default is required anyway, and one with a default is not; the key only says so.",
    form: Form::Boolean,
    absence: Absence::Means("required without a default, and only then"),
    effect: Effect::Now,
    example: "false",
};

pub(crate) const VAR_DESCRIPTION: Meaning = Meaning {
    text: "What the variable is for; it is shown where a value is missing.",
    form: Form::Text,
    absence: Absence::Means("nothing is shown"),
    effect: Effect::Now,
    example: "the Debian release of the guests",
};

pub(crate) const PROFILE: Meaning = Meaning {
    text: "The profile that the VM takes over. What is said under the VM's own name, and by its range, counts more.",
    form: Form::Line,
    absence: Absence::Means("the VM has no profile"),
    effect: Effect::Now,
    example: "worker",
};

pub(crate) const ARCH: Meaning = Meaning {
    text: "The guest's instruction set. `armhf` is 32-bit ARM with hardware floating point, libvirt's `armv7l`.",
    form: Form::Word(|| done(words::ARCH)),
    absence: Absence::Error,
    effect: Effect::Told("when the VM is created; it cannot be changed later"),
    example: "armhf",
};

pub(crate) const MEMORY: Meaning = Meaning {
    text: "The guest's memory, in whole MiB. An armhf guest has from 32MiB to 3GiB.",
    form: Form::Size,
    absence: Absence::Error,
    effect: Effect::NextBoot,
    example: "512MiB",
};

pub(crate) const BOOT: Meaning = Meaning {
    text: "How the VM boots: from the kernel and initrd that its guest installed into its boot share, the folder on the host that the guest sees as /boot.",
    form: Form::Map(&keys::BOOT),
    absence: Absence::Means("an error, since `boot.cmdline` must be given"),
    effect: Effect::NextBoot,
    example: "{ cmdline: console=ttyAMA0 root=/dev/vda1 }",
};

pub(crate) const HOST: Meaning = Meaning {
    text: "The host that the VM is on. `local` is the machine on which armfleet runs.",
    form: Form::Word(|| vec![expand::HOST]),
    absence: Absence::Value(expand::HOST),
    effect: Effect::Told("when the VM is created"),
    example: "local",
};

pub(crate) const ACCEL: Meaning = Meaning {
    text: "How the guest is executed: `kvm` by the host's processor, `tcg` by QEMU's translator, which runs any guest on any host, many times slower. With `auto`, an existing domain keeps what it has, and a new one gets KVM where the host can run such a guest with it.",
    form: Form::Word(|| done(words::ACCEL)),
    absence: Absence::Value("auto"),
    effect: Effect::NextBoot,
    example: "tcg",
};

pub(crate) const MACHINE: Meaning = Meaning {
    text: "The QEMU machine. libvirt stores the versioned machine that a name stands for when the domain is created (`virt-7.2` for `virt`), and any of them satisfies `virt`.",
    form: Form::Name,
    absence: Absence::Value(words::MACHINE),
    effect: Effect::NextBoot,
    example: "virt",
};

pub(crate) const VCPUS: Meaning = Meaning {
    text: "How many virtual CPUs the guest has: at most 8 under emulation, and at most 32 with `accel: kvm` on a host with a GICv3.",
    form: Form::Whole(1, 32),
    absence: Absence::Value("1"),
    effect: Effect::NextBoot,
    example: "4",
};

pub(crate) const TRANSPORT: Meaning = Meaning {
    text: "How virtio devices are attached. `mmio` works with every armhf kernel. On `pci` a kernel without LPAE, such as Debian's armmp, finds no disk and no network; armmp-lpae does.",
    form: Form::Word(|| done(words::TRANSPORT)),
    absence: Absence::Means("an existing domain keeps its own; a new armhf VM gets `mmio`"),
    effect: Effect::NextBoot,
    example: "mmio",
};

pub(crate) const DISKS: Meaning = Meaning {
    text: "The disks, in the order in which the guest numbers them: the first is its /dev/vda. Their identity is their name, so the order of existing entries may change without renaming anything in the guest.",
    form: Form::List(&keys::DISK),
    absence: Absence::Means("no disk"),
    effect: Effect::NextBoot,
    example: "[{ path: \"/srv/{name}.img\", size: 8GiB }]",
};

pub(crate) const CONSOLE: Meaning = Meaning {
    text: "The guest's serial console, ttyAMA0. It is always there for `virsh console`; here it can be given a file that keeps its output.",
    form: Form::Map(&keys::CONSOLE),
    absence: Absence::Means("the output is not kept"),
    effect: Effect::NextBoot,
    example: "{ log: \"/var/log/armhf/{name}.log\" }",
};

pub(crate) const STATE: Meaning = Meaning {
    text: "Whether the VM should run. `running`: it is started when it does not run. `stopped`: it is stopped gracefully when it runs.",
    form: Form::Word(|| done(words::STATE)),
    absence: Absence::Value("running"),
    effect: Effect::Now,
    example: "stopped",
};

pub(crate) const AUTOSTART: Meaning = Meaning {
    text: "Whether libvirt starts the VM when the host boots.",
    form: Form::Boolean,
    absence: Absence::Means("`true` with `state: running`, `false` with `state: stopped`"),
    effect: Effect::Now,
    example: "false",
};

pub(crate) const ON_GUEST_REBOOT: Meaning = Meaning {
    text: "What a reboot inside the guest does. `cold-boot`: the VM stops, and `armfleet watch`, which must run, starts it again with the kernel that the guest installed. `stop`: the VM stops, and whoever starts it next gets that kernel. `warm`: QEMU resets the machine and goes on with the kernel that it loaded when it started.",
    form: Form::Word(|| done(words::GUEST_REBOOT)),
    absence: Absence::Value("cold-boot"),
    effect: Effect::NextBoot,
    example: "warm",
};

pub(crate) const STOP_TIMEOUT: Meaning = Meaning {
    text: "How long a graceful stop may take, from 1s to 24h. A stop that takes longer is reported as failed; the VM is never switched off by force.",
    form: Form::Duration,
    absence: Absence::Value("2min"),
    effect: Effect::Now,
    example: "5min",
};

pub(crate) const RESTART: Meaning = Meaning {
    text: "What becomes of a change that a running VM gets at a boot only. `never`: it waits for the VM's next boot, whoever brings that about. `when-required`: armfleet stops the VM gracefully and starts it again.",
    form: Form::Word(|| done(words::RESTART)),
    absence: Absence::Value("never"),
    effect: Effect::Now,
    example: "when-required",
};

pub(crate) const PROTECT: Meaning = Meaning {
    text: "Whether armfleet never stops, restarts or removes the VM. It holds also after the VM left the file, until an apply with `protect: false`.",
    form: Form::Boolean,
    absence: Absence::Value("false"),
    effect: Effect::Now,
    example: "true",
};

pub(crate) const BOOT_CMDLINE: Meaning = Meaning {
    text: "The kernel's command line. It names the console, which is ttyAMA0, and the root file system. A 32-bit ARM kernel keeps 1023 bytes of it. `{env.NAME}` stands for an environment variable of who calls armfleet, and is never shown.",
    form: Form::Line,
    absence: Absence::Error,
    effect: Effect::NextBoot,
    example: "console=ttyAMA0 root=/dev/vda1",
};

pub(crate) const BOOT_FROM: Meaning = Meaning {
    text: "Where the kernel comes from. `share`: from the boot share, where the guest's own package manager installs it.",
    form: Form::Word(|| done(words::FROM)),
    absence: Absence::Value("share"),
    effect: Effect::NextBoot,
    example: "share",
};

pub(crate) const BOOT_SHARE: Meaning = Meaning {
    text: "The boot share: the folder on the host that the guest sees as /boot. It is created if it is not there, and belongs to QEMU's user. Its guest owns all in it, so it can be no other VM's, and no folder that others use.",
    form: Form::HostPath,
    absence: Absence::Value("/srv/{name}-boot"),
    effect: Effect::NextBoot,
    example: "\"/srv/{name}-boot\"",
};

pub(crate) const BOOT_HANDOVER: Meaning = Meaning {
    text: "How kernel and initrd get from the boot share to QEMU. `copy`: at each start they are copied, the copy is checked to be whole, and it is the copy that boots. What the guest does to its /boot meanwhile cannot break a start. `link`: the domain boots virtio-vmlinuz and virtio-initrd.img in the share, which become links to the files that were checked; for domains and tools that know these names. The guest can change them, libvirt may change their owner, and without armfleet-hook the VM does not start.",
    form: Form::Word(|| done(words::HANDOVER)),
    absence: Absence::Value("copy"),
    effect: Effect::NextBoot,
    example: "copy",
};

pub(crate) const BOOT_SEED: Meaning = Meaning {
    text: "The kernel and initrd to boot while the boot share has none: for the first start of a guest that is to install its own.",
    form: Form::Map(&keys::SEED),
    absence: Absence::Means("no start until the boot share holds a kernel with its initrd"),
    effect: Effect::Told("at the VM's next start, if its boot share has no kernel then"),
    example: "{ kernel: seed/vmlinuz, initrd: seed/initrd.img }",
};

pub(crate) const SEED_KERNEL: Meaning = Meaning {
    text: "The seed's kernel. Many VMs may have the same.",
    form: Form::Path,
    absence: Absence::Error,
    effect: Effect::Told("at the VM's next start, if its boot share has no kernel then"),
    example: "seed/vmlinuz",
};

pub(crate) const SEED_INITRD: Meaning = Meaning {
    text: "The seed's initrd, made for the seed's kernel.",
    form: Form::Path,
    absence: Absence::Error,
    effect: Effect::Told("at the VM's next start, if its boot share has no kernel then"),
    example: "seed/initrd.img",
};

pub(crate) const DISK_PATH: Meaning = Meaning {
    text: "The disk's image, a raw file. It is created if it is not there and `size` is given. It is never deleted.",
    form: Form::HostPath,
    absence: Absence::Error,
    effect: Effect::NextBoot,
    example: "\"/srv/{name}.img\"",
};

pub(crate) const DISK_NAME: Meaning = Meaning {
    text: "The disk's identity within its VM. Entries of the list may change places; an entry with another name is another disk.",
    form: Form::Name,
    absence: Absence::Means(
        "called after its file, without the suffix: `scratch` for /srv/scratch.img",
    ),
    effect: Effect::NextBoot,
    example: "root",
};

pub(crate) const DISK_SIZE: Meaning = Meaning {
    text: "The image's least size. A missing image is created with it, a smaller one grows to it, and a larger one is fine: an image never shrinks. A running guest sees a grown disk at once.",
    form: Form::Size,
    absence: Absence::Means("the file must exist, and is used as it is"),
    effect: Effect::Now,
    example: "8GiB",
};

pub(crate) const DISK_FORMAT: Meaning = Meaning {
    text: "The image's format. It is never guessed from the image, whose bytes are the guest's.",
    form: Form::Word(|| done(words::FORMAT)),
    absence: Absence::Value("raw"),
    effect: Effect::NextBoot,
    example: "raw",
};

pub(crate) const CONSOLE_LOG: Meaning = Meaning {
    text: "The file on the host to which the console's output is appended. Its folder must exist.",
    form: Form::HostPath,
    absence: Absence::Means("the output is not kept"),
    effect: Effect::NextBoot,
    example: "\"/var/log/armhf/{name}.log\"",
};

pub(crate) const BOOT_CONFIRM_WITHIN: Meaning = Meaning {
    text: "How long a guest may take, from 10s to 24h, to say that its kernel works: `armfleet guest-setup` prints the service that says so. A kernel of which nothing was heard for so long gives way to the last one that worked: `armfleet watch` cuts the VM's power and starts it again; without a watcher it gives way at the next start. Without the key a kernel that ran for ten minutes works, too. With or without it, three starts without a sign of life are enough.",
    form: Form::Duration,
    absence: Absence::Means("a run of ten minutes confirms a kernel"),
    effect: Effect::Now,
    example: "5min",
};

pub(crate) const INSTALL: Meaning = Meaning {
    text: "What installs the VM, once: its kernel and initrd boot only over a first disk that is empty, and never again after that. `apply --wait` follows the installation until the VM runs the kernel that it installed; `apply --reinstall VM` erases the disk and begins again.",
    form: Form::Map(&keys::INSTALL),
    absence: Absence::Means("nothing is installed"),
    effect: Effect::Told("when the VM is created"),
    example: "{ kernel: vmlinuz, initrd: initrd.gz, cmdline: console=ttyAMA0 auto=true }",
};

pub(crate) const INSTALL_KERNEL: Meaning = Meaning {
    text: "The installer's kernel. Many VMs may have the same.",
    form: Form::Path,
    absence: Absence::Error,
    effect: Effect::Told("when the VM is installed"),
    example: "netboot/vmlinuz",
};

pub(crate) const INSTALL_INITRD: Meaning = Meaning {
    text: "The installer's initrd. What boots is a copy, to which `files` are added.",
    form: Form::Path,
    absence: Absence::Error,
    effect: Effect::Told("when the VM is installed"),
    example: "netboot/initrd.gz",
};

pub(crate) const INSTALL_CMDLINE: Meaning = Meaning {
    text: "The kernel's command line during the installation.",
    form: Form::Line,
    absence: Absence::Error,
    effect: Effect::Told("when the VM is installed"),
    example: "console=ttyAMA0 auto=true priority=critical preseed/file=/preseed.cfg",
};

pub(crate) const INSTALL_FILES: Meaning = Meaning {
    text: "Files that the installer gets in its initrd: where they are there, and which files they are. They keep their permission bits.",
    form: Form::Files,
    absence: Absence::Means("the installer's initrd stays as it is"),
    effect: Effect::Told("when the VM is installed"),
    example: "{ /preseed.cfg: preseed.cfg }",
};
