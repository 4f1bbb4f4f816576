use super::*;
use crate::boot::{Entry, Unusual};
use crate::inventory::{Fact, FileKind, Look, RawEntry, RawFile};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// S_IFLNK with 0777, as QEMU writes it.
const LINK: [u8; 4] = [0xff, 0xa1, 0, 0];

fn seen(sandbox: &Sandbox, path: &str, look: Look) -> RawFile {
    match sandbox.host.look(path, look) {
        Fact::Present(file) => file,
        other => panic!("{path}: {other:?}"),
    }
}

fn unreadable(sandbox: &Sandbox, path: &str, look: Look) -> String {
    match sandbox.host.look(path, look) {
        Fact::Unreadable(why) => why,
        other => panic!("{path}: {other:?}"),
    }
}

/// What a receipt says of a file that was staged.
fn part(sandbox: &Sandbox, path: &str, sha256: &str) -> serde_json::Value {
    let stat = seen(sandbox, path, Look::Stat).stat;
    let time = |ns: i64| serde_json::json!([ns / 1_000_000_000, ns % 1_000_000_000]);
    serde_json::json!({ "path": path, "size": stat.size, "sha256": sha256, "file": {
        "dev": stat.dev, "ino": stat.ino, "size": stat.size,
        "mtime": time(stat.mtime_ns), "ctime": time(stat.ctime_ns),
    }})
}

#[test]
fn what_is_not_there_is_absent_and_what_cannot_be_asked_is_unreadable() {
    let sandbox = Sandbox::new();
    sandbox.file("/file", "");
    for look in [
        Look::Stat,
        Look::Digest,
        Look::Text,
        Look::Link,
        Look::Share,
        Look::Seed,
    ] {
        assert_eq!(sandbox.host.look("/none", look), Fact::Absent);
        assert_eq!(sandbox.host.look("/no/folder", look), Fact::Absent);
        assert_eq!(sandbox.host.look("/file/below", look), Fact::Absent);
        let long = format!("/{}", "x".repeat(300));
        assert!(unreadable(&sandbox, &long, look).contains("too long"));
    }
    sandbox.symlink("loop", "/loop");
    assert!(unreadable(&sandbox, "/loop/x", Look::Stat).contains("symbolic links"));
}

#[test]
fn a_stat_is_what_the_system_says_of_the_path_itself() {
    let sandbox = Sandbox::new();
    sandbox.file("/file", "12345");
    fs::set_permissions(sandbox.real("/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    sandbox.symlink("file", "/link");
    sandbox.folder("/folder");
    sandbox.fifo("/fifo");
    let kinds = ["/file", "/link", "/folder", "/fifo"]
        .map(|path| seen(&sandbox, path, Look::Stat).stat.kind);
    let wanted = [
        FileKind::File,
        FileKind::Symlink,
        FileKind::Folder,
        FileKind::Special,
    ];
    assert_eq!(kinds, wanted);
    let stat = seen(&sandbox, "/file", Look::Stat).stat;
    let real = fs::metadata(sandbox.real("/file")).unwrap();
    assert_eq!((stat.size, stat.mode), (5, 0o4751));
    assert_eq!((stat.uid, stat.gid), (real.uid(), real.gid()));
    assert_eq!((stat.dev, stat.ino), (real.dev(), real.ino()));
    assert_eq!(
        stat.mtime_ns,
        real.mtime() * 1_000_000_000 + real.mtime_nsec()
    );
    assert_eq!(
        stat.ctime_ns,
        real.ctime() * 1_000_000_000 + real.ctime_nsec()
    );
}

#[test]
fn a_closer_look_tells_more_of_what_it_is_for_and_only_the_stat_of_anything_else() {
    let sandbox = Sandbox::new();
    sandbox.file("/file", "abc");
    sandbox.symlink("file", "/link");
    sandbox.folder("/folder");
    sandbox.fifo("/fifo");
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for look in [Look::Digest, Look::Seed] {
        assert_eq!(seen(&sandbox, "/file", look).sha256.as_deref(), Some(abc));
    }
    assert_eq!(
        seen(&sandbox, "/file", Look::Text).text.as_deref(),
        Some("abc")
    );
    assert_eq!(
        seen(&sandbox, "/link", Look::Link).text.as_deref(),
        Some("file")
    );
    assert_eq!(
        seen(&sandbox, "/folder", Look::Share).entries,
        Some(Vec::new())
    );
    let others = [
        (Look::Digest, ["/link", "/folder", "/fifo"]),
        (Look::Seed, ["/link", "/folder", "/fifo"]),
        (Look::Text, ["/link", "/folder", "/fifo"]),
        (Look::Link, ["/file", "/folder", "/fifo"]),
        (Look::Share, ["/file", "/link", "/fifo"]),
        (Look::Records, ["/file", "/folder", "/link"]),
        (Look::Log, ["/folder", "/link", "/fifo"]),
    ];
    for (look, paths) in others {
        for path in paths {
            let mut stat = seen(&sandbox, path, Look::Stat);
            stat.text = stat.text.filter(|_| look.tells_target());
            assert_eq!(seen(&sandbox, path, look), stat, "{path} {look:?}");
        }
    }
}

#[test]
fn of_a_log_no_more_is_told_than_that_it_is_none() {
    let sandbox = Sandbox::new();
    let (mut disk, mut far) = (vec![b'x'; 512], vec![0; 5000]);
    disk[510..].copy_from_slice(b"\x55\xaa");
    far[4999] = 1;
    for (bytes, begins_as) in [
        (&b"[ 0.0] Kernel command line: key=secret"[..], None),
        (b"", None),
        (b"QFI\xfb", Some("a qcow2 image")),
        (&disk, Some("a disk with partitions")),
        (&far, Some("an empty disk")),
    ] {
        sandbox.file("/a.log", bytes);
        let seen = seen(&sandbox, "/a.log", Look::Log);
        assert_eq!(seen.begins_as.as_deref(), begins_as);
        assert_eq!((seen.head, seen.text, seen.sha256), (None, None, None));
        assert_eq!(seen.stat.links, Some(1));
    }
    fs::hard_link(sandbox.real("/a.log"), sandbox.real("/b.log")).unwrap();
    assert_eq!(seen(&sandbox, "/a.log", Look::Log).stat.links, Some(2));
}

#[test]
fn a_text_is_utf8_and_at_most_a_mebibyte() {
    let sandbox = Sandbox::new();
    sandbox.file("/most", vec![b'x'; 1 << 20]);
    sandbox.file("/more", vec![b'x'; (1 << 20) + 1]);
    sandbox.file("/bytes", b"\xff\xfe");
    assert_eq!(
        seen(&sandbox, "/most", Look::Text)
            .text
            .map(|text| text.len()),
        Some(1 << 20)
    );
    for (path, why) in [
        ("/more", "it is larger than 1 MiB"),
        ("/bytes", "it is not UTF-8 text"),
    ] {
        let file = seen(&sandbox, path, Look::Text);
        assert_eq!((file.text, file.no_text.as_deref()), (None, Some(why)));
    }
}

#[test]
fn a_file_too_large_to_hash_is_not_hashed() {
    let sandbox = Sandbox::new();
    sandbox
        .host
        .create_image("/disk", &[], (1 << 30) + 1)
        .unwrap();
    let why = unreadable(&sandbox, "/disk", Look::Digest);
    assert_eq!(
        why,
        "it has 1073741825 bytes, more than the 1073741824 that are allowed"
    );
}

#[test]
fn the_digest_of_an_unchanged_seed_is_its_receipts() {
    let sandbox = Sandbox::new();
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
    for path in ["/vmlinuz", "/initrd", "/other"] {
        sandbox.file(path, "abc");
    }
    for vm in ["broken", "-no-name", "without", "vm"] {
        sandbox.folder(&format!("/var/lib/armfleet/vms/{vm}/boot/seed"));
    }
    sandbox.file("/var/lib/armfleet/vms/broken/boot/seed/seed.json", "{");
    // Digests that the files do not have show where they come from.
    let receipt = serde_json::json!({ "format": "armfleet-seed/1",
        "kernel": part(&sandbox, "/vmlinuz", &zeros), "initrd": part(&sandbox, "/initrd", &ones) });
    let path = "/var/lib/armfleet/vms/vm/boot/seed/seed.json";
    sandbox.file(path, receipt.to_string());

    let digest = |path| seen(&sandbox, path, Look::Seed).sha256.unwrap();
    assert_eq!((digest("/vmlinuz"), digest("/initrd")), (zeros, ones));
    assert_eq!(digest("/other"), abc);
    assert_eq!(
        seen(&sandbox, "/vmlinuz", Look::Digest).sha256.unwrap(),
        abc
    );
    // Touching it changes its times, and another file of its size its inode.
    fs::set_permissions(sandbox.real("/vmlinuz"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(sandbox.real("/other"), sandbox.real("/initrd")).unwrap();
    assert_eq!(
        (digest("/vmlinuz"), digest("/initrd")),
        (abc.to_owned(), abc.to_owned())
    );
}

#[test]
fn a_seed_is_checked_until_an_initrd_was_staged() {
    let sandbox = Sandbox::new();
    for path in ["/vmlinuz", "/initrd", "/equal"] {
        sandbox.file(path, "no part of a boot pair");
    }
    sandbox.folder("/var/lib/armfleet/vms/vm/boot/seed");
    let unfit = |path, look| {
        seen(&sandbox, path, look)
            .unfit
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(unfit("/vmlinuz", Look::Seed), [""; 0]);
    let initrd = seen(&sandbox, "/initrd", Look::SeedInitrd);
    assert!(initrd.unfit["armhf"].starts_with("from byte 0 on it is not an initrd"));
    let sha256 = initrd.sha256.unwrap();
    let receipt = serde_json::json!({ "format": "armfleet-seed/1",
        "kernel": part(&sandbox, "/vmlinuz", &sha256), "initrd": part(&sandbox, "/initrd", &sha256) });
    let path = "/var/lib/armfleet/vms/vm/boot/seed/seed.json";
    sandbox.file(path, receipt.to_string());

    // Receipts are read once.
    let root = sandbox.root;
    let host = SystemHost::open("test:///default", root.path()).unwrap();
    let later = Sandbox { host, root };
    let unfit = |path, look| {
        seen(&later, path, look)
            .unfit
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(unfit("/initrd", Look::SeedInitrd), [""; 0]);
    assert_eq!(unfit("/equal", Look::SeedInitrd), [""; 0]);
    assert_eq!(unfit("/vmlinuz", Look::SeedKernel), ["arm64", "armhf"]);
}

#[test]
fn records_are_those_that_exist_sorted() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.host.records("/vms"), Ok(Vec::new()));
    for vm in ["b", "a", "without"] {
        sandbox.folder(&format!("/vms/{vm}"));
    }
    sandbox.file("/vms/b/record.json", "{}");
    sandbox.file("/vms/a/record.json", "{}");
    sandbox.file("/vms/plain", "");
    let records = vec![
        "/vms/a/record.json".to_owned(),
        "/vms/b/record.json".to_owned(),
    ];
    assert_eq!(sandbox.host.records("/vms"), Ok(records));
    assert_eq!(
        kind(sandbox.host.records("/vms/plain")),
        CallErrorKind::Other
    );
}

fn entries(sandbox: &Sandbox) -> Vec<RawEntry> {
    seen(sandbox, "/boot", Look::Share).entries.unwrap()
}

fn entry(sandbox: &Sandbox, name: &str) -> RawEntry {
    let mut all = entries(sandbox).into_iter();
    all.find(|entry| entry.name == name).unwrap()
}

#[test]
fn a_share_as_a_guest_leaves_it_is_listed_with_its_mapped_links() {
    let sandbox = Sandbox::new();
    sandbox.folder("/boot/grub");
    sandbox.file("/boot/vmlinuz-6.1.0-50-armmp", "kernel");
    sandbox.mapped("/boot/vmlinuz", "vmlinuz-6.1.0-50-armmp", &LINK);
    sandbox.mapped("/boot/config", "text", &[0xa4, 0x81, 0, 0]);
    let seen = entries(&sandbox);
    let names: Vec<_> = seen.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(
        names,
        ["config", "grub", "vmlinuz", "vmlinuz-6.1.0-50-armmp"]
    );
    let links: Vec<_> = seen.iter().map(|entry| entry.link.as_deref()).collect();
    assert_eq!(links, [None, None, Some("vmlinuz-6.1.0-50-armmp"), None]);
    assert_eq!(seen[1].stat.kind, FileKind::Folder);
    assert_eq!(seen[3].stat.size, 6);
}

#[test]
fn real_links_and_fifos_in_a_share_are_named_and_neither_followed_nor_opened() {
    let sandbox = Sandbox::new();
    sandbox.folder("/boot");
    sandbox.mapped("/secret", "secret", &LINK);
    sandbox.symlink("../secret", "/boot/vmlinuz");
    sandbox.symlink("/etc/shadow", "/boot/initrd.img");
    sandbox.fifo("/boot/fifo");
    for (name, kind) in [
        ("vmlinuz", FileKind::Symlink),
        ("initrd.img", FileKind::Symlink),
        ("fifo", FileKind::Special),
    ] {
        let entry = entry(&sandbox, name);
        assert_eq!((entry.stat.kind, entry.link), (kind, None), "{name}");
    }
}

#[test]
fn a_share_that_is_itself_a_link_is_not_entered() {
    let sandbox = Sandbox::new();
    sandbox.folder("/elsewhere");
    sandbox.file("/elsewhere/secret", "");
    sandbox.symlink("elsewhere", "/boot");
    let share = seen(&sandbox, "/boot", Look::Share);
    assert_eq!((share.stat.kind, share.entries), (FileKind::Symlink, None));
}

#[test]
fn only_text_of_at_most_4095_bytes_with_the_mode_of_a_link_is_a_mapped_link() {
    let sandbox = Sandbox::new();
    sandbox.folder("/boot");
    sandbox.mapped("/boot/longest", "x".repeat(4095), &LINK);
    sandbox.mapped("/boot/empty", "", &LINK);
    sandbox.mapped("/boot/odd", "a\nb\0", &LINK);
    for (name, length) in [("longest", 4095), ("empty", 0), ("odd", 4)] {
        assert_eq!(
            entry(&sandbox, name).link.map(|text| text.len()),
            Some(length),
            "{name}"
        );
    }
    sandbox.mapped("/boot/longer", "x".repeat(4096), &LINK);
    sandbox.mapped("/boot/bytes", b"\xff", &LINK);
    sandbox.mapped("/boot/short-mode", "x", &LINK[..2]);
    sandbox.mapped("/boot/long-mode", "x", &[0xff, 0xa1, 0, 0, 0]);
    sandbox.mapped("/boot/no-mode", "x", &[]);
    sandbox.mapped("/boot/file-mode", "x", &[0xff, 0x81, 0, 0]);
    sandbox.mapped("/boot/huge", "", &LINK);
    let huge = fs::File::options()
        .write(true)
        .open(sandbox.real("/boot/huge"))
        .unwrap();
    huge.set_len(1 << 40).unwrap();
    for (name, is) in [
        ("longer", Entry::Link(vec![b'x'; 4096])),
        ("bytes", Entry::Link(b"\xff".to_vec())),
        ("huge", Entry::Link(vec![0; 4096])),
        ("short-mode", Entry::Unusual(Unusual::GuestSpecial)),
        ("long-mode", Entry::Unusual(Unusual::GuestSpecial)),
        ("no-mode", Entry::Unusual(Unusual::GuestSpecial)),
        ("file-mode", Entry::File(1)),
    ] {
        let seen = entry(&sandbox, name);
        assert_eq!((seen.link.as_ref(), seen.entry()), (None, is), "{name}");
    }
}

#[test]
fn names_of_a_share_that_are_no_text_are_listed_and_are_no_candidates() {
    let sandbox = Sandbox::new();
    sandbox.folder("/boot");
    let bytes = sandbox
        .real("/boot")
        .join(std::ffi::OsStr::from_bytes(b"vmlinuz-\xff"));
    fs::write(bytes, "").unwrap();
    sandbox.file("/boot/-a -- $(x)\n", "");
    let share = seen(&sandbox, "/boot", Look::Share);
    assert!(share.listing().entries.is_empty());
    let names = share.entries.into_iter().flatten().map(|entry| entry.name);
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["-a -- $(x)\n", "vmlinuz-\u{fffd}"]
    );
}

#[test]
fn a_share_of_more_than_4096_names_is_cut_but_for_its_links() {
    let sandbox = Sandbox::new();
    sandbox.folder("/boot");
    for number in 0..4096 {
        sandbox.file(&format!("/boot/{number}"), "");
    }
    assert!(!seen(&sandbox, "/boot", Look::Share).cut);
    sandbox.mapped("/boot/vmlinuz", "vmlinuz-1-a", &LINK);
    sandbox.file("/boot/vmlinuz-1-a", "kernel");
    let share = seen(&sandbox, "/boot", Look::Share);
    assert!(share.cut && share.listing().cut);
    for name in ["vmlinuz", "vmlinuz-1-a"] {
        assert!(share.listing().entries.contains_key(name), "{name}");
    }
}

#[test]
fn looking_leaves_everything_as_it_was() {
    let sandbox = Sandbox::new();
    sandbox.folder("/boot");
    sandbox.mapped("/boot/vmlinuz", "x", &LINK);
    let before = (
        sandbox.names(),
        seen(&sandbox, "/boot/vmlinuz", Look::Digest),
    );
    entries(&sandbox);
    assert_eq!(
        (
            sandbox.names(),
            seen(&sandbox, "/boot/vmlinuz", Look::Digest)
        ),
        before
    );
}

#[test]
fn a_sparse_image_has_less_of_its_file_system_than_its_size() {
    let sandbox = Sandbox::new();
    let image = sandbox.root.path().join("image");
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1; 1 << 16], 1 << 20).unwrap();
    file.sync_all().unwrap();
    let seen = seen(&sandbox, "/image", Look::Image);
    let allocated = seen.allocated.unwrap();
    assert!((1 << 16..1 << 20).contains(&allocated), "{allocated}");
}

#[test]
fn a_folder_tells_its_file_system_and_a_program_what_runs_it() {
    let sandbox = Sandbox::new();
    sandbox.folder("/folder");
    sandbox.file("/script", "#!/bin/sh -e\nexit 0\n");
    sandbox.file("/program", "\x7fELF…");
    sandbox.folder("/proc");
    sandbox.folder("/proc/self");
    let mounts = "1 0 254:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /folder rw - tmpfs none rw\n3 1 0:6 / /folder rw - nfs4 a:/b rw\n";
    sandbox.file("/proc/self/mountinfo", mounts);
    for (path, kind, at) in [("/proc", "ext4", "/"), ("/folder", "nfs4", "/folder")] {
        let place = seen(&sandbox, path, Look::Place).file_system.unwrap();
        assert_eq!((place.kind.as_str(), place.at.as_str()), (kind, at));
        assert_eq!(place.user_attributes, Fact::Present(true));
        assert!(place.free.is_some());
    }
    let script = seen(&sandbox, "/script", Look::Program);
    assert_eq!(script.text.as_deref(), Some("#!/bin/sh -e"));
    let program = seen(&sandbox, "/program", Look::Program);
    assert_eq!(
        (program.text, program.head.as_deref()),
        (None, Some("7f454c46"))
    );
}
