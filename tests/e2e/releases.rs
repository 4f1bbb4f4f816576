//! Hosts that earlier releases applied, in a private host: the first plan is empty, every start boots the pair that it booted
//! then, and what a later version wrote stays as it is.

use crate::frozen::{RELEASES, folder, lay_out};
use crate::host::{Output, TestHost, WORK};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const FIRST: &str = "6.1.0-1-armmp";
const SECOND: &str = "6.1.0-2-armmp";
const THIRD: &str = "6.1.0-3-armmp";
/// Each VM that ran, and the kernel that it booted last.
const RAN: [(&str, &str); 7] = [
    ("own", THIRD),
    ("linked", THIRD),
    ("chosen", SECOND),
    ("seeded", FIRST),
    ("warm", FIRST),
    ("held", FIRST),
    ("installing", FIRST),
];

fn record(vm: &str) -> String {
    format!("/var/lib/armfleet/vms/{vm}/record.json")
}

impl TestHost {
    /// A host as a release left it, all VMs off, with its hook in place and this version's binaries.
    fn frozen(release: &str) -> Self {
        let host = Self::start();
        lay_out(release, &host.path("/"));
        let folder = folder(release);
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        for domain in std::fs::read_dir(folder.join("domains")).unwrap() {
            let path = domain.unwrap().path();
            if path.extension().is_some_and(|suffix| suffix == "xml") {
                host.define(&std::fs::read_to_string(path).unwrap());
            }
        }
        for vm in text("domains/autostart").lines() {
            host.virsh(&["autostart", vm]).success();
        }
        host.write_fleet(&text("fleet.yaml"));
        let plan = Path::new(WORK).join("saved-plan.json");
        host.write(plan, text("saved-plan.json"));
        // It finds the hook, and none of the VMs is to start with it.
        host.restart_libvirtd();
        host
    }

    /// A VM's console log, which version 0.1.0 let end otherwise.
    fn console_of(&self, vm: &str) -> String {
        let names = ["log", "console"].map(|end| format!("/var/log/{vm}.{end}"));
        let [log, console] = names;
        if self.path(&log).exists() {
            log
        } else {
            console
        }
    }

    /// How often this pair has booted, by what the VM's kernels said.
    fn boots(&self, vm: &str, kernel: &str) -> usize {
        let says = format!("boots kernel {kernel}, initrd {kernel}\n");
        self.console(&self.console_of(vm)).matches(&says).count()
    }

    /// How many kernels have said anything.
    fn all_boots(&self, vm: &str) -> usize {
        let text = self.console(&self.console_of(vm));
        let lines = text.split_inclusive('\n');
        lines
            .filter(|line| line.starts_with("boots kernel ") && line.ends_with('\n'))
            .count()
    }

    /// Does something that starts a VM; exactly one start must follow, of this pair.
    #[track_caller]
    fn assert_boots(&self, vm: &str, kernel: &str, start: impl FnOnce()) {
        let (before, all) = (self.boots(vm, kernel), self.all_boots(vm));
        start();
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.all_boots(vm) == all {
            assert!(Instant::now() < deadline, "{vm} boots nothing");
            sleep(Duration::from_millis(100));
        }
        let text = self.console(&self.console_of(vm));
        let log = self.log();
        assert_eq!(self.boots(vm, kernel), before + 1, "{vm}:\n{text}{log}");
    }

    /// Has the guest of a VM reset.
    fn reset(&self, vm: &str) {
        let say = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/releases/say");
        self.run(say, &[vm, "r"]).success();
    }

    fn staged(&self, vm: &str) -> String {
        let current = format!("/var/lib/armfleet/vms/{vm}/boot/current");
        self.run("readlink", &[current]).success()
    }

    /// Has a file be one of the next version of its format; gives its text.
    fn make_later(&self, path: &str) -> String {
        let text = self.read(path);
        let later = text.replacen("/1\"", "/2\"", 1);
        assert_ne!(later, text);
        self.write(path, &later);
        later
    }
}

/// It names both versions, and what to do.
#[track_caller]
fn assert_names_both(output: &Output, format: &str) {
    let said = format!("{}{}", output.stdout, output.stderr);
    for part in [
        &format!("its format is armfleet-{format}/2"),
        &format!("reads up to armfleet-{format}/1"),
        "upgrade armfleet on this host",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
}

#[test]
fn the_host_of_every_release_boots_as_before_and_an_apply_only_moves_what_is_linked() {
    for release in RELEASES {
        let host = TestHost::frozen(release);
        let staged: Vec<String> = RAN.map(|(vm, _)| host.staged_before(vm)).into();
        for (vm, kernel) in RAN {
            host.assert_boots(vm, kernel, || {
                host.virsh(&["start", vm]).success();
            });
        }
        let watcher = host.watch();
        // A linked kernel leaves the share, with the hook that comes with any change; nothing else is to be done.
        let plan = host.plan();
        assert_eq!(plan.code, Some(2), "{}{}", plan.stdout, plan.stderr);
        let steps = ["~ hook ", "~ libvirtd ", "~ domain    linked "];
        assert!(
            steps.iter().all(|step| plan.stdout.contains(step)),
            "{}",
            plan.stdout
        );
        assert!(plan.stdout.ends_with("\n3 to change.\n"), "{}", plan.stdout);
        for vm in ["own", "linked"] {
            host.assert_boots(vm, THIRD, || host.reset(vm));
        }
        for ((vm, _), before) in RAN.iter().zip(staged) {
            if *vm != "installing" {
                assert_eq!(host.staged(vm), before, "{release}: {vm}");
            }
        }
        host.assert_told();

        let fleet = host.read(Path::new(WORK).join("fleet.yaml"));
        host.write_fleet(&fleet.replace("96MiB", "128MiB"));
        let untouched = host.read(record("seeded"));
        host.apply().success();
        // What a record did not have is filled in where there is another reason to write it, and only there.
        assert_eq!(host.read(record("seeded")), untouched);
        assert!(host.read(record("own")).contains("\"place\": {"));
        let plan = host.plan();
        assert_eq!(plan.code, Some(0), "{}{}", plan.stdout, plan.stderr);
        host.assert_boots("linked", THIRD, || host.reset("linked"));
        let beside = host.path("/srv/.armfleet-linked-boot/vmlinuz");
        assert!(beside.symlink_metadata().unwrap().is_file());
        // Its last kernel had one strike when it was frozen, and has its third now.
        host.assert_boots("own", SECOND, || host.reset("own"));
        watcher.signal(rustix::process::Signal::TERM);
        watcher.wait();
    }
}

impl TestHost {
    fn staged_before(&self, vm: &str) -> String {
        if vm == "installing" {
            String::new()
        } else {
            self.staged(vm)
        }
    }

    /// The commands that tell what was done and what boots read what the release wrote.
    #[track_caller]
    fn assert_told(&self) {
        let history = self.armfleet(&["history", "own"]);
        assert_eq!(history.stderr, "");
        for line in [
            "memory 64 MiB -> 96 MiB",
            "first.yaml",
            "<memory unit='KiB'>98304",
        ] {
            assert!(
                history.stdout.contains(line),
                "{line} in\n{}",
                history.stdout
            );
        }
        let list = self.armfleet(&["boot", "list", "chosen"]).success();
        for part in [SECOND, "works: its guest confirmed it", THIRD, "failed"] {
            assert!(list.contains(part), "{part} in\n{list}");
        }
        let status = self.armfleet(&["status"]).success();
        for part in ["own", "held by root", SECOND] {
            assert!(status.contains(part), "{part} in\n{status}");
        }
    }
}

#[test]
fn what_a_later_version_wrote_stays_and_what_is_staged_boots() {
    let host = TestHost::frozen(RELEASES[0]);
    // One boots a generation, one what is linked in its share, one a generation that was asked for.
    let files = [
        ("own", record("own"), "record", THIRD),
        ("linked", record("linked"), "record", THIRD),
        (
            "chosen",
            "/var/lib/armfleet/vms/chosen/boot/trials.json".to_owned(),
            "trials",
            SECOND,
        ),
        (
            "seeded",
            "/var/lib/armfleet/vms/seeded/boot/seed/seed.json".to_owned(),
            "seed",
            FIRST,
        ),
    ];
    let later: Vec<String> = files
        .iter()
        .map(|(_, path, ..)| host.make_later(path))
        .collect();
    for (vm, path, format, kernel) in &files {
        host.assert_boots(vm, kernel, || {
            host.virsh(&["start", vm]).success();
        });
        let plan = host.armfleet(&["plan", "--vm", vm]);
        assert_names_both(&plan, format);
        let apply = host.armfleet(&["apply", "--auto-approve", "--vm", vm]);
        assert_eq!(
            apply.code,
            Some(3),
            "{path}: {}{}",
            apply.stdout,
            apply.stderr
        );
        assert_names_both(&apply, format);
    }
    let generation = host.staged("own").trim().replace("g/", "");
    for command in [
        &["boot", "list", "own"][..],
        &["boot", "use", "own", &generation],
        &["boot", "retry", "chosen"],
    ] {
        let refused = host.armfleet(command);
        assert_ne!(refused.code, Some(0), "{command:?}: {}", refused.stdout);
        let format = if command[2] == "own" {
            "record"
        } else {
            "trials"
        };
        assert_names_both(&refused, format);
    }
    host.make_later("/var/lib/armfleet/vms/held/hold.json");
    for command in ["hold", "release"] {
        assert_names_both(&host.armfleet(&[command, "held"]), "hold");
    }
    // The watcher cannot judge it either.
    let watcher = host.watch();
    host.reset("own");
    host.wait_for_state("own", "shut off");
    host.wait_for_log("own: left alone", 1);
    assert_eq!(host.state("own"), "shut off");
    for ((_, path, ..), later) in files.iter().zip(later) {
        assert_eq!(host.read(path), later, "{path}");
    }
    watcher.signal(rustix::process::Signal::TERM);
    watcher.wait();
}
