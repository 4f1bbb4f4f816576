//! Which target each disk has in its domain.
//!
//! libvirt sorts disks by target, and a guest counts those on virtio-mmio in reverse: there `vdz` is its first. On PCI
//! libvirt gives a new domain's disks addresses in the order of their targets. A target is chosen once and then recorded,
//! so that a list can change without renaming anything in the guest.

use crate::domain::kind::KindInput;
use crate::fleet::Disk;
use crate::mark::KindId;
use crate::paths;
use crate::values::Transport;
use crate::xml::child;
use roxmltree::Node;
use std::collections::BTreeSet;

/// Where a disk is.
pub(super) struct DiskPlace {
    pub(super) target: String,
    /// Whether it is a disk's that goes.
    pub(super) replaces: bool,
}

/// A disk that the domain has.
pub(super) struct SeenDisk<'a> {
    pub(super) target: &'a str,
    pub(super) source: Option<&'a str>,
}

/// What a disk has: a file, or what else a source can be.
pub(in crate::domain) fn disk_source<'a>(disk: Node<'a, '_>) -> Option<&'a str> {
    let source = child(disk, "source")?;
    let known = ["file", "dev", "name", "volume"];
    known.into_iter().find_map(|name| source.attribute(name))
}

/// Whether a disk is one that armfleet made for cloud-init.
pub(super) fn is_for_cloud_init(disk: Node<'_, '_>) -> bool {
    disk_source(disk).is_some_and(|path| paths::cloud_init_disk_of(path).is_some())
}

/// The place of each disk of the list.
pub(super) fn places(
    input: &KindInput<'_, '_>,
    kind: &KindId,
    seen: &[SeenDisk<'_>],
) -> Vec<DiskPlace> {
    let known = |disk: &Disk| known(input, kind, seen, disk);
    let disks = &input.vm.disks;
    let mut targets: Vec<Option<String>> = disks.iter().map(known).collect();
    if input.new {
        // No disk has a target yet: the ones that the file gives decide where the others fit.
        let said = disks.iter().map(|disk| disk.target.as_ref());
        for (target, said) in targets.iter_mut().zip(said) {
            *target = target.take().or(said.map(ToString::to_string));
        }
    }
    let leaving = leaving(input, kind, seen, &targets);
    let said = disks.iter().filter_map(|disk| disk.target.as_ref());
    let mut taken: BTreeSet<String> = said.map(ToString::to_string).collect();
    taken.extend(targets.iter().flatten().cloned());
    taken.extend(seen.iter().map(|disk| disk.target.to_owned()));
    for (at, disk) in disks.iter().enumerate() {
        if targets.get(at).is_none_or(Option::is_some) {
            continue;
        }
        let chosen = match &disk.target {
            Some(target) => Some(target.to_string()),
            None => {
                let around = around(&targets, at, input.transport);
                let left = leaving.iter().filter(|target| {
                    let is_free = !targets.iter().flatten().any(|other| other == *target);
                    is_free && fits(rank(target, input.transport), around)
                });
                let left = left.min_by_key(|target| rank(target, input.transport));
                let between = || between(&taken, around, input.transport);
                let between = || input.new.then(between).flatten();
                let left = left.cloned().or_else(between);
                left.or_else(|| free(&taken, input.transport))
            }
        };
        taken.extend(chosen.clone());
        if let Some(place) = targets.get_mut(at) {
            *place = chosen;
        }
    }
    let known_before: BTreeSet<String> = disks.iter().filter_map(known).collect();
    let place = |target: Option<String>| {
        let target = target.unwrap_or_default();
        DiskPlace {
            replaces: leaving.contains(&target) && !known_before.contains(&target),
            target,
        }
    };
    targets.into_iter().map(place).collect()
}

/// The target that a disk has already: the recorded one, else that of the device with its image.
fn known(
    input: &KindInput<'_, '_>,
    kind: &KindId,
    seen: &[SeenDisk<'_>],
    disk: &Disk,
) -> Option<String> {
    let recorded = input.recorded(&kind.named(&disk.name));
    let recorded = recorded.map(|device| device.key.clone());
    let has_it = |seen: &&SeenDisk<'_>| seen.source == Some(disk.path.as_str());
    recorded.or_else(|| {
        let seen = seen.iter().find(has_it)?;
        Some(seen.target.to_owned())
    })
}

/// The targets of disks that the last apply put into the domain and that no disk of the list is.
fn leaving(
    input: &KindInput<'_, '_>,
    kind: &KindId,
    seen: &[SeenDisk<'_>],
    known: &[Option<String>],
) -> BTreeSet<String> {
    let recorded = input
        .before
        .into_iter()
        .flat_map(|applied| &applied.devices);
    let wanted = |name: &str| input.vm.disks.iter().any(|disk| disk.name.as_str() == name);
    let disks = recorded.filter(|(id, _)| id.kind == *kind && !wanted(&id.name));
    let targets = disks.map(|(_, device)| device.key.clone());
    let is_known = |target: &String| known.iter().flatten().any(|known| known == target);
    let is_there = |target: &String| seen.iter().any(|disk| disk.target == target);
    targets
        .filter(|target| !is_known(target) && is_there(target))
        .collect()
}

/// The places before and after an entry of the list, as far as they are known.
fn around(
    targets: &[Option<String>],
    at: usize,
    transport: Transport,
) -> (Option<i64>, Option<i64>) {
    let ranks = |targets: &[Option<String>]| -> Vec<i64> {
        let known = targets.iter().flatten();
        known.filter_map(|target| rank(target, transport)).collect()
    };
    let before = ranks(targets.get(..at).unwrap_or_default());
    let after = ranks(targets.get(at..).unwrap_or_default());
    (before.last().copied(), after.first().copied())
}

fn fits(rank: Option<i64>, (before, after): (Option<i64>, Option<i64>)) -> bool {
    rank.is_some_and(|rank| {
        before.is_none_or(|before| before < rank) && after.is_none_or(|after| rank < after)
    })
}

/// The target that the guest counts last, of those that are not taken.
pub(super) fn last_free(taken: &BTreeSet<String>, transport: Transport) -> Option<String> {
    let mut free = in_order(transport);
    free.retain(|target| !taken.contains(target));
    free.pop()
}

/// All targets of one letter, as a guest counts them.
fn in_order(transport: Transport) -> Vec<String> {
    let letters = 'a'..='z';
    let mut targets: Vec<String> = letters.map(|letter| format!("vd{letter}")).collect();
    targets.sort_by_key(|target| rank(target, transport));
    targets
}

/// The first target between two that is not taken.
fn between(
    taken: &BTreeSet<String>,
    around: (Option<i64>, Option<i64>),
    transport: Transport,
) -> Option<String> {
    let mut targets = in_order(transport).into_iter();
    targets.find(|target| !taken.contains(target) && fits(rank(target, transport), around))
}

/// The first target after all that are taken, so that the guest counts it last; if there is none, the first free one.
fn free(taken: &BTreeSet<String>, transport: Transport) -> Option<String> {
    let targets = in_order(transport);
    let last = taken
        .iter()
        .filter_map(|target| rank(target, transport))
        .max();
    let mut behind = targets
        .iter()
        .filter(|target| rank(target, transport) > last);
    let next = behind.next().cloned();
    let mut free = targets.iter().filter(|target| !taken.contains(*target));
    next.or_else(|| free.next().cloned())
}

/// The place of a target among a guest's disks, the smallest first.
fn rank(target: &str, transport: Transport) -> Option<i64> {
    let index = i64::try_from(target_index(target)?).ok()?;
    Some(match transport {
        Transport::Mmio => -index,
        Transport::Pci => index,
    })
}

/// The number of a virtio disk's target, from 0 for `vda` on.
pub(in crate::domain) fn target_index(target: &str) -> Option<usize> {
    const MOST_LETTERS: usize = 4;
    let letters = target.strip_prefix("vd")?;
    let is_one = !letters.is_empty()
        && letters.len() <= MOST_LETTERS
        && letters.bytes().all(|byte| byte.is_ascii_lowercase());
    let number = |sum: usize, byte: u8| sum * 26 + usize::from(byte - b'a') + 1;
    is_one.then(|| letters.bytes().fold(0, number) - 1)
}
