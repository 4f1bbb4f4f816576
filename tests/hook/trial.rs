//! Pairs on trial: what a start makes of how the last run went.

use crate::world::{World, initrd, zimage};
use armfleet::boot::{CONFIRMATION, Proof, STOP_NOTE, STRIKES, Standing, Trials};
use armfleet::mark::{Moment, RunEnd, RunNote, RunStamp, Wanted, render_run_note};
use armfleet::paths;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

const OLD: &str = "6.1.0-48-armmp";
const NEW: &str = "6.1.0-50-armmp";

impl World {
    /// Leaves the stamps of a run that took so many seconds.
    fn ran(&self, seconds: u64) {
        fs::write(self.path(paths::started), "1000.25\n").unwrap();
        let stopped = format!("{}.75\n", 1000 + seconds);
        fs::write(self.path(paths::stopped), stopped).unwrap();
    }

    /// Leaves the watcher's note of how the run ended that began with the hook's last stamp, or one so much earlier.
    fn note_end(&self, end: RunEnd, earlier: i64) {
        let stamp = fs::metadata(self.path(paths::hook_seen)).unwrap();
        let run = RunStamp {
            ino: stamp.ino(),
            mtime_ns: stamp.mtime() * 1_000_000_000 + stamp.mtime_nsec() - earlier,
        };
        let end = Some(end);
        let note = RunNote {
            end,
            ..RunNote::of(Some(run))
        };
        let path = self.path(paths::run_note);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, render_run_note(&note).unwrap()).unwrap();
    }

    /// A guest that has come up says so.
    fn confirm(&self, version: &str, boot: u8) {
        let path = self.share(CONFIRMATION);
        let _ = fs::remove_file(&path);
        let text = format!("{version} 00000000-0000-4000-8000-0000000000{boot:02x}\n");
        fs::write(path, text).unwrap();
    }

    fn trials(&self) -> Trials {
        Trials::read(&fs::read(self.path(paths::trials)).unwrap()).unwrap()
    }

    fn upgrade(&self) {
        self.install(NEW);
        self.link_pair("", NEW);
        self.link_pair(".old", OLD);
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.root.below(paths::JOURNAL)).unwrap_or_default()
    }
}

/// A world whose guest runs well on the first version, and has then installed a second.
fn upgraded() -> World {
    let world = World::installed();
    world.start();
    world.ran(5);
    world.confirm(OLD, 1);
    world.upgrade();
    let said = world.start();
    assert!(
        said.contains(&format!("{OLD} works: its guest confirmed it")),
        "{said}"
    );
    assert_eq!(world.booted(), NEW);
    world
}

/// Runs what boots until it has failed.
fn fail(world: &World) -> String {
    let mut said = String::new();
    for _ in 0..STRIKES {
        world.ran(3);
        said = world.start();
    }
    said
}

#[test]
fn three_runs_without_a_sign_of_life_bring_the_last_kernel_back() {
    let world = upgraded();
    for strike in 1..STRIKES {
        world.ran(3);
        let said = world.start();
        assert!(said.contains(&format!("{strike} of {STRIKES}")), "{said}");
        assert_eq!(world.booted(), NEW);
    }
    world.ran(3);
    let said = world.start();
    assert_eq!(world.booted(), OLD);
    assert!(said.contains(&format!("{NEW} failed: 3 starts")), "{said}");
    assert!(said.contains("armfleet boot retry armhf-vm"), "{said}");
    assert!(
        said.contains(&format!("boots {OLD}, which worked before")),
        "{said}"
    );
    assert!(world.journal().contains("trial/armhf-vm"));

    // And so it stays, without copying the failed one again each time.
    let before = world.master_inode();
    for _ in 0..3 {
        world.ran(1000);
        world.start();
        assert_eq!(
            (world.booted().as_str(), world.master_inode()),
            (OLD, before)
        );
    }
}

/// What is the same for a kernel that panics and reboots: neither libvirt's log nor what QEMU told watch says more.
#[test]
fn a_reboot_that_no_unit_of_the_guest_announced_is_a_strike() {
    let world = upgraded();
    for strike in 1..STRIKES {
        world.ran(3);
        world.note_end(RunEnd::Reboot { due: Moment(9) }, 0);
        let log = world.path(paths::libvirt_log);
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        let end = "2026-01-02 03:04:05.678+0000: shutting down, reason=shutdown\n";
        fs::write(log, end).unwrap();
        let said = world.start();
        assert!(said.contains(&format!("{strike} of {STRIKES}")), "{said}");
    }
}

#[test]
fn a_run_that_somebody_ended_is_no_strike() {
    let shuts_down: fn(&World) = |world| {
        fs::write(world.share(STOP_NOTE), "reboot\n").unwrap();
    };
    let is_destroyed: fn(&World) = |world| {
        let log = world.path(paths::libvirt_log);
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        let end = "2026-01-02 03:04:05.678+0000: shutting down, reason=destroyed\n";
        fs::write(log, end).unwrap();
    };
    let powers_off: fn(&World) = |world| world.note_end(RunEnd::PowerOff, 0);
    let is_asked: fn(&World) = |world| world.note_end(RunEnd::Asked, 0);
    for end in [shuts_down, is_destroyed, powers_off, is_asked] {
        let world = upgraded();
        for _ in 0..=STRIKES {
            world.ran(3);
            end(&world);
            let said = world.start();
            assert!(!said.contains("sign of life"), "{said}");
            assert_eq!(world.booted(), NEW);
        }
    }
    // What reboots may have panicked; and what is known of another run says nothing.
    let reboots: fn(&World) = |world| world.note_end(RunEnd::Reboot { due: Moment(0) }, 0);
    let powered_off_before: fn(&World) = |world| world.note_end(RunEnd::PowerOff, 1);
    for end in [reboots, powered_off_before] {
        let world = upgraded();
        world.ran(3);
        end(&world);
        assert!(world.start().contains("1 of 3"));
    }
    // A note of an earlier run is not of this one.
    let world = upgraded();
    shuts_down(&world);
    std::thread::sleep(Duration::from_millis(20));
    world.ran(3);
    assert!(world.start().contains("1 of 3"));
}

#[test]
fn a_failed_pair_boots_again_once_its_bytes_change() {
    let world = upgraded();
    fail(&world);
    // The same bytes in new files are the same pair.
    world.install(NEW);
    let said = world.start();
    assert_eq!(world.booted(), OLD, "{said}");
    fs::write(
        world.share(&format!("initrd.img-{NEW}")),
        initrd("repaired"),
    )
    .unwrap();
    world.start();
    assert_eq!(world.booted(), NEW);
}

#[test]
fn a_newer_kernel_boots_although_the_one_before_failed() {
    let world = upgraded();
    fail(&world);
    let newest = "6.1.0-52-armmp";
    world.install(newest);
    world.link_pair("", newest);
    world.start();
    assert_eq!(world.booted(), newest);
}

#[test]
fn a_confirmed_kernel_is_not_taken_back() {
    let world = upgraded();
    world.ran(3);
    world.confirm(NEW, 2);
    world.start();
    fail(&world);
    fail(&world);
    assert_eq!(world.booted(), NEW);
}

#[test]
fn ten_minutes_confirm_unless_the_guest_is_to_speak() {
    let mut world = upgraded();
    world.ran(601);
    let said = world.start();
    assert!(
        said.contains(&format!("{NEW} works: it ran for 10min")),
        "{said}"
    );

    world.record.boot.confirm_within = Some(Duration::from_secs(120));
    world.write_record();
    fs::write(world.share(&format!("vmlinuz-{NEW}")), zimage("hangs")).unwrap();
    world.start();
    world.ran(4000);
    let said = world.start();
    assert!(said.contains("no sign of life within 2min"), "{said}");
    let id = world.assert_bootable().id();
    let standing = &world.trials().pairs[&id].standing;
    assert!(matches!(standing, Standing::Proved(_)), "{standing:?}");
}

#[test]
fn starts_that_never_ran_and_power_cuts_are_no_strikes() {
    let world = upgraded();
    for _ in 0..5 {
        world.start();
        fs::write(world.path(paths::stopped), "5.0\n").unwrap();
    }
    for _ in 0..5 {
        fs::write(world.path(paths::started), "5.0\n").unwrap();
        let _ = fs::remove_file(world.path(paths::stopped));
        world.start();
    }
    assert_eq!(world.booted(), NEW);
}

#[test]
fn an_asked_for_generation_boots_even_if_it_failed() {
    let mut world = upgraded();
    let id = world.assert_bootable().id();
    world.record.boot.wanted = Wanted::Generation(id.to_string());
    world.write_record();
    fail(&world);
    fail(&world);
    assert_eq!(world.booted(), NEW);
    world.record.boot.wanted = Wanted::Auto;
    world.write_record();
    // Of the runs so far only the first was not asked for.
    for booted in [NEW, NEW, OLD] {
        world.ran(3);
        world.start();
        assert_eq!(world.booted(), booted);
    }
}

#[test]
fn hostile_confirmations_confirm_nothing() {
    let world = upgraded();
    let path = world.share(CONFIRMATION);
    let hostile: [&dyn Fn(); 4] = [
        &|| fs::write(&path, vec![b'x'; 1 << 20]).unwrap(),
        &|| std::os::unix::fs::symlink("/etc/hostname", &path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
        &|| fs::write(&path, "6.1.0-50-armmp \u{1b}[2J").unwrap(),
    ];
    for (at, plant) in hostile.iter().enumerate() {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
        plant();
        world.ran(3);
        world.start();
        let expected = if at < 2 { NEW } else { OLD };
        assert_eq!(world.booted(), expected, "{at}");
    }
}

/// What a restart takes away: of the host, all below `/run` and the time since it came up; of `armfleet watch`, nothing that is
/// kept here.
fn restart_host(world: &World) {
    let run = world.root.below(paths::RUN);
    let _ = fs::remove_dir_all(run);
    fs::write(world.path(paths::stopped), "3.25\n").unwrap();
}

#[test]
fn a_hundred_confirmations_and_none_are_both_told_after_every_restart() {
    let world = upgraded();
    for boot in 2..102 {
        world.ran(3);
        world.confirm(NEW, boot);
        if boot % 3 == 0 {
            restart_host(&world);
        }
        let said = world.start();
        assert_eq!(said.contains("its guest confirmed it"), boot == 2, "{said}");
        let known = world.trials();
        assert_eq!(known.pairs.len(), 2);
        let standings = known.pairs.values().map(|trial| &trial.standing);
        assert!(
            standings
                .clone()
                .all(|standing| *standing == Standing::Proved(Proof::Guest))
        );
    }
    assert_eq!(world.journal().matches("confirmed").count(), 2);

    // Nothing works that could boot instead, and nobody says anything.
    let world = World::installed();
    world.start();
    for run in 1..=100 {
        world.ran(3);
        // Its end was not seen, which says nothing of its kernel.
        let unseen = run % 3 == 0;
        if unseen {
            restart_host(&world);
        }
        let said = world.start();
        let strikes = (run - run / 3).min(STRIKES);
        assert_eq!(
            said.contains(&format!("{strikes} of {STRIKES}")),
            !unseen,
            "{said}"
        );
        let standings: Vec<_> = world
            .trials()
            .pairs
            .into_values()
            .map(|trial| trial.standing)
            .collect();
        assert_eq!(standings, [Standing::OnTrial { strikes }]);
        assert_eq!(world.booted(), OLD);
    }
}

#[test]
fn damaged_trials_are_begun_anew() {
    let world = upgraded();
    fail(&world);
    fs::write(world.path(paths::trials), "{").unwrap();
    let said = world.start();
    assert!(said.contains("is damaged; a new one is begun"), "{said}");
    assert_eq!(world.booted(), NEW);
}

#[test]
fn of_all_generations_those_that_may_boot_again_are_kept() {
    let world = upgraded();
    fail(&world);
    for version in ["6.1.0-52-armmp", "6.1.0-54-armmp"] {
        world.install(version);
        world.link_pair("", version);
        world.start();
    }
    // The last confirmed, the previous, the current.
    assert_eq!(world.generations().len(), 3);
    let known = world.trials();
    assert_eq!(known.pairs.len(), 4, "the failed one is remembered");
    assert!(
        world
            .generations()
            .contains(&known.proved.unwrap().to_string())
    );
}

/// After each run, and after restarts of the host in between: those empty `/run`, and nobody has seen the run's end.
#[test]
fn a_guest_that_confirms_a_hundred_times_and_one_that_never_does_are_both_told_right() {
    let worlds = [upgraded(), upgraded(), World::installed()];
    let [confirms, never, alone] = &worlds;
    let (mut size, mut ended) = (None, 0);
    for run in 1..=100u8 {
        let crash = run % 7 == 3;
        ended += u32::from(!crash);
        for world in &worlds {
            world.ran(5);
            if crash {
                fs::remove_file(world.path(paths::stopped)).unwrap();
                fs::remove_dir_all(world.root.below(paths::RUN)).unwrap();
            }
        }
        confirms.confirm(NEW, run + 1);
        let [said, of_never, of_alone] = worlds.each_ref().map(|world| world.start());
        let works = format!("{NEW} works: its guest confirmed it");
        assert_eq!(said.contains(&works), run == 1, "run {run}: {said}");
        assert_eq!(confirms.booted(), NEW);
        let trials = confirms.trials();
        let id = confirms.assert_bootable().id();
        assert_eq!(trials.pairs[&id].standing, Standing::Proved(Proof::Guest));
        let boot = format!("00000000-0000-4000-8000-0000000000{:02x}", run + 1);
        assert_eq!(trials.boot_id.as_deref(), Some(boot.as_str()));
        // What is remembered does not grow with the runs.
        let now = trials.render().unwrap().len();
        assert!(now.abs_diff(*size.get_or_insert(now)) < 64, "run {run}");

        let failed = never.booted() == OLD;
        assert_eq!(failed, ended >= STRIKES, "run {run}: {of_never}");
        let strikes = |world: &World| {
            let mut pairs = world.trials().pairs.into_values();
            pairs.find_map(|trial| match trial.standing {
                Standing::OnTrial { strikes } => Some(strikes),
                _ => None,
            })
        };
        // There is nothing else for the third to boot, and a crash of its host is none of its strikes.
        if run > 1 {
            assert_eq!(strikes(alone), Some((ended - 1).min(STRIKES)));
        }
        assert_eq!(alone.booted(), OLD, "{of_alone}");
    }
}
