//! The source of random numbers.

use super::transport::{NO_HOTPLUG, TRANSPORT};
use crate::domain::kind::{DeviceKind, Keys};
use crate::domain::row::{Given, Row, RowInput, Want};
use crate::domain::value::Codec;
use crate::mark::{KindId, PropertyId};
use crate::xml::Part;

const RNG: KindId = KindId::new("rng");
const SOURCE: PropertyId = PropertyId::new("source");
/// What libvirt calls a source that is read from a file of the host.
const FROM_FILE: &str = "random";
/// The kernel's own, which never waits: libvirt's default.
const URANDOM: &str = "/dev/urandom";

pub(super) static KIND: DeviceKind = DeviceKind {
    id: RNG,
    element: "rng",
    key_element: "backend",
    key_attribute: "model",
    blank: "<rng model='virtio'>\n  <backend/>\n</rng>",
    rows: &[
        Row::new(
            SOURCE,
            &["backend"],
            Part::Text,
            Codec::Text,
            want_source,
            |_| Some(Given::OfVm("rng", true.to_string())),
            NO_HOTPLUG,
        ),
        TRANSPORT,
    ],
    source: SOURCE,
    keys: Keys::Vm,
    source_key: "rng",
    wanted: |input| input.once(input.vm.rng, RNG.named("host"), FROM_FILE),
    is_one: |_, _| true,
    before: |_| None,
    look: None,
    backing: |_| Vec::new(),
    is_overlay: |_| false,
};

/// No key says which file: another one by hand is as good.
fn want_source(input: &RowInput<'_>) -> Want {
    match input.new {
        true => Want::text(URANDOM),
        false => Want::Leave,
    }
}
