//! Disks that others moved: a snapshot's overlay is left in its place, and the remedy that the plan names brings the VM
//! back without the loss of a byte.

use crate::fleet::{DISK, VM, recipe, second_vm, stopped_recipe};
use crate::host::TestHost;

const OVERLAY: &str = "/srv/armhf-vm.n.qcow2";

/// What a backup tool does every night.
fn take_snapshot(host: &TestHost) {
    let place = format!("vdz,file={OVERLAY}");
    let arguments = [
        "snapshot-create-as",
        VM,
        "n",
        "--disk-only",
        "--no-metadata",
    ];
    host.virsh(&[&arguments[..], &["--diskspec", &place]].concat())
        .success();
}

fn restarting() -> String {
    recipe().replace("512MiB", "640MiB") + "    restart: when-required\n"
}

/// The remedy of the plan's only refusal.
fn remedy(planned: &str) -> String {
    let line = planned
        .lines()
        .find_map(|line| line.trim().strip_prefix("-> "));
    line.unwrap_or_else(|| panic!("no remedy in\n{planned}"))
        .to_owned()
}

/// Runs the commands of a remedy as they stand, without the words that say what the last one does.
fn follow(host: &TestHost, remedy: &str) {
    for command in remedy.split(", then ") {
        let command = command.split(" writes what").next().unwrap();
        assert!(command.starts_with("virsh "), "{remedy}");
        host.run("sh", &["-c", command]).success();
    }
}

#[test]
fn a_snapshot_is_not_undone_and_the_named_way_back_loses_nothing() {
    let host = TestHost::with_applied(&recipe());
    host.guest("write-disk before");
    take_snapshot(&host);
    host.guest("write-disk since");
    let (definition, base) = (host.definition(VM), std::fs::read(host.path(DISK)).unwrap());

    for fleet in [recipe(), recipe() + "    protect: true\n", restarting()] {
        host.write_fleet(&fleet);
        let planned = host.planned(3);
        assert!(
            planned
                .contains("file /srv/armhf-vm.img -> /srv/armhf-vm.n.qcow2, format raw -> qcow2"),
            "{planned}"
        );
        assert!(
            !planned.contains("(drifted)") && !planned.contains(" stop "),
            "{planned}"
        );
        assert_eq!(host.apply().code, Some(3));
        assert_eq!(host.state(VM), "running");
    }
    // Other changes were made meanwhile; the disk is as it was.
    let memory = |text: &str| text.replace("655360", "524288");
    assert_eq!(memory(&host.definition(VM)), definition);
    assert_eq!(std::fs::read(host.path(DISK)).unwrap(), base);

    host.write_fleet(&recipe());
    host.shut_down();
    let planned = host.planned(3);
    assert_eq!(
        (host.apply().code, host.state(VM).as_str()),
        (Some(3), "shut off")
    );
    follow(&host, &remedy(&planned));
    assert_eq!(host.guest("read-disk"), "guest: disk-text since\n");
    host.apply().success();
    host.shut_down();
    host.apply().success();
    assert_eq!(host.guest("read-disk"), "guest: disk-text since\n");
    host.assert_converged();
}

#[test]
fn a_backing_chain_under_the_same_image_is_not_started() {
    let host = TestHost::with_applied(&stopped_recipe());
    let definition = host.definition(VM);
    let source = format!("<source file='{DISK}'/>");
    host.define(&definition.replace(
        &source,
        &format!("{source}<backingStore type='file'><format type='raw'/><source file='/srv/base.img'/><backingStore/></backingStore>"),
    ));
    host.write_fleet(&recipe());
    let planned = host.planned(3);
    assert!(
        planned.contains("backing file nothing -> /srv/base.img"),
        "{planned}"
    );
    assert!(!planned.contains("> start"), "{planned}");
    host.define(&definition);
    host.write_fleet(&stopped_recipe());
    host.assert_converged();
}

#[test]
fn a_vm_with_snapshots_or_checkpoints_is_removed_only_without_them() {
    let host = TestHost::with_applied(&(recipe() + &second_vm("kept")));
    host.virsh(&[
        "snapshot-create-as",
        VM,
        "nightly",
        "--disk-only",
        "--diskspec",
        &format!("vdz,file={OVERLAY}"),
    ])
    .success();
    host.write_fleet(&format!("fleet: recipe\nvms:\n{}", second_vm("kept")));
    let removal = ["plan", "--allow-removal=1"];
    let plan = host.armfleet(&removal);
    assert_eq!(plan.code, Some(3), "{}{}", plan.stdout, plan.stderr);
    assert!(
        plan.stdout.contains("it has snapshots: nightly\n"),
        "{}",
        plan.stdout
    );
    assert_eq!(
        host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"])
            .code,
        Some(3)
    );
    assert_eq!(host.state(VM), "running");
    host.run("sh", &["-c", &remedy(&plan.stdout)]).success();

    host.virsh(&["checkpoint-create-as", VM, "monday"])
        .success();
    let plan = host.armfleet(&removal);
    assert!(
        plan.stdout.contains("it has checkpoints: monday\n"),
        "{}{}",
        plan.stdout,
        plan.stderr
    );
    host.run("sh", &["-c", &remedy(&plan.stdout)]).success();
    host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"])
        .success();
    assert!(host.path(DISK).exists() && host.path(OVERLAY).exists());
    host.assert_converged();
}

#[test]
fn what_is_put_in_an_images_place_is_used_only_when_it_is_accepted() {
    let host = TestHost::with_applied(&stopped_recipe());
    let replace = |bytes: &[u8], size: u64| {
        std::fs::remove_file(host.path(DISK)).unwrap();
        host.write(DISK, bytes);
        let file = std::fs::File::options().write(true).open(host.path(DISK));
        file.unwrap().set_len(size).unwrap();
    };
    host.write(DISK, b"the guest's");
    std::fs::File::options()
        .write(true)
        .open(host.path(DISK))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    replace(b"from a backup", 64 << 20);
    let planned = host.planned(3);
    assert!(
        planned.contains("/srv/armhf-vm.img is not the one that was applied"),
        "{planned}"
    );
    host.armfleet(&["apply", "--auto-approve", "--accept", VM])
        .success();
    host.assert_converged();

    // The same file, with less in it than it had.
    let file = std::fs::File::options()
        .write(true)
        .open(host.path(DISK))
        .unwrap();
    file.set_len(1 << 20).unwrap();
    assert!(
        host.planned(3)
            .contains("has shrunk: 64 MiB at the last apply, 1 MiB now")
    );
    file.set_len(0).unwrap();
    file.set_len(64 << 20).unwrap();
    assert!(host.planned(3).contains("has no data any more"));
    assert_eq!(host.apply().code, Some(3));
    let accepted = host.armfleet(&["apply", "--auto-approve", "--accept", VM]);
    assert_eq!(accepted.code, Some(3));
    host.armfleet(&[
        "apply",
        "--auto-approve",
        "--accept",
        VM,
        "--allow-replace",
        VM,
    ])
    .success();
    host.assert_converged();
}

#[test]
fn an_image_of_another_format_is_not_attached_as_raw_and_can_be_converted() {
    let host = TestHost::with_fleet(&stopped_recipe());
    host.run("qemu-img", &["create", "-q", "-f", "qcow2", DISK, "64M"])
        .success();
    let before = std::fs::read(host.path(DISK)).unwrap();
    let planned = host.planned(3);
    assert!(
        planned.contains("its disk /srv/armhf-vm.img is a qcow2 image"),
        "{planned}"
    );
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(std::fs::read(host.path(DISK)).unwrap(), before);
    let remedy = remedy(&planned);
    let (convert, _) = remedy.split_once(", and set path").unwrap();
    host.run("sh", &["-c", convert]).success();
    host.write_fleet(&stopped_recipe().replace("{name}.img", "{name}.img.raw"));
    host.apply().success();
    host.assert_converged();
}
