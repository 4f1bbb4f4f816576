//! An armhf guest that gets an arm64 kernel, and goes back.

use crate::fleet::{SHARE, VM, recipe};
use crate::host::{GuestFiles, TestHost};

/// The class of an ELF file of 32 bits (`ELFCLASS32`).
const CLASS: &str = "run od -An -tx1 -j4 -N1 /bin/busybox";

fn armhf() -> String {
    recipe() + "    restart: when-required\n"
}

fn arm64_under_armhf() -> String {
    armhf().replace("arch: armhf\n", "arch: arm64\n    userland: armhf\n")
}

/// Puts what the guest's package manager would put into its share, but for the links: they name the armhf kernel.
fn install_arm64(host: &TestHost) {
    let (files, folder) = (GuestFiles::get(), host.path("/run/test/packages"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(files.arm64("packages.tar"), folder.join("packages.tar")).unwrap();
    let version = &files.arm64;
    let script = format!(
        "cd packages && tar -xf packages.tar && for name in vmlinuz initrd.img; do \
         install -m 0600 -o libvirt-qemu -g libvirt-qemu {version}/$name {SHARE}/$name-{version}; done && rm -r ../packages"
    );
    host.run("sh", &["-c", &script]).success();
}

/// The guest runs this kernel, with the disk, the share and the 32-bit programs that it had.
#[track_caller]
fn assert_runs(host: &TestHost, version: &str, machine: &str) {
    let report = host.guest("report");
    for line in [
        &format!("kernel {version}"),
        &format!("machine {machine}"),
        "cmdline console=ttyAMA0 root=/dev/vda1",
        "disk vda 67108864 serial armhf-vm ro 0",
        "boot mounted",
    ] {
        host.assert_reported(&report, line);
    }
    let class = host.guest(CLASS);
    assert!(class.lines().any(|line| line.trim() == "01"), "{class}");
    assert!(host.guest("read-disk").contains("disk-text kept"));
}

#[test]
fn an_armhf_guest_moves_to_an_arm64_kernel_and_back() {
    let files = GuestFiles::get();
    let host = TestHost::with_applied(&armhf());
    for command in ["write-disk kept", "install-first"] {
        host.guest(command);
    }
    assert_runs(&host, &files.first, "armv7l");
    let before = host.definition(VM);

    host.write_fleet(&arm64_under_armhf());
    let refused = host.planned(3);
    assert!(refused.contains("[no-kernel]"), "{refused}");
    install_arm64(&host);
    let planned = host.planned(2);
    for line in [
        "arch       armv7l -> aarch64           when this plan starts it",
        "cpu.model  cortex-a15 -> cortex-a57    when this plan starts it",
        "Interrupts: armhf-vm (restarted).",
    ] {
        assert!(planned.contains(line), "{planned}");
    }
    host.apply().success();
    assert_runs(&host, &files.arm64, "aarch64");
    host.assert_converged();
    let seen = host.guest("run linux32 uname -m");
    assert!(seen.contains("armv8l"), "{seen}");

    host.write_fleet(&armhf());
    host.apply().success();
    assert_runs(&host, &files.first, "armv7l");
    host.assert_converged();
    assert_eq!(host.definition(VM), before);
}
