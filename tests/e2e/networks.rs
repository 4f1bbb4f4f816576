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

    // The first one goes only where the user says so, and those behind it move up then.
    host.write_fleet(&networks(&[new, user, farm]));
    let defined = host.definition(VM);
    let refused = host.planned(3);
    for told in [
        "its guest's eth0 would be network farm (52:0f:1a:85:cc:a8) instead of network farm (52:6a:82:3d:7c:95)\n",
        "-> keep an entry with `name: lan` in `networks` (its source may change), or armfleet apply --allow-replace armhf-vm once",
    ] {
        assert!(refused.contains(told), "{refused}");
    }
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(host.definition(VM), defined);
    let allowed = ["--allow-replace", VM];
    let planned = host.armfleet(&["plan", allowed[0], allowed[1]]).success();
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
    host.armfleet(&["apply", "--auto-approve", allowed[0], allowed[1]])
        .success();
    host.assert_converged();
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
    let other_first = [
        "apply",
        "--auto-approve",
        "--allow-replace",
        crate::arm64::VM,
    ];
    host.armfleet(&other_first).success();
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

    // A bus before that of its root is free, and libvirt would put a new disk there.
    let data = "size: 64MiB }, { path: /srv/data.img, size: 8MiB }]";
    host.write_fleet(&arm64(&[three, two, one, intel]).replace("size: 64MiB }]", data));
    host.apply().success();
    host.planned(0);
    let definition = host.definition(pci);
    let document = roxmltree::Document::parse(&definition).unwrap();
    let disks = document.descendants();
    let disks = disks.filter(|node| node.has_tag_name("disk"));
    let buses = disks.map(|disk| {
        let mut children = disk.children();
        let address = children.find(|node| node.has_tag_name("address"));
        address.unwrap().attribute("bus").unwrap()
    });
    let buses: Vec<_> = buses.collect();
    assert!(buses.len() == 2 && buses.is_sorted(), "{definition}");
}
