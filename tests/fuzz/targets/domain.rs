//! What libvirt says: capabilities, and the definition of a domain of the fleet's, with a NUL between. Planning over it gives
//! the same plan twice, and the edits that it plans can be made.
#![no_main]

use armfleet::domain::apply_edits;
use armfleet::inventory::{Fact, Inventory, RawDomain, RawInventory, RawLibvirt};
use armfleet::plan::{Act, Base, Policy, plan};
use armfleet::fleet::{Spec, read_fleet};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const UUID: &str = "dddb7e15-ae10-4830-89f3-43c8c5937be7";
const FLEET: &str = "fleet: obs\nvms:\n  armhf-vm: { arch: armhf, memory: 1GiB, accel: tcg, boot: { cmdline: a }, disks: [{ path: /srv/armhf-vm.img }] }\n";

static SPEC: LazyLock<Spec> =
    LazyLock::new(|| read_fleet(FLEET.as_bytes(), "fleet.yaml", "/").expect("it is valid"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (capabilities, definition) = text.split_once('\0').unwrap_or(("<capabilities/>", text));
    let seen = || Inventory::read(raw(capabilities, definition), &SPEC);
    let first = plan(&SPEC, &seen(), &Policy::default());
    assert_eq!(first, plan(&SPEC, &seen(), &Policy::default()));
    for step in &first.steps {
        if let Act::Define { base, edits, .. } = &step.act {
            let text = match base {
                Base::Skeleton(text) => text,
                Base::Stored(_) => definition,
            };
            let edited = apply_edits(text, edits).expect("planned edits can be made");
            armfleet::xml::parse(&edited).expect("edits leave XML");
        }
    }
});

fn raw(capabilities: &str, definition: &str) -> RawInventory {
    RawInventory {
        at: 0,
        libvirt: Fact::Present(RawLibvirt {
            version: 9_000_000,
            capabilities: capabilities.to_owned(),
            bits32: None,
        }),
        domains: Fact::Present(vec![RawDomain {
            name: "armhf-vm".to_owned(),
            uuid: UUID.to_owned(),
            state: 1,
            reason: 1,
            persistent: true,
            autostart: true,
            managed_save: false,
            snapshots: Vec::new(),
            checkpoints: Vec::new(),
            inactive: Fact::Present(definition.to_owned()),
            live: Fact::Present(definition.to_owned()),
        }]),
        networks: Fact::NotObserved,
        links: Fact::NotObserved,
        addresses: BTreeMap::new(),
        paths: BTreeMap::new(),
        claims: BTreeMap::new(),
        file_systems: Default::default(),
        binds: Default::default(),
    }
}
