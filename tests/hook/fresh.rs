//! Scratch disks: made anew at each start, and nothing erased that armfleet did not make.

use crate::world::{World, domain_xml};
use armfleet::files::{STATX, born_ns};
use armfleet::fleet::{DiskFormat, Handover};
use armfleet::hook::{Outcome, Verdict, prepare};
use armfleet::mark::{AppliedDevice, DeviceId, FreshDisk, Place, read_fresh_receipt, render_mark};
use armfleet::paths;
use armfleet::qcow2::Qcow2;
use armfleet::trust::End;
use rustix::fs::AtFlags;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

const SIZE: u64 = 64 << 20;
const QEMU: u32 = 64055;

/// A world that has started once, with a second disk as apply leaves it.
pub(crate) fn with_scratch(format: DiskFormat) -> World {
    let mut world = World::installed();
    world.start();
    fs::create_dir(world.outside("images")).unwrap();
    let path = image(&world);
    fs::write(&path, "").unwrap();
    let id = DeviceId::from("disk scratch".to_owned());
    let device = AppliedDevice {
        key: "vdb".to_owned(),
        place: Some(place(&path)),
        ..AppliedDevice::default()
    };
    let disk = FreshDisk {
        path: path.to_str().unwrap().parse().unwrap(),
        size: SIZE,
        format,
        backing: None,
    };
    world.record.boot.ways.insert(disk.path.clone(), End::Image);
    world.record.applied.devices.insert(id.clone(), device);
    world.record.boot.fresh.insert(id, disk);
    world.write_record();
    world
}

fn image(world: &World) -> PathBuf {
    world.outside("images/scratch.img")
}

fn place(path: &Path) -> Place {
    let stat = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), STATX).unwrap();
    Place::of_file(stat.stx_ino, born_ns(&stat))
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// What a guest does with its disk, which libvirt gives to QEMU.
pub(crate) fn write_to_scratch(world: &World) {
    let file = File::options().write(true).open(image(world)).unwrap();
    file.write_all_at(b"of the last build", 1 << 20).unwrap();
    chown(image(world), Some(QEMU), Some(QEMU)).unwrap();
}

/// Whether the disk is new, whole and empty.
pub(crate) fn assert_new(world: &World) {
    let (path, disk) = (image(world), &world.record.boot.fresh);
    let disk = disk.values().next().unwrap();
    let seen = fs::symlink_metadata(&path).unwrap();
    assert_eq!((seen.uid(), seen.mode() & 0o7777), (0, 0o600));
    let bytes = fs::read(&path).unwrap();
    match disk.format {
        DiskFormat::Raw => {
            assert_eq!((bytes.len() as u64, seen.blocks()), (disk.size, 0));
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        DiskFormat::Qcow2 => {
            let image = Qcow2::read(&bytes).unwrap().unwrap();
            assert_eq!(image.size, disk.size);
            assert!(image.is_unused(bytes.len() as u64));
        }
    }
    assert_eq!(names(world), ["scratch.img"], "no draft is left");
}

fn names(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.outside("images")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The domain with a disk at this target.
fn xml(world: &World, target: &str, source: &Path, format: &str) -> String {
    let disk = format!(
        "<devices><disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{}'/><target dev='{target}'/>\
         </disk></devices></domain>",
        source.display()
    );
    let domain = world.xml();
    let (start, _) = domain.split_once("<devices>").unwrap();
    format!("{start}{disk}")
}

fn prepare_with(world: &World, xml: &str) -> Outcome {
    prepare(&world.root, world.vm.as_str(), xml.as_bytes())
}

fn start(world: &World) -> String {
    let outcome = world.prepare();
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.text);
    outcome.text
}

fn refused(world: &World) -> String {
    let outcome = world.prepare();
    assert_eq!(outcome.verdict, Verdict::Refused, "{}", outcome.text);
    assert!(outcome.text.contains("To do: "), "{}", outcome.text);
    outcome.text
}

#[test]
fn each_start_makes_the_disk_anew() {
    for format in [DiskFormat::Raw, DiskFormat::Qcow2] {
        let world = with_scratch(format);
        let mut inodes = BTreeSet::new();
        // Held open, so that no inode number is given again.
        let mut held = vec![File::open(image(&world)).unwrap()];
        for _ in 0..3 {
            let said = start(&world);
            assert!(said.contains("made its scratch disk"), "{said}");
            assert_new(&world);
            assert!(inodes.insert(inode(&image(&world))));
            held.push(File::open(image(&world)).unwrap());
            write_to_scratch(&world);
        }
    }
}

#[test]
fn it_takes_the_size_and_format_that_the_record_has_now() {
    let mut world = with_scratch(DiskFormat::Raw);
    start(&world);
    for (size, format) in [(SIZE / 2, DiskFormat::Raw), (SIZE * 2, DiskFormat::Qcow2)] {
        let disk = world.record.boot.fresh.values_mut().next().unwrap();
        (disk.size, disk.format) = (size, format);
        world.write_record();
        start(&world);
        assert_new(&world);
    }
}

#[test]
fn a_disk_that_is_gone_is_made() {
    let world = with_scratch(DiskFormat::Raw);
    fs::remove_file(image(&world)).unwrap();
    start(&world);
    assert_new(&world);
    fs::remove_dir_all(world.outside("images")).unwrap();
    let said = refused(&world);
    assert!(said.contains("cannot use "), "{said}");
}

/// How somebody puts something else there.
type Put = fn(&Path);

#[test]
fn nothing_is_erased_that_armfleet_did_not_make() {
    let cases: [(&str, Put); 4] = [
        ("a file", |path| fs::write(path, "precious").unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a link", |path| {
            let precious = path.with_file_name("precious");
            fs::write(&precious, "precious").unwrap();
            symlink(&precious, path).unwrap();
        }),
        ("a FIFO", |path| {
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }),
    ];
    for (what, put) in cases {
        let world = with_scratch(DiskFormat::Raw);
        start(&world);
        // Held open, so that its inode number is not given again.
        let _former = File::open(image(&world)).unwrap();
        fs::remove_file(image(&world)).unwrap();
        put(&image(&world));
        let (before, seen) = (names(&world), inode(&image(&world)));
        let said = refused(&world);
        let why = format!("{} is not the scratch disk", image(&world).display());
        assert!(said.contains(&why), "{what}: {said}");
        assert_eq!(
            (names(&world), inode(&image(&world))),
            (before, seen),
            "{what}"
        );
        if image(&world).is_file() {
            let text = fs::read_to_string(image(&world)).unwrap();
            assert_eq!(text, "precious", "{what}");
        }
    }
}

#[test]
fn a_receipt_that_others_could_write_says_nothing() {
    for damage in [0, 1, 2] {
        let world = with_scratch(DiskFormat::Raw);
        start(&world);
        let receipt = world.path(paths::fresh_receipt);
        match damage {
            0 => chown(&receipt, Some(QEMU), None).unwrap(),
            1 => fs::set_permissions(&receipt, fs::Permissions::from_mode(0o666)).unwrap(),
            _ => fs::write(&receipt, "{").unwrap(),
        }
        assert!(refused(&world).contains("is not the scratch disk"));
    }
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    let receipt = world.path(paths::fresh_receipt);
    let text = fs::read_to_string(&receipt).unwrap();
    fs::write(&receipt, text.replace("fresh/1", "fresh/2")).unwrap();
    assert!(refused(&world).contains("upgrade armfleet"));
}

#[test]
fn a_restored_vm_keeps_its_disk() {
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    write_to_scratch(&world);
    let before = fs::read(image(&world)).unwrap();
    // Also where its kernel cannot be staged, and where nothing is staged at all.
    for spoil in [false, true] {
        if spoil {
            fs::remove_file(world.path(paths::current)).unwrap();
        }
        fs::write(world.path(paths::restoring), "").unwrap();
        start(&world);
        assert_eq!(fs::read(image(&world)).unwrap(), before);
    }
    start(&world);
    assert_new(&world);
}

#[test]
fn a_start_that_is_refused_erases_nothing() {
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    write_to_scratch(&world);
    let before = fs::read(image(&world)).unwrap();
    fs::remove_dir_all(world.path(paths::boot_folder)).unwrap();
    for entry in fs::read_dir(world.record.boot.share.as_str()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(refused(&world).contains("no pair of kernel"));
    assert_eq!(fs::read(image(&world)).unwrap(), before);
}

#[test]
fn a_vm_that_boots_what_was_staged_before_has_a_new_disk_all_the_same() {
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    write_to_scratch(&world);
    let foreign = world.xml().replace("armv7l", "riscv64");
    let outcome = prepare_with(&world, &foreign);
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.text);
    assert!(outcome.text.contains("boots what was staged before"));
    assert_new(&world);
}

#[test]
fn without_its_record_no_old_disk_is_shown_as_new() {
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    fs::write(world.path(paths::record), "{").unwrap();
    let said = refused(&world);
    assert!(said.contains("run `armfleet apply`"), "{said}");
}

#[test]
fn a_vm_whose_disks_are_kept_leaves_no_receipt() {
    let mut world = with_scratch(DiskFormat::Raw);
    start(&world);
    let domain = world.xml();
    write_to_scratch(&world);
    let before = fs::read(image(&world)).unwrap();
    world.record.boot.fresh.clear();
    world.write_record();
    prepare_with(&world, &domain);
    assert_eq!(fs::read(image(&world)).unwrap(), before);
    assert!(!world.path(paths::fresh_receipt).exists());
}

#[test]
fn a_domain_that_is_not_as_the_record_says_does_not_start() {
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    write_to_scratch(&world);
    let before = fs::read(image(&world)).unwrap();
    let overlay = world.outside("images/scratch.snap1");
    for xml in [
        xml(&world, "vdb", &overlay, "qcow2"),
        xml(&world, "vdb", &image(&world), "qcow2"),
    ] {
        let outcome = prepare_with(&world, &xml);
        assert_eq!(outcome.verdict, Verdict::Refused, "{}", outcome.text);
        assert!(
            outcome.text.contains("its scratch disk"),
            "{}",
            outcome.text
        );
        assert_eq!(fs::read(image(&world)).unwrap(), before);
    }
    // A disk that the domain has not got is left alone.
    let outcome = prepare_with(&world, &xml(&world, "vdc", &overlay, "qcow2"));
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.text);
    assert_eq!(fs::read(image(&world)).unwrap(), before);
    // And a domain that is not ours altogether.
    let foreign = render_mark(&"other".parse().unwrap(), &world.vm, &world.record.uuid);
    let foreign = domain_xml(world.vm.as_str(), crate::world::UUID, "armv7l", &foreign);
    let outcome = prepare_with(&world, &foreign);
    assert!(outcome.text.contains("left alone"), "{}", outcome.text);
    assert_eq!(fs::read(image(&world)).unwrap(), before);
}

#[test]
fn snapshots_within_a_disk_are_not_lost() {
    let world = with_scratch(DiskFormat::Qcow2);
    start(&world);
    let file = File::options().write(true).open(image(&world)).unwrap();
    file.write_all_at(&1u32.to_be_bytes(), 60).unwrap();
    let before = inode(&image(&world));
    let said = refused(&world);
    assert!(
        said.contains("virsh snapshot-delete armhf-vm NAME"),
        "{said}"
    );
    assert_eq!(inode(&image(&world)), before);
}

#[test]
fn a_folder_that_others_can_swap_is_not_written_to() {
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    let images = world.outside("images");
    chown(&images, Some(QEMU), None).unwrap();
    let before = inode(&image(&world));
    assert!(refused(&world).contains("it can be swapped: user 64055"));
    assert_eq!(inode(&image(&world)), before);
    // Moved away, with a link of that user's in its place.
    chown(&images, Some(0), None).unwrap();
    let elsewhere = world.outside("elsewhere");
    fs::rename(&images, &elsewhere).unwrap();
    symlink(&elsewhere, &images).unwrap();
    std::os::unix::fs::lchown(&images, Some(QEMU), None).unwrap();
    assert!(refused(&world).contains("symbolic link"));
    assert_eq!(inode(&elsewhere.join("scratch.img")), before);
}

#[test]
fn a_planted_draft_is_not_followed() {
    let world = with_scratch(DiskFormat::Raw);
    let precious = world.outside("precious");
    fs::write(&precious, "precious").unwrap();
    for draft in [".scratch.img.fresh.armfleet", ".scratch.img.armfleet"] {
        symlink(&precious, world.outside("images").join(draft)).unwrap();
    }
    start(&world);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    // The other is an apply's.
    assert_eq!(names(&world), [".scratch.img.armfleet", "scratch.img"]);
}

#[test]
fn it_is_made_for_a_vm_whose_kernel_has_its_name_in_the_share() {
    let mut world = with_scratch(DiskFormat::Raw);
    world.record.boot.handover = Handover::Link;
    world.write_record();
    start(&world);
    write_to_scratch(&world);
    start(&world);
    assert_new(&world);
}

#[test]
fn the_receipt_names_the_file_that_is_there() {
    let world = with_scratch(DiskFormat::Raw);
    start(&world);
    let receipt = fs::read(world.path(paths::fresh_receipt)).unwrap();
    let receipt = read_fresh_receipt(&receipt).unwrap();
    let path = image(&world).to_str().unwrap().parse().unwrap();
    assert!(receipt.has(&path, &place(&image(&world))));
    let mode = fs::metadata(world.path(paths::fresh_receipt))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
}
