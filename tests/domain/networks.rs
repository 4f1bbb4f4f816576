//! Network interfaces: the order in which a guest counts them, on virtio-mmio and on PCI.

use super::*;

fn with_networks(networks: &str, more: &str) -> Vm {
    let file = format!(
        "{{ fleet: obs, vms: {{ armhf-vm: {{ arch: armhf, memory: 512MiB, boot: {{ cmdline: root=LABEL=root }}, networks: [{networks}], {more} }} }} }}"
    );
    let spec = read_fleet(file.as_bytes(), "fleet.yaml", "/").unwrap();
    spec.vms.into_values().next().unwrap()
}

/// A domain as libvirt keeps it on PCI: interfaces on these buses, and root ports.
fn on_pci(vm: &Vm, buses: &[u32], ports: std::ops::RangeInclusive<u32>) -> (String, Record) {
    let (mut text, applied) = created(vm);
    for bus in buses {
        let interface = text
            .find("<address type='pci'/>\n    </interface>")
            .unwrap();
        let address = format!(
            "<address type='pci' domain='0x0000' bus='{bus:#04x}' slot='0x00' function='0x0'/>"
        );
        text.replace_range(
            interface..interface + "<address type='pci'/>".len(),
            &address,
        );
    }
    let ports: String = ports
        .map(|port| format!("<controller type='pci' index='{port}' model='pcie-root-port'/>"))
        .collect();
    let text = text.replace("<devices>", &format!("<devices>{ports}"));
    (text, record(vm, applied))
}

/// The edits of addresses, and the names that change.
fn becomes(vm: &Vm, (text, record): &(String, Record)) -> (Vec<String>, Vec<String>) {
    let comparison = if_first_may_change(vm, record, text);
    let edited = apply_edits(text, &comparison.edits).unwrap();
    let document = parse(&edited).unwrap();
    let interfaces = document.descendants();
    let interfaces = interfaces.filter(|node| node.has_tag_name("interface"));
    let buses = interfaces.map(|interface| {
        let child = |name| interface.children().find(|node| node.has_tag_name(name));
        let source = child("source").unwrap().attribute("bridge").unwrap();
        let bus = child("address").unwrap().attribute("bus");
        format!("{source} {}", bus.unwrap_or("free"))
    });
    let renamed = comparison.renumbered.iter();
    let renamed = renamed.map(|one| format!("{} {} {}", one.source, one.before, one.after));
    (buses.collect(), renamed.collect())
}

const THREE: &str = "{ bridge: br0 }, { bridge: br1 }, { bridge: br2 }";

#[test]
fn on_mmio_nobody_is_renamed_by_one_that_comes_and_those_behind_by_one_that_goes() {
    let vm = with_networks(THREE, "");
    let (text, applied) = created(&vm);
    let before = (text, record(&vm, applied));
    for (list, renamed) in [
        (
            "{ bridge: new }, { bridge: br0 }, { bridge: br1 }, { bridge: br2 }",
            vec![],
        ),
        ("{ bridge: br2 }, { bridge: br0 }, { bridge: br1 }", vec![]),
        ("{ bridge: br0 }, { bridge: br1 }", vec![]),
        (
            "{ bridge: br1 }, { bridge: br2 }",
            vec!["bridge br1 eth1 eth0", "bridge br2 eth2 eth1"],
        ),
        (
            "{ bridge: br1 }, { bridge: br2 }, { bridge: new }",
            vec!["bridge br1 eth1 eth0", "bridge br2 eth2 eth1"],
        ),
        // One instead of another has its place.
        ("{ bridge: new }, { bridge: br1 }, { bridge: br2 }", vec![]),
        ("{ bridge: br0 }, { bridge: new }, { bridge: br2 }", vec![]),
        (
            "{ bridge: br0 }, { bridge: new }, { bridge: other }",
            vec![],
        ),
    ] {
        let (_, names) = becomes(&with_networks(list, ""), &before);
        assert_eq!(
            names.iter().collect::<std::collections::BTreeSet<_>>(),
            renamed
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
                .iter()
                .collect(),
            "{list}"
        );
    }
}

#[test]
fn the_first_is_another_one_only_where_the_user_says_so() {
    let vm = with_networks(THREE, "");
    let (text, applied) = created(&vm);
    let record = record(&vm, applied);
    let mut without = with_networks("{ bridge: br1 }, { bridge: br2 }", "");
    without.memory = "1GiB".parse().unwrap();
    let comparison = compared(&without, Some(&record), &text);
    let held: Vec<_> = comparison
        .held
        .iter()
        .map(|held| (held.why.as_str(), held.remedy.as_str()))
        .collect();
    assert_eq!(
        held,
        [(
            "its guest's eth0 would be bridge br1 (52:2c:ae:62:06:9a) instead of bridge br0 (52:ba:4c:a9:56:8a)",
            "keep an entry with `name: br0` in `networks` (its source may change), or armfleet apply --allow-replace armhf-vm once its guest is ready for \
             another eth0"
        )]
    );
    assert_eq!(comparison.applied.devices, record.applied.devices);
    // The rest is done.
    let after = apply_edits(&text, &comparison.edits).unwrap();
    assert_eq!(after, text.replace(">524288<", ">1048576<"));
    // None at all is nobody else's name.
    let none = with_networks("", "");
    assert_eq!(compared(&none, Some(&record), &text).held, vec![]);
}

/// An interface by hand that its guest has before those of the file: it stays the first.
#[test]
fn one_by_hand_is_the_first_as_well() {
    let vm = with_networks(THREE, "");
    let (text, applied) = created(&vm);
    let record = record(&vm, applied);
    let by_hand = "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br9'/><address type='virtio-mmio'/></interface>";
    let text = text.replace("</devices>", &format!("{by_hand}</devices>"));
    let without = with_networks("{ bridge: br1 }, { bridge: br2 }", "");
    let comparison = compared(&without, Some(&record), &text);
    assert_eq!(comparison.held, vec![]);
    assert_eq!(comparison.renumbered.len(), 2);
}

#[test]
fn on_pci_one_instead_of_another_has_its_address() {
    let pci = "transport: pci";
    let before = on_pci(&with_networks(THREE, pci), &[5, 6, 7], 1..=7);
    let other = with_networks("{ bridge: br0 }, { bridge: new }, { bridge: br2 }", pci);
    let (buses, names) = becomes(&other, &before);
    assert_eq!(buses, ["br0 0x05", "new 0x06", "br2 0x07"]);
    assert_eq!(names, Vec::<String>::new());
}

#[test]
fn on_pci_a_new_one_is_behind_the_others_whatever_bus_is_free() {
    let pci = "transport: pci";
    let vm = with_networks(THREE, pci);
    let four = with_networks(&format!("{THREE}, {{ bridge: new }}"), pci);
    // The first free bus is behind them.
    let after = on_pci(&vm, &[2, 3, 4], 2..=5);
    let (buses, names) = becomes(&four, &after);
    assert_eq!(buses, ["br0 0x02", "br1 0x03", "br2 0x04", "new free"]);
    assert_eq!(names, Vec::<String>::new());
    // It is before them, or there is none.
    let before = on_pci(&vm, &[5, 6, 7], 1..=7);
    let (buses, names) = becomes(&four, &before);
    assert_eq!(buses, ["br0 0x05", "br1 0x06", "br2 0x07", "new 0x08"]);
    assert_eq!(names, Vec::<String>::new());
    let two = with_networks(&format!("{{ bridge: x }}, {THREE}, {{ bridge: y }}"), pci);
    let (buses, _) = becomes(&two, &before);
    assert_eq!(
        buses,
        ["br0 0x05", "br1 0x06", "br2 0x07", "x 0x08", "y 0x09"]
    );
}
