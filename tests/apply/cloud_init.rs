//! The disk from which cloud-init reads: made, made anew beside the old one, mended and removed.

use crate::harness::{FLEET, UUID, VM, observe_for, plan_of, settled_host, spec_with, text};
use armfleet::engine::{apply, observe_and_plan};
use armfleet::fleet::Spec;
use armfleet::host::Executor;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives as _, Reads as _};
use armfleet::inventory::{Inventory, Look};
use armfleet::mark::{CloudInitReceipt, read_cloud_init_receipt};
use armfleet::plan::{Act, Plan, Policy};
use armfleet::report::{PlanReport, render_json, render_markdown};
use armfleet::values::Secrets;
use std::collections::BTreeMap;

const FOLDER: &str = "/var/lib/armfleet/vms/armhf-vm/cloud-init";
const SECRET: &str = "hunter2-geheim";

fn disk(number: usize) -> String {
    format!("{FOLDER}/{number}.img")
}

fn fleet(cloud_init: &str) -> String {
    format!("{FLEET}    cloud_init: {cloud_init}\n")
}

/// With this user data.
fn with(user_data: &str) -> Spec {
    with_secret(user_data, Secrets::default())
}

fn with_secret(user_data: &str, secrets: Secrets) -> Spec {
    let fleet = fleet("{ user_data: user-data }");
    spec_with(&fleet, &[("user-data", user_data)], secrets)
}

fn secrets(value: &str) -> Secrets {
    Secrets::new([("PW".to_owned(), value.to_owned())].into())
}

const FIRST: &str = "#cloud-config\nhostname: {name}\n";
const SECOND: &str = "#cloud-config\nhostname: other\n";

fn planned(host: &Memory, spec: &Spec) -> Plan {
    plan_of(host, spec, &Policy::default())
}

/// Applies a fleet, after which there is nothing to do.
#[track_caller]
fn applied(host: &Memory, spec: &Spec) -> String {
    let executor = Executor::locked(host.clone()).unwrap();
    let (plan, _) = observe_and_plan(&executor, spec, &Policy::default()).unwrap();
    let outcome = apply(&executor, spec, &Policy::default(), &plan, &()).unwrap();
    assert!(outcome.all_done(), "{:#?}", outcome.ended);
    let left = &outcome.residual;
    assert!(left.is_empty() && left.is_complete(), "{}", text(left));
    text(&plan)
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.id.to_string()).collect()
}

fn receipt(host: &Memory) -> CloudInitReceipt {
    read_cloud_init_receipt(&host.bytes(&format!("{FOLDER}/cloud-init.json")).unwrap()).unwrap()
}

fn is_there(host: &Memory, path: &str) -> bool {
    host.look(path, Look::Stat).present().is_some()
}

/// The sources of a domain's disks, in the order of its definition.
fn sources(xml: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    let disks = document
        .descendants()
        .filter(|node| node.has_tag_name("disk"));
    let source = |disk: roxmltree::Node<'_, '_>| {
        let mut children = disk.children();
        let source = children.find(|node| node.has_tag_name("source"))?;
        Some(source.attribute("file")?.to_owned())
    };
    disks.filter_map(source).collect()
}

fn defined(host: &Memory) -> String {
    host.dump_secure(UUID).unwrap()
}

fn live(host: &Memory) -> String {
    host.domain(UUID).unwrap().live.present().unwrap().clone()
}

fn restart(host: &Memory) {
    host.shutdown(UUID, std::time::Duration::from_secs(1))
        .unwrap();
    host.pause(std::time::Duration::from_secs(5));
    host.start(UUID).unwrap();
}

#[test]
fn a_disk_is_made_before_the_domain_that_has_it_last_and_read_only() {
    let host = settled_host();
    let shown = applied(&host, &with(FIRST));
    for line in [
        "+ cloud-init armhf-vm  new, for cloud-init in the guest",
        "cloud-init cidata      + /var/lib/armfleet/vms/armhf-vm/cloud-init/1.img",
        "at next boot: virtio-mmio has no hotplug",
    ] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&shown).contains(&words(line)), "{line}\n{shown}");
    }
    let defined = defined(&host);
    // On virtio-mmio the guest counts in reverse.
    assert_eq!(sources(&defined), [disk(1), "/srv/armhf-vm.img".to_owned()]);
    let (_, element) = defined.split_once("<disk").unwrap();
    let (element, _) = element.split_once("</disk>").unwrap();
    assert!(
        element.contains("<readonly/>") && element.contains("dev='vda'"),
        "{element}"
    );
    let bytes = host.bytes(&disk(1)).unwrap();
    for part in [
        "CIDATA",
        "#cloud-config\nhostname: armhf-vm\n",
        "local-hostname: armhf-vm\n",
    ] {
        assert!(has(&bytes, part), "{part}");
    }
    let file = host.look(&disk(1), Look::Stat);
    let stat = &file.present().unwrap().stat;
    assert_eq!((stat.mode, stat.uid), (0o644, 0));
    let folder = host.look(FOLDER, Look::Stat);
    let folder = &folder.present().unwrap().stat;
    assert_eq!((folder.mode, folder.uid), (0o710, 0));
    assert_ne!(folder.gid, 0, "QEMU's group");
}

fn has(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|at| at == part.as_bytes())
}

#[test]
fn changed_texts_are_another_disk_and_a_running_vm_keeps_its_own() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    restart(&host);
    let former = host.bytes(&disk(1)).unwrap();
    let shown = applied(&host, &with(SECOND));
    assert!(shown.contains("its files changed"), "{shown}");
    assert!(shown.contains("its instance-id did not"), "{shown}");
    assert!(shown.contains("at next boot"), "{shown}");
    assert_eq!(host.bytes(&disk(1)).unwrap(), former);
    assert_eq!(sources(&live(&host))[0], disk(1));
    assert_eq!(sources(&defined(&host))[0], disk(2));
    assert!(has(&host.bytes(&disk(2)).unwrap(), "hostname: other"));
    // It is pending, which a plan says and does nothing about.
    let pending = text(&planned(&host, &with(SECOND)));
    assert!(
        pending.contains("runs with cloud-init cidata file"),
        "{pending}"
    );
    // A third one, while the first is still in use.
    applied(&host, &with("#!/bin/sh\n"));
    assert_eq!(sources(&defined(&host))[0], disk(3));
    restart(&host);
    applied(&host, &with(FIRST));
    assert_eq!(sources(&defined(&host))[0], disk(1));
    // What neither the domain nor its process has is gone.
    let left = [1, 2, 3, 4].map(|number| is_there(&host, &disk(number)));
    assert_eq!(left, [true, false, true, false]);
    assert_eq!(receipt(&host).disk, "1.img");
}

#[test]
fn metadata_with_another_instance_id_needs_no_word_about_it() {
    let host = settled_host();
    let spec = |id: &str| {
        let fleet = fleet("{ user_data: u, meta_data: m, network_config: n }");
        spec_with(
            &fleet,
            &[("m", &format!("instance-id: {id}\n"))],
            Secrets::default(),
        )
    };
    applied(&host, &spec("one"));
    assert!(has(&host.bytes(&disk(1)).unwrap(), "instance-id: one\n"));
    let shown = applied(&host, &spec("two"));
    assert!(
        shown.contains("its files changed") && !shown.contains("instance-id"),
        "{shown}"
    );
}

#[test]
fn what_was_changed_by_hand_is_made_again_under_its_name() {
    let host = settled_host();
    let spec = with(FIRST);
    applied(&host, &spec);
    let made = host.bytes(&disk(1)).unwrap();
    let write = |host: &Memory| host.write_image(&disk(1), "other").unwrap();
    let remove = |host: &Memory| host.remove_file(&disk(1)).unwrap();
    let replace = |host: &Memory| {
        host.remove_file(&disk(1)).unwrap();
        host.put_file(&disk(1), made.clone()).unwrap();
    };
    let link = |host: &Memory| {
        host.remove_file(&disk(1)).unwrap();
        host.put_link(&disk(1), "/srv/armhf-vm.img").unwrap();
    };
    type Case<'a> = (&'a dyn Fn(&Memory), &'a str);
    let root = Owner { uid: 0, gid: 0 };
    let open = |host: &Memory| host.set_folder_owner(FOLDER, 0o711, root).unwrap();
    let give = |host: &Memory| host.own(&disk(1), 0o666, root).unwrap();
    let cases: [Case<'_>; 6] = [
        (&open, "its folder has mode 0711 and belongs to 0:0"),
        (&give, "1.img has mode 0666 and belongs to user 0"),
        (&write, "1.img was changed"),
        (&remove, "1.img is gone"),
        (&replace, "1.img is another file"),
        (&link, "1.img is a symbolic link"),
    ];
    for (damage, why) in cases {
        let host = host.fork();
        damage(&host);
        let plan = planned(&host, &spec);
        assert_eq!(steps(&plan), ["cloud-init/armhf-vm"], "{why}");
        assert!(text(&plan).contains(why), "{}", text(&plan));
        let drift = Policy {
            drift_only: true,
            ..Policy::default()
        };
        assert_eq!(
            steps(&plan_of(&host, &spec, &drift)),
            ["cloud-init/armhf-vm"]
        );
        applied(&host, &spec);
        assert_eq!(host.bytes(&disk(1)).unwrap(), made, "{why}");
        assert_eq!(
            host.bytes("/srv/armhf-vm.img").unwrap(),
            crate::harness::DATA.as_bytes()
        );
    }
}

#[test]
fn a_definition_that_was_changed_by_hand_is_put_right() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    let other = |text: &str| text.replace(&disk(1), "/srv/other.img");
    host.edit_domain(VM, other).unwrap();
    let plan = planned(&host, &with(FIRST));
    assert_eq!(steps(&plan), ["domain/armhf-vm"]);
    assert!(text(&plan).contains("drifted"), "{}", text(&plan));
    applied(&host, &with(FIRST));
    assert_eq!(sources(&defined(&host))[0], disk(1));
    let without = |text: &str| {
        let (before, rest) = text.split_once("<disk").unwrap();
        let (_, after) = rest.split_once("</disk>").unwrap();
        format!("{before}{after}")
    };
    host.edit_domain(VM, without).unwrap();
    applied(&host, &with(FIRST));
    assert_eq!(sources(&defined(&host))[0], disk(1));
}

/// A receipt that is lost, or a key, tells nothing: what may be another disk is not taken for this one.
#[test]
fn without_receipt_or_key_another_disk_is_made() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    let lost = host.fork();
    lost.remove_file(&format!("{FOLDER}/cloud-init.json"))
        .unwrap();
    let shown = applied(&lost, &with(FIRST));
    assert!(
        shown.contains("what armfleet kept of it is gone"),
        "{shown}"
    );
    assert_eq!(sources(&defined(&lost))[0], disk(2));
    host.remove_file(armfleet::paths::KEY).unwrap();
    let shown = applied(&host, &with(FIRST));
    assert!(
        shown.contains("the key of this host's digests is gone"),
        "{shown}"
    );
    assert_eq!(sources(&defined(&host))[0], disk(2));
}

#[test]
fn it_goes_with_the_key_and_with_the_vm() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    restart(&host);
    let plain = spec_with(FLEET, &[], Secrets::default());
    let gone = host.fork();
    let plan = planned(&gone, &plain);
    assert_eq!(
        steps(&plan),
        ["domain/armhf-vm", "cloud-init/armhf-vm", "record/armhf-vm"]
    );
    applied(&gone, &plain);
    assert_eq!(sources(&defined(&gone)), ["/srv/armhf-vm.img"]);
    assert!(!is_there(&gone, FOLDER));
    // The process has it open until it ends.
    assert_eq!(sources(&live(&gone))[0], disk(1));
    let policy = crate::harness::case::policy(Some("--allow-removal=1"));
    let empty = crate::harness::EMPTY;
    crate::harness::apply(&host, empty, &policy).assert_converged();
    assert!(!is_there(&host, FOLDER) && !is_there(&host, "/var/lib/armfleet/vms/armhf-vm"));
}

/// A file that is none of armfleet's stays, and is named.
#[test]
fn what_is_not_armfleets_stays() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    host.put_file(&format!("{FOLDER}/notes"), "mine").unwrap();
    let plain = spec_with(FLEET, &[], Secrets::default());
    let executor = Executor::locked(host.clone()).unwrap();
    let (plan, _) = observe_and_plan(&executor, &plain, &Policy::default()).unwrap();
    let outcome = apply(&executor, &plain, &Policy::default(), &plan, &()).unwrap();
    assert!(outcome.all_done());
    let warnings = format!("{:?}", outcome);
    assert!(
        warnings.contains("cloud-init/notes is none of armfleet's files"),
        "{warnings}"
    );
    assert!(is_there(&host, &format!("{FOLDER}/notes")) && !is_there(&host, &disk(1)));
    assert!(outcome.residual.is_empty(), "{}", text(&outcome.residual));
}

#[test]
fn a_file_of_a_later_version_is_left_alone() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    let path = format!("{FOLDER}/cloud-init.json");
    let text_of = String::from_utf8(host.bytes(&path).unwrap()).unwrap();
    let later = text_of.replace("armfleet-cloud-init/1", "armfleet-cloud-init/9");
    host.put_file(&path, &*later).unwrap();
    let plan = planned(&host, &with(SECOND));
    assert_eq!(steps(&plan), [""; 0]);
    assert!(
        text(&plan).contains("cloud-init.json stays as it is"),
        "{}",
        text(&plan)
    );
}

#[test]
fn a_new_disk_of_the_vm_comes_before_it() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    let more = fleet("{ user_data: user-data }").replace(
        "size: 8GiB }]",
        "size: 8GiB }, { path: /srv/more.img, size: 1GiB }]",
    );
    let spec = spec_with(&more, &[("user-data", FIRST)], Secrets::default());
    applied(&host, &spec);
    let expected = [
        disk(1),
        "/srv/more.img".to_owned(),
        "/srv/armhf-vm.img".to_owned(),
    ];
    assert_eq!(sources(&defined(&host)), expected);
}

/// Everything that a plan shows or keeps, and everything that armfleet keeps on the host but the disk.
#[test]
fn the_values_of_secrets_are_on_the_disk_and_nowhere_else() {
    let host = settled_host();
    let text_of = "#cloud-config\npassword: {env.PW}\nliteral: swordfish\n";
    let spec = with_secret(text_of, secrets(SECRET));
    let seen = Inventory::read(observe_for(&host, &spec), &spec);
    let plan = planned(&host, &spec);
    let report = PlanReport::new(&plan, None);
    let shown = [
        format!("{spec:?}{plan:?}{seen:?}"),
        serde_json::to_string(&plan).unwrap(),
        text(&plan),
        render_json(&report).unwrap(),
        render_markdown(&report),
    ];
    for shown in shown {
        assert!(
            !shown.contains(SECRET) && !shown.contains("swordfish"),
            "{shown}"
        );
    }
    applied(&host, &spec);
    let made = host.bytes(&disk(1)).unwrap();
    assert!(has(
        &made,
        &format!("password: {SECRET}\nliteral: swordfish\n")
    ));
    for (path, bytes) in host.files() {
        let hidden = has(&bytes, SECRET) || has(&bytes, "swordfish");
        assert_eq!(hidden, path == disk(1), "{path}");
    }
    // Another value is another disk, by its digest.
    let other = with_secret(text_of, secrets("another-value"));
    let shown = applied(&host, &other);
    assert!(shown.contains("its files changed"), "{shown}");
    assert!(has(&host.bytes(&disk(2)).unwrap(), "another-value"));
}

#[test]
fn without_the_value_of_a_secret_a_disk_that_is_there_is_not_compared() {
    let host = settled_host();
    let text_of = "#cloud-config\npassword: {env.PW}\n";
    let open = || Secrets::default().or_unknown(["PW".to_owned()]);
    let first = planned(&host, &with_secret(text_of, open()));
    assert!(steps(&first).contains(&"cloud-init/armhf-vm".to_owned()));
    applied(&host, &with_secret(text_of, secrets(SECRET)));
    let plan = planned(&host, &with_secret(text_of, open()));
    assert_eq!(steps(&plan), [""; 0]);
    let shown = text(&plan);
    assert!(
        shown.contains("the value of {env.PW} in its cloud-init files was not observed"),
        "{shown}"
    );
    // A damaged one is seen nevertheless.
    host.remove_file(&disk(1)).unwrap();
    let plan = planned(&host, &with_secret(text_of, open()));
    assert_eq!(steps(&plan), ["cloud-init/armhf-vm"]);
}

/// What is performed is what was planned: other texts than the step's fail it.
#[test]
fn other_texts_than_were_planned_are_not_written() {
    let host = settled_host();
    applied(&host, &with(FIRST));
    let planned_then = planned(&host, &with(SECOND));
    let executor = Executor::locked(host.clone()).unwrap();
    let now = planned(&host, &with("#!/bin/sh\n"));
    armfleet::host::Inspect::redact(&executor, &now.redaction);
    let step = planned_then
        .steps
        .iter()
        .find(|step| matches!(step.act, Act::MakeCloudInit(_)))
        .unwrap();
    let failed = armfleet::host::Host::perform(&executor, step).unwrap_err();
    assert!(format!("{failed:?}").contains("cloud_init"), "{failed:?}");
    assert!(!is_there(&host, &disk(2)));
}

/// An installer that meets two disks asks which one it is to use: the disk comes with the VM's own kernel.
#[test]
fn an_installer_does_not_see_it() {
    let host = crate::harness::host_of("installed");
    let case = std::fs::read_to_string("tests/cases/installed/fleet.yaml").unwrap();
    let fleet = case.trim_end().to_owned() + "\n    cloud_init: { user_data: user-data }\n";
    let installing = crate::harness::host_of("installing");
    let spec = spec_with(&fleet, &[], Secrets::default());
    assert!(!steps(&planned(&installing, &spec)).contains(&"cloud-init/armhf-vm".to_owned()));
    assert!(steps(&planned(&host, &spec)).contains(&"cloud-init/armhf-vm".to_owned()));
}

/// Many at once, which all need the host's key first.
#[test]
fn many_vms_get_theirs_by_one_key() {
    let host = crate::harness::applied::empty_host();
    let vms: String = (0..40)
        .map(|n| {
            let rest = ", cloud_init: { user_data: user-data }";
            crate::harness::applied::vm(&format!("w{n:02}"), "64MiB", rest)
        })
        .collect();
    let fleet = format!("fleet: many\nvms:\n{vms}");
    let spec = spec_with(&fleet, &[], Secrets::default());
    applied(&host, &spec);
    let digests: BTreeMap<String, String> = (0..40)
        .map(|n| {
            let path = format!("/var/lib/armfleet/vms/w{n:02}/cloud-init/cloud-init.json");
            let receipt = read_cloud_init_receipt(&host.bytes(&path).unwrap()).unwrap();
            (receipt.digest, path)
        })
        .collect();
    assert_eq!(digests.len(), 40);
}
