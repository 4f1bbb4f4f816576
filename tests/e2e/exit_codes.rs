//! How commands end, and what they say where.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use snapbox::assert_data_eq;

use crate::fleet::{JOURNAL, SHARE, VM, recipe, second_vm, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost};

/// Runs armfleet on a terminal where somebody types an answer.
fn on_terminal(host: &TestHost, command: &str, answer: &str) -> Output {
    let script = format!("echo {answer} | script -qec '{ARMFLEET} {command}' /dev/null");
    host.run("sh", &["-c", &script])
}

#[test]
fn what_is_invalid_is_4_and_contacts_nothing() {
    let host = TestHost::with_fleet(&stopped_recipe());
    host.kill_libvirtd();
    host.write(
        "/run/test/wrong.yaml",
        "fleet: recipe\nvms: { armhf-vm: { arch: arm } }\n",
    );
    for (arguments, said) in [
        (&["plan", "wrong.yaml"][..], "wrong.yaml"),
        (&["apply", "--auto-approve", "wrong.yaml"], "wrong.yaml"),
        (&["validate", "wrong.yaml"], "wrong.yaml"),
        (&["plan", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (&["status", "no-such-vm"], "the file has armhf-vm"),
        (&["show", "no-such-vm"], "the file has armhf-vm"),
        (&["plan", "--no-such-option"], "--no-such-option"),
        (&["apply"], "there is no terminal to ask on"),
        (&[], "Usage:"),
    ] {
        let ended = host.armfleet(arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(4), ""),
            "{arguments:?}"
        );
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    host.armfleet(&["validate"]).success();
}

#[test]
fn without_libvirt_it_is_1_and_says_so() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.kill_libvirtd();
    for arguments in [&["plan"][..], &["apply", "--auto-approve"], &["status"]] {
        let ended = host.armfleet(arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
        assert!(
            ended
                .stderr
                .starts_with("error: cannot reach libvirt at qemu:///system\n  caused by: "),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn changes_are_2_only_if_asked_for() {
    let host = TestHost::with_fleet(&stopped_recipe());
    let codes = |arguments: &[&str]| host.armfleet(arguments).code;
    assert_eq!(codes(&["plan"]), Some(0));
    assert_eq!(codes(&["plan", "--detailed-exitcode"]), Some(2));
    assert_eq!(
        codes(&["apply", "--auto-approve", "--detailed-exitcode"]),
        Some(2)
    );
    assert_eq!(
        codes(&["apply", "--auto-approve", "--detailed-exitcode"]),
        Some(0)
    );
    assert_eq!(codes(&["plan", "--detailed-exitcode"]), Some(0));
}

#[test]
fn an_answer_other_than_yes_is_1_and_changes_nothing() {
    let host = TestHost::with_fleet(&stopped_recipe());
    for answer in ["no", "y", ""] {
        let ended = on_terminal(&host, "apply", answer);
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(
            ended.stdout.contains("Nothing was done."),
            "{}",
            ended.stdout
        );
        assert_eq!(host.plan().code, Some(2));
        assert!(!host.path(SHARE).exists());
    }
    let ended = on_terminal(&host, "apply", "yes");
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("done"), "{}", ended.stdout);
    host.assert_converged();
}

#[test]
fn on_a_terminal_a_removal_is_confirmed_with_the_plan() {
    let host = TestHost::with_applied(&(stopped_recipe() + &crate::fleet::second_vm("other-vm")));
    host.write_fleet(&stopped_recipe());
    let ended = on_terminal(&host, "apply", "yes");
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_ne!(host.virsh(&["domstate", "other-vm"]).code, Some(0));
    host.assert_converged();
}

#[test]
fn a_host_that_differs_again_after_all_steps_is_5() {
    let host = TestHost::with_fleet(&recipe());
    let theirs = "/etc/libvirt/hooks/qemu.d/90-theirs";
    host.run("mkdir", &["-p", "/etc/libvirt/hooks/qemu.d"])
        .success();
    host.write(
        theirs,
        format!("#!/bin/sh\n[ \"$2\" != started ] || chmod 0755 {SHARE}\n"),
    );
    std::fs::set_permissions(host.path(theirs), Permissions::from_mode(0o755)).unwrap();
    let ended = host.apply();
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    assert!(
        ended
            .stdout
            .ends_with("9 of 9 steps done.\nA new plan still has 1 step; see armfleet plan.\n"),
        "{}",
        ended.stdout
    );
    assert_data_eq!(
        host.planned(2),
        snapbox::str![[r#"
  ~ share     /srv/armhf-vm-boot    must be owned by QEMU's user, mode 0700 (drifted)
      mode  0755 -> 0700

1 to change.

"#]]
    );
}

#[test]
fn one_vms_refusal_does_not_stop_the_others() {
    let broken =
        crate::fleet::second_vm("other-vm").replace("/srv/seed/vmlinuz", "/srv/nowhere/vmlinuz");
    let host = TestHost::with_fleet(&(recipe() + &broken));
    let ended = host.apply();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        ended
            .stdout
            .contains("! other-vm: its seed /srv/nowhere/vmlinuz"),
        "{}",
        ended.stdout
    );
    assert_eq!(host.state(VM), "running");
}

#[test]
fn one_vms_failure_does_not_stop_the_others() {
    let running = recipe().replace(VM, "other-vm");
    let (_, other) = running.split_once("vms:\n").unwrap();
    let host = TestHost::with_fleet(&(recipe() + other));
    // It can be created, and cannot be started.
    their_hook(&host, "[ \"$1 $2\" != 'other-vm prepare' ]");
    let ended = host.apply();
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert_data_eq!(
        ended.stderr,
        snapbox::str![[r#"
  failed start other-vm: cannot start other-vm
      the hook /etc/libvirt/hooks/qemu.d/90-theirs, which is not armfleet's, ended with exit status 1

"#]]
    );
    assert_eq!(host.state(VM), "running");
    assert_eq!(host.state("other-vm"), "shut off");
}

/// A second VM of which something is refused: its seed is not there.
fn refused_vm() -> String {
    second_vm("other-vm").replace("/srv/seed/vmlinuz", "/srv/nowhere/vmlinuz")
}

/// Somebody else's hook makes every start differ from the plan again.
fn unsettle(host: &TestHost) {
    their_hook(
        host,
        &format!("[ \"$2\" != started ] || chmod 0755 {SHARE}"),
    );
}

fn their_hook(host: &TestHost, script: &str) {
    let theirs = "/etc/libvirt/hooks/qemu.d/90-theirs";
    host.run("mkdir", &["-p", "/etc/libvirt/hooks/qemu.d"])
        .success();
    host.write(theirs, format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(host.path(theirs), Permissions::from_mode(0o755)).unwrap();
}

/// Two rows of the table apply each time; the higher one counts.
#[test]
fn of_two_rows_the_higher_one_counts() {
    const DETAILED: &str = "--detailed-exitcode";
    let apply = ["apply", "--auto-approve", DETAILED];
    let code = |fleet: &str, prepare: &dyn Fn(&TestHost), arguments: &[&str]| {
        let host = TestHost::with_fleet(fleet);
        prepare(&host);
        let ended = host.armfleet(arguments);
        (ended.code, ended.stdout + &ended.stderr)
    };
    let nothing = |_: &TestHost| ();
    let failing = |host: &TestHost| their_hook(host, "[ \"$2\" != prepare ]");
    let both = recipe() + &refused_vm();
    type Row<'a> = (&'a str, &'a str, &'a dyn Fn(&TestHost), &'a [&'a str], i32);
    let rows: [Row<'_>; 6] = [
        (
            "3 over 2, planning",
            &both,
            &nothing,
            &["plan", DETAILED],
            3,
        ),
        ("3 over 2, applying", &both, &nothing, &apply, 3),
        ("1 over 3 and 2", &both, &failing, &apply, 1),
        ("5 over 2", &recipe(), &unsettle, &apply, 5),
        ("3 over 5 and 2", &both, &unsettle, &apply, 3),
        (
            "4 over 1",
            "fleet: recipe\nvms: 3\n",
            &|host| host.kill_libvirtd(),
            &apply,
            4,
        ),
    ];
    for (name, fleet, prepare, arguments, wanted) in rows {
        let (code, said) = code(fleet, prepare, arguments);
        assert_eq!(code, Some(wanted), "{name}: {said}");
    }
}

#[test]
fn what_could_not_be_seen_counts_more_than_changes_and_refusals() {
    let unseen = second_vm("third-vm").replace("/srv/{name}.img", "/srv/loop/{name}.img");
    let host = TestHost::with_fleet(&(stopped_recipe() + &refused_vm() + &unseen));
    host.run("ln", &["-s", "loop", "/srv/loop"]).success();
    for arguments in [&["plan"][..], &["apply", "--auto-approve"]] {
        let ended = host.armfleet(&[arguments, &["--detailed-exitcode"]].concat());
        for part in ["! other-vm: ", "? third-vm: ", "+ domain    armhf-vm"] {
            assert!(ended.stdout.contains(part), "{part} in {}", ended.stdout);
        }
        assert_eq!(ended.code, Some(1), "{arguments:?}");
    }
}

#[test]
fn an_interruption_counts_more_than_failures_refusals_and_changes() {
    let host = TestHost::with_fleet(&(recipe() + &refused_vm()));
    let mut apply = host.spawn(
        ARMFLEET,
        &["apply", "--auto-approve", "--detailed-exitcode"],
    );
    let journal = || std::fs::read_to_string(host.path(JOURNAL)).unwrap_or_default();
    assert!(apply.wait_until(|| journal().contains(r#""event":"step""#)));
    apply.signal(rustix::process::Signal::INT);
    let ended = apply.wait();
    assert_eq!(ended.code, Some(130), "{}{}", ended.stdout, ended.stderr);
}
