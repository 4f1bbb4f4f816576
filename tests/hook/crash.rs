//! The hook killed at any moment: what boots next is whole, and the next run finishes.

use crate::world::{World, cpio};
use armfleet::boot::GenerationId;
use armfleet::hook::{Root, prepare};
use armfleet::spec::layout;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const FOLDER: &str = "ARMFLEET_TEST_WORLD";
const KILLS: u32 = 60;

/// What a killed run is: this test's own binary, which runs the hook once it is told to.
#[test]
#[ignore = "run by the test below"]
fn run_the_hook_when_told() {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    let root = Root::at(&folder);
    let xml = fs::read(folder.join("domain.xml")).unwrap();
    println!("ready");
    let _ = std::io::stdin().read(&mut [0]).unwrap();
    let _ = prepare(&root, "armhf-vm", xml.as_slice());
}

/// Starts a run, and kills it after a while.
fn run_and_kill(world: &World, after: Duration) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::run_the_hook_when_told",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, world.outside(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let mut output = child.stdout.take().unwrap();
    while !said.ends_with(b"ready\n") {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Has the guest install a version whose initrd takes a while to copy.
fn upgrade(world: &World, version: &str) {
    world.install(version);
    let name = format!("initrd.img-{version}");
    fs::write(world.share(&name), cpio(version, &[7; 1 << 20])).unwrap();
    world.link_pair("", version);
}

#[test]
fn a_killed_run_leaves_the_old_pair_or_the_new_one() {
    let world = World::installed();
    fs::write(world.outside("domain.xml"), world.xml()).unwrap();
    upgrade(&world, "0");
    let began = Instant::now();
    world.start();
    let whole = began.elapsed();
    let mut ended = [0, 0];
    for n in 1..=KILLS {
        let (old, new) = ((n - 1).to_string(), n.to_string());
        upgrade(&world, &new);
        run_and_kill(&world, whole * n / KILLS);
        let booted = world.booted();
        assert!([&old, &new].contains(&&booted), "{booted} after kill {n}");
        ended[usize::from(booted == new)] += 1;
        world.start();
        assert_eq!(world.booted(), new);
        let generations = world.generations();
        assert_eq!(generations.len(), 2, "{generations:?}");
        for name in generations {
            GenerationId::try_from(name).unwrap();
        }
        let mut left: Vec<_> = fs::read_dir(world.path(layout::boot_folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let left: Vec<_> = left.iter().filter(|name| *name != "trials.new").collect();
        assert_eq!(left, ["current", "g", "previous", "trials.json"]);
    }
    assert!(ended[0] > 0, "no kill came before the switch: {ended:?}");
}
