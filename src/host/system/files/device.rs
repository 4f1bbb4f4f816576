//! Block devices: their size, what lasts of them, and what the host itself does with them. Of what is on them only the
//! first bytes are read.

use super::image;
use super::mounts::{holds_swap, mounted_at};
use crate::files::{Folder, Root};
use crate::inventory::{DeviceUse, RawDevice, RawFile, RawStat};
use rustix::fs::{major, makedev, minor};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// What the kernel knows of each block device, by its number.
const SYSFS: &str = "/sys/dev/block";
/// Links that udev names after what lasts of a device.
const BY_ID: &str = "/dev/disk/by-id";
/// Links there that are named after what is on a device, or by people.
const OF_CONTENT: [&str; 3] = ["dm-", "md-", "lvm-"];
/// The kernel tells sizes in these, whatever a device's own sectors are.
const SECTOR: u64 = 512;

/// Looks at a block device. Without the right to open it, what it begins with is not told.
pub(super) fn look(
    root: &Root,
    folder: &Folder,
    name: &str,
    number: u64,
    stat: RawStat,
) -> RawFile {
    let known = Known::of(root, number);
    let parts = known.parts();
    let all: BTreeSet<u64> = parts
        .iter()
        .filter_map(Known::number)
        .chain([number])
        .collect();
    let holder = [&known].into_iter().chain(&parts).find_map(Known::holder);
    let mounted = || Some(DeviceUse::Mounted(mounted_at(root, &all)?));
    let swap = || holds_swap(root, &all).then_some(DeviceUse::Swap);
    let device = RawDevice {
        size: known.size(),
        ids: known.ids(root, number),
        whole: known.whole(),
        used: holder.map(DeviceUse::PartOf).or_else(mounted).or_else(swap),
        parts: all.into_iter().filter(|part| *part != number).collect(),
    };
    let opened = folder.open_device(name);
    RawFile {
        head: opened.and_then(|file| image::head(&file)).ok(),
        device: Some(device),
        ..RawFile::only(stat)
    }
}

/// A device's folder in sysfs.
struct Known(PathBuf);

impl Known {
    fn of(root: &Root, number: u64) -> Self {
        let (major, minor) = (major(number), minor(number));
        let link = root.below(&format!("{SYSFS}/{major}:{minor}"));
        // The whole device is found beside the partition, not beside the link.
        Self(fs::canonicalize(&link).unwrap_or(link))
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.0.join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn size(&self) -> Option<u64> {
        let sectors: u64 = self.text("size")?.parse().ok()?;
        sectors.checked_mul(SECTOR)
    }

    fn number(&self) -> Option<u64> {
        let text = self.text("dev")?;
        let (major, minor) = text.split_once(':')?;
        Some(makedev(major.parse().ok()?, minor.parse().ok()?))
    }

    fn is_partition(&self) -> bool {
        self.0.join("partition").exists()
    }

    fn whole(&self) -> Option<u64> {
        let above = self.0.parent().filter(|_| self.is_partition())?;
        Self(above.to_owned()).number()
    }

    fn parts(&self) -> Vec<Self> {
        let inside = names(self.0.clone()).into_iter();
        let inside = inside.map(|name| Self(self.0.join(name)));
        inside.filter(Self::is_partition).collect()
    }

    /// A device that is made of this one.
    fn holder(&self) -> Option<String> {
        let holder = names(self.0.join("holders")).into_iter().min()?;
        let mapped = Self(self.0.join("holders").join(&holder)).text("dm/name");
        Some(mapped.unwrap_or(holder))
    }

    /// The names that it has for ever.
    fn ids(&self, root: &Root, number: u64) -> BTreeSet<String> {
        if let Some(uuid) = self.text("dm/uuid") {
            return BTreeSet::from([format!("dm-uuid-{uuid}")]);
        }
        let folder = root.below(BY_ID);
        let links = names(folder.clone()).into_iter();
        let is_its_own = |name: &String| {
            let is_of_content = OF_CONTENT.iter().any(|prefix| name.starts_with(prefix));
            let leads_to = || fs::metadata(folder.join(name)).map(|device| device.rdev());
            !is_of_content && leads_to().is_ok_and(|device| device == number)
        };
        links.filter(is_its_own).collect()
    }
}

/// The names in a folder; none if it cannot be read.
fn names(folder: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string());
    names.filter_map(Result::ok).collect()
}
