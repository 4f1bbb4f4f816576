//! Which pair of a share boots.
//!
//! A Debian kernel upgrade switches both links long before the new initrd exists, and a cut there leaves them so; the
//! `.old` links then still name a complete pair. Guests that keep no links in `/boot` are served by the newest pair.

use super::mapped_link::{BootFileName, LinkError, link_target};
use super::note::PairSource;
use super::share::{Entry, Listing};
use super::version::KernelVersion;
use super::{INITRD_LIMIT, KERNEL_LIMIT};
use std::fmt;

/// How many unlinked pairs are candidates, the newest ones. Each may cost a copy and a check.
const NEWEST_TRIED: usize = 4;

/// What dpkg, update-initramfs and careful people leave beside the real files.
const LEFTOVER_SUFFIXES: [&str; 10] = [
    ".new",
    ".old",
    ".bak",
    ".old-dkms",
    ".dpkg-new",
    ".dpkg-tmp",
    ".dpkg-bak",
    ".dpkg-old",
    ".dpkg-dist",
    "~",
];

/// Whether an entry of this name can matter to [`choose`].
#[must_use]
pub fn is_of_interest(name: &BootFileName) -> bool {
    let name = name.as_str();
    (name.starts_with("vmlinuz") || name.starts_with("initrd.img"))
        && (!is_leftover(name) || matches!(name, "vmlinuz.old" | "initrd.img.old"))
}

fn is_leftover(name: &str) -> bool {
    LEFTOVER_SUFFIXES
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// What was considered, best first: pairs to try, and between them what cannot be tried.
pub type Considered = Result<Candidate, PassedOver>;

/// A pair to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What makes it a candidate.
    pub source: PairSource,
    /// The version that both files carry in their names.
    pub version: KernelVersion,
    /// The kernel's file.
    pub kernel: BootFileName,
    /// The initrd's file.
    pub initrd: BootFileName,
}

impl Candidate {
    fn has_files_of(&self, other: &Self) -> bool {
        (&self.kernel, &self.initrd) == (&other.kernel, &other.initrd)
    }
}

/// A pair that cannot be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// What would have made it a candidate.
    pub source: PairSource,
    /// Why it is none.
    pub why: Unusable,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source.describe(), self.why)
    }
}

/// Why a pair cannot be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A file is not there.
    #[error("`{0}` is not there")]
    Missing(String),
    /// Something that should be a link is not one.
    #[error("`{0}` is a plain file, not a link that the guest made")]
    NotALink(&'static str),
    /// A link leads nowhere.
    #[error("the link `{link}` names `{target}`, which is not there")]
    Dangling {
        /// The link.
        link: &'static str,
        /// What it names.
        target: BootFileName,
    },
    /// A link names another link; only one step is taken.
    #[error("the link `{link}` names `{target}`, which is itself a link")]
    Chained {
        /// The link.
        link: &'static str,
        /// What it names.
        target: BootFileName,
    },
    /// A link's text is not a file's name.
    #[error("the link `{link}` cannot be used: {fault}")]
    BadLink {
        /// The link.
        link: &'static str,
        /// What is wrong with its text.
        fault: LinkError,
    },
    /// Something is neither file nor link.
    #[error("`{name}` is {what}")]
    NotAFile {
        /// The entry.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// A file has no bytes.
    #[error("`{0}` is empty")]
    Empty(String),
    /// A file is larger than any of its kind.
    #[error("`{name}` has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size.
        size: u64,
        /// The most that is staged.
        limit: u64,
    },
    /// A link's target carries no version, or the wrong kind of file.
    #[error("the link `{link}` names `{target}`, which is not a `{wanted}-VERSION`")]
    Unversioned {
        /// The link.
        link: &'static str,
        /// What it names.
        target: BootFileName,
        /// What the target's name must begin with.
        wanted: &'static str,
    },
    /// Kernel and initrd are not of one version.
    #[error("the kernel is {kernel}, the initrd {initrd}")]
    VersionsDiffer {
        /// The kernel's version.
        kernel: KernelVersion,
        /// The initrd's version.
        initrd: KernelVersion,
    },
    /// There is no `vmlinuz-VERSION` at all.
    #[error("there is no `vmlinuz-VERSION`")]
    NoKernel,
    /// The share has too many entries to be read to the end.
    #[error("the share has too many files to look at")]
    TooManyFiles,
}

/// Which pairs of a share to try, best first: what the links `vmlinuz` and `initrd.img` name; what the `.old` links
/// name; the newest `vmlinuz-VERSION` that have their `initrd.img-VERSION`.
///
/// A candidate is complete by name and size; only reading its files tells whether it is good.
#[must_use]
pub fn choose(listing: &Listing) -> Vec<Considered> {
    let linked = [PairSource::Links, PairSource::OldLinks]
        .into_iter()
        .filter_map(|source| Some((source, linked(listing, source, source.links()?))));
    let newest = newest(listing)
        .into_iter()
        .map(|pair| (PairSource::Newest, pair));
    let mut considered: Vec<Considered> = Vec::new();
    for (source, pair) in linked.chain(newest) {
        // Right after an installation, and after a purge, the `.old` links name the same pair.
        let is_known = |pair: &Candidate| {
            let mut tried = considered.iter().flatten();
            tried.any(|known| pair.has_files_of(known))
        };
        if !pair.as_ref().is_ok_and(is_known) {
            considered.push(pair.map_err(|why| PassedOver { source, why }));
        }
    }
    considered
}

/// The pair that two links name.
fn linked(
    listing: &Listing,
    source: PairSource,
    (kernel, initrd): (&'static str, &'static str),
) -> Result<Candidate, Unusable> {
    let (kernel, version) = follow(listing, kernel, "vmlinuz", KernelVersion::of_kernel)?;
    let (initrd, of_initrd) = follow(listing, initrd, "initrd.img", KernelVersion::of_initrd)?;
    if version != of_initrd {
        return Err(Unusable::VersionsDiffer {
            kernel: version,
            initrd: of_initrd,
        });
    }
    pair(listing, source, version, kernel, initrd)
}

/// What a link names, with the version in its name.
fn follow(
    listing: &Listing,
    link: &'static str,
    wanted: &'static str,
    version: fn(&BootFileName) -> Option<KernelVersion>,
) -> Result<(BootFileName, KernelVersion), Unusable> {
    let text = match listing.entries.get(link) {
        None => return Err(Unusable::Missing(link.to_owned())),
        Some(Entry::File(0)) => return Err(Unusable::Empty(link.to_owned())),
        Some(Entry::File(_)) => return Err(Unusable::NotALink(link)),
        Some(Entry::Unusual(what)) => {
            let (name, what) = (link.to_owned(), what.describe());
            return Err(Unusable::NotAFile { name, what });
        }
        Some(Entry::Link(text)) => text,
    };
    let target = link_target(text).map_err(|fault| Unusable::BadLink { link, fault })?;
    match (listing.entries.get(&target), version(&target)) {
        (Some(Entry::Link(_)), _) => Err(Unusable::Chained { link, target }),
        (_, None) => Err(Unusable::Unversioned {
            link,
            target,
            wanted,
        }),
        (None, _) => Err(Unusable::Dangling { link, target }),
        (Some(_), Some(version)) => Ok((target, version)),
    }
}

/// The newest kernels, whether or not a link names them, each with its initrd or the reason why it cannot be tried.
fn newest(listing: &Listing) -> Vec<Result<Candidate, Unusable>> {
    if listing.cut {
        return vec![Err(Unusable::TooManyFiles)];
    }
    let mut kernels: Vec<_> = listing
        .entries
        .keys()
        .filter(|name| !is_leftover(name.as_str()))
        .filter_map(|name| Some((KernelVersion::of_kernel(name)?, name.clone())))
        .filter(|(version, _)| {
            version
                .as_str()
                .starts_with(|first: char| first.is_ascii_digit())
        })
        .collect();
    if kernels.is_empty() {
        return vec![Err(Unusable::NoKernel)];
    }
    kernels.sort_unstable_by(|a, b| b.cmp(a));
    kernels
        .into_iter()
        .take(NEWEST_TRIED)
        .map(|(version, kernel)| {
            let initrd = format!("initrd.img-{version}");
            match listing.entries.get_key_value(initrd.as_str()) {
                None => Err(Unusable::Missing(initrd)),
                Some((initrd, _)) => {
                    pair(listing, PairSource::Newest, version, kernel, initrd.clone())
                }
            }
        })
        .collect()
}

/// A pair of plain files of possible sizes.
fn pair(
    listing: &Listing,
    source: PairSource,
    version: KernelVersion,
    kernel: BootFileName,
    initrd: BootFileName,
) -> Result<Candidate, Unusable> {
    plain_file(listing, &kernel, KERNEL_LIMIT)?;
    plain_file(listing, &initrd, INITRD_LIMIT)?;
    Ok(Candidate {
        source,
        version,
        kernel,
        initrd,
    })
}

fn plain_file(listing: &Listing, name: &BootFileName, limit: u64) -> Result<(), Unusable> {
    let entry = listing.entries.get(name);
    let name = name.to_string();
    match entry {
        None => Err(Unusable::Missing(name)),
        Some(Entry::Link(_)) => Err(Unusable::NotAFile {
            name,
            what: "a link",
        }),
        Some(Entry::Unusual(what)) => {
            let what = what.describe();
            Err(Unusable::NotAFile { name, what })
        }
        Some(Entry::File(0)) => Err(Unusable::Empty(name)),
        Some(&Entry::File(size)) if size > limit => Err(Unusable::TooLarge { name, size, limit }),
        Some(Entry::File(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Unusual;
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
            cut: false,
        }
    }

    fn candidates(lines: &[&str]) -> Vec<String> {
        choose(&listing(lines))
            .iter()
            .flatten()
            .map(|pair| format!("{:?} {}", pair.source, pair.version))
            .collect()
    }

    fn passed_over(seen: &Listing) -> Vec<PassedOver> {
        choose(seen).into_iter().filter_map(Result::err).collect()
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
            with_link("vmlinuz -> ../../etc/shadow", &pair)
                .contains("not a file directly in /boot")
        );
        assert!(
            with_link("vmlinuz -> vmlinuz-2", &pair).contains("`vmlinuz-2`, which is not there")
        );
        assert!(
            with_link("vmlinuz -> vmlinuz.old", &["vmlinuz.old -> vmlinuz-1"])
                .contains("itself a link")
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
        assert_eq!(reasons.last().unwrap().why, Unusable::NoKernel);
    }

    #[test]
    fn a_share_that_was_not_read_to_its_end_has_no_newest_kernel() {
        let mut seen = listing(&UPGRADED);
        seen.cut = true;
        assert_eq!(choose(&seen).iter().flatten().count(), 2);
        assert_eq!(passed_over(&seen)[0].why, Unusable::TooManyFiles);
    }

    #[test]
    fn a_flood_of_kernels_gives_a_handful_of_candidates() {
        let lines: Vec<String> = (0..5000)
            .flat_map(|n| [format!("vmlinuz-{n} 5"), format!("initrd.img-{n} 5")])
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(
            candidates(&lines),
            ["Newest 4999", "Newest 4998", "Newest 4997", "Newest 4996"]
        );
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
            cut: false,
        })
    }

    proptest! {
        #[test]
        fn every_candidate_is_a_pair_of_plain_files_of_one_version(seen in shares()) {
            let considered = choose(&seen);
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
}
