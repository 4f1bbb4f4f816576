//! What must be looked at for any fleet whose VMs are on a host.

use super::query::{own_looks, query_host};
use super::raw::{Look, Query, RawInventory};
use super::records::records_in;
use crate::boot::{SeedPart, read_dtb_receipt, read_installer_receipt, read_seed_receipt};
use crate::fleet::Spec;
use crate::paths;
use crate::values::VmName;

/// What plans ask for fleets whose VMs are domains of this host as they are, and for a certain fleet. What was seen already
/// tells which domains there are, and of what their kernels were copied: asked again with what the answer tells, it asks
/// for no more in the end. `uses` reads out of a definition what its devices use, and how closely that is looked at.
#[must_use]
pub fn query_all(
    seen: &RawInventory,
    spec: Option<&Spec>,
    uses: fn(&str) -> Vec<(String, Look)>,
) -> Query {
    let mut query = query_host();
    query.networks = true;
    for domain in seen.domains.present().into_iter().flatten() {
        // libvirt has domains that no VM could be called.
        if let Ok(vm) = domain.name.parse() {
            query.look(own_looks(&vm));
            query.look(staged_looks(&vm));
            query.look(sources_of(&vm, seen));
        }
        let uses = domain.inactive.present().map(|text| uses(text));
        query.look(uses.into_iter().flatten());
    }
    if let Some(spec) = spec {
        query.add_fleet(spec);
        query.addresses = spec.vms.keys().map(ToString::to_string).collect();
    }
    query
}

/// What is asked about VMs that armfleet keeps, before their power is turned on or off: of those whose names are chosen, and
/// with what their next boot gives them where that is wanted. What was seen already tells which VMs there are.
#[must_use]
pub fn query_kept(seen: &RawInventory, chosen: impl Fn(&str) -> bool, next_boot: bool) -> Query {
    let mut query = query_host();
    for (name, record) in records_in(seen) {
        let Ok(vm) = name.parse::<VmName>() else {
            continue;
        };
        if !chosen(&name) {
            continue;
        }
        query.look(own_looks(&vm));
        let record = record.present().and_then(|seen| seen.good());
        if let Some(boot) = record.map(|record| &record.boot).filter(|_| next_boot) {
            query.look([(boot.share.to_string(), Look::Share)]);
            let fresh = boot.fresh.values();
            query.look(fresh.map(|disk| (disk.path.to_string(), Look::Image)));
        }
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
    let pair = |kernel: SeedPart, initrd: SeedPart| {
        [(kernel, Look::SeedKernel), (initrd, Look::SeedInitrd)]
            .map(|(part, look)| (part.path.to_string(), look))
    };
    let seed = seed
        .into_iter()
        .flat_map(|seed| pair(seed.kernel, seed.initrd));
    let installer = text(paths::installer_receipt(vm));
    let installer = installer.and_then(|text| read_installer_receipt(text).ok());
    let installer = installer.into_iter().flat_map(|installer| {
        let files = installer.files.into_values().map(source(Look::Seed));
        pair(installer.kernel, installer.initrd)
            .into_iter()
            .chain(files)
    });
    let dtb = text(paths::dtb_receipt(vm)).and_then(|text| read_dtb_receipt(text).ok());
    let dtb = dtb.into_iter().map(source(Look::DeviceTree));
    seed.chain(installer).chain(dtb).collect()
}
