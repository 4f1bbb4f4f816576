//! Applies that are cut off, kept waiting, or have company.

use rustix::process::Signal;
use snapbox::assert_data_eq;

use crate::fleet::{DISK, JOURNAL, SHARE, VM, recipe, second_vm, stopped_recipe};
use crate::host::{ARMFLEET, Running, TestHost};

/// The steps of a first apply.
const STEPS: usize = 9;

fn steps_done(host: &TestHost) -> usize {
    let journal = std::fs::read_to_string(host.path(JOURNAL)).unwrap_or_default();
    journal.matches(r#""event":"step""#).count()
}

/// An apply on its way, with so many steps done since the journal had `before` lines.
fn apply_until(host: &TestHost, arguments: &[&str], steps: usize) -> (Running, bool) {
    let before = steps_done(host);
    let arguments = [&["apply", "--auto-approve"], arguments].concat();
    let mut apply = host.spawn(ARMFLEET, &arguments);
    let under_way = apply.wait_until(|| steps_done(host) >= before + steps);
    (apply, under_way)
}

#[test]
fn killed_after_any_step_the_next_apply_goes_on_and_no_byte_is_lost() {
    for steps in 0..STEPS {
        let host = TestHost::with_fleet(&recipe());
        let (apply, _) = apply_until(&host, &[], steps);
        apply.signal(Signal::KILL);
        assert_eq!(apply.wait().code, None);
        assert!(
            steps_done(&host) < STEPS,
            "killed too late to tell anything"
        );

        let disk = host.path(DISK);
        if disk.exists() {
            assert_eq!(
                disk.metadata().unwrap().len(),
                64 << 20,
                "after {steps} steps"
            );
            host.run(
                "sh",
                &["-c", &format!("printf kept | dd of={DISK} conv=notrunc")],
            )
            .success();
        }
        let in_share = host.path(SHARE).join("kept");
        if host.path(SHARE).exists() {
            std::fs::write(&in_share, "kept").unwrap();
        }
        let (had_disk, had_share) = (disk.exists(), host.path(SHARE).exists());

        let apply = host.apply();
        assert_eq!(apply.code, Some(0), "after {steps} steps: {}", apply.stderr);
        // Killed while libvirt starts the VM, apply finds it starting.
        host.wait_for_state(VM, "running");
        host.assert_converged();
        if had_disk {
            let start = host.run("head", &["-c", "4", DISK]).success();
            assert_eq!(start, "kept", "after {steps} steps");
        }
        assert_eq!(in_share.exists(), had_share, "after {steps} steps");
        let litter = host.run(
            "find",
            &[
                "/srv",
                "/var/lib/armfleet",
                "/etc/libvirt/hooks",
                "-name",
                ".*",
            ],
        );
        assert_eq!(litter.success(), "", "after {steps} steps");
    }
}

#[test]
fn killed_in_a_removal_the_next_apply_goes_on() {
    for steps in 0..2 {
        let host = TestHost::with_applied(&(stopped_recipe() + &second_vm("other-vm")));
        host.write_fleet(&stopped_recipe());
        let (apply, _) = apply_until(&host, &["--allow-removal"], steps);
        apply.signal(Signal::KILL);
        assert_eq!(apply.wait().code, None);
        host.armfleet(&["apply", "--auto-approve", "--allow-removal"])
            .success();
        host.assert_converged();
        assert!(!host.path("/var/lib/armfleet/vms/other-vm").exists());
        assert!(host.path("/srv/other-vm.img").exists());
        assert_eq!(host.state(VM), "shut off");
    }
}

#[test]
fn interrupted_it_finishes_the_step_under_way_and_begins_no_other() {
    let host = TestHost::with_fleet(&recipe());
    let (apply, under_way) = apply_until(&host, &[], 1);
    assert!(under_way);
    apply.signal(Signal::INT);
    let ended = apply.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(
        ended.stdout.ends_with(
            " not tried.\n\
             Interrupted: the steps under way were finished, no others were begun.\n\
             Run armfleet apply again to complete it.\n"
        ),
        "{}",
        ended.stdout
    );
    let domains = host.virsh(&["list", "--name"]).success();
    assert_eq!(domains.trim(), "", "the start was begun");
    host.apply().success();
    host.assert_converged();
}

#[test]
fn of_two_applies_the_second_does_nothing_and_says_who_is_at_work() {
    let host = TestHost::with_fleet(&recipe());
    let (first, under_way) = apply_until(&host, &[], 1);
    assert!(under_way);
    let second = host.apply();
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
    assert_data_eq!(
        second.stderr,
        snapbox::str![[r#"
error: another apply is at work on this host
  caused by: /run/armfleet/apply.lock is held by pid [..], user root, since [..]
  -> wait for it, then apply again

"#]]
    );
    // Looking is free.
    assert_eq!(host.armfleet(&["status"]).code, Some(0));
    first.wait().success();
    host.assert_converged();
    host.apply().success();
}

#[test]
fn a_closed_pipe_is_silent() {
    let host = TestHost::with_applied(&stopped_recipe());
    for command in [
        "plan",
        "status",
        "show armhf-vm",
        "validate",
        "apply --auto-approve",
        "--help",
    ] {
        let script = format!("{ARMFLEET} {command} | head -c 0; echo ${{PIPESTATUS[0]}}");
        let ended = host.run("bash", &["-c", &script]);
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("0\n", ""),
            "{command}"
        );
    }
}
