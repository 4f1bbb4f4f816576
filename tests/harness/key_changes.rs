//! The keys of a VM's devices and machine, and a change of each: applied to a real VM by `tests/e2e/key_changes.rs`, shown
//! without a host by `tests/diff.rs`.

use armfleet::fleet::explain::{Topic, topics};

/// A key, a part of the fleet file that has it, what comes instead while the VM is off, and what then while it runs.
pub(crate) struct Change {
    pub(crate) key: &'static str,
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
    pub(crate) back: &'static str,
}

/// A change, and back.
pub(crate) const fn change(key: &'static str, before: &'static str, after: &'static str) -> Change {
    Change {
        key,
        before,
        after,
        back: before,
    }
}

pub(crate) const CHANGES: &[Change] = &[
    change("memory", "memory: 512MiB", "memory: 384MiB"),
    change("vcpus", "vcpus: 1", "vcpus: 2"),
    change("machine", "machine: virt-7.2", "machine: virt-7.1"),
    change("cpu.model", "model: cortex-a15", "model: cortex-a7"),
    change("cpu.pin", "pin: 0-1", "pin: 1"),
    change("rng", "rng: true", "rng: false"),
    change("agent", "agent: true", "agent: false"),
    change(
        "console.log",
        "log: /var/log/armhf-vm.log",
        "log: /var/log/second.log",
    ),
    // A disk does not shrink.
    Change {
        key: "disks.size",
        before: "size: 64MiB",
        after: "size: 72MiB",
        back: "size: 80MiB",
    },
    change("disks.serial", "serial: one", "serial: two"),
    change(
        "disks.readonly",
        "serial: two, readonly: false",
        "serial: two, readonly: true",
    ),
    change("disks.cache", "cache: writeback", "cache: none"),
    change("disks.io", "io: threads", "io: io_uring"),
    change("disks.discard", "discard: ignore", "discard: unmap"),
    change("disks.target", "target: vdg", "target: vdh"),
    change("disks.name", "name: third", "name: drei"),
    change("disks.path", "path: /srv/third.img", "path: /srv/other.img"),
    change(
        "disks.format",
        "path: /srv/fourth.img",
        "format: qcow2, path: /srv/fourth.new",
    ),
    change(
        "networks.bridge",
        "bridge: br0, name: lan",
        "bridge: br1, name: lan",
    ),
    change(
        "networks.mac",
        "mac: 52:fe:00:00:00:01",
        "mac: 52:fe:00:00:00:09",
    ),
    change("networks.name", "name: first", "name: prime"),
    change("networks.network", "network: farm", "network: lab"),
    change("networks.direct", "direct: va", "direct: vb"),
    change(
        "networks.user",
        "user: true, name: out",
        "bridge: br0, name: out",
    ),
    change("shares.tag", "tag: cache", "tag: kache"),
    change("shares.path", "path: /srv/one", "path: /srv/two"),
    change("shares.access", "access: mapped", "access: squash"),
    change(
        "shares.readonly",
        "readonly: false, tag: ro",
        "readonly: true, tag: ro",
    ),
    change(
        "cloud_init.user_data",
        "user_data: user-data",
        "user_data: user-data-2",
    ),
    change(
        "cloud_init.meta_data",
        "meta_data: meta-data",
        "meta_data: meta-data-2",
    ),
    change(
        "cloud_init.network_config",
        "network_config: network",
        "network_config: network-2",
    ),
];

/// Keys of a VM's devices and machine that are changed elsewhere, and in which file of `tests`.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("arch", "e2e/userland.rs"),
    ("userland", "e2e/userland.rs"),
    // It is refused.
    ("transport", "apply/order.rs"),
    // Its guest has a driver for another device only on PCI.
    ("networks.model", "e2e/on_pci.rs"),
    ("boot.dtb", "e2e/devices.rs"),
    ("disks.fresh", "e2e/scratch.rs"),
    ("disks.from", "e2e/overlays.rs"),
    ("disks.from.path", "e2e/overlays.rs"),
    // It is checked while a disk is made.
    ("disks.from.sha256", "e2e/overlays.rs"),
    ("disks.backing", "e2e/overlays.rs"),
    // The image below a disk that is there does not change.
    ("disks.backing.path", "apply/bases.rs"),
    ("disks.backing.format", "apply/bases.rs"),
    // These cannot run on the test machine: libvirt and QEMU are asked about their definition.
    ("accel", "e2e/kvm.rs"),
    ("memory_backing", "e2e/memory.rs"),
    ("networks.vlan", "e2e/vlan.rs"),
];

/// Keys that are nothing of a VM's devices or machine.
pub(crate) const OTHERS: &[&str] = &[
    "host",
    "profile",
    "state",
    "autostart",
    "stop_timeout",
    "restart",
    "protect",
    "on_guest_reboot",
    "adopt",
    "adopt.from",
];
pub(crate) const OTHER_MAPS: &[&str] = &["boot", "install"];
/// Maps and lists, whose keys count.
pub(crate) const MAPS: &[&str] = &[
    "cpu",
    "console",
    "disks",
    "networks",
    "shares",
    "cloud_init",
];

/// The recipe's VM with every key of the table.
pub(crate) fn fleet(recipe: &str, off: bool) -> String {
    let devices = "    memory: 512MiB\n    vcpus: 1\n    machine: virt-7.2\n    cpu: { model: cortex-a15, pin: 0-1 }\n    rng: true\n    \
                   agent: true\n    networks:\n      - { bridge: br0, name: lan }\n      - { network: farm, name: first, mac: 52:fe:00:00:00:01 }\n      \
                   - { direct: va, name: veth }\n      - { user: true, name: out }\n    shares:\n      \
                   - { tag: cache, path: /srv/one, access: mapped }\n      - { readonly: false, tag: ro, path: /srv/ro }\n    \
                   cloud_init: { user_data: user-data, meta_data: meta-data, network_config: network }\n";
    let disks = "[{ path: \"/srv/{name}.img\", size: 64MiB }, { path: /srv/data.img, size: 32MiB, serial: one, readonly: false, cache: writeback, io: threads, \
                 discard: ignore }, { path: /srv/third.img, name: third, size: 16MiB, target: vdg }, { path: /srv/fourth.img, name: fourth, size: 8MiB }]";
    let text = recipe
        .replace("    memory: 512MiB\n", devices)
        .replace("[{ path: \"/srv/{name}.img\", size: 64MiB }]", disks);
    let state = if off { "stopped" } else { "running" };
    format!("{text}    state: {state}\n")
}

/// The keys of a VM, as `explain` names them.
pub(crate) fn vm_keys() -> Vec<String> {
    const OF_FILE: [&str; 8] = [
        "fleet", "hosts", "vars", "secrets", "defaults", "profiles", "vms", "include",
    ];
    let keys = topics().into_iter().filter_map(|topic| match topic {
        Topic::Key(topic) => topic.about.map(|_| topic.key),
        Topic::Problem(_) | Topic::HostCheck(_) => None,
    });
    let is_of_vm = |key: &String| {
        let outer = key.split('.').next().unwrap_or_default();
        !OF_FILE.contains(&outer)
    };
    keys.filter(is_of_vm).collect()
}
