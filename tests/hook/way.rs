//! Shares that others than root can put something else in the place of.

use crate::world::World;
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
    world.record.boot.guarded = true;
    world.write_record();
    (world, folder)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_share_below_a_folder_of_others_is_not_opened_and_the_staged_pair_boots() {
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
        let text = world.start();
        let why = format!(
            "it can be swapped: {who} can replace what is in {}",
            folder.display()
        );
        assert!(text.contains(&why), "{text}");
        assert_eq!(world.booted(), "6.1.0-48-armmp");
        // An apply that took the folder as it is leaves it to the user.
        world.record.boot.guarded = false;
        world.write_record();
        assert!(!world.start().contains("can be swapped"));
    }
}

#[test]
fn a_share_that_is_a_link_is_not_opened() {
    for guarded in [true, false] {
        let (mut world, folder) = moved();
        world.record.boot.guarded = guarded;
        world.write_record();
        let share = folder.join("share");
        fs::rename(&share, folder.join("else")).unwrap();
        symlink("else", &share).unwrap();
        let text = world.start();
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
    world.write_record();
    assert!(!world.start().contains("symbolic link"));
    lchown(&link, Some(1000), None).unwrap();
    let text = world.start();
    let why = format!("the symbolic link {} belongs to user 1000", link.display());
    assert!(text.contains(&why), "{text}");
}
