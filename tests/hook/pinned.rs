//! Starts that share one processor: what they boot does not depend on how busy the host is.

use crate::world::{World, cpio};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::io::Write as _;
use std::thread;

const GOOD: &str = "6.1.0-48-armmp";
const NEWER: &str = "6.1.0-66-armmp";
const MEMBER: usize = 64 << 20;

/// An initrd of archives that are 64 MiB each, compressed on their own.
fn large(members: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&cpio("zeros", &vec![0; MEMBER])).unwrap();
    encoder.finish().unwrap().repeat(members)
}

/// A guest whose newer kernel has this initrd.
fn world(initrd: &[u8]) -> World {
    let world = World::installed();
    world.install(NEWER);
    fs::write(world.share(&format!("initrd.img-{NEWER}")), initrd).unwrap();
    world.link_pair(".old", GOOD);
    world.link_pair("", NEWER);
    world
}

/// What a start boots, and what it says of its own.
fn choice(world: &World) -> (String, String) {
    let said = world.start();
    (world.booted(), said)
}

fn pin(to: usize) {
    let mut one = CpuSet::new();
    one.set(to);
    sched_setaffinity(None, &one).unwrap();
}

/// The choices of worlds that start at once, all on one processor.
fn pinned(worlds: &[World]) -> Vec<(String, String)> {
    let all = sched_getaffinity(None::<Pid>).unwrap();
    let processor = (0..CpuSet::MAX_CPU).find(|at| all.is_set(*at)).unwrap();
    thread::scope(|scope| {
        let start = |world| {
            scope.spawn(move || {
                pin(processor);
                choice(world)
            })
        };
        let starts: Vec<_> = worlds.iter().map(start).collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    })
}

#[test]
fn eight_starts_on_one_processor_choose_as_each_does_alone() {
    // A good part of what one start may unpack: together they wait for longer than one may take.
    let whole = large(9);
    let cut = &whole[..whole.len() - 9];
    let initrds = [&whole[..], cut];
    let alone = initrds.map(|initrd| choice(&world(initrd)));
    let booted = alone.each_ref().map(|(booted, _)| booted.as_str());
    assert_eq!(booted, [NEWER, GOOD]);
    let worlds: Vec<_> = initrds
        .iter()
        .cycle()
        .take(8)
        .map(|initrd| world(initrd))
        .collect();
    for (at, choice) in pinned(&worlds).into_iter().enumerate() {
        assert_eq!(choice, alone[at % alone.len()]);
    }
}
