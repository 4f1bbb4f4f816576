//! Reading a share: the one way in which hook, planner and in-memory host see what is in it.

use super::kernel_kind::KernelKind;
use super::limits::SHARE_NAME_LIMIT;
use super::mapped_link::{BootFileName, link_target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The links that are looked at even if there are more names.
const LINKS: [&str; 4] = ["vmlinuz", "initrd.img", "vmlinuz.old", "initrd.img.old"];

/// One entry of the share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A mapped link with its text, as read.
    Link(Vec<u8>),
    /// A plain file, with its size in bytes.
    File(u64),
    /// Neither, or not readable.
    Unusual(Unusual),
}

/// What is neither a file nor a link of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unusual {
    /// A folder.
    Folder,
    /// A symbolic link that the guest did not make.
    HostLink,
    /// A FIFO, socket or device that the guest did not make.
    HostSpecial,
    /// Another file system is mounted there.
    OtherFileSystem,
    /// It may not be opened.
    Unreadable,
    /// A device, FIFO or socket of the guest's, or attributes that no guest can have made.
    GuestSpecial,
    /// Something else than a file or link, as far as libguestfs tells.
    NotPlain,
}

impl Unusual {
    /// What it is, as the end of a sentence.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Folder => "a folder",
            Self::HostLink => "a symbolic link of the host",
            Self::HostSpecial => "a FIFO, socket or device of the host",
            Self::OtherFileSystem => "on another file system",
            Self::Unreadable => "not readable",
            Self::GuestSpecial => "a device, FIFO or socket of the guest",
            Self::NotPlain => "not a plain file",
        }
    }
}

/// What is in a share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The entries for which [`super::is_of_interest`] holds; others change nothing.
    pub entries: BTreeMap<BootFileName, Entry>,
    /// What the kernels among them are for, as far as they tell.
    pub kernels: BTreeMap<BootFileName, KernelKind>,
    /// Whether the share has more entries than were looked at.
    pub cut: bool,
}

/// A folder that is a guest's `/boot`, wherever it is kept.
pub trait ShareFolder {
    /// What tells whether a file is still the one that was seen.
    type Stat;
    /// Why it could not be read.
    type Error;

    /// The names in it in any order, at most so many, and whether there are more.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn names(&self, limit: usize) -> Result<(Vec<Vec<u8>>, bool), Self::Error>;

    /// What has this name, to the guest; none if nothing has. A link's text is read up to one byte more than a link may
    /// have.
    ///
    /// # Errors
    /// When that cannot be told.
    fn see(&self, name: &[u8]) -> Result<Option<(Self::Stat, Entry)>, Self::Error>;

    /// What a file is for as a kernel, if it tells.
    fn kernel(&self, name: &[u8]) -> Option<KernelKind>;
}

/// What was seen in a share.
pub struct ShareContents<T> {
    /// By name.
    pub entries: BTreeMap<Vec<u8>, (T, Entry)>,
    /// What the kernels among them are for, as far as they tell.
    pub kernels: BTreeMap<Vec<u8>, KernelKind>,
    /// Whether it has more names than were looked at.
    pub cut: bool,
}

impl<T> ShareContents<T> {
    /// The part that the choice of a pair goes by.
    #[must_use]
    pub fn listing(&self) -> Listing {
        let entry = |(name, (_, entry)): (&Vec<u8>, &(T, Entry))| {
            Some((BootFileName::new(name).ok()?, entry.clone()))
        };
        let kernel =
            |(name, kind): (&Vec<u8>, &KernelKind)| Some((BootFileName::new(name).ok()?, *kind));
        Listing {
            entries: self.entries.iter().filter_map(entry).collect(),
            kernels: self.kernels.iter().filter_map(kernel).collect(),
            cut: self.cut,
        }
    }
}

/// Looks at every wanted name of a share; at the links by which a guest chooses, and what they name, in any case.
///
/// # Errors
/// As the folder says.
pub fn read_share<F: ShareFolder>(
    folder: &F,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<ShareContents<F::Stat>, F::Error> {
    let (mut names, cut) = folder.names(SHARE_NAME_LIMIT)?;
    names.retain(|name| wanted(name));
    names.extend(LINKS.iter().map(|name| name.as_bytes().to_vec()));
    let mut contents = ShareContents {
        entries: BTreeMap::new(),
        kernels: BTreeMap::new(),
        cut,
    };
    see_all(folder, names, &mut contents)?;
    let entries = contents.entries.values();
    let targets = entries.filter_map(|(_, entry)| target_of(entry)).collect();
    see_all(folder, targets, &mut contents)?;
    Ok(contents)
}

fn see_all<F: ShareFolder>(
    folder: &F,
    names: Vec<Vec<u8>>,
    contents: &mut ShareContents<F::Stat>,
) -> Result<(), F::Error> {
    for name in names {
        if !contents.entries.contains_key(&name)
            && let Some(seen) = folder.see(&name)?
        {
            let is_kernel = name.starts_with(b"vmlinuz") && matches!(seen.1, Entry::File(1..));
            if let Some(kind) = is_kernel.then(|| folder.kernel(&name)).flatten() {
                contents.kernels.insert(name.clone(), kind);
            }
            contents.entries.insert(name, seen);
        }
    }
    Ok(())
}

/// The name in a link's text, if it is one.
fn target_of(entry: &Entry) -> Option<Vec<u8>> {
    match entry {
        Entry::Link(text) => Some(link_target(text).ok()?.as_str().as_bytes().to_vec()),
        Entry::File(_) | Entry::Unusual(_) => None,
    }
}
