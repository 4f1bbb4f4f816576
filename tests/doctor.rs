//! What `armfleet doctor` says of a host: every finding, each on a host that has one fault.
//!
//! `SNAPSHOTS=overwrite cargo test --test doctor` writes the findings anew.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::panic, clippy::unwrap_used)]

#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;

use armfleet::doctor::{Check, Finding, Verdict};
use armfleet::engine;
use armfleet::fleet::Spec;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Owner, Primitives as _, Reads as _};
use armfleet::host::{HostError, Inspect, Observer};
use armfleet::inventory::{Query, RawHealth, RawInventory, RawLibvirt};
use armfleet::mark::{Action, Entry, Event, StepTrace, render_entry};
use armfleet::paths;
use armfleet::report::{DoctorReport, Paint, render_doctor, render_json};
use armfleet::values::VmName;
use harness::case::Case;
use harness::{FLEET, SHARE, host_of, new_host, settled_host, spec};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const ROOT: Owner = Owner { uid: 0, gid: 0 };
const USER: Owner = Owner {
    uid: 1000,
    gid: 1000,
};
const THEIRS: &str = "/etc/libvirt/hooks/qemu.d/10-theirs";
const QEMU: &str = "/usr/bin/qemu-system-arm";
const CAPABILITIES: &str = include_str!("captured/capabilities-9.0.xml");
/// The fleet whose image is behind a link to a folder of the system.
const BEHIND_A_LINK: &str = "/srv/images/armhf-vm.img";

fn findings(host: &Memory, spec: Option<&Spec>) -> Vec<Finding> {
    findings_of(&Observer(host.clone()), spec)
}

fn findings_of(host: &dyn Inspect, spec: Option<&Spec>) -> Vec<Finding> {
    let apply = spec.map(|_| "armfleet apply");
    engine::examine(host, spec, apply).unwrap()
}

/// A host whose clock is set to another time while it is looked at.
struct AtTime(Memory, u64);

impl Inspect for AtTime {
    fn observe(&self, query: &Query) -> Result<RawInventory, HostError> {
        let seen = Observer(self.0.clone()).observe(query)?;
        Ok(RawInventory { at: self.1, ..seen })
    }

    fn ask(&self, programs: &BTreeSet<String>) -> RawHealth {
        Observer(self.0.clone()).ask(programs)
    }
}

/// A host of this version of libvirt, where armfleet never was.
fn host_with(version: u32, capabilities: &str) -> Memory {
    Memory::new(RawLibvirt {
        version,
        capabilities: capabilities.to_owned(),
        bits32: None,
    })
}

fn without_program(host: &Memory) {
    host.remove(paths::HOOK_BINARY);
}

fn put_program(host: &Memory, path: &str, text: &str) {
    host.put_file(path, text).unwrap();
    host.own(path, 0o755, ROOT).unwrap();
}

fn put_their_hook(host: &Memory) {
    put_program(host, "/usr/bin/sh", "\x7fELF");
    put_program(host, THEIRS, "#!/usr/bin/sh\n");
}

fn start(vm: &str, ended_by: Option<&str>) -> StepTrace {
    let vm: VmName = vm.parse().unwrap();
    let started = StepTrace::of_vm(&vm, "start", Action::Start, "state: running".to_owned());
    StepTrace {
        error: ended_by
            .map(|_| format!("cannot start {vm}"))
            .into_iter()
            .collect(),
        hook: ended_by.map(str::to_owned),
        ..started
    }
}

/// Has the journal tell of these steps, as of now.
fn journal(host: &Memory, steps: &[StepTrace]) {
    for step in steps {
        let entry = Entry {
            at: host.now(),
            by: "root".to_owned(),
            event: Event::Step(step.clone()),
        };
        host.append_line(paths::JOURNAL, &render_entry(&entry).unwrap())
            .unwrap();
    }
}

fn hold(host: &Memory, lock: &str, note: &str) {
    std::mem::forget(host.lock(lock, note, Duration::ZERO).unwrap());
}

/// A fault of a host on which a fleet is applied.
type Fault = (&'static str, fn(&Memory));

const FAULTS: [Fault; 44] = [
    ("libvirt does not run", |host| host.stop_daemon()),
    ("QEMU says nothing", |host| host.say_version(QEMU, None)),
    ("QEMU says something else", |host| {
        host.say_version(QEMU, Some("hello"));
    }),
    ("an early QEMU 7.2", |host| {
        host.say_version(
            QEMU,
            Some("QEMU emulator version 7.2.2 (Debian 1:7.2+dfsg-7)"),
        );
    }),
    ("QEMU 10.0.12", |host| {
        host.say_version(QEMU, Some("QEMU emulator version 10.0.12"));
    }),
    ("QEMU 11.0", |host| {
        host.say_version(QEMU, Some("QEMU emulator version 11.0.0"));
    }),
    ("no hook", |host| host.remove(paths::SHIM)),
    ("hook changed", |host| {
        put_program(host, paths::SHIM, "#!/bin/sh\n")
    }),
    ("hook not executable", |host| {
        host.own(paths::SHIM, 0o644, ROOT).unwrap()
    }),
    ("hook of a user", |host| {
        host.own(paths::SHIM, 0o755, USER).unwrap()
    }),
    ("hook is no file", |host| {
        host.remove(paths::SHIM);
        host.put_special(paths::SHIM).unwrap();
    }),
    ("hook newer than the daemon", |host| {
        host.own(paths::SHIM, 0o755, ROOT).unwrap()
    }),
    ("hook not seen", |host| {
        host.make_unreadable(paths::SHIM, "Permission denied")
    }),
    ("reload not seen", |host| {
        host.own(paths::SHIM, 0o755, ROOT).unwrap();
        host.make_unreadable(paths::RELOADED, "Permission denied");
    }),
    ("no program of the hook", without_program),
    ("program not executable", |host| {
        host.own(paths::HOOK_BINARY, 0o644, ROOT).unwrap()
    }),
    ("program of a user", |host| {
        host.own(paths::HOOK_BINARY, 0o755, USER).unwrap()
    }),
    ("program of another version", |host| {
        host.say_version(paths::HOOK_BINARY, Some("armfleet-hook 0.0.1"));
    }),
    ("program that does not run", |host| {
        host.say_version(paths::HOOK_BINARY, None)
    }),
    ("program not seen", |host| {
        host.make_unreadable(paths::HOOK_BINARY, "Permission denied");
    }),
    ("program elsewhere, with AppArmor", |host| {
        without_program(host);
        host.make_folder("/usr/local", 0o755, None).unwrap();
        put_program(host, "/usr/local/armfleet-hook", "ELF");
        host.put_link(paths::HOOK_BINARY, "/usr/local/armfleet-hook")
            .unwrap();
        put_apparmor(host);
    }),
    ("a script without its interpreter", |host| {
        put_program(host, THEIRS, "#!/usr/bin/perl5 -w\n");
    }),
    ("a file that is no program", |host| {
        put_program(host, THEIRS, "exit 0\n")
    }),
    ("a script by a relative path", |host| {
        put_program(host, THEIRS, "#!sh\n")
    }),
    ("a user's hook", |host| {
        put_their_hook(host);
        host.own(THEIRS, 0o755, USER).unwrap();
    }),
    ("a hook that ended the last start", |host| {
        put_their_hook(host);
        journal(
            host,
            &[start("armhf-vm", None), start("armhf-vm", Some(THEIRS))],
        );
    }),
    ("a hook that ended a start before the last", |host| {
        put_their_hook(host);
        journal(
            host,
            &[start("armhf-vm", Some(THEIRS)), start("armhf-vm", None)],
        );
    }),
    ("a hook that was changed since", |host| {
        journal(host, &[start("armhf-vm", Some(THEIRS))]);
        host.pause(Duration::from_secs(60));
        put_their_hook(host);
    }),
    ("a left-over hook", |host| {
        put_program(host, "/usr/bin/sh", "ELF");
        put_program(host, &format!("{THEIRS}.dpkg-old"), "#!/usr/bin/sh\n");
    }),
    ("hooks not seen", |host| {
        host.make_unreadable(paths::HOOK_FOLDER, "Permission denied")
    }),
    ("staging almost full", |host| {
        host.leave_room(paths::STATE, 100 << 20)
    }),
    ("staging in memory", |host| {
        host.say_mounted(paths::STATE, "tmpfs")
    }),
    ("share without attributes", |host| {
        host.take_xattrs_away(SHARE)
    }),
    ("share of its own without attributes", |host| {
        host.take_xattrs_away(SHARE);
        host.say_mounted(SHARE, "vfat");
    }),
    ("share almost full", |host| host.leave_room(SHARE, 5 << 20)),
    ("share on another machine", |host| {
        host.say_mounted(SHARE, "nfs4")
    }),
    ("records not seen", |host| {
        host.make_unreadable(paths::VMS, "Permission denied")
    }),
    ("nobody watches", |host| {
        host.put_file(paths::WATCH_LOCK, "").unwrap()
    }),
    ("nobody watches, though there is a unit", |host| {
        host.put_file(paths::WATCH_LOCK, "").unwrap();
        host.make_folder("/etc/systemd", 0o755, None).unwrap();
        host.make_folder("/etc/systemd/system", 0o755, None)
            .unwrap();
        host.put_file(paths::WATCH_UNITS[0], "[Unit]\n").unwrap();
    }),
    ("watcher not seen", |host| {
        host.make_unreadable(paths::WATCH_LOCK, "Permission denied")
    }),
    ("locks held", |host| {
        let note = "pid 4711, user root, since 2023-11-14 22:13 UTC";
        hold(host, paths::APPLY_LOCK, note);
        hold(host, "/run/armfleet/vm/armhf-vm.lock", note);
        hold(
            host,
            "/run/armfleet/vm/other.lock",
            "a process that left no note",
        );
        host.make_unreadable("/run/armfleet/staging/armhf-vm.lock", "Permission denied");
    }),
    ("settings that fight", |host| {
        host.put_file(paths::QEMU_CONF, "remember_owner = 0\n")
            .unwrap();
        host.make_folder("/etc/default", 0o755, None).unwrap();
        let text = "# ON_BOOT=ignore\nON_BOOT=\"start\"\nON_SHUTDOWN='suspend' # x\n";
        host.put_file(paths::LIBVIRT_GUESTS, text).unwrap();
    }),
    ("settings not seen", |host| {
        host.make_unreadable(paths::QEMU_CONF, "Permission denied");
        host.make_unreadable(paths::LIBVIRT_GUESTS, "Permission denied");
    }),
    ("clock not synchronised", |host| host.let_clock_run()),
];

fn put_apparmor(host: &Memory) {
    for folder in [
        "/sys",
        "/sys/module",
        "/sys/module/apparmor",
        "/sys/module/apparmor/parameters",
    ] {
        host.make_folder(folder, 0o755, None).unwrap();
    }
    host.put_file(paths::APPARMOR, "Y\n").unwrap();
}

/// The findings of hosts that no fault makes.
fn other_hosts() -> Vec<(&'static str, Vec<Finding>)> {
    let fleet = spec(FLEET);
    let apparmor = "<secmodel><model>apparmor</model></secmodel></host>";
    let confined = CAPABILITIES.replacen("</host>", apparmor, 1);
    let behind = spec(
        &FLEET
            .replace("/srv/{name}.img", BEHIND_A_LINK)
            .replace("/srv/armhf-vm.img", BEHIND_A_LINK),
    );
    let linked = |host: Memory| {
        host.make_folder("/etc/images", 0o755, None).unwrap();
        host.put_link("/srv/images", "/etc/images").unwrap();
        findings(&host, Some(&behind))
    };
    let clock = settled_host();
    let asleep = AtTime(clock, 1_000_000_000);
    vec![
        ("a new host, without a fleet", findings(&new_host(), None)),
        ("a new host", findings(&new_host(), Some(&fleet))),
        (
            "libvirt 6.4.0",
            findings(&host_with(6_004_000, CAPABILITIES), None),
        ),
        (
            "libvirt 7.0.0",
            findings(&host_with(7_000_000, CAPABILITIES), None),
        ),
        (
            "no emulator",
            findings(&host_of("host-without-emulator"), Some(&fleet)),
        ),
        (
            "an image in a folder of the system",
            linked(host_with(9_000_000, CAPABILITIES)),
        ),
        (
            "the same, with AppArmor",
            linked(host_with(9_000_000, &confined)),
        ),
        ("a clock that is behind", findings_of(&asleep, Some(&fleet))),
        (
            "a fleet that does not fit",
            findings(
                &host_of("host-without-memory"),
                Some(&Case::new("host-without-memory").spec()),
            ),
        ),
    ]
}

fn kinds_of_hosts() -> Vec<(&'static str, Vec<Finding>)> {
    let cases = [
        "bits32-kernels",
        "bits32-programs",
        "bits32-none",
        "bits32-not-seen",
    ];
    let of = |name: &'static str| {
        (
            name,
            findings(&host_of(name), Some(&Case::new(name).spec())),
        )
    };
    cases.map(of).into()
}

/// What there is to say beyond what is said of the host without a fault.
fn lines(found: &[Finding], usual: &[Finding]) -> String {
    let strange: Vec<_> = found
        .iter()
        .filter(|finding| !usual.contains(finding))
        .cloned()
        .collect();
    let report = DoctorReport::new("local", None, &strange);
    let text = render_doctor(&report, Paint::Plain);
    let (_, lines) = text.split_once("\n\n").unwrap();
    let (lines, _) = lines.rsplit_once("\n\n").unwrap_or_default();
    format!("{lines}\n")
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/doctor")
        .join(name);
    snapbox::assert_data_eq!(text, snapbox::Data::read_from(&path, None).raw());
}

#[test]
fn a_host_without_a_fault_has_no_problem() {
    let host = settled_host();
    let found = findings(&host, Some(&spec(FLEET)));
    let report = DoctorReport::new("local", Some("lab".to_owned()), &found);
    golden("fine.txt", &render_doctor(&report, Paint::Plain));
    golden("fine.json", &render_json(&report).unwrap());
    let checks: BTreeSet<Check> = found.iter().map(|finding| finding.check).collect();
    assert_eq!(checks.len(), 17, "every check says something: {checks:?}");
}

#[test]
fn every_finding_is_as_recorded() {
    let fleet = spec(FLEET);
    let usual = findings(&settled_host(), Some(&fleet));
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    let mut tell = |name: &str, found: &[Finding]| {
        let _ = writeln!(text, "{name}\n{}", lines(found, &usual));
        let bad = found
            .iter()
            .filter(|finding| finding.verdict.remedy().is_some());
        seen.extend(bad.map(|finding| finding.check));
    };
    for (name, fault) in FAULTS {
        let host = settled_host();
        fault(&host);
        tell(name, &findings(&host, Some(&fleet)));
    }
    for (name, found) in other_hosts().into_iter().chain(kinds_of_hosts()) {
        tell(name, &found);
    }
    golden("findings.txt", &text);
    // No check can only say that all is well.
    for finding in &usual {
        assert!(seen.contains(&finding.check), "{}", finding.check);
    }
}

#[test]
fn what_cannot_be_seen_is_never_fine() {
    let fleet = spec(FLEET);
    for (path, checks) in [
        (paths::SHIM, &[Check::Hook][..]),
        (paths::HOOK_BINARY, &[Check::HookProgram]),
        (paths::HOOK_FOLDER, &[Check::OtherHooks]),
        (paths::STATE, &[Check::Staging]),
        (paths::VMS, &[Check::Shares, Check::ImagePlaces]),
        (SHARE, &[Check::Shares]),
        (paths::WATCH_LOCK, &[Check::Watch]),
        (paths::QEMU_CONF, &[Check::QemuConf]),
        (paths::LIBVIRT_GUESTS, &[Check::LibvirtGuests]),
        (paths::APPLY_LOCK, &[Check::Locks]),
    ] {
        let host = settled_host();
        host.make_unreadable(path, "Permission denied");
        let found = findings(&host, Some(&fleet));
        for check in checks {
            let of_check = found.iter().filter(|finding| finding.check == *check);
            let verdicts: Vec<_> = of_check.map(|finding| &finding.verdict).collect();
            assert!(
                verdicts.contains(&&Verdict::NotChecked),
                "{path}: {check}: {verdicts:?}"
            );
        }
    }
}

#[test]
fn without_the_journal_another_hook_is_not_taken_to_work() {
    let host = settled_host();
    put_their_hook(&host);
    host.make_unreadable(paths::JOURNAL, "Permission denied");
    let found = findings(&host, Some(&spec(FLEET)));
    let of_hooks = found
        .iter()
        .find(|finding| finding.check == Check::OtherHooks)
        .unwrap();
    assert_eq!(of_hooks.verdict, Verdict::NotChecked, "{}", of_hooks.what);
}
