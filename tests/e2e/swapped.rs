//! Paths that a user swaps while commands and libvirtd work at them: nothing outside is opened, owned or written.
//!
//! The fleet was applied while the folder of its paths was root's. Then the folder became a user's, who keeps putting links
//! to files of others in its place and in that of the share, the image and the console log.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::fs::{AtFlags, renameat, symlinkat, unlinkat};
use rustix::io::Errno;
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::fleet::{CONSOLE, VM, stopped_recipe};
use crate::host::TestHost;
use crate::watched::Watched;

const USER: u32 = 1000;
const QEMU: u32 = 64055;
const OUTSIDE: &str = "/srv/outside";
const SWAPPED: [&str; 3] = ["b", "x.img", "x.log"];

/// The recipe's VM with its paths in a folder of somebody's.
fn fleet() -> String {
    stopped_recipe()
        .replace("/srv/{name}-boot", "/srv/theirs/vms/b")
        .replace("/srv/{name}.img", "/srv/theirs/vms/x.img")
        .replace(CONSOLE, "/srv/theirs/vms/x.log")
}

/// A host on which a fleet was applied while its paths were root's, and files of others beside them.
struct Race {
    host: TestHost,
    user: u32,
    outside: Vec<PathBuf>,
    watched: Watched,
}

impl Race {
    fn new(fleet: &str, user: u32) -> Self {
        let host = TestHost::with_fleet(fleet);
        for folder in ["/srv/theirs", "/srv/theirs/vms", OUTSIDE, "/srv/outside/b"] {
            fs::create_dir(host.path(folder)).unwrap();
        }
        host.write("/srv/outside/b/vmlinuz", "another guest's");
        host.write("/srv/outside/x.log", "another log");
        let image = File::create(host.path("/srv/outside/x.img")).unwrap();
        image.set_len(1 << 20).unwrap();
        host.apply().success();
        host.write("/srv/theirs/vms/x.log", "");
        for folder in ["/srv/theirs", "/srv/theirs/vms"] {
            chown(host.path(folder), Some(user), Some(user)).unwrap();
        }
        let names = ["", "b", "b/vmlinuz", "x.img", "x.log"];
        let outside = names.map(|name| host.path(OUTSIDE).join(name));
        Self {
            watched: Watched::new(&outside),
            outside: outside.to_vec(),
            host,
            user,
        }
    }

    /// Owners, modes, sizes and times of what is outside.
    fn listing(&self) -> Vec<(u32, u32, u32, u64, i64)> {
        let seen = self.outside.iter().map(|path| fs::metadata(path).unwrap());
        let listed = seen.map(|at| (at.uid(), at.gid(), at.mode(), at.len(), at.ctime_nsec()));
        listed.collect()
    }

    /// Runs rounds while the user swaps the paths. Tells how often they were.
    fn run(&self, rounds: usize, round: impl Fn(&TestHost)) -> usize {
        let (over, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
        // The way to the host's files is root's alone.
        let theirs = File::open(self.host.path("/srv/theirs")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| swap(&theirs, self.user, &over, &swaps));
            // Also where a round fails.
            let _end = Over(&over);
            for _ in 0..rounds {
                round(&self.host);
            }
        });
        swaps.into_inner()
    }
}

/// Ends the swapping.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn swap(theirs: &File, user: u32, over: &AtomicBool, swaps: &AtomicUsize) {
    let id = Uid::from_raw(user);
    set_thread_res_uid(id, id, id).unwrap();
    let put_link = |name: &str, to: &str| {
        let aside = format!("{name}.aside");
        renameat(theirs, name, theirs, &aside).unwrap();
        match symlinkat(to, theirs, name) {
            Ok(()) => {
                thread::yield_now();
                unlinkat(theirs, name, AtFlags::empty()).unwrap();
            }
            // Who trusts the folder makes what is missing in it, which goes again.
            Err(Errno::EXIST) => {}
            Err(error) => panic!("{name}: {error}"),
        }
        renameat(theirs, &aside, theirs, name).unwrap();
        thread::yield_now();
    };
    while !over.load(Ordering::SeqCst) {
        put_link("vms", "../outside");
        for name in SWAPPED {
            put_link(&format!("vms/{name}"), &format!("../../outside/{name}"));
        }
        swaps.fetch_add(1, Ordering::SeqCst);
    }
}

/// Plans, applies and starts.
fn round(host: &TestHost) {
    for said in [host.plan(), host.apply()] {
        assert!(matches!(said.code, Some(1 | 3)), "{said:?}");
        assert!(!said.stderr.contains("panicked"), "{said:?}");
    }
    let started = host.virsh(&["start", VM]);
    assert_ne!(started.code, Some(0), "{started:?}");
}

fn nothing_outside_is_touched(rounds: usize) {
    for user in [USER, QEMU] {
        let race = Race::new(&fleet(), user);
        let before = race.listing();
        let swaps = race.run(rounds, round);
        println!("user {user}: {rounds} rounds, {swaps} swaps");
        assert!(swaps > rounds, "{swaps} swaps in {rounds} rounds");
        let events = race.watched.events();
        assert!(events.is_empty(), "{events:?}");
        assert_eq!(race.listing(), before);
        // Once the folder is root's again, all is as it was.
        for folder in ["/srv/theirs/vms", "/srv/theirs"] {
            chown(race.host.path(folder), Some(0), Some(0)).unwrap();
        }
        race.host.assert_converged();
    }
}

#[test]
fn nothing_outside_is_touched_while_a_user_swaps_paths() {
    nothing_outside_is_touched(10);
}

#[test]
#[ignore = "long: thousands of plans, applies and starts"]
fn nothing_outside_is_touched_while_a_user_swaps_paths_for_long() {
    nothing_outside_is_touched(2_000);
}

/// The race is a real one: where the folder is taken as it is, the same rounds lead outside.
#[test]
fn a_folder_that_is_trusted_leads_outside_in_the_same_race() {
    let trusting = fleet().replace(
        "vms:\n",
        "hosts: { local: { trust: [/srv/theirs] } }\nvms:\n",
    );
    let race = Race::new(&trusting, USER);
    race.run(10, |host| {
        host.plan();
        host.apply();
        if host.virsh(&["start", VM]).code == Some(0) {
            host.virsh(&["destroy", VM]).success();
        }
    });
    assert!(!race.watched.events().is_empty());
}
