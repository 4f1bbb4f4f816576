//! Which pair of a share boots.
//!
//! A Debian kernel upgrade switches both links long before the new initrd exists, and a cut there leaves them so; the
//! `.old` links then still name a complete pair. Guests that keep no links in `/boot` are served by the newest pair.

use super::limits::{INITRD_LIMIT, KERNEL_LIMIT, SHARE_NAME_LIMIT};
use super::mapped_link::{BootFileName, LinkError, link_target};
use super::note::PairSource;
use super::share::{Entry, Listing, Unusual};
use super::version::KernelVersion;
use crate::values::Arch;
use std::fmt;

/// How many kernels without a whole pair are reported, the newest ones.
const INCOMPLETE_LIMIT: usize = 4;

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

/// How kernels and initrds are called on other systems. Where none of them is chosen, the reason names them.
const FOREIGN_PREFIXES: [&str; 7] = [
    "Image",
    "initramfs",
    "initrd-",
    "kernel",
    "uImage",
    "uInitrd",
    "zImage",
];
/// How many of them a reason names.
const FOREIGN_LIMIT: usize = 4;
/// What Arch Linux ARM has beside its kernels without a version.
const UNVERSIONED_INITRD: &str = "initramfs-linux.img";

/// Whether an entry of this name can matter to [`choose`].
#[must_use]
pub fn is_of_interest(name: &BootFileName) -> bool {
    let name = name.as_str();
    if is_foreign(name) {
        return !is_leftover(name);
    }
    (name.starts_with("vmlinuz") || name.starts_with("initrd.img"))
        && (!is_leftover(name) || matches!(name, "vmlinuz.old" | "initrd.img.old"))
}

fn is_foreign(name: &str) -> bool {
    FOREIGN_PREFIXES
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The files of a share that have other systems' names and are wanted, as part of a sentence.
fn foreign(listing: &Listing, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let names = listing.entries.keys().map(BootFileName::as_str);
    let names = names.filter(|name| is_foreign(name) && !is_leftover(name) && wanted(name));
    in_words(names.take(FOREIGN_LIMIT))
}

fn in_words<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let named: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    (!named.is_empty()).then(|| named.join(", "))
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

impl PassedOver {
    /// Whether a file of it was not given: it may be good all the same, and only who looks at the host learns why.
    #[must_use]
    pub const fn was_withheld(&self) -> bool {
        let Unusable::Unusual { what, .. } = &self.why else {
            return false;
        };
        matches!(what, Unusual::Leased | Unusual::Unreadable)
    }
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
    /// A link names a link that names another one; no more than two are followed.
    #[error("the link `{link}` leads over another one to `{target}`, which is itself a link")]
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
    /// A file is a link where none is followed any more.
    #[error("`{0}` is a link")]
    NotAFile(String),
    /// Something is neither file nor link, or does not tell.
    #[error("`{name}` is {}", .what.describe())]
    Unusual {
        /// The entry.
        name: String,
        /// What it is.
        what: Unusual,
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
    /// The kernel is one for another processor.
    #[error("`{name}` is a kernel for {of}")]
    OtherArch {
        /// The kernel.
        name: BootFileName,
        /// What it is for.
        of: Arch,
    },
    /// Kernel and initrd are not of one version.
    #[error("the kernel is {kernel}, the initrd {initrd}")]
    VersionsDiffer {
        /// The kernel's version.
        kernel: KernelVersion,
        /// The initrd's version.
        initrd: KernelVersion,
    },
    /// There is no `vmlinuz-VERSION` at all, or only such for other processors.
    #[error("there is no `vmlinuz-VERSION` for {0}")]
    NoKernel(Arch),
    /// Its files have the names of another system.
    #[error(
        "there is no `{wanted}`, only {there} -> have the guest name its kernels vmlinuz-VERSION and their initrds \
         initrd.img-VERSION"
    )]
    ForeignNames {
        /// What would be looked at.
        wanted: String,
        /// What is there.
        there: String,
    },
    /// Names do not tell which of several pairs, or of several initrds, is meant.
    #[error(
        "nothing tells which of {0} is meant -> have the guest link the pair: ln -sf KERNEL /boot/vmlinuz, ln -sf INITRD \
         /boot/initrd.img"
    )]
    Ambiguous(String),
    /// The share has too many entries to be read to the end.
    #[error(
        "the share has more than {SHARE_NAME_LIMIT} names: only its links and the files that they name were looked at -> remove \
         files that are not needed from the guest's /boot"
    )]
    TooManyFiles,
}

/// Which pairs of a share to try, best first: what the links `vmlinuz` and `initrd.img` name; what the `.old` links
/// name; the newest `vmlinuz-VERSION` that have their `initrd.img-VERSION`, or go by another system's rule of names.
///
/// A candidate is complete by name and size; only reading its files tells whether it is good. A guest that is moved from one
/// architecture to another has kernels of both, and its links name whichever it upgraded last: one for another processor is
/// no candidate.
#[must_use]
pub fn choose(listing: &Listing, arch: Arch) -> Vec<Considered> {
    let linked = [PairSource::Links, PairSource::OldLinks]
        .into_iter()
        .filter_map(|source| Some((source, linked(listing, arch, source, source.links()?))));
    let newest = newest(listing, arch)
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
    arch: Arch,
    source: PairSource,
    (kernel, initrd): (&'static str, &'static str),
) -> Result<Candidate, Unusable> {
    let of_kernel = |name: &BootFileName| {
        KernelVersion::of_kernel(name).or_else(|| KernelVersion::of_unversioned(name))
    };
    let (kernel, version) = follow(listing, kernel, "vmlinuz", of_kernel)?;
    if let Some(of) = other_arch(listing, &kernel, arch) {
        return Err(Unusable::OtherArch { name: kernel, of });
    }
    let (initrd, of_initrd) = follow(listing, initrd, "initrd.img", KernelVersion::of_initrd)?;
    let is_unversioned =
        KernelVersion::of_unversioned(&kernel).is_some() && !of_initrd.is_release();
    if version != of_initrd && !is_unversioned {
        return Err(Unusable::VersionsDiffer {
            kernel: version,
            initrd: of_initrd,
        });
    }
    pair(listing, source, version, kernel, initrd)
}

/// What a link names, with the version in its name. It may name another link, such as one that the guest keeps for a flavour.
fn follow(
    listing: &Listing,
    link: &'static str,
    wanted: &'static str,
    version: impl Fn(&BootFileName) -> Option<KernelVersion>,
) -> Result<(BootFileName, KernelVersion), Unusable> {
    let text = match listing.entries.get(link) {
        None => return Err(Unusable::Missing(link.to_owned())),
        Some(Entry::File(0)) => return Err(Unusable::Empty(link.to_owned())),
        Some(Entry::File(_)) => return Err(Unusable::NotALink(link)),
        Some(&Entry::Unusual(what)) => {
            let name = link.to_owned();
            return Err(Unusable::Unusual { name, what });
        }
        Some(Entry::Link(text)) => text,
    };
    let named = |text| link_target(text).map_err(|fault| Unusable::BadLink { link, fault });
    let mut target = named(text)?;
    if let Some(Entry::Link(text)) = listing.entries.get(&target) {
        target = named(text)?;
    }
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

/// What a kernel is for, if that is known to be another architecture.
fn other_arch(listing: &Listing, kernel: &BootFileName, arch: Arch) -> Option<Arch> {
    let kind = listing.kernels.get(kernel)?;
    (kind.arch != arch).then_some(kind.arch)
}

/// The kernels, the newest first, whether or not a link names them, each with its initrd or the reason why it cannot be tried.
/// How many of the pairs are copied and checked is limited where that is done.
fn newest(listing: &Listing, arch: Arch) -> Vec<Result<Candidate, Unusable>> {
    if listing.cut {
        return vec![Err(Unusable::TooManyFiles)];
    }
    let names = listing.entries.keys();
    let names = names.filter(|name| !is_leftover(name.as_str()));
    let names = names.filter(|name| other_arch(listing, name, arch).is_none());
    let (mut kernels, flavours): (Vec<_>, Vec<_>) = names
        .filter_map(|name| Some((KernelVersion::of_kernel(name)?, name.clone())))
        .partition(|(version, _)| version.is_release());
    if kernels.is_empty() {
        return vec![only_flavour(listing, arch, flavours)];
    }
    kernels.sort_unstable_by(|a, b| b.cmp(a));
    let pairs = kernels.into_iter();
    let pairs = pairs.map(|(version, kernel)| with_initrd(listing, version, kernel));
    let mut incomplete = 0;
    let is_reported = |pair: &Result<_, _>| {
        incomplete += usize::from(pair.is_err());
        pair.is_ok() || incomplete <= INCOMPLETE_LIMIT
    };
    pairs.filter(is_reported).collect()
}

/// The one pair of a guest whose kernels have names of flavours, or none at all: between several no order decides.
fn only_flavour(
    listing: &Listing,
    arch: Arch,
    flavours: Vec<(KernelVersion, BootFileName)>,
) -> Result<Candidate, Unusable> {
    let flavours = flavours.into_iter();
    let flavours = flavours.filter(|(flavour, _)| !flavour.as_str().contains("rescue"));
    let flavours = flavours.map(|(flavour, kernel)| with_initrd(listing, flavour, kernel));
    let (mut pairs, faults): (Vec<_>, Vec<_>) = flavours
        .chain(unversioned(listing, arch))
        .partition(Result::is_ok);
    if pairs.len() > 1 {
        let kernels = pairs.iter().flatten().map(|pair| pair.kernel.as_str());
        return Err(Unusable::Ambiguous(in_words(kernels).unwrap_or_default()));
    }
    let fault = || match (foreign(listing, |_| true), faults.into_iter().next()) {
        (_, Some(fault)) => fault,
        (Some(there), None) => Err(Unusable::ForeignNames {
            wanted: "vmlinuz-VERSION".to_owned(),
            there,
        }),
        (None, None) => Err(Unusable::NoKernel(arch)),
    };
    pairs.pop().unwrap_or_else(fault)
}

/// The kernels without a version that have their initrd beside them.
fn unversioned(listing: &Listing, arch: Arch) -> impl Iterator<Item = Result<Candidate, Unusable>> {
    let initrd = listing.entries.get_key_value(UNVERSIONED_INITRD);
    let kernels = listing.entries.keys();
    kernels.filter_map(move |kernel| {
        let version = KernelVersion::of_unversioned(kernel)?;
        let (initrd, _) = initrd.filter(|_| other_arch(listing, kernel, arch).is_none())?;
        let (kernel, initrd) = (kernel.clone(), initrd.clone());
        Some(pair(listing, PairSource::Newest, version, kernel, initrd))
    })
}

/// A kernel with the initrd of its version: Debian's, or the one of another system.
fn with_initrd(
    listing: &Listing,
    version: KernelVersion,
    kernel: BootFileName,
) -> Result<Candidate, Unusable> {
    let names = version.initrds();
    let is_there = |name: &String| Some(listing.entries.get_key_value(name.as_str())?.0);
    let there: Vec<&BootFileName> = names.iter().filter_map(is_there).collect();
    let [debians, ..] = names;
    match there[..] {
        [] => {
            let is_initrd = |name: &str| name.contains("nit") && name.contains(version.as_str());
            Err(match foreign(listing, is_initrd) {
                Some(there) => Unusable::ForeignNames {
                    wanted: debians,
                    there,
                },
                None => Unusable::Missing(debians),
            })
        }
        [initrd, ..] if there.len() == 1 || initrd.as_str() == debians => {
            pair(listing, PairSource::Newest, version, kernel, initrd.clone())
        }
        _ => {
            let there = there.iter().map(|name| name.as_str());
            Err(Unusable::Ambiguous(in_words(there).unwrap_or_default()))
        }
    }
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
        Some(Entry::Link(_)) => Err(Unusable::NotAFile(name)),
        Some(&Entry::Unusual(what)) => Err(Unusable::Unusual { name, what }),
        Some(Entry::File(0)) => Err(Unusable::Empty(name)),
        Some(&Entry::File(size)) if size > limit => Err(Unusable::TooLarge { name, size, limit }),
        Some(Entry::File(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
