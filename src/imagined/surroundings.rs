//! What is on the imagined host before any fleet is applied.

use super::files::Inodes;
use super::fleets::sources;
use super::libvirt::{libvirt, links, networks};
use crate::boot::SHIM;
use crate::fleet::{Disk, DiskFormat, Spec, Vm};
use crate::inventory::{
    Binds, Fact, FileSystems, Look, RawDevice, RawFile, RawInventory, digest, query,
};
use crate::mark::render_key;
use crate::paths;
use crate::qcow2::{Qcow2, new_qcow2};
use crate::values::{HostKey, Size};
use std::collections::{BTreeMap, BTreeSet};

/// The host's key is no secret: what it digests are stand-ins.
pub(super) const KEY: [u8; HostKey::LENGTH] = [1; HostKey::LENGTH];
/// An image whose size no file tells.
const SOME_SIZE: u64 = 1 << 30;
/// A boot share is QEMU's alone.
const SHARE_MODE: u32 = 0o700;

/// What fleets find on a host on which nothing was applied, but for what they say is there.
pub(super) struct Surroundings<'s> {
    old: Option<&'s Spec>,
    specs: Vec<&'s Spec>,
    inodes: Inodes,
    present: BTreeMap<String, RawFile>,
}

impl<'s> Surroundings<'s> {
    /// The surroundings of a fleet that is to be applied after another one.
    pub(super) fn of(old: Option<&'s Spec>, new: &'s Spec) -> Self {
        let mut surroundings = Self {
            old,
            specs: old.into_iter().chain([new]).collect(),
            inodes: Inodes::default(),
            present: BTreeMap::new(),
        };
        surroundings.put_packages();
        for vm in surroundings.vms() {
            surroundings.put_files_of(vm);
        }
        surroundings
    }

    /// The host as planning for the fleets sees it. What is not there is certainly not there.
    pub(super) fn empty_host(mut self) -> RawInventory {
        let looks = self.looks();
        for path in looks.keys() {
            self.put_folders_above(path);
        }
        let present = self.present.into_iter();
        let present = present.map(|(path, file)| (path, Fact::Present(file)));
        let absent = looks.into_keys().map(|path| (path, Fact::Absent));
        RawInventory {
            at: 0,
            libvirt: Fact::Present(libvirt(&self.specs)),
            domains: Fact::Present(Vec::new()),
            networks: Fact::Present(networks(&self.specs)),
            links: Fact::Present(links(&self.specs)),
            addresses: BTreeMap::new(),
            // What is there counts.
            paths: absent.chain(present).collect(),
            claims: BTreeMap::new(),
            file_systems: FileSystems::new(),
            binds: Binds::new(),
        }
    }

    fn looks(&self) -> BTreeMap<String, Look> {
        let queries = self.specs.iter().map(|spec| query(spec));
        queries.flat_map(|query| query.paths).collect()
    }

    fn put(&mut self, path: impl ToString, make: impl FnOnce(&mut Inodes) -> RawFile) {
        let inodes = &mut self.inodes;
        self.present
            .entry(path.to_string())
            .or_insert_with(|| make(inodes));
    }

    /// What armfleet's package, libvirt and a first apply leave, a running watcher included.
    fn put_packages(&mut self) {
        for path in [paths::HOOKS, paths::HOOK_FOLDER] {
            self.put(path, |inodes| inodes.folder(0o755));
        }
        for path in [paths::STATE, paths::VMS] {
            self.put(path, |inodes| inodes.folder(paths::PASSAGE));
        }
        self.put(paths::SHIM, |inodes| RawFile {
            sha256: Some(digest(SHIM)),
            ..inodes.file(0o755, 1)
        });
        self.put(paths::HOOK_BINARY, |inodes| inodes.file(0o755, 1));
        self.put(paths::DAEMON_PID_FILES[0], |inodes| inodes.file(0o644, 1));
        // The daemon knows its hooks.
        self.put(paths::RELOADED, |inodes| inodes.file(0o600, 0));
        self.put(paths::WATCH_LOCK, |inodes| {
            inodes.text("armfleet watch".to_owned())
        });
        let key = render_key(&HostKey::new(KEY)).unwrap_or_default();
        self.put(paths::KEY, |inodes| inodes.text(key));
    }

    /// What a VM needs and armfleet does not make.
    fn put_files_of(&mut self, vm: &Vm) {
        for source in sources(vm) {
            let sha256 = digest(source.as_str());
            self.put(source, |inodes| RawFile {
                sha256: Some(sha256),
                ..inodes.file(0o644, 1)
            });
        }
        if vm.boot.seed.is_none() && vm.install.is_none() && self.is_first(vm) {
            // Nothing else could boot it.
            self.put(&vm.boot.share, |inodes| inodes.share(SHARE_MODE));
        }
        for share in vm
            .shares
            .iter()
            .filter(|share| share.readonly == Some(true))
        {
            self.put(&share.path, |inodes| inodes.folder(0o755));
        }
        for disk in &vm.disks {
            self.put_images_of(disk);
        }
    }

    fn put_images_of(&mut self, disk: &Disk) {
        let bases = [
            disk.from.as_ref().map(|from| (&from.path, disk.format)),
            disk.backing.as_ref().map(|base| (&base.path, base.format)),
        ];
        for (path, format) in bases.into_iter().flatten() {
            let size = self.size_over(path.as_str());
            self.put(path, |inodes| image(inodes, size, format));
        }
        let path = &disk.path;
        if disk.is_device() {
            let size = self.largest_size_of(path.as_str());
            let ids = BTreeSet::from([path.to_string()]);
            self.put(path, |inodes| RawFile {
                blank: Some(false),
                head: Some(String::new()),
                device: Some(RawDevice {
                    size: Some(size),
                    ids,
                    ..RawDevice::default()
                }),
                ..RawFile::only(inodes.device())
            });
        } else if disk.size.is_none() && disk.from.is_none() && disk.backing.is_none() {
            let size = self.largest_size_of(path.as_str());
            self.put(path, |inodes| image(inodes, size, disk.format));
        }
    }

    fn vms(&self) -> Vec<&'s Vm> {
        let vms = self.specs.iter().copied();
        vms.flat_map(|spec| spec.vms.values()).collect()
    }

    /// Whether no apply has come before this VM's: what it had then is all that it has now.
    fn is_first(&self, vm: &Vm) -> bool {
        let Some(old) = self.old else { return true };
        let was = old.vms.get(&vm.name);
        was.is_none_or(|was| std::ptr::eq(was, vm))
    }

    fn disks(&self) -> impl Iterator<Item = &'s Disk> {
        self.vms().into_iter().flat_map(|vm| &vm.disks)
    }

    /// A device or an image that has to be there is as large as anybody wants it.
    fn largest_size_of(&self, path: &str) -> u64 {
        let disks = self.disks().filter(|disk| disk.path.as_str() == path);
        let sizes = disks.filter_map(|disk| disk.size.map(Size::bytes));
        sizes.max().unwrap_or(SOME_SIZE)
    }

    /// A base image is no larger than any disk that is made of it.
    fn size_over(&self, base: &str) -> u64 {
        let is_over = |disk: &&Disk| {
            let from = disk.from.as_ref().map(|from| &from.path);
            let backing = disk.backing.as_ref().map(|backing| &backing.path);
            from.into_iter()
                .chain(backing)
                .any(|path| path.as_str() == base)
        };
        let disks = self.disks().filter(is_over);
        let sizes = disks.filter_map(|disk| disk.size.map(Size::bytes));
        sizes.min().unwrap_or(SOME_SIZE)
    }

    /// Root's folders on the way to a path, but for those of armfleet's own that it makes itself.
    fn put_folders_above(&mut self, path: &str) {
        if paths::own_part(path).is_some_and(|(_, rest)| !rest.is_empty()) {
            return;
        }
        let mut above = path;
        while let Some((folder, _)) = above.rsplit_once('/') {
            above = folder;
            let folder = if folder.is_empty() { "/" } else { folder };
            self.put(folder, |inodes| inodes.folder(0o755));
        }
    }
}

/// An image of a format.
pub(super) fn image(inodes: &mut Inodes, size: u64, format: DiskFormat) -> RawFile {
    match format {
        DiskFormat::Raw => inodes.image(size, &[]),
        DiskFormat::Qcow2 => {
            let (first, bytes) = new_qcow2(size, None);
            inodes.image(bytes, Qcow2::head(&first))
        }
    }
}
