//! The way of a path, one name after another.

use super::{Flaw, LINK_LIMIT, Rules, STICKY, Stop, StopKind, Weakness, Writer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// What is at the end of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// A folder that QEMU gets; a link is not followed there.
    Share,
    /// A file or device that QEMU gets.
    Image,
    /// What stays root's; a link is followed.
    Roots,
    /// The same; a link is not followed there.
    RootsOwn,
}

impl End {
    const fn is_followed(self) -> bool {
        matches!(self, Self::Image | Self::Roots)
    }

    const fn becomes_qemus(self) -> bool {
        matches!(self, Self::Image | Self::Share)
    }
}

/// What is to be looked at next: a name in the folder that the walk has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The name, empty for the root itself.
    pub name: String,
    /// How many folders lead to it, the root being one.
    pub depth: usize,
    /// Its path, on which no folder is a link.
    pub path: String,
    /// Whether it is the end, as far as the names go.
    pub is_last: bool,
}

/// A way that is gone.
#[derive(Debug)]
pub struct Walk<'r> {
    rules: &'r Rules,
    end: End,
    todo: VecDeque<String>,
    /// The folders that lead to where the walk is, the root first, whose name is empty.
    folders: Vec<(String, Stop)>,
    /// The folders in which a name was looked up.
    passed: BTreeSet<String>,
    /// What was last asked for.
    asked: Option<Next>,
    links: usize,
    over: bool,
    is_endless: bool,
    flaws: Vec<Flaw>,
    allowed: Vec<(String, u32)>,
}

/// What a whole walk came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<U> {
    /// Nobody but root decides where the path leads, and these groups in these folders, where they are allowed to.
    Sound(Vec<(String, u32)>),
    /// Others do.
    Flawed(Vec<Flaw>),
    /// Something on its way could not be seen.
    Unseen(String, U),
}

/// Goes the way of a path with what `look` sees; none where nothing is.
pub fn judge<U>(
    path: &str,
    end: End,
    rules: &Rules,
    mut look: impl FnMut(&str) -> Result<Option<Stop>, U>,
) -> Verdict<U> {
    let mut walk = Walk::to(path, end, rules);
    while let Some(next) = walk.next() {
        match look(&next.path) {
            Ok(stop) => walk.see(stop),
            // What was seen to be wrong is wrong whatever comes after it.
            Err(why) if walk.flaws.is_empty() => return Verdict::Unseen(next.path, why),
            Err(_) => break,
        }
    }
    match walk.flaws.is_empty() {
        true => Verdict::Sound(walk.allowed),
        false => Verdict::Flawed(walk.flaws),
    }
}

impl<'r> Walk<'r> {
    /// The way to an absolute path.
    #[must_use]
    pub fn to(path: &str, end: End, rules: &'r Rules) -> Self {
        Self {
            rules,
            end,
            todo: names(path).collect(),
            folders: Vec::new(),
            passed: BTreeSet::new(),
            asked: None,
            links: 0,
            over: false,
            is_endless: false,
            flaws: Vec::new(),
            allowed: Vec::new(),
        }
    }

    /// What was found wrong so far.
    #[must_use]
    pub fn flaws(&self) -> &[Flaw] {
        &self.flaws
    }

    /// Whether more links lead on than Linux follows.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.is_endless
    }

    /// What is to be looked at next; nothing at the end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Next> {
        if self.over {
            return None;
        }
        let name = match self.folders.is_empty() {
            true => String::new(),
            false => match self.next_name() {
                Some(name) => name,
                None => {
                    self.over = true;
                    return None;
                }
            },
        };
        let next = Next {
            depth: self.folders.len(),
            path: self.path_of(&name),
            is_last: self.todo.is_empty(),
            name,
        };
        self.asked = Some(next.clone());
        Some(next)
    }

    /// Goes on with what is there; none if nothing is.
    pub fn see(&mut self, stop: Option<Stop>) {
        let Some(next) = self.asked.take() else {
            return;
        };
        self.judge_name(&next.name, stop.as_ref(), next.is_last);
        let Some(stop) = stop else {
            self.over = true;
            return;
        };
        match &stop.kind {
            StopKind::Folder => {
                self.folders.push((next.name, stop));
                self.judge_end(&next.path, next.is_last);
            }
            StopKind::Other => self.over = true,
            StopKind::Link(_) if next.is_last && !self.end.is_followed() => {
                self.over = true;
                self.blame(Weakness::LinkAtEnd(next.name));
            }
            StopKind::Link(target) => self.follow(target),
        }
    }

    fn follow(&mut self, target: &str) {
        self.links += 1;
        if self.links > LINK_LIMIT || target.is_empty() {
            (self.over, self.is_endless) = (true, true);
            return;
        }
        if target.starts_with('/') {
            self.folders.truncate(1);
        }
        let mut before: VecDeque<_> = names(target).collect();
        before.append(&mut self.todo);
        self.todo = before;
    }

    fn next_name(&mut self) -> Option<String> {
        loop {
            let name = self.todo.pop_front()?;
            if name != ".." {
                return Some(name);
            }
            if self.folders.len() > 1 {
                self.folders.pop();
            }
        }
    }

    fn path_of(&self, name: &str) -> String {
        let above = self.folders.iter().skip(1).map(|(name, _)| name.as_str());
        let names: Vec<_> = above
            .chain([name])
            .filter(|name| !name.is_empty())
            .collect();
        format!("/{}", names.join("/"))
    }

    /// Who besides root can have a name in the present folder stand for something else.
    fn judge_name(&mut self, name: &str, stop: Option<&Stop>, is_last: bool) {
        let folder = self.path_of("");
        self.passed.insert(folder.clone());
        let Some((_, above)) = self.folders.last() else {
            return;
        };
        if self.rules.exempts(&folder) {
            return;
        }
        let gets = self
            .rules
            .qemu
            .filter(|_| is_last && self.end.becomes_qemus());
        let sticky = above.mode & STICKY != 0 && above.uid == 0;
        let writers = above.writers_of(stop, gets.map(|(uid, _)| uid));
        let is_allowed = |writer: &Writer| match writer {
            Writer::Group(gid) => self.rules.allows(&folder, *gid),
            _ => false,
        };
        let (allowed, writers): (Vec<_>, Vec<_>) = writers.into_iter().partition(is_allowed);
        for writer in allowed {
            if let Writer::Group(gid) = writer
                && !self.allowed.contains(&(folder.clone(), gid))
            {
                self.allowed.push((folder.clone(), gid));
            }
        }
        if !writers.is_empty() {
            self.blame(match sticky {
                true => Weakness::Sticky(writers),
                false => Weakness::Writers(writers),
            });
        } else if let Some(link) = stop.filter(|stop| matches!(stop.kind, StopKind::Link(_)))
            && link.uid != 0
        {
            self.blame(Weakness::Link(name.to_owned(), link.uid));
        }
    }

    /// A folder that QEMU gets and that is on its own way, by a link out of it, is QEMU's to change.
    fn judge_end(&mut self, folder: &str, is_last: bool) {
        let gets = self
            .rules
            .qemu
            .filter(|_| is_last && self.end.becomes_qemus());
        if let Some((uid, _)) = gets.filter(|_| self.passed.contains(folder)) {
            self.blame(Weakness::Writers(vec![Writer::User(uid)]));
        }
    }

    fn blame(&mut self, weakness: Weakness) {
        let flaw = Flaw {
            folder: self.path_of(""),
            weakness,
        };
        if !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }
}

impl Stop {
    /// Who besides root can write in this folder, by its mode or its access control list.
    fn let_write(&self) -> Vec<Writer> {
        let group = match &self.acl {
            Some(writers) => writers.clone(),
            None if self.mode & 0o020 != 0 => vec![Writer::Group(self.gid)],
            None => Vec::new(),
        };
        let mut writers: Vec<_> = group
            .into_iter()
            .filter(|writer| !matches!(writer, Writer::User(0) | Writer::Group(0)))
            .collect();
        if self.mode & 0o002 != 0 {
            writers.push(Writer::Everyone);
        }
        writers
    }

    /// Who besides root can replace what is in this folder; `gets` is the user who will own it.
    fn writers_of(&self, inside: Option<&Self>, gets: Option<u32>) -> Vec<Writer> {
        let mut writers = Vec::new();
        if self.uid != 0 {
            writers.push(Writer::User(self.uid));
        }
        let let_write = self.let_write();
        let is_link = inside.is_some_and(|stop| matches!(stop.kind, StopKind::Link(_)));
        match inside {
            // Only its owner renames or removes what is in such a folder; anyone may have put a link there.
            Some(inside) if self.mode & STICKY != 0 && !is_link => {
                let owners = [Some(inside.uid), gets].into_iter().flatten();
                let others = owners.filter(|uid| *uid != 0 && !let_write.is_empty());
                writers.extend(others.map(Writer::User));
            }
            _ => writers.extend(let_write),
        }
        writers.sort();
        writers.dedup();
        writers
    }
}

/// The names of a path that mean anything.
fn names(path: &str) -> impl Iterator<Item = String> {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    names.map(str::to_owned)
}
