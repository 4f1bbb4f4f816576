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

#[test]
fn a_guest_mounts_its_further_shares_and_can_do_there_what_the_file_says() {
    let shares = |cache: &str| {
        recipe()
            + &format!(
                "    shares:\n      - {{ tag: ccache, path: /srv/ccache{cache} }}\n      \
                 - {{ tag: sources, path: /srv/sources, access: squash, readonly: true }}\n"
            )
    };
    let host = TestHost::with_fleet(&shares(""));
    host.run("sh", &["-c", "mkdir /srv/sources && echo from the host > /srv/sources/text && ln -s text /srv/sources/link"])
        .success();
    host.apply().success();
    host.assert_converged();
    let mount = |tag: &str| {
        let options = "trans=virtio,version=9p2000.L";
        host.guest(&format!(
            "run mkdir -p /mnt/{tag} && mount -t 9p -o {options} {tag} /mnt/{tag}"
        ));
    };
    mount("ccache");
    mount("sources");
    let read = host.guest("run cat /mnt/sources/link");
    assert!(read.contains("from the host"), "{read}");
    assert_eq!(
        host.guest_say(VM, "run touch /mnt/sources/new").code,
        Some(1)
    );
    // What the guest sets it sees, and the host's file stays QEMU's.
    host.guest("run echo from the guest > /mnt/ccache/file && chown 12:34 /mnt/ccache/file && chmod 4755 /mnt/ccache/file");
    let seen = host.guest("run stat -c %u:%g:%a /mnt/ccache/file");
    assert!(seen.contains("12:34:4755"), "{seen}");
    let on_host = host
        .run("stat", &["-c", "%U %a", "/srv/ccache/file"])
        .success();
    assert_eq!(on_host, "libvirt-qemu 600\n");

    // A change waits for the next boot, and so does one that comes or goes.
    host.write_fleet(&shares(", readonly: true"));
    let planned = host.planned(2);
    assert!(
        planned.contains("filesystem ccache readonly  + true    at next boot: a 9p share is attached only at a start"),
        "{planned}"
    );
    host.apply().success();
    host.shut_down();
    host.apply().success();
    mount("ccache");
    let seen = host.guest("run cat /mnt/ccache/file");
    assert!(seen.contains("from the guest"), "{seen}");
    assert_eq!(
        host.guest_say(VM, "run touch /mnt/ccache/new").code,
        Some(1)
    );
    host.assert_converged();
    host.write_fleet(&recipe());
    host.apply().success();
    assert_eq!(host.definition(VM).matches("<filesystem").count(), 1);
    assert!(host.path("/srv/ccache/file").exists());
}
