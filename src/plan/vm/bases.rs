//! Base images: what a new image is copied from, or what a disk lies over. They are only read, and never by a guess at their
//! format.

use super::identity::applied_at;
use crate::domain::BACKING_FILE;
use crate::fleet::{Backing, BaseCopy, Disk, DiskFormat};
use crate::inventory::{Domain, Fact, FileKind, RawFile, RawStat};
use crate::mark::{Applied, AppliedDevice, Record};
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::claims::Meeting;
use crate::plan::step::{BaseFile, DiskContent};
use crate::problem::HostCheck;
use crate::trust::{End, Verdict};
use crate::values::{HostPath, Size};

/// A base image as it was seen.
struct SeenBase<'a> {
    file: &'a RawFile,
    /// As a guest sees it.
    size: Size,
}

impl VmPlanner<'_> {
    /// What a new image of this disk is to hold, and its size; nothing where the file gives neither a size nor a base image.
    pub(super) fn new_content(
        &self,
        disk: &Disk,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<Option<(DiskContent, Size)>, Blocked> {
        if let Some(from) = &disk.from {
            return self.copied(disk, from, domain, builder).map(Some);
        }
        if let Some(backing) = &disk.backing {
            let base = self.base(&backing.path, backing.format, domain, builder)?;
            let size = self.overlay_size(disk, backing, base.size, builder)?;
            let content = DiskContent::Over {
                base: backing.path.clone(),
                format: backing.format,
            };
            return Ok(Some((content, size)));
        }
        Ok(disk.size.map(|size| (DiskContent::Empty, size)))
    }

    fn copied(
        &self,
        disk: &Disk,
        from: &BaseCopy,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<(DiskContent, Size), Blocked> {
        let (name, path) = (&self.vm.name, &from.path);
        self.base_way(path, builder)?;
        let base = self.base(path, disk.format, domain, builder)?;
        let size = disk.size.map_or(base.size, |size| size.max(base.size));
        let grown = base
            .file
            .qcow2()
            .filter(|_| disk.format == DiskFormat::Qcow2);
        let grown = grown.and_then(Result::ok);
        let grown = grown.map(|image| image.grown(base.size.bytes(), size.bytes()));
        if let Some(Err(why)) = grown.filter(|_| size > base.size) {
            let (had, bytes) = (base.size, size.bytes());
            builder.refuse(
                name,
                format!(
                    "its disk {} cannot be a copy of {path}, grown from {had} to {size}: {why}",
                    disk.path
                ),
                format!(
                    "cp {path} {}; qemu-img resize -f qcow2 {0} {bytes}; or leave `size` out",
                    disk.path
                ),
            );
            return Err(Blocked);
        }
        let RawStat { ino, mtime_ns, .. } = base.file.stat;
        let content = DiskContent::CopyOf(BaseFile {
            path: path.clone(),
            ino,
            size: base.file.stat.size,
            mtime_ns,
            sha256: from.sha256.clone(),
        });
        Ok((content, size))
    }

    /// Refuses an overlay that its guest would see cut off.
    fn overlay_size(
        &self,
        disk: &Disk,
        backing: &Backing,
        base: Size,
        builder: &mut PlanBuilder,
    ) -> Result<Size, Blocked> {
        let size = disk.size.unwrap_or(base);
        if size >= base {
            return Ok(size);
        }
        let (path, below) = (&disk.path, &backing.path);
        builder.refuse(
            &self.vm.name,
            format!("its disk {path} would have {size}, and its base image {below} has {base}"),
            format!(
                "set size: {} or more, or leave it out",
                base.to_string().replace(' ', "")
            ),
        );
        Err(Blocked)
    }

    /// Refuses a disk whose base image is not what it was when the disk was applied: what the guest did not write since
    /// would be other bytes.
    pub(super) fn base_below(
        &self,
        disk: &Disk,
        backing: &Backing,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let (name, path) = (&self.vm.name, &backing.path);
        let applied = applied_at(record, &disk.path);
        let lay_over = |device: &&AppliedDevice| {
            let below = device.rows.get(&BACKING_FILE);
            below.is_some_and(|below| below == path.as_str())
        };
        let applied = applied.filter(lay_over);
        let applied = applied.and_then(|device| device.base.as_ref());
        if let (Some(_), Fact::Absent) = (applied, self.input.inventory.path(path.as_str())) {
            let why = format!(
                "the base image {path} of its disk {} is gone; it was there at the last apply",
                disk.path
            );
            let remedy = format!(
                "restore it; another one in its place needs armfleet apply --accept {name}"
            );
            builder.refuse(name, why, remedy);
            return Err(Blocked);
        }
        let base = self.base(path, backing.format, domain, builder)?;
        let seen = self.input.inventory.place(base.file);
        let changed = applied.is_some_and(|applied| !applied.is_same_image(&seen));
        if !changed || self.accepts() {
            return Ok(());
        }
        builder.refuse(
            name,
            format!("the base image {path} of its disk {} changed since the last apply", disk.path),
            format!("put the former one back, or armfleet apply --accept {name} to use what is there now; its guest may find its files damaged"),
        );
        Err(Blocked)
    }

    /// Looks at a base image: it must have this format, lie over no other image, and be written by nobody.
    fn base(
        &self,
        path: &HostPath,
        format: DiskFormat,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<SeenBase<'_>, Blocked> {
        let name = &self.vm.name;
        let file = match self.input.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => {
                let why = format!("its base image {path} is not there");
                builder.refuse(name, why, "put it there, or correct the path");
                return Err(Blocked);
            }
            fact => return Err(builder.unreadable(name, path, fact.unknown())),
        };
        if file.stat.kind != FileKind::File {
            let why = format!("its base image {path} is not a plain file");
            builder.refuse(name, why, "name the image itself");
            return Err(Blocked);
        }
        self.nobody_writes(path, domain, builder)?;
        let size = self.base_size(path, format, file, builder)?;
        Ok(SeenBase { file, size })
    }

    fn base_size(
        &self,
        path: &HostPath,
        format: DiskFormat,
        file: &RawFile,
        builder: &mut PlanBuilder,
    ) -> Result<Size, Blocked> {
        let name = &self.vm.name;
        if file.blank.is_none() && file.head.is_none() {
            let why = format!(
                "whether its base image {path} is a {format} image could not be seen: armfleet may not open it"
            );
            builder.unknown(name, why);
            return Err(Blocked);
        }
        let mut refuse = |why: String, remedy: String| {
            builder.refuse(name, format!("its base image {path} {why}"), remedy);
            Err(Blocked)
        };
        let begins_as = file.foreign_format().unwrap_or("raw");
        let converted = |from: &str| {
            format!("qemu-img convert -f {from} -O {format} {path} {path}.{format}, and name that")
        };
        if begins_as != format.as_str() {
            let why = format!("is a {begins_as} image, and would be read as {format}");
            let from = begins_as.to_lowercase();
            return refuse(why, converted(&from));
        }
        match (format, file.qcow2()) {
            (DiskFormat::Raw, _) => {
                let size = Size::from_bytes(file.stat.size);
                match size.bytes() > 0 && size.bytes().is_multiple_of(SECTOR) {
                    true => Ok(size),
                    false => refuse(
                        format!("has {size}, which is no whole number of sectors"),
                        format!("truncate -s %{SECTOR} {path}, or name another image"),
                    ),
                }
            }
            (DiskFormat::Qcow2, Some(Ok(image))) if image.backing.is_some() => {
                let why = "lies over another image, which could change below it".to_owned();
                refuse(why, converted("qcow2"))
            }
            (DiskFormat::Qcow2, Some(Ok(image))) => Ok(Size::from_bytes(image.size)),
            (DiskFormat::Qcow2, Some(Err(why))) => refuse(
                format!("cannot be used: {why}"),
                "name another image".to_owned(),
            ),
            (DiskFormat::Qcow2, None) => refuse("is no qcow2 image".to_owned(), converted("raw")),
        }
    }

    /// Refuses a base image that a guest can write, as its disk or through a share.
    fn nobody_writes(
        &self,
        path: &HostPath,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let name = &self.vm.name;
        let way = self.input.inventory.way(path.as_str());
        let others = self.input.claims.against(self.vm, path, &way, |conflict| {
            conflict.meeting == Meeting::Same && conflict.claim.is_read
        });
        let own = domain.is_some_and(|domain| {
            let writes = |used: &String| used == path.as_str() && !domain.bases.contains(used);
            domain.claims.iter().any(writes)
        });
        let why = match others.first() {
            Some(conflict) => conflict.describe(name.as_str()),
            None if own => format!("is a disk of domain {name}"),
            None => return Ok(()),
        };
        let why = format!("its base image {path} {why}");
        let remedy = format!(
            "a base image must not change: copy it while that VM is off (cp --sparse=always {path} {path}.base), and name the copy"
        );
        builder.refuse_on(HostCheck::PathInUse, name, why, remedy);
        Err(Blocked)
    }

    /// Refuses a base image that others could swap for another file before it is copied.
    fn base_way(&self, path: &HostPath, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        let rules = super::ways::rules(self.input);
        let Verdict::Flawed(flaws) = self
            .input
            .inventory
            .judged(path.as_str(), End::Image, &rules)
        else {
            return Ok(());
        };
        let swapped = super::ways::in_words(&flaws, &rules);
        let why = format!("its base image {path} can be swapped: {swapped}");
        let remedy = super::ways::mended(&flaws);
        builder.refuse_on(HostCheck::WritableFolder, &self.vm.name, why, remedy);
        Err(Blocked)
    }

    /// Refuses a base image that QEMU may not read, or that it may write: all VMs share its user, and armfleet has libvirt
    /// leave the owner as it is.
    pub(super) fn base_is_readable(
        &self,
        path: &HostPath,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let seen = self.input.inventory.path(path.as_str());
        let (Some(qemu), Some(file)) = (self.input.libvirt.qemu_owner, seen.present()) else {
            return Ok(());
        };
        let stat = &file.stat;
        let (why, remedy) = if stat.uid == qemu.0 {
            let why = "belongs to QEMU's user, which all VMs share";
            (why, format!("chown root: {path}; chmod 0644 {path}"))
        } else if stat.allows(qemu, 0o2) {
            let why = "can be written by QEMU's user, which all VMs share";
            (why, format!("chmod go-w {path}"))
        } else if !stat.allows(qemu, 0o4) && stat.acl.is_none() {
            let why = "cannot be read by QEMU's user";
            (why, format!("chgrp {} {path}; chmod g+r {path}", qemu.1))
        } else {
            return Ok(());
        };
        let name = &self.vm.name;
        builder.refuse(name, format!("its base image {path} {why}"), remedy);
        Err(Blocked)
    }

    /// Puts into a record the base images of the disks.
    pub(super) fn note_bases(&self, applied: &mut Applied) {
        for disk in &self.vm.disks {
            let Some(backing) = &disk.backing else {
                continue;
            };
            let file = self.input.inventory.path(backing.path.as_str()).present();
            let device = applied
                .devices
                .get_mut(&crate::domain::DISK.named(&disk.name));
            if let (Some(device), Some(file)) = (device, file) {
                device.base = Some(self.input.inventory.place(file));
            }
        }
    }
}

const SECTOR: u64 = 512;
