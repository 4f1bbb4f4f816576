//! The kinds of problems of a fleet file and the checks of a host, each with its explanation.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of problem or a check of the host, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemTopic {
    /// Its name, as in `error[unknown-key]` and `[free-space]`.
    pub code: &'static str,
    /// What it is, in a sentence.
    pub meaning: &'static str,
    /// Why it is a problem.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! codes {
    (
        $(#[$about:meta])*
        $kind:ident:
        $(#[doc = $meaning:literal] $code:ident = $name:literal { why: $why:literal, remedy: $remedy:literal, })*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $kind {
            $(#[doc = $meaning] #[serde(rename = $name)] $code,)*
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl $kind {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The name, as in `error[unknown-key]`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                self.topic().code
            }

            /// Its explanation.
            #[must_use]
            pub const fn topic(self) -> &'static ProblemTopic {
                match self {
                    $(Self::$code => const {
                        &ProblemTopic {
                            code: $name,
                            meaning: $meaning.trim_ascii(),
                            why: $why,
                            remedy: $remedy,
                        }
                    },)*
                }
            }
        }
    };
}

codes! {
    /// The kind of a problem. Its name is what a user looks up and a script matches, so it never changes.
    ProblemKind:
    /// The file is larger than any fleet file may be.
    FileTooLarge = "file-too-large" {
        why: "A file has at most 1 MiB and 250000 values, all files of a fleet together 4 MiB, and all VMs together 600000 values, where what `defaults`, a profile or a range says counts for each VM. Ten thousand VMs fit into that; a larger one is most likely another file by mistake, or a slip that multiplies.",
        remedy: "Name the right file, say less for all VMs, or divide the fleet into several, each with a `fleet` name of its own.",
    }
    /// The file holds bytes that are not UTF-8.
    NotUtf8 = "not-utf8" {
        why: "A fleet file is text in UTF-8. Some editors save UTF-16 or Latin-1.",
        remedy: "Save the file as UTF-8, in the editor or with `iconv -f latin1 -t utf-8`.",
    }
    /// A file that a fleet file names, and whose text belongs to the fleet, cannot be read.
    TextFile = "text-file" {
        why: "The files of `cloud_init` are read with the fleet file. They lie in its folder or below it, and no link leads out of there: whoever may write a fleet file decides which files it names, and they are read as root.",
        remedy: "Put the file beside the fleet file, at most 256 KiB of text, and name it from there.",
    }
    /// User data that does not begin as cloud-init's do.
    CloudInitHeader = "cloud-init-header" {
        why: "By its first line cloud-init decides what user data is. Without one that it knows, it does nothing with it, and says so only in the guest's log.",
        remedy: "Begin the file with `#cloud-config`, `#!/bin/sh`, `#include`, `#cloud-boothook`, `#part-handler`, `#cloud-config-archive`, `## template: jinja`, or as a MIME message.",
    }
    /// Metadata for cloud-init to which no instance-id can be added.
    CloudInitMetadata = "cloud-init-metadata" {
        why: "cloud-init needs an `instance-id` to tell a new guest from one that it has set up. armfleet adds one as a line of its own, which a map between `{` and `}` does not take.",
        remedy: "Give it one, or write the map as lines of `key: value`.",
    }
    /// The file holds a control character.
    ControlCharacter = "control-character" {
        why: "YAML allows no control characters but tab and line breaks. They come from copied terminal output or from a file that is no text.",
        remedy: "Remove the character. In a text between double quotes it can be written as an escape, such as \"\\e\".",
    }
    /// The file is not YAML.
    Syntax = "syntax" {
        why: "Brackets, quotes or indentation do not match, so nothing after that place can be read with certainty.",
        remedy: "Correct the marked place or what is before it: a quote or bracket that is not closed shows only where its end is missed.",
    }
    /// Maps and lists are nested deeper than any fleet file needs.
    TooDeep = "too-deep" {
        why: "A fleet file needs six levels, and 32 are read. More come from brackets that are never closed.",
        remedy: "Close the brackets.",
    }
    /// Aliases multiply the file beyond reason.
    TooManyAliases = "too-many-aliases" {
        why: "Each alias (`*name`) repeats all that its anchor (`&name`) stands before. Aliases of aliases multiply: a small file can hold more values than a machine has memory for.",
        remedy: "Use fewer aliases, and none inside of a value that others repeat.",
    }
    /// The file holds nothing.
    EmptyFile = "empty-file" {
        why: "There is no value in the file, only comments or nothing at all.",
        remedy: "Write at least `fleet: NAME` and `vms: {}`; `armfleet init` writes a file to begin with.",
    }
    /// The file holds several YAML documents.
    SeveralDocuments = "several-documents" {
        why: "`---` begins a second document, and a fleet file is one.",
        remedy: "Remove the `---` and what follows, or make that a file of its own.",
    }
    /// A YAML tag, which fleet files do not use.
    Tag = "tag" {
        why: "`!!str`, `!include` and other tags change what a value is. Every key here has one type, so there is nothing to change.",
        remedy: "Remove the tag. Put a text that looks like a number or like `true` between quotes.",
    }
    /// YAML's merge key, which fleet files do not use.
    MergeKey = "merge-key" {
        why: "`<<` is not part of YAML 1.2, and its result is easily misread.",
        remedy: "Write the keys out. An alias for a whole value works: `boot: *boot`.",
    }
    /// A key that is a map, a list or nothing.
    BadKey = "bad-key" {
        why: "YAML allows anything for a key; here keys are words and names.",
        remedy: "Write a word, and a colon with a space after it.",
    }
    /// A key that means nothing here.
    UnknownKey = "unknown-key" {
        why: "It is misspelled, or belongs elsewhere in the file. It is refused, not ignored: otherwise its value would have no effect, and no message would say so.",
        remedy: "Correct it; `armfleet explain` lists every key.",
    }
    /// A key that is given twice in one map.
    DuplicateKey = "duplicate-key" {
        why: "Only one of the two could count, and readers of YAML disagree about which.",
        remedy: "Remove one of them.",
    }
    /// A key that must be given, and is not, or has no value.
    MissingKey = "missing-key" {
        why: "It has no default that would be right for all.",
        remedy: "Add the key with a value; `armfleet explain KEY` says what it takes.",
    }
    /// A value of the wrong shape: a list for a text, a text for a number.
    WrongType = "wrong-type" {
        why: "Each key takes one type of value. `yes`, `on` and `'true'` are texts, not `true`; `'2'` is a text, not 2.",
        remedy: "Write the value as `armfleet explain KEY` shows it.",
    }
    /// A value of the right shape that is not acceptable.
    WrongValue = "wrong-value" {
        why: "It is none of the words that the key takes, has a wrong unit, or holds a character that libvirt, QEMU or the host would misread.",
        remedy: "Write the value as `armfleet explain KEY` shows it.",
    }
    /// A key or value that the language has, but this version does not do.
    NotSupportedYet = "not-supported-yet" {
        why: "A key that is accepted works. This one would be read and do nothing, so it is refused.",
        remedy: "Leave it out, or use a version that has it.",
    }
    /// A `{…}` that names nothing, or a lone brace.
    Placeholder = "placeholder" {
        why: "In texts, `{name}` is replaced by the VM's name, `{fleet}` by the fleet's and `{host}` by the host's. No other words in braces are known.",
        remedy: "Correct the word. For a literal brace, write it twice: `{{` or `}}`.",
    }
    /// A variable that is declared wrongly, not declared, or has no value.
    Variable = "variable" {
        why: "A fleet file declares its variables under `vars`, so that a slip in a name is noticed. A variable has a default, or `--var` gives it a value.",
        remedy: "Declare it, as in `vars: { release: { default: bookworm } }`, or give its value with `--var release=bookworm`.",
    }
    /// An environment variable that is not set, not declared, or that cannot be kept secret.
    Environment = "environment" {
        why: "`{env.NAME}` is for secrets: it may stand in a kernel command line, and whatever armfleet prints shows `{env.NAME}` in place of the value. A value of fewer than four bytes would be hidden in other texts, too, where it occurs by chance. Where the file has `secrets`, that names every one.",
        remedy: "Set the variable where armfleet is called, and declare it, as in `secrets: { CACHE_KEY: {} }`. To see a plan without it: `armfleet plan --no-secrets`. For what need not be hidden, declare a variable under `vars`.",
    }
    /// A range of VMs that is not written as one.
    Range = "range" {
        why: "Between the brackets of a name stand numbers and runs of them, separated by commas: `obs-[01-12]`, `r[1-2]n[1-9/2,15]`.",
        remedy: "Write the marked part as a number or as a run of numbers, the smaller one first.",
    }
    /// Two ranges that name the same VM.
    RangesMeet = "ranges-meet" {
        why: "Neither of two ranges is nearer to a VM than the other, so nothing says which of them counts.",
        remedy: "Let each VM belong to one range, and write what differs for a VM under its own name.",
    }
    /// More VMs than a fleet may have.
    TooManyVms = "too-many-vms" {
        why: "A fleet has at most 10000 VMs; a range of more is a slip in a number.",
        remedy: "Correct the number, or make several fleets, each with a `fleet` name of its own.",
    }
    /// A profile that is not there.
    UnknownProfile = "unknown-profile" {
        why: "`profile` takes what `profiles` declares under that name.",
        remedy: "Correct the name, or declare the profile.",
    }
    /// Two VMs, or two parts of one, that would use the same file or folder.
    SharedPath = "shared-path" {
        why: "Two VMs that write one disk destroy it, and what is inside of a boot share belongs to its guest.",
        remedy: "Give each its own path; `{name}` in a path makes it one for each VM.",
    }
    /// Two disks of one VM with the same name.
    DuplicateDisk = "duplicate-disk" {
        why: "A disk is known by its name, so that entries can change places in the list. Without `name` it is named after its file.",
        remedy: "Give one of them another `name`.",
    }
    /// Two disks of one VM with one target or serial number, or more disks than there are targets.
    DiskPlace = "disk-place" {
        why: "libvirt tells a VM's disks apart by their targets, of which there are 26, and its guest by their serial numbers: with the same one for two, /dev/disk/by-id names whichever came last.",
        remedy: "Give each its own, or leave `target` and `serial` out: then armfleet chooses them.",
    }
    /// A network interface without a source, or with several.
    NetworkSource = "network-source" {
        why: "An interface is on one thing: a network of libvirt, a bridge or a device of the host, or QEMU's user network.",
        remedy: "Give the entry one of `network`, `bridge`, `direct` and `user: true`.",
    }
    /// Two network interfaces of one VM with the same name or MAC address.
    DuplicateNetwork = "duplicate-network" {
        why: "An interface is known by its name, so that entries can change places in the list, and in libvirt by its MAC address. Without `name` it is named after its source.",
        remedy: "Give one of them another `name`, or another `mac`.",
    }
    /// A network device that is not made for virtio-mmio.
    NetworkModel = "network-model" {
        why: "On virtio-mmio there are virtio devices only; QEMU would not start.",
        remedy: "Use `model: virtio`, or give the VM `transport: pci`.",
    }
    /// A VLAN where libvirt tags no frames.
    NetworkVlan = "network-vlan" {
        why: "libvirt tags frames on Open vSwitch only; with a tag on another bridge or device it does not start the VM.",
        remedy: "Use a network of libvirt that is on Open vSwitch, or make a bridge of the host with the VLAN's device as its port, and name that.",
    }
    /// Two shares of one VM with the same tag.
    DuplicateShare = "duplicate-share" {
        why: "The guest mounts a share by its tag: with one tag for two it would get either.",
        remedy: "Give each share of a VM its own `tag`.",
    }
    /// The same MAC address for two VMs.
    SharedMac = "shared-mac" {
        why: "Two machines with one address on one network take each other's packets.",
        remedy: "Give each its own, or leave `mac` out: then it is derived from the names of fleet, VM and interface.",
    }
    /// A way to read and write an image that does not go with how it is cached.
    DiskIo = "disk-io" {
        why: "Linux's native asynchronous I/O works only past the page cache, and libvirt refuses `io: native` with a cache that uses it.",
        remedy: "Set `cache: none` or `cache: directsync`, or use `io: io_uring` or `io: threads`.",
    }
    /// A base image that a disk cannot be made of.
    BaseImage = "base-image" {
        why: "A new image is copied from a base image, or is a qcow2 image that lies over one; a block device is neither.",
        remedy: "Use `from` for a copy, or `backing` with `format: qcow2`.",
    }
    /// A disk that cannot be made anew at each start, or must not be.
    FreshDisk = "fresh-disk" {
        why: "`fresh: each-start` makes a disk anew before each start of its VM and loses everything on it. armfleet makes image files of a known size; and a system disk that vanishes at each start would be an accident.",
        remedy: "Give the disk a `size`, make it another than the first, or leave `fresh` out.",
    }
    /// Memory outside of what the guest can have.
    MemoryRange = "memory-range" {
        why: "A kernel and its initrd need at least 32 MiB. An armhf guest has at most 3 GiB: its memory begins at 1 GiB, and a 32-bit kernel without LPAE, such as Debian's armmp, sees nothing above 4 GiB.",
        remedy: "Give from 32MiB to 3GiB, or to an arm64 guest more.",
    }
    /// Memory that is no whole number of MiB.
    MemoryFraction = "memory-fraction" {
        why: "libvirt rounds memory up to whole MiB when the VM starts, so that anything else would always look changed.",
        remedy: "Give a whole number of MiB; the message names the next.",
    }
    /// A number of virtual CPUs that the guest cannot have.
    VcpuRange = "vcpu-range" {
        why: "Under emulation the guest's interrupt controller, a GICv2, supports 8 CPUs. A 32-bit ARM kernel supports at most 32.",
        remedy: "Give from 1 to 8, or up to 32 with `accel: kvm` on a host with a GICv3.",
    }
    /// Programs that no kernel of the VM's architecture runs.
    ForeignUserland = "foreign-userland" {
        why: "An arm64 kernel runs arm64 programs and, where the processor does, armhf ones. An armhf kernel runs armhf programs only.",
        remedy: "Leave `userland` out, or give `arch: arm64`, too.",
    }
    /// A model of a processor for a guest that has the host's.
    CpuModel = "cpu-model" {
        why: "KVM runs the guest on the host's own processor. QEMU refuses to start with another one, and only when the VM starts.",
        remedy: "Leave `cpu.model` out, or set `accel: tcg`.",
    }
    /// A kernel command line longer than the kernel keeps.
    CmdlineLength = "cmdline-length" {
        why: "A 32-bit ARM kernel keeps 1023 bytes, a 64-bit one 2047, and drops the rest without a message; the dropped part may name the root file system.",
        remedy: "Shorten it: remove parameters that are given twice or that are defaults anyway.",
    }
    /// A path that libvirt, its AppArmor profiles or armfleet itself cannot give to a VM.
    PathRefused = "path-refused" {
        why: "A guest writes its disks, its boot share and its console log, and root's programs run or trust what is in the system's folders. libvirt's AppArmor helper gives no VM a file below most of them. armfleet's own folders are not for VMs either.",
        remedy: "Use a path in /srv or /var.",
    }
    /// A folder as a boot share that is not one VM's alone.
    ShareTooGeneral = "share-too-general" {
        why: "The guest owns its boot share: the folder gets QEMU's user as its owner, and the guest can write anything in it. In a further share, too, it reaches all that QEMU's user can.",
        remedy: "Give each VM a folder of its own, such as /srv/{name}-boot; share a folder that is there for this purpose alone.",
    }
    /// A disk size that no disk can have.
    DiskSize = "disk-size" {
        why: "A disk is a whole number of sectors of 512 bytes, and not empty.",
        remedy: "Give the size that the message names. Without `size` the file must exist, and is used as it is.",
    }
    /// A disk file whose suffix contradicts its format.
    DiskFormat = "disk-format" {
        why: "Attached as a raw disk, the first sectors of a qcow2 or similar image would be overwritten, and the image lost.",
        remedy: "Convert it with `qemu-img convert -O raw`, or correct its name.",
    }
    /// A seed whose kernel and initrd are the same file.
    SeedPair = "seed-pair" {
        why: "A kernel is not an initrd, so one of the two paths is a slip.",
        remedy: "Name the kernel's file under `kernel` and the initrd's under `initrd`.",
    }
    /// An installer beside a seed.
    InstallAndSeed = "install-and-seed" {
        why: "Both say what boots first, and only one can.",
        remedy: "Leave `boot.seed` out if the VM is to be installed, or `install` if its disk is installed already.",
    }
    /// An installer without a disk that is created for it.
    InstallDisk = "install-disk" {
        why: "An installer runs only over a disk that armfleet creates empty, so that it never destroys anything.",
        remedy: "Give the VM a system disk, the first of `disks`, with a `path` and a `size`.",
    }
    /// A time to confirm outside its bounds.
    ConfirmWithin = "confirm-within" {
        why: "A guest needs some seconds to boot, and one that takes a day is down.",
        remedy: "Give it from 10s to 24h.",
    }
    /// A stop timeout outside its bounds.
    StopTimeout = "stop-timeout" {
        why: "Without any time a stop always fails; with days, a failed stop is noticed too late.",
        remedy: "Give from 1s to 24h.",
    }
}

codes! {
    /// A check of a host, whose failure is a refusal of the plan. Its name is what a user looks up, so it never changes.
    HostCheck:
    /// The host has no emulator for such guests.
    NoEmulator = "no-emulator" {
        why: "libvirt found no QEMU that runs guests of this architecture when it last looked.",
        remedy: "Install QEMU's system emulator for ARM, in Debian `qemu-system-arm`, and restart libvirtd.",
    }
    /// The host's QEMU has no machine of this name.
    NoMachine = "no-machine" {
        why: "Each QEMU has its own versions of its machines; another host may have machines that this one lacks.",
        remedy: "Leave `machine` out, or give the name of one that `virsh capabilities` lists.",
    }
    /// The host has no KVM for such guests.
    NoKvm = "no-kvm" {
        why: "32-bit guests run under KVM only on ARM hosts whose processors still have the 32-bit mode. Some arm64 servers have it for programs and not for kernels, some not at all, though libvirt offers KVM for such guests on each; KVM itself is asked. On other hosts ARM guests are always emulated.",
        remedy: "Leave `accel` out, or give `tcg`, and the guest is emulated. A guest with an arm64 kernel runs under KVM on every arm64 host, and its programs may be armhf ones (`arch: arm64`, `userland: armhf`) where the processor runs 32-bit programs.",
    }
    /// A VM that is to have another architecture, and has no kernel for it.
    NoKernel = "no-kernel" {
        why: "An armhf guest becomes one with an arm64 kernel, and an armhf one again, by its definition alone: its disk and its boot share stay. So its share must have a kernel of the new architecture, with its initrd, before. A kernel with pages of 16 or 64 KiB runs no 32-bit programs.",
        remedy: "Run `armfleet guest-setup --kernel arm64` (or `--kernel armhf`) on the host, and what it prints in the guest: that has Debian's package manager install the kernel. Then plan again.",
    }
    /// More virtual CPUs than the machine or the host's interrupt controller serves.
    HostVcpus = "host-vcpus" {
        why: "QEMU's machine has a limit of its own. Under KVM the guest gets an interrupt controller that the host can give: a GICv3 supports all CPUs, a GICv2 supports 8.",
        remedy: "Give the VM fewer virtual CPUs; the message says how many are possible.",
    }
    /// A pin to CPUs that the host does not have.
    HostCpus = "host-cpus" {
        why: "libvirt takes any number when a domain is defined. The VM would not start: its threads cannot be kept on CPUs that are not there, or not online.",
        remedy: "Give `cpu.pin` CPUs that `virsh capabilities` lists under `<topology>`; the message names them.",
    }
    /// More memory than the host has.
    HostMemory = "host-memory" {
        why: "When a guest uses all of its memory, the host's kernel kills a process, most likely that guest.",
        remedy: "Give the VM less memory, or put it on another host.",
    }
    /// A network or device of the host that is not there, or not as an interface needs it.
    NoNetwork = "no-network" {
        why: "libvirt defines a domain with any network, bridge or device, and does not start it where that is not there, not active or no bridge.",
        remedy: "Make or start it: `virsh net-start NAME`, and `virsh net-autostart NAME` for every boot; for a bridge, the host's own network configuration. Or correct the name.",
    }
    /// A MAC address that another domain has.
    MacInUse = "mac-in-use" {
        why: "libvirt gives out no address twice, but takes one that it is told. Two machines with one address on one network take each other's packets. A copied definition has its original's.",
        remedy: "Give the interface another `mac`, or change the other domain's; the message names it.",
    }
    /// An image larger than the room that is left for it.
    FreeSpace = "free-space" {
        why: "Images take space only as the guest writes, but one that can become larger than the free space gives its guest I/O errors before it is full. A single one is refused; several that together are too large, with those that have not taken all their space yet, are noticed by a plan that makes images or starts VMs.",
        remedy: "Free space, put the image on another file system, or make it smaller.",
    }
    /// A file or folder whose own folder is not there.
    NoFolder = "no-folder" {
        why: "armfleet makes images, boot shares and the file of a console log, but not the folders that these are in: a missing one is most likely a slip, or a file system that is not mounted.",
        remedy: "Make the folder, mount its file system, or correct the path.",
    }
    /// A path that others than root can have lead elsewhere.
    WritableFolder = "writable-folder" {
        why: "Whoever can write to a folder on the way to an image, a boot share or a console log can put something else in its place between the plan and the start, such as a link to any file of the host; root and QEMU would then open, own or write that file.",
        remedy: "Give the folder to root alone (`chown root: DIR; chmod go-w DIR`), or move the VM's files to one that is. If all who can write there may do anything on this host anyway, list the folder under `hosts: { local: { trust: [DIR] } }` in the fleet file.",
    }
    /// A path of a VM that another domain uses, that is inside of one, or that has one in it.
    PathInUse = "path-in-use" {
        why: "Two guests that write one image destroy it, and a guest can change everything in its boot share. Paths are compared, and what they lead to: a hard link, a symbolic link or a bind mount is another name of the same thing. Every domain of the host counts, by its definition and by what it runs with: its disks with their backing files, shares, logs, kernels and firmware variables. A block device is known by its number, with its partitions, and the host itself may use one: mounted, as swap space, or as a part of another device.",
        remedy: "Give the VM a path of its own, or remove the other domain; the message names it.",
    }
    /// A host on which a VM cannot boot links to its guest's files.
    LinkHandover = "link-handover" {
        why: "With `boot.handover: link` libvirt opens hard links to the guest's own kernel and initrd, in a folder of root's beside the boot share: on the share's own file system, since a hard link leads nowhere else, and where only root can replace them, since libvirt, as root, would give QEMU whatever is in their place. While the VM runs, the files are QEMU's user's; libvirt has to give them back to whoever had them, which `remember_owner = 0` forbids.",
        remedy: "Leave `boot.handover` out: the VM boots copies of what its guest installed, which has none of these conditions.",
    }
    /// A further share that QEMU cannot give its guest.
    ShareAccess = "share-access" {
        why: "QEMU opens a share as its own user, and in `access: mapped` and `squash` every file there is that user's: where it may not read the folder, the VM does not start, and where it may not write there, nor may its guest. With `access: passthrough` each file would have to get the owner that the guest gives it, which root alone can do.",
        remedy: "Let QEMU's user in (`setfacl -m u:UID:rwx DIR`), or set `readonly: true` for what is only read.",
    }
    /// A console log that could be another file.
    ConsoleLog = "console-log" {
        why: "libvirt's log daemon, as root, opens whatever is at the path, appends what the guest prints, and renames it when it is large: an image would be lost, and a file that root's programs read would take the guest's words. So a log is a plain file of root's with one name, which ends in `.log` and is below /var/log or in the folder of one of the VM's images. The log that was applied before stays.",
        remedy: "Set `console.log` to a path such as /var/log/NAME.log, or move what is there away; the message says which.",
    }
}
