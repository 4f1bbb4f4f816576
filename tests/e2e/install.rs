//! From an empty disk to a kernel of its own, once: whatever happens, what was installed is not installed over.

use crate::fleet::{CONSOLE, DISK, HOOK_BINARY, RECORD, SHARE, SHIM, VM};
use crate::host::{ARMFLEET, GuestFiles, Running, TestHost};
use rustix::process::Signal;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The preseed file that the example has.
pub(crate) const PRESEED: &str = include_str!("../../examples/debian-armhf/preseed.cfg");

fn fleet() -> String {
    let first = &GuestFiles::get().first;
    format!(
        "\
fleet: recipe
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    on_guest_reboot: stop
    boot: {{ cmdline: console=ttyAMA0 root=/dev/vda1 }}
    install:
      kernel: /srv/seed/vmlinuz-{first}
      initrd: /srv/seed/initrd.img-{first}
      cmdline: console=ttyAMA0 play-installer
      files: {{ /preseed.cfg: /srv/seed/preseed.cfg, /armfleet-guest-setup: /srv/seed/guest-setup }}
    disks: [{{ path: {DISK}, size: 64MiB }}]
    console: {{ log: {CONSOLE} }}
"
    )
}

/// The same, with a VM that a watcher is to start again.
pub(crate) fn watched_fleet() -> String {
    fleet().replace("    on_guest_reboot: stop\n", "")
}

/// A host with an installer and the example's preseed file.
pub(crate) fn with_installer(preseed: &str) -> TestHost {
    let host = TestHost::with_fleet(&fleet());
    host.write("/srv/seed/preseed.cfg", preseed);
    let script = host.armfleet(&["guest-setup"]).success();
    host.write("/srv/seed/guest-setup", script);
    host
}

/// A host whose installation has ended without a kernel in the share.
pub(crate) fn with_failed_installation() -> TestHost {
    let host = with_installer("d-i preseed/late_command string false\n");
    let ended = host.armfleet(&["apply", "--auto-approve", "--wait"]);
    assert_eq!(ended.code, Some(3), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended
            .stdout
            .contains("its installation ended without a kernel"),
        "{}",
        ended.stdout
    );
    assert!(host.console(CONSOLE).contains("guest: installer failed\n"));
    host
}

/// A host whose guest is installed and has not run its own kernel yet.
fn installed() -> TestHost {
    let host = with_installer(PRESEED);
    host.apply().success();
    host.wait_for_state(VM, "shut off");
    assert!(
        host.console(CONSOLE).contains("guest: installer done\n"),
        "{}",
        host.console(CONSOLE)
    );
    host
}

pub(crate) fn disk(host: &TestHost) -> String {
    host.run("sha256sum", &[DISK]).success()
}

/// How often an installer has begun.
fn begun(host: &TestHost) -> usize {
    host.console(CONSOLE)
        .matches("guest: installer begins\n")
        .count()
}

/// Every way to start it that nobody asked armfleet for ends without the installer.
#[track_caller]
fn assert_never_installed_over(host: &TestHost) {
    let before = disk(host);
    let began = begun(host);
    let refused = host.virsh(&["start", VM]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    // The hook's program is gone, then the hook itself: nothing is left that could tell.
    host.run("mv", &[HOOK_BINARY, "/usr/bin/away"]).success();
    assert_ne!(host.virsh(&["start", VM]).code, Some(0));
    host.run("mv", &["/usr/bin/away", HOOK_BINARY]).success();
    host.run("mv", &[SHIM, "/root-shim"]).success();
    assert_ne!(host.virsh(&["start", VM]).code, Some(0));
    host.run("mv", &["/root-shim", SHIM]).success();
    host.virsh(&["destroy", VM]);
    assert_eq!((disk(host), begun(host)), (before, began));
}

/// The host loses its power and comes up again, and libvirt starts what is to start with it.
fn boot_host(host: &TestHost, watcher: Running) -> Running {
    host.virsh(&["destroy", VM]);
    watcher.signal(Signal::KILL);
    watcher.wait();
    host.kill_libvirtd();
    let run = ["-r", "/run/armfleet", "/run/libvirt/qemu/autostarted"];
    host.run("rm", &run).success();
    host.start_libvirtd();
    host.watch()
}

fn wait_for_console(host: &TestHost, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !host.path(CONSOLE).exists() || !host.console(CONSOLE).contains(text) {
        assert!(Instant::now() < deadline, "no {text} on the console");
        sleep(Duration::from_millis(100));
    }
}

/// Neither a watcher nor libvirt itself, when the host boots, starts what is not to be started.
fn assert_a_host_boot_starts_no_installer(host: &TestHost, watcher: Running, why: &str) {
    let (before, began) = (disk(host), begun(host));
    host.virsh(&["autostart", VM]).success();
    let watcher = boot_host(host, watcher);
    let tried = format!("{VM} cannot start: {why}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !host.read("/var/log/libvirt/libvirtd.log").contains(&tried) {
        assert!(Instant::now() < deadline, "libvirt did not try");
        sleep(Duration::from_millis(100));
    }
    host.assert_stays_off();
    host.virsh(&["autostart", "--disable", VM]).success();
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
    assert_eq!(host.log_lines(": started"), 0, "{}", host.log());
    assert_eq!((disk(host), begun(host)), (before, began));
}

#[test]
fn an_apply_that_is_killed_and_a_watcher_that_watches_change_nothing_about_it() {
    let host = with_installer(PRESEED);
    host.write_fleet(&watched_fleet());
    let watcher = host.watch();
    let arguments = ["apply", "--auto-approve", "--wait"];
    let apply = host.spawn(ARMFLEET, &arguments);
    wait_for_console(&host, "guest: installer begins\n");
    apply.signal(Signal::KILL);
    assert_eq!(apply.wait().code, None);
    let again = host.armfleet(&arguments);
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
    assert!(
        again.stderr.contains("armhf-vm is being installed\n"),
        "{}",
        again.stderr
    );
    let report = host.guest("report");
    host.assert_reported(&report, "initrd installed");
    assert_eq!(begun(&host), 1);
    host.assert_converged();

    // From here on it is a VM as any other: an upgrade and a reboot are enough.
    let (before, number) = (disk(&host), host.run_number());
    host.guest("upgrade");
    host.guest("reboot");
    host.wait_for_next_run(number);
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", GuestFiles::get().second));
    // It starts with its host, too.
    let watcher = boot_host(&host, watcher);
    host.wait_for_console();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", GuestFiles::get().second));
    assert_eq!((disk(&host), begun(&host)), (before, 1));
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
}

#[test]
fn apply_alone_leads_from_the_installer_to_the_kernel_that_it_installed() {
    let host = with_installer(PRESEED);
    let plan = host.planned(2);
    for line in [
        "+ installer",
        "boots its installer",
        "installs it on /srv/armhf-vm.img",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    assert!(!plan.contains("autostart"), "{plan}");
    let said = host
        .armfleet(&["apply", "--auto-approve", "--wait"])
        .success();
    // Nobody changed the file, and nothing drifted.
    assert!(
        said.contains("(it is installed)\n      cmdline  "),
        "{said}"
    );
    for cause in ["drifted", "file changed"] {
        assert!(!said.contains(cause), "{said}");
    }
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", GuestFiles::get().first));
    host.assert_reported(&report, "initrd installed");
    host.assert_reported(&report, "cmdline console=ttyAMA0 root=/dev/vda1");
    host.assert_reported(
        &report,
        &format!("link vmlinuz vmlinuz-{}", GuestFiles::get().first),
    );
    assert_eq!(begun(&host), 1);
    assert!(host.virsh(&["dominfo", VM]).success().contains("enable"));
    host.assert_converged();

    // Its share lost, its record lost: what is on its disk stays.
    host.shut_down();
    let before = disk(&host);
    host.run("rm", &["-r", SHARE]).success();
    host.run("rm", &[RECORD]).success();
    host.apply();
    host.virsh(&["start", VM]);
    host.virsh(&["destroy", VM]);
    assert_eq!((disk(&host), begun(&host)), (before, 1));
}

#[test]
fn while_it_installs_nothing_is_left_to_do() {
    let host = with_installer(PRESEED);
    host.write_fleet(&watched_fleet());
    let watcher = host.watch();
    host.apply().success();
    let plan = host.planned(0);
    assert!(plan.contains("it is being installed"), "{plan}");
    assert!(host.virsh(&["dominfo", VM]).success().contains("disable"));
    host.assert_stays_off();
    assert_never_installed_over(&host);
    let why = "it is installed, and must not be installed again";
    assert_a_host_boot_starts_no_installer(&host, watcher, why);
    host.write_fleet(&fleet());
    let refused = host.virsh(&["start", VM]);
    assert!(
        refused.stderr.contains("run `armfleet apply`"),
        "{}",
        refused.stderr
    );
    host.apply().success();
    let report = host.guest("report");
    host.assert_reported(&report, "initrd installed");
    host.assert_converged();
}

#[test]
fn an_installation_that_failed_is_not_begun_again_unasked() {
    let host = with_failed_installation();
    let watcher = host.watch();
    assert_never_installed_over(&host);
    let why = "its installation ended without a kernel in its boot share";
    assert_a_host_boot_starts_no_installer(&host, watcher, why);
    let plan = host.plan();
    assert_eq!(plan.code, Some(3), "{}", plan.stdout);
    for remedy in [
        "armfleet boot extract armhf-vm",
        "armfleet apply --reinstall armhf-vm erases /srv/armhf-vm.img",
    ] {
        assert!(plan.stdout.contains(remedy), "{}", plan.stdout);
    }

    // Asked, it erases the disk, and the same way leads to the end.
    host.write("/srv/seed/preseed.cfg", PRESEED);
    let plan = host.armfleet(&["plan", "--reinstall", VM]).success();
    assert!(plan.contains("- erase     /srv/armhf-vm.img"), "{plan}");
    assert!(!plan.contains("drifted"), "{plan}");
    let applied = host.armfleet(&["apply", "--auto-approve", "--wait", "--reinstall", VM]);
    applied.success();
    let report = host.guest("report");
    host.assert_reported(&report, "initrd installed");
    assert_eq!(begun(&host), 2);
    host.assert_converged();
}

#[test]
fn a_disk_that_is_not_empty_is_nobodys_to_install_on() {
    let host = with_installer(PRESEED);
    host.run("truncate", &["-s", "64M", DISK]).success();
    let mut bytes = std::fs::OpenOptions::new()
        .write(true)
        .open(host.path(DISK))
        .unwrap();
    std::io::Write::write_all(&mut bytes, b"somebody's").unwrap();
    drop(bytes);
    let applied = host.apply();
    assert_eq!(applied.code, Some(3), "{}", applied.stdout);
    assert!(
        applied
            .stdout
            .contains("no record says that armfleet made it"),
        "{}",
        applied.stdout
    );
    assert!(!host.path(RECORD).exists());
}

#[test]
fn after_installation_a_lost_share_brings_no_installer_back() {
    let host = installed();
    let before = disk(&host);
    host.run("rm", &["-r", SHARE]).success();
    host.apply();
    assert_eq!((disk(&host), begun(&host)), (before, 1));
    host.run("mkdir", &["-p", SHARE]).success();
    assert_never_installed_over(&host);
}

#[test]
fn the_preseed_file_is_one() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/debian-armhf/preseed.cfg");
    let checked = std::process::Command::new("debconf-set-selections")
        .arg("--checkonly")
        .arg(example)
        .output()
        .unwrap();
    assert!(checked.status.success());
    assert_eq!(String::from_utf8_lossy(&checked.stderr), "");
    let host = TestHost::start();
    let late = host
        .armfleet(&["guest-setup", "--format", "preseed"])
        .success();
    let late = late.lines().last().unwrap();
    assert!(PRESEED.lines().any(|line| line == late), "{late}");
}
