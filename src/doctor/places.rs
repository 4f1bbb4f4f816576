//! The file systems on which kernels are staged, and those of boot shares.

use super::facts::Facts;
use super::finding::{Check, Finding, Remedy};
use super::query::above;
use crate::inventory::{Fact, RawFileSystem};
use crate::paths;
use crate::values::Size;
use std::collections::{BTreeMap, BTreeSet};

/// While a kernel is installed, the former and the new initrd are there with one on its way, and the hook copies a pair.
const LEAST: Size = Size::from_bytes(256 << 20);
/// Nothing on these lasts longer than the host's uptime.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];
/// On these another machine decides about owners, attributes and locks.
const REMOTE: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs"];

pub(super) fn staging(facts: &Facts<'_>) -> Vec<Finding> {
    let check = Check::Staging;
    match place(facts, paths::STATE) {
        Ok(place) => {
            let what = format!("staged kernels in {}", paths::STATE);
            let found: Vec<_> = [too_full(check, &what, place), volatile(check, &what, place)]
                .into_iter()
                .flatten()
                .collect();
            or_fine(found, check, &what, place)
        }
        Err(why) => vec![check.not_checked(why)],
    }
}

/// One finding for all shares on a file system that are alike.
pub(super) fn shares(facts: &Facts<'_>) -> Vec<Finding> {
    let check = Check::Shares;
    let mut mounts: BTreeMap<&str, (&RawFileSystem, BTreeSet<&str>, String)> = BTreeMap::new();
    let mut unseen = Vec::new();
    for (share, vms) in facts.shares() {
        match place(facts, &share) {
            Ok(place) => {
                let on = mounts
                    .entry(&place.at)
                    .or_insert_with(|| (place, BTreeSet::new(), share.clone()));
                on.1.extend(vms);
            }
            Err(why) => unseen.push(check.not_checked(why)),
        }
    }
    unseen.extend(facts.unknown_vms().map(|why| check.not_checked(why)));
    if mounts.is_empty() && unseen.is_empty() {
        return vec![check.fine("no VM has a boot share yet")];
    }
    let found = mounts.into_values().flat_map(|(place, vms, share)| {
        let what = match Vec::from_iter(&vms)[..] {
            [vm] => format!("the boot share of {vm}"),
            _ => format!("the boot shares of {} VMs", vms.len()),
        };
        of_shares(&what, &share, place)
    });
    found.chain(unseen).collect()
}

fn of_shares(what: &str, share: &str, place: &RawFileSystem) -> Vec<Finding> {
    let check = Check::Shares;
    let found = [
        without_attributes(what, share, place),
        too_full(check, what, place),
        volatile(check, what, place),
        remote(what, place),
    ];
    or_fine(found.into_iter().flatten().collect(), check, what, place)
}

fn or_fine(found: Vec<Finding>, check: Check, what: &str, place: &RawFileSystem) -> Vec<Finding> {
    match found.is_empty() {
        true => vec![check.fine(format!("{what}: {}", described(place)))],
        false => found,
    }
}

fn described(place: &RawFileSystem) -> String {
    let RawFileSystem { kind, at, free, .. } = place;
    match free {
        Some(free) => format!("{kind} at {at}, {} free", Size::from_bytes(*free).about()),
        None => format!("{kind} at {at}"),
    }
}

/// The file system of a folder, or of the one that it will be in.
fn place<'a>(facts: &Facts<'a>, path: &str) -> Result<&'a RawFileSystem, String> {
    let at = |path: &str| {
        let seen = facts.inventory.path(path);
        let known = seen.present().and_then(|file| file.file_system.as_deref());
        let why = || {
            seen.unknown()
                .unwrap_or("it is no folder, or not there")
                .to_owned()
        };
        known.ok_or_else(|| format!("the file system of {path}: {}", why()))
    };
    match facts.inventory.path(path).is_absent() {
        true => at(above(path)),
        false => at(path),
    }
}

fn without_attributes(what: &str, share: &str, place: &RawFileSystem) -> Option<Finding> {
    let check = Check::Shares;
    let kind = &place.kind;
    match &place.user_attributes {
        Fact::Present(true) => None,
        Fact::Present(false) => Some(check.problem(
            format!("{what}, {share}: {kind} keeps no extended attributes, in which QEMU keeps owners, modes and links of the guest; it cannot install a kernel"),
            moved(share, place),
        )),
        unseen => {
            let why = unseen.unknown().unwrap_or("it was not asked");
            let what = format!("whether {share} keeps extended attributes: {why}");
            Some(check.not_checked(what))
        }
    }
}

/// Of a share that is a file system of its own, a copy takes its place.
fn moved(share: &str, place: &RawFileSystem) -> Remedy {
    if place.at == share {
        return Remedy::run(format!(
            "cp -a {share} {share}.kept && umount {share} && rmdir {share} && mv {share}.kept {share}"
        ));
    }
    Remedy::act("move it, while the VM is off, to ext4, xfs or btrfs, and set boot.share")
}

fn too_full(check: Check, what: &str, place: &RawFileSystem) -> Option<Finding> {
    let free = Size::from_bytes(place.free?);
    (free < LEAST).then(|| {
        let at = &place.at;
        let what = format!(
            "{what}: {at} has {} free; a new kernel needs up to {LEAST} while it is installed",
            free.about()
        );
        check.problem(what, Remedy::act(format!("free space on {at}")))
    })
}

fn volatile(check: Check, what: &str, place: &RawFileSystem) -> Option<Finding> {
    let kind = place.kind.as_str();
    VOLATILE.contains(&kind).then(|| {
        let what = format!(
            "{what}: {} is a {kind}, which is empty after a reboot of the host",
            place.at
        );
        check.notice(what, Remedy::act("use a file system on a disk"))
    })
}

fn remote(what: &str, place: &RawFileSystem) -> Option<Finding> {
    let kind = place.kind.as_str();
    REMOTE.contains(&kind).then(|| {
        let what = format!(
            "{what}: {} is a {kind}, where another machine decides about owners and attributes",
            place.at
        );
        Check::Shares.notice(what, Remedy::act("use a local file system"))
    })
}
