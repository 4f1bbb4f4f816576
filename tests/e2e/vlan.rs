//! VLANs, as libvirt keeps them. Open vSwitch itself is not there, so no guest is started.

use crate::fleet::{VM, stopped_recipe};
use crate::host::TestHost;

#[test]
fn what_libvirt_makes_of_a_vlan_is_no_difference() {
    is_no_difference_on("mmio");
}

#[test]
fn nor_is_it_one_on_pci() {
    is_no_difference_on("pci");
}

/// On PCI the guest's kernel, which is not started here, would find nothing, as a notice says.
fn converged(host: &TestHost) {
    let planned = host.planned(0);
    assert!(planned.ends_with("No changes.\n"), "{planned}");
}

fn is_no_difference_on(transport: &str) {
    let on = |network: &str| {
        let keys =
            format!("    transport: {transport}\n    networks: [{{ name: lan, {network} }}]\n");
        stopped_recipe() + &keys
    };
    let host = TestHost::with_fleet(&on("network: switch, vlan: 42"));
    for (name, port) in [
        ("plain", ""),
        ("switch", "<virtualport type='openvswitch'/>"),
    ] {
        let network = format!(
            "<network><name>{name}</name><forward mode='bridge'/><bridge name='br0'/>{port}</network>"
        );
        host.write("/run/test/network.xml", &network);
        host.virsh(&["net-define", "network.xml"]).success();
        host.virsh(&["net-start", name]).success();
    }
    host.apply().success();
    converged(&host);
    let definition = host.definition(VM);
    let tagged =
        "<source network='switch'/>\n      <vlan>\n        <tag id='42'/>\n      </vlan>\n";
    assert!(definition.contains(tagged), "{definition}");

    host.write_fleet(&on("network: switch, vlan: 43"));
    let planned = host.planned(2);
    let words = planned.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("network lan vlan 42 -> 43"), "{planned}");
    host.apply().success();
    converged(&host);

    // libvirt refuses what the plan refuses, at the start.
    host.write_fleet(&on("network: plain, vlan: 43"));
    let refused = host.planned(3);
    assert!(
        refused.contains("its network lan is on libvirt's network plain, which tags no frames"),
        "{refused}"
    );
    host.write(
        "/run/test/other.xml",
        host.definition(VM).replace("'switch'", "'plain'"),
    );
    host.virsh(&["define", "other.xml"]).success();
    let started = host.virsh(&["start", VM]);
    assert!(
        started
            .stderr
            .contains("vlan tag not supported for this connection type"),
        "{started:?}"
    );

    host.write_fleet(&on("network: plain"));
    host.apply().success();
    converged(&host);
    assert!(!host.definition(VM).contains("vlan"));
}
