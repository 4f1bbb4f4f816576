//! Who besides root decides where the paths of a VM lead.

use super::{Fact, FileKind, Inventory, Libvirt, RawFile};
use crate::paths;
use crate::trust::{End, Rules, Verdict, judge};
use std::collections::BTreeMap;

/// Why something on a way was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// It was not looked at.
    NotObserved,
    /// It could not be; why.
    Unreadable(String),
}

/// By what ways are judged on a host of which this was seen, with folders that are taken as they are.
#[must_use]
pub fn way_rules(
    libvirt: Option<&Libvirt>,
    paths: &BTreeMap<String, Fact<RawFile>>,
    taken: impl IntoIterator<Item = String>,
) -> Rules {
    let sockets = paths::LIBVIRT_SOCKETS.iter();
    let sockets = sockets.filter_map(|path| paths.get(*path)?.present());
    let equals = sockets.filter_map(|socket| {
        let stat = &socket.stat;
        let takes_orders = stat.kind == FileKind::Special && stat.mode & 0o020 != 0;
        takes_orders.then_some(stat.gid)
    });
    Rules {
        qemu: libvirt.and_then(|libvirt| libvirt.qemu_owner),
        equals: equals.collect(),
        taken: taken.into_iter().collect(),
    }
}

impl Inventory {
    /// By what ways are judged on this host, with folders that are taken as they are.
    #[must_use]
    pub fn way_rules(&self, taken: impl IntoIterator<Item = String>) -> Rules {
        way_rules(self.libvirt.present(), &self.paths, taken)
    }

    /// Judges the way of a path by what was seen.
    #[must_use]
    pub fn judged(&self, path: &str, end: End, rules: &Rules) -> Verdict<Unseen> {
        judge(path, end, rules, |path| match self.path(path) {
            Fact::Present(file) => file.stop().map(Some).ok_or(Unseen::NotObserved),
            Fact::Absent => Ok(None),
            Fact::NotObserved => Err(Unseen::NotObserved),
            Fact::Unreadable(why) => Err(Unseen::Unreadable(why.clone())),
        })
    }
}
