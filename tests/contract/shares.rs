//! One share, whoever looks at it: hook, planner and host in memory choose the same pair.

use crate::memory;
use armfleet::boot::{
    BootFileName, Considered, Listing, MODE_XATTR, choose, is_of_interest, read_share,
};
use armfleet::files::Share;
use armfleet::host::memory::Memory;
use armfleet::host::primitives::{Primitives, Reads};
use armfleet::host::system::SystemReads;
use armfleet::inventory::{Look, RawFile};
use armfleet::values::Arch;
use proptest::prelude::*;
use rustix::fs::XattrFlags;
use std::path::Path;
use tempfile::TempDir;

const SHARE: &str = "/boot";
const LINK: [u8; 4] = 0o120_777_u32.to_le_bytes();
const FILE: [u8; 4] = 0o100_644_u32.to_le_bytes();
const FIFO: [u8; 4] = 0o010_644_u32.to_le_bytes();

/// What a guest, or a broken QEMU, put into a share under one name.
#[derive(Debug, Clone)]
enum Made {
    File {
        bytes: Vec<u8>,
        mode: Option<Vec<u8>>,
    },
    Folder,
    HostLink,
}

impl Made {
    fn link(text: impl Into<Vec<u8>>) -> Self {
        let (bytes, mode) = (text.into(), Some(LINK.to_vec()));
        Self::File { bytes, mode }
    }

    fn kernel(mode: Option<&[u8]>) -> Self {
        let (bytes, mode) = (b"kernel".to_vec(), mode.map(<[u8]>::to_vec));
        Self::File { bytes, mode }
    }

    fn put(&self, folder: &Path, host: &Memory, name: &str) {
        let (path, place) = (folder.join(name), format!("{SHARE}/{name}"));
        match self {
            Self::File { bytes, mode } => {
                std::fs::write(&path, bytes).unwrap();
                host.put_file(&place, bytes.clone()).unwrap();
                if let Some(mode) = mode {
                    rustix::fs::setxattr(&path, MODE_XATTR, mode, XattrFlags::empty()).unwrap();
                    host.give_guest_mode(&place, mode).unwrap();
                }
            }
            Self::Folder => {
                std::fs::create_dir(&path).unwrap();
                host.make_folder(&place, 0o755, None).unwrap();
            }
            Self::HostLink => {
                std::os::unix::fs::symlink("vmlinuz-1-a", &path).unwrap();
                host.put_link(&place, "vmlinuz-1-a").unwrap();
            }
        }
    }
}

/// A folder where files have extended attributes, which `/tmp` may not be.
fn folder() -> TempDir {
    let binary = std::env::current_exe().unwrap();
    tempfile::tempdir_in(binary.parent().unwrap()).unwrap()
}

fn by_hook(folder: &Path) -> Listing {
    let wanted = |name: &[u8]| BootFileName::new(name).is_ok_and(|name| is_of_interest(&name));
    read_share(&Share::open(folder).unwrap(), wanted)
        .unwrap()
        .listing()
}

/// What a host tells the planner, as a snapshot keeps it.
fn by_planner(host: &impl Reads) -> Listing {
    let seen = host.look(SHARE, Look::Share);
    let kept = serde_json::to_string(seen.present().unwrap()).unwrap();
    serde_json::from_str::<RawFile>(&kept).unwrap().listing()
}

/// The pairs that each of the three chooses, which are the same.
fn assert_chosen_alike(share: &[(String, Made)]) -> Vec<Considered> {
    let (root, host) = (folder(), memory());
    let boot = root.path().join("boot");
    std::fs::create_dir(&boot).unwrap();
    host.make_folder(SHARE, 0o700, None).unwrap();
    for (name, made) in share {
        made.put(&boot, &host, name);
    }
    let chosen = choose(&by_hook(&boot), Arch::ARMHF);
    let reads = SystemReads::open("test:///default", root.path()).unwrap();
    assert_eq!(choose(&by_planner(&reads), Arch::ARMHF), chosen);
    assert_eq!(choose(&by_planner(&host), Arch::ARMHF), chosen);
    chosen
}

fn pair(version: &str) -> [(String, Made); 2] {
    ["vmlinuz", "initrd.img"].map(|name| (format!("{name}-{version}"), Made::kernel(None)))
}

/// Links that name a pair, and the pair.
fn linked(version: &str) -> Vec<(String, Made)> {
    let links = ["vmlinuz", "initrd.img"];
    let links = links.map(|name| (name.to_owned(), Made::link(format!("{name}-{version}"))));
    links.into_iter().chain(pair(version)).collect()
}

fn named(share: &[(String, Made)], name: &str, made: Made) -> Vec<(String, Made)> {
    let mut share = share.to_vec();
    share.retain(|(other, _)| other != name);
    share.push((name.to_owned(), made));
    share
}

/// The versions of the pairs that could boot, best first.
fn versions(share: &[(String, Made)]) -> Vec<String> {
    let chosen = assert_chosen_alike(share);
    let pairs = chosen.into_iter().flatten();
    pairs.map(|pair| pair.version.to_string()).collect()
}

#[test]
fn an_attribute_that_no_guest_makes_is_no_kernel_for_anyone() {
    let share = [&linked("1-a")[..], &pair("2-b")].concat();
    assert_eq!(versions(&share), ["1-a", "2-b"]);
    for mode in [&FIFO[..], &FIFO[..2], &[0; 5], b""] {
        let share = named(&share, "vmlinuz-1-a", Made::kernel(Some(mode)));
        assert_eq!(versions(&share), ["2-b"], "{mode:?}");
    }
    let share = named(&share, "vmlinuz-1-a", Made::kernel(Some(&FILE)));
    assert_eq!(versions(&share), ["1-a", "2-b"]);
}

#[test]
fn a_link_that_is_no_text_or_too_long_is_passed_over_by_everyone() {
    let share = [&linked("1-a")[..], &pair("2-b")].concat();
    for text in [
        b"vmlinuz-\xff".to_vec(),
        vec![b'v'; 4096],
        vec![b'v'; 9000],
        Vec::new(),
    ] {
        assert_eq!(
            versions(&named(&share, "vmlinuz", Made::link(text))),
            ["2-b", "1-a"]
        );
    }
}

#[test]
fn of_too_many_names_everyone_sees_the_links_and_what_they_name() {
    let many = (0..4200).map(|number| (format!("file-{number}"), Made::kernel(None)));
    let share = [&linked("1-a")[..], &pair("2-b"), &many.collect::<Vec<_>>()].concat();
    assert_eq!(versions(&share), ["1-a"]);
}

fn made() -> impl Strategy<Value = Made> {
    let target = prop_oneof![
        Just("vmlinuz-1-a"),
        Just("vmlinuz-2-b"),
        Just("initrd.img-1-a"),
        Just("initrd.img-2-b"),
        Just("vmlinuz"),
        Just("../boot/vmlinuz-1-a"),
        Just("/vmlinuz-1-a"),
    ];
    let mode = prop_oneof![
        Just(None),
        Just(Some(FILE.to_vec())),
        Just(Some(LINK.to_vec())),
        Just(Some(FIFO.to_vec())),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Some),
    ];
    prop_oneof![
        4 => target.prop_map(Made::link),
        4 => (prop::collection::vec(any::<u8>(), 0..9), mode).prop_map(|(bytes, mode)| Made::File { bytes, mode }),
        1 => Just(Made::Folder),
        1 => Just(Made::HostLink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_share_is_read_alike(
        share in prop::collection::btree_map(
            prop_oneof![
                Just("vmlinuz"), Just("initrd.img"), Just("vmlinuz.old"), Just("initrd.img.old"),
                Just("vmlinuz-1-a"), Just("initrd.img-1-a"), Just("vmlinuz-2-b"), Just("initrd.img-2-b"),
                Just("vmlinuz-1-a.dpkg-new"), Just("config-1-a"), Just("a name"),
            ],
            made(),
            0..11,
        ),
    ) {
        let share: Vec<_> = share.into_iter().map(|(name, made)| (name.to_owned(), made)).collect();
        assert_chosen_alike(&share);
    }
}
