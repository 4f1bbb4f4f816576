//! The handover `link`: what boots has the recipe's names inside the share.

use crate::world::{World, digest};
use armfleet::fleet::Handover;
use armfleet::hook::{Outcome, Verdict};
use armfleet::paths;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

const FIRST: &str = "6.1.0-48-armmp";
const SECOND: &str = "6.1.0-50-armmp";
const NAMES: [&str; 2] = [paths::LINKED_KERNEL, paths::LINKED_INITRD];

fn installed() -> World {
    let mut world = World::installed();
    world.record.boot.handover = Handover::Link;
    world.write_record();
    world
}

/// What is under the recipe's names has the bytes that were checked.
fn assert_linked(world: &World) {
    let note = world.assert_bootable();
    for (name, file) in NAMES.into_iter().zip([&note.kernel, &note.initrd]) {
        let path = world.share(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
        assert_eq!(digest(&fs::read(&path).unwrap()), file.sha256, "{name}");
    }
}

fn inode(world: &World, name: &str) -> u64 {
    fs::symlink_metadata(world.share(name)).unwrap().ino()
}

fn assert_is_the_guests(world: &World, version: &str) {
    assert_linked(world);
    for (name, own) in NAMES.into_iter().zip(["vmlinuz", "initrd.img"]) {
        assert_eq!(
            inode(world, name),
            inode(world, &format!("{own}-{version}"))
        );
    }
}

fn refused(world: &World) -> String {
    let Outcome { verdict, text } = world.prepare();
    assert_eq!(verdict, Verdict::Refused, "{text}");
    text
}

#[test]
fn the_recipes_names_are_the_guests_own_files() {
    let world = installed();
    world.start();
    assert_is_the_guests(&world, FIRST);
    world.start();
    assert_is_the_guests(&world, FIRST);
    world.install(SECOND);
    world.link_pair("", SECOND);
    world.start();
    assert_is_the_guests(&world, SECOND);
    let drafts = fs::read_dir(world.share("")).unwrap();
    let mut names = drafts.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.ends_with(".new")));
}

/// What the share has not is copied into it: the guest must not get at what is staged.
#[test]
fn a_seed_and_a_former_pair_are_copied() {
    let mut world = installed();
    world.start();
    for name in ["vmlinuz", "initrd.img"] {
        fs::remove_file(world.share(&format!("{name}-{FIRST}"))).unwrap();
        fs::write(world.share(NAMES[0]), "the guest's own idea").unwrap();
    }
    assert!(world.start().contains("staged before"));
    assert_linked(&world);
    let staged = world.kernel_inode();
    assert_ne!(inode(&world, NAMES[0]), staged);

    world = World::new();
    world.record.boot.handover = Handover::Link;
    world.put_seed(FIRST);
    world.start();
    assert_linked(&world);
    let share = fs::metadata(world.share("")).unwrap();
    let seen = fs::metadata(world.share(NAMES[0])).unwrap();
    assert_eq!((seen.uid(), seen.gid()), (share.uid(), share.gid()));
    assert_eq!((seen.mode() & 0o7777, seen.nlink()), (0o600, 1));
}

/// libvirt follows a link that it is told to boot, and gives what is behind it to QEMU.
#[test]
fn what_somebody_planted_is_replaced_or_refused() {
    let world = installed();
    let secret = world.outside("shadow");
    fs::write(&secret, "root's").unwrap();
    for name in NAMES {
        symlink(&secret, world.share(name)).unwrap();
        symlink(&secret, world.share(&format!("{name}.new"))).unwrap();
    }
    world.start();
    assert_is_the_guests(&world, FIRST);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root's");
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);

    for name in NAMES {
        for name in [name.to_owned(), format!("{name}.new")] {
            world.install(SECOND);
            world.link_pair("", SECOND);
            let path = world.share(&name);
            let _ = fs::remove_file(&path);
            fs::create_dir(&path).unwrap();
            let text = refused(&world);
            assert!(text.contains("in its boot share is a folder"), "{text}");
            assert!(text.contains("move the folder away"), "{text}");
            fs::remove_dir(&path).unwrap();
            world.start();
            world.install(FIRST);
            world.link_pair("", FIRST);
            world.start();
        }
    }
}

/// The shim must not let it start without this program, which alone can tell whether the names are still good.
#[test]
fn the_shim_is_told() {
    let mut world = installed();
    let mark = world.path(paths::linked);
    world.start();
    assert!(mark.exists());
    fs::write(world.path(paths::record), "damaged").unwrap();
    assert!(refused(&world).contains("armfleet apply"));
    world.record.boot.handover = Handover::Copy;
    world.write_record();
    world.start();
    assert!(!mark.exists());
}
