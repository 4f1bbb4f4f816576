//! A block device as a disk: never created, grown or erased, and refused where it cannot be the VM's.

use super::identity::applied_at;
use crate::fleet::Disk;
use crate::inventory::{DeviceUse, Domain, Fact, RawDevice};
use crate::mark::Record;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::problem::HostCheck;
use crate::values::{HostPath, Size};

impl VmPlanner<'_> {
    pub(super) fn device(
        &self,
        disk: &Disk,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let (name, path) = (&self.vm.name, &disk.path);
        let file = match self.input.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => {
                let (why, remedy) = self.missing_device(disk, record);
                builder.refuse(name, why, remedy);
                return Err(Blocked);
            }
            fact => return Err(builder.unreadable(name, path, fact.unknown())),
        };
        let Some(device) = &file.device else {
            let why = format!("its disk {path} is not a block device");
            let remedy = "name a block device below /dev, or an image elsewhere";
            builder.refuse(name, why, remedy);
            return Err(Blocked);
        };
        self.same_as_applied("disk", path, file, record, builder)?;
        self.is_free(path, device, domain, record, builder)?;
        self.is_large_enough(disk, device, builder)?;
        self.is_of_format(disk, file, domain, record, builder)
    }

    fn missing_device(&self, disk: &Disk, record: Option<&Record>) -> (String, String) {
        let path = &disk.path;
        if applied_at(record, path).is_some() {
            let why = format!("its disk {path} is gone; it was there at the last apply");
            let accepted = self.acceptance(path, record);
            let remedy = format!(
                "bring it back (lsblk shows the devices that are there); another one in its place needs {accepted}"
            );
            return (why, remedy);
        }
        let why = format!("its disk {path} is not there, and armfleet creates no block devices");
        (why, made_by_hand(path, disk.size))
    }

    /// Refuses a device whose bytes are the host's own. One that the VM has had before stays: to take it away would help
    /// nobody.
    fn is_free(
        &self,
        path: &HostPath,
        device: &RawDevice,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let Some(used) = &device.used else {
            return Ok(());
        };
        let name = &self.vm.name;
        let why = format!(
            "its disk {path} is in use by the host itself: {}",
            described(used)
        );
        let has = |domain: &Domain| domain.sources.iter().any(|source| source == path.as_str());
        if applied_at(record, path).is_some() || domain.is_some_and(has) {
            let outlook = "left alone; a guest and its host that write one device destroy it";
            builder.notice(name, why, outlook);
            return Ok(());
        }
        let remedy = match used {
            DeviceUse::Mounted(folder) => format!("umount {folder}, or name another device"),
            DeviceUse::PartOf(_) => format!("name that one, or another; lsblk {path} shows them"),
            DeviceUse::Swap => format!("swapoff {path}, or name another device"),
        };
        builder.refuse_on(HostCheck::PathInUse, name, why, remedy);
        Err(Blocked)
    }

    fn is_large_enough(
        &self,
        disk: &Disk,
        device: &RawDevice,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let (name, path) = (&self.vm.name, &disk.path);
        let Some(seen) = device.size else {
            builder.unknown(
                name,
                format!("how large its disk {path} is could not be seen"),
            );
            return Err(Blocked);
        };
        let wanted = disk.size.map_or(1, Size::bytes);
        if seen >= wanted {
            return Ok(());
        }
        let seen = Size::from_bytes(seen);
        let (why, remedy) = match disk.size {
            Some(size) if seen.bytes() > 0 => (
                format!("its disk {path} has {seen}, and `size` asks for {size}"),
                format!(
                    "grow the device (a logical volume: lvextend -L {}b {path}), or set size: {}",
                    size.bytes(),
                    seen.to_string().replace(' ', "")
                ),
            ),
            _ => (
                format!("its disk {path} holds nothing: its size is 0"),
                format!("lsblk {path} shows it; attach what it is for, or name another device"),
            ),
        };
        builder.refuse(name, why, remedy);
        Err(Blocked)
    }
}

fn described(used: &DeviceUse) -> String {
    match used {
        DeviceUse::Mounted(folder) => format!("it is mounted at {folder}"),
        DeviceUse::PartOf(device) => format!("{device} is made of it"),
        DeviceUse::Swap => "it is swap space".to_owned(),
    }
}

/// How a device comes to be: of a volume group's, by LVM.
fn made_by_hand(path: &HostPath, size: Option<Size>) -> String {
    let size = size.map_or("SIZE".to_owned(), |size| format!("{}b", size.bytes()));
    match path
        .as_str()
        .strip_prefix("/dev/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((group, volume)) if !volume.contains('/') && group != "mapper" && group != "disk" => {
            format!("lvcreate -L {size} -n {volume} {group}, or correct the path")
        }
        _ => "make it first, or correct the path".to_owned(),
    }
}
