//! Boot shares and what is in them, as a snapshot keeps it.

use super::raw::{FileKind, RawEntry, RawFile, RawStat};
use crate::boot::{
    BootFileName, CONFIRMATION, Confirmation, Entry, Identity, LINK_TEXT_LIMIT, Listing,
    ShareContents, Unusual,
};

impl RawEntry {
    /// A name with what `lstat` tells, and no more.
    #[must_use]
    pub fn only(name: String, stat: RawStat) -> Self {
        Self {
            name,
            stat,
            link: None,
            link_bytes: None,
            unusual: None,
            kernel: None,
            sha256: None,
        }
    }

    /// Whether a file of a generation was changed after its note was written: it has to be read.
    #[must_use]
    pub fn is_later_than(&self, note: &RawStat) -> bool {
        let stat = &self.stat;
        stat.kind == FileKind::File && stat.mtime_ns.max(stat.ctime_ns) > note.mtime_ns
    }

    /// A name in a share.
    #[must_use]
    pub fn in_share(name: &[u8], stat: RawStat, entry: Entry) -> Self {
        let seen = Self::only(String::from_utf8_lossy(name).into_owned(), stat);
        if seen.entry() == entry {
            return seen;
        }
        match entry {
            Entry::File(_) => seen,
            Entry::Unusual(unusual) => Self {
                unusual: Some(unusual),
                ..seen
            },
            Entry::Link(bytes) if bytes.len() > LINK_TEXT_LIMIT => Self {
                link_bytes: Some(bytes),
                ..seen
            },
            Entry::Link(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Self {
                    link: Some(text),
                    ..seen
                },
                Err(other) => Self {
                    link_bytes: Some(other.into_bytes()),
                    ..seen
                },
            },
        }
    }

    /// What it is to the guest.
    #[must_use]
    pub fn entry(&self) -> Entry {
        let text = self.link.as_ref().map(|text| text.as_bytes());
        if let Some(text) = text.or(self.link_bytes.as_deref()) {
            return Entry::Link(text.to_vec());
        }
        if let Some(unusual) = self.unusual {
            return Entry::Unusual(unusual);
        }
        match self.stat.kind {
            FileKind::File => Entry::File(self.stat.size),
            FileKind::Folder => Entry::Unusual(Unusual::Folder),
            FileKind::Symlink => Entry::Unusual(Unusual::HostLink),
            FileKind::Special => Entry::Unusual(Unusual::HostSpecial),
        }
    }
}

impl RawFile {
    /// A share, as it was read.
    #[must_use]
    pub fn share(stat: RawStat, contents: ShareContents<RawStat>) -> Self {
        let entries = contents.entries.into_iter();
        let kernels = contents.kernels;
        let entry = |(name, (stat, entry)): (Vec<u8>, _)| RawEntry {
            kernel: kernels.get(&name).copied(),
            ..RawEntry::in_share(&name, stat, entry)
        };
        Self {
            entries: Some(entries.map(entry).collect()),
            cut: contents.cut,
            ..Self::only(stat)
        }
    }

    /// By what the guest of a share confirmed its boot.
    #[must_use]
    pub fn confirmation(&self) -> Option<(Identity, Confirmation)> {
        let mut entries = self.entries.iter().flatten();
        let file = entries.find(|entry| entry.name == CONFIRMATION)?;
        let said = Confirmation::read(self.text.as_deref()?.as_bytes())?;
        Some((file.stat.identity(), said))
    }

    /// What the choice of a pair goes by, of a share.
    #[must_use]
    pub fn listing(&self) -> Listing {
        let entries = self.entries.iter().flatten();
        let named = |entry: &RawEntry| {
            let name = BootFileName::new(entry.name.as_bytes()).ok()?;
            Some((name, entry.entry()))
        };
        let kernel = |entry: &RawEntry| {
            Some((
                BootFileName::new(entry.name.as_bytes()).ok()?,
                entry.kernel?,
            ))
        };
        Listing {
            entries: entries.clone().filter_map(named).collect(),
            kernels: entries.filter_map(kernel).collect(),
            cut: self.cut,
        }
    }
}
