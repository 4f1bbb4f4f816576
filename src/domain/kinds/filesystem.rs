//! Further shares.

use super::share::{FOLDER, NO_HOTPLUG};
use super::transport::TRANSPORT;
use crate::domain::kind::{DeviceKind, Keys, KindInput, WantedDevice};
use crate::domain::row::{Row, RowInput, Want};
use crate::domain::value::Codec;
use crate::fleet::FurtherShare;
use crate::inventory::Look;
use crate::mark::{KindId, PropertyId};
use crate::values::BOOT_TAG;
use crate::xml::Part;

/// A folder of the host that the guest can mount, beside its boot share.
pub const FILESYSTEM: KindId = KindId::new("filesystem");

pub(super) static KIND: DeviceKind = DeviceKind {
    id: FILESYSTEM,
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
            |input| share(input).map_or(Want::Leave, |share| Want::text(&share.path)),
            |seen| seen.of_device("path"),
            NO_HOTPLUG,
        )
        .naming_data(),
        Row::new(
            PropertyId::new("access"),
            &[],
            Part::Attribute("accessmode"),
            Codec::Text,
            |input| share(input).map_or(Want::Leave, |share| Want::text(share.access)),
            |seen| seen.of_device("access"),
            NO_HOTPLUG,
        ),
        Row::new(
            PropertyId::new("readonly"),
            &["readonly"],
            Part::Presence("true"),
            Codec::Text,
            |input| Want::flag(share(input).and_then(|share| share.readonly)),
            |seen| seen.of_device("readonly"),
            NO_HOTPLUG,
        ),
        TRANSPORT,
        // It is what the share is found by, and never changes.
        Row::new(
            PropertyId::new("tag"),
            &["target"],
            Part::Attribute("dir"),
            Codec::Text,
            |_| Want::Leave,
            |seen| seen.of_device("tag"),
            NO_HOTPLUG,
        ),
    ],
    source: FOLDER,
    keys: Keys::List("shares"),
    source_key: "shares: path",
    wanted,
    is_one: |tag, _| tag != BOOT_TAG,
    before: |_| None,
    look: Some(|_| Look::FurtherShare),
    backing: |_| Vec::new(),
    is_overlay: |_| false,
};

/// The share whose rows are asked.
fn share<'a>(input: &RowInput<'a>) -> Option<&'a FurtherShare> {
    let tag = &input.device?.name;
    let mut shares = input.vm.shares.iter();
    shares.find(|share| share.tag.as_str() == tag)
}

fn wanted(input: &KindInput<'_, '_>) -> Vec<WantedDevice> {
    let shares = input.vm.shares.iter();
    let wanted =
        shares.map(|share| WantedDevice::new(FILESYSTEM.named(&share.tag), share.tag.as_str()));
    wanted.collect()
}
