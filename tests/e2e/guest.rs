//! The test guest keeps what it promises, with a domain made by hand: no armfleet in it.

use std::path::Path;

use crate::host::{GuestFiles, TestHost};

const DOMAIN: &str = include_str!("armhf.xml");
const SHARE: &str = "/srv/armhf-vm-boot";

/// A host with the domain of `armhf.xml`, stopped, its seed staged and its share empty.
fn host_with_domain() -> TestHost {
    let host = TestHost::start();
    let files = GuestFiles::get();
    stage(
        &host,
        &files.kernel(&files.first),
        &files.initrd(&files.first),
    );
    host.run(
        "install",
        &[
            "-d",
            "-m",
            "0700",
            "-o",
            "libvirt-qemu",
            "-g",
            "libvirt-qemu",
            SHARE,
        ],
    )
    .success();
    host.run("truncate", &["-s", "64M", "/srv/armhf-vm.img"])
        .success();
    std::fs::write(host.path("/run/test/domain.xml"), DOMAIN).unwrap();
    host.virsh(&["define", "domain.xml"]).success();
    host
}

fn stage(host: &TestHost, kernel: &Path, initrd: &Path) {
    std::fs::copy(kernel, host.path("/srv/vmlinuz")).unwrap();
    std::fs::copy(initrd, host.path("/srv/initrd.img")).unwrap();
}

/// Stages what the share's links name; `old` for the former pair.
fn stage_from_share(host: &TestHost, suffix: &str) {
    let target = |link: &str| {
        host.path(SHARE)
            .join(host.read(format!("{SHARE}/{link}{suffix}")))
    };
    stage(host, &target("vmlinuz"), &target("initrd.img"));
}

fn start(host: &TestHost) {
    host.virsh(&["start", "armhf-vm"]).success();
}

fn say(host: &TestHost, command: &str) -> String {
    host.guest_say("armhf-vm", command).success()
}

fn file_type(path: &Path) -> u32 {
    let mut mode = [0; 4];
    rustix::fs::lgetxattr(path, "user.virtfs.mode", &mut mode[..]).unwrap();
    u32::from_le_bytes(mode) & 0o170_000
}

#[test]
fn it_reports_what_its_domain_gives_it() {
    let host = host_with_domain();
    start(&host);
    let report = say(&host, "report");
    for line in [
        &format!("guest: kernel {}", GuestFiles::get().first),
        "guest: machine armv7l",
        "guest: cmdline console=ttyAMA0 root=/dev/vda1",
        "guest: cpus 1",
        "guest: disk vda 67108864 serial by-hand ro 0",
        "guest: share virtio-boot",
        "guest: boot mounted",
    ] {
        assert!(
            report.lines().any(|reported| reported == line),
            "no {line} in\n{report}"
        );
    }
    assert!(
        host.console("/var/log/armhf-vm.console")
            .contains("guest: boot mounted\n")
    );
}

#[test]
fn its_links_are_mapped_and_its_kernel_switches() {
    let (host, files) = (host_with_domain(), GuestFiles::get());
    start(&host);
    say(&host, "install-first");
    say(&host, "write-disk kept");
    host.virsh(&["shutdown", "armhf-vm"]).success();
    host.wait_for_state("armhf-vm", "shut off");
    let link = host.path(SHARE).join("vmlinuz");
    assert!(link.symlink_metadata().unwrap().is_file());
    assert_eq!(file_type(&link), 0o120_000);
    assert_eq!(
        std::fs::read_to_string(&link).unwrap(),
        format!("vmlinuz-{}", files.first)
    );

    stage_from_share(&host, "");
    start(&host);
    assert!(say(&host, "report").contains("guest: initrd installed\n"));
    say(&host, "upgrade-interrupted missing");
    host.virsh(&["destroy", "armhf-vm"]).success();
    assert_eq!(
        host.read(format!("{SHARE}/initrd.img")),
        format!("initrd.img-{}", files.second)
    );
    assert!(
        !host
            .path(SHARE)
            .join(format!("initrd.img-{}", files.second))
            .exists()
    );

    stage_from_share(&host, ".old");
    start(&host);
    say(&host, "finish-upgrade");
    say(&host, "reboot");
    host.wait_for_state("armhf-vm", "shut off");

    stage_from_share(&host, "");
    start(&host);
    assert!(say(&host, "report").contains(&format!("guest: kernel {}\n", files.second)));
    assert_eq!(say(&host, "read-disk"), "guest: disk-text kept\n");
}

#[test]
fn an_interrupted_upgrade_leaves_a_short_initrd() {
    let (host, files) = (host_with_domain(), GuestFiles::get());
    start(&host);
    say(&host, "install-first");
    say(&host, "upgrade-interrupted short");
    let short = host
        .path(SHARE)
        .join(format!("initrd.img-{}", files.second))
        .metadata()
        .unwrap()
        .len();
    assert_eq!(
        short,
        files.initrd(&files.second).metadata().unwrap().len() / 2
    );
    assert_eq!(host.guest_say("armhf-vm", "install-first").code, Some(1));
}
