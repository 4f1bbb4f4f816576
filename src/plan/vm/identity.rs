//! Whether what is at the path of an applied image or share still is what was applied.
//!
//! The record keeps what was there ([`Place`]). Another file, or the same one shrunken or emptied, is other data: no VM is
//! started with it until the user says so with `--accept`. What a step of the same plan makes or changes has no place in
//! the planned record; the step that writes the record looks at it then.

use crate::domain::{FORMAT, Moved, applied_source};
use crate::fleet::DiskFormat;
use crate::inventory::{Fact, FileKind, RawFile};
use crate::mark::{Applied, AppliedDevice, ImageState, Phase, Place, Record};
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::trust::Writer;
use crate::values::{HostPath, Size};

/// What the last apply left at this path, whatever its device was called then.
pub(super) fn applied_at<'a>(
    record: Option<&'a Record>,
    path: &HostPath,
) -> Option<&'a AppliedDevice> {
    let devices = &record?.applied.devices;
    let mut devices = devices
        .iter()
        .filter(|(id, device)| applied_source(id, device) == Some(path.as_str()));
    devices.next().map(|(_, device)| device)
}

impl VmPlanner<'_> {
    /// Whether the user said that what is at the VM's paths is meant.
    pub(super) fn accepts(&self) -> bool {
        self.input.policy.accept.contains(&self.vm.name)
    }

    /// Refuses an image or a share that is not the one that was applied. `what` is what the plan calls it.
    pub(super) fn same_as_applied(
        &self,
        what: &str,
        path: &HostPath,
        file: &RawFile,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let Some(why) = self.change_at(path, file, record) else {
            return Ok(());
        };
        let name = &self.vm.name;
        let is_emptied = is_empty(file) && self.holds_the_system(path, record);
        let options = match is_emptied {
            true => format!("--accept {name} --allow-replace {name}"),
            false => format!("--accept {name}"),
        };
        let may_be_empty = self.input.policy.allow_replace.contains(name) || !is_emptied;
        let is_raw = !applied_at(record, path).is_some_and(is_qcow2);
        let part_of_a_sector = part_of_a_sector(file).filter(|_| is_raw);
        let why = match (self.accepts(), may_be_empty, part_of_a_sector) {
            (false, ..) => why,
            (true, false, _) => format!("{why}, and is empty"),
            (true, true, Some(size)) => {
                format!("{why}, and has {size}, which is no whole number of sectors")
            }
            (true, true, None) => return Ok(()),
        };
        builder.refuse(
            name,
            format!("its {what} {path} {why}"),
            format!(
                "put the former one back, or armfleet apply {options} to use what is there now"
            ),
        );
        Err(Blocked)
    }

    /// Whether what is at the path of an applied device is another thing, which the user accepted.
    pub(super) fn accepts_another(
        &self,
        path: &HostPath,
        file: &RawFile,
        record: Option<&Record>,
    ) -> bool {
        let applied = applied_at(record, path).and_then(|device| device.place.as_ref());
        let is_another = |applied: &Place| !applied.is_same(&self.input.inventory.place(file));
        self.accepts() && applied.is_some_and(is_another)
    }

    /// In what the thing at a path differs from what was applied, as the end of a sentence about it.
    fn change_at(
        &self,
        path: &HostPath,
        file: &RawFile,
        record: Option<&Record>,
    ) -> Option<String> {
        let device = applied_at(record, path)?;
        // Each start had the hook put another file there.
        let was_fresh = record?.boot.makes_anew(path);
        if was_fresh && self.is_scratch(path, file, record) {
            return None;
        }
        match &device.place {
            Some(applied) => {
                let seen = self.input.inventory.place(file);
                self.difference(device, applied, &seen, record?)
            }
            None => self.unowned(file),
        }
    }

    /// What an earlier version applied is known by its owner alone: an empty folder of another's is most likely the place
    /// where its file system is not mounted.
    fn unowned(&self, file: &RawFile) -> Option<String> {
        let (uid, _) = self.input.libvirt.qemu_owner?;
        let is_folder = file.stat.kind == FileKind::Folder;
        let is_others = is_folder && is_empty(file) && file.stat.uid != uid;
        is_others.then(|| {
            let owner = Writer::User(file.stat.uid).describe(None);
            format!("is an empty folder of {owner}, and not the one that was applied")
        })
    }

    /// In what a thing differs from what was applied, as the end of a sentence about it.
    fn difference(
        &self,
        device: &AppliedDevice,
        applied: &Place,
        seen: &Place,
        record: &Record,
    ) -> Option<String> {
        if !applied.is_same(seen) {
            let (then, now) = (described(applied, seen), described(seen, applied));
            return Some(format!(
                "is not the one that was applied ({then} then, {now} now)"
            ));
        }
        let (then, now) = (applied.image.as_ref()?, seen.image.as_ref()?);
        // What a qcow2 image holds is not its file's size, which QEMU lets shrink.
        if now.size < then.size && !is_qcow2(device) {
            let (then, now) = (Size::from_bytes(then.size), Size::from_bytes(now.size));
            return Some(format!("has shrunk: {then} at the last apply, {now} now"));
        }
        let installed = record.phase == Phase::Own && self.phase == Phase::Own;
        (installed && was_emptied(then, now))
            .then(|| "has no data any more; it was emptied since the last apply".to_owned())
    }

    /// Puts into a record what is at the path of each device.
    pub(super) fn note_places(
        &self,
        applied: &mut Applied,
        record: Option<&Record>,
        moved: &[Moved],
        builder: &PlanBuilder,
    ) {
        for (id, device) in &mut applied.devices {
            let path = applied_source(id, device).and_then(|path| path.parse().ok());
            let recorded = record.and_then(|record| record.applied.devices.get(id));
            let kept = recorded.and_then(|device| device.place.clone());
            device.base = recorded.and_then(|device| device.base.clone());
            device.place = match path {
                Some(path) if !moved.iter().any(|moved| moved.id == *id) => {
                    self.place_at(&path, record, kept, builder)
                }
                _ => kept,
            };
        }
        self.note_bases(applied);
    }

    /// What is at a path; nothing where a step of this plan makes or changes it, and what was known where it was not seen.
    fn place_at(
        &self,
        path: &HostPath,
        record: Option<&Record>,
        kept: Option<Place>,
        builder: &PlanBuilder,
    ) -> Option<Place> {
        match self.input.inventory.path(path.as_str()) {
            _ if builder.changes(path) => None,
            // The record goes on to name the first of the files that the hook makes, each in the place of the one before.
            Fact::Present(file)
                if kept.is_some()
                    && self.vm.makes_anew(path)
                    && self.is_scratch(path, file, record) =>
            {
                kept
            }
            Fact::Present(file) => Some(self.input.inventory.place(file)),
            _ => kept,
        }
    }

    /// Whether a record says the same as the one that is there, but for what is not worth writing it: templates of secrets,
    /// places that an earlier version did not keep, and images that hold more than they did.
    pub(super) fn is_recorded(&self, wanted: &Record, record: &Record) -> bool {
        let mut compared = wanted.clone();
        compared.secret_cmdlines.clone_from(&record.secret_cmdlines);
        let guarded = &record.applied.guarded;
        compared.applied.guarded.clone_from(guarded);
        // A path below a folder that is trusted from now on must leave the record, or the hook would refuse the start.
        let known = &record.boot.ways;
        compared
            .boot
            .ways
            .retain(|path, _| known.contains_key(path));
        compared.cmdline_digest.clone_from(&record.cmdline_digest);
        for (id, device) in &mut compared.applied.devices {
            let Some(recorded) = record.applied.devices.get(id) else {
                continue;
            };
            if let (Some(then), Some(now)) = (&recorded.base, &device.base)
                && then.is_same_image(now)
            {
                device.base.clone_from(&recorded.base);
            }
            let same = match (&recorded.place, &device.place) {
                // Without it the hook would not know the file as one that it may erase.
                (None, Some(_)) if wanted.boot.fresh.contains_key(id) => false,
                (None, _) => true,
                (Some(_), None) => false,
                (Some(then), Some(now)) => {
                    then.is_same(now)
                        && !(self.accepts()
                            && self.difference(recorded, then, now, record).is_some())
                }
            };
            if same {
                device.place.clone_from(&recorded.place);
            }
        }
        compared == *record
    }
}

/// Whether a disk was applied as a qcow2 image.
fn is_qcow2(device: &AppliedDevice) -> bool {
    let format = device.rows.get(&FORMAT);
    format.is_some_and(|format| format == DiskFormat::Qcow2.as_str())
}

/// What a thing is, told from another.
fn described(place: &Place, other: &Place) -> String {
    if let Some(ids) = &place.device {
        let size = place.image.as_ref();
        let size = size.map(|image| format!(" of {}", Size::from_bytes(image.size)));
        let ids: String = ids.iter().map(|id| format!(", {id}")).collect();
        return format!("a device{}{ids}", size.unwrap_or_default());
    }
    let image = place.image.as_ref().map(|image| {
        let format = image.format.as_deref().map_or("an", |format| match format {
            "raw" => "a raw",
            "qcow2" => "a qcow2",
            _ => "another",
        });
        format!("{format} image of {}, ", Size::from_bytes(image.size))
    });
    let file_system = place
        .file_system
        .as_ref()
        .filter(|_| place.is_elsewhere(other));
    let file_system = file_system.map(|uuid| format!(", file system {uuid}"));
    format!(
        "{}inode {}{}",
        image.unwrap_or_default(),
        place.ino,
        file_system.unwrap_or_default()
    )
}

/// Whether there is nothing in a share, or no byte in an image.
fn is_empty(file: &RawFile) -> bool {
    file.blank == Some(true) || file.entries.as_ref().is_some_and(Vec::is_empty)
}

/// The size of an image that no disk can have.
fn part_of_a_sector(file: &RawFile) -> Option<Size> {
    const SECTOR: u64 = 512;
    let size = Size::from_bytes(file.stat.size);
    let is_image = file.stat.kind == FileKind::File;
    let is_whole = size.bytes() > 0 && size.bytes().is_multiple_of(SECTOR);
    (is_image && !is_whole).then_some(size)
}

/// Whether an image that holds nothing held something. Writing to one, or growing it, changes its time.
fn was_emptied(then: &ImageState, now: &ImageState) -> bool {
    let changed = then.size == now.size && then.mtime_ns != now.mtime_ns;
    now.blank == Some(true) && (then.blank == Some(false) || (then.blank == Some(true) && changed))
}
