//! Starting, stopping, restarting by hand; consoles, logs, and a VM that is held while a command runs.

use crate::fleet::{CONSOLE, DISK, VM, below_headline, recipe, second_vm};
use crate::host::{ARMFLEET, Output, TestHost};
use rustix::process::Signal;
use snapbox::assert_data_eq;
use std::path::Path;

const OTHER: &str = "other-vm";
const HOLD: &str = "/var/lib/armfleet/vms/armhf-vm/hold.json";

/// Runs armfleet on a terminal where this is typed, each part a second after the one before.
fn on_terminal(host: &TestHost, command: &str, typed: &[&str]) -> Output {
    let typed: Vec<_> = typed
        .iter()
        .map(|part| format!("sleep 1; printf '{part}'"))
        .collect();
    let typed = typed.join("; ");
    let script = format!("({typed}; sleep 1) | script -qec '{ARMFLEET} {command}' /dev/null");
    host.run("sh", &["-c", &script])
}

#[test]
fn vms_are_started_stopped_and_restarted_by_hand() {
    let host = TestHost::with_applied(&(recipe() + &second_vm(OTHER)));
    let started = host.armfleet(&["start", "*-vm"]);
    assert_data_eq!(
        started.success(),
        snapbox::str![[r#"
  i armhf-vm: is running already
  i other-vm: its fleet file has it stopped: the next armfleet apply stops it again
      state: running keeps it on
Started: other-vm.

"#]]
    );
    host.guest_say(OTHER, "report").success();

    // A changed definition waits for a boot, and only that VM is restarted for it.
    let bigger = recipe().replace("512MiB", "384MiB");
    host.write_fleet(&(bigger + &second_vm(OTHER).replace("state: stopped", "state: running")));
    host.apply().success();
    let restarted = host.armfleet(&["restart", "--pending"]);
    assert_data_eq!(restarted.success(), "Restarted: armhf-vm.\n");
    host.assert_converged();

    // On a terminal, each step is shown; interrupted twice, it leaves at once.
    host.guest("run killall acpid");
    let mut deaf = host.spawn(ARMFLEET, &["stop", "*-vm", "--timeout", "90s"]);
    assert!(deaf.wait_until(|| host.state(OTHER) == "shut off"));
    deaf.signal(Signal::INT);
    deaf.wait_for_line("interrupt again");
    deaf.signal(Signal::INT);
    let left = deaf.wait();
    assert_eq!(left.code, Some(130));
    assert!(
        left.stderr
            .ends_with("  stop armhf-vm: outcome unknown\n  -> armfleet stop again\n"),
        "{}",
        left.stderr
    );
    let failed = host.armfleet(&["stop", VM, "--timeout", "1s"]);
    assert_eq!((failed.code, host.state(VM).as_str()), (Some(1), "running"));
    assert!(
        failed
            .stderr
            .contains("or armfleet stop --force armhf-vm, which cuts its power"),
        "{}",
        failed.stderr
    );
    let cut = on_terminal(&host, "stop --force armhf-vm", &[""]);
    assert!(cut.stdout.contains("power-off armhf-vm"), "{}", cut.stdout);
    assert_eq!(host.state(VM), "shut off");
    let format = host.armfleet(&["start", "*-vm", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&format.success()).unwrap();
    assert_eq!(report["format"], "armfleet-power/1");
    assert_eq!(report["steps"].as_array().unwrap().len(), 2);
    let history = host.armfleet(&["history", VM]).success();
    assert!(history.contains("armfleet stop --force"), "{history}");
    host.assert_converged();

    let foreign = host.armfleet(&["stop", "nobody"]);
    assert_eq!(foreign.code, Some(3));
    assert_eq!(host.armfleet(&["stop"]).code, Some(4));
}

#[test]
fn a_console_its_log_and_a_vm_that_is_held_while_a_command_runs() {
    let host = TestHost::with_applied(&(recipe() + &second_vm(OTHER)));
    host.guest("report");
    let seen = on_terminal(&host, "console armhf-vm", &[r"report\n", r"\035"]);
    assert!(
        seen.stdout.contains("Connected to domain"),
        "{}",
        seen.stdout
    );
    assert!(seen.stdout.contains("guest: "), "{}", seen.stdout);
    let off = on_terminal(&host, "console other-vm", &[""]);
    assert!(
        off.stdout.contains("other-vm is off") && off.stdout.contains("-> armfleet start other-vm"),
        "{}",
        off.stdout
    );
    let nowhere = host.armfleet(&["console", VM]);
    assert_eq!(nowhere.code, Some(4));

    let logged = host.armfleet(&["logs", VM]).success().replace('\r', "");
    assert_eq!(logged, host.console(CONSOLE));
    let last = host.armfleet(&["logs", "-n", "1", VM]).success();
    assert!(last.lines().count() == 1 && logged.ends_with(&last.replace('\r', "")));
    let of_qemu = host.armfleet(&["logs", "--qemu", VM]).success();
    assert!(of_qemu.contains("qemu-system-arm"), "{of_qemu}");
    let shown = on_terminal(&host, "logs armhf-vm", &[""]).stdout;
    assert!(
        !shown.contains('\u{1b}') && shown.contains("guest: "),
        "{shown}"
    );
    let unknown = host.armfleet(&["logs", "nobody"]);
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);

    let inner = format!("{ARMFLEET} stop {VM}; echo ended with $?; exit 7");
    let held = host.armfleet(&["hold", VM, "--why", "backup", "--", "sh", "-c", &inner]);
    assert_eq!(held.code, Some(7), "{}", held.stderr);
    assert!(
        held.stdout
            .contains(": backup\n      -> armfleet release armhf-vm\n1 refused.\nended with 3\n"),
        "{}",
        held.stdout
    );
    assert!(!host.path(HOLD).exists());
    let command = ["hold", VM, "--", "sleep", "60"];
    let mut running = host.spawn(ARMFLEET, &command);
    assert!(running.wait_until(|| host.path(HOLD).exists()));
    let second = host.armfleet(&command);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(143));
    assert!(!host.path(HOLD).exists());
    let missing = host.armfleet(&["hold", VM, "--", "no-such-command"]);
    assert_eq!(missing.code, Some(1));
    assert!(!host.path(HOLD).exists());

    // Of a hold whose armfleet was killed, the end is known.
    let mut running = host.spawn(ARMFLEET, &["hold", VM, "--", "sleep", "3"]);
    assert!(running.wait_until(|| host.path(HOLD).exists()));
    running.signal(Signal::KILL);
    running.wait();
    let plan = below_headline(host.armfleet(&["plan"]), 0);
    assert!(
        plan.contains(" until ") && plan.contains(": while sleep runs"),
        "{plan}"
    );
}

#[test]
fn the_backup_example_copies_the_images_of_a_vm_that_runs_and_of_one_that_is_off() {
    let host = TestHost::with_applied(&recipe());
    host.guest("run echo before > /dev/vda; sync");
    let definition = host.definition(VM);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backup/disks");
    let script = script.to_str().unwrap();
    let backup = |folder: &str| {
        let command = ["hold", VM, "--why", "backup", "--", script, VM, folder];
        host.armfleet(&command)
    };
    let begins = |path: &str| {
        let bytes = std::fs::read(host.path(path)).unwrap();
        (
            bytes.len(),
            String::from_utf8_lossy(&bytes[..6]).into_owned(),
        )
    };
    let assert_as_before = || {
        assert!(!host.path(format!("{DISK}.backup")).exists());
        assert_eq!(host.definition(VM), definition);
        host.assert_converged();
    };
    std::fs::create_dir(host.path("/srv/first")).unwrap();
    backup("/srv/first").success();
    assert_as_before();
    assert_eq!(
        begins("/srv/first/armhf-vm.img"),
        (64 << 20, "before".to_owned())
    );
    // The guest goes on with the image itself.
    host.guest("run echo second > /dev/vda; sync");
    assert_eq!(begins(DISK).1, "second");

    // A copy that fails leaves the VM with its images, too.
    std::fs::create_dir_all(host.path("/srv/full/armhf-vm.img/armhf-vm.img")).unwrap();
    let failed = backup("/srv/full");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_as_before();

    host.armfleet(&["stop", VM]).success();
    std::fs::create_dir(host.path("/srv/last")).unwrap();
    backup("/srv/last").success();
    assert_eq!(begins("/srv/last/armhf-vm.img").1, "second");
}
