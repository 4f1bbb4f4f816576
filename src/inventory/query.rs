//! What must be looked at for a spec.

use super::raw::{Look, Query};
use crate::fleet::{Handover, Spec, Vm};
use crate::paths;
use crate::values::VmName;

/// The query for a spec. It depends on nothing else, so a plan never waits for a second round of questions.
#[must_use]
pub fn query(spec: &Spec) -> Query {
    let mut query = query_host();
    query.add_fleet(spec);
    query
}

/// What every plan asks, whatever its VMs are.
#[must_use]
pub fn query_host() -> Query {
    let mut query = Query::default();
    let stats = [paths::HOOK_FOLDER, paths::HOOKS, paths::HOOK_BINARY]
        .into_iter()
        .chain([paths::RELOADED, paths::STATE])
        .chain(paths::DAEMON_PID_FILES)
        .chain(paths::LIBVIRT_SOCKETS);
    query.look(stats.map(stat));
    query.look([
        (paths::SHIM.to_owned(), Look::Digest),
        (paths::VMS.to_owned(), Look::Records),
        (paths::KEY.to_owned(), Look::Text),
        (paths::WATCH_LOCK.to_owned(), Look::Lock),
    ]);
    query
}

impl Query {
    pub(super) fn add_fleet(&mut self, spec: &Spec) {
        self.networks |= spec.vms.values().any(|vm| !vm.networks.is_empty());
        self.trusted = spec.trusted.iter().map(ToString::to_string).collect();
        for vm in spec.vms.values() {
            self.look(looks_of(vm));
        }
    }

    pub(super) fn look(&mut self, looks: impl IntoIterator<Item = (String, Look)>) {
        for (path, look) in looks {
            let known = self.paths.entry(path).or_insert(look);
            // One folder may hold a share and an image: the closer look counts.
            let is_closer = match look {
                Look::Stat => false,
                Look::Seed => known.given_as().is_none(),
                _ => true,
            };
            if is_closer {
                *known = look;
            }
        }
    }
}

/// A thing that a VM uses, and the folder that it is in: a new image has to have room there.
pub fn with_folder(path: &str, look: Look) -> impl Iterator<Item = (String, Look)> {
    let folder = match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    };
    let around = match look {
        Look::Device => None,
        Look::Image => Some((folder.to_owned(), Look::Room)),
        _ => Some(stat(folder)),
    };
    [(path.to_owned(), look)].into_iter().chain(around)
}

pub(super) fn stat(path: &str) -> (String, Look) {
    (path.to_owned(), Look::Stat)
}

/// What is asked of every VM, whatever it has.
pub(super) fn own_looks(vm: &VmName) -> Vec<(String, Look)> {
    vec![
        stat(&paths::vm_folder(vm)),
        stat(&paths::boot_folder(vm)),
        stat(&paths::generations(vm)),
        (paths::current(vm), Look::Generation),
        stat(&paths::previous(vm)),
        (paths::current_pair(vm), Look::Text),
        (paths::trials(vm), Look::Text),
        (paths::hook_seen(vm), Look::Text),
        (paths::hold(vm), Look::Text),
        (paths::fresh_receipt(vm), Look::Text),
        (paths::cloud_init_folder(vm), Look::Folder),
        stat(&managed_save(vm)),
        stat(&nvram(vm)),
    ]
}

fn looks_of(vm: &Vm) -> Vec<(String, Look)> {
    let mut looks = own_looks(&vm.name);
    looks.extend(with_folder(vm.boot.share.as_str(), Look::Share));
    if vm.boot.handover == Handover::Link {
        looks.push((paths::QEMU_CONF.to_owned(), Look::Owners));
    }
    if let Some(seed) = &vm.boot.seed {
        looks.push((seed.kernel.to_string(), Look::SeedKernel));
        looks.push((seed.initrd.to_string(), Look::SeedInitrd));
        looks.push((paths::seed_receipt(&vm.name), Look::Text));
        looks.push((paths::seed_folder(&vm.name), Look::Folder));
    }
    if let Some(dtb) = &vm.boot.dtb {
        looks.push((dtb.to_string(), Look::DeviceTree));
        looks.push((paths::dtb_receipt(&vm.name), Look::Text));
        looks.push((paths::dtb_folder(&vm.name), Look::Folder));
    }
    if vm.cloud_init.is_some() {
        looks.push((paths::cloud_init_receipt(&vm.name), Look::Text));
    }
    if let Some(install) = &vm.install {
        looks.push((install.kernel.to_string(), Look::SeedKernel));
        looks.push((install.initrd.to_string(), Look::SeedInitrd));
        let files = install.files.values();
        looks.extend(files.map(|path| (path.to_string(), Look::Seed)));
        looks.push((paths::installer_receipt(&vm.name), Look::Text));
        looks.push((paths::installer_folder(&vm.name), Look::Folder));
    }
    for share in &vm.shares {
        looks.extend(with_folder(share.path.as_str(), Look::FurtherShare));
    }
    for disk in &vm.disks {
        let path = disk.path.as_str();
        looks.extend(with_folder(path, Look::of_disk(path)));
        let bases = [
            disk.from.as_ref().map(|from| &from.path),
            disk.backing.as_ref().map(|backing| &backing.path),
        ];
        looks.extend(
            bases
                .into_iter()
                .flatten()
                .map(|base| (base.to_string(), Look::Image)),
        );
    }
    if let Some(log) = &vm.console.log {
        looks.extend(with_folder(log.as_str(), Look::Log));
    }
    looks
}

/// Where libvirt would keep this VM's managed save image (`qemuDomainManagedSavePath`).
#[must_use]
pub fn managed_save(vm: &VmName) -> String {
    format!("/var/lib/libvirt/qemu/save/{vm}.save")
}

/// Where libvirt would keep this VM's firmware variables (`qemuDomainNVRAMPathFormat`).
#[must_use]
pub fn nvram(vm: &VmName) -> String {
    format!("/var/lib/libvirt/qemu/nvram/{vm}_VARS.fd")
}
