//! What runs, what shall run, and what stands between.

use snapbox::assert_data_eq;

use crate::fleet::{CONSOLE, SHARE, VM, recipe, stopped_recipe};
use crate::host::{TestHost, script};

#[test]
fn a_guest_that_ignores_its_power_key_is_a_failure_and_never_powered_off() {
    let host = TestHost::with_applied(&recipe());
    host.guest("run killall acpid");
    host.write_fleet(&(stopped_recipe() + "    stop_timeout: 6s\n"));
    let apply = host.apply();
    assert_eq!(apply.code, Some(1), "{}", apply.stdout);
    assert_data_eq!(
        apply.stderr,
        snapbox::str![[r#"
  failed stop armhf-vm: armhf-vm did not stop within 6 s
      -> look at its console (armfleet console armhf-vm); raise stop_timeout, or armfleet stop --force armhf-vm, which cuts its power

"#]]
    );
    assert_eq!(host.state(VM), "running");
    host.guest("report");

    // Heeding it again, it stops, and stays so.
    host.guest("run acpid");
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  < stop      armhf-vm    state: stopped (drifted)

1 to stop.
Interrupts: armhf-vm (stopped).

"#]]
    );
    host.apply().success();
    assert!(host.console(CONSOLE).contains("guest: powering off\n"));
    assert_eq!(host.state(VM), "shut off");
    host.assert_converged();
}

#[test]
fn a_guest_that_still_boots_is_asked_again_until_it_stops() {
    let host = TestHost::with_applied(&recipe());
    host.virsh(&["destroy", VM]).success();
    host.virsh(&["start", VM]).success();
    host.write_fleet(&stopped_recipe());
    host.apply().success();
    assert_eq!(host.state(VM), "shut off");
    assert!(host.console(CONSOLE).contains("guest: powering off\n"));
}

#[test]
fn autostart_follows_the_file() {
    let host = TestHost::with_applied(&stopped_recipe());
    let autostart = |host: &TestHost| {
        let all = host.virsh(&["list", "--all", "--name", "--autostart"]);
        all.success().trim() == VM
    };
    assert!(!autostart(&host));
    for (text, wanted) in [
        (stopped_recipe() + "    autostart: true\n", true),
        (stopped_recipe() + "    autostart: false\n", false),
    ] {
        host.write_fleet(&text);
        assert_eq!(host.plan().code, Some(2));
        host.apply().success();
        assert_eq!(autostart(&host), wanted);
        host.assert_converged();
    }
}

#[test]
fn a_vm_that_starts_with_the_host_boots_what_the_hook_staged() {
    let host = TestHost::with_applied(&(stopped_recipe() + "    autostart: true\n"));
    host.run(script("libvirt"), &["stop"]).success();
    // libvirt's own note that it has started them since the host booted.
    std::fs::remove_file(host.path("/run/libvirt/qemu/autostarted")).unwrap();
    host.start_libvirtd();
    host.wait_for_state(VM, "running");
    assert!(host.path("/run/armfleet/hook-seen/armhf-vm").exists());
    assert!(
        host.path("/var/lib/armfleet/vms/armhf-vm/boot/current")
            .is_symlink()
    );
}

#[test]
fn a_vm_with_a_managed_save_is_refused_and_its_save_stays() {
    let host = TestHost::with_applied(&stopped_recipe());
    let before = host.definition(VM);
    // The guest has not run, so nothing of its share is in use.
    host.virsh(&["start", "--paused", VM]).success();
    host.virsh(&["managedsave", VM]).success();
    host.write_fleet(&recipe().replace("512MiB", "256MiB"));
    let apply = host.apply();
    assert_eq!(apply.code, Some(3));
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: not planned: its managed save image would ignore the new kernel
      -> virsh start armhf-vm resumes it as it was, with the kernel it had; or virsh managedsave-remove armhf-vm, which loses its memory as a power cut does

No changes, 1 refused.

"#]]
    );
    assert_eq!(host.definition(VM), before);
    assert!(
        host.path("/var/lib/libvirt/qemu/save/armhf-vm.save")
            .exists()
    );

    host.write_fleet("fleet: recipe\nvms: {}\n");
    let removal = host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"]);
    assert_eq!(removal.code, Some(3));
    assert!(
        removal
            .stdout
            .contains("it has a managed save image, which would be lost")
    );

    host.virsh(&["managedsave-remove", VM]).success();
    host.write_fleet(&recipe());
    host.apply().success();
    host.assert_converged();
}

#[test]
fn a_vm_that_somebody_undefined_while_it_runs_is_left_running() {
    let host = TestHost::with_applied(&recipe());
    host.virsh(&["undefine", VM]).success();
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: not planned: its domain is transient and vanishes when it stops
      -> virsh shutdown armhf-vm

No changes, 1 refused.

"#]]
    );
    assert_eq!(host.apply().code, Some(3));
    assert_eq!(host.state(VM), "running");
}

#[test]
fn a_paused_vm_is_left_paused() {
    let host = TestHost::with_applied(&recipe());
    host.virsh(&["suspend", VM]).success();
    assert_data_eq!(
        host.planned(0),
        snapbox::str![[r#"
  i armhf-vm: it is paused, and armfleet leaves it so
      virsh resume armhf-vm

No changes.

"#]]
    );
    host.apply().success();
    assert_eq!(host.state(VM), "paused");
    host.write_fleet(&stopped_recipe());
    assert_eq!(host.apply().code, Some(3));
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: it is paused, so its guest cannot power off
      -> virsh resume armhf-vm

No changes, 1 refused.

"#]]
    );
    assert_eq!(host.state(VM), "paused");
}

#[test]
fn a_vm_with_nothing_to_boot_is_not_started() {
    let seed = recipe()
        .lines()
        .find(|line| line.contains("seed:"))
        .unwrap()
        .to_owned()
        + "\n";
    let host = TestHost::with_fleet(&recipe().replace(&seed, ""));
    let apply = host.apply();
    assert_eq!(apply.code, Some(3), "{}", apply.stderr);
    assert_data_eq!(
        host.planned(3),
        snapbox::str![[r#"
  ! armhf-vm: not started: its boot share has no kernel with its initrd (links vmlinuz and initrd.img: `vmlinuz` is not there; links vmlinuz.old and initrd.img.old: `vmlinuz.old` is not there; newest vmlinuz-VERSION with its initrd.img-VERSION: there is no `vmlinuz-VERSION` for armhf)
      -> give it a first pair with boot.seed: { kernel: …, initrd: … }, or take one out of its disk: armfleet boot extract armhf-vm

No changes, 1 refused.

"#]]
    );
    // Started by hand, the hook refuses and says why.
    let start = host.virsh(&["start", VM]);
    assert_eq!(start.code, Some(1));
    assert_data_eq!(
        start.stderr,
        snapbox::str![[r#"
error: Failed to start domain 'armhf-vm'
error: Hook script execution failed: [..]: armfleet: armhf-vm cannot start: there is no pair of kernel and initrd to boot
  links vmlinuz and initrd.img: `vmlinuz` is not there
  links vmlinuz.old and initrd.img.old: `vmlinuz.old` is not there
  newest vmlinuz-VERSION with its initrd.img-VERSION: there is no `vmlinuz-VERSION` for armhf
  seed: the fleet file gives none
To do: put the guest's vmlinuz-VERSION and initrd.img-VERSION into /srv/armhf-vm-boot, or give the VM a `boot.seed` in the fleet file and run `armfleet apply`; then start the VM again.


"#]]
    );
    assert_eq!(host.state(VM), "shut off");
}

#[test]
fn a_share_that_lost_its_owner_gets_it_back_and_nothing_in_it_is_touched() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write(format!("{SHARE}/theirs"), "kept");
    host.run("chown", &["root:root", SHARE]).success();
    host.run("chmod", &["0755", SHARE]).success();
    let inside = host.listing(&[&format!("{SHARE}/theirs")]);
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ share     /srv/armhf-vm-boot    must be owned by QEMU's user, mode 0700 (drifted)
      owner  0:0 -> [..]
      mode   0755 -> 0700

1 to change.

"#]]
    );
    host.apply().success();
    host.assert_converged();
    assert_eq!(host.listing(&[&format!("{SHARE}/theirs")]), inside);
}

#[test]
fn six_vms_applied_at_once_all_run_and_leave_nothing_to_do() {
    let names: Vec<String> = (1..=6).map(|number| format!("vm-{number}")).collect();
    let recipe = recipe().replace("512MiB", "256MiB");
    let (head, vm) = recipe.split_once("vms:\n").unwrap();
    let vms: String = names.iter().map(|name| vm.replace(VM, name)).collect();
    let host = TestHost::with_fleet(&format!("{head}vms:\n{vms}"));
    host.armfleet(&["apply", "--auto-approve", "--parallel", "8"])
        .success();
    for name in &names {
        assert_eq!(host.state(name), "running", "{name}");
    }
    host.assert_converged();
}
