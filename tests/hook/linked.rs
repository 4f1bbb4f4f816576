//! The handover `link`: what boots has names of root's beside the share.

use crate::world::{World, digest};
use armfleet::fleet::Handover;
use armfleet::hook::{Outcome, Verdict};
use armfleet::mark::render_record;
use armfleet::paths;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

const FIRST: &str = "6.1.0-48-armmp";
const SECOND: &str = "6.1.0-50-armmp";
const NAMES: [&str; 2] = paths::BOOTS;

fn refused(world: &World) -> String {
    let Outcome { verdict, text } = world.prepare();
    assert_eq!(verdict, Verdict::Refused, "{text}");
    text
}

fn installed() -> World {
    let mut world = World::installed();
    world.record.boot.handover = Handover::Link;
    world.write_record();
    world
}

/// What is under these names has the bytes that were checked.
fn assert_linked(world: &World) {
    let note = world.assert_bootable();
    for (name, file) in NAMES.into_iter().zip([&note.kernel, &note.initrd]) {
        let path = world.beside().join(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
        assert_eq!(digest(&fs::read(&path).unwrap()), file.sha256, "{name}");
    }
}

fn inode(path: impl AsRef<std::path::Path>) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn assert_is_the_guests(world: &World, version: &str) {
    assert_linked(world);
    for name in NAMES {
        let own = world.share(&format!("{name}-{version}"));
        assert_eq!(inode(world.beside().join(name)), inode(own));
    }
}

#[test]
fn the_names_are_the_guests_own_files_in_a_folder_of_roots() {
    let world = installed();
    let of_qemu = |version: &str| {
        let own = NAMES.map(|name| format!("{name}-{version}"));
        for name in ["", &own[0], &own[1]] {
            chown(world.share(name), Some(64055), Some(64055)).unwrap();
        }
    };
    of_qemu(FIRST);
    world.start();
    assert_is_the_guests(&world, FIRST);
    let folder = fs::metadata(world.beside()).unwrap();
    assert_eq!((folder.uid(), folder.mode() & 0o7777), (0, 0o711));
    world.start();
    assert_is_the_guests(&world, FIRST);
    world.install(SECOND);
    of_qemu(SECOND);
    world.link_pair("", SECOND);
    world.start();
    assert_is_the_guests(&world, SECOND);
    // libvirt would give a file of another user to QEMU.
    chown(world.share(&format!("vmlinuz-{SECOND}")), Some(0), Some(0)).unwrap();
    world.start();
    assert_linked(&world);
    assert_eq!(
        fs::metadata(world.beside().join("vmlinuz"))
            .unwrap()
            .nlink(),
        1
    );
    assert_eq!(fs::read_dir(world.beside()).unwrap().count(), NAMES.len());
    assert!(!world.share(paths::LINKED_KERNEL).exists());
}

/// Has the VM boot from another share.
fn move_share(world: &mut World, name: &str) {
    let share = world.outside(name);
    let _ = fs::create_dir(&share);
    world.record.boot.share = share.to_str().unwrap().parse().unwrap();
    world.write_record();
    world.install(FIRST);
    world.link_pair("", FIRST);
}

#[test]
fn what_is_beside_a_former_share_goes_once_the_vm_boots_from_another() {
    let mut world = installed();
    world.start();
    let (former, share) = (world.beside(), world.share(""));
    let before = fs::read_dir(&share).unwrap().count();
    move_share(&mut world, "other");
    assert!(former.exists());
    world.start();
    assert_is_the_guests(&world, FIRST);
    assert!(!former.exists());
    assert_eq!(fs::read_dir(&share).unwrap().count(), before);

    // Moved and then given copies, before it has started.
    let former = world.beside();
    move_share(&mut world, "third");
    world.record.boot.handover = Handover::Copy;
    world.write_record();
    world.start();
    assert!(!former.exists() && !world.beside().exists());
    assert!(!world.path(paths::linked).exists());
}

#[test]
fn what_is_beside_a_former_share_stays_where_another_vm_boots_from_it() {
    let mut world = installed();
    world.start();
    let former = world.beside();
    let folder = world.root.below("/var/lib/armfleet/vms/another");
    fs::create_dir(&folder).unwrap();
    let mut another = world.record.clone();
    another.vm = "another".parse().unwrap();
    fs::write(folder.join("record.json"), render_record(&another).unwrap()).unwrap();
    move_share(&mut world, "other");
    world.start();
    assert!(former.join(NAMES[0]).exists());
}

/// What the share has not is copied: the guest must not get at what is staged.
#[test]
fn a_seed_and_a_former_pair_are_copied() {
    let mut world = installed();
    world.start();
    for name in ["vmlinuz", "initrd.img"] {
        fs::remove_file(world.share(&format!("{name}-{FIRST}"))).unwrap();
    }
    fs::write(world.beside().join(NAMES[0]), "the guest's own idea").unwrap();
    assert!(world.start().contains("staged before"));
    assert_linked(&world);
    assert_ne!(inode(world.beside().join(NAMES[0])), world.master_inode());

    world = World::new();
    world.record.boot.handover = Handover::Link;
    world.put_seed(FIRST);
    world.start();
    assert_linked(&world);
    let share = fs::metadata(world.share("")).unwrap();
    let before = inode(world.beside().join(NAMES[0]));
    world.start();
    let seen = fs::metadata(world.beside().join(NAMES[0])).unwrap();
    assert_ne!(seen.ino(), before, "each start has its copy");
    assert_eq!((seen.uid(), seen.gid()), (0, share.gid()));
    assert_eq!((seen.mode() & 0o7777, seen.nlink()), (0o640, 1));
}

/// libvirt follows a link that it is told to boot, and gives what is behind it to QEMU.
#[test]
fn what_is_in_the_way_is_replaced_or_refused() {
    let world = installed();
    let secret = world.outside("shadow");
    fs::write(&secret, "root's").unwrap();
    fs::create_dir(world.beside()).unwrap();
    for name in NAMES {
        symlink(&secret, world.beside().join(name)).unwrap();
        symlink(&secret, world.beside().join(format!(".{name}.armfleet"))).unwrap();
    }
    world.start();
    assert_is_the_guests(&world, FIRST);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root's");
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);

    for name in NAMES
        .map(|name| [name.to_owned(), format!(".{name}.armfleet")])
        .concat()
    {
        world.install(SECOND);
        world.link_pair("", SECOND);
        let path = world.beside().join(name);
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        let text = refused(&world);
        assert!(
            text.contains(&format!("{} is a folder", path.display())),
            "{text}"
        );
        assert!(text.contains("To do: move it away: mv"), "{text}");
        fs::remove_dir(&path).unwrap();
        world.start();
        world.install(FIRST);
        world.link_pair("", FIRST);
        world.start();
    }
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    let cases: [fn(&std::path::Path); 2] = [
        |folder| chown(folder, Some(64055), None).unwrap(),
        |folder| fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap(),
    ];
    for spoil in cases {
        let world = installed();
        fs::create_dir(world.beside()).unwrap();
        spoil(&world.beside());
        let text = refused(&world);
        assert!(
            text.contains("a folder that others than root can write"),
            "{text}"
        );
        assert_eq!(fs::read_dir(world.beside()).unwrap().count(), 0);
    }
}

/// 0.1.0 had the names inside the share. Its VMs start until an apply moves them, and complain.
#[test]
fn a_definition_of_an_earlier_version_still_boots() {
    let world = installed();
    let xml = world.xml().replace(
        world.beside().join("vmlinuz").to_str().unwrap(),
        world.share(paths::LINKED_KERNEL).to_str().unwrap(),
    );
    let prepared = armfleet::hook::prepare(&world.root, world.vm.as_str(), xml.as_bytes());
    assert_eq!(prepared.verdict, Verdict::Done, "{}", prepared.text);
    assert!(
        prepared.text.contains("`armfleet apply` moves it out"),
        "{}",
        prepared.text
    );
    assert_eq!(
        inode(world.share(paths::LINKED_KERNEL)),
        inode(world.share(&format!("vmlinuz-{FIRST}")))
    );
    assert!(!world.beside().exists());
}

#[test]
fn a_vm_that_boots_copies_again_leaves_nothing_beside_its_share() {
    let mut world = installed();
    world.start();
    world.record.boot.handover = Handover::Copy;
    world.write_record();
    world.start();
    assert!(!world.beside().exists());
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
