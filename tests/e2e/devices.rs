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

/// The tree that QEMU makes of its machine, without the room that it leaves in it (Devicetree Specification 0.4, section 5.2).
fn own_tree(host: &TestHost) -> Vec<u8> {
    let dumped = format!("virt,dumpdtb={TREE}");
    let options = [
        "-M",
        &dumped,
        "-cpu",
        "cortex-a15",
        "-m",
        "512",
        "-display",
        "none",
    ];
    host.run("qemu-system-arm", &options).success();
    let mut tree = std::fs::read(host.path(TREE)).unwrap();
    let word = |at: usize| u32::from_be_bytes(tree[at..at + 4].try_into().unwrap());
    let end = (word(8) + word(36)).max(word(12) + word(32));
    tree.truncate(end as usize);
    tree[4..8].copy_from_slice(&end.to_be_bytes());
    tree
}

/// The same tree of another machine.
fn of_machine(tree: &[u8], name: &str) -> Vec<u8> {
    let own = b"linux,dummy-virt";
    let mut tree = tree.to_vec();
    let places = tree.windows(own.len()).enumerate();
    let places: Vec<usize> = places
        .filter(|(_, text)| text == own)
        .map(|(at, _)| at)
        .collect();
    for at in places {
        tree[at..at + own.len()].copy_from_slice(name.as_bytes());
    }
    tree
}

const TREE: &str = "/srv/machine.dtb";

#[test]
fn a_guest_boots_with_the_device_tree_that_the_file_names_and_with_its_successor() {
    let text = recipe().replace("boot:\n", &format!("boot:\n      dtb: {TREE}\n"));
    let host = TestHost::with_fleet(&text);
    let own = own_tree(&host);
    let planned = host.planned(3);
    assert!(
        planned.contains("1048576 bytes, and a 32-bit kernel does not boot with more"),
        "{planned}"
    );
    host.write(TREE, of_machine(&own, "linux,model-one1"));
    host.apply().success();
    let model = |name: &str| {
        let seen = host.guest("run tr '\\0' '\\n' < /proc/device-tree/compatible");
        assert!(seen.contains(name), "{name} in {seen:?}");
    };
    model("linux,model-one1");
    host.assert_converged();
    let staged = "/var/lib/armfleet/vms/armhf-vm/boot/dtb/machine.dtb";
    let owner = || host.run("stat", &["-c", "%U", staged]).success();
    assert_eq!(owner(), "libvirt-qemu\n");

    // What runs was given the former one. The successor is a file of its own, which libvirt never had.
    host.write(TREE, of_machine(&own, "linux,model-two2"));
    let planned = host.planned(2);
    assert!(
        planned.contains("the file changed; the VM gets it at its next start"),
        "{planned}"
    );
    host.apply().success();
    host.assert_converged();
    model("linux,model-one1");
    host.shut_down();
    assert_eq!(owner(), "root\n");
    host.apply().success();
    model("linux,model-two2");
    host.assert_converged();
}
