//! What the steps of a first apply leave on the imagined host.

use super::files::Inodes;
use super::surroundings::{KEY, image};
use crate::boot::{SeedPart, SeedReceipt, render_dtb_receipt, render_seed_receipt};
use crate::domain::{Edit, applied_source, apply_edits, skeleton, with_secrets};
use crate::fleet::{DiskFormat, Spec, Vm};
use crate::inventory::{Fact, FileSystems, RawDomain, RawFile, RawInventory};
use crate::mark::{CloudInitReceipt, Record, render_cloud_init_receipt, render_record};
use crate::paths;
use crate::plan::{Act, Base, CloudInitDisk, DiskContent, Plan, SeedSource, Step};
use crate::qcow2::{Backing, Qcow2, new_qcow2};
use crate::values::{HostKey, HostPath, Sha256Sum, Size, Uuid, VmName, domain_uuid};
use std::collections::{BTreeMap, BTreeSet};

/// As libvirt counts the states of domains.
const RUNNING: u32 = 1;
const OFF: u32 = 5;
/// A copy is as large as the sources are here.
const COPY_SIZE: u64 = 1;

/// The host after all steps of a plan for a host without domains, with these other VMs as far as who owns them.
pub(super) fn applied<'v>(
    spec: &Spec,
    host: RawInventory,
    plan: &Plan,
    others: impl Iterator<Item = &'v Vm>,
) -> RawInventory {
    let shares = spec.vms.values().map(|vm| &vm.boot.share);
    let mut applying = Applying {
        spec,
        shares: shares.collect(),
        inodes: Inodes::above(&host),
        paths: host.paths,
        domains: BTreeMap::new(),
    };
    for step in &plan.steps {
        applying.perform(step);
    }
    for vm in others {
        let uuid = domain_uuid(&spec.fleet, &vm.name);
        let skeleton = skeleton(vm.arch, &spec.fleet, &vm.name, &uuid);
        applying.put_domain(&vm.name, &uuid, skeleton);
    }
    RawInventory {
        paths: applying.paths,
        domains: Fact::Present(applying.domains.into_values().collect()),
        ..host
    }
}

struct Applying<'s> {
    spec: &'s Spec,
    shares: BTreeSet<&'s HostPath>,
    inodes: Inodes,
    paths: BTreeMap<String, Fact<RawFile>>,
    /// By name.
    domains: BTreeMap<String, RawDomain>,
}

impl Applying<'_> {
    fn perform(&mut self, step: &Step) {
        let Some(vm) = &step.vm else { return };
        match &step.act {
            Act::CreateShare { path, mode, .. } => self.create_share(path, *mode),
            Act::CreateDisk {
                path,
                size,
                content,
                format,
            } => self.create_disk(path, *size, content, *format),
            Act::StageSeed { kernel, initrd, .. } => self.stage_seed(vm, kernel, initrd),
            Act::StageDtb { source, .. } => self.stage_dtb(vm, source),
            Act::MakeCloudInit(disk) => self.make_cloud_init(vm, disk),
            Act::Define {
                uuid,
                base: Base::Skeleton(skeleton),
                edits,
            } => self.define(vm, uuid, skeleton, edits),
            Act::WriteRecord { record, .. } => self.write_record(vm, record),
            Act::SetAutostart { on, .. } => self.set(vm, |domain| domain.autostart = *on),
            Act::Start { .. } => self.set(vm, |domain| {
                domain.state = RUNNING;
                domain.live = domain.inactive.clone();
            }),
            // The surroundings call for no such step, nor does a host without domains.
            Act::InstallHook { .. }
            | Act::ReloadDaemon { .. }
            | Act::OwnShare { .. }
            | Act::MendFolder { .. }
            | Act::StageInstaller(_)
            | Act::RemoveCloudInit
            | Act::EraseDisk { .. }
            | Act::GrowDisk { .. }
            | Act::Define { .. }
            | Act::AwaitOff { .. }
            | Act::Stop { .. }
            | Act::PowerOff { .. }
            | Act::Undefine { .. }
            | Act::Forget => {}
        }
    }

    fn put(&mut self, path: impl ToString, file: RawFile) {
        self.paths.insert(path.to_string(), Fact::Present(file));
    }

    fn put_text(&mut self, path: String, text: String) {
        let file = self.inodes.text(text);
        self.put(path, file);
    }

    fn set(&mut self, vm: &VmName, set: impl FnOnce(&mut RawDomain)) {
        if let Some(domain) = self.domains.get_mut(vm.as_str()) {
            set(domain);
        }
    }

    /// Its guest has run, and put its kernels there if it is a boot share.
    fn create_share(&mut self, path: &HostPath, mode: u32) {
        let folder = match self.shares.contains(path) {
            true => self.inodes.share(mode),
            false => self.inodes.folder(mode),
        };
        self.put(path, folder);
    }

    fn create_disk(
        &mut self,
        path: &HostPath,
        size: Size,
        content: &DiskContent,
        format: DiskFormat,
    ) {
        let image = match content {
            DiskContent::Over { base, format } => {
                let backing = Backing {
                    path: base.as_str(),
                    format: format.as_str(),
                };
                let (first, bytes) = new_qcow2(size.bytes(), Some(backing));
                self.inodes.image(bytes, Qcow2::head(&first))
            }
            DiskContent::Empty | DiskContent::CopyOf(_) => {
                image(&mut self.inodes, size.bytes(), format)
            }
        };
        self.put(path, image);
    }

    fn stage_seed(&mut self, vm: &VmName, kernel: &SeedSource, initrd: &SeedSource) {
        let receipt = self.part(kernel).zip(self.part(initrd));
        let Some((kernel, initrd)) = receipt else {
            return;
        };
        let text = render_seed_receipt(&SeedReceipt { kernel, initrd });
        self.put_text(paths::seed_receipt(vm), text.unwrap_or_default());
        let copies = [("initrd.img", COPY_SIZE), ("vmlinuz", COPY_SIZE)];
        let folder = self.inodes.listing(paths::PASSAGE, &copies);
        self.put(paths::seed_folder(vm), folder);
    }

    fn stage_dtb(&mut self, vm: &VmName, source: &SeedSource) {
        let Some(receipt) = self.part(source) else {
            return;
        };
        let text = render_dtb_receipt(&receipt);
        self.put_text(paths::dtb_receipt(vm), text.unwrap_or_default());
        let copies = [(paths::DTB_FILE, COPY_SIZE)];
        let folder = self.inodes.listing(paths::PASSAGE, &copies);
        self.put(paths::dtb_folder(vm), folder);
    }

    fn part(&self, source: &SeedSource) -> Option<SeedPart> {
        let file = self.paths.get(source.path.as_str())?.present()?;
        Some(SeedPart {
            path: source.path.clone(),
            file: file.stat.identity(),
            size: COPY_SIZE,
            sha256: Sha256Sum::try_from(source.sha256.clone()).ok()?,
        })
    }

    fn make_cloud_init(&mut self, vm: &VmName, disk: &CloudInitDisk) {
        let texts = self.spec.cloud_init.get(vm);
        let Some(texts) = texts.map(|texts| texts.filled(&self.spec.secrets)) else {
            return;
        };
        let name = disk.path.rsplit_once('/').map_or("", |(_, name)| name);
        let mut folder = self.inodes.listing(paths::CLOUD_INIT_FOLDER, &[(name, 1)]);
        let Some(entry) = folder.entries.iter_mut().flatten().next() else {
            return;
        };
        entry.stat.mode = paths::CLOUD_INIT_DISK;
        let key = HostKey::new(KEY);
        let receipt = CloudInitReceipt {
            disk: name.to_owned(),
            digest: key.digest(&texts.whole()),
            metadata: key.digest(texts.meta_data()),
            size: entry.stat.size,
            ino: entry.stat.ino,
            mtime_ns: entry.stat.mtime_ns,
        };
        self.put(paths::cloud_init_folder(vm), folder);
        let text = render_cloud_init_receipt(&receipt);
        self.put_text(paths::cloud_init_receipt(vm), text.unwrap_or_default());
    }

    fn define(&mut self, vm: &VmName, uuid: &Uuid, skeleton: &str, edits: &[Edit]) {
        let edits = with_secrets(edits, &self.spec.secrets);
        if let Ok(definition) = apply_edits(skeleton, &edits) {
            self.put_domain(vm, uuid, definition);
        }
    }

    fn put_domain(&mut self, vm: &VmName, uuid: &Uuid, definition: String) {
        let domain = RawDomain {
            name: vm.to_string(),
            uuid: uuid.as_str().to_owned(),
            state: OFF,
            reason: 0,
            persistent: true,
            autostart: false,
            managed_save: false,
            snapshots: Vec::new(),
            checkpoints: Vec::new(),
            inactive: Fact::Present(definition),
            live: Fact::Absent,
        };
        self.domains.insert(domain.name.clone(), domain);
    }

    /// The record as whoever writes it completes it: with what is at the paths now, and the digest of a command line with
    /// secrets.
    fn write_record(&mut self, vm: &VmName, record: &Record) {
        let mut record = record.clone();
        for (id, device) in &mut record.applied.devices {
            let path = applied_source(id, device).filter(|_| device.place.is_none());
            let file = path.and_then(|path| self.paths.get(path)?.present());
            if let Some(file) = file {
                device.place = Some(file.place(&FileSystems::new()));
            }
        }
        let cmdline = record.applied.cmdline();
        let cmdline = cmdline.filter(|_| !record.secret_cmdlines.is_empty());
        let digest = cmdline.map(|text| HostKey::new(KEY).digest(&self.spec.secrets.filled(text)));
        record.cmdline_digest = digest;
        let text = render_record(&record);
        self.put_text(paths::record(vm), text.unwrap_or_default());
    }
}
