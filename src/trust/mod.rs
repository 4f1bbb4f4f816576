//! Who besides root can change what a path leads to.
//!
//! A path is a place only while nobody can put another folder, file or link on its way. [`Walk`] goes the way as the kernel
//! does, name by name, and judges each folder that it passes. It looks at nothing itself: observing, planning and the file
//! layer each tell it what is there, and so they all judge alike.

mod acl;
mod flaw;
mod walk;

#[cfg(test)]
mod tests;

pub use acl::acl_writers;
pub use flaw::{Flaw, Weakness, Writer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use walk::{End, Next, Verdict, Walk, judge};

/// As many links are followed as by Linux (`MAXSYMLINKS`).
pub const LINK_LIMIT: usize = 40;

const STICKY: u32 = 0o1000;

/// One thing on a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// What it is.
    pub kind: StopKind,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
    /// Whom its access control list lets write, if it has one.
    pub acl: Option<Vec<Writer>>,
}

/// What a thing on a way is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopKind {
    /// A folder.
    Folder,
    /// A symbolic link with its target.
    Link(String),
    /// Anything else.
    Other,
}

/// By what a way is judged on one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// QEMU's user and group, where libvirt gives it what it works with.
    pub qemu: Option<(u32, u32)>,
    /// Groups whose members are root's equals, since libvirt's socket takes their orders.
    pub equals: BTreeSet<u32>,
    /// Folders that are taken as they are, with all below them.
    pub taken: BTreeSet<String>,
}

/// Paths that root's work depends on, and by what their ways are judged right before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// By what.
    pub rules: Rules,
    /// The paths, and what is at the end of each.
    pub paths: BTreeMap<String, End>,
}

/// libvirt's own folders: who writes there is its business, as what it keeps there is. `/var/lib/libvirt` and those right
/// below it are, too.
const LIBVIRTS: [&str; 3] = ["/run/libvirt", "/var/log/libvirt", "/var/log/libvirt/qemu"];
const LIBVIRTS_STATE: &str = "/var/lib/libvirt";

/// The system's log folder. Ubuntu lets the group of its syslog daemon write there, without which it could not log.
const SYSTEM_LOGS: &str = "/var/log";
/// Groups below this number are the system's own (Debian policy, section 9.2.2).
const FIRST_USERS_GROUP: u32 = 1000;

impl Rules {
    /// Whether a group may write in this folder: it is root's equal, or writes all of the host's logs.
    fn allows(&self, folder: &str, gid: u32) -> bool {
        let is_qemus = self.qemu.is_some_and(|(_, group)| group == gid);
        let logs = folder == SYSTEM_LOGS && gid < FIRST_USERS_GROUP && !is_qemus;
        logs || self.equals.contains(&gid)
    }

    /// Whether nothing is asked about who writes in this folder.
    fn exempts(&self, folder: &str) -> bool {
        let below = |above: &str| {
            let rest = folder.strip_prefix(above);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || above == "/")
        };
        let right_below = folder.strip_prefix(LIBVIRTS_STATE).is_some_and(|rest| {
            rest.is_empty() || (rest.starts_with('/') && !rest[1..].contains('/'))
        });
        right_below || LIBVIRTS.contains(&folder) || self.taken.iter().any(|path| below(path))
    }
}
