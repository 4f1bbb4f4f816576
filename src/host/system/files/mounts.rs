//! Which file systems are mounted, by UUID: a device number is given anew at each boot, and `statfs` has no number that
//! lasts for every kind.

use super::at;
use crate::files::Root;
use crate::host::primitives::CallError;
use crate::inventory::{Binds, FileSystems};
use rustix::fs::{major, makedev, minor};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const MOUNTS: &str = "/proc/self/mountinfo";
const SWAPS: &str = "/proc/swaps";
/// What udev knows of block devices, and the links that it makes.
const UDEV: &str = "/run/udev/data";
const BY_UUID: &str = "/dev/disk/by-uuid";
/// Of a block device's content, in udev's file about it.
const UUID_LINE: &str = "E:ID_FS_UUID=";

/// The UUIDs of the mounted file systems that have one and are on a block device: of NFS, tmpfs and where there is no udev
/// nothing is known.
pub(in super::super) fn file_systems(root: &Root) -> Result<FileSystems, CallError> {
    let mounts = listed(root)?;
    let links = links(root);
    let uuid_of = |device: u64| udevs(root, device).or_else(|| links.get(&device).cloned());
    let known = mounts.iter().filter_map(|mount| {
        let (seen, holds) = mount.devices(root)?;
        Some((seen, uuid_of(holds)?))
    });
    Ok(known.collect())
}

/// The mounts that show a folder of a file system of which more is mounted elsewhere (bind mounts): each with the path of
/// its folder in the mount that shows the most.
pub(in super::super) fn binds(root: &Root) -> Result<Binds, CallError> {
    let mounts = listed(root)?;
    let binds = mounts.iter().filter_map(|mount| {
        let around = mounts
            .iter()
            .filter_map(|other| Some((other, other.rest_of(mount)?)));
        let (other, rest) = around.min_by_key(|(other, _)| other.root.len())?;
        let source = format!("{}/{rest}", other.point.trim_end_matches('/'));
        Some((mount.point.clone(), source))
    });
    Ok(binds.collect())
}

/// A folder at which one of these block devices is mounted.
pub(super) fn mounted_at(root: &Root, devices: &BTreeSet<u64>) -> Option<String> {
    let mounts = listed(root).unwrap_or_default().into_iter();
    let mut mounted = mounts.filter(|mount| {
        let holds = mount.devices(root).map(|(_, holds)| holds);
        holds.is_some_and(|holds| devices.contains(&holds))
    });
    mounted.next().map(|mount| mount.point)
}

/// The type of the file system that a path without links is on, and where that is mounted. Of what is mounted over each
/// other, the last counts.
pub(super) fn holding(root: &Root, path: &Path) -> Option<(String, String)> {
    let mounts = listed(root).ok()?.into_iter();
    let around = mounts.filter(|mount| path.starts_with(root.below(&mount.point)));
    let holding = around.max_by_key(|mount| mount.point.trim_end_matches('/').len())?;
    Some((holding.kind, holding.point))
}

/// Whether the host swaps to one of these block devices.
pub(super) fn holds_swap(root: &Root, devices: &BTreeSet<u64>) -> bool {
    let text = fs::read_to_string(root.below(SWAPS)).unwrap_or_default();
    let mut paths = text.lines().skip(1).filter_map(|line| {
        let path = line.split_whitespace().next()?;
        unescaped(path)
    });
    paths.any(|path| {
        let there = fs::metadata(root.below(&path));
        there.is_ok_and(|there| devices.contains(&there.rdev()))
    })
}

fn listed(root: &Root) -> Result<Vec<Mount>, CallError> {
    let path = root.below(MOUNTS);
    let mounts = match fs::read_to_string(&path) {
        Err(error) if super::is_missing(&error) => return Ok(Vec::new()),
        mounts => mounts.map_err(at(&path))?,
    };
    Ok(mounts.lines().filter_map(Mount::read).collect())
}

/// A line of `/proc/self/mountinfo` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: (u32, u32),
    /// The folder of the file system that is mounted.
    root: String,
    point: String,
    kind: String,
    source: String,
}

impl Mount {
    fn read(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(2);
        let (major, minor) = fields.next()?.split_once(':')?;
        let part = fields.next()?;
        let point = fields.next()?;
        let mut after = after.split(' ');
        let (kind, source) = (after.next()?, after.next()?);
        Some(Self {
            device: (major.parse().ok()?, minor.parse().ok()?),
            root: unescaped(part)?,
            point: unescaped(point)?,
            kind: unescaped(kind)?,
            source: unescaped(source)?,
        })
    }

    /// Where a smaller part of the same file system is within this one.
    fn rest_of<'m>(&self, part: &'m Self) -> Option<&'m str> {
        let rest = part.root.strip_prefix(self.root.trim_end_matches('/'))?;
        let rest = rest.strip_prefix('/')?;
        (self.device == part.device && !rest.is_empty()).then_some(rest)
    }

    /// The device number that files there have, and that of the block device which holds them. Of several devices of one
    /// btrfs the first is named; its files have a number of their own, which only a look at the mount tells.
    fn devices(&self, root: &Root) -> Option<(u64, u64)> {
        let (major, minor) = self.device;
        if major != 0 {
            let device = makedev(major, minor);
            return Some((device, device));
        }
        // Looking at a mount of another kind, such as NFS, may take for ever.
        self.source.strip_prefix("/dev/")?;
        let holds = fs::metadata(root.below(&self.source)).ok()?.rdev();
        let seen = fs::metadata(root.below(&self.point)).ok()?.dev();
        (holds != 0).then_some((seen, holds))
    }
}

/// Spaces, tabs, line ends and backslashes are written as three octal digits.
fn unescaped(field: &str) -> Option<String> {
    let mut parts = field.split('\\');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..3)?, 8).ok()?);
        bytes.extend(&part.as_bytes()[3..]);
    }
    String::from_utf8(bytes).ok()
}

fn udevs(root: &Root, device: u64) -> Option<String> {
    let path = format!("{UDEV}/b{}:{}", major(device), minor(device));
    let text = fs::read_to_string(root.below(&path)).ok()?;
    let uuid = text.lines().find_map(|line| line.strip_prefix(UUID_LINE))?;
    Some(uuid.to_owned()).filter(|uuid| !uuid.is_empty())
}

fn links(root: &Root) -> BTreeMap<u64, String> {
    let entries = fs::read_dir(root.below(BY_UUID)).into_iter().flatten();
    let links = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let device = fs::metadata(entry.path()).ok()?.rdev();
        Some((device, entry.file_name().into_string().ok()?))
    });
    links.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_known_by_its_device_its_point_and_its_source() {
        let line = "36 35 98:7 /mnt1 /srv/two\\040words rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::read(line).unwrap();
        assert_eq!(
            (mount.device, mount.point.as_str(), mount.source.as_str()),
            ((98, 7), "/srv/two words", "/dev/root")
        );
        for line in [
            "",
            "36 35 98:0 / /",
            "36 35 x:0 / / rw - ext4 /dev/a rw",
            "1 1 0:1 / \\9 rw - a b c",
            "1 1 0:1 / \\é rw - a b c",
        ] {
            assert_eq!(Mount::read(line), None, "{line}");
        }
    }

    #[test]
    fn a_bind_mount_is_known_by_where_else_its_files_are() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path());
        fs::create_dir_all(folder.path().join("proc/self")).unwrap();
        let mounts = "1 0 254:1 / / rw - ext4 /dev/a rw\n2 1 254:1 /srv/o/b /srv/vm rw - ext4 /dev/a rw\n\
            3 1 254:2 / /data rw - xfs /dev/b rw\n4 1 254:2 /x /x rw - xfs /dev/b rw\n5 1 254:2 /x /again rw - xfs /dev/b rw\n\
            8 1 254:1 /srv/o /o rw - ext4 /dev/a rw\n9 1 254:1 /srv/o/b/c /c rw - ext4 /dev/a rw\n\
            6 1 0:9 /@srv /btrfs rw - btrfs /dev/c rw\n7 1 0:9 /@ /sub rw - btrfs /dev/c rw\n";
        fs::write(root.below(MOUNTS), mounts).unwrap();
        let expected = [
            ("/srv/vm", "/srv/o/b"),
            ("/o", "/srv/o"),
            ("/c", "/srv/o/b/c"),
            ("/x", "/data/x"),
            ("/again", "/data/x"),
        ];
        let expected = expected.map(|(point, source)| (point.to_owned(), source.to_owned()));
        assert_eq!(binds(&root).unwrap(), Binds::from(expected));
    }

    #[test]
    fn the_uuid_is_udevs_where_there_is_a_udev() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path());
        assert_eq!(file_systems(&root).unwrap(), FileSystems::new());
        for path in ["proc/self", "run/udev/data", "dev/disk/by-uuid"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let mounts = "1 0 254:1 / / rw - ext4 /dev/vda1 rw\n2 1 254:2 / /srv rw - xfs /dev/vdb rw\n3 1 0:5 / /n rw - nfs4 server:/n rw\n4 1 0:6 / /t rw - tmpfs tmpfs rw\n";
        fs::write(root.below(MOUNTS), mounts).unwrap();
        fs::write(
            root.below("/run/udev/data/b254:1"),
            "S:disk/by-uuid/11\nE:ID_FS_UUID=11-22\nE:ID_FS_TYPE=ext4\n",
        )
        .unwrap();
        assert_eq!(
            file_systems(&root).unwrap(),
            FileSystems::from([(makedev(254, 1), "11-22".to_owned())])
        );
    }
}
