//! Real libvirt holds the contract that the host in memory does, and makes the same of a definition.

#[path = "../contract/domains.rs"]
mod domains;

use crate::host::TestHost;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::host::system::SystemHost;
use armfleet::inventory::RawLibvirt;
use domains::{Subject, contract};

/// The sandbox's libvirt, from outside of it.
fn open(host: &TestHost) -> SystemHost {
    let socket = host.path("/run/libvirt/libvirt-sock");
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    SystemHost::open(&uri, &host.path("/")).unwrap()
}

#[test]
fn real_libvirt_holds_the_contract() {
    let host = TestHost::start();
    let real = open(&host);
    contract(&Subject {
        host: &real,
        domain_type: "qemu",
        power_off: &|uuid| drop(host.virsh(&["destroy", uuid]).success()),
    });
}

/// libvirt 9.0 gives byte for byte what the host in memory gives; a later one may say more of a new domain, but never
/// changes what it has dumped itself.
#[test]
fn real_libvirt_makes_of_a_definition_what_the_host_in_memory_makes() {
    let host = TestHost::start();
    let real = open(&host);
    let about: RawLibvirt = real.libvirt().unwrap();
    let memory = Memory::new(about.clone());
    for definition in [
        include_str!("../captured/armhf-new.xml"),
        include_str!("../captured/by-hand.xml"),
    ] {
        let dumps = [&real as &dyn Primitives, &memory].map(|host| {
            host.define(definition).unwrap();
            let [domain] = &host.domains().unwrap()[..] else {
                panic!("not one domain")
            };
            let dump = host.dump_secure(&domain.uuid).unwrap();
            host.define(&dump).unwrap();
            assert_eq!(host.dump_secure(&domain.uuid).unwrap(), dump);
            host.undefine(&domain.uuid, false).unwrap();
            dump
        });
        if about.version / 1_000_000 == 9 {
            assert_eq!(dumps[0], dumps[1]);
        }
    }
}
