//! Boot shares in memory.

use super::{Content, Files, Node};
use crate::boot::{
    CONFIRMATION, CONFIRMATION_LIMIT, Entry, KernelKind, LINK_TEXT_LIMIT, MappedKind, ShareFolder,
    Unusual, mapped_kind, read_share,
};
use crate::inventory::{RawFile, RawStat};
use std::convert::Infallible;
use std::io::Cursor;

impl Files {
    /// The share at this place with all that is in it.
    pub(super) fn share(&self, place: &str, node: &Node) -> RawFile {
        if let Some(why) = self.unlisted.get(place) {
            return RawFile {
                unlisted: Some(why.clone()),
                ..RawFile::only(node.stat())
            };
        }
        let share = ShareTree::new(self, place);
        let Ok(contents) = read_share(&share, |_| true);
        RawFile {
            text: self.said(place),
            ..RawFile::share(node.stat(), contents)
        }
    }

    fn said(&self, place: &str) -> Option<String> {
        let bytes = self.bytes(&format!("{place}/{CONFIRMATION}"))?;
        let small = bytes.len() as u64 <= CONFIRMATION_LIMIT;
        String::from_utf8(small.then(|| bytes.to_vec())?).ok()
    }
}

/// A boot share in memory.
pub(super) struct ShareTree<'a> {
    files: &'a Files,
    place: &'a str,
}

impl<'a> ShareTree<'a> {
    pub(super) fn new(files: &'a Files, place: &'a str) -> Self {
        Self { files, place }
    }
}

impl ShareFolder for ShareTree<'_> {
    type Stat = RawStat;
    type Error = Infallible;

    fn names(&self, limit: usize) -> Result<(Vec<Vec<u8>>, bool), Infallible> {
        let names = self.files.children(self.place);
        let mut names: Vec<_> = names.map(|(name, _)| name.as_bytes().to_vec()).collect();
        let cut = names.len() > limit;
        names.truncate(limit);
        Ok((names, cut))
    }

    fn see(&self, name: &[u8]) -> Result<Option<(RawStat, Entry)>, Infallible> {
        let mut children = self.files.children(self.place);
        let found = children.find(|(child, _)| child.as_bytes() == name);
        Ok(found.map(|(_, node)| (node.stat(), node.in_share())))
    }

    fn kernel(&self, name: &[u8]) -> Option<KernelKind> {
        let mut children = self.files.children(self.place);
        let (_, node) = children.find(|(child, _)| child.as_bytes() == name)?;
        match &node.content {
            Content::File { bytes, .. } => KernelKind::read(&mut Cursor::new(bytes)),
            _ => None,
        }
    }
}

impl Node {
    /// What it is to the guest.
    fn in_share(&self) -> Entry {
        let (bytes, size) = match &self.content {
            Content::File { bytes, size } => (bytes, *size),
            Content::Folder => return Entry::Unusual(Unusual::Folder),
            Content::Link(_) => return Entry::Unusual(Unusual::HostLink),
            Content::Device { .. } | Content::Special => {
                return Entry::Unusual(Unusual::HostSpecial);
            }
        };
        match self.guest_mode.as_deref().map(mapped_kind) {
            None | Some(MappedKind::File) => Entry::File(size),
            Some(MappedKind::Other) => Entry::Unusual(Unusual::GuestSpecial),
            Some(MappedKind::Link) => {
                let read = bytes.len().min(LINK_TEXT_LIMIT + 1);
                Entry::Link(bytes[..read].to_vec())
            }
        }
    }
}
