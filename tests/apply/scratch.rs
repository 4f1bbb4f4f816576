//! Scratch disks (`fresh: each-start`): another file at each start, and nothing erased that armfleet did not make.

use crate::faults::Disturbance;
use crate::harness::applied::{applied_on, empty_host, perform, plan_on, spec, vm};
use crate::harness::case::{Case, policy};
use crate::harness::{DATA, UUID, VM, apply, apply_case, host_of, new_host, text};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives as _, Reads as _};
use armfleet::inventory::Look;
use armfleet::mark::read_record;
use armfleet::plan::Policy;

const RAW: &str = "/srv/b.img";
const QCOW2: &str = "/srv/c.qcow2";
const RECORD: &str = "/var/lib/armfleet/vms/armhf-vm/record.json";
const RECEIPT: &str = "/var/lib/armfleet/vms/armhf-vm/fresh.json";

fn fleet() -> String {
    Case::new("fresh-disks").fleet
}

fn inode(host: &Memory, path: &str) -> u64 {
    host.look(path, Look::Stat).present().unwrap().stat.ino
}

fn is_empty(host: &Memory, path: &str) -> bool {
    let file = host.look(path, Look::Image);
    let file = file.present().unwrap();
    let qcow2 = file.qcow2().and_then(Result::ok);
    file.blank == Some(true) || qcow2.is_some_and(|image| image.is_unused(file.stat.size))
}

/// The guest fills its disks, and its power is cut.
fn used(host: &Memory) {
    host.write_image(RAW, DATA).unwrap();
    host.destroy(VM).unwrap();
}

#[test]
fn each_start_has_another_empty_file_and_the_plan_stays_empty() {
    let host = host_of("fresh-disks");
    let record = host.bytes(RECORD).unwrap();
    let mut before = (inode(&host, RAW), inode(&host, QCOW2));
    for _ in 0..3 {
        used(&host);
        let applied = apply(&host, &fleet(), &Policy::default());
        applied.assert_did(&[&format!("start {UUID}")]);
        let now = (inode(&host, RAW), inode(&host, QCOW2));
        assert!(before.0 != now.0 && before.1 != now.1);
        before = now;
        assert!(is_empty(&host, RAW) && is_empty(&host, QCOW2));
        apply(&host, &fleet(), &Policy::default()).assert_did_nothing();
    }
    assert_eq!(host.bytes(RECORD).unwrap(), record);
}

#[test]
fn a_saved_vm_keeps_its_disk() {
    let host = host_of("fresh-disks");
    host.write_image(RAW, DATA).unwrap();
    host.save_domain(VM).unwrap();
    host.start(UUID).unwrap();
    assert_eq!(host.bytes(RAW).unwrap(), DATA.as_bytes());
}

#[test]
fn another_file_is_not_erased_until_the_user_says_so() {
    let (host, applied) = apply_case("fresh-disks-replaced");
    applied.assert_did_nothing();
    let error = host.start(UUID).unwrap_err();
    assert!(
        error.why.contains("is not the scratch disk"),
        "{}",
        error.why
    );
    assert_eq!(host.bytes(RAW).unwrap(), b"data");
    // It is not what is meant by accepting what is there.
    let accepted = apply(&host, &fleet(), &policy(Some("--accept armhf-vm")));
    assert!(
        accepted.refused().contains("holds data"),
        "{}",
        accepted.refused()
    );
    apply(&host, &fleet(), &policy(Some("--allow-replace armhf-vm"))).assert_converged();
    assert!(is_empty(&host, RAW));
}

#[test]
fn data_is_not_erased_until_the_user_says_so() {
    let (host, applied) = apply_case("fresh-disks-asked-for");
    applied.assert_did_nothing();
    assert_eq!(host.bytes(RAW).unwrap(), b"data");
    let (host, applied) = apply_case("fresh-disks-asked-for-and-lost");
    applied.assert_did(&[&format!("write_file {RECORD}")]);
    assert_eq!(host.bytes(RAW).unwrap(), b"data");
    host.destroy(VM).unwrap();
    host.start(UUID).unwrap();
    assert!(is_empty(&host, RAW));
}

#[test]
fn what_was_a_scratch_disk_is_kept_as_it_is() {
    let host = host_of("fresh-disks");
    used(&host);
    host.start(UUID).unwrap();
    host.write_image(RAW, DATA).unwrap();
    let kept = Case::new("fresh-disks-kept").fleet;
    apply(&host, &kept, &Policy::default()).assert_converged();
    host.destroy(VM).unwrap();
    apply(&host, &kept, &Policy::default()).assert_did(&[&format!("start {UUID}")]);
    assert_eq!(host.bytes(RAW).unwrap(), DATA.as_bytes());
}

#[test]
fn another_size_is_that_of_the_next_disk() {
    let (host, applied) = apply_case("fresh-disks-changed");
    applied.assert_did(&[&format!("write_file {RECORD}")]);
    used(&host);
    host.start(UUID).unwrap();
    let size = |path| {
        let file = host.look(path, Look::Image);
        let file = file.present().unwrap();
        let qcow2 = file.qcow2().and_then(Result::ok);
        qcow2.map_or(file.stat.size, |image| image.size)
    };
    assert_eq!((size(RAW), size(QCOW2)), (1 << 30, 8 << 30));
}

#[test]
fn a_size_that_waits_restarts_a_vm_that_may_be_restarted() {
    let host = host_of("fresh-disks");
    let fleet = Case::new("fresh-disks-changed").fleet + "    restart: when-required\n";
    apply(&host, &fleet, &Policy::default()).assert_converged();
    let file = host.look(RAW, Look::Stat);
    assert_eq!(file.present().unwrap().stat.size, 1 << 30);
}

#[test]
fn another_format_is_that_of_the_domain_and_of_the_next_disk() {
    let host = host_of("fresh-disks");
    let fleet = fleet().replace("b.img,", "b.img, format: qcow2,");
    apply(&host, &fleet, &Policy::default()).assert_converged();
    used(&host);
    apply(&host, &fleet, &Policy::default()).assert_converged();
    let file = host.look(RAW, Look::Image);
    assert_eq!(
        file.present().unwrap().qcow2().unwrap().unwrap().size,
        2 << 30
    );
}

#[test]
fn a_lost_record_loses_no_trace_of_what_the_hook_made() {
    let host = host_of("fresh-disks");
    used(&host);
    host.start(UUID).unwrap();
    host.write_image(RAW, DATA).unwrap();
    host.remove(RECORD);
    apply(&host, &fleet(), &Policy::default()).assert_converged();
    host.destroy(VM).unwrap();
    host.start(UUID).unwrap();
    assert!(is_empty(&host, RAW));
}

#[test]
fn what_a_later_version_keeps_of_them_stays() {
    let host = host_of("fresh-disks");
    used(&host);
    host.put_file(RECEIPT, "{\"format\": \"armfleet-fresh/2\"}")
        .unwrap();
    let applied = apply(&host, &fleet(), &Policy::default());
    applied.assert_did_nothing();
    assert!(
        applied.refused().contains("fresh.json stays as it is"),
        "{}",
        applied.refused()
    );
}

#[test]
fn a_vm_that_leaves_leaves_its_disks_and_nothing_else() {
    let host = host_of("fresh-disks");
    used(&host);
    host.start(UUID).unwrap();
    let empty = "fleet: lab\nvms: {}\n";
    host.destroy(VM).unwrap();
    apply(&host, empty, &policy(Some("--allow-removal=1"))).assert_converged();
    assert!(host.bytes(RAW).is_some());
    assert!(
        host.look("/var/lib/armfleet/vms/armhf-vm", Look::Stat)
            .is_absent()
    );
}

#[test]
fn they_are_made_for_an_installer_too() {
    let fleet = Case::new("install").fleet;
    let disk = "disks: [{ path: /srv/armhf-vm.img, size: 8GiB }";
    let with_scratch = fleet.replace(
        disk,
        &format!("{disk}, {{ path: {RAW}, size: 1GiB, fresh: each-start }}"),
    );
    assert_ne!(fleet, with_scratch);
    let host = host_of("install");
    apply(&host, &with_scratch, &Policy::default()).assert_converged();
    let record = read_record(&host.bytes(RECORD).unwrap()).unwrap();
    assert!(record.boot.makes_anew(&RAW.parse().unwrap()));
    assert!(is_empty(&host, RAW) && host.bytes(RECEIPT).is_some());
}

#[test]
fn adding_them_and_starting_survives_everything() {
    let (host, without) = (new_host(), Case::new("three-disks").fleet);
    let one = without
        .replace(
            ", { path: /srv/b.img, size: 1GiB }, { path: /srv/c.img, size: 1GiB }",
            "",
        )
        .replace("/srv/a.img", "/srv/armhf-vm.img");
    apply(&host, &one, &Policy::default()).assert_converged();
    host.destroy(VM).unwrap();
    let fleet = one.replace(
        "size: 8GiB }",
        "size: 8GiB }, { path: /srv/b.img, size: 1GiB, fresh: each-start }, \
         { path: /srv/c.qcow2, size: 1GiB, fresh: each-start }",
    );
    assert_ne!(one, fleet);
    Disturbance::new(40, host, &fleet).survives(&|host, after| {
        let outcome = apply(host, &fleet, &Policy::default()).outcome;
        let left = &outcome.residual;
        let is_done = outcome.all_done() && left.is_empty();
        assert!(
            is_done,
            "after {after}: {:#?}\n{}",
            outcome.ended,
            text(left)
        );
        assert_eq!(left.refusals, [], "after {after}");
        used(host);
        host.start(UUID).unwrap();
        assert!(
            is_empty(host, RAW) && is_empty(host, QCOW2),
            "after {after}"
        );
    });
}

#[test]
fn an_overlay_is_made_anew_over_the_base_image_that_is_there_then() {
    let fleet = |first: &str, more: &str| {
        let disks = format!(
            "disks: [{first}{{ path: /srv/over.qcow2, backing: {{ path: /srv/base.img }}, fresh: each-start{more} }}]"
        );
        let vm = vm("a", "1GiB", "").replace("disks: [{ path: /srv/a.img, size: 8GiB }]", &disks);
        spec(&format!("fleet: f\nvms:\n{vm}"))
    };
    let system = "{ path: /srv/a.img, size: 8GiB }, ";
    let prepared = |size: u64| {
        let host = empty_host();
        host.create_image("/srv/base.img", &[], size).unwrap();
        host.write_image("/srv/base.img", "base").unwrap();
        let root = Owner { uid: 0, gid: 0 };
        host.own("/srv/base.img", 0o644, root).unwrap();
        host
    };
    let header = |host: &Memory| {
        let seen = host.look("/srv/over.qcow2", Look::Image);
        let image = seen.present().unwrap().qcow2().unwrap().unwrap();
        let backing = image.backing.unwrap();
        format!(
            "{} over {} {}",
            image.size >> 20,
            backing.name,
            backing.format.unwrap()
        )
    };
    // The first disk, too: its system is in the base image.
    for first in [system, ""] {
        let host = applied_on(&prepared(64 << 20), &fleet(first, ""));
        assert_eq!(header(&host), "64 over /srv/base.img raw");
        let before = inode(&host, "/srv/over.qcow2");
        let uuid = host.uuid_of("a").unwrap();
        host.destroy("a").unwrap();
        host.start(&uuid).unwrap();
        assert_ne!(inode(&host, "/srv/over.qcow2"), before);
        assert_eq!(header(&host), "64 over /srv/base.img raw");
        let again = plan_on(&fleet(first, ""), &host);
        assert!(
            again.steps.is_empty() && again.refusals.is_empty(),
            "{}",
            text(&again)
        );

        // Another base image is what the next one lies over; it loses nothing that the last start did not.
        host.destroy("a").unwrap();
        host.truncate("/srv/base.img", 96 << 20).unwrap();
        let planned = plan_on(&fleet(first, ", size: 128MiB"), &host);
        assert!(planned.refusals.is_empty(), "{}", text(&planned));
        let host = perform(&host, &planned);
        assert_eq!(header(&host), "128 over /srv/base.img raw");
        let small = plan_on(&fleet(first, ", size: 32MiB"), &host);
        let refused = small.refusals.iter().map(|refusal| refusal.why.as_str());
        assert_eq!(
            refused.collect::<Vec<_>>(),
            [
                "its disk /srv/over.qcow2 would have 32 MiB, and its base image /srv/base.img has 96 MiB"
            ]
        );
    }
}
