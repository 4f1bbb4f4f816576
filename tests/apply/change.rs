//! Changes of the file and by hand: what is edited, and what never is.

use crate::bed::{FLEET, UUID, VM, found, found_on, new_host, settled_host};
use crate::keep::keep_base;
use armfleet::host::primitives::Primitives;

const DEFINED: [&str; 2] = [
    "define",
    "write_file /var/lib/armfleet/vms/armhf-vm/record.json",
];

#[test]
fn a_converged_fleet_needs_nothing() {
    keep_base();
    let host = settled_host();
    let applied = crate::bed::apply(&host, FLEET, &Default::default());
    applied.assert_did_nothing();
    assert_eq!(applied.refused(), "");
}

#[test]
fn everything_is_made_in_its_order() {
    let (host, applied) = found_on(new_host(), "new", None, FLEET);
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
    let fleet = format!("{FLEET}    state: stopped\n");
    let (_, applied) = found_on(new_host(), "new-to-be-off", None, &fleet);
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
    let (host, applied) = found("memory", &FLEET.replace("512MiB", "1GiB"), |_| {});
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
    let fleet = format!(
        "{}    state: stopped\n    autostart: true\n",
        FLEET.replace("512MiB", "1GiB")
    );
    let (_, applied) = found("memory-of-a-vm-that-is-off", &fleet, |host| {
        host.destroy(VM).unwrap()
    });
    applied.assert_did(&DEFINED);
}

#[test]
fn a_change_by_hand_goes_back() {
    let (host, applied) = found("drift", FLEET, |host| {
        host.edit_domain(VM, |text| text.replace("524288", "262144"))
            .unwrap();
    });
    applied.assert_did(&["define"]);
    assert!(
        host.dump_secure(UUID)
            .unwrap()
            .contains("<memory unit='KiB'>524288<")
    );
}

#[test]
fn a_change_of_both_goes_to_the_file() {
    let (_, applied) = found("drift-and-file", &FLEET.replace("512MiB", "1GiB"), |host| {
        host.edit_domain(VM, |text| text.replace("524288", "262144"))
            .unwrap();
    });
    applied.assert_did(&DEFINED);
}

#[test]
fn autostart_that_somebody_took_away_comes_back() {
    let (_, applied) = found("autostart-off", FLEET, |host| {
        host.set_autostart(UUID, false).unwrap()
    });
    applied.assert_did(&[&format!("set_autostart {UUID}")]);
}

#[test]
fn a_log_that_left_the_file_leaves_the_domain() {
    let fleet = FLEET.replace("    console: { log: /var/log/armhf-vm.log }\n", "");
    let (host, applied) = found("log-left-the-file", &fleet, |_| {});
    applied.assert_did(&DEFINED);
    assert!(!host.dump_secure(UUID).unwrap().contains("<log"));
}

#[test]
fn a_log_that_is_new_in_the_file_is_no_drift() {
    let without = FLEET.replace("    console: { log: /var/log/armhf-vm.log }\n", "");
    let host = new_host();
    crate::bed::perform_in_order(&host, &without);
    let (_, applied) = found_on(host, "log-new-in-the-file", None, FLEET);
    applied.assert_did(&DEFINED);
}

/// Requirement: devices, metadata and addresses of others survive an edit byte for byte, and secrets with them.
#[test]
fn what_others_put_into_a_domain_survives_an_edit() {
    let (host, applied) = found("by-hand", &FLEET.replace("512MiB", "1GiB"), |host| {
        host.edit_domain(VM, |text| {
            text.replace("</uuid>\n", "</uuid>\n  <title>kept by hand</title>\n")
                .replace(
                    "  <metadata>\n",
                    "  <metadata>\n    <app:note xmlns:app=\"urn:example:other\">kept</app:note>\n",
                )
                .replace(
                    "    <controller",
                    "    <interface type='user'>\n      <mac address='52:54:00:1f:d8:53'/>\n      <model type='virtio'/>\n      \
                     <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n    </interface>\n    <controller",
                )
                .replace("    <audio", "    <graphics type='vnc' port='5999' passwd='5wordfis'/>\n    <audio")
        })
        .unwrap();
    });
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
    for (case, key, value) in [
        ("no-kvm", "accel", "kvm"),
        ("no-such-machine", "machine", "virt-99.0"),
    ] {
        let fleet = format!("{FLEET}    {key}: {value}\n");
        let (_, applied) = found(case, &fleet, |_| {});
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
    let plan = crate::bed::plan(&host, &fleet, &Default::default());
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
    let plan = crate::bed::plan(&host, FLEET, &Default::default());
    let seed = "/srv/seed/vmlinuz-6.1.0-48-armmp";
    host.put_file(seed, "another").unwrap();
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
    crate::bed::apply(&host, FLEET, &Default::default()).assert_converged();
}

/// Steps of many VMs go on at once, and each is in the journal.
#[test]
fn a_dozen_vms_are_made() {
    let (head, vm) = FLEET.split_at(FLEET.find("  armhf-vm:").unwrap());
    let vms = (0..12).map(|number| vm.replace(VM, &format!("obs-{number}")));
    let fleet = format!("{head}{}", String::from_iter(vms));
    let host = new_host();
    let applied = crate::bed::apply(&host, &fleet, &Default::default());
    applied.assert_converged();
    let journal =
        String::from_utf8(host.bytes("/var/lib/armfleet/journal.jsonl").unwrap()).unwrap();
    let done = journal
        .lines()
        .filter(|line| line.contains(r#""event":"step""#) && line.contains(r#""error":[]"#));
    assert_eq!(done.count(), applied.outcome.ended.len());
    assert_eq!(applied.outcome.ended.len(), 2 + 12 * 7);
    crate::bed::apply(&host, &fleet, &Default::default()).assert_did_nothing();
}
