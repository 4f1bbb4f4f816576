//! `armfleet guest-setup` in Debian's own armhf: debootstrap's, with systemd, dash and coreutils, under emulation.

use crate::fleet::{SHARE, VM};
use crate::host::{Output, TestHost, script};
use crate::watch::wait_until;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const FLEET: &str = "\
fleet: debian
vms:
  armhf-vm:
    arch: armhf
    memory: 1GiB
    on_guest_reboot: stop
    boot:
      cmdline: console=ttyAMA0 root=/dev/vda quiet systemd.show_status=no
      seed: { kernel: /srv/vmlinuz, initrd: /srv/initrd.img }
    disks: [{ path: /srv/armhf-vm.img }]
    networks: [{ name: lan, bridge: br0 }]
";
const DISK: &str = "/srv/armhf-vm.img";
/// In which systemd does not run.
const WITHOUT_SYSTEMD: &str = "root=/dev/vda rw init=/opt/console";
const MOUNT: &str = "mount -t 9p -o trans=virtio,version=9p2000.L virtio-boot";

/// The files that `tests/guest/debian-root` makes.
struct Debian {
    folder: PathBuf,
    version: String,
}

impl Debian {
    fn get() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("target/debian-root");
        let made = Command::new(root.join("tests/guest/debian-root"))
            .arg(&folder)
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{why}");
        let version = fs::read_to_string(folder.join("version")).unwrap();
        let version = version.trim_end().to_owned();
        Self { folder, version }
    }

    /// A host on which it runs, with the script of `guest-setup` in its share.
    fn start(&self, fleet: &str) -> TestHost {
        let host = TestHost::start();
        for (name, path) in [
            ("root.img", DISK),
            ("vmlinuz", "/srv/vmlinuz"),
            ("initrd.img", "/srv/initrd.img"),
        ] {
            // Most of a disk is holes.
            let mut copy = Command::new("cp");
            let copy = copy.arg("--sparse=always").arg(self.folder.join(name));
            assert!(copy.arg(host.path(path)).status().unwrap().success());
        }
        let bridge =
            "ip link add br0 type bridge && ip link set br0 up && ip addr add 192.0.2.1/24 dev br0";
        host.run("sh", &["-c", bridge]).success();
        host.write_fleet(fleet);
        host.apply().success();
        let setup = host.armfleet(&["guest-setup"]).success();
        host.write(format!("{SHARE}/setup"), setup);
        host
    }
}

/// What the guest does, as root, once it has come up.
fn say(host: &TestHost, command: &str) -> Output {
    let command = format!("run {command}");
    host.run(
        script("guest-say"),
        &["--timeout", "1700", VM, command.as_str()],
    )
}

#[track_caller]
fn said(host: &TestHost, command: &str) -> String {
    say(host, command).success()
}

/// Takes files of the share into the guest. Linux mounts a share in one place at a time.
fn fetch(host: &TestHost, names: &[&str]) {
    let each = names
        .iter()
        .map(|name| format!("cp /mnt/{name} /{name} && rm /mnt/{name}; "));
    let each: String = each.collect();
    said(
        host,
        &format!("set -e; modprobe 9pnet_virtio; modprobe 9p; {MOUNT} /mnt; {each} umount /mnt"),
    );
}

/// The guest's own systemd has come up with this kernel from its share, and has said so.
#[track_caller]
fn assert_confirmed(host: &TestHost, debian: &Debian) {
    // The console's service is there before all of multi-user.target.
    said(
        host,
        "systemctl is-system-running --wait >/dev/null; systemctl is-active armfleet-guest armfleet-confirmed",
    );
    let booted = said(
        host,
        "uname -r; grep ' /boot ' /proc/mounts; readlink /boot/vmlinuz",
    );
    let lines: Vec<_> = booted.lines().map(str::trim).collect();
    assert_eq!(lines[0], debian.version);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("virtio-boot /boot 9p ")),
        "{booted}"
    );
    let link = format!("vmlinuz-{}", debian.version);
    assert_eq!(lines.last().copied(), Some(link.as_str()));
    let list = host.armfleet(&["boot", "list", VM]).success();
    assert!(list.contains("its guest confirmed it"), "{list}");
    assert!(list.contains(&debian.version), "{list}");
}

/// Reboots as the guest's own administrator does.
fn reboot(host: &TestHost) {
    // It may be down before it has answered.
    say(host, "systemctl reboot --no-block");
    wait_until("a reboot", Duration::from_secs(600), || {
        host.state(VM) == "shut off"
    });
    assert_eq!(host.read(format!("{SHARE}/armfleet-stop")), "reboot\n");
    host.apply().success();
}

#[test]
#[ignore = "long: Debian with systemd boots twice under emulation"]
fn a_debian_that_runs_is_set_up_and_confirmed() {
    let debian = Debian::get();
    let host = debian.start(FLEET);
    fetch(&host, &["setup"]);
    let first = said(&host, "sh /setup 2>&1");
    let moved = format!(
        "moved /boot onto the share, version {}; mounted the share as /boot",
        debian.version
    );
    assert!(first.contains(&moved), "{first}");
    for hint in ["fstab has been modified", "there is no systemd"] {
        assert!(!first.contains(hint), "{first}");
    }
    let again = said(&host, "sh /setup 2>&1");
    assert!(
        again
            .trim_end()
            .ends_with("guest-setup: nothing to do: all is set up"),
        "{again}"
    );
    assert_eq!(again.lines().count(), 1, "{again}");
    reboot(&host);
    assert_confirmed(&host, &debian);
    let again = said(&host, "sh /setup 2>&1");
    assert_eq!(again.lines().count(), 1, "{again}");
    assert!(again.contains("nothing to do"), "{again}");
    host.assert_converged();
}

/// Debian's installer runs its late command in a root in which systemd does not run.
#[test]
#[ignore = "long: Debian boots twice under emulation"]
fn the_late_command_sets_up_a_debian_that_is_not_running() {
    let debian = Debian::get();
    let host = debian.start(&FLEET.replace("root=/dev/vda", WITHOUT_SYSTEMD));
    fetch(&host, &["setup"]);
    let line = host
        .armfleet(&["guest-setup", "--format", "preseed"])
        .success();
    let late = line
        .lines()
        .find_map(|line| line.strip_prefix("d-i preseed/late_command string "))
        .unwrap()
        .to_owned();
    // The installer's own: the new system is in /target, with /proc, /sys and /dev.
    host.write(
        format!("{SHARE}/late"),
        format!(
            "set -e\nmkdir -p /tmp/bin /target\nmount -o bind / /target\n\
             for place in proc sys dev run; do mount -o rbind /$place /target/$place; done\n\
             printf '#!/bin/sh\\nexec chroot /target \"$@\"\\n' >/tmp/bin/in-target\nchmod 755 /tmp/bin/in-target\n\
             PATH=/tmp/bin:$PATH\ncp /setup /armfleet-guest-setup\n{late}\n"
        ),
    );
    fetch(&host, &["late"]);
    let first = said(&host, "sh /late 2>&1");
    let moved = format!("moved /boot onto the share, version {}", debian.version);
    assert!(
        first.contains("guest-setup: done: ") && first.contains(&moved),
        "{first}"
    );
    assert_eq!(
        host.read(format!("{SHARE}/armfleet-installed")),
        format!("{}\n", debian.version)
    );
    said(&host, "sync; mount -o remount,ro /");
    host.virsh(&["destroy", VM]).success();
    host.write_fleet(FLEET);
    host.apply().success();
    assert_confirmed(&host, &debian);
    let again = said(&host, "sh /setup 2>&1");
    assert!(again.contains("nothing to do: all is set up"), "{again}");
}

#[test]
#[ignore = "long: two hundred runs under emulation"]
fn in_a_debian_cut_after_any_line_it_ends_the_same_when_run_again() {
    let debian = Debian::get();
    let host = debian.start(&FLEET.replace("root=/dev/vda", WITHOUT_SYSTEMD));
    host.write(format!("{SHARE}/cuts"), include_str!("guest_setup/cuts.sh"));
    fetch(&host, &["setup", "cuts"]);
    // In parts, since a command has a limit of half an hour.
    let tried = ["^[a-z]", "^[^a-z ]", "^    [^ ]", "^     "].map(|lines| {
        let said = said(&host, &format!("sh /cuts '{lines}' at-once 2>&1"));
        let mut told = said.lines().filter(|line| line.starts_with("cuts: "));
        let (tried, others) = (told.next().unwrap(), told.count());
        assert_eq!(others, 0, "{said}");
        let tried = tried.split(' ').nth(1).and_then(|tried| tried.parse().ok());
        tried.unwrap_or_else(|| panic!("{said}"))
    });
    assert!(tried.iter().sum::<usize>() > 100, "{tried:?}");
}

/// The tasks as they are printed, over ssh.
#[test]
#[ignore = "long: Debian boots twice under emulation, and Ansible works in it"]
fn ansible_sets_up_a_debian_that_runs_once() {
    const KEY: &str = "/run/test/key";
    let debian = Debian::get();
    let host = debian.start(FLEET);
    host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", KEY])
        .success();
    let key = host.read(format!("{KEY}.pub"));
    let key = key.trim_end();
    said(
        &host,
        &format!(
            "mkdir -p -m 700 /root/.ssh && echo {key} >/root/.ssh/authorized_keys && \
             /lib/systemd/systemd-networkd-wait-online --timeout=300 && systemctl start ssh"
        ),
    );
    let tasks = host
        .armfleet(&["guest-setup", "--format", "ansible"])
        .success();
    let tasks: String = tasks.lines().map(|line| format!("    {line}\n")).collect();
    host.write(
        "/run/test/play.yml",
        format!("- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}"),
    );
    host.write(
        "/run/test/inventory",
        format!(
            "192.0.2.2 ansible_user=root ansible_python_interpreter=/usr/bin/python3 ansible_ssh_private_key_file={KEY} \
             ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=120'\n"
        ),
    );
    let play = || {
        let play = ["--timeout", "120", "--inventory", "inventory", "play.yml"];
        host.run("ansible-playbook", &play).success()
    };
    let first = play();
    assert!(first.contains("changed=2 "), "{first}");
    let again = play();
    assert!(again.contains("changed=0 "), "{again}");
    reboot(&host);
    assert_confirmed(&host, &debian);
}
