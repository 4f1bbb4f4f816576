//! The shim, in every shell at hand, with every kind of binary.

use crate::world::World;
use armfleet::fleet::DiskFormat;
use armfleet::hook::{EXIT_DONE, EXIT_REFUSED, SHIM};
use armfleet::mark::{DeviceId, FreshDisk};
use armfleet::paths;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Every operation that libvirt's QEMU driver has, but the one that counts.
const OTHER_CALLS: [&[&str]; 13] = [
    &["start", "begin", "-"],
    &["started", "begin", "-"],
    &["stopped", "end", "-"],
    &["release", "end", "shutdown"],
    &["reconnect", "begin", "-"],
    &["attach", "begin", "-"],
    &["migrate", "begin", "-"],
    &["restore", "begin", "-"],
    &["prepare", "end", "-"],
    &["prepare"],
    &["prepare begin"],
    &["", "prepare begin"],
    &[],
];
const PREPARE: [&str; 3] = ["prepare", "begin", "-"];

/// A shim whose two paths are the world's own.
struct Shim {
    world: World,
    binary: PathBuf,
    script: PathBuf,
}

#[derive(Debug, PartialEq)]
struct Answer {
    code: i32,
    stderr: String,
}

impl Answer {
    fn silent() -> Self {
        let stderr = String::new();
        Self { code: 0, stderr }
    }
}

impl Shim {
    fn new() -> Self {
        let world = World::new();
        let binary = world.outside("armfleet-hook");
        let (hook, state) = (&binary, world.root.below(paths::STATE));
        let text = SHIM
            .replace(
                "hook=/usr/bin/armfleet-hook\n",
                &format!("hook={}\n", hook.display()),
            )
            .replace(
                "state=/var/lib/armfleet\n",
                &format!("state={}\n", state.display()),
            );
        assert!(!text.contains("=/usr") && !text.contains("=/var"));
        let script = world.outside("50-armfleet");
        fs::write(&script, text).unwrap();
        let shim = Self {
            world,
            binary,
            script,
        };
        shim.put(b"#!/bin/sh\nexit 40\n");
        shim
    }

    /// Puts bytes where the binary should be, executable.
    fn put(&self, bytes: &[u8]) {
        self.remove();
        fs::write(&self.binary, bytes).unwrap();
        fs::set_permissions(&self.binary, Permissions::from_mode(0o755)).unwrap();
    }

    fn remove(&self) {
        if self.binary.is_dir() {
            fs::remove_dir(&self.binary).unwrap();
        }
        let _ = fs::remove_file(&self.binary);
    }

    /// Has a pair staged, as far as the shim can see.
    fn stage(&self) {
        let generation = self
            .world
            .path(paths::boot_folder)
            .join("g/0123456789abcdef");
        fs::create_dir_all(&generation).unwrap();
        fs::write(generation.join("vmlinuz"), "kernel").unwrap();
        fs::write(generation.join("initrd.img"), "initrd").unwrap();
        symlink("g/0123456789abcdef", self.world.path(paths::current)).unwrap();
    }

    /// Runs the shim as libvirt does, in each shell, which must all answer alike. There is no command to be found, so it
    /// can execute nothing but the binary.
    fn run(&self, arguments: &[&str]) -> Answer {
        let mut answers = shells()
            .into_iter()
            .map(|shell| self.run_in(shell, arguments));
        let first = answers.next().unwrap();
        for other in answers {
            assert_eq!(other.code, first.code, "{arguments:?}");
            assert_eq!(
                other.stderr.is_empty(),
                first.stderr.is_empty(),
                "{arguments:?}: {other:?} {first:?}"
            );
        }
        first
    }

    fn run_in(&self, shell: &str, arguments: &[&str]) -> Answer {
        let output = Command::new(shell)
            .arg0("sh")
            .arg(&self.script)
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env("PATH", "/nonexistent")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"", "libvirt would take it for XML");
        Answer {
            code: output.status.code().unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn call(&self, name: &str, call: &[&str]) -> Answer {
        self.run(&[&[name], call].concat())
    }

    fn prepare(&self) -> Answer {
        self.call("armhf-vm", &PREPARE)
    }
}

/// The shells that are installed here, of those that are `/bin/sh` somewhere.
fn shells() -> Vec<&'static str> {
    let known = [
        "/bin/dash",
        "/bin/bash",
        "/bin/busybox",
        "/bin/mksh",
        "/bin/ksh",
    ];
    let shells: Vec<_> = known
        .into_iter()
        .filter(|shell| Path::new(shell).exists())
        .collect();
    assert!(!shells.is_empty());
    shells
}

/// Binaries that cannot run, each by its name.
fn broken_binaries() -> Vec<(&'static str, Vec<u8>)> {
    // Not the hook itself: where half of it runs, it would look at the machine's own VMs.
    let good = fs::read(shells()[0]).unwrap();
    let mut foreign = good.clone();
    foreign[18..20].copy_from_slice(&0x0008u16.to_le_bytes());
    let script = |text: &str| format!("#!/bin/sh\n{text}\n").into_bytes();
    vec![
        ("empty", Vec::new()),
        ("zeros", vec![0; 5000]),
        (
            "garbage",
            (0..5000u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
        ),
        (
            "text",
            b"# not a program\necho hello\ntouch touched\n: >touched\nexit 0\n".to_vec(),
        ),
        ("half", good[..4096].to_vec()),
        ("a header alone", good[..64].to_vec()),
        ("of another processor", foreign),
        ("of a missing interpreter", b"#!/nonexistent\n".to_vec()),
        ("crashing", script("kill -SEGV $$")),
        ("killed", script("kill -KILL $$")),
        ("ending with 0", script("exit 0")),
        ("ending with 1", script("exit 1")),
        ("panicking", script("exit 101")),
        ("too late", script("exit 124")),
        ("printing", script("echo '<domain/>'; exit 3")),
    ]
}

#[test]
fn a_binary_that_cannot_run_stops_only_a_vm_without_a_staged_kernel() {
    let shim = Shim::new();
    let check = |what: &str, staged: bool| {
        let answer = shim.prepare();
        assert_eq!(
            answer.code,
            i32::from(!staged),
            "{what}, staged: {staged}: {answer:?}"
        );
        assert!(answer.stderr.contains("cannot run"), "{what}: {answer:?}");
        assert!(
            answer.stderr.contains("Install armfleet again"),
            "{what}: {answer:?}"
        );
    };
    for staged in [false, true] {
        if staged {
            shim.stage();
        }
        for (what, bytes) in broken_binaries() {
            shim.put(&bytes);
            check(what, staged);
            assert!(
                OTHER_CALLS
                    .iter()
                    .all(|call| shim.call("armhf-vm", call) == Answer::silent()),
                "{what}"
            );
        }
        shim.put(b"#!/bin/sh\nexit 40\n");
        fs::set_permissions(&shim.binary, Permissions::from_mode(0o644)).unwrap();
        check("not executable", staged);
        shim.remove();
        fs::create_dir(&shim.binary).unwrap();
        check("a folder", staged);
    }
    assert!(!Path::new("/touched").exists());
}

#[test]
fn a_pair_counts_as_staged_only_with_both_files() {
    let shim = Shim::new();
    shim.put(b"");
    shim.stage();
    assert_eq!(shim.prepare().code, 0);
    fs::remove_file(shim.world.path(paths::current).join("initrd.img")).unwrap();
    assert_eq!(shim.prepare().code, 1);
}

#[test]
fn without_the_binary_every_vm_starts() {
    let shim = Shim::new();
    shim.remove();
    assert_eq!(shim.prepare(), Answer::silent());
    symlink("/nonexistent/armfleet-hook", &shim.binary).unwrap();
    assert_eq!(shim.prepare(), Answer::silent());
}

/// What booted was QEMU's user's to change; the master was not.
#[test]
fn without_the_binary_a_fresh_copy_boots() {
    let shim = Shim::new();
    shim.stage();
    let current = shim.world.path(paths::current);
    for name in ["vmlinuz", "initrd.img"] {
        fs::write(current.join(format!("{name}.master")), "checked").unwrap();
        fs::write(current.join(name), "changed").unwrap();
        std::os::unix::fs::chown(current.join(name), None, Some(107)).unwrap();
    }
    for removed in [true, false] {
        match removed {
            true => shim.remove(),
            false => shim.put(b""),
        }
        fs::write(current.join("vmlinuz"), "changed").unwrap();
        // Open, so that no copy after it gets its inode again: each shell makes one.
        let before = fs::File::open(current.join("vmlinuz")).unwrap();
        assert_eq!(shim.prepare().code, 0);
        assert_eq!(
            fs::read_to_string(current.join("vmlinuz")).unwrap(),
            "checked"
        );
        let seen = shim.world.staged("vmlinuz");
        assert_ne!(seen.ino(), before.metadata().unwrap().ino());
        assert_eq!((seen.gid(), seen.mode() & 0o7777), (107, 0o640));
    }
    // Without a copy it does not start.
    fs::create_dir(current.join(".initrd.img.armfleet")).unwrap();
    let Answer { code, stderr } = shim.prepare();
    assert_eq!(code, 1);
    assert!(stderr.contains("no fresh copy of its kernel"), "{stderr}");
}

/// Of a VM that boots from its share only the binary can tell whether that is still good.
#[test]
fn without_the_binary_a_linked_vm_does_not_start() {
    let shim = Shim::new();
    shim.stage();
    fs::write(shim.world.path(paths::linked), "").unwrap();
    let refused = |shim: &Shim| {
        let Answer { code, stderr } = shim.prepare();
        assert_eq!(code, 1);
        assert!(stderr.contains("nothing else can tell whether"), "{stderr}");
    };
    shim.put(b"");
    refused(&shim);
    shim.remove();
    refused(&shim);
}

#[test]
fn the_binarys_answer_is_libvirts_answer() {
    let shim = Shim::new();
    shim.put(
        format!("#!/bin/sh\necho said >&2\necho not for libvirt\nexit {EXIT_DONE}\n").as_bytes(),
    );
    assert_eq!(
        shim.prepare(),
        Answer {
            code: 0,
            stderr: "said\n".to_owned()
        }
    );
    shim.put(format!("#!/bin/sh\necho why not >&2\nexit {EXIT_REFUSED}\n").as_bytes());
    assert_eq!(
        shim.prepare(),
        Answer {
            code: 1,
            stderr: "why not\n".to_owned()
        }
    );
    shim.stage();
    assert_eq!(
        shim.prepare().code,
        1,
        "a refusal is a refusal, whatever is staged"
    );
    shim.put(
        br#"#!/bin/sh
[ "$*" = "armhf-vm prepare begin -" ] && [ "$#" = 4 ] && exit 40
exit 41
"#,
    );
    assert_eq!(shim.prepare().code, 0);
}

#[test]
fn the_domains_xml_reaches_the_binary() {
    let shim = Shim::new();
    shim.put(
        b"#!/bin/sh\nread -r line\n[ \"$line\" = \"<domain type='qemu'>\" ] && exit 40\nexit 41\n",
    );
    for shell in shells() {
        let mut child = Command::new(shell)
            .arg0("sh")
            .arg(&shim.script)
            .args(["armhf-vm", "prepare", "begin", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"<domain type='qemu'>\n</domain>\n")
            .unwrap();
        assert!(child.wait().unwrap().success(), "{shell}");
    }
}

#[test]
fn what_does_not_concern_us_runs_nothing() {
    let shim = Shim::new();
    let ran = shim.world.outside("ran");
    shim.put(format!("#!/bin/sh\n: >{}\nexit 41\n", ran.display()).as_bytes());
    for call in OTHER_CALLS {
        assert_eq!(shim.call("armhf-vm", call), Answer::silent(), "{call:?}");
    }
    assert_eq!(shim.run(&[]), Answer::silent());
    // Each of these leads to a record, if it is taken for a path.
    let decoys = [
        "a b", "-x", ".x", "x\ny", "null", "vms", "ä", "a*", "[a]", "$HOME",
    ];
    for name in decoys {
        let folder = shim.world.root.below(paths::VMS).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("record.json"), "{}").unwrap();
    }
    let paths = [
        "",
        "unknown",
        ".",
        "..",
        "/",
        "../vms/armhf-vm",
        "armhf-vm/",
        "armhf-vm/../armhf-vm",
        "./armhf-vm",
        "armhf-vm\n",
        "*",
        "armhf-v?",
    ];
    for name in decoys
        .into_iter()
        .chain(paths)
        .filter(|name| *name != "vms")
    {
        for call in OTHER_CALLS.into_iter().chain([&PREPARE[..]]) {
            assert_eq!(shim.call(name, call), Answer::silent(), "{name:?} {call:?}");
        }
    }
    assert!(!ran.exists());
    shim.prepare();
    assert!(ran.exists(), "and what does concern us runs it");
}

#[test]
fn a_restore_is_noted_for_vms_of_ours_alone() {
    let shim = Shim::new();
    let note = shim.world.path(paths::restoring);
    for operation in ["restore", "migrate"] {
        assert_eq!(
            shim.call("armhf-vm", &[operation, "begin", "-"]),
            Answer::silent()
        );
        assert!(note.exists());
        fs::remove_file(&note).unwrap();
        shim.call("unknown", &[operation, "begin", "-"]);
        assert!(!shim.world.root.below(paths::VMS).join("unknown").exists());
    }
    fs::create_dir(&note).unwrap();
    assert_eq!(
        shim.call("armhf-vm", &["restore", "begin", "-"]),
        Answer::silent(),
        "a note that cannot be written stops nothing"
    );
}

#[test]
fn a_users_own_libvirtd_runs_nothing() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let shim = Shim::new();
    shim.put(b"#!/bin/sh\nexit 41\n");
    assert_eq!(shim.prepare().code, 1);
    std::os::unix::fs::chown(shim.world.path(paths::record), Some(65_534), None).unwrap();
    assert_eq!(shim.prepare(), Answer::silent());
}

/// The moments at which the shim writes something down, and where.
const STAMPS: [(&[&str], paths::PathOf); 4] = [
    (&["started", "begin", "-"], paths::started),
    (&["stopped", "end", "-"], paths::stopped),
    (&["restore", "begin", "-"], paths::restoring),
    (&["migrate", "begin", "-"], paths::restoring),
];

#[test]
fn a_stamp_is_a_file_of_the_vms_own_folder() {
    let shim = Shim::new();
    for (call, of) in STAMPS {
        let stamp = shim.world.path(of);
        assert_eq!(shim.call("armhf-vm", call), Answer::silent());
        assert!(stamp.is_file(), "{call:?}");
        fs::write(&stamp, "of the last time").unwrap();
        assert_eq!(shim.call("armhf-vm", call), Answer::silent());
        assert_ne!(fs::read_to_string(&stamp).unwrap(), "of the last time");
    }
}

#[test]
fn a_stamp_is_not_written_through_a_link_and_waits_for_nobody() {
    for (call, of) in STAMPS {
        let shim = Shim::new();
        let (stamp, others) = (shim.world.path(of), shim.world.outside("others"));
        let _ = fs::remove_file(&stamp);
        fs::write(&others, "kept").unwrap();
        symlink(&others, &stamp).unwrap();
        assert_eq!(shim.call("armhf-vm", call), Answer::silent());
        assert_eq!(fs::read_to_string(&others).unwrap(), "kept", "{call:?}");
        fs::remove_file(&stamp).unwrap();
        symlink(shim.world.outside("made"), &stamp).unwrap();
        assert_eq!(shim.call("armhf-vm", call), Answer::silent());
        assert!(!shim.world.outside("made").exists(), "{call:?}");
        fs::remove_file(&stamp).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &stamp, kind, mode, 0).unwrap();
        assert_eq!(shim.call("armhf-vm", call), Answer::silent());
    }
}

#[test]
fn nothing_is_written_or_removed_in_a_folder_that_is_a_link() {
    for of in [paths::vm_folder, |_: &_| paths::VMS.to_owned()] {
        let shim = Shim::new();
        shim.stage();
        fs::write(shim.world.path(paths::current).join("installer"), "").unwrap();
        let (folder, moved) = (shim.world.path(of), shim.world.outside("moved"));
        fs::rename(&folder, &moved).unwrap();
        symlink(&moved, &folder).unwrap();
        for (call, of) in STAMPS {
            assert_eq!(shim.call("armhf-vm", call), Answer::silent());
            assert!(!shim.world.path(of).exists(), "{call:?}");
        }
        assert!(shim.world.path(paths::current).is_symlink());
    }
    let shim = Shim::new();
    shim.stage();
    fs::write(shim.world.path(paths::current).join("installer"), "").unwrap();
    let boot = shim.world.path(paths::boot_folder);
    fs::rename(&boot, shim.world.outside("boot")).unwrap();
    symlink(shim.world.outside("boot"), &boot).unwrap();
    assert_eq!(shim.call("armhf-vm", STAMPS[0].0), Answer::silent());
    assert!(shim.world.path(paths::current).is_symlink());
}

/// A VM whose record names a disk that the binary makes anew, with a pair staged.
fn with_scratch() -> Shim {
    let mut shim = Shim::new();
    shim.stage();
    let disk = FreshDisk {
        path: "/srv/scratch.img".parse().unwrap(),
        size: 1 << 20,
        format: DiskFormat::Raw,
        backing: None,
    };
    let id = DeviceId::from("disk scratch".to_owned());
    shim.world.record.boot.fresh.insert(id, disk);
    shim.world.write_record();
    shim
}

#[test]
fn without_the_binary_no_old_scratch_disk_is_shown_as_new() {
    let broken: [fn(&Shim); 4] = [
        Shim::remove,
        |shim| shim.put(b""),
        |shim| shim.put(b"garbage\n"),
        |shim| fs::set_permissions(&shim.binary, Permissions::from_mode(0o644)).unwrap(),
    ];
    for spoil in broken {
        let shim = with_scratch();
        assert_eq!(shim.prepare(), Answer::silent());
        spoil(&shim);
        let answer = shim.prepare();
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(
            answer.stderr.contains("Install armfleet again"),
            "{answer:?}"
        );
        // Its disks go with the memory that libvirt is about to restore.
        for shell in shells() {
            shim.call("armhf-vm", &["restore", "begin", "-"]);
            let answer = shim.run_in(shell, &[&["armhf-vm"], &PREPARE[..]].concat());
            assert_eq!(answer.code, 0, "{answer:?}");
        }
        assert_eq!(shim.prepare().code, 1);
        // Who has none starts, whatever the record says elsewhere.
        let mut shim = Shim::new();
        shim.stage();
        let rows = &mut shim.world.record.applied.rows;
        rows.insert("cmdline".to_owned().into(), "\"fresh\": quiet".to_owned());
        shim.world.write_record();
        spoil(&shim);
        assert_eq!(shim.prepare().code, 0);
    }
}

#[test]
fn a_restore_that_cannot_be_noted_would_lose_a_scratch_disk() {
    let shim = with_scratch();
    fs::create_dir(shim.world.path(paths::restoring)).unwrap();
    let answer = shim.call("armhf-vm", &["restore", "begin", "-"]);
    assert_eq!(answer.code, 1);
    assert!(answer.stderr.contains("is not restored"), "{answer:?}");
}
