//! VMs that leave the file while another appears with what they had: most often one VM that was given another name. And
//! fleets that were.

use super::About;
use super::builder::{PlanBuilder, PlanInput};
use crate::domain::{compare, skeleton};
use crate::fleet::Vm;
use crate::inventory::{Domain, Ownership};
use crate::mark::PropertyId;
use crate::values::{HostPath, Uuid, VmName, domain_uuid};
use crate::xml;
use std::collections::BTreeMap;

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

/// Says that the fleet itself has another name now, where the host has none of its VMs and those of its file are another's.
pub(super) fn notice_of_fleet(input: &PlanInput<'_>, builder: &mut PlanBuilder) {
    let mut others: BTreeMap<String, (usize, Vec<&str>)> = BTreeMap::new();
    for (name, domain) in input.domains {
        match input.ownership(domain) {
            Ownership::Ours(_) | Ownership::Renamed(_) => return,
            Ownership::OtherFleet(fleet) => {
                let (in_file, left) = others.entry(fleet).or_default();
                match input.in_file(name) {
                    true => *in_file += 1,
                    false => left.push(name),
                }
            }
            _ => {}
        }
    }
    let adopts = |fleet: &str| {
        let adopting = input.selected().filter_map(|vm| vm.adopt.as_ref());
        adopting
            .into_iter()
            .any(|adopt| adopt.from.as_str() == fleet)
    };
    for (fleet, (in_file, left)) in others {
        if in_file == 0 || adopts(&fleet) {
            continue;
        }
        let left = match left.as_slice() {
            [] => String::new(),
            left => format!(
                "; {} of fleet {fleet} would stay as they are",
                left.join(", ")
            ),
        };
        builder.notice(
            About::FLEET,
            format!(
                "probably {fleet} under another name: this host has no VM of fleet {}, and {in_file} of the file's as VMs of {fleet}",
                input.spec.fleet
            ),
            format!("write fleet: {fleet} again, or take its VMs over with defaults: {{ adopt: {{ from: {fleet} }} }}{left}"),
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
