use super::*;
use crate::files::Root;
use crate::files::{
    ChangedMeanwhile, OpenFile as _, copy_hashed, digest_unchanged, open_plain, read_hashed,
};
use crate::host::primitives::Owner;
use crate::host::system::files::{folder, process};
use crate::inventory::{Fact, Look};
use crate::qcow2::{Qcow2, new_qcow2};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// An owner that this user may give files to; another one where that is possible.
fn owner() -> Owner {
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    if uid.is_root() {
        return Owner {
            uid: 64055,
            gid: 64056,
        };
    }
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    Owner { uid, gid }
}

#[test]
fn a_folder_gets_exactly_its_mode_and_owner() {
    let sandbox = Sandbox::new();
    let owner = owner();
    for (path, mode) in [("/a", 0o777), ("/b", 0o711), ("/c", 0o2775)] {
        sandbox.host.make_folder(path, mode, Some(owner)).unwrap();
        let stat = stat(&sandbox, path);
        assert_eq!(
            (stat.mode, stat.uid, stat.gid),
            (mode, owner.uid, owner.gid)
        );
    }
    sandbox.host.make_folder("/d", 0o700, None).unwrap();
    assert_eq!(stat(&sandbox, "/d").uid, rustix::process::getuid().as_raw());
}

#[test]
fn a_folder_is_made_only_where_nothing_has_its_name_and_its_parent_is() {
    let sandbox = Sandbox::new();
    sandbox.folder("/folder");
    sandbox.file("/file", "kept");
    sandbox.symlink("nowhere", "/link");
    let before = stat(&sandbox, "/folder");
    for path in ["/folder", "/file", "/link"] {
        let made = sandbox.host.make_folder(path, 0o777, Some(owner()));
        assert_eq!(kind(made), CallErrorKind::Exists);
    }
    assert_eq!(stat(&sandbox, "/folder"), before);
    assert_eq!(
        kind(sandbox.host.make_folder("/no/parent", 0o700, None)),
        CallErrorKind::Missing
    );
    assert_eq!(sandbox.names(), ["file", "folder/", "link"]);
}

#[test]
fn owner_and_mode_are_set_on_a_folder_alone() {
    let sandbox = Sandbox::new();
    sandbox.folder("/folder/inside");
    sandbox.file("/folder/file", "");
    sandbox.symlink("folder", "/link");
    let inside = (
        stat(&sandbox, "/folder/inside"),
        stat(&sandbox, "/folder/file"),
    );
    for path in ["/link", "/folder/file"] {
        let set = sandbox.host.set_folder_owner(path, 0o700, owner());
        assert_eq!(kind(set), CallErrorKind::Other, "{path}");
    }
    assert_eq!(
        kind(sandbox.host.set_folder_owner("/none", 0o700, owner())),
        CallErrorKind::Missing
    );
    sandbox
        .host
        .set_folder_owner("/folder", 0o700, owner())
        .unwrap();
    let folder = stat(&sandbox, "/folder");
    assert_eq!(
        (folder.mode, folder.uid, folder.gid),
        (0o700, owner().uid, owner().gid)
    );
    assert_eq!(
        (
            stat(&sandbox, "/folder/inside"),
            stat(&sandbox, "/folder/file")
        ),
        inside
    );
}

#[test]
fn a_folder_is_tried_for_extended_attributes_and_nothing_stays() {
    let sandbox = Sandbox::new();
    sandbox.folder("/srv");
    sandbox.host.probe_xattr("/srv").unwrap();
    assert_eq!(sandbox.names(), ["srv/"]);
    assert_eq!(
        kind(sandbox.host.probe_xattr("/none")),
        CallErrorKind::Missing
    );
    // Another cause is not called a lack of attributes.
    let proc = folder::probe_xattr(&Root::host(), "/proc").unwrap_err();
    assert!(proc.why.starts_with("/proc: No such file"), "{proc}");
}

#[test]
fn a_written_file_replaces_what_has_its_name_and_leaves_no_draft() {
    let sandbox = Sandbox::new();
    sandbox.folder("/hooks");
    sandbox.folder("/scratch");
    sandbox.file("/elsewhere", "kept");
    sandbox.symlink("../elsewhere", "/hooks/link");
    fs::hard_link(sandbox.real("/elsewhere"), sandbox.real("/hooks/hard")).unwrap();
    for path in ["/hooks/new", "/hooks/new", "/hooks/link", "/hooks/hard"] {
        sandbox
            .host
            .write_file(path, "/scratch", b"written", 0o777)
            .unwrap();
        assert_eq!(text(&sandbox, path), "written");
        assert_eq!(stat(&sandbox, path).mode, 0o777);
    }
    assert_eq!(text(&sandbox, "/elsewhere"), "kept");
    let names = [
        "elsewhere",
        "hooks/",
        "hooks/hard",
        "hooks/link",
        "hooks/new",
        "scratch/",
    ];
    assert_eq!(sandbox.names(), names);
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing_and_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.folder("/folder/inside");
    let write = |path, scratch| kind(sandbox.host.write_file(path, scratch, b"x", 0o600));
    assert_ne!(write("/folder", "/"), CallErrorKind::Missing);
    assert_eq!(write("/none/file", "/"), CallErrorKind::Missing);
    assert_eq!(write("/file", "/none"), CallErrorKind::Missing);
    assert_eq!(sandbox.names(), ["folder/", "folder/inside/"]);
}

#[test]
fn an_image_is_created_sparse_and_for_its_owner_alone() {
    let sandbox = Sandbox::new();
    sandbox.host.create_image("/vm.img", &[], 8 << 30).unwrap();
    let real = fs::metadata(sandbox.real("/vm.img")).unwrap();
    assert_eq!((real.size(), real.blocks(), real.nlink()), (8 << 30, 0, 1));
    assert_eq!(real.permissions().mode() & 0o7777, 0o600);
    assert_eq!(sandbox.names(), ["vm.img"]);
}

#[test]
fn an_image_is_never_created_over_anything() {
    let sandbox = Sandbox::new();
    sandbox.file("/file", "kept");
    sandbox.folder("/folder");
    sandbox.symlink("target", "/dangling");
    for path in ["/file", "/folder", "/dangling"] {
        assert_eq!(
            kind(sandbox.host.create_image(path, &[], 1)),
            CallErrorKind::Exists,
            "{path}"
        );
    }
    assert_eq!(
        kind(sandbox.host.create_image("/none/img", &[], 1)),
        CallErrorKind::Missing
    );
    assert_eq!(
        kind(sandbox.host.create_image("/img", &[], u64::MAX)),
        CallErrorKind::Other
    );
    assert_eq!(text(&sandbox, "/file"), "kept");
    assert_eq!(sandbox.names(), ["dangling", "file", "folder/"]);
}

#[test]
fn a_qcow2_image_grows_in_its_header_alone() {
    const GIB: u64 = 1 << 30;
    let sandbox = Sandbox::new();
    let (head, bytes) = new_qcow2(GIB, None);
    sandbox
        .host
        .create_image("/vm.qcow2", &head, bytes)
        .unwrap();
    let before = fs::read(sandbox.real("/vm.qcow2")).unwrap();
    assert_eq!(before.len() as u64, bytes);
    assert_eq!(&before[..head.len()], head);
    assert!(before[head.len()..].iter().all(|byte| *byte == 0));
    sandbox.host.grow_qcow2("/vm.qcow2", GIB, 3 * GIB).unwrap();
    let after = fs::read(sandbox.real("/vm.qcow2")).unwrap();
    let seen = Qcow2::read(&after).unwrap().unwrap();
    assert_eq!(seen.size, 3 * GIB);
    let differing = before
        .iter()
        .zip(&after)
        .filter(|(one, other)| one != other);
    assert_eq!((differing.count(), after.len()), (1, before.len()));
    for (from, to) in [(GIB, 2 * GIB), (3 * GIB, GIB), (3 * GIB, 5 << 40)] {
        let grown = sandbox.host.grow_qcow2("/vm.qcow2", from, to);
        assert_eq!(kind(grown), CallErrorKind::Other, "{from} {to}");
    }
    sandbox.file("/raw", "QFJ");
    sandbox.symlink("vm.qcow2", "/link");
    for path in ["/raw", "/link"] {
        let grown = sandbox.host.grow_qcow2(path, 3 * GIB, 4 * GIB);
        assert_eq!(kind(grown), CallErrorKind::Other, "{path}");
    }
    assert_eq!(fs::read(sandbox.real("/vm.qcow2")).unwrap(), after);
}

#[test]
fn a_qcow2_image_with_something_after_its_table_does_not_grow_into_that() {
    const GIB: u64 = 1 << 30;
    let sandbox = Sandbox::new();
    let (mut image, bytes) = new_qcow2(GIB / 4, None);
    image.resize(bytes as usize, 0);
    image[36..40].copy_from_slice(&1u32.to_be_bytes());
    sandbox.file("/vm.qcow2", &image);
    sandbox.host.grow_qcow2("/vm.qcow2", GIB / 4, GIB).unwrap();
    image[36..40].copy_from_slice(&2u32.to_be_bytes());
    image[24..32].copy_from_slice(&GIB.to_be_bytes());
    assert_eq!(fs::read(sandbox.real("/vm.qcow2")).unwrap(), image);
    let after_two_entries = (3 << 16) + 16;
    image[after_two_entries] = 1;
    sandbox.file("/vm.qcow2", &image);
    let grown = sandbox.host.grow_qcow2("/vm.qcow2", GIB, 2 * GIB);
    assert_eq!(kind(grown), CallErrorKind::Other);
    assert_eq!(fs::read(sandbox.real("/vm.qcow2")).unwrap(), image);
}

#[test]
fn an_image_grows_from_the_size_it_has_and_never_shrinks() {
    let sandbox = Sandbox::new();
    sandbox.file("/vm.img", "data");
    sandbox.host.grow_image("/vm.img", 4, 4096).unwrap();
    let bytes = fs::read(sandbox.real("/vm.img")).unwrap();
    assert_eq!((bytes.len(), &bytes[..5]), (4096, &b"data\0"[..]));
    for (from, to) in [(4, 8192), (4096, 4095), (8192, 9000)] {
        assert_eq!(
            kind(sandbox.host.grow_image("/vm.img", from, to)),
            CallErrorKind::Other
        );
    }
    assert_eq!(stat(&sandbox, "/vm.img").size, 4096);
    sandbox.symlink("vm.img", "/link");
    sandbox.fifo("/fifo");
    sandbox.folder("/folder");
    for path in ["/link", "/fifo", "/folder"] {
        assert_eq!(
            kind(sandbox.host.grow_image(path, 4096, 8192)),
            CallErrorKind::Other
        );
    }
    assert_eq!(
        kind(sandbox.host.grow_image("/none", 0, 1)),
        CallErrorKind::Missing
    );
}

#[test]
fn a_copy_is_whole_has_its_mode_and_tells_what_was_copied() {
    let sandbox = Sandbox::new();
    sandbox.file("/from", vec![7; 200_000]);
    sandbox.file("/to", "old");
    let copied = sandbox
        .host
        .copy_file("/from", "/to", 200_000, 0o644)
        .unwrap();
    assert_eq!(fs::read(sandbox.real("/to")).unwrap(), vec![7; 200_000]);
    assert_eq!(stat(&sandbox, "/to").mode, 0o644);
    assert_eq!(copied.source, stat(&sandbox, "/from"));
    let Fact::Present(seen) = sandbox.host.look("/to", Look::Digest) else {
        panic!("the copy is there")
    };
    assert_eq!(seen.sha256, Some(copied.sha256));
    assert_eq!(sandbox.names(), ["from", "to"]);
}

#[test]
fn only_a_regular_file_within_the_limit_is_copied() {
    let sandbox = Sandbox::new();
    sandbox.file("/file", "12345");
    sandbox.symlink("file", "/link");
    sandbox.fifo("/fifo");
    sandbox.folder("/folder");
    for path in ["/file", "/link", "/fifo", "/folder"] {
        let copied = sandbox.host.copy_file(path, "/to", 4, 0o644);
        assert_eq!(kind(copied), CallErrorKind::Other, "{path}");
    }
    assert_eq!(
        kind(sandbox.host.copy_file("/none", "/to", 4, 0o644)),
        CallErrorKind::Missing
    );
    assert_eq!(sandbox.names(), ["fifo", "file", "folder/", "link"]);
}

#[test]
fn a_file_that_changes_while_it_is_copied_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.real("/from");
    let size = 200_000;
    for other in [vec![8; size], vec![7; size + 1], vec![7; 10], vec![]] {
        fs::write(&path, vec![7; size]).unwrap();
        // The clock of the file system must move on between the two writes.
        thread::sleep(Duration::from_millis(20));
        let mut file = open_plain(&path).unwrap();
        let before = file.identity().unwrap();
        fs::write(&path, &other).unwrap();
        let mut into = tempfile::tempfile().unwrap();
        let copied = copy_hashed(&mut file, &before, &mut into, 1 << 20).map(drop);
        let read = read_hashed(&file, &before, 1 << 20).map(drop);
        let hashed = digest_unchanged(&mut file, &before, 1 << 20).map(drop);
        for seen in [copied, read, hashed] {
            assert!(ChangedMeanwhile::is(&seen.unwrap_err()));
        }
    }
}

#[test]
fn removing_a_file_that_is_missing_is_fine() {
    let sandbox = Sandbox::new();
    sandbox.file("/file", "");
    sandbox.folder("/folder");
    sandbox.symlink("folder", "/link");
    for path in ["/file", "/file", "/link", "/none/file"] {
        sandbox.host.remove_file(path).unwrap();
    }
    assert_eq!(
        kind(sandbox.host.remove_file("/folder")),
        CallErrorKind::Other
    );
    assert_eq!(sandbox.names(), ["folder/"]);
}

#[test]
fn only_folders_of_armfleets_own_are_removed_and_of_them_only_what_is_named() {
    let sandbox = Sandbox::new();
    sandbox.folder("/var/lib/armfleet/vms/vm/folder");
    sandbox.folder("/srv/vm-boot");
    sandbox.file("/srv/vm-boot/record.json", "");
    sandbox.file("/var/lib/armfleet/vms/vm/record.json", "");
    sandbox.file("/var/lib/armfleet/vms/vm/notes", "");
    let remove = |path| sandbox.host.remove_folder(path, &["record.json", "folder"]);
    for path in [
        "/",
        "/srv/vm-boot",
        "/var/lib/armfleet",
        "/var/lib/armfleet/",
        "/var/lib/armfleet-other",
        "/var/lib/armfleet/../../../srv",
        "/var/lib/armfleet/vms/.",
        "/var/lib/armfleet//vms",
    ] {
        assert_eq!(kind(remove(path)), CallErrorKind::Other, "{path}");
    }
    let vm = "/var/lib/armfleet/vms/vm";
    assert_eq!(remove(vm).unwrap(), ["folder", "notes"]);
    fs::remove_file(sandbox.real("/var/lib/armfleet/vms/vm/notes")).unwrap();
    fs::remove_dir(sandbox.real("/var/lib/armfleet/vms/vm/folder")).unwrap();
    for _ in 0..2 {
        assert!(remove(vm).unwrap().is_empty());
    }
    assert!(remove("/run/armfleet/none").unwrap().is_empty());
    let left = [
        "srv/",
        "srv/vm-boot/",
        "srv/vm-boot/record.json",
        "var/",
        "var/lib/",
        "var/lib/armfleet/",
        "var/lib/armfleet/vms/",
    ];
    assert_eq!(sandbox.names(), left);
}

/// The state folder itself may be a link, which is root's own.
#[test]
fn no_call_goes_through_a_link_within_armfleets_own_folders() {
    let sandbox = Sandbox::new();
    sandbox.folder("/data/vms");
    sandbox.folder("/var/lib");
    sandbox.folder("/srv/inside");
    sandbox.file("/srv/record.json", "kept");
    std::os::unix::fs::symlink(sandbox.real("/data"), sandbox.real("/var/lib/armfleet")).unwrap();
    let link = sandbox.real("/data/vms/vm");
    std::os::unix::fs::symlink(sandbox.real("/srv"), link).unwrap();
    let (host, before) = (&sandbox.host, sandbox.names());
    let (vm, record) = (
        "/var/lib/armfleet/vms/vm",
        "/var/lib/armfleet/vms/vm/record.json",
    );
    let owner = Owner { uid: 0, gid: 0 };
    let calls = [
        host.make_folder(&format!("{vm}/boot"), 0o711, None),
        host.set_folder_owner(vm, 0o711, owner),
        host.set_folder_owner(&format!("{vm}/inside"), 0o711, owner),
        host.write_file(record, vm, b"{}", 0o600),
        host.remove_file(record),
        host.remove_folder(vm, &["record.json"]).map(drop),
        host.remove_folder(&format!("{vm}/inside"), &[]).map(drop),
        host.rename_file(record, &format!("{vm}/other")),
        host.append_line(record, "line"),
        host.copy_file("/srv/record.json", record, 100, 0o600)
            .map(drop),
    ];
    for (number, call) in calls.into_iter().enumerate() {
        let why = call.unwrap_err().why;
        let says = "/vms/vm is a symbolic link, which armfleet does not follow";
        assert!(why.contains(says), "{number}: {why}");
    }
    let Fact::Unreadable(why) = host.look(record, Look::Text) else {
        panic!("a record was read through a link")
    };
    assert!(why.contains("is a symbolic link"), "{why}");
    assert_eq!(host.records("/var/lib/armfleet/vms"), Ok(Vec::new()));
    assert_eq!(sandbox.names(), before);
    assert_eq!(text(&sandbox, "/srv/record.json"), "kept");
    // A name that is a link is replaced or removed itself.
    sandbox.symlink("/srv/record.json", "/data/vms/link");
    host.remove_file("/var/lib/armfleet/vms/link").unwrap();
    assert_eq!(text(&sandbox, "/srv/record.json"), "kept");
}

#[test]
fn a_line_is_appended_on_a_line_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.host.append_line("/journal", "one").unwrap();
    sandbox.host.append_line("/journal", "two").unwrap();
    assert_eq!(text(&sandbox, "/journal"), "one\ntwo\n");
    assert_eq!(stat(&sandbox, "/journal").mode, 0o600);
    assert_eq!(
        kind(sandbox.host.append_line("/journal", "a\nb")),
        CallErrorKind::Other
    );
    sandbox.file("/journal", "one\ncut o");
    sandbox.host.append_line("/journal", "two").unwrap();
    assert_eq!(text(&sandbox, "/journal"), "one\ncut o\ntwo\n");
    sandbox.symlink("journal", "/link");
    assert_eq!(
        kind(sandbox.host.append_line("/link", "x")),
        CallErrorKind::Other
    );
}

#[test]
fn a_fifo_in_place_of_a_file_of_armfleets_own_is_an_error_at_once() {
    let sandbox = Sandbox::new();
    sandbox.folder("/run");
    for name in ["lock", "journal", "note", "pid"] {
        sandbox.fifo(&format!("/run/{name}"));
    }
    let lock = sandbox.host.lock("/run/lock", "me", Duration::ZERO);
    let errors = [
        lock.err(),
        sandbox.host.append_line("/run/journal", "{}").err(),
        sandbox.host.reload_daemon("/run/pid").err(),
    ];
    for error in errors {
        let why = error.unwrap().why;
        assert!(why.contains("/run/") && why.contains("not a "), "{why}");
    }
    assert_eq!(
        sandbox
            .host
            .look("/run/note", Look::Text)
            .present()
            .unwrap()
            .text,
        None
    );
    // What is written whole takes its place.
    let note = |text: &str| {
        sandbox
            .host
            .write_file("/run/note", "/run", text.as_bytes(), 0o600)
    };
    note("text").unwrap();
    assert_eq!(text(&sandbox, "/run/note"), "text");
}

/// A shell under another name that waits until its standard input ends.
fn process(name: &str) -> Child {
    let script = format!("echo {name} > /proc/$$/comm; echo ready; read line");
    let mut command = Command::new("env");
    command
        // Under nohup it would ignore the signal.
        .args(["--default-signal=HUP", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut ready = [0; 6];
    io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    child
}

#[test]
fn the_daemon_and_nothing_else_gets_a_sighup() {
    let sandbox = Sandbox::new();
    for name in ["libvirtd", "virtqemud"] {
        let mut daemon = process(name);
        sandbox.file("/daemon.pid", format!("{}\n", daemon.id()));
        sandbox.host.reload_daemon("/daemon.pid").unwrap();
        assert_eq!(daemon.wait().unwrap().signal(), Some(1));
        assert_eq!(
            kind(sandbox.host.reload_daemon("/daemon.pid")),
            CallErrorKind::Missing
        );
    }
    let mut other = process("innocent");
    sandbox.file("/daemon.pid", other.id().to_string());
    let error = sandbox.host.reload_daemon("/daemon.pid").unwrap_err();
    assert!(
        error
            .why
            .ends_with("is innocent, not libvirt's daemon, and gets no signal"),
        "{error}"
    );
    drop(other.stdin.take());
    assert_eq!(other.wait().unwrap().signal(), None);
    for text in ["", "0", "-1", "1x", "99999999999"] {
        sandbox.file("/daemon.pid", text);
        assert_eq!(
            kind(sandbox.host.reload_daemon("/daemon.pid")),
            CallErrorKind::Other,
            "{text}"
        );
    }
    assert_eq!(
        kind(sandbox.host.reload_daemon("/none.pid")),
        CallErrorKind::Missing
    );
}

#[test]
fn a_user_is_known_by_name_or_else_by_number() {
    let sandbox = Sandbox::new();
    let uid = rustix::process::getuid().as_raw();
    let user = || process::user(&sandbox.real("/etc/passwd"));
    let caller = env::var("SUDO_USER").ok().filter(|_| uid == 0);
    assert_eq!(user(), caller.clone().unwrap_or(format!("uid {uid}")));
    sandbox.folder("/etc");
    sandbox.file(
        "/etc/passwd",
        format!("broken\nother:x:1{uid}:0\nsomebody:x:{uid}:0:::\n"),
    );
    assert_eq!(user(), caller.unwrap_or("somebody".to_owned()));
}

#[test]
fn the_clock_tells_seconds_and_a_pause_waits() {
    let sandbox = Sandbox::new();
    let (began, now) = (Instant::now(), sandbox.host.now());
    // Later than this was written, and earlier than the year 2200.
    assert!((1_700_000_000..7_258_118_400).contains(&now));
    sandbox.host.pause(Duration::from_millis(30));
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_file_is_not_removed_from_a_folder_that_has_become_a_link() {
    let sandbox = Sandbox::new();
    sandbox.folder("/srv");
    sandbox.folder("/others");
    sandbox.file("/others/.armfleet-installed", "kept");
    sandbox.symlink("../others", "/srv/share");
    let removed = sandbox.host.remove_file("/srv/share/.armfleet-installed");
    let why = removed.unwrap_err().why;
    assert!(why.contains("/srv/share is a symbolic link"), "{why}");
    assert_eq!(text(&sandbox, "/others/.armfleet-installed"), "kept");
}
