//! The private host keeps what it promises to every other test.

use std::path::Path;

use rustix::process::Signal;

use crate::host::{ARMFLEET, TestHost};

const EMPTY_DOMAIN: &str = "<domain type='qemu'><name>same</name><memory>1024</memory>\
     <os><type arch='armv7l' machine='virt'>hvm</type></os></domain>";

fn define(host: &TestHost, xml: &str) {
    std::fs::write(host.path("/run/test/domain.xml"), xml).unwrap();
    host.virsh(&["define", "domain.xml"]).success();
}

#[test]
fn nothing_of_the_machine_is_written() {
    let host = TestHost::start();
    for folder in [
        "/srv",
        "/run",
        "/etc/libvirt",
        "/var/lib",
        "/var/lib/libvirt",
        "/var/log/libvirt",
        "/usr/bin",
    ] {
        let file = Path::new(folder).join(format!("armfleet-test-{}", host.pid()));
        std::fs::write(host.path(&file), "").unwrap();
        assert!(!file.exists(), "{} is the machine's", file.display());
    }
}

#[test]
fn a_host_starts_empty() {
    let host = TestHost::start();
    assert_eq!(
        host.virsh(&["list", "--all", "--name"]).success().trim(),
        ""
    );
    assert_eq!(host.run("ls", &["/srv"]).success(), "");
    assert!(!host.path("/var/lib/armfleet").exists());
    assert!(!host.path("/etc/libvirt/hooks").exists());
    assert!(host.path("/usr/bin/armfleet-hook").exists());
}

#[test]
fn hosts_do_not_see_each_other() {
    let (one, other) = (TestHost::start(), TestHost::start());
    define(&one, EMPTY_DOMAIN);
    assert_eq!(
        other.virsh(&["list", "--all", "--name"]).success().trim(),
        ""
    );
    define(&other, EMPTY_DOMAIN);
    one.virsh(&["undefine", "same"]).success();
    assert_eq!(other.state("same"), "shut off");
}

#[test]
fn nobody_reads_and_cannot_write() {
    let host = TestHost::start();
    define(&host, EMPTY_DOMAIN);
    let read = host.run_as_nobody("virsh", &["-r", "-c", "qemu:///system", "dumpxml", "same"]);
    assert!(read.success().contains("<name>same</name>"));
    let written = host.run_as_nobody("virsh", &["-c", "qemu:///system", "undefine", "same"]);
    assert_eq!(written.code, Some(1));
    assert!(
        written.stderr.contains("Permission denied"),
        "{}",
        written.stderr
    );
}

#[test]
fn libvirtd_comes_back() {
    let host = TestHost::start();
    define(&host, EMPTY_DOMAIN);
    let before = host.read("/run/libvirtd.pid");
    host.restart_libvirtd();
    assert_ne!(host.read("/run/libvirtd.pid"), before);
    host.kill_libvirtd();
    assert_ne!(host.virsh(&["list"]).code, Some(0));
    host.start_libvirtd();
    assert_eq!(host.state("same"), "shut off");
}

#[test]
fn nothing_runs_on_when_a_host_ends() {
    let host = TestHost::start();
    let daemon = host.run("pgrep", &["-o", "libvirtd"]).success();
    assert_ne!(daemon.trim(), "");
    let first = host.pid();
    drop(host);
    assert!(!Path::new("/proc").join(first.to_string()).exists());
}

#[test]
fn the_built_armfleet_runs_there() {
    let host = TestHost::start();
    host.armfleet(&["--version"]).success();
    assert_eq!(host.run_as_nobody(ARMFLEET, &["--version"]).code, Some(0));
}

#[test]
fn a_command_under_way_can_be_killed() {
    let host = TestHost::start();
    let running = host.spawn("sh", &["-c", "echo begun; exec sleep 100"]);
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, None);
    let running = host.spawn("sh", &["-c", "echo begun; exec sleep 0"]);
    let ended = running.wait();
    assert_eq!((ended.stdout.as_str(), ended.code), ("begun\n", Some(0)));
}
