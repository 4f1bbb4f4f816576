//! What a VM keeps on its host: the boot share and the disks.

use super::identity::applied_at;
use crate::domain::{DISK, FORMAT, RowChange, SHARE, Subject, applied_sources};
use crate::fleet::{Disk, DiskFormat};
use crate::inventory::{self, Domain, Fact, FileKind, RawFile, RawStat};
use crate::mark::{KindId, Phase, PropertyId, Record};
use crate::paths;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::step::{Act, DiskContent, StepId};
use crate::problem::HostCheck;
use crate::qcow2::{self, Qcow2};
use crate::values::{HostPath, Size};

/// A boot share is QEMU's alone: what is in it the guest wrote.
pub(super) const SHARE_MODE: u32 = 0o700;

/// Whether a domain's process has this image.
pub(in crate::plan) fn runs_with(domain: &Domain, image: &HostPath) -> bool {
    let live = domain.raw.live.present();
    live.is_some_and(|live| {
        inventory::sources(live)
            .iter()
            .any(|source| source == image.as_str())
    })
}

/// The command that makes a new image, where the file says which.
fn by_hand(disk: &Disk) -> Option<String> {
    let path = &disk.path;
    if let Some(from) = &disk.from {
        return Some(format!("cp --sparse=always {} {path}", from.path));
    }
    let bytes = disk.size.map(Size::bytes);
    if let Some(backing) = &disk.backing {
        let (base, format) = (&backing.path, backing.format);
        let bytes = bytes.map(|bytes| format!(" {bytes}")).unwrap_or_default();
        return Some(format!(
            "qemu-img create -f qcow2 -b {base} -F {format} {path}{bytes}"
        ));
    }
    let bytes = bytes?;
    Some(match disk.format {
        DiskFormat::Raw => format!("truncate -s {bytes} {path}"),
        DiskFormat::Qcow2 => format!("qemu-img create -f qcow2 {path} {bytes}"),
    })
}

/// How the data of a disk or share comes to another path.
fn moving(old: &str, path: &HostPath) -> String {
    match paths::is_device(old) {
        true => format!("qemu-img convert -f raw -O raw {old} {path}"),
        false => format!("move {old} to {path}"),
    }
}

impl VmPlanner<'_> {
    pub(super) fn share(
        &self,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<Option<StepId>, Blocked> {
        let (name, path) = (&self.vm.name, &self.vm.boot.share);
        let file = match self.input.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => return self.new_share(record, builder).map(Some),
            fact => {
                return Err(builder.unreadable(name, path, fact.unknown()));
            }
        };
        if file.stat.kind != FileKind::Folder {
            builder.refuse(
                name,
                format!("its boot share {path} is not a folder"),
                "move it away, or set boot.share",
            );
            return Err(Blocked);
        }
        self.same_as_applied("boot share", path, file, record, builder)?;
        if file.entries.as_ref().is_some_and(Vec::is_empty) {
            self.may_begin_anew(&SHARE, path, record, builder)?;
        }
        Ok(self.own_share(&file.stat, builder))
    }

    fn new_share(
        &self,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<StepId, Blocked> {
        let (name, path) = (&self.vm.name, &self.vm.boot.share);
        if applied_at(record, path).is_some() {
            let why = format!("its boot share {path} is gone; it was there at the last apply");
            let accepted = self.acceptance(path, record);
            let remedy = format!(
                "restore it and armfleet apply --accept {name}, or begin anew with an empty /boot: mkdir {path}; {accepted}"
            );
            builder.refuse(name, why, remedy);
            return Err(Blocked);
        }
        self.parent_exists(path, builder)?;
        self.may_begin_anew(&SHARE, path, record, builder)?;
        let act = Act::CreateShare {
            path: path.clone(),
            mode: SHARE_MODE,
            owner: self.input.libvirt.qemu_owner,
        };
        let id = StepId::new("share", name);
        let reason = "the guest's /boot";
        Ok(builder.step(id, Some(name), reason, &[], Vec::new(), act))
    }

    /// Gives the share to QEMU, where its user is known.
    fn own_share(&self, stat: &RawStat, builder: &mut PlanBuilder) -> Option<StepId> {
        let (name, path) = (&self.vm.name, &self.vm.boot.share);
        let (uid, gid) = self.input.libvirt.qemu_owner?;
        if (stat.uid, stat.gid, stat.mode) == (uid, gid, SHARE_MODE) {
            return None;
        }
        let change = |what, before: String, after: String| RowChange {
            what: Subject::Property(PropertyId::new(what)),
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
        let id = StepId::new("share", name);
        let reason = "must be owned by QEMU's user, mode 0700";
        Some(builder.step(id, Some(name), reason, &[], changes, act))
    }

    pub(super) fn disk(
        &self,
        disk: &Disk,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<Option<StepId>, Blocked> {
        if disk.is_device() {
            return self.device(disk, domain, record, builder).map(|()| None);
        }
        let (name, path) = (&self.vm.name, &disk.path);
        if let Some(backing) = &disk.backing {
            self.base_is_readable(&backing.path, builder)?;
        }
        let file = match self.input.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => {
                if applied_at(record, path).is_some() && disk.fresh.is_none() {
                    let why = format!("its disk {path} is gone; it was there at the last apply");
                    let accepted = self.acceptance(path, record);
                    let anew = by_hand(disk);
                    let anew = anew.map(|made| format!(", or begin anew: {made}; {accepted}"));
                    let anew = anew.unwrap_or_default();
                    let remedy = format!("restore it and armfleet apply --accept {name}{anew}");
                    builder.refuse(name, why, remedy);
                    return Err(Blocked);
                }
                let Some((content, size)) = self.new_content(disk, domain, builder)? else {
                    let why = format!("its disk {path} is not there");
                    builder.refuse(
                        name,
                        why,
                        "put the image there, or give the disk a size to have it created",
                    );
                    return Err(Blocked);
                };
                self.parent_exists(path, builder)?;
                self.may_begin_anew(&DISK, path, record, builder)?;
                self.has_room(path, size, builder)?;
                let reason = match &content {
                    DiskContent::Empty if disk.fresh.is_some() => {
                        "new and empty, and again at each start".to_owned()
                    }
                    DiskContent::Empty => "new and empty".to_owned(),
                    DiskContent::CopyOf(base) => format!("a copy of {}", base.path),
                    DiskContent::Over { base, .. } if disk.fresh.is_some() => {
                        format!("new, over {base}, and again at each start")
                    }
                    DiskContent::Over { base, .. } => format!("new, over {base}"),
                };
                let act = Act::CreateDisk {
                    path: path.clone(),
                    size,
                    content,
                    format: disk.format,
                };
                return Ok(Some(builder.step(
                    self.disk_step(disk),
                    Some(name),
                    reason,
                    &[],
                    Vec::new(),
                    act,
                )));
            }
            fact => {
                return Err(builder.unreadable(name, path, fact.unknown()));
            }
        };
        if file.stat.kind != FileKind::File {
            builder.refuse(
                name,
                format!("its disk {path} is not a plain file"),
                "name the image itself",
            );
            return Err(Blocked);
        }
        if disk.fresh.is_some() {
            self.may_be_made_anew(disk, file, record, builder)?;
            // What it lies over may be another image at each start, and is one that can be read.
            self.new_content(disk, domain, builder)?;
            return Ok(None);
        }
        self.same_as_applied("disk", path, file, record, builder)?;
        if let Some(backing) = &disk.backing {
            self.base_below(disk, backing, domain, record, builder)?;
        }
        self.is_of_format(disk, file, domain, record, builder)?;
        if file.blank == Some(true) {
            self.may_begin_anew(&DISK, path, record, builder)?;
        }
        self.growth(disk, file, domain, builder)
    }

    fn disk_step(&self, disk: &Disk) -> StepId {
        StepId::new("disk", format_args!("{}/{}", self.vm.name, disk.name))
    }

    /// Grows an image that is smaller than wanted.
    fn growth(
        &self,
        disk: &Disk,
        file: &RawFile,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<Option<StepId>, Blocked> {
        let (name, path) = (&self.vm.name, &disk.path);
        let qcow2 = match disk.format {
            DiskFormat::Raw => None,
            DiskFormat::Qcow2 => Some(self.qcow2(disk, file, builder)?),
        };
        let seen = qcow2.as_ref().map_or(file.stat.size, |qcow2| qcow2.size);
        let from = Size::from_bytes(seen);
        let Some(to) = disk.size.filter(|size| *size > from) else {
            return Ok(None);
        };
        self.has_room(path, Size::from_bytes(to.bytes() - from.bytes()), builder)?;
        let running = domain
            .filter(|domain| domain.state.has_process() && runs_with(domain, path))
            .map(|domain| self.uuid(Some(domain)));
        let grown = qcow2.filter(|_| running.is_none());
        let grown = grown.map(|qcow2| qcow2.grown(from.bytes(), to.bytes()));
        if let Some(Err(why)) = grown {
            let bytes = to.bytes();
            builder.refuse(
                name,
                format!("its disk {path} is not grown from {from} to {to}: {why}"),
                format!("qemu-img resize -f qcow2 {path} {bytes} while the VM is off"),
            );
            return Err(Blocked);
        }
        let act = Act::GrowDisk {
            path: path.clone(),
            format: disk.format,
            from,
            to,
            running,
        };
        Ok(Some(builder.step(
            self.disk_step(disk),
            Some(name),
            format!("it has {from}"),
            &[],
            Vec::new(),
            act,
        )))
    }

    /// Refuses an image that is attached for the first time, or in another format than before, and begins as yet another
    /// one does: QEMU would show the guest that format's own bytes, and the guest would write over them.
    pub(super) fn is_of_format(
        &self,
        disk: &Disk,
        file: &RawFile,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let (name, path, format) = (&self.vm.name, &disk.path, disk.format);
        let has = |domain: &Domain| domain.sources.iter().any(|source| source == path.as_str());
        let had = applied_at(record, path).map(|device| device.rows.get(&FORMAT));
        let was_there = match had {
            Some(had) => had.is_none_or(|had| had == format.as_str()),
            None => format == DiskFormat::Raw && domain.is_some_and(has),
        };
        if was_there && !self.accepts_another(path, file, record) {
            return Ok(());
        }
        let begins_as = file.foreign_format();
        if begins_as.is_some_and(|begins_as| begins_as == format.as_str()) {
            return Ok(());
        }
        if let Some(begins_as) = begins_as {
            let other = match disk.is_device() {
                true => "FILE".to_owned(),
                false => format!("{path}.{format}"),
            };
            builder.refuse(
                name,
                format!("its disk {path} is a {begins_as} image, but would be attached as {format}"),
                format!(
                    "qemu-img convert -O {format} {path} {other}, and set path: {other} in the fleet file"
                ),
            );
            return Err(Blocked);
        }
        if file.blank.is_none() && file.head.is_none() {
            let why = format!(
                "whether its disk {path} is a {format} image could not be seen: armfleet may not open it"
            );
            builder.unknown(name, why);
            return Err(Blocked);
        }
        if format == DiskFormat::Qcow2 {
            builder.refuse(
                name,
                format!("its disk {path} is no qcow2 image"),
                format!("set format: raw, or qemu-img convert -f raw -O qcow2 {path} {path}.qcow2, and set path: {path}.qcow2 in the fleet file"),
            );
            return Err(Blocked);
        }
        Ok(())
    }

    /// What the header of a qcow2 image says, if QEMU can be given it.
    fn qcow2(
        &self,
        disk: &Disk,
        file: &RawFile,
        builder: &mut PlanBuilder,
    ) -> Result<Qcow2, Blocked> {
        let (name, path) = (&self.vm.name, &disk.path);
        let mut remedy = "use another image".to_owned();
        let why = match file.qcow2() {
            Some(Ok(image)) if lies_as_wanted(&image, disk) => return Ok(image),
            Some(Ok(image)) => {
                remedy = rebased(disk);
                lies(&image, disk)
            }
            Some(Err(why)) => why.to_owned(),
            None if file.blank.is_none() => {
                let why = format!("its disk {path} could not be read: armfleet may not open it");
                builder.unknown(name, why);
                return Err(Blocked);
            }
            None => "it does not begin as one".to_owned(),
        };
        builder.refuse(
            name,
            format!("its disk {path} cannot be attached as a qcow2 image: {why}"),
            remedy,
        );
        Err(Blocked)
    }

    /// Refuses to replace what an installed VM has by something empty, unless the user said so. At `path` is nothing, or
    /// nothing in it.
    fn may_begin_anew(
        &self,
        kind: &KindId,
        path: &HostPath,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let name = &self.vm.name;
        let installed = record.filter(|record| record.phase == Phase::Own);
        let Some(record) = installed.filter(|record| applied_at(Some(record), path).is_none())
        else {
            return Ok(());
        };
        let is_disk = *kind == DISK;
        let mut left = applied_sources(&record.applied, kind).filter(|path| !self.has_path(path));
        let (Some(old), true) = (left.next(), self.holds_the_system(path, Some(record))) else {
            return Ok(());
        };
        if self.input.policy.allow_replace.contains(name) {
            return Ok(());
        }
        let what = if is_disk { "disk" } else { "boot share" };
        builder.refuse(
            name,
            format!("its {what} would be {path}, which is empty, instead of {old}"),
            format!(
                "{} while the VM is off, or armfleet apply --allow-replace {name} to begin with an empty one; {old} stays \
                 where it is",
                moving(old, path)
            ),
        );
        Err(Blocked)
    }

    /// Whether a path is the share or the system disk of an installed VM.
    pub(super) fn holds_the_system(&self, path: &HostPath, record: Option<&Record>) -> bool {
        let is_installed = record.is_some_and(|record| record.phase == Phase::Own);
        let system = self.vm.system_disk().map(|disk| &disk.path);
        is_installed
            && system
                .into_iter()
                .chain([&self.vm.boot.share])
                .any(|own| own == path)
    }

    /// What accepts something empty in the place of what was applied.
    pub(super) fn acceptance(&self, path: &HostPath, record: Option<&Record>) -> String {
        let name = &self.vm.name;
        match self.holds_the_system(path, record) {
            true => format!("armfleet apply --accept {name} --allow-replace {name}"),
            false => format!("armfleet apply --accept {name}"),
        }
    }

    /// Whether the file gives the VM this image or folder.
    fn has_path(&self, path: &str) -> bool {
        let disks = self.vm.disks.iter().map(|disk| disk.path.as_str());
        disks
            .chain([self.vm.boot.share.as_str()])
            .any(|has| has == path)
    }

    /// Refuses an image that could never be filled. It takes its room only as the guest writes, so several that together
    /// are too large are not refused.
    fn has_room(
        &self,
        path: &HostPath,
        more: Size,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let folder = self.input.inventory.path(path.parent()).present();
        let Some(free) = folder
            .and_then(|folder| folder.free)
            .filter(|free| *free < more.bytes())
        else {
            return Ok(());
        };
        let free = Size::from_bytes(free).about();
        let why = format!(
            "its disk {path} needs {more}, and {} has {free} left",
            path.parent()
        );
        let remedy = "free some room, or make the disk smaller";
        builder.refuse_on(HostCheck::FreeSpace, &self.vm.name, why, remedy);
        Err(Blocked)
    }

    pub(super) fn parent_exists(
        &self,
        path: &HostPath,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let parent = path.parent();
        if parent == "/" {
            return Ok(());
        }
        match self.input.inventory.path(parent) {
            Fact::Present(file)
                if matches!(file.stat.kind, FileKind::Folder | FileKind::Symlink) =>
            {
                Ok(())
            }
            fact => {
                match fact.unknown() {
                    Some(why) => {
                        builder.unknown(&self.vm.name, format!("{parent} could not be seen: {why}"))
                    }
                    None => {
                        let why =
                            format!("{parent} is not a folder, so {path} cannot be created in it");
                        let remedy = format!("mkdir -p {parent}");
                        builder.refuse_on(HostCheck::NoFolder, &self.vm.name, why, remedy);
                    }
                }
                Err(Blocked)
            }
        }
    }
}

/// Whether an image lies over what the file says, and over nothing where that says nothing.
fn lies_as_wanted(image: &Qcow2, disk: &Disk) -> bool {
    match (&image.backing, &disk.backing) {
        (None, None) => true,
        (Some(stored), Some(wanted)) => stored.is(qcow2::Backing {
            path: wanted.path.as_str(),
            format: wanted.format.as_str(),
        }),
        _ => false,
    }
}

/// What an image lies over instead.
fn lies(image: &Qcow2, disk: &Disk) -> String {
    let wanted = disk.backing.as_ref();
    let not = wanted.map(|wanted| format!(", not over {} as {}", wanted.path, wanted.format));
    let not = not.unwrap_or_default();
    match &image.backing {
        None => format!("it lies over no other image{not}"),
        Some(stored) => {
            // Whoever made the image chose the name.
            let name = stored.name.escape_default();
            let format = stored.format.as_deref().unwrap_or("whatever it looks like");
            format!(
                "it lies over another image, {name} as {}{not}",
                format.escape_default()
            )
        }
    }
}

/// How an image comes to lie over what the file says. Its guest sees the same bytes.
fn rebased(disk: &Disk) -> String {
    let path = &disk.path;
    match &disk.backing {
        Some(wanted) => format!(
            "qemu-img rebase -f qcow2 -b {} -F {} {path} while the VM is off, or correct `backing`",
            wanted.path, wanted.format
        ),
        None => format!(
            "qemu-img convert -f qcow2 -O qcow2 {path} {path}.whole.qcow2, and set path: {path}.whole.qcow2 in the fleet file"
        ),
    }
}
