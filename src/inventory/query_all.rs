//! What must be looked at for any fleet whose VMs are on a host.

use super::query::{own_looks, query_host, stat};
use super::raw::{Look, Query, RawDomain, RawInventory};
use crate::boot::{SeedPart, read_dtb_receipt, read_installer_receipt, read_seed_receipt};
use crate::fleet::Spec;
use crate::paths;
use crate::values::{BOOT_TAG, VmName};
use crate::xml;
use roxmltree::Node;

/// What plans ask for fleets whose VMs are domains of this host as they are, and for a certain fleet. What was seen already
/// tells which domains there are, and of what their kernels were copied: asked again with what the answer tells, it asks
/// for no more in the end.
#[must_use]
pub fn query_all(seen: &RawInventory, spec: Option<&Spec>) -> Query {
    let mut query = query_host();
    query.networks = true;
    for domain in seen.domains.present().into_iter().flatten() {
        // libvirt has domains that no VM could be called.
        if let Ok(vm) = domain.name.parse() {
            query.look(own_looks(&vm));
            query.look(staged_looks(&vm));
            query.look(sources_of(&vm, seen));
        }
        query.look(uses_of(domain));
    }
    if let Some(spec) = spec {
        query.add_fleet(spec);
        query.addresses = spec.vms.keys().map(ToString::to_string).collect();
    }
    query
}

/// What apply keeps of kernels that it staged. The receipts of disks for cloud-init are left out: nothing is learned from them
/// without the texts.
fn staged_looks(vm: &VmName) -> [(String, Look); 6] {
    [
        (paths::seed_receipt(vm), Look::Text),
        (paths::seed_folder(vm), Look::Folder),
        (paths::dtb_receipt(vm), Look::Text),
        (paths::dtb_folder(vm), Look::Folder),
        (paths::installer_receipt(vm), Look::Text),
        (paths::installer_folder(vm), Look::Folder),
    ]
}

/// What was staged was copied from these.
fn sources_of(vm: &VmName, seen: &RawInventory) -> Vec<(String, Look)> {
    let text = |path: String| {
        Some(
            seen.paths
                .get(&path)?
                .present()?
                .text
                .as_deref()?
                .as_bytes(),
        )
    };
    let source = |look: Look| move |part: SeedPart| (part.path.to_string(), look);
    let seed = text(paths::seed_receipt(vm)).and_then(|text| read_seed_receipt(text).ok());
    let seed = seed.into_iter().flat_map(|seed| [seed.kernel, seed.initrd]);
    let installer = text(paths::installer_receipt(vm));
    let installer = installer.and_then(|text| read_installer_receipt(text).ok());
    let installer = installer.into_iter().flat_map(|installer| {
        let files = installer.files.into_values();
        [installer.kernel, installer.initrd]
            .into_iter()
            .chain(files)
    });
    let dtb = text(paths::dtb_receipt(vm)).and_then(|text| read_dtb_receipt(text).ok());
    let dtb = dtb.into_iter().map(source(Look::DeviceTree));
    let seeds = seed.chain(installer).map(source(Look::Seed));
    seeds.chain(dtb).collect()
}

/// What a domain uses, and the folders around.
fn uses_of(domain: &RawDomain) -> Vec<(String, Look)> {
    let definition = domain.inactive.present().map(|text| xml::parse(text));
    let Some(Ok(definition)) = definition else {
        return Vec::new();
    };
    let devices = xml::child(definition.root_element(), "devices");
    let devices = devices.into_iter().flat_map(|devices| devices.children());
    devices.flat_map(uses_of_device).collect()
}

fn uses_of_device(device: Node<'_, '_>) -> Vec<(String, Look)> {
    let named = |element: &str, attribute: &str| {
        let path = xml::child(device, element)?.attribute(attribute)?;
        path.starts_with('/').then(|| path.to_owned())
    };
    let around = |path: &str| {
        path.rsplit_once('/')
            .map_or("/", |(folder, _)| folder)
            .to_owned()
    };
    match device.tag_name().name() {
        "disk" => {
            let images = [named("source", "file"), named("source", "dev")];
            let images = images.into_iter().flatten();
            let looks = images.flat_map(|path| {
                let room = (!paths::is_device(&path)).then(|| (around(&path), Look::Room));
                let look = Look::of_disk(&path);
                room.into_iter().chain([(path, look)])
            });
            looks.collect()
        }
        "filesystem" => {
            let is_boot = xml::child(device, "target")
                .is_some_and(|target| target.attribute("dir") == Some(BOOT_TAG));
            let look = if is_boot {
                Look::Share
            } else {
                Look::FurtherShare
            };
            let share = named("source", "dir");
            let looks = share.map(|path| [stat(&around(&path)), (path, look)]);
            looks.into_iter().flatten().collect()
        }
        "serial" => {
            let log = named("log", "file");
            let looks = log.map(|path| [stat(&around(&path)), (path, Look::Log)]);
            looks.into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}
