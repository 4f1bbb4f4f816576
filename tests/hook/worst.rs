//! What one start costs at the most, whatever a guest put into its share.

use crate::world::{World, cpio};
use armfleet::boot::{PROCESSOR_TIME_LIMIT, UNPACKED_LIMIT};
use armfleet::files::processor_time;
use std::fs;
use std::io::Write as _;

const MEMBER: usize = 64 << 20;
const KERNELS: usize = 20_000;

/// An initrd that unpacks to two thirds of what one start may unpack.
fn large() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&cpio("zeros", &vec![0; MEMBER])).unwrap();
    let members = usize::try_from(UNPACKED_LIMIT).unwrap() / MEMBER * 2 / 3;
    encoder.finish().unwrap().repeat(members)
}

/// What one pair leaves of a limit is all that the next one has.
#[test]
fn one_start_has_one_limit_for_all_pairs_that_it_tries() {
    let world = World::new();
    let damaged = [large(), b"more".to_vec()].concat();
    for version in ["6.1.0-99-armmp", "6.1.0-98-armmp"] {
        world.install(version);
        fs::write(world.share(&format!("initrd.img-{version}")), &damaged).unwrap();
    }
    world.link_pair("", "6.1.0-99-armmp");
    world.link_pair(".old", "6.1.0-98-armmp");
    for number in 0..KERNELS {
        fs::write(world.share(&format!("vmlinuz-7.{number}-armmp")), "MZ").unwrap();
    }
    let before = processor_time();
    let text = world.prepare().text;
    let took = processor_time() - before;
    assert!(took < PROCESSOR_TIME_LIMIT, "{took:?}: {text}");
    assert!(text.contains("it is not an initrd"), "{text}");
    assert!(text.contains("one start unpacks at most 1 GiB"), "{text}");
}
