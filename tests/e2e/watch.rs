//! `armfleet watch`: what a guest's reboot, and every other end of a VM, leads to.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use snapbox::assert_data_eq;

use crate::fleet::{RECORD, VM, recipe};
use crate::host::{ARMFLEET, GuestFiles, Running, TestHost, WORK};

const LOG: &str = "/run/test/watch.log";
const EVENTS: &str = "/run/test/events.log";
/// Longer than a watcher takes to do anything that it does at once.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

/// The recipe's VM, whose reboots are cold boots.
pub(crate) fn cold_boot() -> String {
    recipe().replace("    on_guest_reboot: stop\n", "")
}

pub(crate) fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50));
    }
}

impl TestHost {
    /// A watcher at work.
    pub(crate) fn watch(&self) -> Running {
        self.watch_by("exec")
    }

    /// A watcher at work, started by other words of the shell that lead to the same process.
    pub(crate) fn watch_by(&self, start: &str) -> Running {
        let lines = self.log_lines("connected to libvirt");
        let script = format!("{start} {ARMFLEET} watch 2>>{LOG}");
        let watcher = self.spawn("sh", &["-c", &script]);
        self.wait_for_log("connected to libvirt", lines + 1);
        watcher
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path(LOG)).unwrap_or_default()
    }

    pub(crate) fn log_lines(&self, text: &str) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains(text))
            .count()
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(150);
        while self.log_lines(text) < count {
            assert!(
                Instant::now() < deadline,
                "no {count} × {text} in\n{}",
                self.log()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// libvirt's number of the present run; none while it is off.
    pub(crate) fn run_number(&self) -> Option<u32> {
        self.virsh(&["domid", VM]).success().trim().parse().ok()
    }

    /// Waits for another run than that of this number.
    #[track_caller]
    pub(crate) fn wait_for_next_run(&self, before: Option<u32>) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.run_number().is_none() || self.run_number() == before {
            assert!(
                Instant::now() < deadline,
                "no new run of {VM}\n{}",
                self.log()
            );
            sleep(Duration::from_millis(100));
        }
        self.wait_for_console();
    }

    /// libvirt tells of a run before there is anything to it.
    pub(crate) fn wait_for_console(&self) {
        wait_until("a console", Duration::from_secs(60), || {
            self.virsh(&["ttyconsole", VM]).stdout.contains("/dev/pts/")
        });
    }

    #[track_caller]
    pub(crate) fn assert_stays_off(&self) {
        self.wait_for_state(VM, "shut off");
        sleep(LONG_ENOUGH);
        assert_eq!(self.state(VM), "shut off", "{}", self.log());
    }

    /// libvirt's events from here on, each with its time.
    pub(crate) fn record_events(&self) -> Running {
        let script = format!(
            "exec virsh -q -c qemu:///system event --loop --timestamp --event lifecycle >{EVENTS}"
        );
        let recorder = self.spawn("sh", &["-c", &script]);
        sleep(Duration::from_millis(500));
        recorder
    }

    /// From each stop of the recipe's VM to the start after it, in milliseconds.
    pub(crate) fn pauses(&self) -> Vec<u64> {
        let events = self.read(EVENTS);
        let of_vm = |line: &&str| line.contains(&format!("'{VM}'"));
        let times = |word: &'static str| {
            events
                .lines()
                .filter(of_vm)
                .filter(move |line| line.contains(word))
                .filter_map(milliseconds)
                .collect::<Vec<_>>()
        };
        let starts = times(": Started ");
        times(": Stopped ")
            .into_iter()
            .filter_map(|stop| {
                starts
                    .iter()
                    .find(|start| **start >= stop)
                    .map(|start| start - stop)
            })
            .collect()
    }
}

/// The time of day in `2026-11-22 13:45:07.123+0000: event …`.
fn milliseconds(line: &str) -> Option<u64> {
    let (time, _) = line.split_once(' ')?.1.split_once('+')?;
    let mut parts = time.split([':', '.']).map(|part| part.parse::<u64>().ok());
    let mut next = || parts.next().flatten();
    Some(((next()? * 60 + next()?) * 60 + next()?) * 1000 + next()?)
}

#[test]
fn a_reboot_boots_what_the_guest_installed_and_no_command_is_given() {
    let (host, files) = (TestHost::with_applied(&cold_boot()), GuestFiles::get());
    let watcher = host.watch();
    host.guest("install-first");
    // How long a start takes here, hook and copy included.
    host.shut_down();
    let began = Instant::now();
    host.virsh(&["start", VM]).success();
    let start = u64::try_from(began.elapsed().as_millis()).unwrap();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", files.first));

    let recorder = host.record_events();
    // An upgrade, and back again.
    let link = |name: &str| format!("ln -sf {name}-{} /boot/{name}", files.first);
    let back = format!("run {}; {}", link("vmlinuz"), link("initrd.img"));
    for (change, version) in [("upgrade", &files.second), (&back, &files.first)] {
        host.guest(change);
        let before = host.run_number();
        host.guest("reboot");
        host.wait_for_next_run(before);
        let report = host.guest("report");
        host.assert_reported(&report, &format!("kernel {version}"));
        host.assert_reported(&report, "initrd installed");
    }
    recorder.signal(Signal::TERM);
    recorder.wait();
    let pauses = host.pauses();
    println!("a start took {start} ms; from stop to start: {pauses:?} ms");
    assert_eq!(pauses.len(), 2, "{}", host.read(EVENTS));
    for pause in pauses {
        assert!(
            pause <= start + 1000,
            "{pause} ms after a start of {start} ms"
        );
    }
    assert_eq!(host.log_lines("its guest rebooted"), 2, "{}", host.log());
    watcher.signal(Signal::TERM);
    let ended = watcher.wait();
    assert_eq!(ended.code, Some(0), "{}", host.log());
}

#[test]
fn whatever_else_ends_a_vm_leaves_it_off_and_so_does_the_next_watcher() {
    let host = TestHost::with_applied(&cold_boot());
    let watcher = host.watch();
    host.guest("poweroff");
    host.assert_stays_off();
    host.wait_for_log("its guest powered off: it stays off", 1);

    host.virsh(&["start", VM]).success();
    host.guest("report");
    host.virsh(&["shutdown", VM]).success();
    host.assert_stays_off();
    host.wait_for_log("its guest powered off: it stays off", 2);

    // Nor does a watcher start it that comes later, nor one whose libvirtd has forgotten why it is off.
    watcher.signal(Signal::KILL);
    watcher.wait();
    let watcher = host.watch();
    host.assert_stays_off();
    host.restart_libvirtd();
    host.wait_for_log("connected to libvirt", 3);
    host.assert_stays_off();

    host.virsh(&["start", VM]).success();
    host.guest("report");
    host.virsh(&["destroy", VM]).success();
    host.assert_stays_off();
    host.wait_for_log("its power was cut: it stays off", 1);
    watcher.signal(Signal::KILL);
    watcher.wait();

    // Cut while nobody watched.
    host.virsh(&["start", VM]).success();
    host.guest("report");
    host.virsh(&["destroy", VM]).success();
    let watcher = host.watch();
    host.assert_stays_off();
    watcher.signal(Signal::INT);
    assert_eq!(watcher.wait().code, Some(0));
    assert_eq!(host.log_lines("started"), 0, "{}", host.log());
}

#[test]
fn a_watcher_survives_libvirtd_and_hears_what_it_missed() {
    let host = TestHost::with_applied(&cold_boot());
    let watcher = host.watch();
    host.guest("install-first");
    let before = host.run_number();
    host.restart_libvirtd();
    host.wait_for_log("connected to libvirt", 2);
    host.guest("reboot");
    host.wait_for_next_run(before);
    host.assert_reported(&host.guest("report"), "initrd installed");

    // The guest reboots while there is no libvirtd at all.
    host.guest("run (sleep 5; reboot -f) >/dev/null 2>&1 &");
    host.kill_libvirtd();
    let downtime = Instant::now();
    host.wait_for_log("not reachable", 2);
    sleep(Duration::from_secs(8).saturating_sub(downtime.elapsed()));
    host.start_libvirtd();
    // libvirtd finishes the stop while it starts, so what runs now has been started since.
    host.wait_for_log("armhf-vm: started", 2);
    host.assert_reported(&host.guest("report"), "initrd installed");
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
}

#[test]
fn a_reboot_that_nobody_saw_is_caught_up_with() {
    let host = TestHost::with_applied(&cold_boot());
    let watcher = host.watch();
    watcher.signal(Signal::KILL);
    watcher.wait();
    host.guest("install-first");
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    let watcher = host.watch();
    host.wait_for_console();
    host.assert_reported(&host.guest("report"), "initrd installed");
    watcher.signal(Signal::KILL);
    watcher.wait();

    // The guest's own note tells a power-off that nobody saw.
    host.guest("run echo power-off >/boot/armfleet-stop");
    host.guest("poweroff");
    host.wait_for_state(VM, "shut off");
    let watcher = host.watch();
    host.assert_stays_off();
    // It is no longer believed once the VM has been started again.
    host.virsh(&["start", VM]).success();
    host.guest("report");
    let before = host.run_number();
    watcher.signal(Signal::KILL);
    watcher.wait();
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    let watcher = host.watch();
    host.wait_for_next_run(before);
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
}

#[test]
fn a_loop_of_reboots_is_slowed_down_across_watchers() {
    let looping = cold_boot().replace(
        "root=/dev/vda1",
        "root=/dev/vda1 panic=1 rdinit=/none init=/none",
    );
    let host = TestHost::with_fleet(&looping);
    let recorder = host.record_events();
    let watcher = host.watch();
    host.apply();
    host.wait_for_log("3 times in a row", 1);
    watcher.signal(Signal::KILL);
    watcher.wait();
    // It goes on counting where the other one was.
    let watcher = host.watch();
    host.wait_for_log("4 times in a row", 1);
    host.virsh(&["destroy", VM]);
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
    recorder.signal(Signal::TERM);
    recorder.wait();
    let pauses = host.pauses();
    println!("from stop to start: {pauses:?} ms");
    assert!(pauses[0] < 4000 && pauses[1] < 4000, "{pauses:?}");
    // It is counted from what QEMU told, a little before the stop.
    assert!(pauses[2] >= 4500, "{pauses:?}");
}

#[test]
fn a_held_vm_is_left_alone_until_it_is_released() {
    let host = TestHost::with_applied(&cold_boot());
    let watcher = host.watch();
    host.assert_converged();
    let held = host.armfleet(&["hold", VM, "--why", "its disk is being moved"]);
    assert!(
        held.success()
            .starts_with("armhf-vm is held by root since ")
    );
    // Nothing is wanted of it, so nothing is refused.
    assert_data_eq!(
        host.planned(0),
        snapbox::str![[r#"
  i armhf-vm: held by root since [..] UTC: its disk is being moved
      armfleet release armhf-vm

No changes.

"#]]
    );
    host.guest("reboot");
    host.assert_stays_off();
    let refused = snapbox::str![[r#"
  ! armhf-vm: held by root since [..] UTC: its disk is being moved
      -> armfleet release armhf-vm

No changes, 1 refused.

"#]];
    assert_data_eq!(host.planned(3), refused);
    let applied = host.apply();
    assert_eq!(applied.code, Some(3), "{}", applied.stdout);
    assert_eq!(host.state(VM), "shut off");
    let status = host.armfleet(&["status"]).success();
    assert!(status.contains("! held by root since "), "{status}");
    // Nor is it removed.
    host.write_fleet("fleet: recipe\nvms: {}\n");
    let removal = host.armfleet(&["apply", "--auto-approve", "--allow-removal=1"]);
    assert_eq!(removal.code, Some(3), "{}", removal.stdout);
    assert!(
        removal.stdout.contains("not removed: held by root"),
        "{}",
        removal.stdout
    );
    host.write_fleet(&cold_boot());
    host.armfleet(&["release", VM]).success();
    host.wait_for_state(VM, "running");
    host.guest("report");
    assert_eq!(
        host.armfleet(&["release", VM]).success(),
        "armhf-vm was not held\n"
    );

    host.assert_converged();

    // A hold that ends by itself.
    host.armfleet(&["hold", VM, "--until", "6s"]).success();
    host.guest("reboot");
    host.wait_for_state(VM, "shut off");
    host.wait_for_state(VM, "running");
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));

    for wrong in [
        &["hold", "other"][..],
        &["hold", VM, "--until", "soon"],
        &["hold", VM, "--until", "2020-01-01T00:00Z"],
    ] {
        assert_ne!(host.armfleet(wrong).code, Some(0), "{wrong:?}");
    }
    let nobody = host.run_as_nobody(ARMFLEET, &["hold", VM]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.stderr);
}

#[test]
fn plan_and_status_say_that_nobody_watches() {
    let host = TestHost::with_fleet(&(cold_boot() + "    state: stopped\n"));
    host.apply().success();
    assert_data_eq!(
        host.planned(0),
        snapbox::str![[r#"
  i watch: armfleet watch does not run on this host: a VM whose guest reboots stays off
      systemctl enable --now armfleet-watch (its unit: armfleet's package, or examples/systemd), or set on_guest_reboot to warm or stop

No changes.

"#]]
    );
    let status = host.armfleet(&["status"]).success();
    assert!(
        status.ends_with("! armfleet watch: does not run, so VMs whose guests reboot stay off\n"),
        "{status}"
    );
    let watcher = host.watch();
    host.assert_converged();
    let status = host.armfleet(&["status"]).success();
    assert!(status.contains("i armfleet watch: runs (pid "), "{status}");
    // What is left of a watcher that was killed deceives nobody.
    watcher.signal(Signal::KILL);
    watcher.wait();
    assert!(host.planned(0).contains("armfleet watch does not run"));
    for reboot in ["stop", "warm"] {
        host.write_fleet(&format!(
            "{}    state: stopped\n    on_guest_reboot: {reboot}\n",
            cold_boot()
        ));
        host.apply().success();
        host.assert_converged();
    }
}

#[test]
fn a_stop_that_apply_asked_for_is_no_reboot() {
    let host = TestHost::with_applied(&cold_boot());
    host.guest("report");
    host.write_fleet(&(cold_boot() + "    state: stopped\n"));
    host.apply().success();
    assert_eq!(host.state(VM), "shut off");
    // As if apply had been killed right after, on its way to start the VM again.
    let record = host.read(RECORD);
    host.write(
        RECORD,
        record.replace("\"state\": \"stopped\"", "\"state\": \"running\""),
    );
    let watcher = host.watch();
    host.assert_stays_off();
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
}

#[test]
fn a_watcher_killed_at_any_moment_of_a_reboot_leaves_it_to_the_next() {
    let host = TestHost::with_applied(&cold_boot());
    host.guest("install-first");
    // From before the guest's reboot until after the start that follows it.
    for delay in [900, 1050, 1200, 1400, 1700] {
        let watcher = host.watch();
        host.wait_for_console();
        let before = host.run_number();
        host.guest("reboot");
        sleep(Duration::from_millis(delay));
        watcher.signal(Signal::KILL);
        watcher.wait();
        sleep(Duration::from_millis(1500));
        let next = host.watch();
        host.wait_for_next_run(before);
        host.assert_reported(&host.guest("report"), "initrd installed");
        next.signal(Signal::TERM);
        assert_eq!(next.wait().code, Some(0));
    }
}

#[test]
fn a_host_has_one_watcher_and_systemd_hears_of_it() {
    let host = TestHost::with_applied(&cold_boot());
    let folder = host.path("/run/systemd/journal");
    std::fs::create_dir_all(&folder).unwrap();
    let journal = std::os::unix::net::UnixDatagram::bind(folder.join("socket")).unwrap();
    journal.set_nonblocking(true).unwrap();
    let socket = host.path(Path::new(WORK).join("notify"));
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let script = format!(
        "export NOTIFY_SOCKET={WORK}/notify WATCHDOG_USEC=3000000 WATCHDOG_PID=$$; exec 2>>{LOG}
         export JOURNAL_STREAM=$(stat -c %d:%i {LOG}); exec {ARMFLEET} watch"
    );
    let watcher = host.spawn("sh", &["-c", &script]);
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    wait_until(
        "readiness and three signs of life",
        Duration::from_secs(60),
        || {
            let length = systemd.recv(&mut buffer).unwrap();
            told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            let signs = told.iter().filter(|text| *text == "WATCHDOG=1").count();
            signs >= 3 && told.contains(&"READY=1".to_owned())
        },
    );
    assert!(
        told.contains(&"STATUS=watching 1 VM".to_owned()),
        "{told:?}"
    );

    // What systemd says is the journal gets entries, each with its level, and no lines.
    let mut entries = Vec::new();
    while let Ok(length) = journal.recv(&mut buffer) {
        entries.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    let connected = |entry: &String| {
        entry.contains("connected to libvirt, watching 1 VM") && entry.contains("PRIORITY")
    };
    assert!(entries.iter().any(connected), "{entries:?}");
    assert_eq!(host.log(), "");

    let second = host.armfleet(&["watch"]);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    assert!(
        second
            .stderr
            .contains("armfleet watch runs on this host already"),
        "{}",
        second.stderr
    );
    assert!(second.stderr.contains("held by pid "), "{}", second.stderr);
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
    let mut last = String::new();
    while let Ok(length) = systemd.recv(&mut buffer) {
        last = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if last == "STOPPING=1" {
            break;
        }
    }
    assert_eq!(last, "STOPPING=1");
    // A watcher that has ended starts nothing.
    host.guest("reboot");
    host.assert_stays_off();
}
