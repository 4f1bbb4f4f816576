//! Which pairs of a share are tried, and in which order.

use super::*;
use crate::boot::{KernelKind, Unusual};
use proptest::prelude::*;

/// A share as `ls` would show it: `name -> target`, or `name size`.
fn listing(lines: &[&str]) -> Listing {
    let entry = |line: &&str| {
        let (name, entry) = match line.split_once(" -> ") {
            Some((name, target)) => (name, Entry::Link(target.as_bytes().to_vec())),
            None => match line.split_once(' ') {
                Some((name, size)) => (name, Entry::File(size.parse().unwrap())),
                None => (*line, Entry::Unusual(Unusual::Folder)),
            },
        };
        (BootFileName::new(name.as_bytes()).unwrap(), entry)
    };
    Listing {
        entries: lines.iter().map(entry).collect(),
        ..Listing::default()
    }
}

const ARCH: Arch = Arch::ARMHF;

fn candidates(lines: &[&str]) -> Vec<String> {
    candidates_of(&listing(lines), ARCH)
}

fn candidates_of(listing: &Listing, arch: Arch) -> Vec<String> {
    choose(listing, arch)
        .iter()
        .flatten()
        .map(|pair| format!("{:?} {}", pair.source, pair.version))
        .collect()
}

fn passed_over(seen: &Listing) -> Vec<PassedOver> {
    choose(seen, ARCH)
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

fn first_reason(lines: &[&str]) -> String {
    passed_over(&listing(lines))[0].to_string()
}

const UPGRADED: [&str; 8] = [
    "vmlinuz -> vmlinuz-6.1.0-50-armmp",
    "initrd.img -> initrd.img-6.1.0-50-armmp",
    "vmlinuz.old -> vmlinuz-6.1.0-48-armmp",
    "initrd.img.old -> initrd.img-6.1.0-48-armmp",
    "vmlinuz-6.1.0-48-armmp 5000000",
    "vmlinuz-6.1.0-50-armmp 5000001",
    "initrd.img-6.1.0-48-armmp 20000000",
    "initrd.img-6.1.0-50-armmp 20000001",
];

#[test]
fn the_links_come_first_then_the_old_ones_then_the_newest() {
    assert_eq!(
        candidates(&UPGRADED),
        ["Links 6.1.0-50-armmp", "OldLinks 6.1.0-48-armmp"]
    );
    assert!(passed_over(&listing(&UPGRADED)).is_empty());
    assert_eq!(
        candidates(&UPGRADED[4..]),
        ["Newest 6.1.0-50-armmp", "Newest 6.1.0-48-armmp"]
    );
}

#[test]
fn a_link_may_name_another_one() {
    let mut seen = UPGRADED.to_vec();
    seen[0] = "vmlinuz -> ./vmlinuz-armmp";
    seen.push("vmlinuz-armmp -> ../boot/vmlinuz-6.1.0-50-armmp");
    assert_eq!(
        candidates(&seen),
        ["Links 6.1.0-50-armmp", "OldLinks 6.1.0-48-armmp"]
    );
}

#[test]
fn an_upgrade_cut_before_its_initrd_boots_the_old_pair() {
    let cut = &UPGRADED[..7];
    assert_eq!(candidates(cut), ["OldLinks 6.1.0-48-armmp"]);
    assert_eq!(
        first_reason(cut),
        "links vmlinuz and initrd.img: the link `initrd.img` names `initrd.img-6.1.0-50-armmp`, which is not there"
    );
    let unfinished = [cut, &["initrd.img-6.1.0-50-armmp.new 100"]].concat();
    assert_eq!(candidates(&unfinished), ["OldLinks 6.1.0-48-armmp"]);
    let empty = [cut, &["initrd.img-6.1.0-50-armmp 0"]].concat();
    assert_eq!(candidates(&empty), ["OldLinks 6.1.0-48-armmp"]);
}

#[test]
fn old_links_that_name_the_same_pair_are_no_second_candidate() {
    let installed = [
        "vmlinuz -> vmlinuz-6.1.0-48-armmp",
        "initrd.img -> initrd.img-6.1.0-48-armmp",
        "vmlinuz.old -> vmlinuz-6.1.0-48-armmp",
        "initrd.img.old -> initrd.img-6.1.0-48-armmp",
        "vmlinuz-6.1.0-48-armmp 5000000",
        "initrd.img-6.1.0-48-armmp 5000000",
    ];
    assert_eq!(candidates(&installed), ["Links 6.1.0-48-armmp"]);
}

#[test]
fn what_dpkg_and_update_initramfs_leave_is_no_kernel() {
    let left = [
        "vmlinuz-6.1.0-48-armmp 5",
        "initrd.img-6.1.0-48-armmp 5",
        "vmlinuz-6.1.0-50-armmp.dpkg-new 5",
        "initrd.img-6.1.0-50-armmp.dpkg-new 5",
        "vmlinuz-6.1.0-51-armmp.dpkg-tmp 5",
        "initrd.img-6.1.0-51-armmp.dpkg-tmp 5",
        "vmlinuz-6.1.0-52-armmp.dpkg-bak 5",
        "initrd.img-6.1.0-52-armmp.dpkg-bak 5",
        "vmlinuz-6.1.0-53-armmp.new 5",
        "initrd.img-6.1.0-53-armmp.new 5",
        "vmlinuz.12345 -> vmlinuz-6.1.0-50-armmp",
        "initrd.img.old.12345 -> initrd.img-6.1.0-50-armmp",
        "vmlinuz-rescue 5",
        "initrd.img-rescue 5",
    ];
    assert_eq!(candidates(&left), ["Newest 6.1.0-48-armmp"]);
}

#[test]
fn every_useless_share_says_why() {
    let with_link = |link: &str, rest: &[&str]| {
        let mut lines = vec![link, "initrd.img -> initrd.img-1"];
        lines.extend_from_slice(rest);
        first_reason(&lines)
    };
    let pair = ["vmlinuz-1 5", "initrd.img-1 5", "initrd.img-2 5"];
    assert!(first_reason(&[]).ends_with("`vmlinuz` is not there"));
    assert!(with_link("vmlinuz 40", &pair).contains("is a plain file, not a link"));
    assert!(with_link("vmlinuz 0", &pair).contains("is empty"));
    assert!(with_link("vmlinuz", &pair).contains("is a folder"));
    assert!(
        with_link("vmlinuz -> ../../etc/shadow", &pair).contains("not a file directly in /boot")
    );
    assert!(with_link("vmlinuz -> vmlinuz-2", &pair).contains("`vmlinuz-2`, which is not there"));
    assert!(
        with_link("vmlinuz -> vmlinuz.old", &["vmlinuz.old -> vmlinuz-1"])
            .contains("`vmlinuz-1`, which is not there")
    );
    assert!(with_link("vmlinuz -> vmlinuz", &[]).contains("itself a link"));
    assert!(with_link("vmlinuz -> initrd.img-1", &pair).contains("not a `vmlinuz-VERSION`"));
    assert!(
        with_link("vmlinuz -> vmlinuz-2", &["vmlinuz-2 5", "initrd.img-1 5"])
            .contains("the kernel is 2, the initrd 1")
    );
    assert!(
        with_link(
            "vmlinuz -> vmlinuz-1",
            &["vmlinuz-1 99999999999", "initrd.img-1 5"]
        )
        .contains("more than the limit of 67108864")
    );
    assert!(
        with_link("vmlinuz -> vmlinuz-1", &["vmlinuz-1", "initrd.img-1 5"])
            .contains("`vmlinuz-1` is a folder")
    );
    let reasons = passed_over(&listing(&[]));
    assert_eq!(reasons.last().unwrap().why, Unusable::NoKernel(ARCH));
}

#[test]
fn a_share_that_was_not_read_to_its_end_has_no_newest_kernel() {
    let mut seen = listing(&UPGRADED);
    seen.cut = true;
    assert_eq!(choose(&seen, ARCH).iter().flatten().count(), 2);
    assert_eq!(passed_over(&seen)[0].why, Unusable::TooManyFiles);
}

/// A share with kernels of both architectures, by their names.
fn mixed(lines: &[&str]) -> Listing {
    let mut seen = listing(lines);
    let kinds = seen.entries.keys().filter_map(|name| {
        let arch = match KernelVersion::of_kernel(name)?.as_str() {
            version if version.ends_with("-arm64") => Arch::ARM64,
            version if version.ends_with("-armmp") => Arch::ARMHF,
            _ => return None,
        };
        Some((name.clone(), KernelKind { arch, pages: None }))
    });
    seen.kernels = kinds.collect();
    seen
}

#[test]
fn a_kernel_for_another_processor_is_no_candidate() {
    let both = [
        &UPGRADED[..],
        &["vmlinuz-6.1.0-47-arm64 5", "initrd.img-6.1.0-47-arm64 5"],
    ];
    let both = mixed(&both.concat());
    assert_eq!(candidates_of(&both, Arch::ARM64), ["Newest 6.1.0-47-arm64"]);
    assert_eq!(
        candidates_of(&both, ARCH),
        ["Links 6.1.0-50-armmp", "OldLinks 6.1.0-48-armmp"]
    );
    let passed_over: Vec<String> = choose(&both, Arch::ARM64)
        .into_iter()
        .filter_map(|considered| Some(considered.err()?.to_string()))
        .collect();
    assert_eq!(
        passed_over,
        [
            "links vmlinuz and initrd.img: `vmlinuz-6.1.0-50-armmp` is a kernel for armhf",
            "links vmlinuz.old and initrd.img.old: `vmlinuz-6.1.0-48-armmp` is a kernel for armhf",
        ]
    );
    let only = mixed(&UPGRADED);
    assert_eq!(candidates_of(&only, Arch::ARM64), [""; 0]);
    let last = choose(&only, Arch::ARM64).pop().unwrap().unwrap_err();
    assert_eq!(last.why, Unusable::NoKernel(Arch::ARM64));
}

#[test]
fn kernels_for_another_processor_do_not_count_against_the_limit() {
    let mut lines: Vec<String> = (10..20)
        .flat_map(|n| {
            [
                format!("vmlinuz-{n}-armmp 5"),
                format!("initrd.img-{n}-armmp 5"),
            ]
        })
        .collect();
    lines.extend([
        "vmlinuz-9-arm64 5".to_owned(),
        "initrd.img-9-arm64 5".to_owned(),
    ]);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        candidates_of(&mixed(&lines), Arch::ARM64),
        ["Newest 9-arm64"]
    );
}

#[test]
fn kernels_without_initrds_hide_no_pair() {
    let mut lines: Vec<String> = (10..2000).map(|n| format!("vmlinuz-{n} 5")).collect();
    lines.extend(["vmlinuz-9 5".to_owned(), "initrd.img-9 5".to_owned()]);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(candidates(&lines), ["Newest 9"]);
    let told = passed_over(&listing(&lines)).into_iter();
    let told = told.filter(|passed| passed.source == PairSource::Newest);
    assert_eq!(told.count(), INCOMPLETE_LIMIT);
}

#[test]
fn the_names_of_other_systems_make_pairs_where_nothing_else_could_be_meant() {
    for (system, share, pair) in [
        (
            "Fedora",
            &[
                "vmlinuz-6.11.4-301.fc41.aarch64 5",
                "initramfs-6.11.4-301.fc41.aarch64.img 5",
                "vmlinuz-0-rescue-5f5b 5",
                "initramfs-0-rescue-5f5b.img 5",
            ][..],
            "Newest 6.11.4-301.fc41.aarch64",
        ),
        (
            "Arch",
            &[
                "vmlinuz-linux 5",
                "initramfs-linux.img 5",
                "initramfs-linux-fallback.img 5",
            ],
            "Newest linux",
        ),
        (
            "Alpine",
            &["vmlinuz-lts 5", "initramfs-lts 5", "config-6.6 5"],
            "Newest lts",
        ),
        (
            "Arch Linux ARM",
            &["Image 5", "Image.gz 5", "initramfs-linux.img 5"],
            "Newest Image",
        ),
        (
            "openSUSE",
            &[
                "Image -> Image-6.4-default",
                "Image-6.4-default 5",
                "initrd-6.4-default 5",
            ],
            "Newest 6.4-default",
        ),
        (
            "Gentoo",
            &["kernel-6.1-gentoo 5", "initramfs-6.1-gentoo.img 5"],
            "Newest 6.1-gentoo",
        ),
        (
            "dracut on Debian",
            &["vmlinuz-6.1 5", "initrd.img-6.1 5", "initramfs-6.1.img 5"],
            "Newest 6.1",
        ),
        (
            "links",
            &[
                "vmlinuz -> vmlinuz-lts",
                "initrd.img -> initramfs-lts",
                "vmlinuz-lts 5",
                "initramfs-lts 5",
                "vmlinuz-virt 5",
                "initramfs-virt 5",
            ],
            "Links lts",
        ),
        (
            "links to what has no version",
            &[
                "vmlinuz -> Image",
                "initrd.img -> initramfs-custom",
                "Image 5",
                "initramfs-custom 5",
            ],
            "Links Image",
        ),
    ] {
        assert_eq!(
            candidates(share).first().map(String::as_str),
            Some(pair),
            "{system}"
        );
    }
}

#[test]
fn names_of_other_systems_that_are_no_pair_are_told() {
    let told = |lines: &[&str]| passed_over(&listing(lines)).pop().unwrap().why.to_string();
    for (share, begins) in [
        (
            &["vmlinuz-6.1 5", "uInitrd-6.1 5", "initramfs-6.0.img 5"][..],
            "there is no `initrd.img-6.1`, only `uInitrd-6.1` -> ",
        ),
        (
            &["Image 5", "uInitrd 5"],
            "there is no `vmlinuz-VERSION`, only `Image`, `uInitrd` -> ",
        ),
        (
            &[
                "vmlinuz-lts 5",
                "initramfs-lts 5",
                "vmlinuz-virt 5",
                "initramfs-virt 5",
            ],
            "nothing tells which of `vmlinuz-lts`, `vmlinuz-virt` is meant -> ",
        ),
        (
            &["vmlinuz-6.1 5", "initramfs-6.1.img 5", "initrd-6.1 5"],
            "nothing tells which of `initramfs-6.1.img`, `initrd-6.1` is meant -> ",
        ),
        (&["vmlinuz-lts 5"], "`initrd.img-lts` is not there"),
        (
            &["vmlinuz-lts 5", "initramfs-lts 0"],
            "`initramfs-lts` is empty",
        ),
    ] {
        assert!(told(share).starts_with(begins), "{}", told(share));
    }
    let crossed = [
        "vmlinuz -> vmlinuz-lts",
        "initrd.img -> initramfs-virt",
        "vmlinuz-lts 5",
        "initramfs-virt 5",
    ];
    assert!(first_reason(&crossed).contains("the kernel is lts, the initrd virt"));
}

#[test]
fn only_names_that_can_matter_are_of_interest() {
    let of_interest = |name: &str| is_of_interest(&BootFileName::new(name.as_bytes()).unwrap());
    for name in [
        "vmlinuz",
        "vmlinuz.old",
        "initrd.img.old",
        "initrd.img-6.1.0-48-armmp",
    ] {
        assert!(of_interest(name), "{name}");
    }
    for name in [
        "config-6.1.0-48-armmp",
        "grub",
        "initrd.img-6.1.0-48-armmp.new",
        "vmlinuz-1.dpkg-tmp",
    ] {
        assert!(!of_interest(name), "{name}");
    }
}

fn shares() -> impl Strategy<Value = Listing> {
    let names = proptest::sample::select(vec![
        "vmlinuz",
        "initrd.img",
        "vmlinuz.old",
        "initrd.img.old",
        "vmlinuz-1",
        "vmlinuz-2",
        "initrd.img-1",
        "initrd.img-2",
    ]);
    let entry = prop_oneof![
        names
            .clone()
            .prop_map(|target: &str| Entry::Link(target.as_bytes().to_vec())),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Entry::Link),
        (0u64..3).prop_map(Entry::File),
        Just(Entry::File(u64::MAX)),
        Just(Entry::Unusual(Unusual::HostSpecial)),
    ];
    let named = names.prop_map(|name| BootFileName::new(name.as_bytes()).unwrap());
    proptest::collection::btree_map(named, entry, 0..8).prop_map(|entries| Listing {
        entries,
        ..Listing::default()
    })
}

proptest! {
    #[test]
    fn every_candidate_is_a_pair_of_plain_files_of_one_version(seen in shares()) {
        let considered = choose(&seen, ARCH);
        for pair in considered.iter().flatten() {
            for (name, limit) in [(&pair.kernel, KERNEL_LIMIT), (&pair.initrd, INITRD_LIMIT)] {
                let sized = matches!(seen.entries.get(name), Some(Entry::File(size)) if (1..=limit).contains(size));
                prop_assert!(sized, "{:?}", pair);
            }
            prop_assert_eq!(KernelVersion::of_kernel(&pair.kernel), Some(pair.version.clone()));
            prop_assert_eq!(KernelVersion::of_initrd(&pair.initrd), Some(pair.version.clone()));
        }
        prop_assert!(!considered.is_empty());
    }
}
