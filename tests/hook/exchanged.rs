//! Starts while QEMU's user changes the share in every way that it can: what boots is what a file once was, kernel and initrd
//! of one version; nothing outside is opened or changed; and no change goes unseen.

use crate::watched::Watched;
use crate::world::World;
use armfleet::boot::PairSource;
use armfleet::fleet::Handover;
use armfleet::paths;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

const QEMU: u32 = 64055;
const PAGE: usize = 4096;
const CELL: usize = 32;
/// Where a page's counter is read: what one page holds is written at once, as good as.
const MIDDLE: usize = PAGE / 2;

/// Another process that works at the share.
struct Exchange {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Exchange {
    fn begin(world: &World, seed: u64) -> Self {
        let mut process = Command::new("python3")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/hook/exchange.py"
            ))
            .arg(world.share(""))
            .arg(world.outside("outside"))
            .args([QEMU.to_string(), seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, which tests/sandbox/prerequisites installs");
        let to = process.stdin.take().unwrap();
        let from = BufReader::new(process.stdout.take().unwrap());
        let mut exchange = Self { process, to, from };
        assert_eq!(exchange.hear(), "ready");
        exchange
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn say(&mut self) {
        self.to.write_all(b"\n").unwrap();
    }

    /// Has it stop; tells how often it has changed something.
    fn pause(&mut self) -> usize {
        self.say();
        self.hear().parse().unwrap()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn world(handover: Handover) -> World {
    let mut world = World::new();
    world.record.boot.handover = handover;
    world.write_record();
    let outside = world.outside("outside");
    fs::create_dir_all(outside.join("folder")).unwrap();
    for name in ["secret", "vmlinuz-6.1.0-48-armmp"] {
        fs::write(outside.join(name), "root's").unwrap();
        fs::set_permissions(outside.join(name), Permissions::from_mode(0o600)).unwrap();
    }
    for folder in [world.outside(""), outside] {
        fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
    chown(world.share(""), Some(QEMU), Some(QEMU)).unwrap();
    world
}

/// The version and the counters of a file's pages.
fn read_pages(bytes: &[u8]) -> (String, Vec<u64>) {
    let pages = bytes.chunks_exact(PAGE);
    let mut versions = BTreeSet::new();
    let counters = pages.map(|page| {
        let start = page[MIDDLE - CELL..].iter().position(|byte| *byte == b'\n');
        let start = MIDDLE - CELL + start.unwrap() + 1;
        let cell = std::str::from_utf8(&page[start..start + CELL]).unwrap();
        let (version, counter) = cell.trim().split_once(' ').unwrap();
        versions.insert(version.to_owned());
        counter.trim().parse().unwrap()
    });
    let counters = counters.collect();
    assert_eq!(versions.len(), 1, "crossed");
    (versions.pop_first().unwrap(), counters)
}

/// Whether a file ever was in this state.
fn was_once(counters: &[u64]) -> bool {
    let falls = counters.is_sorted_by(|one, next| one >= next);
    falls && counters[0] - counters[counters.len() - 1] <= 1
}

/// What boots, and the generation that it is of.
fn assert_sound(world: &World) -> String {
    let note = world.assert_bootable();
    let read = |name: &str| read_pages(&fs::read(world.path(paths::current).join(name)).unwrap());
    let (kernel, initrd) = (read("vmlinuz"), read("initrd.img"));
    assert_eq!(kernel.0, initrd.0, "crossed");
    assert_eq!(kernel.0, note.version.as_ref().unwrap().as_str());
    assert!(was_once(&kernel.1), "torn kernel: {:?}", kernel.1);
    assert!(was_once(&initrd.1), "torn initrd: {:?}", initrd.1);
    note.id().to_string()
}

/// What boots is what the share has now.
fn assert_seen(world: &World) {
    let note = world.assert_bootable();
    assert_eq!(note.source, PairSource::Links);
    for (name, file) in paths::BOOTS.into_iter().zip([&note.kernel, &note.initrd]) {
        let own = fs::read(world.share(&file.from.name)).unwrap();
        let boots = fs::read(world.path(paths::current).join(name)).unwrap();
        assert!(own == boots, "a change of {} went unseen", file.from.name);
    }
}

#[allow(clippy::print_stdout, reason = "how much was tried is worth knowing")]
fn exchanged(starts: usize, seed: u64) {
    const AT_ONCE: usize = 20;
    for handover in [Handover::Copy, Handover::Link] {
        let world = world(handover);
        let mut exchange = Exchange::begin(&world, seed);
        let outside = world.outside("outside");
        let names = ["", "folder", "secret", "vmlinuz-6.1.0-48-armmp"];
        let paths = names.map(|name| outside.join(name));
        let before = paths
            .clone()
            .map(|path| fs::metadata(path).unwrap().ctime_nsec());
        let watched = Watched::by_this_process(&paths);
        world.start();
        let (mut acts, mut booted) = (0, BTreeSet::new());
        for _ in 0..starts / AT_ONCE {
            exchange.say();
            for _ in 0..AT_ONCE {
                world.start();
                booted.insert(assert_sound(&world));
            }
            acts = exchange.pause();
            world.start();
            assert_seen(&world);
        }
        println!(
            "{handover:?}: {starts} starts, {acts} changes, {} pairs",
            booted.len()
        );
        assert!(acts > starts, "{acts} changes");
        assert!(booted.len() > starts / AT_ONCE, "{} pairs", booted.len());
        let events = watched.events();
        assert!(events.is_empty(), "{events:?}");
        let after = paths.map(|path| fs::metadata(path).unwrap().ctime_nsec());
        assert_eq!(before, after);
    }
}

#[test]
fn what_boots_was_once_so_while_the_share_is_changed() {
    exchanged(200, 1);
}

#[test]
#[ignore = "long: ten thousand starts of each handover"]
fn what_boots_was_once_so_in_ten_thousand_starts() {
    exchanged(10_000, 2);
}

/// What is written through a mapping after the hook has read the file is seen, though size and times are set back.
#[test]
fn a_write_through_a_mapping_is_seen_by_the_next_start() {
    const WRITE: &str = "import mmap, os, sys
with open(sys.argv[1], 'r+b') as file:
    mapped = mmap.mmap(file.fileno(), 0)
for byte in b'abc':
    mapped[9000] = byte
    print('written', flush=True)
    sys.stdin.readline()
";
    let world = World::installed();
    let kernel = world.share("vmlinuz-6.1.0-48-armmp");
    let mut writer = Command::new("python3")
        .args(["-c", WRITE])
        .arg(&kernel)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = writer.stdin.take().unwrap();
    let mut from = BufReader::new(writer.stdout.take().unwrap());
    let mut settled = false;
    for byte in *b"abc" {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        if byte == b'b' {
            // Long enough for its times to count.
            thread::sleep(Duration::from_millis(3_100));
        }
        world.start();
        let boots = fs::read(world.path(paths::current).join("vmlinuz")).unwrap();
        assert_eq!(boots[9000], byte);
        settled |= world.assert_bootable().kernel.settled;
        to.write_all(b"\n").unwrap();
    }
    assert!(settled, "no file system here tells of mapped writes");
    assert!(writer.wait().unwrap().success());
}
