//! VMs that leave the file while another appears with what they had: most often one VM that was given another name.

use super::builder::{PlanBuilder, PlanInput};
use crate::domain::{compare, skeleton};
use crate::fleet::Vm;
use crate::inventory::Domain;
use crate::mark::PropertyId;
use crate::values::{HostPath, Uuid, VmName, domain_uuid};
use crate::xml;

/// Names the VMs that a VM which leaves the file may have become.
pub(super) fn notice(
    input: &PlanInput<'_>,
    leaving: &VmName,
    domain: &Domain,
    builder: &mut PlanBuilder,
) {
    let is_new = |vm: &&Vm| !input.domains.contains_key(vm.name.as_str());
    for vm in input.selected().filter(is_new) {
        let what = match claimed(vm, domain) {
            Some(path) => format!("it claims {path}, which {leaving} has"),
            None if has_its_keys(input, leaving, vm) => {
                format!("all its keys are those of {leaving}")
            }
            None => continue,
        };
        builder.notice(
            &vm.name,
            format!("probably {leaving} under another name: {what}, and {leaving} left the file"),
            format!(
                "a VM cannot be renamed; name it {leaving} again to keep it, otherwise {leaving} is removed and this VM is created"
            ),
        );
    }
}

/// A disk or share of a VM that a domain has.
fn claimed<'a>(vm: &'a Vm, domain: &Domain) -> Option<&'a HostPath> {
    let disks = vm.disks.iter().map(|disk| &disk.path);
    let mut paths = disks.chain([&vm.boot.share]);
    paths.find(|path| domain.sources.iter().any(|source| source == path.as_str()))
}

/// Whether a VM wants what the last apply gave another one, but for the name in it.
fn has_its_keys(input: &PlanInput<'_>, leaving: &VmName, vm: &Vm) -> bool {
    let recorded = input.inventory.record(leaving);
    let Some(record) = recorded.present().and_then(|seen| seen.good()) else {
        return false;
    };
    let uuid: Uuid = domain_uuid(&input.spec.fleet, &vm.name);
    let skeleton = skeleton(vm.arch, &input.spec.fleet, &vm.name, &uuid);
    let Ok(document) = xml::parse(&skeleton) else {
        return false;
    };
    let wanted = compare(vm, input.libvirt, None, &document, true);
    let had = &record.applied.rows;
    let under_its_name = |row: &PropertyId| {
        let value = had.get(row)?;
        Some(value.replace(leaving.as_str(), vm.name.as_str()))
    };
    let mut wanted = wanted.applied.rows.iter();
    wanted.all(|(row, value)| under_its_name(row).as_ref() == Some(value))
}
