//! Network interfaces: identity by name, addresses that stay, and the guest's order.

use crate::harness::applied::{edit_domain, empty_host, perform, plan_on, settle, spec, vm};
use crate::harness::text;
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;
use armfleet::plan::Plan;
use std::collections::BTreeSet;

fn fleet(networks: &str) -> Spec {
    let vm = vm("a", "1GiB", &format!(", networks: [{networks}]"));
    spec(&format!("fleet: f\nvms:\n{vm}"))
}

fn on_pci(networks: &str) -> Spec {
    let rest = format!(", networks: [{networks}], transport: pci");
    spec(&format!("fleet: f\nvms:\n{}", vm("a", "1GiB", &rest)))
}

/// A host that has what these files name.
fn prepared() -> Memory {
    let host = empty_host();
    host.put_network("farm", true, true);
    for name in ["br0", "br1", "br9"] {
        host.put_network_device(name, true);
    }
    host.put_network_device("eth0", false);
    host
}

/// A host on which a fleet has been applied.
fn applied(spec: &Spec) -> Memory {
    let host = prepared();
    let planned = plan_on(spec, &host);
    assert!(planned.refusals.is_empty(), "{}", text(&planned));
    perform(&host, &planned)
}

fn definition(host: &Memory) -> String {
    host.dump_secure(&host.uuid_of("a").unwrap()).unwrap()
}

/// The interfaces of the domain in their order there: source and address.
fn interfaces(host: &Memory) -> String {
    let definition = definition(host);
    let document = roxmltree::Document::parse(&definition).unwrap();
    let devices = document.descendants();
    let interfaces = devices.filter(|node| node.has_tag_name("interface"));
    let lines = interfaces.map(|interface| {
        let child = |name| interface.children().find(|node| node.has_tag_name(name));
        let source = child("source").and_then(|source| source.attributes().next());
        let mac = child("mac").unwrap().attribute("address").unwrap();
        format!("{} {mac}\n", source.map_or("user", |source| source.value()))
    });
    lines.collect()
}

/// The changes of the domain, a line each, and what is refused.
fn changes(plan: &Plan) -> String {
    let steps = plan
        .steps
        .iter()
        .filter(|step| step.id.to_string() == "domain/a");
    let changes = steps.flat_map(|step| step.changes.iter().map(|change| format!("{change}\n")));
    let refused = plan.refusals.iter();
    let refused = refused.map(|refusal| format!("! {} -> {}\n", refusal.why, refusal.remedy));
    changes.chain(refused).collect()
}

/// Applies another fleet file, after which nothing is left to do.
#[track_caller]
fn apply(host: &Memory, spec: &Spec) -> (String, Memory) {
    let (planned, host) = settle(host, spec);
    (changes(&planned), host)
}

#[test]
fn each_source_is_one_of_libvirts_types() {
    for (network, xml) in [
        (
            "network: farm",
            "type='network'>\n      <mac address='52:fe:00:00:00:01'/>\n      <source network='farm'/>",
        ),
        (
            "bridge: br0",
            "type='bridge'>\n      <mac address='52:fe:00:00:00:01'/>\n      <source bridge='br0'/>",
        ),
        (
            "direct: eth0",
            "type='direct'>\n      <mac address='52:fe:00:00:00:01'/>\n      <source dev='eth0' mode='bridge'/>",
        ),
        (
            "user: true",
            "type='user'>\n      <mac address='52:fe:00:00:00:01'/>",
        ),
    ] {
        let host = applied(&fleet(&format!("{{ {network}, mac: 52:FE:00:00:00:01 }}")));
        let definition = definition(&host);
        let expected = format!(
            "<interface {xml}\n      <model type='virtio'/>\n      <address type='virtio-mmio'/>"
        );
        assert!(definition.contains(&expected), "{definition}");
    }
}

#[test]
fn the_list_is_the_guests_order_which_is_reversed_on_mmio() {
    let networks = "{ bridge: br0 }, { bridge: br1 }, { user: true }";
    let host = applied(&fleet(networks));
    assert_eq!(
        interfaces(&host),
        "user 52:43:33:9a:49:c8\nbr1 52:0f:65:75:2a:e5\nbr0 52:af:da:ef:00:76\n"
    );
    let host = applied(&on_pci(networks));
    assert_eq!(
        interfaces(&host),
        "br0 52:af:da:ef:00:76\nbr1 52:0f:65:75:2a:e5\nuser 52:43:33:9a:49:c8\n"
    );
}

#[test]
fn changes_of_the_list_touch_nobody_else() {
    let three = "{ name: a, bridge: br0 }, { name: b, bridge: br0 }, { name: c, network: farm }";
    let host = applied(&fleet(three));
    let before = interfaces(&host);
    for (list, expected) in [
        // Other places, and other names of what is there, are nothing in the domain.
        (
            "{ name: c, network: farm }, { name: b, bridge: br0 }, { name: a, bridge: br0 }",
            "",
        ),
        (
            "{ name: a, bridge: br0 }, { name: b, bridge: br0 }, { network: farm }",
            "",
        ),
        (
            "{ name: a, bridge: br0 }, { name: c, network: farm }",
            "network b bridge br0 -> nothing\n",
        ),
        (
            "{ name: new, user: true }, { name: a, bridge: br0 }, { name: b, bridge: br0 }, { name: c, network: farm }",
            "network new nothing -> user\n",
        ),
        (
            "{ name: a, bridge: br1 }, { name: b, bridge: br0 }, { name: c, network: farm }",
            "network a source bridge br0 -> bridge br1\n",
        ),
        (
            "{ name: a, user: true }, { name: b, bridge: br0 }, { name: c, network: farm }",
            "network a source bridge br0 -> user\n",
        ),
        (
            "{ name: a, bridge: br0, mac: 52:fe:00:00:00:01 }, { name: b, bridge: br0 }, { name: c, network: farm }",
            "network a mac 52:b2:ed:44:c4:3f -> 52:fe:00:00:00:01\n",
        ),
        (
            "{ name: a, bridge: br0 }, { name: b, bridge: br0 }, { name: new, bridge: br1 }",
            "network new nothing -> bridge br1\nnetwork c network farm -> nothing\n",
        ),
        (
            "",
            "network a bridge br0 -> nothing\nnetwork b bridge br0 -> nothing\nnetwork c network farm -> nothing\n",
        ),
    ] {
        let (changed, changed_host) = apply(&host, &fleet(list));
        assert_eq!(changed, expected, "{list}");
        let now = interfaces(&changed_host);
        let kept = now.lines().filter(|line| before.contains(line)).count();
        let touched = changed
            .lines()
            .filter(|line| !line.contains("nothing ->"))
            .count();
        assert_eq!(kept + touched, 3, "{now}");
        // And back: each has the address that it had.
        let (_, back) = apply(&changed_host, &fleet(three));
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        match list.contains("52:fe:") {
            // One that the file gave stays.
            true => assert!(interfaces(&back).contains("52:fe:00:00:00:01")),
            false => assert_eq!(sorted(&interfaces(&back)), sorted(&before), "{list}"),
        }
    }
}

#[test]
fn what_others_put_into_an_interface_and_their_interfaces_stay() {
    let host = applied(&fleet("{ bridge: br0 }"));
    let theirs = "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br9'/></interface>";
    edit_domain(&host, "a", "<devices>", &format!("<devices>{theirs}"));
    edit_domain(
        &host,
        "a",
        "<model type='virtio'/>",
        "<bandwidth><inbound average='1000'/></bandwidth><model type='virtio'/>",
    );
    let before = definition(&host);
    let (changed, host) = apply(&host, &fleet("{ bridge: br0 }"));
    assert_eq!((changed.as_str(), definition(&host)), ("", before.clone()));
    let (changed, host) = apply(&host, &fleet("{ name: br0, bridge: br1 }"));
    assert_eq!(changed, "network br0 source bridge br0 -> bridge br1\n");
    let expected = before.replace("<source bridge='br0'/>", "<source bridge='br1'/>");
    assert_eq!(definition(&host), expected);
    // One of theirs that is on what the file names becomes its own.
    let (changed, host) = apply(&host, &fleet("{ name: br0, bridge: br1 }, { bridge: br9 }"));
    assert_eq!((changed.as_str(), definition(&host)), ("", expected));
}

#[test]
fn an_address_that_was_changed_by_hand_is_put_right() {
    let host = applied(&fleet("{ bridge: br0 }"));
    let before = interfaces(&host);
    edit_domain(&host, "a", "52:af:da:ef:00:76", "52:54:00:00:00:01");
    let (changed, host) = apply(&host, &fleet("{ bridge: br0 }"));
    assert_eq!(
        changed,
        "network br0 mac 52:54:00:00:00:01 -> 52:af:da:ef:00:76\n"
    );
    assert_eq!(interfaces(&host), before);
    // One that was taken out comes again.
    edit_domain(
        &host,
        "a",
        "<mac address='52:af:da:ef:00:76'/>\n      <source bridge='br0'/>",
        "<mac address='52:54:00:00:00:01'/><source bridge='br5'/>",
    );
    let (changed, host) = apply(&host, &fleet("{ bridge: br0 }"));
    assert_eq!(changed, "network br0 nothing -> bridge br0\n");
    assert_eq!(
        interfaces(&host),
        format!("{before}br5 52:54:00:00:00:01\n")
    );
}

#[test]
fn a_model_is_kept_until_the_file_names_one() {
    let host = applied(&on_pci("{ bridge: br0 }"));
    let by_hand = host.fork();
    edit_domain(
        &by_hand,
        "a",
        "<model type='virtio'/>",
        "<model type='e1000e'/>",
    );
    let (changed, _) = apply(&by_hand, &on_pci("{ bridge: br0 }"));
    assert_eq!(changed, "network br0 model e1000e -> virtio\n");
    let (changed, host) = apply(&host, &on_pci("{ bridge: br0, model: e1000e }"));
    assert_eq!(changed, "network br0 model virtio -> e1000e\n");
    let (changed, host) = apply(&host, &on_pci("{ bridge: br0 }"));
    assert_eq!(changed, "");
    // Also where somebody made another interface of it, and it comes again.
    edit_domain(&host, "a", "52:af:da:ef:00:76", "52:54:00:00:00:01");
    edit_domain(&host, "a", "type='bridge'", "type='ethernet'");
    let (changed, host) = apply(&host, &on_pci("{ bridge: br0 }"));
    assert_eq!(changed, "network br0 nothing -> bridge br0\n");
    assert_eq!(
        definition(&host).matches("<model type='e1000e'/>").count(),
        2
    );
}

/// Refusals, what is not known and notices of a plan for an interface.
fn said(host: &Memory, networks: &str) -> String {
    let planned = plan_on(&fleet(networks), host);
    let refused = planned.refusals.iter().map(|refusal| {
        let check = refusal
            .check
            .map_or(String::new(), |check| check.to_string());
        format!("! {} [{check}] -> {}\n", refusal.why, refusal.remedy)
    });
    let unknown = planned.unknowns.iter();
    let unknown = unknown.map(|unknown| format!("? {}\n", unknown.why));
    let notices = planned.notices.iter();
    let notices = notices.map(|notice| format!("i {}; {}\n", notice.what, notice.outlook));
    refused.chain(unknown).chain(notices).collect()
}

#[test]
fn an_interface_is_on_what_the_host_has() {
    let host = prepared();
    host.put_network("off", false, true);
    host.put_network("manual", true, false);
    for (network, expected) in [
        ("network: farm", ""),
        ("bridge: br0", ""),
        ("direct: eth0", ""),
        ("user: true", ""),
        (
            "network: nowhere",
            "! its network nowhere is on libvirt's network nowhere, which is not defined [no-network] -> virsh net-list --all shows \
             those that are; virsh net-define makes one of a file\n",
        ),
        (
            "network: off",
            "! its network off is on libvirt's network off, which is not active [no-network] -> virsh net-start off\n",
        ),
        (
            "network: manual",
            "i its network manual is on libvirt's network manual, which does not start with the host, as the VM does; virsh \
             net-autostart manual\n",
        ),
        (
            "name: lan, bridge: br2",
            "! its network lan is on the bridge br2, which this host does not have [no-network] -> ip link add br2 type bridge && \
             ip link set br2 up, and so at every boot (/etc/network/interfaces)\n",
        ),
        (
            "name: lan, bridge: eth0",
            "! its network lan is on eth0, which is no bridge [no-network] -> name a bridge that has eth0 as its port, or direct: \
             eth0 to share it by macvtap\n",
        ),
        (
            "direct: eth9",
            "! its network eth9 is on the device eth9, which this host does not have [no-network] -> ip link shows those that are there; \
             make it, or correct the name\n",
        ),
    ] {
        assert_eq!(
            said(&host, &format!("{{ {network} }}")),
            expected,
            "{network}"
        );
    }
    host.put_openvswitch_network("switch");
    assert_eq!(said(&host, "{ network: switch, vlan: 42 }"), "");
    assert_eq!(
        said(&host, "{ network: farm, vlan: 42 }"),
        "! its network farm is on libvirt's network farm, which tags no frames: it is not on Open vSwitch [no-network] -> leave \
         `vlan` out, or virsh net-edit farm to put it on a bridge of Open vSwitch with <virtualport type='openvswitch'/>\n"
    );
    // All problems at once, and nothing is made.
    let planned = plan_on(&fleet("{ network: nowhere }, { bridge: br2 }"), &host);
    assert_eq!(planned.refusals.len(), 2);
    assert!(
        !planned.steps.iter().any(|step| step.vm.is_some()),
        "{}",
        text(&planned)
    );
}

#[test]
fn a_vm_that_runs_is_left_where_it_is() {
    let host = applied(&fleet("{ network: farm }"));
    host.put_network("farm", false, true);
    assert_eq!(
        said(&host, "{ network: farm }"),
        "i its network farm is on libvirt's network farm, which is not active; it would not start; virsh \
         net-start farm\n"
    );
    let off = host.fork();
    off.destroy("a").unwrap();
    // Nor does one that is to stay off lose its other changes.
    let rest = ", state: stopped, vcpus: 2, networks: [{ network: farm }]";
    let stopped = spec(&format!("fleet: f\nvms:\n{}", vm("a", "1GiB", rest)));
    assert_eq!(changes(&plan_on(&stopped, &off)), "vcpus 1 -> 2\n");
    assert!(said(&off, "{ network: farm }").starts_with("! its network farm is on"));
}

#[test]
fn no_two_domains_have_one_address() {
    let other = |host: &Memory, mac: &str| {
        let xml = format!(
            "<domain type='qemu'><name>other</name><memory>1048576</memory><os><type arch='armv7l' machine='virt'>hvm</type></os>\
             <devices><interface type='bridge'><mac address='{mac}'/><source bridge='br0'/></interface></devices></domain>"
        );
        host.define(&xml).unwrap();
    };
    let host = prepared();
    other(&host, "52:FE:00:00:00:01");
    let given = "{ bridge: br0, mac: 52:fe:00:00:00:01 }";
    assert_eq!(
        said(&host, given),
        "! its network br0 has the MAC address 52:fe:00:00:00:01, and so has domain other [mac-in-use] -> give it another `mac`, \
         or virsh edit other\n"
    );
    // A copy of the VM that is there already.
    let host = applied(&fleet(given));
    other(&host, "52:fe:00:00:00:01");
    assert_eq!(
        said(&host, given),
        "i its network br0 has the MAC address 52:fe:00:00:00:01, and so has domain other; left alone; on one network both would \
         lose packets\n"
    );
}

/// Whoever frees an address goes first.
#[test]
fn an_address_passes_from_a_vm_that_leaves_to_another() {
    let given = |name: &str| {
        vm(
            name,
            "1GiB",
            ", networks: [{ bridge: br0, mac: '52:fe:00:00:00:01' }]",
        )
    };
    let others = ["c", "d"].map(|name| vm(name, "1GiB", "")).concat();
    let first = spec(&format!("fleet: f\nvms:\n{}{others}", given("a")));
    let host = applied(&first);
    let second = spec(&format!("fleet: f\nvms:\n{}{others}", given("b")));
    let planned = plan_on(&second, &host);
    let ids: Vec<_> = planned
        .steps
        .iter()
        .map(|step| step.id.to_string())
        .collect();
    let place = |id: &str| {
        ids.iter()
            .position(|seen| seen == id)
            .unwrap_or_else(|| panic!("{id} in {ids:?}"))
    };
    assert!(place("undefine/a") < place("domain/b"), "{ids:?}");
}

#[test]
fn what_cannot_be_seen_is_not_known() {
    let host = prepared();
    host.stop_daemon();
    assert!(
        said(&host, "{ bridge: br0 }").starts_with("? "),
        "{}",
        said(&host, "{ bridge: br0 }")
    );
}

#[test]
fn a_vlan_comes_changes_and_goes() {
    let host = prepared();
    host.put_openvswitch_network("switch");
    let with = |vlan: &str| fleet(&format!("{{ network: switch{vlan} }}"));
    let host = perform(&host, &plan_on(&with(", vlan: 42"), &host));
    let tagged = "<vlan>\n        <tag id='42'/>\n      </vlan>";
    assert!(definition(&host).contains(tagged), "{}", definition(&host));
    let (changed, host) = apply(&host, &with(", vlan: 7"));
    assert_eq!(changed, "network switch vlan 42 -> 7\n");
    let (changed, host) = apply(&host, &with(""));
    assert_eq!(changed, "network switch vlan 7 -> nothing\n");
    assert!(!definition(&host).contains("vlan"), "{}", definition(&host));
    // One by hand stays.
    edit_domain(
        &host,
        "a",
        "<source network='switch'/>",
        "<source network='switch'/><vlan><tag id='9'/></vlan>",
    );
    let (changed, host) = apply(&host, &with(""));
    assert_eq!(changed, "");
    assert!(definition(&host).contains("<tag id='9'/>"));
    // One VLAN of several is not that alone.
    edit_domain(&host, "a", "<tag id='9'/>", "<tag id='9'/><tag id='10'/>");
    let refused = changes(&plan_on(&with(", vlan: 7"), &host));
    assert!(refused.contains("it is in several VLANs"), "{refused}");
    let (changed, _) = apply(&host, &with(""));
    assert_eq!(changed, "");
}

/// What armfleet put into an interface goes with its key, also where the entry gets another name at once.
#[test]
fn an_interface_with_another_name_is_still_known() {
    let host = prepared();
    host.put_openvswitch_network("switch");
    let tagged = fleet("{ name: a, network: switch, vlan: 42 }");
    let host = perform(&host, &plan_on(&tagged, &host));
    let (changed, now) = apply(&host, &fleet("{ name: b, network: switch, vlan: 42 }"));
    assert_eq!(changed, "");
    let (changed, now) = apply(&now, &fleet("{ name: c, network: switch }"));
    assert_eq!(changed, "network c vlan 42 -> nothing\n");
    assert_eq!(interfaces(&now), interfaces(&host));
}
