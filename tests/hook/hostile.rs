//! Shares that a guest, or a broken QEMU, made to harm the host.

use crate::leases::Leases;
use crate::world::{World, cpio, digest, initrd, set_mode, zimage};
use armfleet::boot::{HookNote, INITRD_LIMIT, KERNEL_LIMIT, PairSource};
use armfleet::paths;
use rustix::fs::{CWD, FileType, Mode};
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{Read as _, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const VERSION: &str = "6.1.0-66-armmp";
const KERNEL: &str = "vmlinuz-6.1.0-66-armmp";
const INITRD: &str = "initrd.img-6.1.0-66-armmp";

/// A share whose links name a pair of which something is wrong. A good pair was staged before.
fn spoiled(spoil: impl Fn(&World)) -> World {
    let world = World::installed();
    world.start();
    for name in ["vmlinuz-6.1.0-48-armmp", "initrd.img-6.1.0-48-armmp"] {
        fs::remove_file(world.share(name)).unwrap();
    }
    world.install(VERSION);
    world.link_pair("", VERSION);
    spoil(&world);
    world
}

/// The hook must pass the pair over, saying this, in little time, leaving the share as it is and nothing of its own.
fn is_passed_over(what: &str, why: &str, spoil: impl Fn(&World)) {
    let world = spoiled(spoil);
    let before = world.share_state();
    let began = Instant::now();
    let text = world.start();
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{what} took {:?}",
        began.elapsed()
    );
    assert!(text.contains(why), "{what}: {text}");
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{what}: {text:?}"
    );
    assert_eq!(world.share_state(), before, "{what}");
    // Where only a link is spoiled, its files are a good pair without it. No other bytes may be staged.
    let note = world.assert_bootable();
    assert_ne!(
        note.source == PairSource::Links,
        world.booted() == VERSION,
        "{what}"
    );
    assert_eq!(
        note.kernel.sha256,
        digest(&zimage(&world.booted())),
        "{what}"
    );
    assert_eq!(
        note.initrd.sha256,
        digest(&initrd(&world.booted())),
        "{what}"
    );
    let known = if world.booted() == VERSION { 2 } else { 1 };
    assert_eq!(world.generations().len(), known, "{what}");
}

fn replace(world: &World, name: &str, make: impl Fn(&Path)) {
    let path = world.share(name);
    fs::remove_file(&path).unwrap();
    make(&path);
}

#[test]
fn real_symlinks_are_not_followed() {
    let secret = |world: &World| {
        let secret = world.outside("secret");
        fs::write(&secret, zimage("secret")).unwrap();
        secret
    };
    for name in ["vmlinuz", "initrd.img", KERNEL, INITRD] {
        is_passed_over(name, "is a symbolic link of the host", |world| {
            replace(world, name, |path| symlink(secret(world), path).unwrap());
        });
        is_passed_over(name, "is a symbolic link of the host", |world| {
            replace(world, name, |path| {
                symlink("vmlinuz-6.1.0-48-armmp", path).unwrap()
            });
        });
        is_passed_over(name, "is a symbolic link of the host", |world| {
            replace(world, name, |path| {
                symlink("/proc/self/fd/0", path).unwrap()
            });
        });
    }
}

#[test]
fn things_that_are_no_files_are_seen_for_what_they_are() {
    for name in ["vmlinuz", KERNEL, INITRD] {
        is_passed_over(name, "is a folder", |world| {
            replace(world, name, |path| fs::create_dir(path).unwrap());
        });
        is_passed_over(name, "is a FIFO, socket or device of the host", |world| {
            replace(world, name, |path| {
                let mode = Mode::from_raw_mode(0o666);
                rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
            });
        });
        is_passed_over(name, "is a FIFO, socket or device of the host", |world| {
            replace(world, name, |path| {
                // A socket's address is short; it is bound where it fits, and moved.
                let short = tempfile::tempdir_in("/tmp").unwrap();
                let _ = fs::remove_file(path);
                let bound = short.path().join("s");
                drop(UnixListener::bind(&bound).unwrap());
                fs::rename(&bound, path).unwrap();
            });
        });
        is_passed_over(name, "is a device, FIFO or socket of the guest", |world| {
            set_mode(&world.share(name), &[0xb6, 0x61, 0, 0]);
        });
        is_passed_over(name, "is a device, FIFO or socket of the guest", |world| {
            set_mode(&world.share(name), &[0xff; 40]);
        });
    }
}

#[test]
fn a_links_text_is_read_to_a_limit() {
    is_passed_over("endless text", "longer than any name", |world| {
        world.link("vmlinuz", b"x");
        File::options()
            .write(true)
            .open(world.share("vmlinuz"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
    });
}

#[test]
fn two_links_are_followed_and_no_more() {
    is_passed_over("three links in a row", "which is itself a link", |world| {
        world.link("vmlinuz", "vmlinuz-armmp");
        world.link("vmlinuz-armmp", "vmlinuz-6");
        world.link("vmlinuz-6", KERNEL);
    });
    is_passed_over("a link to itself", "which is itself a link", |world| {
        world.link("vmlinuz", "vmlinuz")
    });
    is_passed_over(
        "a file that became a link",
        "names `vmlinuz-6.1.0-48-armmp`, which is not there",
        |world| {
            world.link(KERNEL, "vmlinuz-6.1.0-48-armmp");
        },
    );
    is_passed_over(
        "another kind of file",
        "is not a `vmlinuz-VERSION`",
        |world| {
            fs::write(world.share("passwd"), "root").unwrap();
            world.link("vmlinuz", "passwd");
        },
    );
    is_passed_over(
        "kernel and initrd of two versions",
        "the kernel is 6.1.0-66-armmp, the initrd 7",
        |world| {
            fs::write(world.share("initrd.img-7"), initrd("7")).unwrap();
            world.link("initrd.img", "initrd.img-7");
        },
    );
}

#[test]
fn a_plain_file_where_a_link_should_be_is_not_a_link() {
    is_passed_over(
        "a link that lost its attribute",
        "is a plain file, not a link",
        |world| {
            replace(world, "vmlinuz", |path| fs::write(path, KERNEL).unwrap());
            // Nor may the newest pair hide that.
            fs::remove_file(world.share(INITRD)).unwrap();
        },
    );
    is_passed_over("a link while it is made", "`vmlinuz` is empty", |world| {
        replace(world, "vmlinuz", |path| fs::write(path, "").unwrap());
    });
}

#[test]
fn sizes_are_bounded_before_anything_is_copied() {
    for (name, limit) in [(KERNEL, KERNEL_LIMIT), (INITRD, INITRD_LIMIT)] {
        for size in [limit + 1, 100 << 30, 8 << 40] {
            is_passed_over(name, "bytes, more than the", |world| {
                File::options()
                    .write(true)
                    .open(world.share(name))
                    .unwrap()
                    .set_len(size)
                    .unwrap();
            });
        }
    }
    is_passed_over("a kernel of zeros", "is not a kernel to boot", |world| {
        replace(world, KERNEL, |path| {
            File::create(path).unwrap().set_len(KERNEL_LIMIT).unwrap()
        });
    });
}

#[test]
fn what_is_not_a_kernel_or_not_an_initrd_is_named() {
    let put = |name: &'static str, bytes: Vec<u8>| {
        move |world: &World| fs::write(world.share(name), &bytes).unwrap()
    };
    let mut arm64 = vec![0; 4096];
    arm64[0x38..0x3c].copy_from_slice(b"ARM\x64");
    is_passed_over("arm64", "is a kernel for arm64", put(KERNEL, arm64));
    let mut elf = Vec::new();
    // The whole program may be larger than a kernel can be.
    let program = File::open("/proc/self/exe").unwrap();
    program.take(1 << 20).read_to_end(&mut elf).unwrap();
    is_passed_over("ELF", "an ELF file", put(KERNEL, elf));
    is_passed_over(
        "half",
        "it is cut off",
        put(KERNEL, zimage("x")[..10_000].to_vec()),
    );
    is_passed_over(
        "text",
        "on it is not an initrd",
        put(INITRD, b"root:x:0:0".to_vec()),
    );
    is_passed_over(
        "garbage behind",
        "on it is not an initrd",
        put(INITRD, [cpio("init", b""), b"more".to_vec()].concat()),
    );
}

#[test]
fn an_initrd_that_inflates_without_end_is_given_up() {
    is_passed_over("a bomb", "is not a whole initrd", |world| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            encoder.write_all(&[0; 1 << 20]).unwrap();
        }
        // Members follow one another, each a part of its own, and the last is cut.
        let member = encoder.finish().unwrap();
        let bomb = [member.repeat(4), member[..member.len() - 1].to_vec()].concat();
        fs::write(world.share(INITRD), bomb).unwrap();
    });
}

#[test]
fn thousands_of_entries_hide_no_links() {
    let flood = |world: &World| {
        for n in 0..6000 {
            File::create(world.share(&format!("vmlinuz-99.{n}"))).unwrap();
        }
    };
    let world = spoiled(flood);
    let began = Instant::now();
    world.start();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(
        world.booted(),
        VERSION,
        "the links are looked at whatever else there is"
    );
    fs::remove_file(world.share("vmlinuz")).unwrap();
    assert!(world.start().contains("more than 4096 names"));
    is_passed_over("a flood", "more than 4096 names", |world| {
        flood(world);
        fs::remove_file(world.share("vmlinuz")).unwrap();
    });
}

#[test]
fn a_leased_file_is_passed_over_at_once() {
    for name in ["vmlinuz", "initrd.img", KERNEL, INITRD] {
        let leases = RefCell::new(None);
        is_passed_over(name, "is leased by a process of QEMU's user", |world| {
            leases.replace(Some(Leases::on([world.share(name)])));
        });
    }
    let world = World::installed();
    world.start();
    let files = fs::read_dir(world.record.boot.share.as_str()).unwrap();
    let leases = Leases::on(files.map(|file| file.unwrap().path()));
    let began = Instant::now();
    let text = world.start();
    assert!(began.elapsed() < Duration::from_secs(5));
    let boots = "boots 6.1.0-48-armmp, staged before";
    assert!(text.contains(boots), "{text}");
    assert_is_told(&world, boots);
    drop(leases);
}

/// `status` shows until the next start what was leased and what boots instead.
fn assert_is_told(world: &World, boots: &str) {
    let note = HookNote::read(&fs::read_to_string(world.path(paths::hook_seen)).unwrap());
    let told = note.attention.join("\n");
    let why = "is leased by a process of QEMU's user";
    assert!(told.contains(why) && told.ends_with(boots), "{told}");
}

#[test]
fn a_lease_that_has_another_pair_boot_is_told_at_each_start() {
    let mut world = World::installed();
    world.put_seed("6.1.0-66-armmp");
    let file = |name: &str| [world.share(name)];
    {
        let _leases = Leases::on(file("vmlinuz-6.1.0-48-armmp"));
        world.start();
        assert_is_told(&world, "boots its seed");
    }
    world.link_pair(".old", "6.1.0-48-armmp");
    world.install("6.1.0-66-armmp");
    world.link_pair("", "6.1.0-66-armmp");
    for _ in 0..2 {
        let _leases = Leases::on(file(INITRD));
        world.start();
        let boots = "boots 6.1.0-48-armmp (links vmlinuz.old and initrd.img.old)";
        assert_is_told(&world, boots);
    }
}

#[test]
fn hard_links_are_everyday_life() {
    let world = spoiled(|world| {
        for name in [KERNEL, INITRD] {
            fs::hard_link(world.share(name), world.share(&format!("{name}.dpkg-bak"))).unwrap();
        }
    });
    world.start();
    assert_eq!(world.booted(), VERSION);
    let staged = world.path(paths::current).join("vmlinuz");
    File::options()
        .write(true)
        .open(world.share(KERNEL))
        .unwrap()
        .write_all_at(b"guest", 200)
        .unwrap();
    assert_ne!(
        fs::read(staged).unwrap()[200..205],
        *b"guest",
        "a generation shares no inode with the share"
    );
}

#[test]
fn a_share_that_is_not_a_folder_is_said_to_be_none() {
    for (what, make) in [
        (
            "a symlink",
            (|path: &Path| symlink("/etc", path).unwrap()) as fn(&Path),
        ),
        ("a file", |path| fs::write(path, "").unwrap()),
        ("nothing", |_| ()),
    ] {
        let world = World::installed();
        world.start();
        let share = Path::new(world.record.boot.share.as_str());
        fs::remove_dir_all(share).unwrap();
        make(share);
        let text = world.start();
        assert!(text.contains("cannot open the share"), "{what}: {text}");
    }
}

#[test]
fn a_file_that_changes_underneath_is_staged_whole_or_not_at_all() {
    let world = World::installed();
    let kernel = world.share("vmlinuz-6.1.0-48-armmp");
    let stop = AtomicBool::new(false);
    let versions: Vec<Vec<u8>> = (0..20).map(|n| zimage(&format!("{n}"))).collect();
    let known: Vec<_> = versions.iter().map(|bytes| digest(bytes)).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&kernel).unwrap();
            for version in versions.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all_at(version, 0).unwrap();
            }
        });
        for _ in 0..200 {
            let outcome = world.prepare();
            if outcome.verdict == armfleet::hook::Verdict::Done {
                world.assert_bootable();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    world.start();
    let note = world.assert_bootable();
    assert!(
        known.contains(&note.kernel.sha256),
        "what is staged at rest is one of the versions"
    );
}
