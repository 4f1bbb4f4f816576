//! The addresses of guests, as status tells them.

use crate::harness::applied::{applied_on, empty_host, spec, vm};
use armfleet::engine::observe_more_and_plan;
use armfleet::fleet::Spec;
use armfleet::host::Observer;
use armfleet::host::intercept::{Intercepted, Recording};
use armfleet::host::memory::Memory;
use armfleet::inventory::{AddressSource, Query, query};
use armfleet::plan::Policy;
use armfleet::report::{Paint, StatusReport, render_status};

const LAN: &str = "52:fe:00:00:00:01";
const FARM: &str = "52:fe:00:00:00:02";

fn fleet() -> Spec {
    let networks = format!(
        ", networks: [{{ name: lan, bridge: br0, mac: '{LAN}' }}, {{ network: farm, mac: '{FARM}' }}]"
    );
    spec(&format!(
        "fleet: f\nvms:\n{}{}",
        vm("a", "1GiB", &networks),
        vm("b", "1GiB", "")
    ))
}

fn host() -> Memory {
    let host = empty_host();
    host.put_network("farm", true, true);
    host.put_network_device("br0", true);
    applied_on(&host, &fleet())
}

/// The status of all VMs, and who was asked for addresses.
fn status(host: &Memory) -> (StatusReport, Vec<String>) {
    let spec = fleet();
    let vms: Vec<_> = spec.vms.values().collect();
    let query = Query {
        addresses: vms.iter().map(|vm| vm.name.to_string()).collect(),
        ..query(&spec)
    };
    let recording = Recording::default();
    let observer = Observer(Intercepted {
        calls: host.clone(),
        by: &recording,
    });
    let (plan, inventory) =
        observe_more_and_plan(&observer, &query, &spec, &Policy::default()).unwrap();
    assert!(plan.is_empty());
    let calls = recording.calls().into_iter().map(|call| call.call);
    let asked = calls.filter(|call| call.starts_with("addresses"));
    (StatusReport::new(&vms, &plan, &inventory), asked.collect())
}

/// The addresses of the first VM: network, address and who says so.
fn addresses(report: &StatusReport) -> Vec<String> {
    let known = report.vms[0].addresses.iter();
    let lines = known.map(|known| {
        let network = known.network.as_deref().unwrap_or("-");
        format!("{network} {} {:?}", known.address, known.source)
    });
    lines.collect()
}

#[test]
fn who_knows_an_address_is_asked_and_nobody_else() {
    let host = host();
    // Its channel is not open.
    let (report, asked) = status(&host);
    assert_eq!((addresses(&report), asked.len()), (vec![], 1));
    assert_eq!(report.vms[0].addresses_not_seen, None);
    let lease = [(FARM, "192.0.2.7")];
    host.tell_addresses("a", AddressSource::Lease, Ok(&lease))
        .unwrap();
    let (report, asked) = status(&host);
    assert_eq!(
        (addresses(&report), asked.len()),
        (vec!["farm 192.0.2.7 Lease".to_owned()], 1)
    );

    let told = [
        (LAN, "2001:db8::1"),
        (FARM, "192.0.2.7"),
        (LAN, "198.51.100.1"),
        // The guest's own business: a link-local address, a loopback, and a bridge of containers.
        (LAN, "fe80::1"),
        ("00:00:00:00:00:00", "127.0.0.1"),
        ("02:42:00:00:00:01", "172.17.0.1"),
        (LAN, "\u{1b}[2J"),
    ];
    host.tell_addresses("a", AddressSource::Agent, Ok(&told))
        .unwrap();
    let (report, asked) = status(&host);
    assert_eq!(
        addresses(&report),
        [
            "lan 198.51.100.1 Agent",
            "lan 2001:db8::1 Agent",
            "farm 192.0.2.7 Lease"
        ]
    );
    assert_eq!(asked.len(), 2);
    let text = render_status(&report, Paint::Plain);
    assert!(
        text.contains("\n  @ 198.51.100.1, 2001:db8::1, 192.0.2.7\n"),
        "{text}"
    );

    // Where the leases tell all, an agent is left alone.
    let leases = [(FARM, "192.0.2.7"), (LAN, "192.0.2.8")];
    host.tell_addresses("a", AddressSource::Lease, Ok(&leases))
        .unwrap();
    assert_eq!(status(&host).1.len(), 1);
    // A VM that is off, or paused, is not asked.
    let paused = host.fork();
    paused.set_state("a", 3, 1).unwrap();
    assert!(status_of_other_state(&paused).is_empty());
    host.destroy("a").unwrap();
    assert!(status_of_other_state(&host).is_empty());
}

/// Who is asked, where the plan has something to do about the VM's state.
fn status_of_other_state(host: &Memory) -> Vec<String> {
    let spec = fleet();
    let query = Query {
        addresses: ["a".to_owned()].into(),
        ..query(&spec)
    };
    let recording = Recording::default();
    let observer = Observer(Intercepted {
        calls: host.clone(),
        by: &recording,
    });
    observe_more_and_plan(&observer, &query, &spec, &Policy::default()).unwrap();
    let calls = recording.calls().into_iter().map(|call| call.call);
    calls.filter(|call| call.starts_with("addresses")).collect()
}

#[test]
fn an_agent_that_does_not_answer_is_told_and_no_failure() {
    let host = host();
    let why = "Guest agent is not responding: Guest agent not available for now";
    host.tell_addresses("a", AddressSource::Agent, Err(why))
        .unwrap();
    let (report, _) = status(&host);
    assert_eq!(report.vms[0].addresses_not_seen.as_deref(), Some(why));
    let text = render_status(&report, Paint::Plain);
    assert!(
        text.contains(&format!("\n  i its addresses are not known: {why}\n")),
        "{text}"
    );
    // What is known is shown all the same.
    let lease = [(FARM, "192.0.2.7")];
    host.tell_addresses("a", AddressSource::Lease, Ok(&lease))
        .unwrap();
    let (report, _) = status(&host);
    assert_eq!(addresses(&report), ["farm 192.0.2.7 Lease"]);
    assert_eq!(report.vms[0].addresses_not_seen, None);
}

#[test]
fn a_plan_asks_no_guest() {
    let host = host();
    host.tell_addresses("a", AddressSource::Agent, Err("never asked"))
        .unwrap();
    let recording = Recording::default();
    let observer = Observer(Intercepted {
        calls: host,
        by: &recording,
    });
    let spec = fleet();
    observe_more_and_plan(&observer, &query(&spec), &spec, &Policy::default()).unwrap();
    let mut calls = recording.calls().into_iter();
    assert!(!calls.any(|call| call.call.starts_with("addresses")));
}
