//! The boot share.

use super::transport::TRANSPORT;
use crate::domain::kind::{DeviceKind, Keys, KindInput, WantedDevice};
use crate::domain::row::{Row, Want, no_key};
use crate::domain::value::Codec;
use crate::mark::{KindId, PropertyId};
use crate::xml::Part;

/// A folder of the host that the guest mounts.
pub const SHARE: KindId = KindId::new("share");

/// The tag under which the guest mounts its boot share.
const BOOT_TAG: &str = "virtio-boot";
const FOLDER: PropertyId = PropertyId::new("folder");
const NO_HOTPLUG: &str = "a 9p share is attached only at a start";

pub(super) static KIND: DeviceKind = DeviceKind {
    id: SHARE,
    element: "filesystem",
    key_element: "target",
    key_attribute: "dir",
    blank: "<filesystem type='mount' accessmode='mapped'>\n  <source/>\n  <target/>\n</filesystem>",
    rows: &[
        Row::new(
            FOLDER,
            &["source"],
            Part::Attribute("dir"),
            Codec::Text,
            |input| Want::text(&input.vm.boot.share),
            |seen| seen.of_device("share"),
            NO_HOTPLUG,
        )
        .naming_data(),
        Row::new(
            PropertyId::new("access"),
            &[],
            Part::Attribute("accessmode"),
            Codec::Text,
            |_| Want::text("mapped"),
            no_key,
            NO_HOTPLUG,
        ),
        TRANSPORT,
    ],
    source: FOLDER,
    keys: Keys::Map("boot"),
    source_key: "boot.share",
    wanted,
    is_one: |tag, _| tag == BOOT_TAG,
    before: |_| None,
    backing: |_| Vec::new(),
    is_overlay: |_| false,
};

fn wanted(_: &KindInput<'_, '_>) -> Vec<WantedDevice> {
    vec![WantedDevice::new(SHARE.named("boot"), BOOT_TAG)]
}
