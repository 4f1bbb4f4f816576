//! Which names a guest's kernel gives its disks, and whether edits change them.
//!
//! A guest counts its virtio disks from /dev/vda on in the order in which it finds them: those on virtio-mmio in the reverse
//! order of their targets, by which libvirt sorts them, and those on PCI in the order of their addresses.

use super::edit::{Edit, apply_edits};
use super::kind::{DeviceKind, WantedDevice, devices};
use super::kinds::{CLOUD_INIT, DISK, FILE, TARGET, disk_source, find_kind, target_index};
use super::pci::{Place, devices_of, in_guest_order, place, unaddressed};
use crate::fleet::Vm;
use crate::paths;
use crate::xml::{child, parse};
use roxmltree::{Document, Node};
use std::collections::{BTreeMap, BTreeSet};

/// A disk or a network interface that gets another name in its guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renumbered {
    /// What it has, or is on.
    pub source: String,
    /// Its name now (`/dev/vdb`, `eth1`).
    pub before: String,
    /// Its name after the edits.
    pub after: String,
}

/// Why a domain's disks stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What would become of them.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// Two disks that would have the same target.
pub(super) fn clash(wanted: &[(&'static DeviceKind, WantedDevice)]) -> Option<Held> {
    let disks = wanted.iter().filter(|(kind, _)| kind.id == DISK);
    let mut targets = BTreeMap::new();
    for (_, disk) in disks {
        if let Some(other) = targets.insert(&disk.key, &disk.id.name) {
            let name = &disk.id.name;
            return Some(Held {
                why: format!(
                    "its disk {name} would have the target of its disk {other}, {}",
                    disk.key
                ),
                remedy: format!("leave out the target of {name}, or give it another one"),
            });
        }
    }
    None
}

/// The disks that edits give other names in the guest, or why those edits must not be made: a kernel whose command line
/// names its root by such a name would find another disk there.
pub(super) fn renumbering(
    vm: &Vm,
    before: &Document<'_>,
    edits: &[Edit],
) -> Result<Vec<Renumbered>, Held> {
    if !edits.iter().any(is_of_order) {
        return Ok(Vec::new());
    }
    // What cannot be edited or parsed fails when the step is made.
    let text = apply_edits(before.input_text(), edits).unwrap_or_default();
    let Ok(after) = parse(&text) else {
        return Ok(Vec::new());
    };
    if let Some(target) = target_twice(&after) {
        return Err(Held {
            why: format!("two of its disks would have the target {target}"),
            remedy: "give one of them another target first, and apply".to_owned(),
        });
    }
    let (before, after) = (guest_disks(before), guest_disks(&after));
    let renumbered = renamed(&before, &after);
    let Some((root, place)) = root_disk(vm.boot.cmdline.as_str()) else {
        return Ok(renumbered);
    };
    // A new disk in its place is what the file says; a former one there is not.
    let is_lost = |was: &String| {
        let now = after.get(place);
        now != Some(was) && (after.contains(was) || now.is_some_and(|now| before.contains(now)))
    };
    let lost = before.get(place).is_some_and(is_lost);
    let index = |name: &str| target_index(name.strip_prefix("/dev/")?);
    let is_behind = |disk: &Renumbered| index(&disk.after) > index(&disk.before);
    // Without another one before it no disk moves back.
    if !lost && !renumbered.iter().any(is_behind) {
        return Ok(renumbered);
    }
    Err(Held {
        why: if lost {
            let was = before.get(place).map_or("nothing", String::as_str);
            let now = after.get(place).map_or("nothing", String::as_str);
            let name = name(place);
            format!("its cmdline has {root}, and its guest's /dev/{name} would be {now} instead of {was}")
        } else {
            let names = renumbered.iter().map(Renumbered::described);
            let names: Vec<_> = names.collect();
            format!("its cmdline has {root}, and a new disk would rename others in its guest: {}", names.join(", "))
        },
        remedy: "name the root by what stays, as in root=UUID=… or root=LABEL=…, apply, and change the disks then"
            .to_owned(),
    })
}

impl Renumbered {
    /// As a part of a sentence.
    fn described(&self) -> String {
        let Self {
            source,
            before,
            after,
        } = self;
        format!("{source} from {before} to {after}")
    }
}

/// Whether an edit can change the order of disks.
fn is_of_order(edit: &Edit) -> bool {
    match edit {
        Edit::Add(device) | Edit::Remove(device) => {
            device.kind == DISK || device.kind == CLOUD_INIT
        }
        Edit::Set {
            device: Some(device),
            row,
            ..
        } => device.kind == DISK && (*row == FILE || *row == TARGET),
        Edit::Set { .. } | Edit::Clear { .. } => false,
    }
}

/// A target that two disks have: libvirt would refuse the definition.
fn target_twice<'a>(definition: &'a Document<'_>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    let kind = find_kind(&DISK)?;
    let mut targets = devices(definition, kind).map(|(target, _)| target);
    targets.find(|target| !seen.insert(*target))
}

/// The last of a command line's `root=` words, if it names a disk by its place, and that place.
fn root_disk(cmdline: &str) -> Option<(&str, usize)> {
    let root = cmdline
        .split_whitespace()
        .rfind(|word| word.starts_with("root="))?;
    let disk = root.strip_prefix("root=/dev/")?;
    let place = target_index(disk.trim_end_matches(|c: char| c.is_ascii_digit()))?;
    Some((root, place))
}

fn renamed(before: &[String], after: &[String]) -> Vec<Renumbered> {
    let both = before.iter().enumerate().filter_map(|(old, source)| {
        let new = after.iter().position(|now| now == source)?;
        // cloud-init finds its disk by the label.
        let is_named = paths::cloud_init_disk_of(source).is_none();
        (is_named && new != old).then(|| Renumbered {
            source: source.clone(),
            before: format!("/dev/{}", name(old)),
            after: format!("/dev/{}", name(new)),
        })
    });
    both.collect()
}

/// The name of a place, as the kernel counts (`sd_format_disk_name`).
fn name(place: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    let (mut rest, mut letters) = (place + 1, Vec::new());
    while rest > 0 {
        rest -= 1;
        letters.extend(
            LETTERS
                .get(rest % LETTERS.len())
                .map(|byte| char::from(*byte)),
        );
        rest /= LETTERS.len();
    }
    let letters: String = letters.into_iter().rev().collect();
    format!("vd{letters}")
}

/// What a guest's virtio disks have, in the order in which it counts them.
fn guest_disks(definition: &Document<'_>) -> Vec<String> {
    let devices = devices_of(definition);
    let mut found: Vec<_> = devices.iter().filter_map(GuestDisk::read).collect();
    found.sort_by_key(|disk| disk.target);
    let before = unaddressed(&devices, &["filesystem", "interface"]);
    let placed = found.into_iter().map(|disk| (disk.place, disk.source));
    in_guest_order(&devices, before, placed)
}

struct GuestDisk {
    /// What it has; its target where it has nothing.
    source: String,
    target: usize,
    place: Place,
}

impl GuestDisk {
    fn read(disk: &Node<'_, '_>) -> Option<Self> {
        let target = child(*disk, "target").filter(|_| disk.has_tag_name("disk"))?;
        let name = target.attribute("dev")?;
        if target.attribute("bus") != Some("virtio") {
            return None;
        }
        Some(Self {
            source: disk_source(*disk).unwrap_or(name).to_owned(),
            target: target_index(name)?,
            place: place(*disk)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_as_the_kernel_names_them() {
        for (place, expected) in [
            (0, "vda"),
            (25, "vdz"),
            (26, "vdaa"),
            (52, "vdba"),
            (701, "vdzz"),
            (702, "vdaaa"),
        ] {
            assert_eq!(name(place), expected);
            assert_eq!(target_index(expected), Some(place));
        }
        for no_disk in ["vd", "vdA", "vda1", "sda", "vdabcdefghi", ""] {
            assert_eq!(target_index(no_disk), None, "{no_disk}");
        }
    }

    #[test]
    fn only_a_root_by_its_place_counts_and_the_last_one() {
        for (cmdline, expected) in [
            ("console=ttyAMA0 root=/dev/vda1", Some(0)),
            ("root=/dev/vda root=/dev/vdb2 quiet", Some(1)),
            ("root=/dev/vda1 root=LABEL=root", None),
            ("root=UUID=x nfsroot=/dev/vda", None),
            ("root=/dev/nvme0n1p1", None),
        ] {
            assert_eq!(
                root_disk(cmdline).map(|(_, place)| place),
                expected,
                "{cmdline}"
            );
        }
    }
}
