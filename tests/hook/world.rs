//! One VM with its share, its record and its folders, in a temporary folder.

use armfleet::boot::{
    Identity, MODE_XATTR, PairNote, SeedPart, SeedReceipt, Timestamp, read_pair_note,
    render_seed_receipt,
};
use armfleet::fleet::{DEFAULT_STOP_TIMEOUT, DesiredState, GuestReboot, Handover};
use armfleet::hook::{Outcome, Root, Verdict, prepare};
use armfleet::mark::{
    Applied, BootRecord, DeviceId, FreshDisk, Phase, Record, Wanted, render_mark, render_record,
};
use armfleet::paths;
use armfleet::values::{Uuid, VmName};
use rustix::fs::XattrFlags;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const UUID: &str = "729407af-9814-8a14-ab03-bb922bf75d3d";

pub(crate) struct World {
    folder: TempDir,
    pub(crate) root: Root,
    pub(crate) vm: VmName,
    pub(crate) record: Record,
}

impl World {
    pub(crate) fn new() -> Self {
        // Beside the build, not in /tmp: that may be a filesystem without user xattrs.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = Root::at(folder.path());
        let vm: VmName = "armhf-vm".parse().unwrap();
        let share = folder.path().join("share");
        fs::create_dir(&share).unwrap();
        fs::create_dir(root.below("/run")).unwrap();
        fs::create_dir_all(root.below(&paths::vm_folder(&vm))).unwrap();
        let record = Record {
            fleet: "obs".parse().unwrap(),
            vm: vm.clone(),
            uuid: UUID.parse().unwrap(),
            applied: Applied::default(),
            secret_cmdlines: BTreeSet::new(),
            cmdline_digest: None,
            state: DesiredState::Running,
            autostart: true,
            on_guest_reboot: GuestReboot::Stop,
            stop_timeout: DEFAULT_STOP_TIMEOUT,
            protect: false,
            phase: Phase::Own,
            boot: BootRecord {
                share: share.to_str().unwrap().parse().unwrap(),
                handover: Handover::Copy,
                seed: false,
                wanted: Wanted::Auto,
                ways: Default::default(),
                fresh: Default::default(),
                confirm_within: None,
            },
            applied_by: None,
        };
        let world = Self {
            folder,
            root,
            vm,
            record,
        };
        world.write_record();
        world
    }

    /// A world whose guest has version 6.1.0-48 installed.
    pub(crate) fn installed() -> Self {
        let world = Self::new();
        world.install("6.1.0-48-armmp");
        world.link_pair("", "6.1.0-48-armmp");
        world
    }

    /// A path beside the share and the state: somebody else's.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where one of the VM's files is.
    pub(crate) fn path(&self, of: fn(&VmName) -> String) -> PathBuf {
        self.root.below(&of(&self.vm))
    }

    pub(crate) fn write_record(&self) {
        let text = render_record(&self.record).unwrap();
        fs::write(self.path(paths::record), text).unwrap();
    }

    pub(crate) fn share(&self, name: &str) -> PathBuf {
        Path::new(self.record.boot.share.as_str()).join(name)
    }

    /// The folder beside the share in which the handover `link` has what boots.
    pub(crate) fn beside(&self) -> PathBuf {
        paths::beside(&self.record.boot.share).into()
    }

    /// Puts a kernel and its initrd into the share.
    pub(crate) fn install(&self, version: &str) {
        fs::write(self.share(&format!("vmlinuz-{version}")), zimage(version)).unwrap();
        fs::write(
            self.share(&format!("initrd.img-{version}")),
            initrd(version),
        )
        .unwrap();
    }

    /// Makes the guest's links `vmlinuz` and `initrd.img`, or with a suffix `.old` those.
    pub(crate) fn link_pair(&self, suffix: &str, version: &str) {
        for kind in ["vmlinuz", "initrd.img"] {
            self.link(&format!("{kind}{suffix}"), format!("{kind}-{version}"));
        }
    }

    /// Makes a symlink as a guest does through QEMU: a new file each time.
    pub(crate) fn link(&self, name: &str, target: impl AsRef<[u8]>) {
        let path = self.share(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, target).unwrap();
        set_mode(&path, &[0xff, 0xa1, 0, 0]);
    }

    /// Stages a seed as apply does.
    pub(crate) fn put_seed(&mut self, version: &str) {
        let folder = self.path(paths::seed_folder);
        fs::create_dir_all(&folder).unwrap();
        let part = |file: &str, name: String, bytes: Vec<u8>| {
            fs::write(folder.join(file), &bytes).unwrap();
            SeedPart {
                path: format!("/srv/seed/{name}").parse().unwrap(),
                file: Identity {
                    dev: 1,
                    ino: 1,
                    size: bytes.len() as u64,
                    mtime: Timestamp(0, 0),
                    ctime: Timestamp(0, 0),
                },
                size: bytes.len() as u64,
                sha256: digest(&bytes),
            }
        };
        let receipt = SeedReceipt {
            kernel: part("vmlinuz", format!("vmlinuz-{version}"), zimage(version)),
            initrd: part("initrd.img", "initrd.gz".to_owned(), initrd(version)),
        };
        fs::write(
            folder.join("seed.json"),
            render_seed_receipt(&receipt).unwrap(),
        )
        .unwrap();
        self.record.boot.seed = true;
        self.write_record();
    }

    /// The domain's XML as libvirt gives it to its hooks.
    pub(crate) fn xml(&self) -> String {
        let mark = render_mark(&self.record.fleet, &self.vm, &self.record.uuid);
        let xml = domain_xml(self.vm.as_str(), UUID, "armv7l", &mark);
        let disk = |(id, disk): (&DeviceId, &FreshDisk)| {
            let target = &self.record.applied.devices[id].key;
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='{}'/><source file='{}'/><target dev='{target}'/></disk>",
                disk.format, disk.path
            )
        };
        let disks: String = self.record.boot.fresh.iter().map(disk).collect();
        let xml = xml.replace("</domain>", &format!("<devices>{disks}</devices></domain>"));
        match self.record.boot.handover {
            Handover::Copy => xml,
            Handover::Link => xml.replace(
                &paths::kernel(&self.vm),
                &paths::kernel_beside(&self.record.boot.share),
            ),
        }
    }

    pub(crate) fn prepare(&self) -> Outcome {
        prepare(&self.root, self.vm.as_str(), self.xml().as_bytes())
    }

    /// Runs the hook, which must let the VM start.
    pub(crate) fn start(&self) -> String {
        let outcome = self.prepare();
        assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.text);
        self.assert_bootable();
        outcome.text
    }

    /// Runs the hook, which must refuse the start.
    pub(crate) fn refused(&self) -> String {
        let outcome = self.prepare();
        assert_eq!(outcome.verdict, Verdict::Refused, "{}", outcome.text);
        assert!(outcome.text.contains("To do: "), "{}", outcome.text);
        outcome.text
    }

    /// What `current` names is complete and is what its note says.
    pub(crate) fn assert_bootable(&self) -> PairNote {
        let current = self.path(paths::current);
        let note = read_pair_note(&fs::read(current.join("pair.json")).unwrap()).unwrap();
        for (name, file) in [("vmlinuz", &note.kernel), ("initrd.img", &note.initrd)] {
            for name in [name.to_owned(), format!("{name}.master")] {
                let bytes = fs::read(current.join(&name)).unwrap();
                assert_eq!(bytes.len() as u64, file.size, "{name}");
                assert_eq!(digest(&bytes), file.sha256, "{name}");
            }
        }
        note
    }

    /// The version that boots next.
    pub(crate) fn booted(&self) -> String {
        self.assert_bootable().version.unwrap().to_string()
    }

    pub(crate) fn generations(&self) -> Vec<String> {
        let folder = self.path(paths::boot_folder).join("g");
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The inode of the kernel that boots next.
    pub(crate) fn kernel_inode(&self) -> u64 {
        self.staged("vmlinuz").ino()
    }

    /// The inode of what that is a copy of.
    pub(crate) fn master_inode(&self) -> u64 {
        self.staged("vmlinuz.master").ino()
    }

    pub(crate) fn staged(&self, name: &str) -> fs::Metadata {
        fs::metadata(self.path(paths::current).join(name)).unwrap()
    }

    /// Everything about the share's files that the hook must leave as it is.
    pub(crate) fn share_state(&self) -> BTreeMap<PathBuf, (u64, u32, u64, i64, i64, u64)> {
        let entries = fs::read_dir(self.record.boot.share.as_str()).unwrap();
        entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let seen = fs::symlink_metadata(&path).unwrap();
                let times = (seen.ctime(), seen.ctime_nsec());
                (
                    path,
                    (
                        seen.ino(),
                        seen.mode(),
                        seen.len(),
                        times.0,
                        times.1,
                        seen.nlink(),
                    ),
                )
            })
            .collect()
    }
}

pub(crate) fn set_mode(path: &Path, mode: &[u8]) {
    rustix::fs::setxattr(path, MODE_XATTR, mode, XattrFlags::empty()).unwrap();
}

pub(crate) fn domain_xml(name: &str, uuid: &str, arch: &str, mark: &str) -> String {
    format!(
        "<domain type='qemu' id='1'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n  <metadata>\n    {mark}\n  </metadata>\n  \
         <os>\n    <type arch='{arch}' machine='virt-7.2'>hvm</type>\n    \
         <kernel>/var/lib/armfleet/vms/{name}/boot/current/vmlinuz</kernel>\n  </os>\n</domain>\n"
    )
}

/// A mark as a clone or another tool could have it.
pub(crate) fn mark(fleet: &str, vm: &str, uuid: &str) -> String {
    let uuid: Uuid = uuid.parse().unwrap();
    render_mark(&fleet.parse().unwrap(), &vm.parse().unwrap(), &uuid)
}

pub(crate) fn digest(bytes: &[u8]) -> armfleet::values::Sha256Sum {
    let mut hash = Sha256::new();
    hash.update(bytes);
    armfleet::values::Sha256Sum::of(hash)
}

/// A zImage's header and size, and the version to tell it by.
pub(crate) fn zimage(version: &str) -> Vec<u8> {
    let mut image = vec![0x5a; 20_000];
    image[0x24..0x28].copy_from_slice(&0x016f_2818u32.to_le_bytes());
    image[0x28..0x2c].copy_from_slice(&0u32.to_le_bytes());
    image[0x2c..0x30].copy_from_slice(&20_000u32.to_le_bytes());
    image[100..100 + version.len()].copy_from_slice(version.as_bytes());
    image
}

/// A gzip'd cpio archive with the version in it.
pub(crate) fn initrd(version: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(&cpio("version", version.as_bytes()))
        .unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn cpio(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in [(name, content), ("TRAILER!!!", b"")] {
        let name_size = name.len() + 1;
        let fields = [
            0,
            0o100_644,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        let fields: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        archive.extend_from_slice(format!("070701{fields}{name}\0").as_bytes());
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}
