//! Files that a later version of armfleet wrote: what is staged boots, and they stay as they are.

use crate::world::World;
use armfleet::fleet::Handover;
use armfleet::hook::{Outcome, Verdict};
use armfleet::mark::Phase;
use armfleet::paths;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

const OLD: &str = "6.1.0-48-armmp";
const NEW: &str = "6.1.0-50-armmp";

/// Where one of a world's files is.
type FileOf = fn(&World) -> PathBuf;

/// A world whose guest has been started, and has then installed another kernel.
fn upgraded(handover: Handover) -> World {
    let mut world = World::installed();
    world.record.boot.handover = handover;
    world.write_record();
    world.start();
    world.install(NEW);
    world.link_pair("", NEW);
    world
}

/// Has a file be one of the next version of its format; gives its text.
fn make_later(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let later = text.replacen("/1\"", "/2\"", 1);
    assert_ne!(text, later);
    fs::write(path, &later).unwrap();
    later
}

fn names_both(text: &str, format: &str) {
    for part in [
        format!("its format is armfleet-{format}/2"),
        format!("reads up to armfleet-{format}/1"),
    ] {
        assert!(text.contains(&part), "no `{part}` in\n{text}");
    }
}

/// The kernel's file that the domain is about to open, by what it holds.
fn boots(world: &World) -> Vec<u8> {
    fs::read(match world.record.boot.handover {
        Handover::Copy => world.path(paths::current).join("vmlinuz"),
        Handover::Link => paths::kernel_beside(&world.record.boot.share).into(),
    })
    .unwrap()
}

#[test]
fn what_is_staged_boots_whatever_file_is_of_a_later_version() {
    for handover in [Handover::Copy, Handover::Link] {
        let files: [(&str, FileOf); 3] = [
            ("record", |world| world.path(paths::record)),
            ("trials", |world| world.path(paths::trials)),
            ("pair", |world| world.path(paths::current_pair)),
        ];
        for (format, file) in files {
            let world = upgraded(handover);
            let (before, path) = (boots(&world), file(&world));
            let later = make_later(&path);
            let generations = world.generations();
            let Outcome { verdict, text } = world.prepare();
            names_both(&text, format);
            assert_eq!(fs::read_to_string(&path).unwrap(), later);
            assert_eq!(world.generations(), generations);
            assert_eq!(boots(&world), before);
            // Without its note nobody can tell whether the guest's file is still what was checked.
            let known = handover == Handover::Copy || format != "pair";
            let expected = if known {
                Verdict::Done
            } else {
                Verdict::Refused
            };
            assert_eq!(verdict, expected, "{format}: {text}");
        }
    }
}

#[test]
fn a_guest_that_replaced_its_linked_kernel_does_not_boot_that_by_a_later_record() {
    let world = upgraded(Handover::Link);
    let before = boots(&world);
    make_later(&world.path(paths::record));
    let linked: PathBuf = paths::kernel_beside(&world.record.boot.share).into();
    fs::remove_file(&linked).unwrap();
    fs::write(&linked, "the guest's own").unwrap();
    let Outcome { verdict, text } = world.prepare();
    assert_eq!(verdict, Verdict::Done, "{text}");
    assert_eq!(boots(&world), before);
}

#[test]
fn without_anything_staged_the_start_fails_and_says_what_to_do() {
    for handover in [Handover::Copy, Handover::Link] {
        let mut world = World::installed();
        world.record.boot.handover = handover;
        world.write_record();
        make_later(&world.path(paths::record));
        let text = world.refused();
        names_both(&text, "record");
        assert!(
            text.contains("To do: upgrade armfleet on this host; then start the VM again."),
            "{text}"
        );
    }
}

/// Whether the folder was taken as it is, only the record could say.
#[test]
fn a_linked_vm_of_a_later_record_does_not_start_where_its_share_can_be_swapped() {
    let world = upgraded(Handover::Link);
    make_later(&world.path(paths::record));
    assert_eq!(world.prepare().verdict, Verdict::Done);
    chown(world.outside(""), Some(1000), None).unwrap();
    world.refused();
}

#[test]
fn a_later_seed_gives_way_to_what_is_staged() {
    let mut world = World::new();
    world.put_seed(OLD);
    world.start();
    let receipt = world.path(paths::seed_receipt);
    let later = make_later(&receipt);
    let text = world.start();
    names_both(&text, "seed");
    assert_eq!(fs::read_to_string(&receipt).unwrap(), later);
    // With nothing staged there is nothing to boot.
    fs::remove_file(world.path(paths::current)).unwrap();
    names_both(&world.refused(), "seed");
}

#[test]
fn a_later_installer_is_not_booted() {
    let mut world = World::new();
    let disk = world.outside("disk.img");
    fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    world.record.phase = Phase::Installing {
        disk: disk.to_str().unwrap().parse().unwrap(),
    };
    world.write_record();
    let folder = world.path(paths::installer_folder);
    fs::create_dir_all(&folder).unwrap();
    let receipt = folder.join("installer.json");
    fs::write(&receipt, "{\"format\": \"armfleet-installer/2\"}").unwrap();
    let text = world.refused();
    names_both(&text, "installer");
    assert!(
        text.contains("To do: upgrade armfleet on this host"),
        "{text}"
    );
}
