//! `armfleet guest-setup` in a real Debian for armhf, with systemd, dash and coreutils, on a boot share as QEMU gives it.

use crate::host::ARMFLEET;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Boots Debian, which runs `try` with the script; tells what it said.
fn tried(folder: &Path) -> String {
    let guest = Path::new(ROOT).join("target/debian-root");
    let made = Command::new(format!("{ROOT}/tests/guest/debian-root"))
        .arg(Path::new(ROOT).join("target/guest"))
        .arg(&guest)
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{why}");
    let file = |name: &str| guest.join(name).display().to_string();
    let share = |name: &str| {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        let (path, id) = (path.display(), name);
        format!("local,id={id},path={path},security_model=mapped-xattr")
    };
    let said = Command::new("timeout")
        .args([
            "540",
            "qemu-system-arm",
            "-machine",
            "virt",
            "-cpu",
            "cortex-a15",
            "-m",
            "512",
        ])
        .args([
            "-display",
            "none",
            "-nodefaults",
            "-no-reboot",
            "-serial",
            "stdio",
            "-snapshot",
        ])
        .args(["-append", "console=ttyAMA0 panic=-1 quiet"])
        .args(["-kernel", &file("vmlinuz"), "-initrd", &file("initrd")])
        .args([
            "-drive",
            &format!("file={},if=none,format=raw,id=root", file("root.img")),
        ])
        .args(["-device", "virtio-blk-device,drive=root"])
        .args([
            "-fsdev",
            &share("boot"),
            "-device",
            "virtio-9p-device,fsdev=boot,mount_tag=virtio-boot",
        ])
        .args([
            "-fsdev",
            &share("try"),
            "-device",
            "virtio-9p-device,fsdev=try,mount_tag=try",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
#[ignore = "long: Debian is set up a dozen times under emulation"]
fn a_real_debian_is_set_up_installed_plain_and_cut() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let brought = folder.path().join("try");
    fs::create_dir(&brought).unwrap();
    fs::write(brought.join("try"), include_str!("debian_root/try.sh")).unwrap();
    let script = Command::new(ARMFLEET).arg("guest-setup").output().unwrap();
    fs::write(brought.join("setup"), script.stdout).unwrap();
    let said = tried(folder.path());
    let told: Vec<_> = said
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("try: "))
        .collect();
    let [done] = told.as_slice() else {
        panic!("{said}")
    };
    let cuts = done
        .strip_prefix("done, ")
        .and_then(|done| done.strip_suffix(" cuts"));
    assert!(
        cuts.is_some_and(|cuts| cuts.parse::<usize>().unwrap() > 10),
        "{done}"
    );
}
