//! Paths that are swapped while armfleet works at them, by an ordinary user and by QEMU's: nothing outside is opened, owned
//! or written. The kernel tells of every open, attribute and write there.
//!
//! A round observes a share and an image and judges their ways, performs each step that creates, owns or grows at them as one
//! that was planned before the folder was anyone's, a start's check among them, and runs the hook for a start.

use crate::watched::Watched;
use crate::world::World;
use armfleet::host::primitives::Primitives;
use armfleet::host::system::SystemHost;
use armfleet::host::{Executor, Host as _, Inspect as _};
use armfleet::inventory::{Fact, Look, Query};
use armfleet::plan::Step;
use armfleet::trust::{End, Rules};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, fchown, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const USER: u32 = 1000;
const QEMU: u32 = 64055;
const IMAGE_SIZE: u64 = 1 << 20;

/// A world in which a user owns the folder that the VM's share and image are in.
struct Race {
    world: World,
    user: u32,
    outside: PathBuf,
    watched: Watched,
}

impl Race {
    fn new(user: u32) -> Self {
        let mut world = World::installed();
        world.start();
        let folder = world.outside("");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let (theirs, outside) = (world.outside("srv/theirs"), world.outside("outside"));
        let vms = theirs.join("vms");
        fs::create_dir_all(vms.join("b")).unwrap();
        fs::create_dir_all(outside.join("b")).unwrap();
        for folder in [&vms, &outside] {
            fs::write(folder.join("x.img"), vec![0; 1 << 20]).unwrap();
        }
        for path in [&theirs, &vms, &vms.join("b"), &vms.join("x.img")] {
            chown(path, Some(user), Some(user)).unwrap();
        }
        let share = vms.join("b").to_str().unwrap().to_owned();
        world.record.boot.share = share.parse().unwrap();
        let share = world.record.boot.share.clone();
        world.record.boot.ways = BTreeMap::from([(share, End::Share)]);
        world.write_record();
        let outside_paths = [outside.clone(), outside.join("b"), outside.join("x.img")];
        let watched = Watched::by_this_process(&outside_paths);
        Self {
            world,
            user,
            outside,
            watched,
        }
    }

    /// The folder that is swapped, as the host names it below the world's root.
    const VMS: &'static str = "/srv/theirs/vms";

    /// Runs rounds while the user swaps the folder for a link to the one outside, and the image for a link, too. Tells how
    /// often it was swapped.
    fn run(&self, rounds: usize, round: impl Fn(&Executor<SystemHost>)) -> usize {
        let (over, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
        let host = SystemHost::open("test:///default", &self.world.outside("")).unwrap();
        let executor = Executor::locked(host).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| self.swap(&over, &swaps));
            // Also where a round fails.
            let _end = Over(&over);
            for _ in 0..rounds {
                round(&executor);
            }
        });
        swaps.into_inner()
    }

    fn swap(&self, over: &AtomicBool, swaps: &AtomicUsize) {
        let id = Uid::from_raw(self.user);
        set_thread_res_uid(id, id, id).unwrap();
        let theirs = self.world.outside("srv/theirs");
        let (vms, aside) = (theirs.join("vms"), theirs.join("aside"));
        let image = vms.join("x.img");
        let kept = vms.join("kept.img");
        assert!(fs::write(self.outside.join("x.img"), "x").is_err());
        // While it is root's folder, it waits.
        let again = |act: &dyn Fn() -> io::Result<()>| {
            while !over.load(Ordering::SeqCst) && act().is_err() {
                thread::yield_now();
            }
        };
        while !over.load(Ordering::SeqCst) {
            again(&|| fs::rename(&vms, &aside));
            again(&|| symlink("../../outside", &vms));
            thread::yield_now();
            again(&|| fs::remove_file(&vms));
            again(&|| fs::rename(&aside, &vms));
            thread::yield_now();
            again(&|| fs::rename(&image, &kept));
            again(&|| symlink("../../../outside/x.img", &image));
            thread::yield_now();
            again(&|| fs::rename(&kept, &image));
            swaps.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Gives the folder to root and back, again and again.
    fn change_hands(&self, folders: &[File], over: &AtomicBool) {
        while !over.load(Ordering::SeqCst) {
            for owner in [0, self.user] {
                for folder in folders {
                    fchown(folder, Some(owner), None).unwrap();
                }
                thread::yield_now();
            }
        }
    }

    /// Each step that works at these paths, planned while the folder was root's, or was taken as it is.
    fn steps(rules: &Rules) -> Vec<Step> {
        let (vms, owner) = (Self::VMS, [QEMU, QEMU]);
        let size = IMAGE_SIZE;
        let acts = [
            (
                "share",
                "b2",
                json!({ "create-share": { "path": format!("{vms}/b2"), "mode": 0o700, "owner": owner } }),
            ),
            (
                "share",
                "b",
                json!({ "own-share": { "path": format!("{vms}/b"), "mode": 0o700, "owner": owner } }),
            ),
            (
                "image",
                "y.img",
                json!({ "create-disk": { "path": format!("{vms}/y.img"), "size": size } }),
            ),
            (
                "image",
                "x.img",
                json!({ "grow-disk": { "path": format!("{vms}/x.img"), "from": size, "to": 2 * size,
                "running": null } }),
            ),
            (
                "share",
                "b",
                json!({ "start": { "uuid": "729407af-9814-8a14-ab03-bb922bf75d3d" } }),
            ),
        ];
        let step = |(end, name, act): (&str, &str, serde_json::Value)| {
            let paths = BTreeMap::from([(format!("{vms}/{name}"), end)]);
            serde_json::from_value(json!({
                "id": format!("{end}/{name}"), "vm": "armhf-vm", "reason": "", "cause": null, "needs": [], "expects": null,
                "changes": [], "ways": { "rules": rules, "paths": paths }, "act": act,
            }))
            .unwrap()
        };
        acts.into_iter().map(step).collect()
    }
}

/// Ends the swapping.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn rules() -> Rules {
    Rules {
        qemu: Some((QEMU, QEMU)),
        ..Rules::default()
    }
}

#[allow(clippy::print_stdout, reason = "how much was tried is worth knowing")]
/// Rounds in which nothing may be opened, owned or written outside.
fn nothing_outside_is_touched(rounds: usize) {
    for user in [USER, QEMU] {
        let race = Race::new(user);
        let steps = Race::steps(&rules());
        let share = format!("{}/b", Race::VMS);
        let image = format!("{}/x.img", Race::VMS);
        let query = Query {
            paths: BTreeMap::from([(share, Look::Share), (image.clone(), Look::Image)]),
            ..Query::default()
        };
        let swaps = race.run(rounds, |executor| {
            let seen = executor.observe(&query).unwrap();
            if let Fact::Present(image) = &seen.paths[&image] {
                assert_eq!(image.blank, None);
            }
            for step in &steps {
                let error = executor.perform(step).unwrap_err().to_string();
                assert!(error.starts_with("cannot use "), "{error}");
            }
            let refused = race.world.refused();
            assert!(refused.contains("cannot use "), "{refused}");
        });
        println!("user {user}: {rounds} rounds, {swaps} swaps");
        assert!(swaps > rounds / 10, "{swaps} swaps in {rounds} rounds");
        let events = race.watched.events();
        // The racing thread's own attempt to write, which the kernel refuses, opens nothing.
        assert!(events.is_empty(), "{events:?}");
        let x = fs::metadata(race.outside.join("x.img")).unwrap();
        assert_eq!((x.uid(), x.len()), (0, IMAGE_SIZE));
        assert_eq!(fs::read_dir(&race.outside).unwrap().count(), 2);
    }
}

#[test]
fn nothing_outside_is_touched_while_paths_are_swapped() {
    nothing_outside_is_touched(300);
}

#[test]
#[ignore = "long: ten thousand rounds of each user"]
fn nothing_outside_is_touched_in_ten_thousand_rounds() {
    nothing_outside_is_touched(10_000);
}

/// Whoever owns the folder when its way is judged may not own it when it is opened.
#[test]
fn nothing_outside_is_touched_while_the_folder_changes_hands() {
    let race = Race::new(USER);
    let steps = Race::steps(&rules());
    let looks = [("b", Look::Share), ("x.img", Look::Image)];
    let paths = looks.map(|(name, look)| (format!("{}/{name}", Race::VMS), look));
    let query = Query {
        paths: BTreeMap::from(paths),
        ..Query::default()
    };
    let over = AtomicBool::new(false);
    // Open, so that it is never the link in their place that gets another owner.
    let folders = ["srv/theirs/vms", "srv/theirs"];
    let folders = folders.map(|folder| File::open(race.world.outside(folder)).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| race.change_hands(&folders, &over));
        let _over = Over(&over);
        race.run(400, |executor| {
            executor.observe(&query).unwrap();
            for step in &steps {
                let _ = executor.perform(step);
            }
            let _ = race.world.prepare();
        });
    });
    let events = race.watched.events();
    assert!(events.is_empty(), "{events:?}");
}

/// The race is a real one: where the folder is taken as it is, the same rounds go outside.
#[test]
fn a_folder_that_is_taken_as_it_is_leads_outside_in_the_same_race() {
    let race = Race::new(USER);
    let steps = Race::steps(&Rules {
        taken: [String::from("/srv/theirs")].into(),
        ..rules()
    });
    race.run(200, |executor| {
        for step in &steps[..4] {
            let _ = executor.perform(step);
        }
        let _ = executor
            .calls()
            .remove_file(&format!("{}/y.img", Race::VMS));
    });
    assert!(!race.watched.events().is_empty());
}

/// What this process opens is told, and what another one does is not.
#[test]
fn strangers_openings_are_not_told() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "some").unwrap();
    let watched = Watched::by_this_process(&[folder.path(), &file]);
    let mut find = std::process::Command::new("find");
    let find = find.arg(folder.path()).args(["-exec", "cat", "{}", ";"]);
    assert!(find.output().unwrap().status.success());
    assert_eq!(watched.events(), [""; 0]);
    fs::read(&file).unwrap();
    fs::read_dir(folder.path()).unwrap();
    let opened: Vec<_> = watched.events();
    assert_eq!(opened.len(), 2, "{opened:?}");
    assert!(opened[0].contains("opened") && opened[1].contains("opened"));
    fs::write(&file, "else").unwrap();
    assert!(
        watched
            .events()
            .iter()
            .any(|event| event.contains("MODIFY"))
    );
}
