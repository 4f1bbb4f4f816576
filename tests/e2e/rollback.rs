//! A kernel that does not come up gives way to the last one that did.

use std::time::Duration;

use rustix::process::Signal;
use snapbox::assert_data_eq;

use crate::fleet::{JOURNAL, VM};
use crate::host::{GuestFiles, Running, TestHost};
use crate::watch::cold_boot;

/// The watched recipe with a kernel that reboots when it panics.
fn restless() -> String {
    cold_boot().replace("root=/dev/vda1", "root=/dev/vda1 panic=1")
}

/// A host with a watcher, whose guest runs its own first kernel and has said so.
fn with_confirmed_guest(fleet: &str) -> (TestHost, Running) {
    let host = TestHost::with_applied(fleet);
    let watcher = host.watch();
    host.guest("install-first");
    reboot(&host);
    host.guest("confirm");
    (host, watcher)
}

/// Has the guest reboot, and waits for what the watcher makes of it.
fn reboot(host: &TestHost) {
    let before = host.run_number();
    host.guest("reboot");
    host.wait_for_next_run(before);
}

fn boot(host: &TestHost, arguments: &[&str]) -> String {
    host.armfleet(&[&["boot"], arguments].concat()).success()
}

#[track_caller]
fn assert_boots(host: &TestHost, version: &str) {
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {version}"));
}

#[track_caller]
fn assert_says(text: &str, lines: &[String]) {
    for line in lines {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[test]
fn a_kernel_that_panics_at_once_is_rolled_back_and_no_command_is_given() {
    let (host, watcher) = with_confirmed_guest(&restless());
    let (first, second) = (&GuestFiles::get().first, &GuestFiles::get().second);
    host.guest("upgrade-broken panic");
    host.guest("reboot");
    let back = format!("{VM}: boots {first}, which worked before");
    host.wait_for_log(&back, 1);
    host.wait_for_console();
    assert_boots(&host, first);

    // Everybody says what happened, why, and what to do.
    let failed = format!("{second} failed: 3 starts without a sign of life");
    assert_says(
        &host.log(),
        &[
            format!("{VM}: {first} works: its guest confirmed it"),
            format!("{VM}: {second} gave no sign of life: 1 of 3"),
            format!("{VM}: {second} gave no sign of life: 2 of 3"),
            format!("{VM}: {failed}"),
            format!("`armfleet boot retry {VM}` gives it another chance"),
        ],
    );
    assert_data_eq!(
        host.planned(0),
        format!(
            "  i {VM}: {failed}
      {first} boots instead; armfleet boot retry {VM} gives it another chance

No changes.
"
        )
    );
    let status = host.armfleet(&["status"]).success();
    assert_says(
        &status,
        &[
            format!("{VM}  running  {first} (confirmed)  the same\n"),
            format!("  i {failed}; {first} boots instead; armfleet boot retry"),
        ],
    );
    assert_says(&host.read(JOURNAL), std::slice::from_ref(&failed));
    let numbers = host.armfleet(&["status", "--format", "openmetrics"]);
    let rolled_back = format!("armfleet_vm_kernel_rolled_back{{fleet=\"recipe\",vm=\"{VM}\"}} 1\n");
    assert!(numbers.stdout.contains(&rolled_back), "{}", numbers.stdout);
    let list = boot(&host, &["list", VM]);
    assert_says(
        &list,
        &[
            "failed: 3 starts without a sign of life, booted before that".to_owned(),
            "works: its guest confirmed it, booted last".to_owned(),
        ],
    );

    // It stays so over further starts, until the guest repairs its kernel.
    let again = || {
        host.shut_down();
        host.virsh(&["start", VM]).success();
    };
    again();
    assert_boots(&host, first);
    host.guest("finish-upgrade");
    again();
    assert_boots(&host, second);
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.wait().code, Some(0));
}

#[test]
fn a_kernel_that_hangs_is_rolled_back_when_its_time_is_over() {
    let within = "    boot:\n      confirm_within: 10s\n";
    let fleet = cold_boot().replace("    boot:\n", within);
    let (host, watcher) = with_confirmed_guest(&fleet);
    let (first, second) = (&GuestFiles::get().first, &GuestFiles::get().second);
    host.guest("upgrade-broken hang");
    reboot(&host);
    let before = host.run_number();
    host.wait_for_next_run(before);
    assert_boots(&host, first);
    let failed = format!("{second} failed: no sign of life within 10s");
    assert_says(
        &host.log(),
        &[
            format!("{VM}: {second} gave no sign of life within 10s: the VM is powered off"),
            format!("{VM}: {failed}"),
            format!("{VM}: boots {first}, which worked before"),
        ],
    );
    assert_says(&host.planned(0), std::slice::from_ref(&failed));
    let journal = host.read(JOURNAL);
    assert_says(&journal, &["\"cut/armhf-vm\"".to_owned(), failed.clone()]);

    // What works is let alone, however long it runs and whatever it says.
    std::thread::sleep(Duration::from_secs(11));
    assert_boots(&host, first);

    // Another chance is another run of the same bytes; and nobody needs to watch it at all.
    let retried = boot(&host, &["retry", VM]);
    assert_says(&retried, std::slice::from_ref(second));
    watcher.signal(Signal::KILL);
    watcher.wait();
    host.shut_down();
    host.virsh(&["start", VM]).success();
    std::thread::sleep(Duration::from_secs(11));
    host.virsh(&["destroy", VM]).success();
    host.virsh(&["start", VM]).success();
    assert_boots(&host, first);
}

#[test]
fn boot_use_changes_nothing_until_the_next_start() {
    let (host, _watcher) = with_confirmed_guest(&cold_boot());
    let files = GuestFiles::get();
    host.guest("upgrade");
    reboot(&host);
    assert_boots(&host, &files.second);

    // That an operator cuts it off says nothing about the kernel; the guest's word counts while it runs.
    host.virsh(&["destroy", VM]).success();
    host.virsh(&["start", VM]).success();
    assert_boots(&host, &files.second);
    let says = |standing: &str, word: &str| {
        let list = boot(&host, &["list", VM]);
        let mut booted = list.lines().filter(|line| line.ends_with(", booted last"));
        let booted = booted.next().unwrap();
        assert!(
            booted.contains(&files.second) && booted.contains(standing),
            "{list}"
        );
        let status = host.armfleet(&["status"]).success();
        let line = format!("{VM}  running  {} ({word})  the same\n", files.second);
        assert_says(&status, &[line]);
    };
    says("  on trial, booted last", "on trial");
    let boot_folder = "/var/lib/armfleet/vms/armhf-vm/boot";
    let before = host.listing(&[boot_folder]);
    host.guest("confirm");
    says("  works: its guest confirmed it, booted last", "confirmed");
    host.assert_converged();
    assert_eq!(host.listing(&[boot_folder]), before);

    let said = host.armfleet(&["boot", "use", VM, &files.first]);
    // The seed is of the same version and no longer there; what is staged is the pair that was installed.
    let said = said.success();
    assert!(said.contains("from its next start on"), "{said}");
    assert_eq!(host.listing(&[boot_folder]), before);
    assert_boots(&host, &files.second);
    let plan = host.planned(0);
    assert!(plan.contains("chosen with armfleet boot use"), "{plan}");

    // libvirt labels what it starts and takes the labels back; both ways it must find its files.
    let owners = || {
        let kernels = format!("find {boot_folder}/g -name vmlinuz -printf '%U\\n' | sort");
        host.run("sh", &["-c", &kernels]).success()
    };
    for _ in 0..2 {
        host.shut_down();
        assert!(owners().lines().all(|uid| uid == "0"), "{}", owners());
        host.virsh(&["start", VM]).success();
        assert_boots(&host, &files.first);
        let owner = host.run(
            "stat",
            &["-L", "-c", "%U", &format!("{boot_folder}/current/vmlinuz")],
        );
        assert_eq!(owner.success(), "libvirt-qemu\n");
    }
    boot(&host, &["use", VM, "auto"]);
    host.shut_down();
    host.virsh(&["start", VM]).success();
    assert_boots(&host, &files.second);
    host.assert_converged();
}

/// Both, whether a guest has confirmed its kernel or has not, are told right, whoever has been restarted since.
#[test]
fn restarts_of_watch_and_libvirtd_change_nothing_about_what_is_known() {
    let (host, mut watcher) = with_confirmed_guest(&cold_boot());
    let second = &GuestFiles::get().second;
    host.guest("upgrade");
    reboot(&host);
    let standing = || {
        let list = boot(&host, &["list", VM]);
        let mut booted = list.lines().filter(|line| line.ends_with(", booted last"));
        let booted = booted.next().unwrap().to_owned();
        assert!(booted.contains(second.as_str()), "{list}");
        let status = host.armfleet(&["status"]).success();
        (booted, status.contains(&format!("{second} (confirmed)")))
    };
    let mut restart_both = || {
        let before = standing();
        host.restart_libvirtd();
        watcher.signal(Signal::TERM);
        let ended = std::mem::replace(&mut watcher, host.watch());
        assert_eq!(ended.wait().code, Some(0));
        assert_eq!(standing(), before);
        before
    };
    let (on_trial, confirmed) = restart_both();
    assert!(on_trial.contains("  on trial, booted last") && !confirmed);
    reboot(&host);
    let strike = format!("{VM}: {second} gave no sign of life: 1 of 3");
    host.wait_for_log(&strike, 1);
    let (struck, confirmed) = restart_both();
    assert!(struck.contains("1 of 3") && !confirmed, "{struck}");
    host.guest("confirm");
    let (works, confirmed) = restart_both();
    assert!(
        works.contains("  works: its guest confirmed it") && confirmed,
        "{works}"
    );
    reboot(&host);
    assert_eq!(standing(), (works, true));
    assert_eq!(host.log_lines(&strike), 1);
}
