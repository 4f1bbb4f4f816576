//! Devices of a VM, as its guest sees them.

use crate::fleet::{VM, recipe};
use crate::host::TestHost;

/// The numbers of virtio devices (OASIS virtio specification 1.2, section 5): an entropy source, and a console that has
/// the agent's port.
const RNG: &str = "0x0004";
const CONSOLE: &str = "0x0003";

/// Whether the guest has a virtio device of this number.
fn guest_has(host: &TestHost, number: &str) -> bool {
    let seen = host.guest("run cat /sys/bus/virtio/devices/*/device");
    seen.lines().any(|line| line.trim() == number)
}

#[test]
fn a_new_vm_has_random_numbers_and_an_agents_channel_and_an_existing_one_what_the_file_says() {
    let host = TestHost::with_applied(&recipe());
    assert!(guest_has(&host, RNG) && guest_has(&host, CONSOLE));
    host.assert_converged();

    host.write_fleet(&(recipe() + "    rng: false\n    agent: false\n"));
    let planned = host.planned(2);
    for change in [
        "agent guest  - org.qemu.guest_agent.0    at next boot: virtio-mmio has no hotplug",
        "rng host     - /dev/urandom              at next boot: virtio-mmio has no hotplug",
    ] {
        assert!(planned.contains(change), "{planned}");
    }
    host.apply().success();
    assert!(guest_has(&host, RNG));
    host.shut_down();
    host.apply().success();
    assert!(!guest_has(&host, RNG));
    // The controller, which is libvirt's, stays.
    assert!(!host.definition(VM).contains("org.qemu.guest_agent.0"));

    // Without the keys an existing VM stays as it is.
    host.write_fleet(&recipe());
    host.assert_converged();
}
