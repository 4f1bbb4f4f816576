//! Changes of the file and by hand: what is edited, and what never is.

use crate::harness::{FLEET, UUID, VM, apply_case, new_host, settled_host};
use armfleet::host::primitives::Primitives;

const DEFINED: [&str; 2] = [
    "define",
    "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
];

#[test]
fn a_converged_fleet_needs_nothing() {
    let (_, applied) = apply_case("no-op");
    applied.assert_did_nothing();
    assert_eq!(applied.refused(), "");
}

#[test]
fn everything_is_made_in_its_order() {
    let (host, applied) = apply_case("new");
    applied.assert_converged();
    // The hook is installed meanwhile; each of these needs the one before, and the start needs the hook, too.
    let order = [
        "define".to_owned(),
        "write_file /var/lib/armfleet/vms/armhf-vm/record.json".to_owned(),
        format!("set_autostart {UUID}"),
        format!("start {UUID}"),
    ];
    let mut seen = applied.changes.clone();
    seen.retain(|call| order.contains(call));
    assert_eq!(seen, order);
    assert_eq!(applied.changes.last(), order.last());
    assert_eq!(host.uuid_of(VM).unwrap(), UUID);
}

#[test]
fn a_vm_that_is_to_be_off_is_only_defined() {
    let (_, applied) = apply_case("new-to-be-off");
    applied.assert_converged();
    assert!(
        !applied
            .changes
            .iter()
            .any(|call| call.starts_with("start") || call.starts_with("set_autostart"))
    );
}

#[test]
fn more_memory_is_for_the_next_boot() {
    let (host, applied) = apply_case("memory");
    applied.assert_did(&DEFINED);
    let notices = &applied.outcome.residual.notices;
    assert_eq!(
        notices[0].what,
        "runs with memory 512 MiB, is defined with 1 GiB"
    );
    host.destroy(VM).unwrap();
    host.start(UUID).unwrap();
}

#[test]
fn more_memory_for_a_vm_that_is_off_waits_for_nothing() {
    let (_, applied) = apply_case("memory-of-a-vm-that-is-off");
    applied.assert_did(&DEFINED);
}

#[test]
fn a_change_by_hand_goes_back() {
    let (host, applied) = apply_case("drift");
    applied.assert_did(&["define"]);
    assert!(
        host.dump_secure(UUID)
            .unwrap()
            .contains("<memory unit='KiB'>524288<")
    );
}

#[test]
fn a_change_of_both_goes_to_the_file() {
    let (_, applied) = apply_case("drift-and-file");
    applied.assert_did(&DEFINED);
}

#[test]
fn autostart_that_somebody_took_away_comes_back() {
    let (_, applied) = apply_case("autostart-off");
    applied.assert_did(&[&format!("set_autostart {UUID}")]);
}

#[test]
fn a_log_that_left_the_file_leaves_the_domain() {
    let (host, applied) = apply_case("log-left-the-file");
    applied.assert_did(&DEFINED);
    assert!(!host.dump_secure(UUID).unwrap().contains("<log"));
}

#[test]
fn a_log_that_is_new_in_the_file_is_no_drift() {
    let (_, applied) = apply_case("log-new-in-the-file");
    applied.assert_did(&DEFINED);
}

/// Requirement: devices, metadata and addresses of others survive an edit byte for byte, and secrets with them.
#[test]
fn what_others_put_into_a_domain_survives_an_edit() {
    let (host, applied) = apply_case("by-hand");
    applied.assert_did(&DEFINED);
    let after = host.dump_secure(UUID).unwrap();
    let before = settled_host();
    before
        .edit_domain(VM, |_| after.replace("1048576", "524288"))
        .unwrap();
    assert_eq!(
        before.dump_secure(UUID).unwrap(),
        after.replace("1048576", "524288")
    );
    for kept in [
        "kept by hand",
        "urn:example:other",
        "bus='0x01' slot='0x00'",
        "passwd='5wordfis'",
    ] {
        assert!(after.contains(kept), "{kept} is not in {after}");
    }
}

#[test]
fn what_the_host_does_not_have_is_refused() {
    for case in ["no-kvm", "no-such-machine"] {
        let (_, applied) = apply_case(case);
        applied.assert_did_nothing();
        assert_eq!(applied.outcome.residual.refusals.len(), 1);
    }
}

/// A plan rests on the definition it was made on.
#[test]
fn a_definition_that_changed_after_planning_is_not_edited() {
    use armfleet::host::{Executor, Host};
    let host = settled_host();
    let fleet = FLEET.replace("512MiB", "1GiB");
    let plan = crate::harness::plan(&host, &fleet, &Default::default());
    host.edit_domain(VM, |text| {
        text.replace("</uuid>\n", "</uuid>\n  <title>mine</title>\n")
    })
    .unwrap();
    let before = host.dump_secure(UUID).unwrap();
    let performer = Executor::locked(host.clone()).unwrap();
    let error = performer.perform(&plan.steps[0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "domain armhf-vm changed since it was planned"
    );
    assert_eq!(host.dump_secure(UUID).unwrap(), before);
}

/// So does a seed on its bytes.
#[test]
fn a_seed_that_changed_after_planning_is_not_staged() {
    use armfleet::host::{Executor, Host};
    let host = new_host();
    let plan = crate::harness::plan(&host, FLEET, &Default::default());
    let seed = "/srv/seed/vmlinuz-6.1.0-48-armmp";
    host.put_file(seed, crate::harness::kernels::whole("vmlinuz", "another"))
        .unwrap();
    let performer = Executor::locked(host.clone()).unwrap();
    let stage = plan
        .steps
        .iter()
        .find(|step| step.id.to_string().starts_with("seed/"));
    let error = performer.perform(stage.unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{seed} changed since it was planned")
    );
    let receipt = "/var/lib/armfleet/vms/armhf-vm/boot/seed/seed.json";
    assert!(host.bytes(receipt).is_none());
    drop(performer);
    crate::harness::apply(&host, FLEET, &Default::default()).assert_converged();
}

/// Steps of many VMs go on at once, and each is in the journal.
#[test]
fn a_dozen_vms_are_made() {
    let (head, vm) = FLEET.split_at(FLEET.find("  armhf-vm:").unwrap());
    let vms = (0..12).map(|number| vm.replace(VM, &format!("obs-{number}")));
    let fleet = format!("{head}{}", String::from_iter(vms));
    let host = new_host();
    let applied = crate::harness::apply(&host, &fleet, &Default::default());
    applied.assert_converged();
    let journal =
        String::from_utf8(host.bytes("/var/lib/armfleet/journal.jsonl").unwrap()).unwrap();
    let done = journal
        .lines()
        .filter(|line| line.contains(r#""event":"step""#) && line.contains(r#""error":[]"#));
    assert_eq!(done.count(), applied.outcome.ended.len());
    assert_eq!(applied.outcome.ended.len(), 2 + 12 * 7);
    crate::harness::apply(&host, &fleet, &Default::default()).assert_did_nothing();
}
