//! The boot share.

use super::transport::TRANSPORT;
use crate::domain::kind::{DeviceKind, Keys, KindInput, WantedDevice, find_device};
use crate::domain::row::{Row, Waits, Want, no_key};
use crate::domain::value::Codec;
use crate::inventory::Look;
use crate::mark::{KindId, PropertyId};
use crate::values::BOOT_TAG;
use crate::xml::{self, Part};

/// A folder of the host that the guest mounts.
pub const SHARE: KindId = KindId::new("share");

pub(super) const FOLDER: PropertyId = PropertyId::new("folder");
pub(super) const NO_HOTPLUG: Waits = |_| "a 9p share is attached only at a start";

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
    look: Some(|_| Look::Share),
    backing: |_| Vec::new(),
    is_overlay: |_| false,
};

/// The folder that a domain's guest sees as `/boot`; none if the text is not XML.
#[must_use]
pub fn boot_share_of(definition: &str) -> Option<String> {
    let document = xml::parse(definition).ok()?;
    let share = find_device(&document, &KIND, BOOT_TAG)?;
    KIND.source(share).map(|folder| folder.to_string())
}

fn wanted(_: &KindInput<'_, '_>) -> Vec<WantedDevice> {
    vec![WantedDevice::new(SHARE.named("boot"), BOOT_TAG)]
}
