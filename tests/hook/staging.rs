//! What is staged from shares as guests leave them.

use crate::world::{World, cpio, initrd, zimage};
use armfleet::boot::PairSource;
use armfleet::mark::Wanted;
use armfleet::paths;
use rustix::fs::XattrFlags;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::Path;

#[test]
fn the_linked_pair_is_staged() {
    let world = World::installed();
    let before = world.share_state();
    assert!(world.start().contains("boots 6.1.0-48-armmp"));
    let current = world.path(paths::current);
    assert_eq!(
        fs::read(current.join("vmlinuz")).unwrap(),
        zimage("6.1.0-48-armmp")
    );
    assert_eq!(
        fs::read(current.join("initrd.img")).unwrap(),
        initrd("6.1.0-48-armmp")
    );
    let note = world.assert_bootable();
    assert_eq!(note.source, PairSource::Links);
    assert_eq!(note.kernel.from.name, "vmlinuz-6.1.0-48-armmp");
    assert_eq!(
        fs::read_link(&current).unwrap(),
        Path::new("g").join(note.id().as_str())
    );
    assert_eq!(
        world.share_state(),
        before,
        "nothing in the share was touched"
    );
    let modes = [
        ("vmlinuz", 0o640),
        ("initrd.img", 0o640),
        ("vmlinuz.master", 0o600),
        ("initrd.img.master", 0o600),
        ("pair.json", 0o644),
        (".", 0o711),
    ];
    for (name, mode) in modes {
        let seen = world.staged(name).permissions().mode() & 0o7777;
        assert_eq!(seen, mode, "{name}");
    }
}

#[test]
fn an_unchanged_share_changes_nothing() {
    let world = World::installed();
    world.start();
    let inodes = (world.kernel_inode(), world.master_inode());
    assert_eq!(world.start(), "");
    assert_eq!(world.master_inode(), inodes.1);
    assert_ne!(world.kernel_inode(), inodes.0, "each start has its copy");
    assert_eq!(world.generations().len(), 1);
}

/// What boots is given to QEMU's user, and may be changed by it whenever it likes: nothing of that boots.
#[test]
fn what_was_changed_after_it_booted_does_not_boot_again() {
    let world = World::installed();
    world.start();
    for name in ["vmlinuz", "initrd.img"] {
        let path = world.path(paths::current).join(name);
        chown(&path, Some(64055), Some(64055)).unwrap();
        fs::write(path, "anything").unwrap();
    }
    assert_eq!(world.start(), "");
    assert_eq!(world.staged("vmlinuz").uid(), 0);
    // A guest whose share is gone boots the same.
    fs::remove_dir_all(world.record.boot.share.as_str()).unwrap();
    fs::write(world.path(paths::current).join("vmlinuz"), "anything").unwrap();
    world.start();
}

/// What boots now is kept, and of the others the masters alone.
#[test]
fn only_what_boots_has_a_copy_beside_its_master() {
    let world = World::installed();
    world.start();
    world.install("6.1.0-50-armmp");
    world.link_pair("", "6.1.0-50-armmp");
    world.start();
    let previous = world.path(paths::previous);
    assert!(previous.join("vmlinuz.master").exists() && !previous.join("vmlinuz").exists());
    let id = fs::read_link(&previous).unwrap();
    let id = id.file_name().unwrap().to_str().unwrap().to_owned();
    let mut world = world;
    world.record.boot.wanted = Wanted::Generation(id);
    world.write_record();
    world.start();
    assert_eq!(world.booted(), "6.1.0-48-armmp");
}

/// 0.1.0 had no masters: what it staged may have been changed since.
#[test]
fn what_an_earlier_version_staged_gets_a_master_if_it_is_what_it_was() {
    for spoiled in [false, true] {
        let world = World::installed();
        world.start();
        let current = world.path(paths::current);
        for name in ["vmlinuz", "initrd.img"] {
            fs::remove_file(current.join(format!("{name}.master"))).unwrap();
        }
        let before = world.kernel_inode();
        if spoiled {
            fs::write(current.join("initrd.img"), cpio("version", b"another")).unwrap();
            fs::remove_dir_all(world.record.boot.share.as_str()).unwrap();
            assert!(world.refused().contains("its SHA-256 differs"));
        } else {
            world.start();
            let after = [world.kernel_inode(), world.master_inode()];
            assert!(!after.contains(&before), "a new inode");
        }
    }
}

#[test]
fn a_damaged_master_is_staged_again_from_the_share_and_that_is_said() {
    let world = World::installed();
    world.start();
    let master = world.path(paths::current).join("vmlinuz.master");
    let mut bytes = fs::read(&master).unwrap();
    bytes[300] ^= 1;
    fs::write(&master, bytes).unwrap();
    let text = world.start();
    assert!(
        text.contains("its SHA-256 differs; it is staged again"),
        "{text}"
    );
    assert_eq!(world.start(), "");
}

#[test]
fn a_new_kernel_is_staged_and_the_previous_one_kept() {
    let world = World::installed();
    world.start();
    let mut seen = world.generations();
    for version in ["6.1.0-49-armmp", "6.1.0-50-armmp"] {
        world.install(version);
        world.link_pair("", version);
        world.start();
        assert_eq!(world.booted(), version);
        let now = world.generations();
        assert_eq!(now.len(), 2);
        assert!(
            seen.iter().any(|id| now.contains(id)),
            "the previous generation stays"
        );
        seen = now;
    }
    let previous = fs::read_link(world.path(paths::boot_folder).join("previous")).unwrap();
    assert!(
        world
            .path(paths::boot_folder)
            .join(previous)
            .join("vmlinuz.master")
            .exists()
    );
}

#[test]
fn an_upgrade_that_was_cut_off_boots_the_old_pair_until_it_is_finished() {
    let world = World::installed();
    world.start();
    world.install("6.1.0-50-armmp");
    world.link_pair("", "6.1.0-50-armmp");
    world.link_pair(".old", "6.1.0-48-armmp");
    let new_initrd = world.share("initrd.img-6.1.0-50-armmp");
    let whole = fs::read(&new_initrd).unwrap();

    fs::remove_file(&new_initrd).unwrap();
    let text = world.start();
    assert_eq!(world.booted(), "6.1.0-48-armmp");
    assert!(
        text.contains("names `initrd.img-6.1.0-50-armmp`, which is not there"),
        "{text}"
    );
    assert_eq!(world.assert_bootable().source, PairSource::OldLinks);

    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&new_initrd, &whole[..length]).unwrap();
        let text = world.start();
        assert_eq!(world.booted(), "6.1.0-48-armmp", "cut to {length}");
        assert!(text.contains("initrd.img-6.1.0-50-armmp"), "{text}");
    }

    fs::write(&new_initrd, &whole).unwrap();
    world.start();
    assert_eq!(world.booted(), "6.1.0-50-armmp");
}

#[test]
fn a_guest_without_links_boots_its_newest_complete_kernel() {
    let world = World::new();
    for version in ["6.1.0-9-armmp", "6.1.0-10-armmp", "6.1.0-11-armmp"] {
        world.install(version);
    }
    fs::remove_file(world.share("initrd.img-6.1.0-11-armmp")).unwrap();
    fs::write(world.share("initrd.img-6.1.0-11-armmp.new"), b"half").unwrap();
    world.start();
    assert_eq!(world.booted(), "6.1.0-10-armmp");
    assert_eq!(world.assert_bootable().source, PairSource::Newest);
}

#[test]
fn the_same_bytes_give_the_same_generation_in_new_inodes() {
    let world = World::installed();
    world.start();
    let (inode, generations) = (world.master_inode(), world.generations());
    world.install("6.1.0-48-armmp");
    world.start();
    assert_ne!(world.master_inode(), inode);
    assert_eq!(world.generations(), generations);
    let inode = world.master_inode();
    assert_eq!(world.start(), "");
    assert_eq!(world.master_inode(), inode, "its note names the new files");
}

#[test]
fn without_a_pair_in_the_share_the_staged_one_boots_if_it_is_whole() {
    let world = World::installed();
    world.start();
    fs::remove_dir_all(world.record.boot.share.as_str()).unwrap();
    assert!(
        world
            .start()
            .contains("boots 6.1.0-48-armmp, staged before")
    );
    let staged = world.path(paths::current).join("initrd.img.master");
    fs::write(&staged, cpio("version", b"another")).unwrap();
    let text = world.refused();
    assert!(text.contains("its SHA-256 differs"), "{text}");
    assert!(text.contains("cannot open the share"), "{text}");
}

#[test]
fn a_staged_file_that_is_gone_is_staged_again() {
    let world = World::installed();
    world.start();
    let names = ["vmlinuz", "initrd.img", "pair.json"];
    for damage in names
        .into_iter()
        .chain(["vmlinuz.master", "initrd.img.master"])
    {
        fs::remove_file(world.path(paths::current).join(damage)).unwrap();
        world.start();
    }
    fs::remove_dir_all(world.path(paths::boot_folder)).unwrap();
    world.start();
    fs::remove_file(world.path(paths::current)).unwrap();
    world.start();
}

#[test]
fn an_empty_share_without_a_seed_refuses_and_says_what_to_do() {
    let world = World::new();
    let text = world.refused();
    assert!(
        text.starts_with("armfleet: armhf-vm cannot start: there is no pair"),
        "{text}"
    );
    assert!(
        text.contains("`vmlinuz` is not there") && text.contains("boot.seed"),
        "{text}"
    );
    assert_eq!(world.generations(), Vec::<String>::new());
}

#[test]
fn a_seed_boots_until_the_share_has_a_pair() {
    let mut world = World::new();
    world.put_seed("6.1.0-40-armmp");
    world.start();
    assert_eq!(world.booted(), "6.1.0-40-armmp");
    let note = world.assert_bootable();
    assert_eq!(
        (note.source, note.kernel.from.name.as_str()),
        (PairSource::Seed, "/srv/seed/vmlinuz-6.1.0-40-armmp")
    );
    let inode = world.master_inode();
    world.start();
    assert_eq!(world.master_inode(), inode);

    world.put_seed("6.1.0-41-armmp");
    world.start();
    assert_eq!(
        world.booted(),
        "6.1.0-41-armmp",
        "another seed takes the place of a staged one"
    );

    world.install("6.1.0-48-armmp");
    world.link_pair("", "6.1.0-48-armmp");
    world.start();
    assert_eq!(world.booted(), "6.1.0-48-armmp");
    for kind in ["vmlinuz", "initrd.img"] {
        fs::remove_file(world.share(kind)).unwrap();
        fs::remove_file(world.share(&format!("{kind}-6.1.0-48-armmp"))).unwrap();
    }
    world.start();
    assert_eq!(
        world.booted(),
        "6.1.0-48-armmp",
        "what the guest installed once is not given up for a seed"
    );
}

#[test]
fn a_damaged_seed_is_not_booted() {
    let mut world = World::new();
    world.put_seed("6.1.0-40-armmp");
    let seed = world.path(paths::seed_folder);
    fs::write(seed.join("initrd.img"), initrd("6.1.0-41-armmp")).unwrap();
    let text = world.refused();
    assert!(text.contains("its bytes are not those that were put there"));
    assert!(text.contains("To do: run `armfleet apply`"), "{text}");
    assert!(!seed.join("seed.json").exists(), "apply would not see it");
    fs::write(seed.join("seed.json"), "{").unwrap();
    assert!(
        world
            .refused()
            .contains("seed.json is damaged; run `armfleet apply`")
    );
    fs::remove_file(seed.join("seed.json")).unwrap();
    assert!(world.refused().contains("seed.json is not there"));
}

#[test]
fn a_wanted_generation_boots_whatever_the_share_has() {
    let mut world = World::installed();
    world.start();
    let first = world.assert_bootable().id();
    for version in ["6.1.0-49-armmp", "6.1.0-50-armmp"] {
        world.install(version);
        world.link_pair("", version);
        world.record.boot.wanted = Wanted::Generation(first.to_string());
        world.write_record();
        world.start();
        assert_eq!(world.booted(), "6.1.0-48-armmp");
        world.record.boot.wanted = Wanted::Auto;
        world.write_record();
        world.start();
        assert_eq!(world.booted(), version);
    }
    for gone in ["0123456789abcdef", "../../../../etc", ""] {
        world.record.boot.wanted = Wanted::Generation(gone.to_owned());
        world.write_record();
        assert!(world.start().contains("is not there"), "{gone}");
        assert_eq!(world.booted(), "6.1.0-50-armmp");
    }
}

#[test]
fn names_that_a_host_made_file_lacks_do_not_matter() {
    let world = World::installed();
    let attribute = "user.virtfs.uid";
    let share = Path::new(world.record.boot.share.as_str());
    rustix::fs::setxattr(share, attribute, &[0, 0, 0, 0], XattrFlags::empty()).unwrap();
    fs::create_dir(world.share("grub")).unwrap();
    fs::write(world.share("config-6.1.0-48-armmp"), b"CONFIG_ARM=y\n").unwrap();
    world.start();
    assert_eq!(world.booted(), "6.1.0-48-armmp");
}

/// QEMU passes through these folders; a run that was killed in making one left it closed.
#[test]
fn a_folder_that_a_killed_run_left_closed_is_opened() {
    let world = World::installed();
    let boot = world.path(paths::boot_folder);
    fs::create_dir(&boot).unwrap();
    fs::set_permissions(&boot, fs::Permissions::from_mode(0o700)).unwrap();
    world.start();
    assert_eq!(
        fs::metadata(&boot).unwrap().permissions().mode() & 0o777,
        0o711
    );
}
