//! What a VM keeps on its host: the boot share and the disks.

use super::planner::Draft;
use super::step::{Act, StepId};
use super::vm::{Stuck, VmPlanner};
use crate::domain::RowChange;
use crate::inventory::{self, Domain, Fact, FileKind};
use crate::mark::{AppliedDevice, Record};
use crate::spec::{Disk, HostCheck, HostPath, Size};

/// A boot share is QEMU's alone: what is in it the guest wrote.
const SHARE_MODE: u32 = 0o700;

/// Whether the last apply left this path in a device.
fn has(device: &AppliedDevice, row: &str, path: &HostPath) -> bool {
    device.rows.get(row).map(String::as_str) == Some(path.as_str())
}

/// Whether a domain's process has this image.
pub(super) fn runs_with(domain: &Domain, image: &HostPath) -> bool {
    let live = domain.raw.live.present();
    live.is_some_and(|live| {
        inventory::sources(live)
            .iter()
            .any(|source| source == image.as_str())
    })
}

impl VmPlanner<'_> {
    pub(super) fn share(
        &self,
        record: Option<&Record>,
        draft: &mut Draft,
    ) -> Result<Option<StepId>, Stuck> {
        let (name, path) = (&self.vm.name, &self.vm.boot.share);
        let id = StepId::new("share", name);
        let owner = self.sight.libvirt.qemu_owner;
        let file = match self.sight.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => {
                let recorded = record.and_then(|record| record.applied.devices.get("share boot"));
                if recorded.is_some_and(|device| has(device, "folder", path)) {
                    let why =
                        format!("its boot share {path} is gone; it was there at the last apply");
                    let remedy =
                        format!("restore it, or begin anew with an empty /boot: mkdir {path}");
                    draft.refuse(name, why, remedy);
                    return Err(Stuck);
                }
                self.parent_exists(path, draft)?;
                let act = Act::CreateShare {
                    path: path.clone(),
                    mode: SHARE_MODE,
                    owner,
                };
                return Ok(Some(draft.step(
                    id,
                    Some(name),
                    "the guest's /boot",
                    &[],
                    Vec::new(),
                    act,
                )));
            }
            fact => {
                draft.unknown(
                    name,
                    format!(
                        "{path} could not be read: {}",
                        fact.unknown().unwrap_or_default()
                    ),
                );
                return Err(Stuck);
            }
        };
        if file.stat.kind != FileKind::Folder {
            draft.refuse(
                name,
                format!("its boot share {path} is not a folder"),
                "move it away, or set boot.share",
            );
            return Err(Stuck);
        }
        let Some((uid, gid)) = owner else {
            return Ok(None);
        };
        if (file.stat.uid, file.stat.gid, file.stat.mode) == (uid, gid, SHARE_MODE) {
            return Ok(None);
        }
        let stat = &file.stat;
        let change = |what: &str, before: String, after: String| RowChange {
            what: what.to_owned(),
            before: Some(before),
            after: Some(after),
            waits: None,
            cause: None,
        };
        let mode = |mode: u32| format!("{mode:04o}");
        let mut changes = vec![
            change(
                "owner",
                format!("{}:{}", stat.uid, stat.gid),
                format!("{uid}:{gid}"),
            ),
            change("mode", mode(stat.mode), mode(SHARE_MODE)),
        ];
        changes.retain(|change| change.before != change.after);
        let act = Act::OwnShare {
            path: path.clone(),
            mode: SHARE_MODE,
            owner: (uid, gid),
        };
        Ok(Some(draft.step(
            id,
            Some(name),
            "it is to be QEMU's alone",
            &[],
            changes,
            act,
        )))
    }

    pub(super) fn disk(
        &self,
        disk: &Disk,
        domain: Option<&Domain>,
        record: Option<&Record>,
        draft: &mut Draft,
    ) -> Result<Option<StepId>, Stuck> {
        let (name, path) = (&self.vm.name, &disk.path);
        let id = StepId::new("disk", format_args!("{name}/{}", disk.name));
        let file = match self.sight.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => {
                let recorded = record
                    .and_then(|record| record.applied.devices.get(&format!("disk {}", disk.name)));
                if recorded.is_some_and(|device| has(device, "file", path)) {
                    let why = format!("its disk {path} is gone; it was there at the last apply");
                    let anew = disk.size.map(|size| {
                        format!(", or begin anew: truncate -s {} {path}", size.bytes())
                    });
                    draft.refuse(name, why, format!("restore it{}", anew.unwrap_or_default()));
                    return Err(Stuck);
                }
                let Some(size) = disk.size else {
                    let why = format!("its disk {path} is not there");
                    draft.refuse(
                        name,
                        why,
                        "put the image there, or give the disk a size to have it created",
                    );
                    return Err(Stuck);
                };
                self.parent_exists(path, draft)?;
                self.has_room(path, size, draft)?;
                let act = Act::CreateDisk {
                    path: path.clone(),
                    size,
                };
                return Ok(Some(draft.step(
                    id,
                    Some(name),
                    "new and empty",
                    &[],
                    Vec::new(),
                    act,
                )));
            }
            fact => {
                draft.unknown(
                    name,
                    format!(
                        "{path} could not be read: {}",
                        fact.unknown().unwrap_or_default()
                    ),
                );
                return Err(Stuck);
            }
        };
        if file.stat.kind != FileKind::File {
            draft.refuse(
                name,
                format!("its disk {path} is not a plain file"),
                "name the image itself",
            );
            return Err(Stuck);
        }
        let from = Size::from_bytes(file.stat.size);
        let Some(to) = disk.size.filter(|size| *size > from) else {
            return Ok(None);
        };
        self.has_room(path, Size::from_bytes(to.bytes() - from.bytes()), draft)?;
        let running = domain
            .filter(|domain| domain.state.has_process() && runs_with(domain, path))
            .map(|domain| self.uuid(Some(domain)));
        let act = Act::GrowDisk {
            path: path.clone(),
            from,
            to,
            running,
        };
        Ok(Some(draft.step(
            id,
            Some(name),
            format!("it has {from}"),
            &[],
            Vec::new(),
            act,
        )))
    }

    /// Refuses an image that could never be filled. It takes its room only as the guest writes, so several that together
    /// are too large are not refused.
    fn has_room(&self, path: &HostPath, more: Size, draft: &mut Draft) -> Result<(), Stuck> {
        let folder = self.sight.inventory.path(path.parent()).present();
        let Some(free) = folder
            .and_then(|folder| folder.free)
            .filter(|free| *free < more.bytes())
        else {
            return Ok(());
        };
        let free = Size::from_bytes(free);
        let why = format!(
            "its disk {path} needs {more}, and {} has {free} left",
            path.parent()
        );
        let remedy = "free some room, or make the disk smaller";
        draft.refuse_on(HostCheck::FreeSpace, &self.vm.name, why, remedy);
        Err(Stuck)
    }

    pub(super) fn parent_exists(&self, path: &HostPath, draft: &mut Draft) -> Result<(), Stuck> {
        let parent = path.parent();
        if parent == "/" {
            return Ok(());
        }
        match self.sight.inventory.path(parent) {
            Fact::Present(file)
                if matches!(file.stat.kind, FileKind::Folder | FileKind::Symlink) =>
            {
                Ok(())
            }
            fact => {
                match fact.unknown() {
                    Some(why) => {
                        draft.unknown(&self.vm.name, format!("{parent} could not be seen: {why}"))
                    }
                    None => {
                        let why =
                            format!("{parent} is not a folder, so {path} cannot be created in it");
                        let remedy = format!("mkdir -p {parent}");
                        draft.refuse_on(HostCheck::NoFolder, &self.vm.name, why, remedy);
                    }
                }
                Err(Stuck)
            }
        }
    }
}
