//! What must be looked at for a spec.

use super::raw::{Look, Query};
use crate::fleet::{Spec, Vm};
use crate::paths;

/// The query for a spec. It depends on nothing else, so a plan never waits for a second round of questions.
#[must_use]
pub fn query(spec: &Spec) -> Query {
    let mut query = Query {
        networks: spec.vms.values().any(|vm| !vm.networks.is_empty()),
        trusted: spec.trusted.iter().map(ToString::to_string).collect(),
        ..Query::default()
    };
    let mut look = |path: &str, look: Look| {
        let known = query.paths.entry(path.to_owned()).or_insert(look);
        // One folder may hold a share and an image: the closer look counts.
        if look != Look::Stat {
            *known = look;
        }
    };
    look(paths::HOOK_FOLDER, Look::Stat);
    look(paths::HOOKS, Look::Stat);
    look(paths::SHIM, Look::Digest);
    look(paths::HOOK_BINARY, Look::Stat);
    look(paths::RELOADED, Look::Stat);
    for path in paths::DAEMON_PID_FILES
        .iter()
        .chain(&paths::LIBVIRT_SOCKETS)
    {
        look(path, Look::Stat);
    }
    look(paths::STATE, Look::Stat);
    look(paths::VMS, Look::Records);
    look(paths::KEY, Look::Text);
    look(paths::WATCH_LOCK, Look::Lock);
    for vm in spec.vms.values() {
        for (path, closeness) in looks_of(vm) {
            look(&path, closeness);
        }
    }
    query
}

fn looks_of(vm: &Vm) -> Vec<(String, Look)> {
    let stat = |path: &str| (path.to_owned(), Look::Stat);
    let mut looks = vec![
        (vm.boot.share.to_string(), Look::Share),
        stat(vm.boot.share.parent()),
        stat(&paths::vm_folder(&vm.name)),
        stat(&paths::boot_folder(&vm.name)),
        stat(&paths::generations(&vm.name)),
        (paths::current(&vm.name), Look::Generation),
        stat(&paths::previous(&vm.name)),
        (paths::current_pair(&vm.name), Look::Text),
        (paths::trials(&vm.name), Look::Text),
        (paths::hook_seen(&vm.name), Look::Text),
        (paths::hold(&vm.name), Look::Text),
        (paths::fresh_receipt(&vm.name), Look::Text),
        (paths::cloud_init_folder(&vm.name), Look::Folder),
        stat(&managed_save(vm)),
        stat(&nvram(vm)),
    ];
    if let Some(seed) = &vm.boot.seed {
        looks.push((seed.kernel.to_string(), Look::Seed));
        looks.push((seed.initrd.to_string(), Look::Seed));
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
        let sources = [&install.kernel, &install.initrd].into_iter();
        let sources = sources.chain(install.files.values());
        looks.extend(sources.map(|path| (path.to_string(), Look::Seed)));
        looks.push((paths::installer_receipt(&vm.name), Look::Text));
        looks.push((paths::installer_folder(&vm.name), Look::Folder));
    }
    for share in &vm.shares {
        looks.push((share.path.to_string(), Look::FurtherShare));
        looks.push(stat(share.path.parent()));
    }
    for disk in &vm.disks {
        looks.push((disk.path.to_string(), Look::of_disk(disk.path.as_str())));
        if !disk.is_device() {
            looks.push((disk.path.parent().to_owned(), Look::Room));
        }
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
        looks.extend([(log.to_string(), Look::Log), stat(log.parent())]);
    }
    looks
}

/// Where libvirt would keep this VM's managed save image (`qemuDomainManagedSavePath`).
#[must_use]
pub fn managed_save(vm: &Vm) -> String {
    format!("/var/lib/libvirt/qemu/save/{}.save", vm.name)
}

/// Where libvirt would keep this VM's firmware variables (`qemuDomainNVRAMPathFormat`).
#[must_use]
pub fn nvram(vm: &Vm) -> String {
    format!("/var/lib/libvirt/qemu/nvram/{}_VARS.fd", vm.name)
}
