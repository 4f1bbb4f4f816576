//! What makes a path no place, in words.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who can change what is in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writer {
    /// A user, by number.
    User(u32),
    /// A group, by number.
    Group(u32),
    /// Every user of the host.
    Everyone,
}

impl Writer {
    /// In words; `qemu` is QEMU's user and group.
    #[must_use]
    pub fn describe(self, qemu: Option<(u32, u32)>) -> String {
        match self {
            Self::User(uid) if qemu.is_some_and(|(user, _)| user == uid) => {
                format!("QEMU's user ({uid})")
            }
            Self::User(uid) => format!("user {uid}"),
            Self::Group(gid) if qemu.is_some_and(|(_, group)| group == gid) => {
                format!("QEMU's group ({gid})")
            }
            Self::Group(gid) => format!("group {gid}"),
            Self::Everyone => "every user".to_owned(),
        }
    }
}

/// A place on a way where another than root decides where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The folder.
    pub folder: String,
    /// What is wrong there.
    pub weakness: Weakness,
}

/// What is wrong with a folder on a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weakness {
    /// Another than root can replace what is in it.
    Writers(Vec<Writer>),
    /// The same, where each may replace only what is their own (`/tmp`).
    Sticky(Vec<Writer>),
    /// A link in it, by its name, belongs to another than root.
    Link(String, u32),
    /// What should be in it, by its name, is a symbolic link, and none is followed there.
    LinkAtEnd(String),
}

impl Flaw {
    /// The path of a name in the folder.
    #[must_use]
    pub fn inside(&self, name: &str) -> String {
        match self.folder.as_str() {
            "/" => format!("/{name}"),
            folder => format!("{folder}/{name}"),
        }
    }

    /// Whether it lets this user, or this group of theirs, decide where the path leads.
    #[must_use]
    pub fn is_open_to(&self, (user, group): (u32, u32)) -> bool {
        match &self.weakness {
            Weakness::Writers(writers) | Weakness::Sticky(writers) => {
                writers.iter().any(|writer| match writer {
                    Writer::User(uid) => *uid == user,
                    Writer::Group(gid) => *gid == group,
                    Writer::Everyone => true,
                })
            }
            Weakness::Link(_, uid) => *uid == user,
            Weakness::LinkAtEnd(_) => false,
        }
    }

    /// In words, after "since"; `qemu` is QEMU's user and group.
    #[must_use]
    pub fn describe(&self, qemu: Option<(u32, u32)>) -> String {
        let folder = &self.folder;
        match &self.weakness {
            Weakness::Writers(writers) | Weakness::Sticky(writers) => {
                let writers = writers.iter().map(|writer| writer.describe(qemu));
                let writers: Vec<_> = writers.collect();
                format!("{} can replace what is in {folder}", writers.join(" and "))
            }
            Weakness::Link(name, uid) => {
                let owner = Writer::User(*uid).describe(qemu);
                format!("the symbolic link {} belongs to {owner}", self.inside(name))
            }
            Weakness::LinkAtEnd(name) => format!("{} is a symbolic link", self.inside(name)),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(None))
    }
}
