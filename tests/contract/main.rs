//! How hosts behave, as far as armfleet relies on it: one suite for all that stand behind the primitive calls.
//!
//! Real libvirt holds it, too: `tests/e2e` runs it there.

// A test's own functions may fail as tests do.
#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod domains;
mod files;
mod folders;
#[path = "../harness/kernels.rs"]
mod kernels;
mod shares;
mod ways;

use armfleet::files::Folder;
use armfleet::host::Observer;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{CallErrorKind, Owner, Primitives, Reads};
use armfleet::host::system::{SystemHost, SystemReads};
use armfleet::inventory::{AddressSource, RawAddress, RawDomain, RawLibvirt};
use armfleet::trust::Writer;
use domains::{Subject, contract};
use std::path::Path;
use std::time::Duration;

/// A host in memory, with what libvirt 9.0 tells of a host of Debian 12.
fn memory() -> Memory {
    Memory::new(RawLibvirt {
        version: 9_000_000,
        capabilities: include_str!("../captured/capabilities-9.0.xml").to_owned(),
        bits32: None,
    })
}

#[test]
fn a_host_in_memory_holds_the_contract() {
    let host = memory();
    contract(&Subject {
        host: &host,
        domain_type: "qemu",
        power_off: &|uuid| {
            let name = host.domain(uuid).unwrap().name;
            host.destroy(&name).unwrap();
        },
    });
}

#[test]
fn files_in_memory_hold_the_contract() {
    files::contract(&memory());
}

#[test]
fn folders_in_memory_hold_the_contract() {
    let host = memory();
    host.make_folder("/srv/folder", 0o755, None).unwrap();
    host.within("/srv/folder", |folder| folders::contract(&folder))
        .unwrap();
}

#[test]
fn real_folders_hold_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    folders::contract(&Folder::open(folder.path()).unwrap());
}

#[test]
fn real_files_hold_the_contract() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["srv", "run", "var/lib"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    files::contract(&SystemHost::open("test:///default", root.path()).unwrap());
}

#[test]
fn ways_in_memory_hold_the_contract() {
    let host = memory();
    ways::contract(
        &Observer(host.clone()),
        &ways::Shell {
            link: &|path, target| host.put_link(path, target).unwrap(),
            give_link: &|path, uid| host.own(path, 0o777, Owner { uid, gid: 0 }).unwrap(),
            set_acl: &|path, writers| host.give_acl(path, writers).unwrap(),
        },
    );
    ways::each_folder_is_looked_at_once(host);
}

#[test]
fn what_domains_use_costs_a_look_each() {
    ways::what_domains_use_costs_a_look_each(&memory());
}

#[test]
fn real_ways_hold_the_contract() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("srv")).unwrap();
    let host = || SystemHost::open("test:///default", root.path()).unwrap();
    let below = |path: &str| root.path().join(path.trim_start_matches('/'));
    ways::contract(
        &Observer(host()),
        &ways::Shell {
            link: &|path, target| std::os::unix::fs::symlink(target, below(path)).unwrap(),
            give_link: &|path, uid| {
                std::os::unix::fs::lchown(below(path), Some(uid), None).unwrap();
            },
            set_acl: &|path, writers| set_acl(&below(path), writers),
        },
    );
    ways::each_folder_is_looked_at_once(host());
}

/// As `setfacl -m` does.
fn set_acl(folder: &Path, writers: &[Writer]) {
    const NOBODY: u32 = u32::MAX;
    let mut entries = vec![
        (1, 7, NOBODY),
        (4, 5, NOBODY),
        (0x10, 7, NOBODY),
        (0x20, 5, NOBODY),
    ];
    entries.extend(writers.iter().map(|writer| match writer {
        Writer::User(uid) => (2, 7, *uid),
        Writer::Group(gid) => (8, 7, *gid),
        Writer::Everyone => panic!("not in a list"),
    }));
    entries.sort();
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend([u16::to_le_bytes(tag), u16::to_le_bytes(permissions)].concat());
        list.extend(u32::to_le_bytes(id));
    }
    let name = "system.posix_acl_access";
    rustix::fs::setxattr(folder, name, &list, rustix::fs::XattrFlags::empty()).unwrap();
}

/// libvirt's own driver for tests: its domains end with this process.
#[test]
fn the_test_driver_holds_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let host = SystemHost::open("test:///default", root.path()).unwrap();
    contract(&Subject {
        host: &host,
        domain_type: "test",
        power_off: &|uuid| host.shutdown(uuid, Duration::from_secs(30)).unwrap(),
    });
}

/// Looking needs no right to change anything, and sees the same.
#[test]
fn a_host_that_is_only_looked_at_is_seen_as_any_other() {
    let root = tempfile::tempdir().unwrap();
    let host = SystemHost::open("test:///default", root.path()).unwrap();
    let reads = SystemReads::open("test:///default", root.path()).unwrap();
    assert_eq!(reads.libvirt(), host.libvirt());
    let named = |domains: Vec<RawDomain>| domains.into_iter().find(|domain| domain.name == "test");
    let domain = named(reads.domains().unwrap());
    assert!(domain.is_some());
    assert_eq!(domain, named(host.domains().unwrap()));
}

/// libvirt's test driver gives each interface an address, whoever is asked.
#[test]
fn a_host_tells_the_addresses_of_guests() {
    let root = tempfile::tempdir().unwrap();
    let reads = SystemReads::open("test:///default", root.path()).unwrap();
    let mut domains = reads.domains().unwrap().into_iter();
    let domain = domains.find(|domain| domain.name == "test").unwrap();
    for source in [AddressSource::Lease, AddressSource::Agent] {
        let told = reads.addresses(&domain.uuid, source).unwrap();
        let expected = RawAddress {
            mac: "aa:bb:cc:dd:ee:ff".to_owned(),
            address: "192.168.122.3".to_owned(),
            source,
        };
        assert_eq!(told, [expected]);
        let nowhere = reads.addresses("a5f1ee70-0000-4000-8000-000000000000", source);
        assert_eq!(nowhere.unwrap_err().kind, CallErrorKind::Missing);
    }
}

/// libvirt's test driver has one network, with the bridge virbr0.
#[test]
fn a_host_tells_what_it_offers() {
    let root = tempfile::tempdir().unwrap();
    for device in ["br0/bridge", "virbr0/bridge", "eth0", "br-old/bridge"] {
        std::fs::create_dir_all(root.path().join("sys/class/net").join(device)).unwrap();
    }
    let reads = SystemReads::open("test:///default", root.path()).unwrap();
    let capabilities = reads.host_capabilities().unwrap();
    assert_eq!(capabilities.bridges, ["br-old", "br0"]);
    let network = &capabilities.networks[0];
    assert_eq!(network.name, "default");
    assert_eq!(network.bridge.as_deref(), Some("virbr0"));
    assert!(network.active && !network.autostart);
    assert_eq!(reads.networks().unwrap(), capabilities.networks);
    let links = reads.links().unwrap();
    let links: Vec<_> = links
        .iter()
        .map(|link| (link.name.as_str(), link.bridge))
        .collect();
    assert_eq!(
        links,
        [
            ("br-old", true),
            ("br0", true),
            ("eth0", false),
            ("virbr0", true)
        ]
    );
    assert_eq!(capabilities.libvirt, reads.libvirt().unwrap());
}

#[test]
fn a_libvirt_that_cannot_be_reached_is_an_error_with_a_remedy() {
    for uri in ["test+unix:///default?socket=/nonexistent/socket", "a\0b"] {
        let Err(error) = SystemReads::open(uri, Path::new("/")) else {
            panic!("{uri} was reached")
        };
        println!("{error}");
        assert_eq!(error.kind, CallErrorKind::Other);
        let remedy = "Is libvirtd running on the host of";
        assert!(error.why.contains(remedy) || uri.contains('\0'), "{error}");
    }
}
