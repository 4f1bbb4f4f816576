//! Disks that the hook makes anew at each start.
//!
//! Another file at the path of such a disk after each start is what is wanted. The hook erases only what armfleet made there;
//! anything else that holds data is refused until the user says that it may be lost.

use super::identity::applied_at;
use crate::domain::{Comparison, DISK, Differing, RowChange, Subject};
use crate::fleet::Disk;
use crate::inventory::{Domain, FileKind, RawFile};
use crate::mark::{
    DeviceId, FreshBacking, FreshDisk, FreshReceipt, PropertyId, Record, read_fresh_receipt,
};
use crate::paths;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::values::{HostPath, Size};
use std::collections::BTreeMap;

/// Why a running VM keeps its scratch disk.
const WAITS: &str = "the hook makes the disk anew before a start";
const FRESH: PropertyId = PropertyId::new("fresh");
const SIZE: PropertyId = PropertyId::new("size");

impl VmPlanner<'_> {
    /// Refuses to have a file erased that armfleet did not make and that holds something, unless the user said so.
    pub(super) fn may_be_made_anew(
        &self,
        disk: &Disk,
        file: &RawFile,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let (name, path) = (&self.vm.name, &disk.path);
        if self.is_scratch(path, file, record) || holds_nothing(file) {
            return Ok(());
        }
        if self.input.policy.allow_replace.contains(name) {
            let outlook = "--allow-replace: its next start erases it";
            builder.notice(name, format!("its disk {path} holds data"), outlook);
            return Ok(());
        }
        if file.blank.is_none() && file.head.is_none() {
            let why = format!(
                "whether its disk {path} holds data could not be seen: armfleet may not open it"
            );
            builder.unknown(name, why);
            return Err(Blocked);
        }
        builder.refuse(
            name,
            format!("its disk {path} holds data that fresh: each-start would erase at its next start"),
            format!(
                "give the disk another path, or armfleet apply --allow-replace {name} to lose that data"
            ),
        );
        Err(Blocked)
    }

    /// Whether armfleet made what is at the path of a disk that the last apply had made anew.
    pub(super) fn is_scratch(
        &self,
        path: &HostPath,
        file: &RawFile,
        record: Option<&Record>,
    ) -> bool {
        let seen = self.input.inventory.place(file);
        let was_fresh = record.is_some_and(|record| record.boot.makes_anew(path));
        let applied = applied_at(record, path).and_then(|device| device.place.as_ref());
        let is_applied = was_fresh && applied.is_some_and(|applied| applied.is_same(&seen));
        is_applied || self.scratch_files().has(path, &seen)
    }

    /// What the hook made, as its receipt says; one that another user could have written says nothing.
    fn scratch_files(&self) -> FreshReceipt {
        let path = paths::fresh_receipt(&self.vm.name);
        let file = self.input.inventory.path(&path).present();
        let file = file.filter(|file| file.not_roots().is_none());
        let text = file.and_then(|file| file.text.as_deref());
        let receipt = text.and_then(|text| read_fresh_receipt(text.as_bytes()).ok());
        receipt.unwrap_or_default()
    }

    /// What the record tells the hook to make anew; as before, where the domain's disks are left as they are.
    pub(super) fn fresh_kept(
        &self,
        record: Option<&Record>,
        comparison: &Comparison,
    ) -> BTreeMap<DeviceId, FreshDisk> {
        if let Some(record) = record.filter(|_| comparison.keeps(&DISK)) {
            return record.boot.fresh.clone();
        }
        let disks = self.vm.disks.iter();
        let fresh = disks.filter_map(|disk| Some((DISK.named(&disk.name), self.made_anew(disk)?)));
        fresh.collect()
    }

    /// How the hook makes a disk; what lies over a base image has its size unless the file gives one.
    fn made_anew(&self, disk: &Disk) -> Option<FreshDisk> {
        disk.fresh?;
        let backing = disk.backing.as_ref();
        let of_base = || {
            let base = self.input.inventory.path(backing?.path.as_str());
            base.present()?.virtual_size(backing?.format)
        };
        Some(FreshDisk {
            path: disk.path.clone(),
            size: disk.size.map(Size::bytes).or_else(of_base)?,
            format: disk.format,
            backing: backing.map(|backing| FreshBacking {
                path: backing.path.clone(),
                format: backing.format,
            }),
        })
    }

    /// What a new record changes in what the hook makes anew; nothing that is worth a line where the disk is new itself.
    pub(super) fn fresh_changes(
        &self,
        wanted: &BTreeMap<DeviceId, FreshDisk>,
        domain: Option<&Domain>,
        record: Option<&Record>,
    ) -> Vec<RowChange> {
        let Some(record) = record else {
            return Vec::new();
        };
        let runs = domain.is_some_and(|domain| domain.state.has_process());
        let had = &record.boot.fresh;
        let change = |id: &DeviceId, what, before, after: Option<String>| RowChange {
            what: Subject::OfDevice(id.clone(), what),
            before,
            waits: after.as_ref().filter(|_| runs).map(|_| WAITS.to_owned()),
            after,
            cause: None,
        };
        let word = || Some(crate::fleet::Fresh::EachStart.to_string());
        let size = |disk: &FreshDisk| Some(Size::from_bytes(disk.size).to_string());
        let was_there = |id: &DeviceId| record.applied.devices.contains_key(id);
        let stays = |id: &DeviceId| {
            self.vm
                .disks
                .iter()
                .any(|disk| DISK.named(&disk.name) == *id)
        };
        let mut changes = Vec::new();
        for (id, disk) in wanted {
            match had.get(id) {
                None if was_there(id) => changes.push(change(id, FRESH, None, word())),
                Some(had) if had.size != disk.size => {
                    changes.push(change(id, SIZE, size(had), size(disk)));
                }
                _ => {}
            }
        }
        let gone = had
            .keys()
            .filter(|id| !wanted.contains_key(id) && stays(id));
        changes.extend(gone.map(|id| change(id, FRESH, word(), None)));
        changes
    }

    /// In which scratch disks a running VM differs from what its next start makes: a device, what it has, what it gets.
    pub(super) fn fresh_pending(&self, record: Option<&Record>) -> Vec<Differing> {
        let fresh = self.vm.disks.iter().filter(|disk| disk.fresh.is_some());
        let differing = fresh.filter_map(|disk| {
            let file = self.input.inventory.path(disk.path.as_str()).present()?;
            let seen = file.virtual_size(disk.format)?;
            let wanted = self.made_anew(disk)?.size;
            let is_scratch = self.is_scratch(&disk.path, file, record);
            (is_scratch && seen != wanted).then(|| {
                let what = Subject::OfDevice(DISK.named(&disk.name), SIZE);
                let [seen, wanted] = [seen, wanted].map(|size| Size::from_bytes(size).to_string());
                Differing {
                    what,
                    live: Some(seen),
                    defined: Some(wanted),
                }
            })
        });
        differing.collect()
    }
}

/// Whether an image was never written to: it has no byte, or is a qcow2 image with nothing after its tables.
fn holds_nothing(file: &RawFile) -> bool {
    let is_unused = || matches!(file.qcow2(), Some(Ok(image)) if image.is_unused(file.stat.size));
    file.stat.kind == FileKind::File && (file.blank == Some(true) || is_unused())
}
