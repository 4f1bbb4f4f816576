//! Whether libvirt's AppArmor helper gives VMs the files that they use. It goes by where a path leads.

use super::facts::Facts;
use super::finding::{Check, Finding, Remedy};
use super::query::{above, sources_of_ours};
use crate::fleet::prefix_without_vms;
use crate::inventory::FileKind;
use crate::paths;
use std::collections::BTreeSet;

pub(super) fn places(facts: &Facts<'_>) -> Vec<Finding> {
    let check = Check::ImagePlaces;
    let used = used(facts);
    let mut found: Vec<_> = used
        .iter()
        .filter_map(|path| refused(facts, path))
        .collect();
    // One folder has many images, and is moved once.
    let mut remedies = BTreeSet::new();
    found.retain(|finding| {
        let remedy = finding.verdict.remedy().and_then(Remedy::command);
        remedy.is_none_or(|command| remedies.insert(command.to_owned()))
    });
    found.extend(facts.unknown_vms().map(|why| check.not_checked(why)));
    if !found.is_empty() {
        return found;
    }
    let what = match used.len() {
        0 => "no VM uses any image or share yet".to_owned(),
        count => format!("{count} images and shares: libvirt's AppArmor helper gives VMs each"),
    };
    vec![check.fine(what)]
}

/// What VMs of the fleet and of the host use.
fn used(facts: &Facts<'_>) -> BTreeSet<String> {
    let vms = facts.spec.into_iter().flat_map(|spec| spec.vms.values());
    let disks = vms
        .flat_map(|vm| &vm.disks)
        .map(|disk| disk.path.to_string());
    let files = disks.filter(|path| !paths::is_device(path));
    let used = files.chain(facts.shares().into_keys());
    let used = used.chain(sources_of_ours(facts.inventory));
    // armfleet's own folders have no links that others made.
    used.filter(|path| paths::own_part(path).is_none())
        .collect()
}

fn refused(facts: &Facts<'_>, path: &str) -> Option<Finding> {
    let Some(place) = facts.inventory.leads_to(path) else {
        // What is not there yet has no place.
        let absent = facts.inventory.path(path).is_absent();
        let why = format!("where {path} leads");
        return (!absent).then(|| Check::ImagePlaces.not_checked(why));
    };
    let prefix = prefix_without_vms(&place, true)?;
    let what =
        format!("{path} is {place}; libvirt's AppArmor helper gives no VM a file below {prefix}");
    let remedy = moved(facts, path, &place, prefix);
    let libvirt = facts.inventory.libvirt.present();
    let confined =
        libvirt.is_some_and(|libvirt| libvirt.confined_by.iter().any(|by| by == "apparmor"));
    Some(match confined {
        true => Check::ImagePlaces.problem(what, remedy),
        false => {
            let what = format!("{what}; libvirt does not confine VMs by AppArmor on this host");
            Check::ImagePlaces.notice(what, remedy)
        }
    })
}

/// Having the file, or its folder, where a link to it is now.
fn moved(facts: &Facts<'_>, path: &str, place: &str, prefix: &str) -> Remedy {
    let is_link = |path: &str| {
        let seen = facts.inventory.path(path).present();
        seen.is_some_and(|file| file.stat.kind == FileKind::Symlink)
    };
    let (link, target) = match is_link(path) {
        true => (path, place),
        false => (above(path), above(place)),
    };
    if is_link(link) {
        return Remedy::run(format!(
            "mv {target} {link}.moved && rm {link} && mv {link}.moved {link}"
        ));
    }
    Remedy::act(format!(
        "move it to a folder that is not below {prefix}, such as one in /srv"
    ))
}
