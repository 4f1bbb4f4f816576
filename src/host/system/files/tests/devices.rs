//! Block devices, as sysfs, udev and the kernel's lists tell of them.

use super::Sandbox;
use crate::host::primitives::Reads;
use crate::inventory::{DeviceUse, Fact, Look, RawDevice};
use rustix::fs::{CWD, FileType, Mode, makedev};

/// No driver has it, so that it cannot be opened, and everything else is told.
const MAJOR: u32 = 511;

/// A device's node, its folder in sysfs, and the files there.
fn device(sandbox: &Sandbox, node: &str, minor: u32, folder: &str, files: &[(&str, &str)]) -> u64 {
    let number = makedev(MAJOR, minor);
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, sandbox.real(node), FileType::BlockDevice, mode, number).unwrap();
    let dev = format!("{MAJOR}:{minor}\n");
    for (name, text) in [("dev", dev.as_str())].iter().chain(files) {
        let file = format!("/sys/devices/{folder}/{name}");
        sandbox.folder(file.rsplit_once('/').unwrap().0);
        sandbox.file(&file, text);
    }
    let target = format!("../../devices/{folder}");
    sandbox.symlink(&target, &format!("/sys/dev/block/{MAJOR}:{minor}"));
    number
}

fn seen(sandbox: &Sandbox, node: &str) -> RawDevice {
    match sandbox.host.look(node, Look::Device) {
        Fact::Present(file) => file.device.unwrap(),
        other => panic!("{node}: {other:?}"),
    }
}

/// A disk with two partitions, and a logical volume on the second.
fn host() -> Sandbox {
    let sandbox = Sandbox::new();
    for folder in ["/dev/disk/by-id", "/sys/dev/block", "/proc/self"] {
        sandbox.folder(folder);
    }
    sandbox.file("/proc/self/mountinfo", "");
    sandbox.file("/proc/swaps", "Filename Type Size Used Priority\n");
    device(&sandbox, "/dev/sda", 0, "sda", &[("size", "2048\n")]);
    for (minor, part) in [(1, "sda1"), (2, "sda2")] {
        let files = [("size", "512\n"), ("partition", "1\n")];
        device(
            &sandbox,
            &format!("/dev/{part}"),
            minor,
            &format!("sda/{part}"),
            &files,
        );
    }
    let dm = [
        ("size", "256\n"),
        ("dm/uuid", "LVM-one\n"),
        ("dm/name", "vg0-a\n"),
    ];
    device(&sandbox, "/dev/dm-3", 3, "dm-3", &dm);
    sandbox.folder("/sys/devices/sda/sda2/holders");
    sandbox.symlink("../../../dm-3", "/sys/devices/sda/sda2/holders/dm-3");
    for (link, node) in [
        ("ata-DISK_1", "sda"),
        ("wwn-0x5", "sda"),
        ("lvm-pv-uuid-x", "sda"),
        ("ata-DISK_1-part1", "sda1"),
    ] {
        sandbox.symlink(&format!("../../{node}"), &format!("/dev/disk/by-id/{link}"));
    }
    sandbox
}

#[test]
fn a_device_has_its_size_and_what_lasts_of_it() {
    let sandbox = host();
    let volume = seen(&sandbox, "/dev/dm-3");
    assert_eq!(volume.size, Some(256 * 512));
    assert_eq!(volume.ids, ["dm-uuid-LVM-one".to_owned()].into());
    assert_eq!((volume.whole, volume.used), (None, None));
    let disk = seen(&sandbox, "/dev/sda");
    // A link that is named after what is on it may lead to another one tomorrow.
    assert_eq!(
        disk.ids,
        ["ata-DISK_1", "wwn-0x5"].map(str::to_owned).into()
    );
    assert_eq!(disk.parts, [1, 2].map(|minor| makedev(MAJOR, minor)).into());
    let part = seen(&sandbox, "/dev/sda1");
    assert_eq!(part.whole, Some(makedev(MAJOR, 0)));
    assert_eq!(part.ids, ["ata-DISK_1-part1".to_owned()].into());
    assert_eq!(part.used, None);
}

#[test]
fn what_the_host_does_with_a_device_or_a_part_of_it_is_told() {
    let sandbox = host();
    let of_volume = Some(DeviceUse::PartOf("vg0-a".to_owned()));
    assert_eq!(seen(&sandbox, "/dev/sda2").used, of_volume);
    assert_eq!(seen(&sandbox, "/dev/sda").used, of_volume);
    let mount = format!("30 1 {MAJOR}:1 / /srv/data rw - ext4 /dev/sda1 rw\n");
    sandbox.file("/proc/self/mountinfo", mount);
    let mounted = Some(DeviceUse::Mounted("/srv/data".to_owned()));
    assert_eq!(seen(&sandbox, "/dev/sda1").used, mounted);
    sandbox.file(
        "/proc/swaps",
        "Filename Type Size Used Priority\n/dev/dm-3 partition 128 0 -2\n",
    );
    assert_eq!(seen(&sandbox, "/dev/dm-3").used, Some(DeviceUse::Swap));
}

#[test]
fn what_is_no_block_device_or_unknown_to_the_kernel_is_seen_as_it_is() {
    let sandbox = host();
    sandbox.fifo("/dev/fifo");
    let Fact::Present(fifo) = sandbox.host.look("/dev/fifo", Look::Device) else {
        panic!("it is there");
    };
    assert_eq!(fifo.device, None);
    let number = makedev(MAJOR, 9);
    rustix::fs::mknodat(
        CWD,
        sandbox.real("/dev/new"),
        FileType::BlockDevice,
        Mode::RUSR,
        number,
    )
    .unwrap();
    assert_eq!(seen(&sandbox, "/dev/new"), RawDevice::default());
}
