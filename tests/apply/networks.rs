//! Network interfaces: identity by name, addresses that stay, and the guest's order.

use crate::harness::applied::{applied, edit_domain, perform, plan_on, spec, vm};
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
    let planned = plan_on(spec, host);
    let host = perform(host, &planned);
    let again = plan_on(spec, &host);
    assert_eq!(
        (again.steps.len(), again.refusals.len()),
        (0, 0),
        "{}",
        text(&again)
    );
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
            "{ name: b, bridge: br0 }, { name: c, network: farm }",
            "network a bridge br0 -> nothing\n",
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
    let (changed, _) = apply(&host, &on_pci("{ bridge: br0 }"));
    assert_eq!(changed, "");
}
