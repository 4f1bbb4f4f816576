//! The ways to what a VM has on its host: only root may decide where they lead.
//!
//! What root creates, owns, opens or hands to QEMU at a path that another can swap is whatever that other wants. A path that
//! an earlier version applied without asking is a notice until it changes.

use crate::domain::unguarded_paths;
use crate::inventory::Unseen;
use crate::mark::{Applied, Record};
use crate::paths;
use crate::plan::About;
use crate::plan::builder::{Blocked, Hook, PlanBuilder, PlanInput, VmPlanner};
use crate::plan::step::{Act, Step};
use crate::problem::HostCheck;
use crate::trust::{End, Flaw, Rules, Verdict, Ways, Weakness};
use crate::values::HostPath;
use std::collections::{BTreeMap, BTreeSet};

/// Checks the ways to armfleet's own folders and to libvirt's hooks, without which nothing can be started.
pub(in crate::plan) fn of_host(input: &PlanInput<'_>, hook: &mut Hook, builder: &mut PlanBuilder) {
    let rules = rules(input);
    for path in [paths::STATE, paths::RELOADED, paths::SHIM] {
        if let Verdict::Flawed(flaws) = input.inventory.judged(path, End::Roots, &rules) {
            let why = format!("{path} can be swapped: {}", in_words(&flaws, &rules));
            let about = About::Path(path.to_owned());
            builder.refuse_on(HostCheck::WritableFolder, about, why, mended(&flaws));
            hook.blocked = true;
        }
    }
}

pub(super) fn rules(input: &PlanInput<'_>) -> Rules {
    let trusted = input.spec.trusted.iter().map(ToString::to_string);
    input.inventory.way_rules(trusted)
}

impl VmPlanner<'_> {
    /// Refuses a VM whose paths can be swapped, and answers by what they are judged when its steps are performed.
    pub(super) fn ways(
        &self,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<Ways, Blocked> {
        let mut rules = rules(self.input);
        let mut refused: Vec<(Vec<String>, Vec<Flaw>)> = Vec::new();
        let mut unseen = false;
        for (what, path, end) in self.places() {
            match self.input.inventory.judged(path.as_str(), end, &rules) {
                Verdict::Sound(allowed) => {
                    note_allowed(&allowed, &rules, builder);
                    if *path == self.vm.boot.share {
                        self.note_trusted(builder);
                    }
                }
                Verdict::Unseen(_, Unseen::NotObserved) => {}
                Verdict::Unseen(at, Unseen::Unreadable(why)) => {
                    builder.unknown(&self.vm.name, format!("{at} could not be read: {why}"));
                    unseen = true;
                }
                Verdict::Flawed(flaws) if applied_unguarded(record, path) => {
                    let swapped = in_words(&flaws, &rules);
                    let is_not_read = *path == self.vm.boot.share && are_qemus(&flaws, &rules);
                    let outlook = match is_not_read {
                        true => {
                            "no kernel is taken from it, and it is refused as soon as its path changes"
                        }
                        false => "refused as soon as its path changes",
                    };
                    builder.notice(
                        &self.vm.name,
                        format!("its {what} {path} can be swapped: {swapped}"),
                        format!("{outlook}; {}", mended(&flaws)),
                    );
                    rules
                        .taken
                        .extend(flaws.into_iter().map(|flaw| flaw.folder));
                }
                Verdict::Flawed(flaws) => {
                    let place = format!("its {what} {path}");
                    match refused.iter_mut().find(|(_, same)| *same == flaws) {
                        Some((places, _)) => places.push(place),
                        None => refused.push((vec![place], flaws)),
                    }
                }
            }
        }
        for (places, flaws) in &refused {
            let why = format!(
                "{} can be swapped: {}",
                places.join(" and "),
                in_words(flaws, &rules)
            );
            builder.refuse_on(HostCheck::WritableFolder, &self.vm.name, why, mended(flaws));
        }
        if unseen || !refused.is_empty() {
            return Err(Blocked);
        }
        let paths = self.places().into_iter();
        Ok(Ways {
            paths: paths
                .map(|(_, path, end)| (path.to_string(), end))
                .collect(),
            rules,
        })
    }

    /// Says that QEMU's user, and so any VM whose guest breaks out of its QEMU, decides what its boot share is, where the
    /// fleet file trusts a folder on its way.
    fn note_trusted(&self, builder: &mut PlanBuilder) {
        let rules = self.input.inventory.way_rules([]);
        let share = &self.vm.boot.share;
        let verdict = self
            .input
            .inventory
            .judged(share.as_str(), End::Share, &rules);
        if let Verdict::Flawed(flaws) = verdict
            && are_qemus(&flaws, &rules)
        {
            builder.notice(
                &self.vm.name,
                format!(
                    "its boot share {share} can be swapped: {}",
                    in_words(&flaws, &rules)
                ),
                format!(
                    "allowed by hosts: {{ local: {{ trust: … }} }}; to end it, {}",
                    repaired(&flaws).0
                ),
            );
        }
    }

    /// What it has on its host, each by what the plan calls it.
    fn places(&self) -> Vec<(&'static str, &HostPath, End)> {
        let disks = self
            .vm
            .disks
            .iter()
            .map(|disk| ("disk", &disk.path, End::Image));
        let share = [("boot share", &self.vm.boot.share, End::Share)];
        let further = self.vm.shares.iter();
        let further = further.map(|share| ("share", &share.path, End::Share));
        let log = self
            .vm
            .console
            .log
            .iter()
            .map(|log| ("console log", log, End::Roots));
        let bases = self
            .vm
            .disks
            .iter()
            .filter_map(|disk| disk.backing.as_ref());
        let bases = bases.map(|backing| ("base image", &backing.path, End::Image));
        share
            .into_iter()
            .chain(further)
            .chain(disks)
            .chain(bases)
            .chain(log)
            .collect()
    }

    /// The paths whose ways only root decides about, without any folder that is trusted, with this share.
    pub(super) fn sound_ways(&self, share: &HostPath) -> BTreeMap<HostPath, End> {
        let rules = self.input.inventory.way_rules([]);
        let places = self.places().into_iter().map(|(_, path, end)| (path, end));
        let places = places.filter(|(path, _)| **path != self.vm.boot.share);
        let places = places.chain([(share, End::Share)]);
        let sound = places.filter(|(path, end)| self.is_sound(path, *end, &rules));
        sound.map(|(path, end)| (path.clone(), end)).collect()
    }

    /// Puts into a record the paths whose ways are sound.
    pub(super) fn note_guarded(&self, applied: &mut Applied) {
        let rules = rules(self.input);
        let places = self.places().into_iter();
        let sound = places.filter(|(_, path, end)| self.is_sound(path, *end, &rules));
        applied.guarded = sound.map(|(_, path, _)| path.clone()).collect();
    }

    fn is_sound(&self, path: &HostPath, end: End, rules: &Rules) -> bool {
        let verdict = self.input.inventory.judged(path.as_str(), end, rules);
        matches!(verdict, Verdict::Sound(_))
    }
}

/// Has the steps that work at a VM's paths, or hand them to libvirt, judge the ways again right before.
pub(super) fn guard(steps: &mut [Step], ways: &Ways) {
    for step in steps {
        let paths = match &step.act {
            Act::Define { .. }
            | Act::Start { .. }
            | Act::EraseDisk { .. }
            | Act::WriteRecord { .. } => ways.paths.clone(),
            act => {
                let at = act.works_at().map(ToString::to_string);
                let at = at.and_then(|path| ways.paths.get_key_value(&path));
                at.map(|(path, end)| (path.clone(), *end))
                    .into_iter()
                    .collect()
            }
        };
        if !paths.is_empty() {
            step.ways = Some(Ways {
                rules: ways.rules.clone(),
                paths,
            });
        }
    }
}

/// Whether an earlier version applied this path, which asked nothing about its way.
fn applied_unguarded(record: Option<&Record>, path: &HostPath) -> bool {
    record.is_some_and(|record| {
        unguarded_paths(&record.applied).any(|unguarded| unguarded == path.as_str())
    })
}

fn note_allowed(allowed: &[(String, u32)], rules: &Rules, builder: &mut PlanBuilder) {
    for (folder, gid) in allowed {
        let what = format!("group {gid} can replace what is in it");
        let about = About::Path(folder.clone());
        let mut notices = builder.notices.iter();
        if !notices.any(|notice| notice.subject == about && notice.what == what) {
            let outlook = match rules.equals.contains(gid) {
                true => "allowed: libvirt's socket makes its members root's equals",
                false => "allowed: its members write all of the host's logs",
            };
            builder.notice(about, what, outlook);
        }
    }
}

pub(super) fn in_words(flaws: &[Flaw], rules: &Rules) -> String {
    let flaws = flaws.iter().map(|flaw| flaw.describe(rules.qemu));
    flaws.collect::<Vec<_>>().join("; ")
}

/// Whether QEMU's user is among those who can have the path lead elsewhere.
fn are_qemus(flaws: &[Flaw], rules: &Rules) -> bool {
    rules
        .qemu
        .is_some_and(|qemu| flaws.iter().any(|flaw| flaw.is_open_to(qemu)))
}

/// What to do about flaws: to mend them, or to trust the folders.
pub(super) fn mended(flaws: &[Flaw]) -> String {
    let (repair, folders) = repaired(flaws);
    match folders.as_slice() {
        [] => repair,
        folders => format!(
            "{repair}, or in the fleet file, hosts: {{ local: {{ trust: [{}] }} }}",
            folders.join(", ")
        ),
    }
}

/// How flaws are mended, and the folders that could be trusted instead.
fn repaired(flaws: &[Flaw]) -> (String, Vec<&str>) {
    let folders: BTreeSet<&str> = flaws.iter().map(|flaw| flaw.folder.as_str()).collect();
    let folders: Vec<_> = folders.into_iter().collect();
    let links = flaws.iter().filter_map(|flaw| match &flaw.weakness {
        Weakness::Link(name, _) => Some(flaw.inside(name)),
        _ => None,
    });
    let links: Vec<_> = links.collect();
    let is = |kind: fn(&Weakness) -> bool| flaws.iter().any(|flaw| kind(&flaw.weakness));
    let own = if is(|weakness| matches!(weakness, Weakness::LinkAtEnd(_))) {
        return ("name the folder that it leads to".to_owned(), Vec::new());
    } else if is(|weakness| matches!(weakness, Weakness::Sticky(_))) {
        "move it to a folder where only root can write".to_owned()
    } else if !links.is_empty() && links.len() == flaws.len() {
        return (format!("chown -h root: {}", links.join(" ")), Vec::new());
    } else {
        let folders = folders.join(" ");
        format!("chown root: {folders}; chmod go-w {folders}")
    };
    (own, folders)
}
