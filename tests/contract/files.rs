//! What the file calls do.

use armfleet::fleet::DiskFormat;
use armfleet::host::primitives::{CallError, CallErrorKind, ImageSize, Primitives};
use armfleet::inventory::{Fact, FileKind, Look, RawFile};
use armfleet::plan::BaseFile;
use std::time::Duration;

/// Runs the suite on a host that has empty folders `/srv`, `/run` and `/var/lib`.
pub(crate) fn contract(host: &dyn Primitives) {
    type Check = (&'static str, fn(&dyn Primitives));
    let checks: [Check; 12] = [
        ("a folder is made once, with its mode", folders),
        ("a file is written whole, in place of another", writing),
        ("a folder is never written over", folder_in_the_way),
        ("an image is made where nothing is", images),
        ("a base image is copied where nothing is", copying_images),
        ("an image grows from the size that it has", growing),
        ("a copy tells what it copied", copying),
        ("lines are appended", appending),
        ("files are renamed", renaming),
        (
            "of armfleet's own folders only what is named is removed",
            removing,
        ),
        ("a folder and a generation are looked into", looking_inside),
        ("a lock is held once", locking),
    ];
    for (name, check) in checks {
        println!("contract: {name}");
        check(host);
    }
}

fn seen(host: &dyn Primitives, path: &str, look: Look) -> RawFile {
    match host.look(path, look) {
        Fact::Present(file) => file,
        other => panic!("{path}: {other:?}"),
    }
}

fn text(host: &dyn Primitives, path: &str) -> Option<String> {
    seen(host, path, Look::Text).text
}

fn kind<T>(result: Result<T, CallError>) -> CallErrorKind {
    result.map(drop).unwrap_err().kind
}

fn folders(host: &dyn Primitives) {
    assert_eq!(host.look("/srv/a", Look::Stat), Fact::Absent);
    host.make_folder("/srv/a", 0o711, None).unwrap();
    let made = seen(host, "/srv/a", Look::Stat).stat;
    assert_eq!((made.kind, made.mode), (FileKind::Folder, 0o711));
    assert_eq!(
        kind(host.make_folder("/srv/a", 0o700, None)),
        CallErrorKind::Exists
    );
    assert_eq!(
        kind(host.make_folder("/srv/none/a", 0o700, None)),
        CallErrorKind::Missing
    );
    assert_eq!(seen(host, "/srv/a", Look::Stat).stat.mode, 0o711);
}

fn writing(host: &dyn Primitives) {
    let write = |text: &str, mode| host.write_file("/srv/w", "/srv", text.as_bytes(), mode);
    write("one", 0o600).unwrap();
    let before = seen(host, "/srv/w", Look::Stat).stat;
    write("two", 0o644).unwrap();
    let after = seen(host, "/srv/w", Look::Stat).stat;
    assert_eq!(text(host, "/srv/w").as_deref(), Some("two"));
    assert_eq!(
        (before.mode, after.mode, after.kind),
        (0o600, 0o644, FileKind::File)
    );
    assert_ne!(before.ino, after.ino);
    assert!(after.ctime_ns >= before.ctime_ns);
    let digest = seen(host, "/srv/w", Look::Digest).sha256;
    let two = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    assert_eq!(digest.as_deref(), Some(two));
    assert_eq!(
        kind(host.write_file("/srv/w", "/srv/none", b"", 0o600)),
        CallErrorKind::Missing
    );
    let unfit = |look| seen(host, "/srv/w", look).unfit;
    assert!(unfit(Look::Seed).is_empty());
    let unfit = [Look::SeedKernel, Look::SeedInitrd].map(|look| unfit(look).into_values().next());
    let why = [
        r#"it is unknown (it begins with "two"), not a kernel for aarch64"#,
        r#"from byte 0 on it is not an initrd: "two""#,
    ];
    assert_eq!(unfit, why.map(|why| Some(why.to_owned())));
    host.remove_file("/srv/w").unwrap();
    host.remove_file("/srv/w").unwrap();
    assert_eq!(host.look("/srv/w", Look::Text), Fact::Absent);
}

fn folder_in_the_way(host: &dyn Primitives) {
    host.make_folder("/srv/way", 0o700, None).unwrap();
    host.write_file("/srv/way/kept", "/srv", b"kept", 0o600)
        .unwrap();
    assert!(host.write_file("/srv/way", "/srv", b"", 0o600).is_err());
    assert!(host.remove_file("/srv/way").is_err());
    assert_eq!(
        kind(host.create_image("/srv/way", &[], 1)),
        CallErrorKind::Exists
    );
    assert_eq!(text(host, "/srv/way/kept").as_deref(), Some("kept"));
    let below_a_file = host.look("/srv/way/kept/x", Look::Stat);
    assert_eq!(below_a_file, Fact::Absent);
}

fn images(host: &dyn Primitives) {
    host.create_image("/srv/i.img", &[], 8 << 30).unwrap();
    let made = seen(host, "/srv/i.img", Look::Stat).stat;
    assert_eq!(
        (made.kind, made.size, made.mode),
        (FileKind::File, 8 << 30, 0o600)
    );
    assert_eq!(
        kind(host.create_image("/srv/i.img", &[], 1)),
        CallErrorKind::Exists
    );
    assert_eq!(seen(host, "/srv/i.img", Look::Stat).stat, made);
    assert_eq!(
        kind(host.create_image("/srv/none/i.img", &[], 1)),
        CallErrorKind::Missing
    );
}

fn copying_images(host: &dyn Primitives) {
    const PATH: &str = "/srv/base.img";
    host.create_image(PATH, b"a base image", 3 << 20).unwrap();
    let base = |sha256: Option<&str>| {
        let file = seen(host, PATH, Look::Digest);
        BaseFile {
            path: PATH.parse().unwrap(),
            ino: file.stat.ino,
            size: file.stat.size,
            mtime_ns: file.stat.mtime_ns,
            sha256: sha256.map(|sha256| sha256.parse().unwrap()),
        }
    };
    let grown = |to| ImageSize {
        format: DiskFormat::Raw,
        to,
    };
    let digest = seen(host, PATH, Look::Digest).sha256.unwrap();
    let known = base(Some(&digest));
    host.copy_image(&known, PATH, "/srv/copy.img", grown(5 << 20))
        .unwrap();
    let copy = seen(host, "/srv/copy.img", Look::Image);
    assert_eq!((copy.stat.size, copy.stat.mode), (5 << 20, 0o600));
    assert!(copy.head.unwrap().starts_with("612062617365"));
    host.copy_image(&base(None), PATH, "/srv/same.img", grown(1))
        .unwrap();
    let same = seen(host, "/srv/same.img", Look::Digest);
    assert_eq!(same.sha256.as_ref(), Some(&digest));

    // What is there stays, and what is not to be copied leaves nothing.
    let again = host.copy_image(&known, PATH, "/srv/same.img", grown(5 << 20));
    assert_eq!(kind(again), CallErrorKind::Exists);
    assert_eq!(seen(host, "/srv/same.img", Look::Digest).stat, same.stat);
    let other = base(Some(&"0".repeat(64)));
    let wrong = host.copy_image(&other, PATH, "/srv/no.img", grown(1));
    let why = wrong.unwrap_err().why;
    assert!(
        why.contains(&digest) && why.contains(&"0".repeat(64)),
        "{why}"
    );
    let stale = BaseFile {
        mtime_ns: 1,
        ..base(None)
    };
    let stale = host.copy_image(&stale, PATH, "/srv/no.img", grown(1));
    assert_eq!(kind(stale), CallErrorKind::Changed);
    let raw = host.copy_image(
        &base(None),
        PATH,
        "/srv/no.img",
        ImageSize {
            format: DiskFormat::Qcow2,
            to: 8 << 20,
        },
    );
    raw.unwrap_err();
    assert_eq!(host.look("/srv/no.img", Look::Stat), Fact::Absent);
    let missing = host.copy_image(&base(None), "/srv/none.img", "/srv/no.img", grown(1));
    assert_eq!(kind(missing), CallErrorKind::Missing);
}

fn growing(host: &dyn Primitives) {
    host.create_image("/srv/g.img", &[], 1 << 20).unwrap();
    let size = || seen(host, "/srv/g.img", Look::Stat).stat.size;
    assert!(host.grow_image("/srv/g.img", 2 << 20, 4 << 20).is_err());
    assert!(host.grow_image("/srv/g.img", 1 << 20, 1 << 19).is_err());
    assert_eq!(size(), 1 << 20);
    host.grow_image("/srv/g.img", 1 << 20, 4 << 20).unwrap();
    assert_eq!(size(), 4 << 20);
    assert_eq!(
        kind(host.grow_image("/srv/none.img", 0, 1)),
        CallErrorKind::Missing
    );
}

fn copying(host: &dyn Primitives) {
    host.write_file("/srv/from", "/srv", b"bytes", 0o644)
        .unwrap();
    let from = seen(host, "/srv/from", Look::Digest);
    let copied = host.copy_file("/srv/from", "/srv/to", 5, 0o600).unwrap();
    assert_eq!(
        (Some(copied.sha256), copied.source),
        (from.sha256, from.stat)
    );
    assert_eq!(seen(host, "/srv/to", Look::Stat).stat.mode, 0o600);
    assert_eq!(text(host, "/srv/to").as_deref(), Some("bytes"));
    assert!(host.copy_file("/srv/from", "/srv/to", 4, 0o600).is_err());
    assert!(host.copy_file("/srv", "/srv/to", 4, 0o600).is_err());
    assert_eq!(text(host, "/srv/to").as_deref(), Some("bytes"));
    assert_eq!(
        kind(host.copy_file("/srv/none", "/srv/to", 4, 0o600)),
        CallErrorKind::Missing
    );
}

fn appending(host: &dyn Primitives) {
    for line in ["one", "two"] {
        host.append_line("/srv/lines", line).unwrap();
    }
    assert_eq!(text(host, "/srv/lines").as_deref(), Some("one\ntwo\n"));
    assert_eq!(seen(host, "/srv/lines", Look::Stat).stat.mode, 0o600);
}

fn renaming(host: &dyn Primitives) {
    for (path, text) in [("/srv/one", "1"), ("/srv/two", "2")] {
        host.write_file(path, "/srv", text.as_bytes(), 0o600)
            .unwrap();
    }
    host.rename_file("/srv/one", "/srv/two").unwrap();
    assert_eq!(text(host, "/srv/two").as_deref(), Some("1"));
    assert_eq!(host.look("/srv/one", Look::Text), Fact::Absent);
    let gone = host.rename_file("/srv/one", "/srv/two");
    assert_eq!(kind(gone), CallErrorKind::Missing);
}

fn removing(host: &dyn Primitives) {
    for path in ["/var/lib/armfleet", "/var/lib/armfleet/vms"] {
        host.make_folder(path, 0o711, None).unwrap();
    }
    let record = "/var/lib/armfleet/vms/a/record.json";
    assert_eq!(host.records("/var/lib/armfleet/vms").unwrap().len(), 0);
    host.make_folder("/var/lib/armfleet/vms/a", 0o711, None)
        .unwrap();
    host.make_folder("/var/lib/armfleet/vms/b", 0o711, None)
        .unwrap();
    host.write_file(record, "/var/lib/armfleet/vms/a", b"{}", 0o600)
        .unwrap();
    assert_eq!(host.records("/var/lib/armfleet/vms").unwrap(), [record]);
    assert_eq!(host.records("/var/lib/none").unwrap().len(), 0);
    for path in [
        "/srv/a",
        "/var/lib/armfleet",
        "/var/lib/armfleet/../../../srv",
    ] {
        assert!(host.remove_folder(path, &["a"]).is_err(), "{path}");
    }
    for beside in [
        "/srv/.armfleet-a",
        "/srv/../srv/.armfleet-a",
        "/srv/.armfleet-a/in",
    ] {
        let removed = host.remove_folder(beside, &["a"]);
        assert_eq!(removed.is_ok(), beside == "/srv/.armfleet-a", "{removed:?}");
    }
    let a = "/var/lib/armfleet/vms/a";
    host.write_file(&format!("{a}/notes"), a, b"", 0o600)
        .unwrap();
    assert_eq!(host.remove_folder(a, &["record.json"]).unwrap(), ["notes"]);
    for _ in 0..2 {
        assert!(host.remove_folder(a, &["notes"]).unwrap().is_empty());
    }
    assert_eq!(host.look(record, Look::Text), Fact::Absent);
    assert_eq!(seen(host, "/srv", Look::Stat).stat.kind, FileKind::Folder);
}

fn looking_inside(host: &dyn Primitives) {
    let boot = "/var/lib/armfleet/vms/b/boot";
    for path in [
        boot,
        &format!("{boot}/g"),
        &format!("{boot}/g/0123456789abcdef"),
    ] {
        host.make_folder(path, 0o711, None).unwrap();
    }
    let names = |path: &str, look| -> Vec<String> {
        let entries = seen(host, path, look).entries.unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    };
    assert_eq!(names(boot, Look::Folder), ["g"]);
    assert_eq!(
        names(&format!("{boot}/g"), Look::Folder),
        ["0123456789abcdef"]
    );
    let nowhere = host.look(&format!("{boot}/current"), Look::Generation);
    assert_eq!(nowhere, Fact::Absent);
    let through = host.look(&format!("{boot}/current/pair.json"), Look::Text);
    assert_eq!(through, Fact::Absent);
    let long = vec![b'x'; (1 << 20) + 1];
    for (bytes, why) in [
        (&b"\xff"[..], "it is not UTF-8 text"),
        (&long, "it is larger than 1 MiB"),
    ] {
        host.write_file("/srv/odd", "/srv", bytes, 0o600).unwrap();
        let odd = seen(host, "/srv/odd", Look::Text);
        assert_eq!((odd.text, odd.no_text.as_deref()), (None, Some(why)));
    }
}

fn locking(host: &dyn Primitives) {
    let path = "/run/armfleet/vm/a.lock";
    let held = host.lock(path, "one", Duration::ZERO).unwrap();
    let refused = host.lock(path, "two", Duration::ZERO).err().unwrap();
    assert_eq!(refused.kind, CallErrorKind::Locked);
    assert!(refused.why.ends_with("is held by one"), "{refused}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| host.lock(path, "three", Duration::from_secs(60)));
        drop(held);
        assert!(waiting.join().unwrap().is_ok());
    });
    assert!(host.lock(path, "four", Duration::ZERO).is_ok());
}
