//! Reading a share: the one way in which hook, planner and in-memory host see what is in it.

use super::kernel_kind::KernelKind;
use super::limits::{KIND_LIMIT, LINK_BYTES_LIMIT, SHARE_NAME_LIMIT};
use super::mapped_link::{BootFileName, link_target};
use super::trial::{CONFIRMATION, INSTALLED};
use super::version::KernelVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is looked at first, and however many names there are: the links by which a guest chooses, the mark of its
/// installation, and its confirmation.
const FIRST: [&str; 6] = [
    "vmlinuz",
    "initrd.img",
    "vmlinuz.old",
    "initrd.img.old",
    INSTALLED,
    CONFIRMATION,
];

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
    /// It may not be opened or read.
    Unreadable,
    /// A process of QEMU's user has a lease on it, for which an open would have to wait.
    Leased,
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
            Self::Leased => {
                "leased by a process of QEMU's user (fcntl F_SETLEASE), and cannot be opened"
            }
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

/// Looks at the links by which a guest chooses and at what they lead to, then at every wanted name of a share up to the limit.
///
/// # Errors
/// As the folder says.
pub fn read_share<F: ShareFolder>(
    folder: &F,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<ShareContents<F::Stat>, F::Error> {
    let (names, cut) = folder.names(SHARE_NAME_LIMIT)?;
    let mut reading = Reading {
        folder,
        contents: ShareContents {
            entries: BTreeMap::new(),
            kernels: BTreeMap::new(),
            cut,
        },
        link_bytes: LINK_BYTES_LIMIT,
    };
    let first = FIRST.map(|name| name.as_bytes().to_vec());
    let targets = reading.see_all(first)?;
    let targets = reading.see_all(targets)?;
    reading.see_all(targets)?;
    reading.see_all(names.into_iter().filter(|name| wanted(name)))?;
    reading.see_kernels();
    Ok(reading.contents)
}

/// A share that is being read.
struct Reading<'a, F: ShareFolder> {
    folder: &'a F,
    contents: ShareContents<F::Stat>,
    /// How many more bytes of links' texts are kept.
    link_bytes: usize,
}

impl<F: ShareFolder> Reading<'_, F> {
    /// Looks at names, and tells what those of them name that are links.
    fn see_all(
        &mut self,
        names: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Vec<Vec<u8>>, F::Error> {
        let mut targets = Vec::new();
        for name in names {
            if self.contents.entries.contains_key(&name) {
                continue;
            }
            let Some((stat, entry)) = self.folder.see(&name)? else {
                continue;
            };
            let entry = self.bounded(entry);
            targets.extend(target_of(&entry));
            self.contents.entries.insert(name, (stat, entry));
        }
        Ok(targets)
    }

    fn bounded(&mut self, entry: Entry) -> Entry {
        let Entry::Link(text) = entry else {
            return entry;
        };
        match self.link_bytes.checked_sub(text.len()) {
            Some(left) => {
                self.link_bytes = left;
                Entry::Link(text)
            }
            None => Entry::Link(Vec::new()),
        }
    }

    /// Looks at what the kernels are for, the newest ones first.
    fn see_kernels(&mut self) {
        let entries = self.contents.entries.iter();
        let files = entries.filter(|(_, (_, entry))| matches!(entry, Entry::File(1..)));
        let mut kernels: Vec<_> = files
            .filter_map(|(name, _)| {
                let file = BootFileName::new(name).ok()?;
                let version = KernelVersion::of_kernel(&file);
                let version = version.or_else(|| KernelVersion::of_unversioned(&file))?;
                Some((version, name.clone()))
            })
            .collect();
        kernels.sort_unstable_by(|a, b| b.cmp(a));
        kernels.truncate(KIND_LIMIT);
        let kinds = kernels
            .into_iter()
            .filter_map(|(_, name)| Some((name.clone(), self.folder.kernel(&name)?)));
        self.contents.kernels = kinds.collect();
    }
}

/// The name in a link's text, if it is one.
fn target_of(entry: &Entry) -> Option<Vec<u8>> {
    match entry {
        Entry::Link(text) => Some(link_target(text).ok()?.as_str().as_bytes().to_vec()),
        Entry::File(_) | Entry::Unusual(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::LINK_TEXT_LIMIT;
    use std::cell::RefCell;
    use std::convert::Infallible;

    /// A share of as many names as are listed, and what was asked of it.
    struct Full {
        entry: Entry,
        asked: RefCell<Vec<Vec<u8>>>,
    }

    impl Full {
        fn of(entry: Entry) -> (Self, ShareContents<()>) {
            let asked = RefCell::default();
            let share = Self { entry, asked };
            let Ok(contents) = read_share(&share, |_| true);
            (share, contents)
        }
    }

    impl ShareFolder for Full {
        type Stat = ();
        type Error = Infallible;

        fn names(&self, limit: usize) -> Result<(Vec<Vec<u8>>, bool), Infallible> {
            let names = (0..limit).map(|number| format!("vmlinuz-{number}").into_bytes());
            Ok((names.collect(), true))
        }

        fn see(&self, name: &[u8]) -> Result<Option<((), Entry)>, Infallible> {
            let is_first = FIRST.iter().any(|first| first.as_bytes() == name);
            Ok(Some(match is_first {
                true => ((), Entry::Link(b"vmlinuz-beyond".to_vec())),
                false => ((), self.entry.clone()),
            }))
        }

        fn kernel(&self, name: &[u8]) -> Option<KernelKind> {
            self.asked.borrow_mut().push(name.to_vec());
            None
        }
    }

    #[test]
    fn the_newest_kernels_are_asked_what_they_are_for_and_no_more() {
        let (share, contents) = Full::of(Entry::File(1));
        let asked = share.asked.into_inner();
        assert_eq!(asked.len(), KIND_LIMIT);
        assert!(asked.contains(&b"vmlinuz-4095".to_vec()) && contents.cut);
        assert!(contents.entries.contains_key(&b"vmlinuz-beyond"[..]));
    }

    #[test]
    fn the_texts_of_links_are_kept_up_to_a_limit() {
        let text = vec![b'x'; LINK_TEXT_LIMIT];
        let (_, contents) = Full::of(Entry::Link(text));
        let texts = contents
            .entries
            .values()
            .filter_map(|((), entry)| match entry {
                Entry::Link(text) => Some(text.len()),
                _ => None,
            });
        let kept: usize = texts.sum();
        assert!(
            (LINK_BYTES_LIMIT / 2..=LINK_BYTES_LIMIT).contains(&kept),
            "{kept}"
        );
    }
}
