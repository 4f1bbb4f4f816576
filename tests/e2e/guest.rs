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

fn start(host: &TestHost) {
    host.virsh(&["start", "armhf-vm"]).success();
}

fn say(host: &TestHost, command: &str) -> String {
    host.guest_say("armhf-vm", command).success()
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
        host.console("/var/log/armhf-vm.log")
            .contains("guest: boot mounted\n")
    );
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
