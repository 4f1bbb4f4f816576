//! Each key of a VM: what a change of it means is what an apply of that change does on a real host.

use crate::key_table::{
    self, CHANGES, Change, ELSEWHERE, MAPS, OTHER_MAPS, OTHERS, change, vm_keys,
};
use crate::{RECIPE, diff_of, text};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What the plans on a real host said.
const ON_A_HOST: &str = include_str!("../e2e/key_changes.txt");
const OFF: &str = "while it is off";
const RUNNING: &str = "while it runs";

/// Where a host has what no file tells of, and so plans something else.
const DIFFERENT: &[(&str, &str, &str)] = &[
    (OFF, "shares.path", "the test made the folder before"),
    (RUNNING, "shares.path", "the test made the folder before"),
    (
        RUNNING,
        "disks.target",
        "another disk has the target that it was given when that one was elsewhere",
    ),
    (RUNNING, "disks.path", "the former image is still there"),
    (RUNNING, "disks.format", "the former image is still there"),
];

/// A text with single spaces, and without what only hosts know: which of its names a disk for cloud-init has.
fn lines(told: &str) -> Vec<String> {
    let single = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let numbers = ('1'..='4').map(|number| format!("/cloud-init/{number}.img"));
    let numbers: Vec<String> = numbers.collect();
    let without = |line: String| {
        let numbers = numbers.iter();
        numbers.fold(line, |line, name| line.replace(name, "/cloud-init/N.img"))
    };
    let lines = told.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| without(single(line))).collect()
}

/// The lines that a diff has of its only VM.
fn of_vm(told: &str) -> Vec<String> {
    let mut told = lines(told).into_iter().skip(1).peekable();
    told.next_if(|line| line == "armhf-vm");
    let mut lines = Vec::new();
    while let Some(line) = told.next() {
        // As in the table of the real host: what waits for a boot is told by every later plan, too.
        match line.starts_with("i armhf-vm: runs with") {
            true => drop(told.next()),
            false => lines.push(line),
        }
    }
    lines
}

/// What the real host said of each change, by its line in the table.
fn on_a_host(state: &str) -> BTreeMap<String, Vec<String>> {
    let (_, part) = ON_A_HOST.split_once(&format!("{state}\n")).unwrap();
    let (part, _) = part.split_once("\n\n").unwrap();
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut change = String::new();
    for line in part.lines() {
        match line.strip_prefix("    ") {
            Some(line) => said.entry(change.clone()).or_default().extend(lines(line)),
            None => change = line.to_owned(),
        }
    }
    said
}

/// Makes one change after the other, and compares what is said of each.
fn compare(state: &str, mut fleet: String, changes: &[(&str, &str, &str)]) {
    let host = on_a_host(state);
    let mut different = BTreeSet::new();
    for (key, before, after) in changes {
        assert_eq!(fleet.matches(before).count(), 1, "{before}: {fleet}");
        let new = fleet.replace(before, after);
        let told = text(&diff_of(&fleet, &new).plan);
        let said = &host[&format!("{key}: {before} -> {after}")];
        match DIFFERENT
            .iter()
            .find(|(when, known, _)| (when, known) == (&state, key))
        {
            None => assert_eq!(of_vm(&told), *said, "{state}, {key}: {told}"),
            Some(_) => {
                assert_ne!(of_vm(&told), *said, "{state}, {key}");
                different.insert(*key);
            }
        }
        fleet = new;
    }
    let known = DIFFERENT.iter().filter(|(when, ..)| *when == state);
    assert_eq!(different, known.map(|(_, key, _)| *key).collect());
}

#[test]
fn a_change_says_what_the_plan_on_a_real_host_says() {
    let forward = |change: &Change| (change.key, change.before, change.after);
    let changes: Vec<_> = CHANGES.iter().map(forward).collect();
    let fleet = key_table::fleet(RECIPE, true);
    compare(OFF, fleet.clone(), &changes);

    let changed = changes.iter().fold(fleet, |text, (_, before, after)| {
        text.replace(before, after)
    });
    let back = |change: &Change| (change.key, change.after, change.back);
    let back: Vec<_> = CHANGES.iter().rev().map(back).collect();
    compare(
        RUNNING,
        changed.replace("state: stopped", "state: running"),
        &back,
    );
}

/// A fleet with the keys that the table of the real host has not.
const MORE: &str = "\
fleet: recipe
profiles: { one: { vcpus: 1 }, two: { vcpus: 2 } }
vms:
  armhf-vm:
    profile: one
    arch: armhf
    memory: 512MiB
    accel: auto
    memory_backing: default
    transport: mmio
    boot:
      share: /srv/boot
      cmdline: console=ttyAMA0 root=/dev/vda1
      handover: copy
      confirm_within: 5min
      seed: { kernel: /srv/seed/vmlinuz, initrd: /srv/seed/initrd.img }
    disks:
      - { path: /srv/root.img, size: 64MiB, from: { path: /srv/base.img } }
      - { path: /srv/over.qcow2, backing: { path: /srv/below.img, format: raw } }
      - { path: /srv/scratch.img, size: 8MiB }
    networks: [{ network: farm, vlan: 7 }]
    state: running
    autostart: true
    on_guest_reboot: cold-boot
    stop_timeout: 2min
    restart: never
    protect: false
    adopt: { from: old }
  installed:
    arch: armhf
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    install: { kernel: /srv/netboot/vmlinuz, initrd: /srv/netboot/initrd.gz, cmdline: console=ttyAMA0, files: { /preseed.cfg: /srv/preseed.cfg } }
    disks: [{ path: /srv/installed.img, size: 64MiB }]
  on-pci:
    arch: arm64
    memory: 512MiB
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    disks: [{ path: /srv/on-pci.img }]
    networks: [{ bridge: br0, model: virtio }]
";

/// A change of each of them; those of `install` mean nothing to a VM that is installed.
const MORE_CHANGES: &[Change] = &[
    change("profile", "profile: one", "profile: two"),
    change(
        "arch",
        "arch: armhf\n    memory: 512MiB\n    accel",
        "arch: arm64\n    memory: 512MiB\n    accel",
    ),
    change(
        "userland",
        "arch: armhf\n    memory: 512MiB\n    accel",
        "arch: arm64\n    userland: armhf\n    memory: 512MiB\n    accel",
    ),
    change("accel", "accel: auto", "accel: kvm"),
    change(
        "memory_backing",
        "memory_backing: default",
        "memory_backing: hugepages",
    ),
    change("transport", "transport: mmio", "transport: pci"),
    change("boot.share", "share: /srv/boot", "share: /srv/other"),
    change(
        "boot.cmdline",
        "root=/dev/vda1\n      handover",
        "root=/dev/vda1 quiet\n      handover",
    ),
    change(
        "boot.cmdline",
        "root=/dev/vda1\n      handover",
        "root=/dev/vda1 key={env.A}\n      handover",
    ),
    change("boot.handover", "handover: copy", "handover: link"),
    change(
        "boot.confirm_within",
        "confirm_within: 5min",
        "confirm_within: 9min",
    ),
    change(
        "boot.seed",
        "      seed: { kernel: /srv/seed/vmlinuz, initrd: /srv/seed/initrd.img }\n",
        "",
    ),
    change(
        "boot.seed.kernel",
        "kernel: /srv/seed/vmlinuz",
        "kernel: /srv/seed/vmlinuz-2",
    ),
    change(
        "boot.seed.initrd",
        "initrd: /srv/seed/initrd.img",
        "initrd: /srv/seed/initrd.img-2",
    ),
    change("boot.dtb", "handover: copy", "dtb: /srv/virt.dtb"),
    change(
        "install.kernel",
        "/srv/netboot/vmlinuz",
        "/srv/other/vmlinuz",
    ),
    change(
        "install.initrd",
        "/srv/netboot/initrd.gz",
        "/srv/other/initrd.gz",
    ),
    change(
        "install.cmdline",
        "cmdline: console=ttyAMA0, files",
        "cmdline: console=ttyAMA0 quiet, files",
    ),
    change("install.files", "/srv/preseed.cfg", "/srv/other.cfg"),
    change("disks.from", ", from: { path: /srv/base.img }", ""),
    change(
        "disks.from.path",
        "path: /srv/base.img",
        "path: /srv/other.img",
    ),
    change(
        "disks.from.sha256",
        "path: /srv/base.img",
        "path: /srv/base.img, sha256: 0123456789012345678901234567890123456789012345678901234567890123",
    ),
    change(
        "disks.backing",
        "backing: { path: /srv/below.img, format: raw }",
        "size: 1GiB",
    ),
    change(
        "disks.backing.path",
        "path: /srv/below.img",
        "path: /srv/deeper.img",
    ),
    change(
        "disks.backing.format",
        "path: /srv/below.img, format: raw",
        "path: /srv/below.img, format: qcow2",
    ),
    change("disks.fresh", "size: 8MiB", "size: 8MiB, fresh: each-start"),
    change("networks.model", "model: virtio", "model: e1000"),
    change("networks.vlan", "vlan: 7", "vlan: 8"),
    change("state", "state: running", "state: stopped"),
    change("autostart", "autostart: true", "autostart: false"),
    change(
        "on_guest_reboot",
        "on_guest_reboot: cold-boot",
        "on_guest_reboot: warm",
    ),
    change("stop_timeout", "stop_timeout: 2min", "stop_timeout: 9min"),
    change("restart", "restart: never", "restart: when-required"),
    change("protect", "protect: false", "protect: true"),
    change("adopt", "adopt: { from: old }\n", "\n"),
    change("adopt.from", "from: old", "from: older"),
];

/// Keys that have one value in this version.
const OF_ONE_VALUE: [&str; 2] = ["host", "boot.from"];

#[test]
fn a_change_of_each_other_key_is_shown() {
    let mut told = String::new();
    for Change {
        key, before, after, ..
    } in MORE_CHANGES
    {
        assert_eq!(MORE.matches(before).count(), 1, "{before}");
        let diff = diff_of(MORE, &MORE.replace(before, after));
        writeln!(told, "{key}: {} -> {}", before.trim(), after.trim()).unwrap();
        for line in text(&diff.plan)
            .lines()
            .skip(2)
            .filter(|line| !line.is_empty())
        {
            writeln!(told, "    {line}").unwrap();
        }
    }
    snapbox::assert_data_eq!(told, snapbox::file!["keys.txt"].raw());
}

#[test]
fn no_key_of_a_vm_is_forgotten() {
    let changes = CHANGES.iter().chain(MORE_CHANGES).map(|change| change.key);
    let known: BTreeSet<&str> = changes
        .chain(MAPS.iter().chain(OTHER_MAPS).copied())
        .chain(OF_ONE_VALUE)
        .collect();
    let forgotten: Vec<String> = vm_keys()
        .into_iter()
        .filter(|key| !known.contains(key.as_str()))
        .collect();
    assert_eq!(forgotten, [""; 0]);
    // What the real host is asked about elsewhere is asked about here.
    let elsewhere = ELSEWHERE
        .iter()
        .map(|(key, _)| *key)
        .chain(OTHERS.iter().copied());
    assert!(elsewhere.into_iter().all(|key| known.contains(key)));
}
