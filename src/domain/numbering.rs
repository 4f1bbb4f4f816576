//! Which names a guest's kernel gives its disks and network interfaces, and whether edits may change them: `/dev/vda`, `/dev/vdb`
//! and so on, `eth0`, `eth1` and so on, in the order in which it finds them.

use super::edit::{Edit, edited};
use super::kind::{DeviceKind, WantedDevice, devices};
use super::kinds::{CLOUD_INIT, DISK, FILE, NETWORK, TARGET, find_kind, target_index};
use super::order::{Counted, guest_disks, guest_interfaces, place_of};
use crate::fleet::Vm;
use crate::mark::{Applied, KindId, PropertyId};
use crate::paths;
use crate::xml::parse;
use roxmltree::Document;
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

/// Why a domain's disks or interfaces stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What stays.
    pub(super) kinds: &'static [KindId],
    /// What would become of them.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

/// What a guest counts with one sort of name.
struct Counting {
    kinds: &'static [KindId],
    order: fn(&Document<'_>) -> Vec<Counted>,
    name: fn(usize) -> String,
    /// Whether a property of one decides about its place, or what is counted at it.
    of_order: fn(&PropertyId) -> bool,
    /// What else must stay.
    keep: fn(&Numbering<'_, '_>, &Document<'_>) -> Result<(), Held>,
    /// Where the file has them, and which of their keys may change.
    list: &'static str,
    source_key: &'static str,
}

const DISKS: Counting = Counting {
    kinds: &[DISK, CLOUD_INIT],
    order: guest_disks,
    name: disk_name,
    of_order: |row| *row == FILE || *row == TARGET,
    keep: |numbering, after| numbering.keep_disks(after),
    list: "disks",
    source_key: "path",
};
const INTERFACES: Counting = Counting {
    kinds: &[NETWORK],
    order: guest_interfaces,
    name: |place| format!("eth{place}"),
    of_order: |_| false,
    keep: |_, _| Ok(()),
    list: "networks",
    source_key: "source",
};
const COUNTED: [Counting; 2] = [DISKS, INTERFACES];

/// What edits are judged by.
pub(super) struct Numbering<'a, 'input> {
    pub(super) vm: &'a Vm,
    /// The definition before them.
    pub(super) before: &'a Document<'input>,
    pub(super) applied: Option<&'a Applied>,
    /// Whether the user said that another disk and interface may be the first.
    pub(super) first_may_change: bool,
}

/// Two disks that would have the same target.
pub(super) fn clash(wanted: &[(&'static DeviceKind, WantedDevice)]) -> Option<Held> {
    let disks = wanted.iter().filter(|(kind, _)| kind.id == DISK);
    let mut targets = BTreeMap::new();
    for (_, disk) in disks {
        if let Some(other) = targets.insert(&disk.key, &disk.id.name) {
            let name = &disk.id.name;
            return Some(Held {
                kinds: DISKS.kinds,
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

impl Numbering<'_, '_> {
    /// The disks and interfaces that edits give other names in the guest, or why some of the edits must not be made: what
    /// the guest has first would be another thing, or a kernel whose command line names its root by its place would find
    /// another disk there.
    pub(super) fn renumbered(&self, edits: &[Edit]) -> Result<Vec<Renumbered>, Held> {
        let is_edited = |counting: &&Counting| edits.iter().any(|edit| counting.is_of_order(edit));
        let counted: Vec<_> = COUNTED.iter().filter(is_edited).collect();
        if counted.is_empty() {
            return Ok(Vec::new());
        }
        // What cannot be edited or parsed fails when the step is made.
        let text = edited(self.before, edits).unwrap_or_default();
        let Ok(after) = parse(&text) else {
            return Ok(Vec::new());
        };
        let mut renumbered = Vec::new();
        for counting in counted {
            (counting.keep)(self, &after)?;
            self.keep_first(counting, &after)?;
            renumbered.extend(counting.renamed(self.before, &after));
        }
        Ok(renumbered)
    }

    /// Refuses edits after which two disks have one target, or a command line names another disk as the root.
    fn keep_disks(&self, after: &Document<'_>) -> Result<(), Held> {
        if let Some(target) = target_twice(after) {
            return Err(Held {
                kinds: DISKS.kinds,
                why: format!("two of its disks would have the target {target}"),
                remedy: "give one of them another target first, and apply".to_owned(),
            });
        }
        self.keep_root(after)
    }

    /// Refuses edits after which a command line would name another disk as the root.
    fn keep_root(&self, after: &Document<'_>) -> Result<(), Held> {
        let Some((root, place)) = root_disk(self.vm.boot.cmdline.as_str()) else {
            return Ok(());
        };
        let (before, now) = (guest_disks(self.before), guest_disks(after));
        let renamed = DISKS.renamed(self.before, after);
        let index = |name: &str| target_index(name.strip_prefix("/dev/")?);
        let is_behind = |disk: &Renumbered| index(&disk.after) > index(&disk.before);
        let why = if is_lost(&before, &now, place) {
            format!(
                "its cmdline has {root}, and {}",
                DISKS.would_be(&before, &now, place)
            )
        } else if renamed.iter().any(is_behind) {
            // Without another one before it no disk moves back.
            let names: Vec<_> = renamed.iter().map(Renumbered::described).collect();
            format!(
                "its cmdline has {root}, and a new disk would rename others in its guest: {}",
                names.join(", ")
            )
        } else {
            return Ok(());
        };
        Err(Held {
            kinds: DISKS.kinds,
            why,
            remedy: "name the root by what stays, as in root=UUID=… or root=LABEL=…, apply, and change the disks then"
                .to_owned(),
        })
    }

    /// Refuses edits that make another one the guest's first, unless the user said so.
    fn keep_first(&self, counting: &Counting, after: &Document<'_>) -> Result<(), Held> {
        let [before, now] = [self.before, after].map(counting.order);
        if self.first_may_change || !is_lost(&before, &now, 0) {
            return Ok(());
        }
        let (vm, first) = (&self.vm.name, (counting.name)(0));
        let allowed = format!(
            "armfleet apply --allow-replace {vm} once its guest is ready for another {first}"
        );
        let name = before
            .first()
            .and_then(|first| self.name_of(counting, &first.identity));
        Err(Held {
            kinds: counting.kinds,
            why: counting.would_be(&before, &now, 0),
            remedy: match name {
                Some(name) => format!(
                    "keep an entry with `name: {name}` in `{}` (its {} may change), or {allowed}",
                    counting.list, counting.source_key
                ),
                None => allowed,
            },
        })
    }

    /// What the last apply called a disk or an interface.
    fn name_of(&self, counting: &Counting, identity: &str) -> Option<&str> {
        let mut devices = self.applied?.devices.iter();
        let (id, _) = devices.find(|(id, device)| {
            let is_it = device.key == identity
                || device.rows.get(&FILE).is_some_and(|file| file == identity);
            counting.kinds.contains(&id.kind) && is_it
        })?;
        Some(&id.name)
    }
}

/// Whether another one that was there has a place, or the one that had it has another. A new one in its place is what the
/// file says.
fn is_lost(before: &[Counted], after: &[Counted], place: usize) -> bool {
    let now = after.get(place);
    before.get(place).is_some_and(|was| {
        now.is_none_or(|now| now.identity != was.identity)
            && (place_of(after, &was.identity).is_some()
                || now.is_some_and(|now| place_of(before, &now.identity).is_some()))
    })
}

impl Counting {
    /// Whether an edit can change the order of these.
    fn is_of_order(&self, edit: &Edit) -> bool {
        match edit {
            Edit::Add(device) | Edit::Remove(device) | Edit::Replace { device, .. } => {
                self.kinds.contains(&device.kind)
            }
            Edit::Set {
                device: Some(device),
                row,
                ..
            } => self.kinds.contains(&device.kind) && (self.of_order)(row),
            Edit::Set { .. } | Edit::Clear { .. } | Edit::Own(_) => false,
        }
    }

    fn would_be(&self, before: &[Counted], after: &[Counted], place: usize) -> String {
        let source = |things: &[Counted]| {
            let thing = things.get(place);
            thing.map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        let (was, now) = (source(before), source(after));
        format!(
            "its guest's {} would be {now} instead of {was}",
            (self.name)(place)
        )
    }

    fn renamed(&self, before: &Document<'_>, after: &Document<'_>) -> Vec<Renumbered> {
        let [before, after] = [before, after].map(self.order);
        let both = before.iter().enumerate().filter_map(|(old, thing)| {
            let new = place_of(&after, &thing.identity)?;
            // cloud-init finds its disk by the label.
            let is_named = paths::cloud_init_disk_of(&thing.source).is_none();
            (is_named && new != old).then(|| Renumbered {
                source: thing.source.clone(),
                before: (self.name)(old),
                after: (self.name)(new),
            })
        });
        both.collect()
    }
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

/// The name of a place, as the kernel counts (`sd_format_disk_name`).
fn disk_name(place: usize) -> String {
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
    format!("/dev/vd{letters}")
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
            assert_eq!(disk_name(place), format!("/dev/{expected}"));
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
