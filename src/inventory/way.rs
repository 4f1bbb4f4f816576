//! Where a path leads, as the host's file systems number what is there: two names of one thing are told by that.

use super::raw::{Fact, RawFile};
use super::{Inventory, RawStat};
use crate::trust::{End, Next, Rules, StopKind, Walk};
use std::borrow::Borrow;

/// What a path leads to, whatever the path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    /// A file or folder, as its file system numbers it.
    Numbered {
        /// The file system's device number.
        dev: u64,
        /// The inode's number.
        ino: u64,
    },
    /// What is not there yet: its name, and its folder's numbers.
    Missing {
        /// The file system's device number.
        dev: u64,
        /// The folder's inode number.
        folder: u64,
        /// The name in the folder.
        name: String,
    },
    /// A block device, by its number: nodes of it may be anywhere.
    Device(u64),
}

/// Where a path leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Way {
    /// The folders that it leads through, the root first, and the device that what it leads to is a partition of.
    pub folders: Vec<Spot>,
    /// What it leads to, if that much could be seen.
    pub end: Option<Spot>,
    /// The partitions of the device that it leads to.
    pub parts: Vec<Spot>,
}

/// Goes the way of a path, every link followed as the kernel does; `look` sees what is there.
pub fn follow<F: Borrow<Fact<RawFile>>>(
    path: &str,
    mut look: impl FnMut(&Next) -> Option<F>,
) -> Way {
    let rules = Rules::default();
    let mut walk = Walk::to(path, End::Image, &rules);
    let mut way = Way::default();
    while let Some(next) = walk.next() {
        way.folders.truncate(next.depth);
        let seen = look(&next);
        match seen.as_ref().map(Borrow::borrow) {
            Some(Fact::Present(file)) => {
                let Some(stop) = file.stop() else { break };
                let is_link = matches!(stop.kind, StopKind::Link(_));
                if next.is_last && !is_link {
                    way.end = Some(Spot::of(&file.stat));
                    if let Some(device) = &file.device {
                        way.folders.extend(device.whole.map(Spot::Device));
                        way.parts = device.parts.iter().copied().map(Spot::Device).collect();
                    }
                } else if !is_link {
                    way.folders.push(Spot::of(&file.stat));
                }
                walk.see(Some(stop));
            }
            Some(Fact::Absent) => {
                let folder = way.folders.last().filter(|_| next.is_last);
                way.end = folder.and_then(|folder| folder.holding(next.name));
                break;
            }
            _ => break,
        }
    }
    way
}

impl Spot {
    fn of(stat: &RawStat) -> Self {
        let (dev, ino) = (stat.dev, stat.ino);
        stat.block.map_or(Self::Numbered { dev, ino }, Self::Device)
    }

    /// What is not there yet and has this name in this folder.
    fn holding(&self, name: String) -> Option<Self> {
        match *self {
            Self::Numbered { dev, ino: folder } => Some(Self::Missing { dev, folder, name }),
            Self::Missing { .. } | Self::Device(_) => None,
        }
    }
}

impl Inventory {
    /// Where a path leads, as far as it was seen. What is mounted on its way from within another folder is in that one, too.
    #[must_use]
    pub fn way(&self, path: &str) -> Way {
        let mut mounts = Vec::new();
        let mut way = self.one_way(path, |passed| mounts.extend(self.binds.get(passed)));
        for source in mounts {
            way.folders.extend(self.one_way(source, |_| ()).folders);
        }
        way
    }

    /// The path, with no link on it, that a path leads to; none where that was not seen.
    #[must_use]
    pub fn leads_to(&self, path: &str) -> Option<String> {
        let mut place = None;
        let way = self.one_way(path, |passed| place = Some(passed.to_owned()));
        place.filter(|_| way.end.is_some())
    }

    fn one_way<'s>(&'s self, path: &str, mut pass: impl FnMut(&str)) -> Way {
        follow(path, |next| {
            pass(&next.path);
            let seen: Option<&'s _> = self.paths.get(&next.path);
            seen.or_else(|| self.claims.get(&next.path))
        })
    }
}
