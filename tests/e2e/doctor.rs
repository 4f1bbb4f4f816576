//! `armfleet doctor`: faults of a host, put there one at a time, are named, and what is printed against each is run as it
//! stands.
//!
//! The host has no systemd and no apt. In their place are scripts that do of `systemctl` and `apt` what these commands are
//! called for.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::fleet::{HOOK_BINARY, SHIM, second_vm, stopped_recipe};
use crate::host::{ARMFLEET, Output, TestHost, script};

const BIN: &str = "/run/test/bin";
const THEIRS: &str = "/etc/libvirt/hooks/qemu.d/10-theirs";
const QEMU: &str = "/usr/bin/qemu-system-arm";
const NEW_SHARE: &str = "/srv/new-vm-boot";
const IMAGES: &str = "/srv/images";
const LOCK: &str = "/run/armfleet/apply.lock";

/// A fault, what finds it, and the state of what is found.
struct Fault {
    check: &'static str,
    state: &'static str,
    put: fn(&TestHost),
}

const fn problem(check: &'static str, put: fn(&TestHost)) -> Fault {
    Fault {
        check,
        state: "problem",
        put,
    }
}

const fn notice(check: &'static str, put: fn(&TestHost)) -> Fault {
    Fault {
        check,
        state: "notice",
        put,
    }
}

/// Of what is not applied yet.
const EARLY_FAULTS: [Fault; 2] = [
    // AppArmor belongs to the machine's kernel: without it the same is a notice.
    notice("image-places", |host| {
        host.run("mv", &[IMAGES, "/etc/images"]).success();
        host.run("ln", &["-s", "/etc/images", IMAGES]).success();
    }),
    problem("shares", |host| {
        std::fs::create_dir(host.path(NEW_SHARE)).unwrap();
        host.run("mount", &["-t", "ramfs", "ramfs", NEW_SHARE])
            .success();
    }),
];

const FAULTS: [Fault; 12] = [
    problem("hook", |host| {
        std::fs::remove_file(host.path(SHIM)).unwrap();
    }),
    problem("hook", |host| set_mode(host, SHIM, 0o644)),
    problem("hook", |host| host.write(SHIM, "#!/bin/sh\nexit 0\n")),
    problem("hook-live", |host| set_mode(host, SHIM, 0o755)),
    problem("hook-program", |host| set_mode(host, HOOK_BINARY, 0o644)),
    problem("other-hooks", |host| {
        host.write(THEIRS, "#!/usr/bin/perl5\nexit 0;\n");
        set_mode(host, THEIRS, 0o755);
    }),
    problem("libvirt-guests", |host| {
        host.write("/etc/default/libvirt-guests", "ON_SHUTDOWN=suspend\n");
    }),
    notice("qemu-conf", |host| {
        let conf = "/etc/libvirt/qemu.conf";
        host.write(conf, host.read(conf) + "remember_owner = 0\n");
    }),
    problem("emulators", |host| {
        host.run("mv", &[QEMU, "/run/test/"]).success();
        host.restart_libvirtd();
    }),
    problem("libvirt", |host| {
        host.run(script("libvirt"), &["stop"]).success();
    }),
    problem("other-hooks", |host| {
        let text = "#!/bin/sh\n[ \"$2\" != prepare ] || exit 7\n";
        host.write(THEIRS, text);
        set_mode(host, THEIRS, 0o755);
        let fleet = host.read("/run/test/fleet.yaml");
        host.write_fleet(&fleet.replace("state: stopped", "state: running"));
        assert_eq!(host.apply().code, Some(1));
        host.write_fleet(&fleet);
    }),
    problem("watch", |host| {
        let note = host.run("cat", &["/run/armfleet/watch.lock"]).success();
        let pid = note
            .split(['p', 'i', 'd', ' ', ','])
            .find(|word| !word.is_empty());
        host.run("kill", &["-INT", pid.unwrap()]).success();
        host.run("flock", &["/run/armfleet/watch.lock", "true"])
            .success();
    }),
];

fn set_mode(host: &TestHost, path: &str, mode: u32) {
    std::fs::set_permissions(host.path(path), Permissions::from_mode(mode)).unwrap();
}

/// What is found, but for what is fine: check, state and command.
fn found(host: &TestHost) -> Vec<(String, String, Option<String>)> {
    let doctor = host.armfleet(&["doctor", "--format", "json"]);
    assert_eq!(doctor.stderr, "");
    let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
    assert_eq!(report["format"], "armfleet-doctor/1");
    let findings = report["findings"].as_array().unwrap();
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let named = findings.iter().filter(|finding| finding["state"] != "ok");
    let named: Vec<_> = named
        .map(|finding| {
            let (check, state) = (word(&finding["check"]), word(&finding["state"]));
            (check.unwrap(), state.unwrap(), word(&finding["command"]))
        })
        .collect();
    let bad = ["problem", "not-checked"];
    let is_bad = named
        .iter()
        .any(|(_, state, _)| bad.contains(&state.as_str()));
    assert_eq!(doctor.code, Some(i32::from(is_bad)), "{}", doctor.stdout);
    named
}

/// Runs what was printed, as it stands, in a shell of root's. Where it asks, it is answered yes, on a terminal.
fn run(host: &TestHost, command: &str) -> Output {
    let mut shell = host.command("sh");
    let path = format!("{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    // Apply alone asks.
    let as_printed = match command.starts_with("armfleet apply") {
        true => r#"printf 'yes\n' | script -qec "$COMMAND" /dev/null"#,
        false => command,
    };
    shell.args(["-c", as_printed]);
    shell.env("PATH", path).env("COMMAND", command);
    shell.output().unwrap().into()
}

fn put_stand_ins(host: &TestHost) {
    let libvirt = script("libvirt");
    let libvirt = libvirt.display();
    std::fs::create_dir(host.path(BIN)).unwrap();
    let systemctl = format!(
        "#!/bin/sh\ncase \"$*\" in\n\
         'start libvirtd') exec {libvirt} start ;;\n\
         'restart libvirtd') exec {libvirt} restart ;;\n\
         'enable --now armfleet-watch') setsid {ARMFLEET} watch </dev/null >/dev/null 2>&1 &\n\
           until [ -s /run/armfleet/watch.lock ]; do sleep 0.05; done ;;\n\
         *) echo \"systemctl $*?\" >&2; exit 1 ;;\nesac\n"
    );
    let apt = format!(
        "#!/bin/sh\n[ \"$*\" = 'install qemu-system-arm' ] && mv /run/test/qemu-system-arm {QEMU}\n"
    );
    for (name, text) in [("systemctl", systemctl), ("apt", apt)] {
        let path = Path::new(BIN).join(name);
        host.write(&path, text);
        std::fs::set_permissions(host.path(&path), Permissions::from_mode(0o755)).unwrap();
    }
    host.run("ln", &["-s", ARMFLEET, &format!("{BIN}/armfleet")])
        .success();
    host.run("mkdir", &["-p", "/etc/systemd/system"]).success();
    host.write("/etc/systemd/system/armfleet-watch.service", "[Service]\n");
}

#[track_caller]
fn assert_named_and_mended(
    host: &TestHost,
    usual: &[(String, String, Option<String>)],
    fault: &Fault,
) {
    (fault.put)(host);
    let with_fault = found(host);
    let mut named = with_fault.iter();
    let named = named.find(|named| named.0 == fault.check && named.1 == fault.state);
    let Some((_, _, Some(command))) = named else {
        panic!(
            "{} is not named with a command: {with_fault:?}",
            fault.check
        );
    };
    let ran = run(host, command);
    assert_eq!(ran.code, Some(0), "{command}\n{}{}", ran.stdout, ran.stderr);
    assert_eq!(found(host), usual, "{command}\n{}", ran.stdout);
}

#[test]
fn faults_are_named_and_their_remedies_work() {
    let fleet = stopped_recipe()
        .replace("    on_guest_reboot: stop\n", "")
        .replace("/srv/{name}.img", "/srv/images/{name}.img");
    let host = TestHost::with_fleet(&(fleet.clone() + &second_vm("new-vm")));
    put_stand_ins(&host);
    std::fs::create_dir(host.path(IMAGES)).unwrap();
    run(&host, "systemctl enable --now armfleet-watch");
    let usual = found(&host);
    for fault in &EARLY_FAULTS {
        assert_named_and_mended(&host, &usual, fault);
    }
    host.apply().success();
    let usual = found(&host);
    let problems = usual.iter().filter(|(_, state, _)| state != "notice");
    assert_eq!(problems.count(), 0, "{usual:?}");
    for fault in &FAULTS {
        assert_named_and_mended(&host, &usual, fault);
    }
    assert_a_lock_is_named(&host, &usual);
    host.apply().success();
    host.assert_converged();
}

/// Who holds one is told; nobody is told to end a process unseen.
fn assert_a_lock_is_named(host: &TestHost, usual: &[(String, String, Option<String>)]) {
    let hold = format!(
        "exec 9<>{LOCK}; flock 9; echo \"pid $$, user root, since now\" >&9; echo held >&2; exec sleep 1000"
    );
    let mut holder = host.spawn("sh", &["-c", &hold]);
    holder.wait_for_line("held");
    let held = ("locks".to_owned(), "notice".to_owned(), None);
    assert!(found(host).contains(&held));
    holder.signal(Signal::KILL);
    holder.wait();
    assert_eq!(found(host), usual);
}

#[test]
fn a_host_without_a_fleet_is_looked_into_and_a_user_is_told_what_was_not_seen() {
    let host = TestHost::start();
    let doctor = host.armfleet(&["doctor"]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.stdout, doctor.stderr);
    assert!(
        doctor.stdout.starts_with("host local · no fleet file\n\n"),
        "{}",
        doctor.stdout
    );
    let before = host.listing(&["/etc/libvirt", "/srv", "/var/lib/libvirt"]);
    let missing = host.armfleet(&["doctor", "nowhere.yaml"]);
    assert_eq!(
        missing.code,
        Some(4),
        "{}{}",
        missing.stdout,
        missing.stderr
    );
    host.write("/run/test/fleet.yaml", stopped_recipe());
    let user = host.run_as_nobody(ARMFLEET, &["doctor"]);
    assert_eq!(user.code, Some(0), "{}{}", user.stdout, user.stderr);
    // Nothing was made.
    assert_eq!(
        host.listing(&["/etc/libvirt", "/srv", "/var/lib/libvirt"]),
        before
    );
    assert!(!host.path("/var/lib/armfleet").exists() && !host.path("/run/armfleet").exists());
    host.run("install", &["-d", "-m", "0700", "/run/armfleet"])
        .success();
    let user = host.run_as_nobody(ARMFLEET, &["doctor"]);
    assert_eq!(user.code, Some(1), "{}{}", user.stdout, user.stderr);
    let not_seen = "  not checked  watch           whether armfleet watch runs: Permission denied";
    assert!(user.stdout.contains(not_seen), "{}", user.stdout);
}
