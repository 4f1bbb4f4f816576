//! The hook killed at each call by which it changes anything: what boots next is whole, and the next run finishes.

use crate::fresh::{assert_new, with_scratch, write_to_scratch};
use crate::world::{World, digest, initrd};
use armfleet::boot::{CONFIRMATION, GenerationId, STRIKES, Trials};
use armfleet::fleet::{DiskFormat, Handover};
use armfleet::hook::{Root, prepare};
use armfleet::mark::Wanted;
use armfleet::paths;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

const FOLDER: &str = "ARMFLEET_TEST_WORLD";
const OLD: &str = "6.1.0-48-armmp";
const NEW: &str = "6.1.0-50-armmp";

/// The system calls that change files.
const CHANGING: &str = "openat,write,pwrite64,copy_file_range,sendfile,splice,ftruncate,fallocate,rename,renameat,\
    renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,chown,fchown,\
    fchownat,lchown,utimensat,setxattr,fsetxattr,lsetxattr,ioctl,fsync,fdatasync";

/// What a killed run is: this test's own binary, which runs the hook.
#[test]
#[ignore = "run by the tests below"]
fn run_the_hook() {
    let folder = env::var_os(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let xml = fs::read(folder.join("domain.xml")).unwrap();
    let _ = prepare(&Root::at(folder), "armhf-vm", xml.as_slice());
}

/// Runs the hook under strace; tells how it ended and which calls it made.
fn run_traced(world: &World, expression: &str) -> (ExitStatus, String) {
    fs::write(world.outside("domain.xml"), world.xml()).unwrap();
    let log = world.outside("trace");
    let _ = fs::remove_file(&log);
    let ended = Command::new("strace")
        .args(["-f", "--quiet=all", "-e", &format!("trace={CHANGING}")])
        .args(["-e", expression, "-o"])
        .arg(&log)
        .arg(env::current_exe().unwrap())
        .args(["--exact", "crash::run_the_hook", "--ignored", "--nocapture"])
        .env(FOLDER, world.outside(""))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace, which tests/sandbox/prerequisites installs");
    (ended, fs::read_to_string(log).unwrap())
}

/// The calls of a whole run by which it changes something: each one's name, and how many of that name came before.
fn changes(world: &World) -> Vec<(String, usize)> {
    let (ended, log) = run_traced(world, "signal=none");
    assert!(ended.success(), "{log}");
    // Of the threads of a test run, the hook's is the one that was given the domain.
    let hook = log.lines().find(|line| line.contains("domain.xml"));
    let (thread, _) = hook.unwrap().split_once(' ').unwrap();
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    let mut changes = Vec::new();
    for line in log.lines() {
        let Some((name, arguments)) = line
            .strip_prefix(thread)
            .and_then(|line| line.trim_start().split_once('('))
        else {
            continue;
        };
        let number = made.entry(name.to_owned()).or_default();
        *number += 1;
        let reads = name == "openat" && !arguments.contains("O_CREAT");
        let speaks =
            name == "write" && (arguments.starts_with("1,") || arguments.starts_with("2,"));
        if !reads && !speaks {
            changes.push((name.to_owned(), *number));
        }
    }
    changes
}

/// A VM before one start.
struct Case {
    name: &'static str,
    world: fn() -> World,
    /// What may boot at a start after one that was killed; the last of them boots in the end.
    boots: &'static [&'static str],
    /// At least so many calls change something.
    changes: usize,
}

/// A guest that runs well on the first version.
fn proved() -> World {
    let world = World::installed();
    world.start();
    ran(&world);
    confirm(&world);
    world
}

fn ran(world: &World) {
    fs::write(world.path(paths::started), "1000.25\n").unwrap();
    fs::write(world.path(paths::stopped), "1005.25\n").unwrap();
}

fn confirm(world: &World) {
    let said = format!("{OLD} 00000000-0000-4000-8000-000000000001\n");
    fs::write(world.share(CONFIRMATION), said).unwrap();
}

fn upgraded() -> World {
    let world = proved();
    world.install(NEW);
    world.link_pair("", NEW);
    world.link_pair(".old", OLD);
    world
}

/// The second version's last run is its third in vain.
fn struck() -> World {
    let world = upgraded();
    for _ in 0..STRIKES {
        world.start();
        ran(&world);
    }
    world
}

const CASES: [Case; 8] = [
    Case {
        name: "the first start",
        world: || {
            let mut world = World::new();
            world.put_seed(OLD);
            world
        },
        boots: &[OLD],
        changes: 25,
    },
    Case {
        name: "an upgrade",
        world: upgraded,
        boots: &[OLD, NEW],
        changes: 25,
    },
    Case {
        name: "an upgrade after another",
        world: || {
            let world = upgraded();
            world.start();
            ran(&world);
            let initrd = initrd("made anew");
            fs::write(world.share(&format!("initrd.img-{NEW}")), initrd).unwrap();
            world
        },
        boots: &[NEW],
        changes: 25,
    },
    Case {
        name: "a rollback",
        world: struck,
        // A strike that was not written down is as if it had not been.
        boots: &[NEW, OLD],
        changes: 8,
    },
    Case {
        name: "the start after a rollback",
        world: || {
            let world = struck();
            world.start();
            ran(&world);
            world
        },
        boots: &[OLD],
        changes: 5,
    },
    Case {
        name: "an upgrade whose names are in the share",
        world: || {
            let mut world = upgraded();
            world.record.boot.handover = Handover::Link;
            world.write_record();
            world
        },
        boots: &[OLD, NEW],
        changes: 30,
    },
    Case {
        name: "a scratch disk",
        world: || {
            let world = with_scratch(DiskFormat::Qcow2);
            write_to_scratch(&world);
            world
        },
        boots: &[OLD],
        changes: 12,
    },
    Case {
        name: "a generation that somebody asked for",
        world: || {
            let mut world = upgraded();
            let asked_for = world.assert_bootable().id();
            world.start();
            ran(&world);
            world.record.boot.wanted = Wanted::Generation(asked_for.to_string());
            world.write_record();
            world
        },
        boots: &[NEW, OLD],
        changes: 8,
    },
];

/// What is left after a kill: something whole to boot, if there was anything before, and a memory that can be read.
fn assert_whole(world: &World, case: &Case, had_current: bool) {
    if had_current || world.path(paths::current).exists() {
        let booted = world.booted();
        assert!(case.boots.contains(&booted.as_str()), "boots {booted}");
    }
    if let Ok(text) = fs::read(world.path(paths::trials)) {
        Trials::read(&text).unwrap();
    }
}

/// With the handover `link`, what boots has the recipe's names, and no name is half made.
fn assert_named_beside(world: &World) {
    let note = world.assert_bootable();
    let beside = world.beside();
    for (name, file) in ["vmlinuz", "initrd.img"]
        .into_iter()
        .zip([&note.kernel, &note.initrd])
    {
        assert_eq!(digest(&fs::read(beside.join(name)).unwrap()), file.sha256);
        assert!(!beside.join(format!(".{name}.armfleet")).exists());
    }
}

/// A start that nobody kills ends well, and leaves nothing half made.
fn assert_finishes(world: &World, case: &Case) {
    world.start();
    let booted = world.booted();
    assert!(case.boots.contains(&booted.as_str()), "boots {booted}");
    for name in world.generations() {
        GenerationId::try_from(name).unwrap();
    }
    let left = fs::read_dir(world.path(paths::boot_folder)).unwrap();
    let known = ["current", "previous", "g", "seed", "trials.json", "linked"];
    for entry in left {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "{name} is left");
    }
    if world.record.boot.handover == Handover::Link {
        assert_named_beside(world);
    }
    if !world.record.boot.fresh.is_empty() {
        assert_new(world);
    }
    // What a strike says that a kill has forgotten is said by the next.
    for _ in 0..STRIKES {
        if world.booted() != *case.boots.last().unwrap() {
            ran(world);
            world.start();
        }
    }
    assert_eq!(world.booted(), *case.boots.last().unwrap());
}

#[test]
fn a_run_killed_at_any_change_leaves_a_whole_pair_and_the_next_one_finishes() {
    for case in &CASES {
        let world = (case.world)();
        let changes = changes(&world);
        assert_finishes(&world, case);
        println!("{}: killed at each of {} calls", case.name, changes.len());
        assert!(changes.len() >= case.changes, "{}: {changes:?}", case.name);
        for (call, number) in changes {
            let world = (case.world)();
            let had_current = world.path(paths::current).exists();
            let kill = format!("inject={call}:signal=KILL:when={number}");
            let (ended, log) = run_traced(&world, &kill);
            assert_eq!(
                ended.signal(),
                Some(9),
                "{}: {call} {number}\n{log}",
                case.name
            );
            let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                assert_whole(&world, case, had_current);
                assert_finishes(&world, case);
            }));
            assert!(killed.is_ok(), "{}, killed at {call} {number}", case.name);
        }
    }
}
