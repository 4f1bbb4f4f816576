//! Disks that are copied from a base image, or that lie over one: it is read, never written, and it does not change below
//! them.

use crate::faults::Disturbance;
use crate::harness::applied::{applied_on, empty_host, perform, plan_on, spec};
use crate::harness::{FLEET, apply, plan_of, settled_host, text};
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives, Reads};
use armfleet::inventory::Look;
use armfleet::plan::{Ended, Policy};
use armfleet::qcow2::{Backing, Qcow2, new_qcow2};

const BASE: &str = "/srv/base.img";
const GIB: u64 = 1 << 30;
const HEAD: &str = "what the base image holds";
const COPY: &str = "/srv/a.img";
const OVERLAY: &str = "/srv/a.qcow2";

fn fleet(disk: &str) -> Spec {
    spec(&format!("fleet: f\nvms:\n{}", vm("a", disk)))
}

fn vm(name: &str, disk: &str) -> String {
    format!(
        "  {name}: {{ arch: armhf, memory: 1GiB, boot: {{ cmdline: console=ttyAMA0 root=/dev/vda1, seed: {{ kernel: \
         /srv/seed/vmlinuz, initrd: /srv/seed/initrd.img }} }}, disks: [{disk}], on_guest_reboot: stop }}\n"
    )
}

fn copied(more: &str) -> Spec {
    fleet(&format!(
        "{{ path: {COPY}, size: 8GiB, from: {{ path: {BASE}{more} }} }}"
    ))
}

fn over(base: &str) -> Spec {
    fleet(&format!(
        "{{ path: {OVERLAY}, backing: {{ path: {base} }} }}"
    ))
}

/// A host with a base image of 1 GiB.
fn host() -> Memory {
    let host = empty_host();
    host.create_image(BASE, HEAD.as_bytes(), GIB).unwrap();
    host.own(BASE, 0o644, Owner { uid: 0, gid: 0 }).unwrap();
    host
}

fn size(host: &Memory, path: &str) -> u64 {
    host.look(path, Look::Stat).present().unwrap().stat.size
}

/// What a plan refuses, with its remedy.
fn refused(spec: &Spec, host: &Memory) -> String {
    let plan = plan_on(spec, host);
    let refusals = plan.refusals.iter();
    refusals
        .map(|refusal| format!("{} -> {}\n", refusal.why, refusal.remedy))
        .collect()
}

#[track_caller]
fn assert_settled(spec: &Spec, host: &Memory) {
    let plan = plan_on(spec, host);
    assert!(
        plan.is_empty() && plan.refusals.is_empty(),
        "{}",
        text(&plan)
    );
}

#[test]
fn a_missing_image_is_copied_and_grown_and_then_its_base_means_nothing() {
    let sha256 = host()
        .look(BASE, Look::Digest)
        .present()
        .unwrap()
        .sha256
        .clone()
        .unwrap();
    let spec = copied(&format!(", sha256: {sha256}"));
    let host = applied_on(&host(), &spec);
    assert_eq!(host.bytes(COPY).unwrap(), HEAD.as_bytes());
    assert_eq!((size(&host, COPY), size(&host, BASE)), (8 * GIB, GIB));
    assert_settled(&spec, &host);
    host.write_image(BASE, "another one").unwrap();
    assert_settled(&spec, &host);
    host.remove(BASE);
    for spec in [
        &spec,
        &copied(""),
        &fleet(&format!("{{ path: {COPY}, size: 8GiB }}")),
    ] {
        assert_settled(spec, &host);
    }
}

#[test]
fn a_copy_has_its_bases_size_where_none_is_given_and_never_less() {
    for size_key in ["", ", size: 512MiB"] {
        let spec = fleet(&format!(
            "{{ path: {COPY}{size_key}, from: {{ path: {BASE} }} }}"
        ));
        let host = applied_on(&host(), &spec);
        assert_eq!(size(&host, COPY), GIB);
        assert_settled(&spec, &host);
    }
    let host = empty_host();
    let base = "/srv/base.qcow2";
    let (head, bytes) = new_qcow2(GIB, None);
    host.create_image(base, &head, bytes).unwrap();
    let spec = fleet(&format!(
        "{{ path: {OVERLAY}, size: 2GiB, from: {{ path: {base} }} }}"
    ));
    let host = applied_on(&host, &spec);
    let image = Qcow2::read(&host.bytes(OVERLAY).unwrap()).unwrap().unwrap();
    assert_eq!((image.size, size(&host, OVERLAY)), (2 * GIB, bytes));
    assert_settled(&spec, &host);
}

#[test]
fn a_base_image_with_another_digest_is_no_disk() {
    let host = host();
    let wanted = "0".repeat(64);
    let seen = host
        .look(BASE, Look::Digest)
        .present()
        .unwrap()
        .sha256
        .clone()
        .unwrap();
    let yaml = FLEET.replace(
        "size: 8GiB",
        &format!("size: 8GiB, from: {{ path: {BASE}, sha256: '{wanted}' }}"),
    );
    assert_ne!(yaml, FLEET);
    let applied = apply(&host, &yaml, &Policy::default());
    let failed = applied
        .outcome
        .ended
        .values()
        .filter_map(|ended| match ended {
            Ended::Failed(error) => Some(error.causes.join(": ")),
            _ => None,
        });
    let failed: String = failed.collect();
    assert!(
        failed.contains(&wanted) && failed.contains(&seen),
        "{failed}"
    );
    assert!(host.look("/srv/armhf-vm.img", Look::Stat).is_absent());
    assert!(host.uuid_of("armhf-vm").is_err());
}

#[test]
fn a_base_image_that_changed_since_the_plan_is_not_copied() {
    let host = host();
    let plan = plan_on(&copied(""), &host);
    host.write_image(BASE, "meanwhile another").unwrap();
    let outcome = perform_outcome(&host, &plan);
    assert!(
        outcome.contains("/srv/base.img changed since it was planned"),
        "{outcome}"
    );
    assert!(host.look(COPY, Look::Stat).is_absent());
}

fn perform_outcome(host: &Memory, plan: &armfleet::plan::Plan) -> String {
    let executor = armfleet::host::Executor::locked(host.clone()).unwrap();
    let step = plan
        .steps
        .iter()
        .find(|step| step.id.to_string() == "disk/a/a")
        .unwrap();
    armfleet::host::Host::begin(&executor, step)
        .map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn an_apply_that_copies_survives_everything() {
    let host = settled_host();
    host.create_image(BASE, HEAD.as_bytes(), 1 << 16).unwrap();
    let copy = format!("{{ path: {COPY}, from: {{ path: {BASE} }} }}");
    let yaml = FLEET.replace("size: 8GiB }", &format!("size: 8GiB }}, {copy}"));
    assert_ne!(yaml, FLEET);
    Disturbance::new(20, host, yaml).survives_everything();
}

#[test]
fn an_overlay_names_its_base_everywhere_and_leaves_it_roots() {
    let host = host();
    let both = spec(&format!(
        "fleet: f\nvms:\n{}{}",
        vm(
            "a",
            &format!("{{ path: {OVERLAY}, size: 2GiB, backing: {{ path: {BASE} }} }}")
        ),
        vm(
            "b",
            &format!("{{ path: /srv/b.qcow2, backing: {{ path: {BASE}, format: raw }} }}")
        ),
    ));
    let host = applied_on(&host, &both);
    for (path, wanted) in [(OVERLAY, 2 * GIB), ("/srv/b.qcow2", GIB)] {
        let image = Qcow2::read(&host.bytes(path).unwrap()).unwrap().unwrap();
        assert_eq!(image.size, wanted);
        assert!(image.backing.unwrap().is(Backing {
            path: BASE,
            format: "raw"
        }));
    }
    let uuid = host.uuid_of("a").unwrap();
    let definition = host.dump_secure(&uuid).unwrap();
    let chain = definition.split_once("<backingStore").unwrap().1;
    let chain = chain.split_once("</backingStore>").unwrap().0;
    for part in [BASE, "type='raw'", "relabel='no'", "model='dac'"] {
        assert!(chain.contains(part), "{part} in {chain}");
    }
    assert_settled(&both, &host);
}

#[test]
fn a_base_image_that_changed_below_a_disk_is_refused_until_it_is_accepted() {
    let spec = over(BASE);
    let host = applied_on(&host(), &spec);
    assert_settled(&spec, &host);
    let other = host.fork();
    other.remove(BASE);
    assert_eq!(
        refused(&spec, &other),
        "the base image /srv/base.img of its disk /srv/a.qcow2 is gone; it was there at the last apply -> restore it; another one \
         in its place needs armfleet apply --accept a\n"
    );
    host.write_image(BASE, "changed").unwrap();
    assert_eq!(
        refused(&spec, &host),
        "the base image /srv/base.img of its disk /srv/a.qcow2 changed since the last apply -> put the former one back, or \
         armfleet apply --accept a to use what is there now; its guest may find its files damaged\n"
    );
    let accepts = Policy {
        accept: vec!["a".parse().unwrap()],
        ..Policy::default()
    };
    let host = perform(&host, &plan_of(&host, &spec, &accepts));
    assert_settled(&spec, &host);
}

#[test]
fn an_image_lies_over_what_the_file_says_or_is_refused() {
    let spec = over(BASE);
    let host = applied_on(&host(), &spec);
    let without = fleet(&format!("{{ path: {OVERLAY} }}"));
    let said = refused(&without, &host);
    assert!(said.starts_with("its disk /srv/a.qcow2 cannot be attached as a qcow2 image: it lies over another image, /srv/base.img as raw -> qemu-img convert"), "{said}");
    host.create_image("/srv/new.img", &[1], GIB).unwrap();
    host.own("/srv/new.img", 0o644, Owner { uid: 0, gid: 0 })
        .unwrap();
    let said = refused(&over("/srv/new.img"), &host);
    assert!(
        said.contains(
            "qemu-img rebase -f qcow2 -b /srv/new.img -F raw /srv/a.qcow2 while the VM is off"
        ),
        "{said}"
    );
    let whole = empty_host();
    whole.create_image(BASE, HEAD.as_bytes(), GIB).unwrap();
    whole.own(BASE, 0o644, Owner { uid: 0, gid: 0 }).unwrap();
    let (head, bytes) = new_qcow2(GIB, None);
    whole.create_image(OVERLAY, &head, bytes).unwrap();
    let said = refused(&spec, &whole);
    assert!(
        said.contains(
            "it lies over no other image, not over /srv/base.img as raw -> qemu-img rebase"
        ),
        "{said}"
    );
}

#[test]
fn a_base_image_that_cannot_be_one_is_refused() {
    let small = fleet(&format!(
        "{{ path: {OVERLAY}, size: 512MiB, backing: {{ path: {BASE} }} }}"
    ));
    let qcow2 = new_qcow2(GIB, None).0;
    let overlay = new_qcow2(
        GIB,
        Some(Backing {
            path: "/etc/shadow",
            format: "raw",
        }),
    )
    .0;
    let own = |mode, uid| move |host: &Memory| host.own(BASE, mode, Owner { uid, gid: 0 }).unwrap();
    let put = |bytes: Vec<u8>| {
        move |host: &Memory| {
            host.remove(BASE);
            host.put_file(BASE, &bytes).unwrap();
            host.own(BASE, 0o644, Owner { uid: 0, gid: 0 }).unwrap();
        }
    };
    type Change = Box<dyn Fn(&Memory)>;
    let as_qcow2 = fleet(&format!(
        "{{ path: {OVERLAY}, backing: {{ path: {BASE}, format: qcow2 }} }}"
    ));
    let cases: Vec<(&Spec, Change, &str)> = vec![
        (
            &small,
            Box::new(|_| ()),
            "would have 512 MiB, and its base image /srv/base.img has 1 GiB -> set size: 1GiB or more",
        ),
        (
            &as_qcow2,
            Box::new(|_| ()),
            "is a raw image, and would be read as qcow2 -> qemu-img convert -f raw -O qcow2",
        ),
        (
            &as_qcow2,
            Box::new(put(overlay)),
            "lies over another image, which could change below it -> qemu-img convert -f qcow2 -O qcow2",
        ),
    ];
    for (spec, change, why) in cases {
        let host = host();
        change(&host);
        let said = refused(spec, &host);
        assert!(said.contains(why), "{why}: {said}");
    }
    let over = over(BASE);
    let copied = copied("");
    let cases: Vec<(Vec<&Spec>, Change, &str)> = vec![
        (
            vec![&over, &copied],
            Box::new(|host| host.remove(BASE)),
            "its base image /srv/base.img is not there -> put it there",
        ),
        (
            vec![&over, &copied],
            Box::new(put(qcow2)),
            "is a qcow2 image, and would be read as raw -> qemu-img convert -f qcow2 -O raw",
        ),
        (
            vec![&over, &copied],
            Box::new(put(b"odd".to_vec())),
            "no whole number of sectors",
        ),
        (
            vec![&over],
            Box::new(own(0o600, 0)),
            "cannot be read by QEMU's user -> chgrp",
        ),
        (
            vec![&over],
            Box::new(own(0o646, 0)),
            "can be written by QEMU's user",
        ),
        (
            vec![&over],
            Box::new(own(0o644, 64055)),
            "belongs to QEMU's user, which all VMs share -> chown root:",
        ),
    ];
    for (specs, change, why) in cases {
        for spec in specs {
            let host = host();
            change(&host);
            let said = refused(spec, &host);
            assert!(said.contains(why), "{why}: {said}");
            assert!(
                plan_on(spec, &host)
                    .steps
                    .iter()
                    .all(|step| !step.id.to_string().starts_with("disk/"))
            );
        }
    }
}

#[test]
fn a_base_image_that_a_guest_can_write_is_refused() {
    let host = host();
    let other = spec(&format!(
        "fleet: g\nvms:\n{}",
        vm("other", &format!("{{ path: {BASE} }}"))
    ));
    let host = applied_on(&host, &other);
    host.put_link("/srv/alias", "/srv").unwrap();
    let alias = "/srv/alias/base.img";
    for (base, why) in [
        (BASE, "is used by domain other"),
        (
            alias,
            "is the same as /srv/base.img, which domain other uses",
        ),
    ] {
        let copy = format!("{{ path: {COPY}, from: {{ path: {base} }} }}");
        for spec in [over(base), fleet(&copy)] {
            let said = refused(&spec, &host);
            let why = format!("its base image {base} {why}");
            assert!(said.contains(&why), "{why}: {said}");
        }
    }
    // One's own disk cannot become its base while the domain has it.
    let host = applied_on(&self::host(), &fleet(&format!("{{ path: {BASE} }}")));
    let said = refused(&over(BASE), &host);
    assert!(
        said.contains("its base image /srv/base.img is a disk of domain a"),
        "{said}"
    );
}
