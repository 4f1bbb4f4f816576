//! The channel of the QEMU guest agent.

use super::transport::NO_HOTPLUG;
use crate::domain::kind::{DeviceKind, Keys};
use crate::domain::row::{Given, Row, Want};
use crate::domain::value::Codec;
use crate::inventory::AGENT_PORT;
use crate::mark::{KindId, PropertyId};
use crate::xml::Part;

const AGENT: KindId = KindId::new("agent");
const CHANNEL: PropertyId = PropertyId::new("channel");

/// libvirt adds the virtio-serial controller, attached as the VM's other devices are.
pub(super) static KIND: DeviceKind = DeviceKind {
    id: AGENT,
    element: "channel",
    key_element: "target",
    key_attribute: "name",
    blank: "<channel type='unix'>\n  <target type='virtio'/>\n</channel>",
    rows: &[Row::new(
        CHANNEL,
        &["target"],
        Part::Attribute("name"),
        Codec::Text,
        |_| Want::text(AGENT_PORT),
        |_| Some(Given::OfVm("agent", true.to_string())),
        NO_HOTPLUG,
    )],
    source: CHANNEL,
    keys: Keys::Vm,
    source_key: "agent",
    wanted: |input| input.once(input.vm.agent, AGENT.named("guest"), AGENT_PORT),
    is_one: |port, _| port == AGENT_PORT,
    before: |_| None,
    look: None,
    backing: |_| Vec::new(),
    is_overlay: |_| false,
};
