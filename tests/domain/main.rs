//! A domain's properties, from the keys to the definition and back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod cpu;
mod devices;
mod disks;
mod memory_backing;
mod networks;
mod round_trip;

use armfleet::domain::*;
use armfleet::inventory::{Fact, Inventory, Libvirt, RawInventory, RawLibvirt};
use armfleet::mark::{Applied, BootRecord, Phase, PropertyId, Record, Wanted, render_mark};
use armfleet::xml::parse;
use armfleet::{fleet::*, values::*};
use proptest::prelude::*;
use std::collections::BTreeSet;

const UUID: &str = "dddb7e15-ae10-4830-89f3-43c8c5937be7";

/// What libvirt 9.0 made of a domain that armfleet defined, with what other people added by hand.
const STORED: &str = include_str!("../captured/armhf-stored-9.0.xml");

fn libvirt() -> Libvirt {
    let capabilities = include_str!("../captured/capabilities-9.0.xml").to_owned();
    let raw = RawInventory {
        at: 0,
        libvirt: Fact::Present(RawLibvirt {
            version: 9_000_000,
            capabilities,
            bits32: None,
        }),
        domains: Fact::NotObserved,
        networks: Fact::NotObserved,
        links: Fact::NotObserved,
        addresses: Default::default(),
        paths: Default::default(),
        claims: Default::default(),
        file_systems: Default::default(),
        binds: Default::default(),
    };
    Inventory::read(raw, &spec())
        .libvirt
        .present()
        .unwrap()
        .clone()
}

fn vm() -> Vm {
    spec().vms.into_values().next().unwrap()
}

fn spec() -> Spec {
    let file = "
fleet: obs
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    disks: [{ path: /srv/armhf-vm.img, size: 8GiB }]
    console: { log: /var/log/armhf-vm.log }
    on_guest_reboot: stop
    rng: false
    agent: false
";
    read_fleet(file.as_bytes(), "fleet.yaml", "/").unwrap()
}

fn base(vm: &Vm) -> String {
    skeleton(
        vm.arch,
        &"obs".parse().unwrap(),
        &vm.name,
        &UUID.parse().unwrap(),
    )
}

fn created(vm: &Vm) -> (String, Applied) {
    let comparison = compare(vm, &libvirt(), None, &parse(&base(vm)).unwrap(), true);
    assert_eq!(comparison.refusals, Vec::<String>::new());
    (
        apply_edits(&base(vm), &comparison.edits).unwrap(),
        comparison.applied,
    )
}

/// An existing domain compared.
fn compared(vm: &Vm, record: Option<&Record>, definition: &str) -> Comparison {
    let document = parse(definition).unwrap();
    compare(vm, &libvirt(), record, &document, false)
}

/// The same where the user said that another disk and interface may be the guest's first.
fn if_first_may_change(vm: &Vm, record: &Record, definition: &str) -> Comparison {
    let input = CompareInput {
        vm,
        libvirt: &libvirt(),
        record: Some(record),
        definition: &parse(definition).unwrap(),
        new: false,
        extent: Extent::All,
        cloud_init: None,
        first_may_change: true,
    };
    input.compare()
}

fn record(vm: &Vm, applied: Applied) -> Record {
    Record {
        fleet: "obs".parse().unwrap(),
        vm: vm.name.clone(),
        uuid: UUID.parse().unwrap(),
        applied,
        secret_cmdlines: BTreeSet::new(),
        cmdline_digest: None,
        state: vm.state,
        autostart: vm.autostart,
        on_guest_reboot: vm.on_guest_reboot,
        stop_timeout: vm.stop_timeout,
        protect: vm.protect,
        phase: Phase::Own,
        boot: BootRecord {
            share: vm.boot.share.clone(),
            handover: Handover::Copy,
            seed: false,
            wanted: Wanted::Auto,
            ways: Default::default(),
            fresh: Default::default(),
            confirm_within: None,
        },
        applied_by: None,
    }
}

#[test]
fn a_new_domain_has_everything_that_is_wanted() {
    let (text, _) = created(&vm());
    snapbox::assert_data_eq!(
        text.clone(),
        snapbox::file!["../captured/armhf-new.xml"].raw()
    );
    let again = compared(&vm(), None, &text);
    assert_eq!((again.edits, again.refusals), (vec![], vec![]));
}

#[test]
fn only_a_warm_reboot_stays_in_the_process() {
    let expected = [
        (GuestReboot::ColdBoot, "destroy"),
        (GuestReboot::Stop, "destroy"),
        (GuestReboot::Warm, "restart"),
    ];
    for (on_guest_reboot, action) in expected {
        let vm = Vm {
            on_guest_reboot,
            ..vm()
        };
        let (text, applied) = created(&vm);
        assert!(text.contains(&format!("<on_reboot>{action}</on_reboot>")));
        assert_eq!(applied.rows[&PropertyId::new("on_reboot")], action);
    }
}

#[test]
fn what_libvirt_made_of_it_needs_no_edit() {
    let (_, applied) = created(&vm());
    let again = compared(&vm(), Some(&record(&vm(), applied.clone())), STORED);
    assert_eq!(again.edits, vec![]);
    assert_eq!(again.applied, applied);
    assert_eq!((again.refusals, again.moved), (vec![], vec![]));
}

#[test]
fn more_memory_changes_two_numbers_and_nothing_else() {
    let (_, applied) = created(&vm());
    let more = Vm {
        memory: "1GiB".parse().unwrap(),
        ..vm()
    };
    let comparison = compared(&more, Some(&record(&vm(), applied)), STORED);
    let text = apply_edits(STORED, &comparison.edits).unwrap();
    assert_eq!(text, STORED.replace("'KiB'>524288<", "'KiB'>1048576<"));
    let [change] = &comparison.changes[..] else {
        panic!("{:?}", comparison.changes)
    };
    assert_eq!(
        (change.before.as_deref(), change.after.as_deref()),
        (Some("512 MiB"), Some("1 GiB"))
    );
    assert_eq!(change.cause, Some(Cause::FileChanged));
}

#[test]
fn a_change_by_hand_is_drift_and_goes_back() {
    let (_, applied) = created(&vm());
    let drifted = STORED.replace(
        "<vcpu placement='static'>1",
        "<vcpu placement='static' current='2'>4",
    );
    let comparison = compared(&vm(), Some(&record(&vm(), applied)), &drifted);
    assert_eq!(comparison.changes[0].cause, Some(Cause::Drifted));
    assert_eq!(apply_edits(&drifted, &comparison.edits).unwrap(), STORED);
}

#[test]
fn a_key_that_left_the_file_withdraws_what_it_put_there_and_nothing_else() {
    let (_, applied) = created(&vm());
    let record = record(&vm(), applied);
    let without = Vm {
        console: Console { log: None },
        disks: vec![],
        ..vm()
    };
    // Its root would be the disk that was added by hand.
    let comparison = compared(&without, Some(&record), STORED);
    assert_eq!(comparison.held.len(), 1);
    let without = disks::by_label(without);
    let stored = STORED.replace("console=ttyAMA0 root=/dev/vda1", "root=LABEL=root");
    let comparison = if_first_may_change(&without, &record, &stored);
    let text = apply_edits(&stored, &comparison.edits).unwrap();
    assert!(
        !text.contains("<log") && !text.contains("armhf-vm.img") && text.contains("by-hand.img"),
        "{text}"
    );
    let moved = stored
        .replace("/srv/armhf-vm.img", "/srv/other.img")
        .replace("/var/log/armhf-vm.log", "/var/log/other");
    let comparison = compared(&without, Some(&record), &moved);
    assert_eq!(comparison.edits, vec![]);
    assert_eq!(comparison.moved.len(), 1);
    assert_eq!(comparison.applied.devices, record.applied.devices);
}

/// A definition without its last disk. libvirt sorts disks by target, so the one added by hand comes before ours.
fn without_last_disk(definition: &str) -> String {
    let start = definition.rfind("    <disk type='file' device='disk'>");
    let end = definition.rfind("</disk>\n").unwrap() + "</disk>\n".len();
    [&definition[..start.unwrap()], &definition[end..]].concat()
}

#[test]
fn a_disk_that_was_taken_out_comes_back_at_its_place() {
    let (_, applied) = created(&vm());
    let record = record(&vm(), applied.clone());
    let without = without_last_disk(&without_last_disk(STORED));
    assert!(!without.contains("<disk"));
    let comparison = compared(&vm(), Some(&record), &without);
    assert_eq!(comparison.applied, applied);
    let text = apply_edits(&without, &comparison.edits).unwrap();
    let again = compared(&vm(), Some(&record), &text);
    assert_eq!(again.edits, vec![]);
    assert!(text.contains("<target dev='vdz' bus='virtio'/>"));
}

#[test]
fn a_disk_that_was_taken_out_is_not_put_beside_one_that_may_be_what_it_became() {
    let (_, applied) = created(&vm());
    let without = without_last_disk(STORED);
    assert!(without.contains("by-hand.img") && !without.contains("vdz"));
    for record in [Some(record(&vm(), applied)), None] {
        let comparison = compared(&vm(), record.as_ref(), &without);
        assert_eq!(comparison.edits, vec![]);
        assert!(comparison.moved[0].gone);
    }
}

/// What snapshots, block copies and `virsh edit` do to a disk's definition.
const MOVES: [(&str, &str); 6] = [
    ("file='/srv/armhf-vm.img'", "file='/srv/armhf-vm.n.qcow2'"),
    (
        "type='raw'/>\n      <source file='/srv/armhf-vm.img'/>",
        "type='qcow2'/>\n      <source file='/srv/armhf-vm.img'/>",
    ),
    (
        "<source file='/srv/armhf-vm.img'/>",
        "<source file='/srv/armhf-vm.img'/>\n      <backingStore type='file'><format type='raw'/><source file='/srv/base.img'/></backingStore>",
    ),
    (
        "<disk type='file' device='disk'>\n      <driver name='qemu' type='raw'/>\n      <source file='/srv/armhf-vm.img'/>",
        "<disk type='block' device='disk'>\n      <driver name='qemu' type='raw'/>\n      <source dev='/dev/vg/vm'/>",
    ),
    ("<target dev='vdz'", "<target dev='vdq'"),
    ("dir='/srv/armhf-vm-boot'", "dir='/srv/elsewhere'"),
];

#[test]
fn what_was_moved_outside_armfleet_is_not_edited_whatever_the_file_says_now() {
    let (_, applied) = created(&vm());
    let record = record(&vm(), applied.clone());
    let mut elsewhere = vm();
    elsewhere.disks[0].path = "/srv/new.img".parse().unwrap();
    elsewhere.boot.share = "/srv/new-boot".parse().unwrap();
    let gone = Vm {
        disks: vec![],
        ..vm()
    };
    let more = Vm {
        memory: "1GiB".parse().unwrap(),
        ..vm()
    };
    for (from, to) in MOVES {
        let moved = STORED.replacen(from, to, 1);
        assert_ne!(moved, STORED, "{from}");
        for vm in [&vm(), &elsewhere, &gone, &more] {
            let comparison = compared(vm, Some(&record), &moved);
            // A disk that the file no longer names, and that is not where it was, is no longer armfleet's.
            let let_go = vm.disks.is_empty() && to.contains("vdq");
            assert_eq!(comparison.moved.is_empty(), let_go, "{to}");
            let after = apply_edits(&moved, &comparison.edits).unwrap();
            assert!(after.contains(to), "{to} is not in\n{after}");
        }
        let lost = compared(&vm(), None, &moved);
        // The same image at another target is the same disk.
        assert_eq!(lost.moved.is_empty(), to.contains("vdq"), "{to}");
        assert!(apply_edits(&moved, &lost.edits).unwrap().contains(to));
    }
}

#[test]
fn what_was_moved_and_the_file_names_is_taken_as_it_is() {
    let (_, applied) = created(&vm());
    let record = record(&vm(), applied);
    let moved = STORED.replace("/srv/armhf-vm.img", "/srv/copy.img");
    let mut copy = vm();
    copy.disks[0].path = "/srv/copy.img".parse().unwrap();
    let comparison = compared(&copy, Some(&record), &moved);
    assert_eq!((comparison.edits, comparison.moved), (vec![], vec![]));
    let disk = &comparison.applied.devices[&DISK.named("armhf-vm")];
    assert_eq!(disk.rows[&PropertyId::new("file")], "/srv/copy.img");
}

#[test]
fn a_disk_that_the_file_moves_leaves_its_old_backing_chain_behind() {
    let (_, applied) = created(&vm());
    let record = record(&vm(), applied);
    let pivoted = STORED.replace(
        "<source file='/srv/armhf-vm.img'/>",
        "<source file='/srv/armhf-vm.img'/>\n      <backingStore/>",
    );
    let mut elsewhere = vm();
    elsewhere.disks[0].path = "/srv/new.img".parse().unwrap();
    let comparison = compared(&elsewhere, Some(&record), &pivoted);
    assert_eq!(comparison.moved, vec![]);
    let after = apply_edits(&pivoted, &comparison.edits).unwrap();
    assert_eq!(after, STORED.replace("/srv/armhf-vm.img", "/srv/new.img"));
}

#[test]
fn a_disk_that_gets_another_name_stays_in_the_domain() {
    let (_, applied) = created(&vm());
    let record = record(&vm(), applied);
    let mut renamed = vm();
    renamed.disks[0].name = "root".parse().unwrap();
    let comparison = compared(&renamed, Some(&record), STORED);
    assert_eq!((comparison.edits, comparison.moved), (vec![], vec![]));
    let names = comparison.applied.devices.keys();
    let names: Vec<_> = names.map(ToString::to_string).collect();
    assert_eq!(names, ["disk root", "share boot"]);
}

#[test]
fn a_process_on_an_image_over_the_defined_one_is_found() {
    let (_, applied) = created(&vm());
    let chain = "<source file='/srv/n.qcow2'/>\n      <backingStore type='file'><source file='/srv/armhf-vm.img'/></backingStore>";
    let live = STORED.replace("<source file='/srv/armhf-vm.img'/>", chain);
    let (live, stored) = (parse(&live).unwrap(), parse(STORED).unwrap());
    let found = running_overlays(&live, &stored, &applied);
    assert_eq!(found[0].seen_source.as_deref(), Some("/srv/n.qcow2"));
    assert!(running_overlays(&stored, &stored, &applied).is_empty());
    assert!(running_overlays(&live, &live, &applied).is_empty());
}

#[test]
fn what_cannot_be_changed_is_refused_with_the_way_to_do_it() {
    let (_, applied) = created(&vm());
    let numa = STORED
        .replace("<clock", "<cpu><numa><cell id='0'/></numa></cpu>\n  <clock")
        .replace("cortex-a15", "x");
    let numa = numa.replacen("<cpu mode='custom' match='exact' check='none'>\n    <model fallback='forbid'>x</model>\n  </cpu>\n", "", 1);
    let more = Vm {
        memory: "1GiB".parse().unwrap(),
        ..vm()
    };
    let comparison = compared(&more, Some(&record(&vm(), applied)), &numa);
    assert_eq!(comparison.edits, vec![]);
    assert_eq!(
        comparison.applied.rows[&PropertyId::new("memory")],
        "512 MiB"
    );
    snapbox::assert_data_eq!(
        comparison.refusals.join("\n"),
        "memory 512 MiB -> 1 GiB: its memory is laid out by <numa> cells; change those with virsh edit"
    );
}

#[test]
fn kvm_brings_the_hosts_processor_and_takes_the_old_interrupt_controller() {
    let (_, applied) = created(&vm());
    let kvm = Vm {
        accel: Accel::Kvm,
        ..vm()
    };
    let comparison = compared(&kvm, Some(&record(&vm(), applied)), STORED);
    let text = apply_edits(STORED, &comparison.edits).unwrap();
    assert!(
        text.contains("<domain type='kvm'>") && text.contains("<cpu mode='host-passthrough'>"),
        "{text}"
    );
    assert!(
        !text.contains(" match=") && !text.contains("<model fallback"),
        "{text}"
    );
    assert!(
        !text.contains("cortex-a15") && !text.contains("gic"),
        "{text}"
    );
}

#[test]
fn a_running_domain_is_compared_in_managed_properties_only() {
    let (_, applied) = created(&vm());
    let live = STORED
        .replace(">524288<", ">262144<")
        .replace("by-hand.img", "elsewhere.img");
    let differing = differing_rows(&parse(&live).unwrap(), &parse(STORED).unwrap(), &applied);
    assert_eq!(
        differing,
        [Differing {
            what: Subject::Property(PropertyId::new("memory")),
            live: Some("256 MiB".to_owned()),
            defined: Some("512 MiB".to_owned()),
        }]
    );
    // A device that one of them lacks is told as a whole.
    let tag = "<target dir='virtio-boot'/>";
    let without = STORED.replace(tag, "<target dir='other'/>");
    assert_ne!(without, STORED);
    for (live, defined, told) in [
        (without.as_str(), STORED, "share boot added"),
        (STORED, without.as_str(), "share boot removed"),
    ] {
        let differing = differing_rows(&parse(live).unwrap(), &parse(defined).unwrap(), &applied);
        let words: Vec<_> = differing.iter().map(ToString::to_string).collect();
        assert_eq!(words, [told]);
    }
}

#[test]
fn a_long_disk_name_gets_a_serial_that_a_virtio_disk_can_tell() {
    let disk = Disk {
        name: "a-very-long-name-of-a-disk-1".parse().unwrap(),
        ..vm().disks[0].clone()
    };
    let (_, applied) = created(&Vm {
        disks: vec![disk.clone()],
        ..vm()
    });
    let serial_of = |applied: Applied, name| {
        applied.devices[&DISK.named(name)].rows[&PropertyId::new("serial")].clone()
    };
    let serial = serial_of(applied, "a-very-long-name-of-a-disk-1");
    assert_eq!(serial.len(), 20);
    let other = Disk {
        name: "a-very-long-name-of-a-disk-2".parse().unwrap(),
        ..disk
    };
    let (_, applied) = created(&Vm {
        disks: vec![other],
        ..vm()
    });
    assert_ne!(serial_of(applied, "a-very-long-name-of-a-disk-2"), serial);
}

proptest! {
    /// Every line that no edit names is still there, in order.
    #[test]
    fn edits_keep_every_unmanaged_byte(kib in 1u64..10_000_000, vcpus in 1u32..9, cmdline in "[a-z=<>&'\" ]{1,40}x", log in "[a-z]{1,8}") {
        let (_, applied) = created(&vm());
        let mut changed = vm();
        changed.memory = Size::from_bytes(kib * 1024);
        changed.vcpus = vcpus;
        changed.boot.cmdline = cmdline.parse().unwrap();
        changed.console.log = Some(format!("/var/log/{log}").parse().unwrap());
        let comparison = compared(&changed, Some(&record(&vm(), applied)), STORED);
        let text = apply_edits(STORED, &comparison.edits).unwrap();
        let managed = ["<memory", "<currentMemory", "<vcpu", "<cmdline", "<log"];
        let unmanaged = |text: &str| text.lines().filter(|line| !managed.iter().any(|tag| line.contains(tag))).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(unmanaged(&text), unmanaged(STORED));
        let again = compared(&changed, None, &text);
        prop_assert_eq!(again.edits, vec![]);
    }

    #[test]
    fn a_mark_is_read_as_it_was_written(name in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,30}") {
        prop_assume!(name != "null");
        let text = format!("<domain><metadata>{}</metadata></domain>", render_mark(&name.parse().unwrap(), &name.parse().unwrap(), &UUID.parse().unwrap()));
        let document = parse(&text).unwrap();
        prop_assert_eq!(armfleet::mark::OwnerMark::find(document.root_element()).unwrap().vm, name);
    }
}
