//! Shares that others than root can put something else in the place of.

use crate::world::World;
use armfleet::trust::End;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

const QEMU: u32 = 64055;

/// A world that has started once, and whose share is then below `folders/inner`.
fn moved() -> (World, PathBuf) {
    let mut world = World::installed();
    world.start();
    let folder = world.outside("folder");
    fs::create_dir(&folder).unwrap();
    let share = folder.join("share");
    fs::rename(world.outside("share"), &share).unwrap();
    chown(&share, Some(QEMU), Some(QEMU)).unwrap();
    world.record.boot.share = share.to_str().unwrap().parse().unwrap();
    let share = world.record.boot.share.clone();
    world.record.boot.ways.insert(share, End::Share);
    world.write_record();
    (world, folder)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_vm_whose_share_is_below_a_folder_of_others_does_not_start() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 4] = [
        ("user 64055", |folder| {
            chown(folder, Some(QEMU), None).unwrap()
        }),
        ("group 64055", |folder| {
            chown(folder, None, Some(QEMU)).unwrap();
            set_mode(folder, 0o775);
        }),
        ("every user", |folder| set_mode(folder, 0o777)),
        // What it owns it can rename in such a folder, too.
        ("user 64055", |folder| set_mode(folder, 0o1777)),
    ];
    for (who, spoil) in cases {
        let (mut world, folder) = moved();
        assert!(world.start().is_empty() || !world.start().contains("can replace"));
        spoil(&folder);
        world.install("6.1.0-66-armmp");
        world.link_pair("", "6.1.0-66-armmp");
        let refused = world.refused();
        let why = format!(
            "it can be swapped: {who} can replace what is in {}",
            folder.display()
        );
        assert!(refused.contains(&why), "{refused}");
        assert_eq!(world.booted(), "6.1.0-48-armmp");
        // What 0.1.0 applied starts with what was staged before, and takes nothing from there.
        world.record.boot.ways.clear();
        world.write_record();
        let said = world.start();
        assert!(said.contains("can be swapped: "), "{said}");
        assert!(
            said.contains("boots 6.1.0-48-armmp, staged before"),
            "{said}"
        );
        // An apply that took the folder as it is leaves it to the user.
        let share = world.record.boot.share.clone();
        world.record.applied.guarded.insert(share);
        world.write_record();
        assert!(!world.start().contains("can be swapped"));
        assert_eq!(world.booted(), "6.1.0-66-armmp");
    }
}

/// What 0.1.0 applied is asked about QEMU's user alone: others are its user's affair until the share's path changes.
#[test]
fn a_share_that_0_1_0_applied_may_be_below_a_folder_of_another_user() {
    let (mut world, folder) = moved();
    world.record.boot.ways.clear();
    world.write_record();
    chown(&folder, Some(1000), None).unwrap();
    assert!(!world.start().contains("can be swapped"));
}

#[test]
fn a_vm_whose_image_or_log_others_can_swap_does_not_start() {
    for end in [End::Image, End::Roots] {
        let (mut world, _) = moved();
        let theirs = world.outside("theirs");
        fs::create_dir(&theirs).unwrap();
        let path = theirs.join("x");
        fs::write(&path, "").unwrap();
        let recorded = path.to_str().unwrap().parse().unwrap();
        world.record.boot.ways.insert(recorded, end);
        world.write_record();
        world.start();
        chown(&theirs, Some(1000), None).unwrap();
        let refused = world.refused();
        let why = format!(
            "cannot use {}: it can be swapped: user 1000",
            path.display()
        );
        assert!(refused.contains(&why), "{refused}");
        assert!(refused.contains("`armfleet plan` says what to do about it"));
    }
}

#[test]
fn a_share_that_is_a_link_is_not_opened() {
    for guarded in [true, false] {
        let (mut world, folder) = moved();
        if !guarded {
            world.record.boot.ways.clear();
        }
        world.write_record();
        let share = folder.join("share");
        fs::rename(&share, folder.join("else")).unwrap();
        symlink("else", &share).unwrap();
        let text = match guarded {
            true => world.refused(),
            false => world.start(),
        };
        let why = format!("{} is a symbolic link", share.display());
        assert!(text.contains(&why), "{text}");
    }
}

#[test]
fn a_folder_that_is_a_link_of_roots_is_followed_and_one_of_a_users_is_not() {
    let (mut world, folder) = moved();
    let link = world.outside("link");
    symlink(&folder, &link).unwrap();
    world.record.boot.share = link.join("share").to_str().unwrap().parse().unwrap();
    let share = world.record.boot.share.clone();
    world.record.boot.ways = BTreeMap::from([(share, End::Share)]);
    world.write_record();
    assert!(!world.start().contains("symbolic link"));
    lchown(&link, Some(1000), None).unwrap();
    let text = world.refused();
    let why = format!("the symbolic link {} belongs to user 1000", link.display());
    assert!(text.contains(&why), "{text}");
}
