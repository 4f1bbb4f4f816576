//! The keys of a VM on PCI: all of them are changed while it is off, and back while it runs. What its guest sees at once, and
//! after its next boot.

use crate::arm64::{VM, with_seed};
use crate::key_changes::{planned, prepare, seen};
use crate::key_table::{Change, change};

const CHANGES: &[Change] = &[
    change("memory", "memory: 512MiB", "memory: 640MiB"),
    change("vcpus", "vcpus: 1", "vcpus: 2"),
    change("machine", "machine: virt-7.2", "machine: virt-7.1"),
    change("cpu.model", "model: cortex-a57", "model: cortex-a53"),
    change("cpu.pin", "pin: 0-1", "pin: 1"),
    change("rng", "rng: true", "rng: false"),
    change("agent", "agent: true", "agent: false"),
    change(
        "console.log",
        "log: /var/log/one.log",
        "log: /var/log/two.log",
    ),
    Change {
        key: "disks.size",
        before: "size: 64MiB",
        after: "size: 72MiB",
        back: "size: 80MiB",
    },
    change("disks.serial", "serial: one", "serial: two"),
    change(
        "disks.readonly",
        "readonly: false, cache",
        "readonly: true, cache",
    ),
    change("disks.cache", "cache: writeback", "cache: none"),
    change("disks.io", "io: threads", "io: io_uring"),
    change("disks.discard", "discard: ignore", "discard: unmap"),
    change("disks.target", "target: vdg", "target: vdm"),
    change("disks.name", "name: fourth", "name: vier"),
    change("disks.path", "path: /srv/fifth.img", "path: /srv/other.img"),
    change(
        "disks.format",
        "path: /srv/sixth.img",
        "format: qcow2, path: /srv/sixth.new",
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
    change("networks.name", "name: second", "name: zweite"),
    change("networks.network", "network: farm", "network: lab"),
    change("networks.direct", "direct: va", "direct: vb"),
    change(
        "networks.user",
        "user: true, name: out",
        "bridge: br0, name: out",
    ),
    // The guest has no driver for it, and QEMU has the device.
    change("networks.model", "model: virtio", "model: e1000e"),
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
];

/// The VM with every key of the table, off or running.
fn fleet(state: &str) -> String {
    let keys = "    vcpus: 1
    machine: virt-7.2
    cpu: { model: cortex-a57, pin: 0-1 }
    rng: true
    agent: true
    console: { log: /var/log/one.log }
    networks:
      - { bridge: br0, name: lan }
      - { network: farm, name: first, mac: 52:fe:00:00:00:01 }
      - { bridge: br1, name: second }
      - { direct: va, name: veth }
      - { user: true, name: out }
      - { user: true, name: card, model: virtio }
    shares:
      - { tag: cache, path: /srv/one, access: mapped }
      - { readonly: false, tag: ro, path: /srv/ro }
    cloud_init: { user_data: user-data, meta_data: meta-data, network_config: network }
";
    let disks = "size: 64MiB }, { path: /srv/data.img, size: 32MiB, serial: one, readonly: false, cache: writeback, io: threads, \
                 discard: ignore }, { path: /srv/third.img, size: 16MiB, target: vdg }, { path: /srv/fourth.img, name: fourth, size: 8MiB }, \
                 { path: /srv/fifth.img, name: fifth, size: 4MiB }, { path: /srv/sixth.img, name: sixth, size: 2MiB }]";
    crate::arm64::fleet(&format!("{keys}    state: {state}\n")).replace("size: 64MiB }]", disks)
}

/// A fleet file after all changes.
fn changed(text: &str, parts: impl Fn(&Change) -> [&'static str; 2]) -> String {
    CHANGES.iter().fold(text.to_owned(), |text, change| {
        let [before, after] = parts(change);
        assert_eq!(text.matches(before).count(), 1, "{before}: {text}");
        text.replace(before, after)
    })
}

#[test]
fn every_key_of_a_vm_on_pci_changes_what_it_says_and_when() {
    let host = with_seed();
    prepare(&host);
    host.write_fleet(&fleet("stopped"));
    host.apply().success();

    let text = changed(&fleet("stopped"), |change| [change.before, change.after]);
    host.write_fleet(&text);
    let off = planned(&host);
    host.apply().success();
    host.assert_converged();
    let text = text.replace("state: stopped", "state: running");
    host.write_fleet(&text);
    host.apply().success();
    let first = seen(&host, VM);

    host.write_fleet(&changed(&text, |change| [change.after, change.back]));
    let running = planned(&host);
    host.apply().success();
    assert!(!host.planned(0).contains("  ~ "), "{}", host.planned(0));
    let grown = first.replace("disk vda 75497472 ", "disk vda 83886080 ");
    assert_ne!(grown, first);
    assert_eq!(
        seen(&host, VM),
        grown,
        "a running guest keeps what it has, and a disk grows at once"
    );
    host.shut_down_vm(VM);
    host.apply().success();
    host.assert_converged();
    let again = seen(&host, VM);
    let told = format!(
        "while it is off\n{off}\nits guest then\n{first}\nwhile it runs\n{running}\nits guest after the next boot\n{again}"
    );
    snapbox::assert_data_eq!(told, snapbox::file!["on_pci.txt"].raw());
}
