//! Network interfaces, as guests see them: their order and addresses, and what they reach.

use std::time::{Duration, Instant};

use crate::fleet::{VM, recipe};
use crate::host::{ARMFLEET, TestHost};

/// A host with a bridge, on which it has an address, and a network of libvirt's that gives out one address.
fn with_bridges(text: &str) -> TestHost {
    let host = TestHost::with_fleet(text);
    let bridge =
        "ip link add br0 type bridge && ip link set br0 up && ip addr add 192.0.2.1/24 dev br0";
    host.run("sh", &["-c", bridge]).success();
    let network = "<network><name>farm</name><bridge name='virbr7'/><ip address='192.0.2.129' netmask='255.255.255.128'>\
                   <dhcp><range start='192.0.2.140' end='192.0.2.140'/></dhcp></ip></network>";
    host.write("/run/test/farm.xml", network);
    host.virsh(&["net-define", "farm.xml"]).success();
    host
}

fn networks(list: &[&str]) -> String {
    recipe() + &format!("    networks: [{}]\n", list.join(", "))
}

/// The guest's interfaces, in its order.
fn macs(host: &TestHost, vm: &str) -> Vec<String> {
    let report = host.guest_say(vm, "report").success();
    let macs = report
        .lines()
        .filter_map(|line| line.strip_prefix("guest: mac "));
    macs.map(str::to_owned).collect()
}

#[test]
fn a_guest_counts_its_interfaces_as_the_list_does_and_reaches_the_host() {
    let (lan, farm, user) = (
        "{ name: lan, bridge: br0 }",
        "{ network: farm }",
        "{ user: true, mac: 52:fe:00:00:00:01 }",
    );
    let host = with_bridges(&networks(&[lan, farm, user]));
    let refused = host.planned(3);
    assert!(
        refused.contains("its network farm is on libvirt's network farm, which is not active [no-network]\n      -> virsh net-start farm\n"),
        "{refused}"
    );
    host.virsh(&["net-start", "farm"]).success();
    host.virsh(&["net-autostart", "farm"]).success();
    host.apply().success();
    host.assert_converged();
    let before = macs(&host, VM);
    let expected = [
        "eth0 52:6a:82:3d:7c:95",
        "eth1 52:0f:1a:85:cc:a8",
        "eth2 52:fe:00:00:00:01",
    ];
    assert_eq!(before, expected);
    host.guest(
        "run ip addr add 192.0.2.2/24 dev eth0 && ip link set eth0 up && ping -c 1 -W 5 192.0.2.1",
    );
    host.guest(
        "run ip addr add 10.0.2.15/24 dev eth2 && ip link set eth2 up && ping -c 1 -W 5 10.0.2.2",
    );
    host.guest("run ip link set eth1 up && udhcpc -i eth1 -n -q -s /bin/true");
    let status = host.armfleet(&["status"]).success();
    assert!(status.contains("\n  @ 192.0.2.140\n"), "{status}");

    // In front, in other places, and on something else: nobody gets another name.
    let elsewhere = "{ network: farm, name: lan }";
    let new = "{ name: new, bridge: br0, mac: 52:fe:00:00:00:02 }";
    host.write_fleet(&networks(&[new, user, farm, elsewhere]));
    let planned = host.planned(2);
    for line in [
        "network new + bridge br0 at next boot: virtio-mmio has no hotplug",
        "network lan source    bridge br0 -> network farm    at next boot: virtio-mmio has no hotplug",
    ] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&planned).contains(&words(line)), "{planned}");
    }
    host.apply().success();
    assert_eq!(macs(&host, VM), before);
    host.shut_down();
    host.apply().success();
    host.assert_converged();
    let after = macs(&host, VM);
    assert_eq!(after[..3], before);
    assert_eq!(after[3], "eth3 52:fe:00:00:00:02");
    host.guest(
        "run ip addr add 192.0.2.2/24 dev eth3 && ip link set eth3 up && ping -c 1 -W 5 192.0.2.1",
    );

    // The first one goes, and those behind it move up.
    host.write_fleet(&networks(&[new, user, farm]));
    let planned = host.planned(2);
    for renamed in [
        "eth1 (network farm) will be eth0",
        "eth2 (user) will be eth1",
        "eth3 (bridge br0) will be eth2",
    ] {
        assert!(
            planned.contains(&format!("its guest's {renamed}\n")),
            "{planned}"
        );
    }
}

#[test]
fn status_shows_the_address_that_an_agent_tells() {
    let host = with_bridges(&networks(&["{ bridge: br0 }"]));
    host.apply().success();
    let nothing = host.armfleet(&["status"]).success();
    assert!(!nothing.contains("  @ "), "{nothing}");
    host.guest("agent 192.0.2.9");
    await_agent(&host);
    let status = host.armfleet(&["status"]).success();
    assert!(status.contains("\n  @ 192.0.2.9\n"), "{status}");
    let json = host.armfleet(&["status", "--format", "json"]).success();
    assert!(json.contains("\"192.0.2.9\""), "{json}");
    // Whoever may only read is told nothing by agents, and everything else.
    let nobodys = host.run_as_nobody(ARMFLEET, &["status"]);
    assert!(!nobodys.stdout.contains("  @ "), "{nobodys:?}");
    assert!(
        nobodys
            .stdout
            .contains("  i its addresses are not known: Failed to connect"),
        "{nobodys:?}"
    );
}

#[test]
fn an_agent_that_never_tells_keeps_status_for_seconds() {
    let host = with_bridges(&networks(&["{ bridge: br0 }"]));
    host.apply().success();
    host.guest("agent silent");
    await_agent(&host);
    let began = Instant::now();
    let status = host.armfleet(&["status"]).success();
    let took = began.elapsed();
    let said = "i its addresses are not known: libvirt did not hear from the guest agent of armhf-vm within 7 s";
    assert!(status.contains(said), "{status}");
    assert!(took < Duration::from_secs(12), "{took:?}");
    // The next one is told that another waits, and a plan does not care.
    let status = host.armfleet(&["status"]).success();
    assert!(
        status.contains("i its addresses are not known: "),
        "{status}"
    );
    host.assert_converged();
}

/// Waits until libvirt has seen that the agent has opened its channel.
fn await_agent(host: &TestHost) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let connected = "//channel[@type='unix']/target[@state='connected']";
    let is_open = || {
        let seen = host.virsh(&["dumpxml", "--xpath", connected, VM]);
        seen.stdout.contains("connected")
    };
    while !is_open() {
        assert!(Instant::now() < deadline, "the agent opened no channel");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn arm64(list: &[&str]) -> String {
    crate::arm64::fleet(&format!("    networks: [{}]\n", list.join(", ")))
}

#[test]
fn on_pci_a_new_interface_comes_behind_the_others_though_a_bus_before_them_is_free() {
    let host = crate::arm64::with_seed();
    host.run(
        "sh",
        &["-c", "ip link add br0 type bridge && ip link set br0 up"],
    )
    .success();
    let (one, two) = (
        "{ name: one, bridge: br0, mac: 52:fe:00:00:00:01 }",
        "{ name: two, bridge: br0, mac: 52:fe:00:00:00:02 }",
    );
    let three = "{ name: three, bridge: br0, mac: 52:fe:00:00:00:03 }";
    // The guest has no driver for it, and QEMU has the device.
    let intel = "{ user: true, model: e1000e }";
    // Each is defined once, so that libvirt gives it its address.
    host.write_fleet(&(arm64(&[one, two]) + "    state: stopped\n"));
    host.apply().success();
    host.write_fleet(&(arm64(&[two]) + "    state: stopped\n"));
    host.apply().success();
    host.write_fleet(&(arm64(&[three, two, one, intel]) + "    state: stopped\n"));
    host.apply().success();
    host.write_fleet(&arm64(&[three, two, one, intel]));
    host.apply().success();
    host.assert_converged();
    let pci = crate::arm64::VM;
    let before = [
        "eth0 52:fe:00:00:00:02",
        "eth1 52:fe:00:00:00:03",
        "eth2 52:fe:00:00:00:01",
    ];
    assert_eq!(macs(&host, pci), before);

    // What changes while it runs is in the definition, and its guest sees it after the next boot.
    let three = three.replace("bridge: br0", "user: true");
    let intel = intel.replace("e1000e", "virtio");
    let text = arm64(&[&three, two, one, &intel]);
    // A bus before that of its root is free, and libvirt would put a new disk there.
    let data = "size: 64MiB }, { path: /srv/data.img, size: 8MiB }]";
    host.write_fleet(&text.replace("size: 64MiB }]", data));
    let refused = host.planned(3);
    let renamed = "/dev/vda would be /srv/data.img instead of /srv/arm64-vm.img";
    assert!(refused.contains(renamed), "{refused}");
    host.write_fleet(&text);
    let planned = host.planned(2);
    let words = planned.split_whitespace().collect::<Vec<_>>().join(" ");
    let waits = "at next boot: armfleet changes devices in the definition only";
    for line in [
        "network three source bridge br0 -> user",
        "network user model e1000e -> virtio",
    ] {
        assert!(words.contains(&format!("{line} {waits}")), "{planned}");
    }
    host.apply().success();
    assert_eq!(macs(&host, pci), before);
    host.shut_down_vm(pci);
    host.apply().success();
    host.assert_converged();
    let report = host.guest_say(pci, "report").success();
    host.assert_reported(&report, "disk vda 67108864 serial arm64-vm ro 0");
    let after = macs(&host, pci);
    assert_eq!(after[..3], before);
    assert_eq!(after.len(), 4, "{after:?}");
}
