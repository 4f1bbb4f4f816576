//! Guests, and code that runs as QEMU's user, that make the host wait: for their files, and for their starts.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use armfleet::boot::{MODE_XATTR, PROCESSOR_TIME_LIMIT};
use rustix::fs::XattrFlags;
use rustix::process::Signal;

use crate::fleet::{SHARE, VM};
use crate::host::{GuestFiles, TestHost};
use crate::leases::Leases;
use crate::watch::cold_boot;

/// Far less than what the system waits for a lease's holder (`/proc/sys/fs/lease-break-time`).
const AT_ONCE: Duration = Duration::from_secs(15);

/// Every plain file in a folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

#[test]
fn nobody_waits_for_files_that_are_leased() {
    let host = TestHost::with_applied(&cold_boot());
    let _watcher = host.watch();
    host.guest("install-first");
    host.guest("poweroff");
    host.wait_for_state(VM, "shut off");
    host.wait_for_log("its guest powered off: it stays off", 1);
    let share = host.path(SHARE);
    fs::write(share.join("armfleet-stop"), "power-off\n").unwrap();
    let at_once = |arguments: &[&str]| {
        let leases = Leases::on(files_in(&share));
        let began = Instant::now();
        let said = host.armfleet(arguments);
        assert!(
            began.elapsed() < AT_ONCE,
            "{arguments:?} waited {:?}",
            began.elapsed()
        );
        drop(leases);
        said
    };
    let plan = at_once(&["plan"]).success();
    assert!(
        plan.contains("> start     armhf-vm") && !plan.contains('?'),
        "{plan}"
    );
    let status = at_once(&["status"]).success();
    assert!(status.contains("armhf-vm  off  "), "{status}");
    at_once(&["boot", "list", VM]).success();

    // What was staged boots, and the reason is said; and the watcher starts it again, whatever its guest said last.
    let leases = Leases::on(files_in(&share));
    host.virsh(&["start", VM]).success();
    drop(leases);
    let said = host.read("/run/armfleet/hook-seen/armhf-vm");
    assert!(
        said.contains("leased by a process of QEMU's user"),
        "{said}"
    );
    let status = host.armfleet(&["status"]).success();
    for told in [" is leased by a process of QEMU's user", "boots its seed"] {
        let told = |line: &str| line.contains("its last start: ") && line.contains(told);
        assert!(status.lines().any(told), "{status}");
    }
    host.wait_for_console();
    host.guest("report");
    let before = host.run_number();
    let leases = Leases::on(files_in(&share));
    let began = Instant::now();
    // QEMU ends by it, and may do so before it answers libvirt.
    host.virsh(&["reset", VM]);
    while host.run_number() == before || host.run_number().is_none() {
        assert!(began.elapsed() < AT_ONCE, "{}", host.log());
        thread::sleep(Duration::from_millis(50));
    }
    drop(leases);
    host.wait_for_console();
    let files = GuestFiles::get();
    let report = host.guest("report");
    host.assert_reported(&report, &format!("kernel {}", files.first));
}

const DISTURBERS: [&str; 4] = ["worst-1", "worst-2", "worst-3", "worst-4"];
const NEWER: &str = "6.1.0-99-armmp";
const NAMES: usize = 20_000;
/// How long four starts take that use up all that one may, on a host of one processor: whoever lists VMs waits for each.
fn list_limit() -> Duration {
    PROCESSOR_TIME_LIMIT * u32::try_from(DISTURBERS.len()).unwrap()
}

/// The fleet of an honest VM and four that are not.
fn crowd() -> String {
    let honest = cold_boot();
    let (_, vm) = honest.split_once("vms:\n").unwrap();
    let worst = DISTURBERS.map(|name| {
        let vm = vm.replace("armhf-vm", name).replace("512MiB", "256MiB");
        vm.replace("root=/dev/vda1", "root=/dev/vda1 panic=1")
    });
    honest.clone() + &worst.concat()
}

/// An initrd that takes more to unpack than any start may: archives of zeros, each compressed on its own.
fn endless() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let size = 64 << 20;
    for (name, size) in [("zeros", size), ("TRAILER!!!", 0)] {
        let fields = [
            0,
            0o100_644,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        let fields: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        let head = format!("070701{fields}{name}\0");
        let padding = head.len().next_multiple_of(4) - head.len() + size;
        encoder.write_all(head.as_bytes()).unwrap();
        encoder.write_all(&vec![0; padding]).unwrap();
    }
    encoder.finish().unwrap().repeat(200)
}

/// Fills a share: a pair whose initrd unpacks without end, and more names than anybody looks at.
fn spoil(share: &Path, endless: &[u8]) {
    let files = GuestFiles::get();
    fs::copy(
        files.kernel(&files.first),
        share.join(format!("vmlinuz-{NEWER}")),
    )
    .unwrap();
    fs::write(share.join(format!("initrd.img-{NEWER}")), endless).unwrap();
    for kind in ["vmlinuz", "initrd.img"] {
        let link = share.join(kind);
        let _ = fs::remove_file(&link);
        fs::write(&link, format!("{kind}-{NEWER}")).unwrap();
        rustix::fs::setxattr(&link, MODE_XATTR, &[0xff, 0xa1, 0, 0], XattrFlags::empty()).unwrap();
    }
    for number in 0..NAMES {
        fs::write(share.join(format!("vmlinuz-7.{number}-armmp")), "MZ").unwrap();
    }
}

/// Ends what goes on beside the test, also where that fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Renames what is in the shares, without end.
fn churn(shares: &[PathBuf], over: &AtomicBool) {
    let rename = |share: &PathBuf| {
        let name = |name: &str| share.join(name);
        let _ = fs::rename(name("vmlinuz-7.0-armmp"), name("churned"));
        let _ = fs::rename(name("churned"), name("vmlinuz-7.0-armmp"));
    };
    while !over.load(Ordering::SeqCst) {
        shares.iter().for_each(rename);
    }
}

/// The honest guest reboots; from its stop to its start, in milliseconds.
fn reboot(host: &TestHost) -> u64 {
    let recorder = host.record_events();
    let before = host.run_number();
    host.guest("reboot");
    host.wait_for_next_run(before);
    host.guest("report");
    recorder.signal(Signal::TERM);
    recorder.wait();
    host.pauses()[0]
}

/// Has the watcher forget the honest guest's reboots, of which two in a row are not put off.
fn begin_anew(host: &TestHost) {
    host.guest("poweroff");
    host.wait_for_state(VM, "shut off");
    host.wait_for_log(&format!("{VM}: its guest powered off"), 1);
    fs::remove_file(host.path(format!("/run/armfleet/runs/{VM}.json"))).unwrap();
    host.virsh(&["start", VM]).success();
    host.wait_for_console();
    host.guest("report");
}

/// How long the longest `virsh list` waits.
fn list(host: &TestHost, over: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::SeqCst) {
        let began = Instant::now();
        host.virsh(&["list", "--all"]).success();
        longest = longest.max(began.elapsed());
    }
    longest
}

#[test]
#[ignore = "long: five guests boot, four of which do their worst"]
fn four_guests_that_do_their_worst_do_not_hold_up_an_honest_one() {
    let host = TestHost::with_applied(&crowd());
    let _watcher = host.watch();
    host.guest("install-first");
    // The first stages what was installed.
    reboot(&host);
    let alone = reboot(&host);
    begin_anew(&host);

    let shares = DISTURBERS.map(|name| host.path(format!("/srv/{name}-boot")));
    let endless = endless();
    shares.iter().for_each(|share| spoil(share, &endless));
    let over = AtomicBool::new(false);
    let (beside, longest) = thread::scope(|scope| {
        scope.spawn(|| churn(&shares, &over));
        let longest = scope.spawn(|| list(&host, &over));
        let end = Over(&over);
        for name in DISTURBERS {
            host.virsh(&["reset", name]).success();
        }
        let beside = [reboot(&host), reboot(&host)];
        for name in DISTURBERS {
            host.wait_for_log(&format!("{name}: started"), 1);
        }
        drop(end);
        (beside, longest.join().unwrap())
    });
    println!(
        "a reboot takes {alone} ms alone, {beside:?} ms beside four; virsh list at most {longest:?}"
    );
    assert!(
        beside.iter().all(|took| *took <= alone + 1000),
        "{beside:?} after {alone}"
    );
    assert!(longest < list_limit(), "{longest:?}");
}
