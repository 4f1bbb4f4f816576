//! What is in a folder, armfleet's own folders, and file systems that take nothing new.

use super::{Content, Files, Node, fails, missing, parent};
use crate::files::LinkInTheWay;
use crate::host::primitives::{CallError, CallErrorKind};
use crate::inventory::{Fact, FileSystems, RawEntry, RawFile, RawFileSystem};
use crate::paths;
use crate::trust::{End, Rules, Walk, Writer};

impl Files {
    /// The one file system, as seen from a folder.
    pub(super) fn file_system(&self, place: &str) -> Box<RawFileSystem> {
        let mounted = self.mounted.get_key_value(place);
        let (at, kind) = mounted.map_or(("/", "ext4"), |(at, kind)| (at, kind));
        Box::new(RawFileSystem {
            kind: kind.to_owned(),
            at: at.to_owned(),
            free: self.room.get(place).copied(),
            user_attributes: Fact::Present(!self.without_xattrs.contains(place)),
        })
    }

    /// The names in a folder with what they stand for, sorted.
    pub(super) fn children(&self, folder: &str) -> impl Iterator<Item = (&str, &Node)> {
        self.below(folder).filter(|(name, _)| !name.contains('/'))
    }

    /// The same at any depth.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &Node)> {
        let folder = format!("{folder}/");
        // Their paths have their beginning in common, and so stand together.
        let from = self.nodes.range(folder.clone()..);
        from.map_while(move |(path, node)| Some((path.strip_prefix(&folder)?, node)))
    }

    pub(super) fn entries(&self, folder: &str) -> Vec<RawEntry> {
        let entry = |(name, node): (&str, &Node)| RawEntry::only(name.to_owned(), node.stat());
        self.children(folder).map(entry).collect()
    }

    /// The same of a generation, with the digest of each master that was changed after its note.
    pub(in super::super) fn generation(&self, folder: &str) -> Vec<RawEntry> {
        let note = self.stat(&format!("{folder}/{}", paths::PAIR_NOTE));
        let read = |entry: RawEntry| {
            let is_master = paths::MASTERS.contains(&entry.name.as_str());
            let is_later = note.as_ref().is_some_and(|note| entry.is_later_than(note));
            let node = self.find(&format!("{folder}/{}", entry.name));
            let sha256 = node.filter(|_| is_master && is_later);
            RawEntry {
                sha256: sha256.and_then(|(_, node)| node.content.sha256()),
                ..entry
            }
        };
        self.entries(folder).into_iter().map(read).collect()
    }

    pub(in super::super) fn records(&self, folder: &str) -> Result<Vec<String>, CallError> {
        if let Some(why) = self.unreadable.get(folder) {
            return Err(fails(CallErrorKind::Other, folder, why));
        }
        let place = self.resolve(folder).unwrap_or_default();
        let records = self
            .children(&place)
            .map(|(name, _)| format!("{folder}/{name}/record.json"));
        Ok(records.filter(|path| self.find(path).is_some()).collect())
    }

    /// The first link on the way to a path within armfleet's own folders, where none is followed but the one that names the
    /// generation to boot.
    pub(super) fn link_in_the_way(&self, path: &str) -> Option<String> {
        let (base, rest) = paths::own_part(path)?;
        let ends = rest.match_indices('/').map(|(at, _)| at);
        let mut ways = ends.map(|end| format!("{base}/{}", &rest[..end]));
        ways.find(|way| {
            let content = self.find(way).map(|(_, node)| &node.content);
            let allowed = way.ends_with("/boot/current");
            matches!(content, Some(Content::Link(_))) && !allowed
        })
    }

    /// Where a path leads, if only root can change that.
    pub(in super::super) fn way(
        &self,
        path: &str,
        end: End,
        rules: &Rules,
    ) -> Result<String, CallError> {
        let mut walk = Walk::to(path, end, rules);
        let mut place = String::new();
        while let Some(next) = walk.next() {
            let node = self.nodes.get(next.path.trim_end_matches('/'));
            if node.is_none() && !next.is_last {
                return Err(missing(path));
            }
            place = next.path;
            walk.see(node.and_then(|node| {
                RawFile {
                    text: node.text(),
                    ..RawFile::only(node.stat())
                }
                .stop()
            }));
        }
        if walk.is_endless() {
            let why = "Too many levels of symbolic links";
            return Err(fails(CallErrorKind::Other, path, why));
        }
        let flaws = walk.flaws().iter().map(|flaw| flaw.describe(rules.qemu));
        match flaws.collect::<Vec<_>>() {
            flaws if flaws.is_empty() => Ok(place),
            flaws => {
                let why = format!("it can be swapped: {}", flaws.join("; "));
                Err(fails(CallErrorKind::Other, path, &why))
            }
        }
    }

    /// Fails where a link is on the way to a path of root's work, which knows where it leads.
    pub(super) fn no_links(&self, path: &str) -> Result<(), CallError> {
        if paths::own_part(path).is_some() {
            return self.no_links_within_own(path);
        }
        let ends = path.match_indices('/').skip(1).map(|(at, _)| &path[..at]);
        let is_link = |way: &&str| {
            let node = self.nodes.get(*way);
            node.is_some_and(|node| matches!(node.content, Content::Link(_)))
        };
        match ends.into_iter().find(is_link) {
            Some(link) => {
                let why = LinkInTheWay(link.into()).to_string();
                Err(fails(CallErrorKind::Other, path, &why))
            }
            None => Ok(()),
        }
    }

    pub(super) fn no_links_within_own(&self, path: &str) -> Result<(), CallError> {
        match self.link_in_the_way(path) {
            Some(link) => {
                let why = LinkInTheWay(link.into()).to_string();
                Err(fails(CallErrorKind::Other, path, &why))
            }
            None => Ok(()),
        }
    }

    /// Whether something new can be made at this place.
    pub(super) fn has_room(&self, place: &str) -> Result<(), CallError> {
        let mut closed = self.closed.iter();
        let kind = closed.find(|(folder, _)| place.starts_with(&format!("{folder}/")));
        match kind.map(|(_, kind)| *kind) {
            None => Ok(()),
            Some(kind @ CallErrorKind::ReadOnly) => {
                Err(fails(kind, place, "Read-only file system"))
            }
            Some(kind) => Err(fails(kind, place, "No space left on device")),
        }
    }

    /// Removes a folder of armfleet's own with the files of these names; tells what stays.
    pub(in super::super) fn remove_folder(
        &mut self,
        path: &str,
        known: &[&str],
    ) -> Result<Vec<String>, CallError> {
        let is_own = paths::own_part(path).is_some_and(|(_, rest)| !rest.is_empty());
        if !is_own && !paths::is_beside(path) {
            let why = "it is not below a folder of armfleet's own and is not removed";
            return Err(fails(CallErrorKind::Other, path, why));
        }
        // Of a link of that name, too.
        self.no_links_within_own(&format!("{path}/"))?;
        let Some((place, node)) = self.find(path) else {
            return Ok(Vec::new());
        };
        if node.content != Content::Folder {
            return Err(fails(CallErrorKind::Other, path, "Not a directory"));
        }
        let stat = node.stat();
        if let Some(why) = paths::not_roots(stat.uid, stat.mode).filter(|_| !is_own) {
            return Err(fails(
                CallErrorKind::Other,
                path,
                &format!("{why}, and is not removed"),
            ));
        }
        let inside = |path: &String| parent(path) == place;
        let is_known = |path: &str| known.contains(&&path[place.len() + 1..]);
        self.nodes.retain(|path, node| {
            !inside(path) || node.content == Content::Folder || !is_known(path)
        });
        let left = self.nodes.keys().filter(|path| inside(path));
        let left: Vec<_> = left
            .map(|path| path[place.len() + 1..].to_owned())
            .collect();
        if left.is_empty() {
            self.nodes.remove(&place);
        }
        Ok(left)
    }
}

/// What happens to a file system behind armfleet's back.
impl Files {
    /// Makes a folder and those above it that are missing.
    pub(in super::super) fn make_folders(
        &mut self,
        path: &str,
        mode: u32,
    ) -> Result<(), CallError> {
        if self.find(path).is_some() || path.is_empty() {
            return Ok(());
        }
        self.make_folders(parent(path), mode)?;
        self.make_folder(path, mode, None)
    }

    /// Gives a folder an access control list that lets these write, and its mode the bit that goes with it.
    pub(in super::super) fn give_acl(
        &mut self,
        path: &str,
        writers: &[Writer],
    ) -> Result<(), CallError> {
        let place = self.resolve(path).ok_or_else(|| missing(path))?;
        let node = self.nodes.get_mut(&place).ok_or_else(|| missing(path))?;
        node.mode |= 0o020;
        node.acl = Some(writers.to_vec());
        Ok(())
    }

    /// Gives the file system another device number and another UUID.
    pub(in super::super) fn mount(&mut self, device: u64, uuid: &str) {
        (self.device, self.uuid) = (device, uuid.to_owned());
        self.nodes.values_mut().for_each(|node| node.dev = device);
    }

    pub(in super::super) fn file_systems(&self) -> FileSystems {
        let uuid = Some(&self.uuid).filter(|uuid| !uuid.is_empty());
        let known = uuid.map(|uuid| (self.device, uuid.clone()));
        known.into_iter().collect()
    }

    /// Gives a file another name, or a folder another place where all that is in it is found, too.
    pub(in super::super) fn bind(&mut self, from: &str, to: &str) -> Result<(), CallError> {
        let place = self.free_place(to)?;
        let (from, node) = self.find(from).ok_or_else(|| missing(from))?;
        let mut node = node.clone();
        node.links += 1;
        let inside = self.below(&from);
        let inside: Vec<_> = inside
            .map(|(name, node)| (format!("{place}/{name}"), node.clone()))
            .collect();
        if node.content == Content::Folder {
            self.binds.insert(place.clone(), from.clone());
        }
        self.nodes.insert(from, node.clone());
        self.nodes.insert(place, node);
        self.nodes.extend(inside);
        Ok(())
    }

    /// Gives a file the attribute in which QEMU keeps the mode that a guest gave it.
    pub(in super::super) fn give_guest_mode(
        &mut self,
        path: &str,
        mode: &[u8],
    ) -> Result<(), CallError> {
        let place = self.resolve(path).ok_or_else(|| missing(path))?;
        let node = self.nodes.get_mut(&place).ok_or_else(|| missing(path))?;
        node.guest_mode = Some(mode.to_vec());
        Ok(())
    }
}
