//! Disks and interfaces whose list changes, on virtio-mmio and on PCI: what the guest counts first then, that nothing of the
//! others changes, and what is refused.

use crate::harness::applied::{empty_host, perform, plan_on, settle, spec};
use crate::harness::text;
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;
use armfleet::plan::Plan;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Disk,
    Interface,
}

const KINDS: [Kind; 2] = [Kind::Disk, Kind::Interface];
const TRANSPORTS: [(&str, &str); 2] = [
    ("mmio", "virtio-mmio has no hotplug"),
    ("pci", "armfleet changes devices in the definition only"),
];
const THREE: &str = "a b c";

/// A change of the list `a b c`, where `z=a` is the thing `a` under the name `z`; and in which order the guest counts the
/// things then, on either transport. What is refused has no order.
struct Change {
    what: &'static str,
    list: &'static str,
    disks: Option<&'static str>,
    interfaces: &'static str,
}

const CHANGES: &[Change] = &[
    Change {
        what: "the first goes",
        list: "b c",
        disks: None,
        interfaces: "b c",
    },
    Change {
        what: "one goes from between the others",
        list: "a c",
        disks: Some("a c"),
        interfaces: "a c",
    },
    Change {
        what: "a new one in front",
        list: "n a b c",
        disks: Some("a b c n"),
        interfaces: "a b c n",
    },
    Change {
        what: "another order",
        list: "c a b",
        disks: Some("a b c"),
        interfaces: "a b c",
    },
    Change {
        what: "another name",
        list: "z=a b c",
        disks: Some("a b c"),
        interfaces: "a b c",
    },
    Change {
        what: "all names, and another order",
        list: "x=c y=b z=a",
        disks: Some("a b c"),
        interfaces: "a b c",
    },
    Change {
        what: "another one instead of the first",
        list: "n b c",
        disks: Some("n b c"),
        interfaces: "b c n",
    },
    Change {
        what: "an empty one instead of the first",
        list: "e b c",
        disks: None,
        interfaces: "b c e",
    },
    Change {
        what: "the first is another one under the same name",
        list: "a=n b c",
        disks: Some("n b c"),
        interfaces: "n b c",
    },
    Change {
        what: "another one instead of the second",
        list: "a n c",
        disks: Some("a n c"),
        interfaces: "a c n",
    },
    Change {
        what: "all at once",
        list: "n z=c a",
        disks: Some("a n c"),
        interfaces: "a c n",
    },
];

fn entries(kind: Kind, list: &str) -> String {
    let entries = list.split_whitespace().map(|entry| {
        let (name, thing) = entry.split_once('=').unwrap_or((entry, entry));
        match kind {
            Kind::Disk => format!("{{ name: {name}, path: /srv/{thing}, size: 1GiB }}"),
            Kind::Interface => format!("{{ name: {name}, bridge: {thing} }}"),
        }
    });
    entries.collect::<Vec<_>>().join(", ")
}

fn fleet(kind: Kind, transport: &str, list: &str) -> Spec {
    let (disks, networks) = match kind {
        Kind::Disk => (list, "lan"),
        Kind::Interface => ("root", list),
    };
    let (disks, networks) = (
        entries(Kind::Disk, disks),
        entries(Kind::Interface, networks),
    );
    spec(&format!(
        "fleet: f\nvms:\n  a: {{ arch: armhf, memory: 1GiB, transport: {transport}, disks: [{disks}], networks: [{networks}], on_guest_reboot: stop, \
         boot: {{ cmdline: root=/dev/vda1, seed: {{ kernel: /srv/seed/vmlinuz, initrd: /srv/seed/initrd.img }} }} }}\n"
    ))
}

fn definition(host: &Memory) -> String {
    host.dump_secure(&host.uuid_of("a").unwrap()).unwrap()
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn devices<'a, 'input>(document: &'a Document<'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    let devices = child(document.root_element(), "devices").unwrap();
    devices.children().filter(Node::is_element)
}

fn bus(device: Node<'_, '_>) -> Option<u32> {
    let bus = child(device, "address")?.attribute("bus")?;
    u32::from_str_radix(bus.strip_prefix("0x")?, 16).ok()
}

fn ports(definition: &str) -> BTreeSet<u32> {
    let document = Document::parse(definition).unwrap();
    let ports =
        devices(&document).filter(|device| device.attribute("model") == Some("pcie-root-port"));
    ports
        .map(|port| port.attribute("index").unwrap().parse().unwrap())
        .collect()
}

/// The first device on PCI that has no bus, in libvirt's order of kinds: where its address is.
fn unplaced(definition: &str) -> Option<(Range<usize>, BTreeSet<u32>)> {
    let document = Document::parse(definition).unwrap();
    let used = devices(&document).filter_map(bus).collect();
    let addresses = ["filesystem", "interface", "disk", "rng"].map(|kind| {
        let mut of_kind = devices(&document).filter(|device| device.has_tag_name(kind));
        of_kind.find_map(|device| {
            let address = child(device, "address")?;
            let is_unplaced = address.attribute("type") == Some("pci") && bus(device).is_none();
            is_unplaced.then(|| address.range())
        })
    });
    Some((addresses.into_iter().flatten().next()?, used))
}

/// The definition with what libvirt adds: each device on PCI gets the first root port that is free, or one that is made
/// for it; and one port is left.
fn placed(definition: &str) -> String {
    let mut text = definition.to_owned();
    let mut made = ports(&text);
    while let Some((address, used)) = unplaced(&text) {
        let free = made.difference(&used).next().copied();
        let bus = free.unwrap_or_else(|| made.last().map_or(1, |last| last + 1));
        made.insert(bus);
        let placed = format!(
            "<address type='pci' domain='0x0000' bus='{bus:#04x}' slot='0x00' function='0x0'/>"
        );
        text.replace_range(address, &placed);
    }
    let before = ports(&text);
    if made.len() > before.len() {
        made.insert(made.last().unwrap() + 1);
    }
    let new = made
        .difference(&before)
        .fold(String::new(), |mut new, port| {
            write!(
                new,
                "<controller type='pci' index='{port}' model='pcie-root-port'/>"
            )
            .unwrap();
            new
        });
    text.replace("<devices>", &format!("<devices>{new}"))
}

/// The host after a plan was performed, and libvirt has placed the devices.
fn on_libvirt(host: &Memory) {
    let placed = placed(&definition(host));
    host.edit_domain("a", |_| placed).unwrap();
}

/// The things of a kind, in the order in which the guest counts them, each with its element.
fn guest_order(kind: Kind, definition: &str) -> Vec<(String, String)> {
    let document = Document::parse(definition).unwrap();
    let (element, attribute) = match kind {
        Kind::Disk => ("disk", "file"),
        Kind::Interface => ("interface", "bridge"),
    };
    let mut things: Vec<_> = devices(&document)
        .filter(|device| device.has_tag_name(element))
        .collect();
    let target = |disk: &Node<'_, '_>| {
        child(*disk, "target")
            .unwrap()
            .attribute("dev")
            .unwrap()
            .to_owned()
    };
    let on_mmio = things.iter().all(|thing| bus(*thing).is_none());
    // libvirt sorts disks by their targets.
    if kind == Kind::Disk {
        things.sort_by_key(target);
    }
    match on_mmio {
        true => things.reverse(),
        false => things.sort_by_key(|thing| bus(*thing)),
    }
    let named = things.into_iter().map(|thing| {
        let source = child(thing, "source")
            .unwrap()
            .attribute(attribute)
            .unwrap();
        let name = source.trim_start_matches("/srv/").to_owned();
        (name, definition[thing.range()].to_owned())
    });
    named.collect()
}

fn names(order: &[(String, String)]) -> String {
    let names = order.iter().map(|(name, _)| name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

fn waits(plan: &Plan) -> BTreeSet<&str> {
    let changes = plan.steps.iter().flat_map(|step| &step.changes);
    changes
        .filter_map(|change| change.waits.as_deref())
        .collect()
}

fn before(kind: Kind, transport: &str) -> Memory {
    let host = empty_host();
    for bridge in ["a", "b", "c", "n", "e", "lan"] {
        host.put_network_device(bridge, true);
    }
    host.put_file("/srv/n", "a disk of before").unwrap();
    let (_, host) = settle(&host, &fleet(kind, transport, THREE));
    on_libvirt(&host);
    assert_eq!(names(&guest_order(kind, &definition(&host))), THREE);
    host
}

#[test]
fn the_first_stays_the_first_or_the_step_is_refused_and_nobody_else_is_touched() {
    for (transport, reason) in TRANSPORTS {
        for kind in KINDS {
            let host = before(kind, transport);
            let was = guest_order(kind, &definition(&host));
            for change in CHANGES {
                let told = format!("{kind:?} on {transport}: {}", change.what);
                let wanted = fleet(kind, transport, change.list);
                let expected = match kind {
                    Kind::Disk => change.disks,
                    Kind::Interface => Some(change.interfaces),
                };
                let Some(expected) = expected else {
                    let plan = plan_on(&wanted, &host);
                    assert!(!plan.refusals.is_empty(), "{told}: {}", text(&plan));
                    let after = perform(&host, &plan);
                    assert_eq!(definition(&after), definition(&host), "{told}");
                    continue;
                };
                let (plan, after) = settle(&host, &wanted);
                assert!(
                    waits(&plan).iter().all(|why| *why == reason),
                    "{told}: {:?}",
                    waits(&plan)
                );
                on_libvirt(&after);
                let now = guest_order(kind, &definition(&after));
                assert_eq!(names(&now), expected, "{told}: {}", definition(&after));
                for (name, element) in &was {
                    let kept = now.iter().find(|(kept, _)| kept == name);
                    assert!(
                        kept.is_none_or(|(_, kept)| kept == element),
                        "{told}: {kept:?}"
                    );
                }
                let (plan, _) = settle(&after, &wanted);
                assert!(plan.steps.is_empty(), "{told}: {}", text(&plan));
            }
        }
    }
}

#[test]
fn a_vm_does_not_move_to_another_transport() {
    for ((transport, _), (other, _)) in [
        (TRANSPORTS[0], TRANSPORTS[1]),
        (TRANSPORTS[1], TRANSPORTS[0]),
    ] {
        let host = before(Kind::Disk, transport);
        let plan = plan_on(&fleet(Kind::Disk, other, THREE), &host);
        let refused = text(&plan);
        assert!(
            refused.contains("moving a device between PCI and virtio-mmio renames it in the guest"),
            "{refused}"
        );
        let after = perform(&host, &plan);
        assert_eq!(definition(&after), definition(&host));
    }
}
