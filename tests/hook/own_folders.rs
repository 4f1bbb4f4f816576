//! armfleet's own folders in which something else lies: nothing is removed that is not armfleet's, and no link is followed.

use crate::world::World;
use armfleet::boot::HookNote;
use armfleet::paths;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

const NEXT: &str = "6.1.0-50-armmp";

/// A folder of somebody else, with a generation's name among its own.
fn others(world: &World) -> PathBuf {
    let folder = world.outside("others");
    for name in ["0123456789abcdef", ".draft", "work"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("vmlinuz"), "kept").unwrap();
    }
    for name in ["thesis", "record.json", "started", "restoring"] {
        fs::write(folder.join(name), "kept").unwrap();
    }
    folder
}

fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(all_below(&path));
        }
        paths.push(path);
    }
    paths.sort();
    paths
}

fn replace_by_link(path: &Path, target: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
    symlink(target, path).unwrap();
}

#[test]
fn a_folder_that_is_a_link_is_neither_followed_nor_emptied() {
    for name in ["g", "boot", "seed"] {
        let folder = |world: &World| {
            world.path(match name {
                "g" => paths::generations,
                "boot" => paths::boot_folder,
                _ => paths::seed_folder,
            })
        };
        let mut world = World::installed();
        if name == "seed" {
            world = World::new();
            world.put_seed(NEXT);
        } else {
            world.start();
        }
        let others = others(&world);
        let before = all_below(&others);
        replace_by_link(&folder(&world), &others);
        let text = world.refused();
        assert!(text.contains("is a symbolic link"), "{name}: {text}");
        if name != "seed" {
            let link = folder(&world).display().to_string();
            assert!(
                text.contains(&format!("move it away: mv {link} {link}.old;")),
                "{text}"
            );
        }
        assert_eq!(all_below(&others), before, "{name}");
        // The remedy works.
        if name != "seed" {
            fs::rename(folder(&world), world.outside("moved")).unwrap();
            world.start();
            assert_eq!(world.booted(), "6.1.0-48-armmp");
        }
    }
}

/// The record is not read through it, so it is no VM of armfleet's that could be trusted to be one.
#[test]
fn a_link_in_place_of_the_vms_is_not_followed() {
    for of in [paths::vm_folder, |_: &_| paths::VMS.to_owned()] {
        let world = World::installed();
        world.start();
        let path = world.path(of);
        let moved = world.outside("moved");
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        let before = all_below(&moved);
        let text = world.refused();
        assert!(text.contains("is a symbolic link"), "{text}");
        assert!(text.contains("move it away: mv "), "{text}");
        assert_eq!(all_below(&moved), before);
    }
}

/// Root may have armfleet's state on another file system.
#[test]
fn the_state_folder_itself_may_be_a_link() {
    let world = World::installed();
    let (state, moved) = (world.root.below(paths::STATE), world.outside("moved"));
    fs::rename(&state, &moved).unwrap();
    symlink(&moved, &state).unwrap();
    world.start();
    assert_eq!(world.booted(), "6.1.0-48-armmp");
}

#[test]
fn what_is_not_armfleets_among_the_generations_stays_and_is_reported() {
    let world = World::installed();
    world.start();
    let all = world.path(paths::generations);
    let stale = all.join("00112233445566aa");
    for folder in [&all.join("backup"), &stale, &all.join("0123456789abcdef")] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("vmlinuz"), "old").unwrap();
    }
    fs::write(all.join("backup/notes"), "kept").unwrap();
    fs::write(stale.join("notes"), "kept").unwrap();
    fs::write(all.join("README"), "kept").unwrap();
    symlink(world.outside("share"), all.join("fedcba9876543210")).unwrap();
    let text = world.start();
    for stays in [
        "backup",
        "00112233445566aa/notes",
        "README",
        "fedcba9876543210",
    ] {
        assert!(all.join(stays).symlink_metadata().is_ok(), "{stays}");
        let remark = format!("g/{stays} is none of armfleet's files, and stays");
        assert!(text.contains(&remark), "{stays}: {text}");
        let note = fs::read_to_string(world.path(paths::hook_seen)).unwrap();
        let lines = HookNote::read(&note).attention;
        assert!(lines.iter().any(|line| line.contains(&remark)));
    }
    assert!(all.join("backup/notes").exists());
    assert!(
        !all.join("0123456789abcdef").exists(),
        "it was a generation"
    );
    assert!(!stale.join("vmlinuz").exists());
    assert_eq!(world.booted(), "6.1.0-48-armmp");
}

/// What boots then was staged before.
#[test]
fn a_draft_in_which_something_else_lies_is_not_used() {
    let world = World::installed();
    world.start();
    let draft = world.path(paths::generations).join(".draft");
    fs::create_dir(&draft).unwrap();
    fs::write(draft.join("notes"), "kept").unwrap();
    fs::write(draft.join("vmlinuz"), "of a run that was killed").unwrap();
    world.install(NEXT);
    world.link_pair("", NEXT);
    let text = world.start();
    assert!(
        text.contains(".draft/notes is a file, which armfleet did not make"),
        "{text}"
    );
    assert_eq!(world.booted(), "6.1.0-48-armmp");
    assert_eq!(fs::read_to_string(draft.join("notes")).unwrap(), "kept");
    fs::remove_file(draft.join("notes")).unwrap();
    world.start();
    assert_eq!(world.booted(), NEXT);
}

#[test]
fn what_is_no_link_is_not_replaced_by_one() {
    for name in ["current", "previous", ".link"] {
        let world = World::installed();
        world.start();
        let path = world.path(paths::boot_folder).join(name);
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("vmlinuz"), "kept").unwrap();
        fs::write(path.join("initrd.img"), "kept").unwrap();
        world.install(NEXT);
        world.link_pair("", NEXT);
        let outcome = world.prepare();
        let says = format!("boot/{name} is a folder, which armfleet did not make");
        assert!(outcome.text.contains(&says), "{}", outcome.text);
        assert!(path.join("vmlinuz").exists() && path.join("initrd.img").exists());
        if name == "current" {
            let text = world.refused();
            assert!(text.contains("move it away: mv "), "{text}");
        } else {
            assert_eq!(world.booted(), "6.1.0-48-armmp");
        }
        fs::rename(&path, world.outside("moved")).unwrap();
        world.start();
        assert_eq!(world.booted(), NEXT);
    }
}

/// Nothing but a generation is booted by name.
#[test]
fn a_current_that_leads_elsewhere_is_switched_back() {
    for target in ["/etc", "g/..", "../../other/boot/g/0123456789abcdef", "g"] {
        let world = World::installed();
        world.start();
        replace_by_link(&world.path(paths::current), Path::new(target));
        world.start();
        assert_eq!(world.booted(), "6.1.0-48-armmp", "{target}");
    }
}

#[test]
fn stamps_are_written_through_no_link() {
    for of in [paths::hook_seen, paths::started, paths::restoring] {
        let world = World::installed();
        world.start();
        let (path, target) = (world.path(of), world.outside("target"));
        fs::write(&target, "kept").unwrap();
        replace_by_link(&path, &target);
        world.start();
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    }
}

#[test]
fn a_record_that_another_user_could_have_written_is_not_acted_on() {
    type Spoil = fn(&Path);
    let spoiled: [Spoil; 2] = [
        |path| chown(path, Some(1000), None).unwrap(),
        |path| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap(),
    ];
    for spoil in spoiled {
        let world = World::installed();
        spoil(&world.path(paths::record));
        let text = world.refused();
        assert!(text.contains("could have been written by"), "{text}");
        assert!(text.contains("armfleet apply"), "{text}");
    }
}

/// A FIFO in place of a file that the hook writes would keep it waiting for a reader, and libvirtd with it.
#[test]
fn a_fifo_in_place_of_an_own_file_is_an_error_at_once() {
    for of in [paths::staging_lock, paths::hook_seen, paths::record] {
        let world = World::installed();
        world.start();
        let path = world.path(of);
        let _ = fs::remove_file(&path);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        let began = std::time::Instant::now();
        let outcome = world.prepare();
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
        assert!(
            outcome
                .text
                .contains(path.file_name().unwrap().to_str().unwrap()),
            "{}: {}",
            path.display(),
            outcome.text
        );
    }
}

/// The planner passes over such a receipt, too, and stages the seed again.
#[test]
fn a_receipt_that_others_could_have_written_is_not_used() {
    let mut world = World::new();
    world.put_seed(NEXT);
    let receipt = world.path(paths::seed_receipt);
    let own = |uid, mode| {
        chown(&receipt, Some(uid), None).unwrap();
        fs::set_permissions(&receipt, Permissions::from_mode(mode)).unwrap();
    };
    for (uid, mode, why) in [
        (1000, 0o644, "it belongs to user 1000, not to root"),
        (0, 0o666, "its mode 0666 lets others than root write it"),
    ] {
        own(uid, mode);
        let said = world.refused();
        assert!(said.contains(why), "{said}");
        assert!(said.contains("run `armfleet apply`"), "{said}");
    }
    own(0, 0o644);
    world.start();
    assert_eq!(world.booted(), NEXT);
}
