//! What apply does when libvirtd, QEMU or a hook hangs: it says so, it ends, and it can be ended.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use snapbox::assert_data_eq;

use crate::fleet::{JOURNAL, VM, recipe, stopped_recipe};
use crate::host::{ARMFLEET, Output, Running, TestHost};
use crate::watch::wait_until;

/// A hook of somebody else, which libvirt runs before armfleet's.
const FOREIGN_HOOK: &str = "/etc/libvirt/hooks/qemu.d/10-foreign";
const DAEMON: &str = "/run/libvirtd.pid";
const QEMU: &str = "/run/libvirt/qemu/armhf-vm.pid";

/// How a wait of ten seconds is announced.
const WAITING: &str = "waiting for libvirt";

fn begin_apply(host: &TestHost) -> Running {
    host.spawn(ARMFLEET, &["apply", "--auto-approve", "--parallel", "2"])
}

/// Interrupts twice, as somebody does who sees that the first time did nothing, and who then has his prompt at once.
fn interrupt_twice(apply: Running) -> Output {
    apply.signal(Signal::INT);
    sleep(Duration::from_millis(500));
    let began = Instant::now();
    apply.signal(Signal::INT);
    let ended = apply.wait();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "left after {took:?}");
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    ended
}

/// Sends a signal to the process of the host whose number is in this file.
fn signal(host: &TestHost, pid_file: &str, signal: &str) {
    let command = format!("kill -{signal} $(cat {pid_file})");
    host.run("sh", &["-c", &command]).success();
}

fn hang_in_a_hook(host: &TestHost) {
    let script = "#!/bin/sh\n[ \"$2\" != prepare ] || sleep 600\nexit 0\n";
    host.write(FOREIGN_HOOK, script);
    std::fs::set_permissions(host.path(FOREIGN_HOOK), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_foreign_hook_that_hangs_is_named_and_the_apply_can_be_left() {
    let host = TestHost::with_applied(&stopped_recipe());
    hang_in_a_hook(&host);
    host.write_fleet(&recipe());
    let mut apply = begin_apply(&host);
    apply.wait_for_line(WAITING);
    let ended = interrupt_twice(apply);
    assert_data_eq!(
        ended.stderr,
        snapbox::str![[r#"
  waiting for libvirt to start armhf-vm, 10 s of 2 min; hook /etc/libvirt/hooks/qemu.d/10-foreign of armhf-vm has run for [..] s (pid [..])
interrupted: finishing the steps under way; interrupt again to leave at once
interrupted again: left at once
  start armhf-vm: outcome unknown
  -> apply again

"#]]
    );
    let journal = host.read(JOURNAL);
    let last = journal.lines().last().unwrap();
    assert!(
        last.contains(r#""id":"start/armhf-vm""#) && last.contains("outcome unknown"),
        "{last}"
    );

    // The hook ends, and with it the start, which was left to libvirt.
    host.run("pkill", &["--exact", "sleep"]).success();
    host.wait_for_state(VM, "running");
    std::fs::remove_file(host.path(FOREIGN_HOOK)).unwrap();
    host.apply().success();
    host.assert_converged();
}

#[test]
fn a_libvirtd_that_hangs_is_named_and_the_apply_can_be_left() {
    let host = TestHost::with_applied(&stopped_recipe());
    host.write_fleet(&stopped_recipe().replace("512MiB", "256MiB"));
    signal(&host, DAEMON, "STOP");
    let mut plan = host.spawn(ARMFLEET, &["plan"]);
    plan.wait_for_line(WAITING);
    plan.signal(Signal::INT);
    let ended = plan.wait();
    assert_eq!(ended.code, None, "{}", ended.stderr);
    assert_data_eq!(
        ended.stderr,
        snapbox::str![[r#"
  waiting for libvirt to take a connection, 10 s of 30 s; libvirtd is stopped (pid [..])

"#]]
    );
    signal(&host, DAEMON, "CONT");
    host.apply().success();
    host.assert_converged();
}

#[test]
fn a_stop_of_a_guest_whose_qemu_hangs_ends_in_its_time_and_names_it() {
    let host = TestHost::with_applied(&recipe());
    host.write_fleet(&(stopped_recipe() + "    stop_timeout: 10s\n"));
    signal(&host, QEMU, "STOP");
    let began = Instant::now();
    let apply = host.apply();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    assert_eq!(apply.code, Some(1), "{}", apply.stderr);
    assert_data_eq!(
        apply.stderr,
        snapbox::str![[r#"
  failed stop armhf-vm: armhf-vm did not stop within 10 s
      libvirt did not ask armhf-vm to power off within 10 s; outcome unknown; QEMU of armhf-vm is stopped (pid [..])
      -> look at its console (armfleet console armhf-vm); raise stop_timeout, or armfleet stop --force armhf-vm, which cuts its power

"#]]
    );
    signal(&host, QEMU, "CONT");
    // The guest was stopped while it booted, and may need more than those ten seconds for the rest.
    host.write_fleet(&stopped_recipe());
    host.apply().success();
    host.assert_converged();
}

/// It watches on when libvirtd goes on, and can be left at any time.
#[test]
fn a_watcher_outlives_a_libvirtd_that_hangs_and_can_be_left_meanwhile() {
    let fleet = recipe().replace("    on_guest_reboot: stop\n", "");
    let host = TestHost::with_applied(&fleet);
    host.guest("report");
    let watcher = host.watch();
    let run = host.run_number();
    signal(&host, DAEMON, "STOP");
    sleep(Duration::from_secs(3));
    signal(&host, DAEMON, "CONT");
    host.guest("reboot");
    wait_until("the VM runs again", Duration::from_secs(60), || {
        host.run_number().is_some_and(|number| Some(number) != run)
    });
    signal(&host, DAEMON, "STOP");
    // The first time, it lets starts under way come to an end.
    interrupt_twice(watcher);
    signal(&host, DAEMON, "CONT");
}

#[test]
#[ignore = "long: libvirt has two minutes for a start"]
fn a_libvirtd_that_hangs_in_the_middle_ends_the_apply_in_its_time() {
    let host = TestHost::with_applied(&stopped_recipe());
    hang_in_a_hook(&host);
    host.write_fleet(&recipe());
    let mut apply = begin_apply(&host);
    let hangs = || host.run("pgrep", &["--exact", "sleep"]).code == Some(0);
    assert!(apply.wait_until(hangs));
    signal(&host, DAEMON, "STOP");
    let began = Instant::now();
    let ended = apply.wait();
    let took = began.elapsed();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(took < Duration::from_secs(150), "it took {took:?}");
    assert!(
        ended.stderr.contains(
            "failed start armhf-vm: cannot start armhf-vm\n      libvirt did not start armhf-vm within 2 min; outcome unknown; "
        ) && ended.stderr.contains("libvirtd is stopped (pid "),
        "{}",
        ended.stderr
    );
    signal(&host, DAEMON, "CONT");
    host.run("pkill", &["--exact", "sleep"]).success();
    host.wait_for_state(VM, "running");
    std::fs::remove_file(host.path(FOREIGN_HOOK)).unwrap();
    host.apply().success();
    host.assert_converged();
}

#[test]
fn too_few_threads_are_an_error() {
    let host = TestHost::with_applied(&stopped_recipe());
    let limited = [
        "--nproc=1",
        ARMFLEET,
        "status",
        "--file",
        "/run/test/fleet.yaml",
    ];
    let status = host.run_as_nobody("prlimit", &limited);
    assert_eq!(status.code, Some(1), "{}{}", status.stdout, status.stderr);
    assert!(
        status.stderr.contains("no thread for a call to libvirt: "),
        "{}",
        status.stderr
    );
    assert!(!status.stderr.contains("panicked"), "{}", status.stderr);
}
