//! The disk from which cloud-init reads: the last of a guest's disks, and read-only.

use super::disk::{BUS, DISK, FILE, FORMAT, seen_disks};
use super::disk_places::{is_for_cloud_init, last_free, places};
use super::transport::{NO_HOTPLUG, TRANSPORT};
use crate::domain::kind::{DeviceKind, Keys, KindInput, WantedDevice};
use crate::domain::row::{Couple, Row, RowInput, Want, no_key};
use crate::domain::value::Codec;
use crate::mark::{KindId, PropertyId};
use crate::paths;
use crate::xml::Part;

/// The disk that cloud-init in the guest reads.
pub const CLOUD_INIT: KindId = KindId::new("cloud-init");

/// It is armfleet's own and made of the fleet file's texts, so that a file put in its place by hand is drift.
pub(super) static KIND: DeviceKind = DeviceKind {
    id: CLOUD_INIT,
    element: "disk",
    key_element: "target",
    key_attribute: "dev",
    blank: "<disk type='file' device='disk'>\n  <driver name='qemu' type='raw'/>\n  <source>\n    <seclabel model='dac' relabel='no'/>\n  </source>\n  <target/>\n  <readonly/>\n</disk>",
    rows: &[
        Row::new(
            FILE,
            &["source"],
            Part::Attribute("file"),
            Codec::Text,
            want_file,
            no_key,
            NO_HOTPLUG,
        ),
        Row::new(
            FORMAT,
            &["driver"],
            Part::Attribute("type"),
            Codec::Text,
            |_| Want::text("raw"),
            no_key,
            NO_HOTPLUG,
        ),
        BUS,
        Row::new(
            PropertyId::new("readonly"),
            &["readonly"],
            Part::Presence("true"),
            Codec::Text,
            |_| Want::text(true),
            no_key,
            NO_HOTPLUG,
        ),
        // Else libvirt gives it to QEMU's user, which all VMs share, and leaves it there when the VM is off.
        Row::new(
            PropertyId::new("relabel"),
            &["source", "seclabel"],
            Part::Attribute("relabel"),
            Codec::Text,
            |_| Want::text("no"),
            no_key,
            NO_HOTPLUG,
        )
        .couples(&[Couple::Fixed {
            path: &["source", "seclabel"],
            attribute: "model",
            value: "dac",
        }]),
        TRANSPORT,
    ],
    source: FILE,
    keys: Keys::Map("cloud_init"),
    source_key: "cloud_init",
    wanted,
    is_one: |_, disk| is_for_cloud_init(disk),
    before: |_| None,
    look: None,
    backing: |_| Vec::new(),
    is_overlay: |_| false,
};

/// The file that the plan chose. Where no host was asked, the one that a new VM gets.
fn want_file(input: &RowInput<'_>) -> Want {
    let recorded = input.recorded.and_then(|device| device.rows.get(&FILE));
    let chosen = input.cloud_init.or(recorded.map(String::as_str));
    match chosen {
        Some(path) => Want::text(path),
        None => Want::text(paths::cloud_init_disk(
            &input.vm.name,
            paths::CLOUD_INIT_DISKS[0],
        )),
    }
}

fn wanted(input: &KindInput<'_, '_>) -> Vec<WantedDevice> {
    if input.vm.cloud_init.is_none() {
        return Vec::new();
    }
    let id = CLOUD_INIT.named("cidata");
    let recorded = input.recorded(&id).map(|device| device.key.clone());
    let seen = seen_disks(input);
    let own = seen.iter().find(|disk| {
        let path = disk.source.and_then(paths::cloud_init_disk_of);
        path == Some(input.vm.name.as_str())
    });
    let own = own.map(|disk| disk.target.to_owned());
    let key = recorded.or(own).or_else(|| {
        let disks = places(input, &DISK, &seen).into_iter();
        let taken = disks.map(|disk| disk.target);
        let taken = taken.chain(seen.iter().map(|disk| disk.target.to_owned()));
        last_free(&taken.collect(), input.transport)
    });
    let device = key.map(|key| WantedDevice::new(id, key));
    device.into_iter().collect()
}
