//! Every path that apply, watch, the hook and virtlogd open for writing, give to another owner, rename or remove lies where
//! the fleet file or the design says. Attempts that failed count, too.

use std::time::Duration;

use rustix::process::Signal;

use crate::fleet::{CONSOLE, DISK, HOOK_BINARY, JOURNAL, RECORD, SHARE, SHIM, VM, second_vm};
use crate::host::{ARMFLEET, GuestFiles, TestHost, script};
use crate::install::{PRESEED, watched_fleet, with_installer};
use crate::trace::{Trace, strace_options};
use crate::watch::wait_until;

/// Becomes a command, and writes down its system calls: `traced NAME COMMAND…`.
const TRACED: &str = "/run/test/traced";
const LIMIT: Duration = Duration::from_secs(30);

const RUN: &str = "/run/armfleet/**";
const STATE: &str = "/var/lib/armfleet/**";
const VM_LOCK: &str = "/run/armfleet/vm/armhf-vm.lock";
const HOLD: &str = "/var/lib/armfleet/vms/armhf-vm/hold.json";

/// What each of them may change, and does: a path, or a folder with all that is in it.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("plan", &[]),
    (
        "apply",
        &[
            RUN,
            STATE,
            "/etc/libvirt/hooks",
            "/etc/libvirt/hooks/.50-armfleet.armfleet",
            "/etc/libvirt/hooks/qemu.d",
            SHIM,
            // A file that has no name tells whether the file system keeps attributes.
            "/srv/#",
            SHARE,
            DISK,
            "/srv/.armhf-vm.img.armfleet",
            "/srv/leaving-boot",
            "/srv/leaving.img",
            "/srv/.leaving.img.armfleet",
        ],
    ),
    (
        "hold",
        &[
            VM_LOCK,
            HOLD,
            "/var/lib/armfleet/vms/armhf-vm/.hold.json.armfleet",
            "/var/lib/armfleet/vms/armhf-vm",
        ],
    ),
    ("release", &[VM_LOCK, HOLD]),
    (
        "use",
        &[
            VM_LOCK,
            JOURNAL,
            RECORD,
            "/var/lib/armfleet/vms/armhf-vm/.record.json.armfleet",
        ],
    ),
    ("change", &[RUN, STATE]),
    ("second-plan", &[]),
    ("status", &[]),
    (
        "watch",
        &[
            "/run/armfleet",
            "/run/armfleet/watch.lock",
            "/run/armfleet/vm/**",
            "/run/armfleet/runs/**",
            JOURNAL,
        ],
    ),
    (
        "virtlogd",
        &[
            "/dev/null",
            "/run/libvirt/**",
            "/run/virtlogd.pid",
            "/var/log/libvirt/**",
            CONSOLE,
            "/var/log/leaving.log",
        ],
    ),
];

const ALLOWED_TO_HOOK: [&str; 9] = [
    "/dev/null",
    "/run/armfleet",
    "/run/armfleet/hook-seen/**",
    "/run/armfleet/staging/**",
    JOURNAL,
    "/var/lib/armfleet/vms/armhf-vm/**",
    "/var/lib/armfleet/vms/leaving/**",
    "/srv/.armfleet-armhf-vm-boot",
    "/srv/.armfleet-armhf-vm-boot/**",
];

/// What the hook's program is replaced by, to see that a change elsewhere is found.
const PLANTING_HOOK: &str = "#!/bin/sh\ncd /srv && : >planted\nexit 41\n";

impl TestHost {
    fn install_tracer(&self) {
        let options = strace_options();
        let script = format!(
            "#!/bin/sh\nname=$1; shift\nexec strace {options} -o /run/test/$name.trace -- \"$@\"\n"
        );
        self.write(TRACED, script);
        self.run("chmod", &["755", TRACED]).success();
    }

    #[track_caller]
    fn traced(&self, name: &str, arguments: &[&str]) {
        let command = [&[name, ARMFLEET], arguments].concat();
        self.run(TRACED, &command).success();
    }

    /// Starts libvirt's daemons again, each in a trace of its own.
    fn trace_daemons(&self) {
        self.stop_daemons();
        for daemon in ["virtlogd", "libvirtd"] {
            // The tracer lives as long as the daemon, and must not keep this command's output open.
            let said = format!("/run/test/{daemon}.said");
            let start = format!("exec {TRACED} {daemon} {daemon} --daemon >{said} 2>&1");
            let started = self.run("sh", &["-c", &start]);
            assert_eq!(started.code, Some(0), "{}", self.read(said));
        }
        wait_until("an answer of libvirtd", LIMIT, || {
            self.virsh(&["list"]).code == Some(0)
        });
    }

    fn stop_daemons(&self) {
        for daemon in ["libvirtd", "virtlogd"] {
            self.run(script("libvirt"), &["stop", daemon]).success();
        }
    }

    /// Ends the daemons, after their VMs, so that the traces are whole.
    fn end_traces(&self) {
        self.stop_daemons();
        wait_until("the end of every tracer", LIMIT, || {
            self.run("pgrep", &["-x", "strace"]).code == Some(1)
        });
    }

    fn trace(&self, name: &str) -> Trace {
        Trace::parse(&self.read(format!("/run/test/{name}.trace")))
    }

    fn reboot_into(&self, kernel: &str) {
        let before = self.run_number();
        self.guest("reboot");
        self.wait_for_next_run(before);
        self.assert_reported(&self.guest("report"), &format!("kernel {kernel}"));
    }
}

/// The changes that are not allowed, each with the calls that make it. What is allowed must have been changed.
#[track_caller]
fn strange(what: &str, trace: &Trace, allowed: &[&str]) -> Vec<String> {
    let is_in = |path: &str, place: &str| match place.strip_suffix("/**") {
        Some(folder) => path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        None => path == place,
    };
    let mut changes = trace.changes();
    for place in allowed {
        assert!(
            changes.keys().any(|path| is_in(path, place)),
            "{what} need not be allowed to change {place}"
        );
    }
    changes.retain(|path, _| !allowed.iter().any(|place| is_in(path, place)));
    let lines = changes
        .iter()
        .map(|(path, calls)| format!("{path} {calls:?}"));
    lines.collect()
}

/// A host with a VM to install and one that has a seed, both yet to be made, whose daemons are traced.
fn traced_host() -> TestHost {
    let leaving = second_vm("leaving").replace("    state: stopped\n", "");
    let host = with_installer(PRESEED);
    host.write_fleet(&(watched_fleet() + &leaving));
    host.install_tracer();
    host.trace_daemons();
    host
}

/// Both VMs are made, one is installed and upgraded, moves to links and to its first kernel; the other one is removed.
fn run_fleet(host: &TestHost) {
    let (first, second) = (&GuestFiles::get().first, &GuestFiles::get().second);
    host.traced("plan", &["plan"]);
    let watcher = host.watch_by(&format!("exec {TRACED} watch"));
    host.traced("apply", &["apply", "--auto-approve", "--wait"]);
    host.guest("confirm");
    host.traced("hold", &["hold", VM]);
    host.traced("release", &["release", VM]);
    host.guest("upgrade");
    host.reboot_into(second);

    let linked = watched_fleet()
        .replace("boot: { ", "boot: { handover: link, ")
        .replace("512MiB", "384MiB");
    host.write_fleet(&linked);
    host.traced("change", &["apply", "--auto-approve", "--allow-removal"]);
    host.traced("use", &["boot", "use", VM, first]);
    host.reboot_into(first);
    host.traced("second-plan", &["plan"]);
    host.traced("status", &["status"]);
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
}

#[test]
fn every_path_that_is_changed_is_armfleets_or_the_fleet_files() {
    let host = traced_host();
    run_fleet(&host);
    host.virsh(&["destroy", VM]).success();
    host.write(HOOK_BINARY, PLANTING_HOOK);
    assert_ne!(host.virsh(&["start", VM]).code, Some(0));
    host.end_traces();

    for (name, allowed) in ALLOWED {
        let strange = strange(name, &host.trace(name), allowed);
        assert!(strange.is_empty(), "{name} changes\n{}", strange.join("\n"));
    }
    let hook = host.trace("libvirtd").of(SHIM);
    let strange = strange("the hook", &hook, &ALLOWED_TO_HOOK);
    assert!(
        strange.len() == 1 && strange[0].starts_with("/srv/planted "),
        "the hook changes\n{}",
        strange.join("\n")
    );
}
