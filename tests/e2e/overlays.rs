//! Disks that are copied from a base image, or that lie over one.

use crate::fleet::{RECORD, VM, recipe};
use crate::host::TestHost;
use armfleet::qcow2::{Backing, new_qcow2};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

/// What a command prints, which must succeed.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{errors}"
    );
    text
}

#[test]
fn qemu_reads_a_new_overlay_as_what_it_was_made_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (raw, qcow2) = (path("base.img"), path("base.qcow2"));
    fs::write(&raw, vec![7; 1 << 20]).unwrap();
    output(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", &raw, &qcow2],
    );
    for (base, format) in [(&raw, "raw"), (&qcow2, "qcow2")] {
        let overlay = path("overlay.qcow2");
        let backing = Backing { path: base, format };
        let (head, length) = new_qcow2(3 << 20, Some(backing));
        fs::write(&overlay, head).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&overlay).unwrap();
        file.set_len(length).unwrap();
        let checked = output("qemu-img", &["check", "-f", "qcow2", &overlay]);
        assert!(checked.contains("No errors"), "{checked}");
        let seen = output(
            "qemu-img",
            &["info", "-f", "qcow2", "--output=json", &overlay],
        );
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["virtual-size"], 3 << 20, "{seen}");
        assert_eq!(seen["backing-filename"], base.as_str(), "{seen}");
        assert_eq!(seen["backing-filename-format"], format, "{seen}");
        let below = "read -P 7 0 1M";
        let after = "read -P 0 1M 2M";
        let read = output("qemu-io", &["-c", below, "-c", after, &overlay]);
        assert!(!read.contains("failed"), "{read}");
        // What QEMU itself makes is read as well.
        output(
            "qemu-img",
            &[
                "create", "-q", "-f", "qcow2", "-b", base, "-F", format, &overlay,
            ],
        );
        let made = fs::read(&overlay).unwrap();
        let made = armfleet::qcow2::Qcow2::read(armfleet::qcow2::Qcow2::head(&made));
        let backing_of = made.unwrap().unwrap().backing.unwrap();
        assert!(backing_of.is(backing), "{backing_of:?}");
    }
}

/// QEMU's images have a first table for their own size and no more.
#[test]
fn a_copy_of_an_image_that_qemu_made_is_as_large_as_the_file_says() {
    let disk = "{ path: /srv/copy.qcow2, from: { path: /srv/cloud.qcow2 }, size: 3GiB }";
    let text = crate::fleet::stopped_recipe()
        .replace("size: 64MiB }]", &format!("size: 64MiB }}, {disk}]"));
    let host = TestHost::with_fleet(&text);
    let made = "qemu-img create -q -f qcow2 /srv/cloud.qcow2 64M && qemu-io -c 'write -P 7 1M 1M' /srv/cloud.qcow2";
    host.run("sh", &["-c", made]).success();
    host.apply().success();
    host.assert_converged();
    let used = "qemu-io -c 'write -P 9 3070M 1M' -c 'read -P 9 3070M 1M' -c 'read -P 7 1M 1M' -c 'read -P 0 1G 1M' /srv/copy.qcow2";
    let read = host.run("sh", &["-c", used]).success();
    assert!(!read.contains("failed"), "{read}");
    host.write_fleet(&text.replace("3GiB", "5GiB"));
    host.apply().success();
    host.assert_converged();
    let checked = host
        .run("qemu-img", &["check", "-f", "qcow2", "/srv/copy.qcow2"])
        .success();
    assert!(checked.contains("No errors"), "{checked}");
    let seen = host
        .run("qemu-img", &["info", "--output=json", "/srv/copy.qcow2"])
        .success();
    assert!(
        seen.contains(&format!("\"virtual-size\": {}", 5u64 << 30)),
        "{seen}"
    );
}

const BASE: &str = "/srv/base.img";

/// Owner and mode of the base image.
fn kept(host: &TestHost) -> (u32, u32) {
    let known = host.path(BASE).metadata().unwrap();
    (known.uid(), known.permissions().mode() & 0o777)
}

#[test]
fn a_guest_has_a_copy_of_a_base_image_and_one_over_it_and_the_base_stays_as_it_is() {
    let host = TestHost::with_fleet(&recipe());
    let mut bytes = vec![0; 16 << 20];
    bytes[..6].copy_from_slice(b"based\n");
    fs::write(host.path(BASE), &bytes).unwrap();
    let sha256 = host.run("sha256sum", &[BASE]).success();
    let sha256 = sha256.split_whitespace().next().unwrap();
    let cloud = "printf 'cloud\\n' >/run/cloud && truncate -s 16M /run/cloud && qemu-img convert -f raw -O qcow2 /run/cloud /srv/cloud.qcow2";
    host.run("sh", &["-c", cloud]).success();
    let disks = format!(
        "[{{ path: /srv/root.img, size: 64MiB, from: {{ path: {BASE}, sha256: {sha256} }} }}, \
         {{ path: /srv/scratch.qcow2, size: 32MiB, backing: {{ path: {BASE} }} }}, \
         {{ path: /srv/copied.qcow2, size: 48MiB, from: {{ path: /srv/cloud.qcow2 }} }}, \
         {{ path: /srv/over.qcow2, size: 40MiB, backing: {{ path: /srv/cloud.qcow2 }} }}]"
    );
    let fleet = recipe().replace("[{ path: \"/srv/{name}.img\", size: 64MiB }]", &disks);
    assert_ne!(fleet, recipe());
    host.write_fleet(&fleet);
    host.apply().success();
    host.assert_converged();
    let report = host.guest("report");
    host.assert_reported(&report, "disk vda 67108864 serial root ro 0");
    host.assert_reported(&report, "disk vdb 33554432 serial scratch ro 0");
    host.assert_reported(&report, "disk vdc 50331648 serial copied ro 0");
    host.assert_reported(&report, "disk vdd 41943040 serial over ro 0");
    for (disk, text) in [
        ("vda", "based"),
        ("vdb", "based"),
        ("vdc", "cloud"),
        ("vdd", "cloud"),
    ] {
        let read = host.guest(&format!("run head -n 1 /dev/{disk}"));
        assert!(read.contains(text), "{disk}: {read}");
        host.guest(&format!(
            "run echo wrote > /tmp/t && dd if=/tmp/t of=/dev/{disk} conv=notrunc && sync"
        ));
        let read = host.guest(&format!("run head -n 1 /dev/{disk}"));
        assert!(read.contains("wrote"), "{disk}: {read}");
    }
    // While it runs and when it is off, the base image is root's, and what it was.
    assert_eq!(kept(&host), (0, 0o644));
    host.shut_down();
    assert_eq!(kept(&host), (0, 0o644));
    assert_eq!(fs::read(host.path(BASE)).unwrap(), bytes);
    assert!(host.read("/srv/root.img").starts_with("wrote"));
    let scratch = "/srv/scratch.qcow2";
    let checked = host.run("qemu-img", &["check", "-f", "qcow2", scratch]);
    assert!(checked.success().contains("No errors"));
    let info = host
        .run("qemu-img", &["info", "-f", "qcow2", scratch])
        .success();
    assert!(
        info.contains("backing file format: raw") && info.contains(BASE),
        "{info}"
    );
    assert!(host.read(RECORD).contains("\"base\""));

    let cloud = host.run("sh", &["-c", "qemu-img convert -f qcow2 -O raw /srv/cloud.qcow2 /run/again && cmp /run/cloud /run/again"]);
    cloud.success();

    // Other bytes below the disk are no disk for its guest.
    let mut changed = bytes.clone();
    changed[0] = b'c';
    fs::write(host.path(BASE), &changed).unwrap();
    let planned = host.planned(3);
    let refused = format!(
        "  ! {VM}: the base image {BASE} of its disk {scratch} changed since the last apply\n"
    );
    assert!(planned.contains(&refused), "{planned}");
    assert_eq!(host.apply().code, Some(3));
    host.armfleet(&["apply", "--auto-approve", "--accept", VM])
        .success();
    host.assert_converged();
}

/// The VM with a copy of a base image in a folder, beside its system disk.
fn with_copy() -> String {
    let copy = "{ path: /srv/pool/copy.img, from: { path: /srv/pool/base.img } }";
    let text = crate::fleet::stopped_recipe();
    text.replace("size: 64MiB }]", &format!("size: 64MiB }}, {copy}]"))
}

#[test]
fn a_copy_has_the_blocks_of_its_base_in_common_where_the_file_system_shares_them() {
    let host = TestHost::with_fleet(&with_copy());
    let made = "truncate -s 256M /srv/pool.btrfs && mkfs.btrfs -q /srv/pool.btrfs && mkdir /srv/pool && \
                mount -o loop /srv/pool.btrfs /srv/pool && head -c 32M /dev/urandom >/srv/pool/base.img && sync";
    host.run("sh", &["-c", made]).success();
    host.apply().success();
    host.assert_converged();
    host.run("sync", &[""; 0]).success();
    host.run("cmp", &["/srv/pool/base.img", "/srv/pool/copy.img"])
        .success();
    let extents = host
        .run("filefrag", &["-v", "/srv/pool/copy.img"])
        .success();
    let extents: Vec<_> = extents
        .lines()
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert!(!extents.is_empty());
    assert!(
        extents.iter().all(|extent| extent.contains("shared")),
        "{extents:?}"
    );
}

#[test]
fn killed_while_it_copies_a_base_image_the_next_apply_copies_all_of_it() {
    let host = TestHost::with_fleet(&with_copy());
    host.run(
        "sh",
        &[
            "-c",
            "mkdir /srv/pool && yes based | head -c 512M >/srv/pool/base.img",
        ],
    )
    .success();
    let pool = host.path("/srv/pool");
    let copied = || {
        let files = fs::read_dir(&pool).unwrap().map(Result::unwrap);
        let copies = files.filter(|file| file.file_name() != "base.img");
        let blocks = copies.filter_map(|file| Some(file.metadata().ok()?.blocks()));
        blocks.sum::<u64>() * 512
    };
    let mut apply = host.spawn(crate::host::ARMFLEET, &["apply", "--auto-approve"]);
    assert!(apply.wait_until(|| copied() > 0));
    apply.signal(rustix::process::Signal::KILL);
    assert_eq!(apply.wait().code, None);
    assert!(copied() < 512 << 20, "killed too late to tell anything");
    assert!(!pool.join("copy.img").exists());

    host.apply().success();
    host.assert_converged();
    host.run("cmp", &["/srv/pool/base.img", "/srv/pool/copy.img"])
        .success();
    let files = host.run("ls", &["-A", "/srv/pool"]).success();
    assert_eq!(files, "base.img\ncopy.img\n");
}
