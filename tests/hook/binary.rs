//! The binary itself: what it loads, and that it and the shim work on a host's real paths.

use crate::world::World;
use armfleet::hook::SHIM;
use armfleet::paths;
use snapbox::{assert_data_eq, str};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_armfleet-hook");

/// The shared libraries that a 64-bit little-endian ELF file asks for.
fn needed_libraries(elf: &[u8]) -> Vec<String> {
    let number = |at: usize, size: usize| {
        let bytes = elf[at..at + size].iter().rev();
        bytes.fold(0usize, |value, byte| value << 8 | usize::from(*byte))
    };
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01");
    let (table, entry, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    let segments: Vec<[usize; 4]> = (0..count)
        .map(|n| table + n * entry)
        .map(|at| {
            [
                number(at, 4),
                number(at + 8, 8),
                number(at + 16, 8),
                number(at + 32, 8),
            ]
        })
        .collect();
    let [_, offset, _, size] = segments
        .iter()
        .copied()
        .find(|segment| segment[0] == 2)
        .unwrap();
    let dynamic: Vec<(usize, usize)> = (offset..offset + size)
        .step_by(16)
        .map(|at| (number(at, 8), number(at + 8, 8)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let strings = dynamic.iter().find(|(tag, _)| *tag == 5).unwrap().1;
    let [_, offset, address, _] = segments
        .iter()
        .copied()
        .find(|[kind, _, address, size]| {
            *kind == 1 && (*address..address + size).contains(&strings)
        })
        .unwrap();
    let names = dynamic.iter().filter(|(tag, _)| *tag == 1);
    names
        .map(|(_, at)| &elf[strings - address + offset + at..])
        .map(|name| name.split(|byte| *byte == 0).next().unwrap())
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

#[test]
fn the_hook_loads_no_libvirt() {
    let needed = needed_libraries(&fs::read(BINARY).unwrap());
    let known = [
        "libc.so.",
        "libgcc_s.so.",
        "ld-linux",
        "ld64",
        "libm.so.",
        "libpthread.so.",
        "libdl.so.",
    ];
    assert!(
        needed.iter().any(|name| name.starts_with("libc.so.")),
        "{needed:?}"
    );
    for name in &needed {
        assert!(
            known.iter().any(|known| name.starts_with(known)),
            "{needed:?}"
        );
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn operations_that_are_none_of_its_business_end_with_0() {
    for operation in [
        "start",
        "started",
        "stopped",
        "release",
        "reconnect",
        "restore",
        "migrate",
    ] {
        let output = run(&["no-vm-of-anybody", operation, "begin", "-"]);
        assert_eq!(output.status.code(), Some(0), "{operation}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not by hand"));
}

/// Runs the shim and the binary where `/var/lib/armfleet` is the world's and `/run` is empty, seen by nobody else.
fn start_on_a_host(world: &World) -> Output {
    start_with(
        world,
        "mount --bind \"$1/var/lib/armfleet\" /var/lib/armfleet",
    )
}

/// The same in a copy of the world's `/var/lib/armfleet`, on a file system with so many pages of room.
fn start_with_room(world: &World, pages: usize) -> Output {
    let room = format!(
        "mount -t tmpfs -o size={} none /var/lib/armfleet
        cp -a \"$1/var/lib/armfleet/.\" /var/lib/armfleet",
        pages * 4096
    );
    start_with(world, &room)
}

fn start_with(world: &World, state: &str) -> Output {
    let shim = world.outside("50-armfleet");
    fs::write(
        &shim,
        SHIM.replace("hook=/usr/bin/armfleet-hook\n", &format!("hook={BINARY}\n")),
    )
    .unwrap();
    fs::write(world.outside("domain.xml"), world.xml()).unwrap();
    let script = format!(
        r#"set -e
        mount -t tmpfs none /var/lib
        mkdir /var/lib/armfleet
        {state}
        mount -t tmpfs none /run
        code=0
        sh "$1/50-armfleet" armhf-vm prepare begin - <"$1/domain.xml" || code=$?
        [ -f /run/armfleet/hook-seen/armhf-vm ]
        exit $code"#
    );
    let rights: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    };
    Command::new("unshare")
        .args(rights)
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(world.outside(""))
        .output()
        .unwrap()
}

#[test]
fn shim_and_binary_work_together_on_a_hosts_paths() {
    let world = World::installed();
    let started = start_on_a_host(&world);
    let said = String::from_utf8_lossy(&started.stderr);
    assert_eq!(started.status.code(), Some(0), "{said}");
    assert!(started.stdout.is_empty());
    assert!(said.contains("boots 6.1.0-48-armmp"), "{said}");
    assert_eq!(world.booted(), "6.1.0-48-armmp");

    let empty = World::new();
    let refused = start_on_a_host(&empty);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("armhf-vm cannot start"));
    assert!(!Path::new(&empty.path(paths::current)).exists());
}

#[test]
fn a_start_without_room_says_so_and_where_room_is_needed() {
    let world = World::installed();
    let mut refusals = BTreeSet::new();
    // The record has one page, the pair six, and what boots of it six more; what else there is needs some.
    for pages in 2..18 {
        let started = start_with_room(&world, pages);
        let said = String::from_utf8(started.stderr).unwrap();
        if started.status.code() == Some(0) {
            assert!(said.contains("boots 6.1.0-48-armmp"), "{said}");
            continue;
        }
        assert_eq!(started.status.code(), Some(1), "{said}");
        refusals.insert(said);
    }
    let refusals: Vec<_> = refusals.into_iter().collect();
    assert_data_eq!(
        refusals.join("\n"),
        str![[r#"
armfleet: armhf-vm cannot start: there is no pair of kernel and initrd to boot
  links vmlinuz and initrd.img: cannot copy initrd.img-6.1.0-48-armmp: No space left on device (os error 28)
  links vmlinuz.old and initrd.img.old: `vmlinuz.old` is not there
  seed: the fleet file gives none
To do: free some room in the file system of /var/lib/armfleet; then start the VM again.

armfleet: armhf-vm cannot start: there is no pair of kernel and initrd to boot
  links vmlinuz and initrd.img: cannot copy vmlinuz-6.1.0-48-armmp: No space left on device (os error 28)
  links vmlinuz.old and initrd.img.old: `vmlinuz.old` is not there
  seed: the fleet file gives none
To do: free some room in the file system of /var/lib/armfleet; then start the VM again.

armfleet: armhf-vm cannot start: there is no pair of kernel and initrd to boot
  links vmlinuz and initrd.img: cannot write /var/lib/armfleet/vms/armhf-vm/boot/g/.draft/.initrd.img.armfleet: No space left on device (os error 28)
  links vmlinuz.old and initrd.img.old: `vmlinuz.old` is not there
  seed: the fleet file gives none
To do: free some room in the file system of /var/lib/armfleet; then start the VM again.

armfleet: armhf-vm cannot start: there is no pair of kernel and initrd to boot
  links vmlinuz and initrd.img: cannot write /var/lib/armfleet/vms/armhf-vm/boot/g/.draft/.vmlinuz.armfleet: No space left on device (os error 28)
  links vmlinuz.old and initrd.img.old: `vmlinuz.old` is not there
  seed: the fleet file gives none
To do: free some room in the file system of /var/lib/armfleet; then start the VM again.

armfleet: armhf-vm cannot start: there is no pair of kernel and initrd to boot
  links vmlinuz and initrd.img: cannot write /var/lib/armfleet/vms/armhf-vm/boot/g/.draft/pair.json: No space left on device (os error 28)
  links vmlinuz.old and initrd.img.old: `vmlinuz.old` is not there
  seed: the fleet file gives none
To do: free some room in the file system of /var/lib/armfleet; then start the VM again.

"#]]
    );
    assert_eq!(start_with_room(&world, 18).status.code(), Some(0));
}
