//! Whether two plans have the same effects: what was reviewed against what would be applied now.
//!
//! An effect is what a step does, what is interrupted and what is refused. What a plan was made on is none: digests, inode
//! numbers and times move with a host whose plan stays the same. What must be exactly so before a saved plan is applied is
//! asked by [`SavedPlan::staleness`], which takes nothing for the same that is not.

use super::saved::SavedPlan;
use super::stale::{Matched, MovedFact, moved};
use super::step::{Act, Base, Step, StepId};
use super::{DiskContent, Interruption, Plan, Refusal};
use crate::domain::Subject;
use crate::inventory::Facts;
use crate::mark::Record;
use crate::values::VmName;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How the effects of two plans differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison<'a> {
    /// The running VMs that one plan stops and the other does not, or that have another fate.
    pub interruptions: Vec<Difference<Interruption>>,
    /// What one plan does and the other does not, or does otherwise.
    pub steps: Vec<Difference<&'a Step>>,
    /// Steps of both plans that wait for other steps of both.
    pub reordered: Vec<Reordered<'a>>,
    /// What one plan refuses and the other does not.
    pub refusals: Vec<Difference<&'a Refusal>>,
    /// What moved on the host, which is no effect.
    pub moved: Vec<MovedFact>,
}

/// What one plan has and the other has not, or has otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "difference")]
#[schemars(rename = "Difference_{T}")]
pub enum Difference<T> {
    /// The new plan has it no more.
    Gone {
        /// What the old plan has.
        old: T,
    },
    /// The old plan had it not.
    New {
        /// What the new plan has.
        new: T,
    },
    /// Both have it, and not the same.
    Changed {
        /// What the old plan has.
        old: T,
        /// What the new plan has.
        new: T,
    },
}

/// A step that waits for other steps than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reordered<'a> {
    /// The step.
    pub step: &'a Step,
    /// What it does not wait for any more.
    pub no_longer_after: Vec<&'a StepId>,
    /// What it waits for, too.
    pub now_after: Vec<&'a StepId>,
}

/// What a plan has in common with that of the fleet file before a change. armfleet's own records are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WithoutChange<'a> {
    /// The steps that are due without the change, too.
    #[schemars(with = "Vec<String>")]
    pub also: Vec<&'a StepId>,
    /// The steps that would be due without the change, and are not, or not so.
    #[schemars(with = "Vec<String>")]
    pub instead: Vec<&'a StepId>,
}

impl<'a> WithoutChange<'a> {
    /// Compares the plan before a change with the plan after it, of the same host.
    #[must_use]
    pub fn new(before: &'a Plan, after: &'a Plan) -> Self {
        let steps = Matched::new(&before.steps, &after.steps);
        let both = steps.both.iter();
        let (also, not_so): (Vec<_>, Vec<_>) =
            both.partition(|(before, after)| same(before, after));
        let ids = |steps: &mut dyn Iterator<Item = &'a Step>| -> Vec<&'a StepId> {
            let told = steps.filter(|step| !step.act.is_record());
            told.map(|step| &step.id).collect()
        };
        Self {
            also: ids(&mut also.iter().map(|(_, after)| *after)),
            instead: ids(&mut steps
                .gone
                .iter()
                .chain(not_so.iter().map(|(before, _)| before))
                .copied()),
        }
    }
}

impl<'a> Comparison<'a> {
    /// Compares two saved plans.
    #[must_use]
    pub fn new(old: &'a SavedPlan, new: &'a SavedPlan) -> Self {
        let steps = Matched::new(&old.plan.steps, &new.plan.steps);
        Self {
            interruptions: interruptions(&old.plan, &new.plan),
            reordered: reordered(&steps),
            steps: differing(&steps),
            refusals: refusals(&old.plan, &new.plan),
            moved: moved_in_both(&old.facts, &new.facts),
        }
    }

    /// Whether both plans do, interrupt and refuse the same, in an order that makes no difference.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.interruptions.is_empty()
            && self.steps.is_empty()
            && self.reordered.is_empty()
            && self.refusals.is_empty()
    }
}

/// What both plans looked at. What only one looked at may be as it was.
fn moved_in_both(old: &Facts, new: &Facts) -> Vec<MovedFact> {
    let both = |facts: &Facts, others: &Facts| -> Facts {
        let facts = facts.clone().into_iter();
        facts
            .filter(|(subject, _)| others.contains_key(subject))
            .collect()
    };
    moved(&both(old, new), &both(new, old))
}

fn interruptions(old: &Plan, new: &Plan) -> Vec<Difference<Interruption>> {
    let by_vm = |plan: &Plan| -> BTreeMap<VmName, Interruption> {
        let interruptions = plan.interruptions().into_iter();
        interruptions.map(|one| (one.vm.clone(), one)).collect()
    };
    let (mut old, new) = (by_vm(old), by_vm(new));
    let mut differing = Vec::new();
    for (vm, interruption) in new {
        match old.remove(&vm) {
            None => differing.push(Difference::New { new: interruption }),
            Some(old) if old.fate != interruption.fate => {
                let new = interruption;
                differing.push(Difference::Changed { old, new });
            }
            Some(_) => {}
        }
    }
    differing.extend(old.into_values().map(|old| Difference::Gone { old }));
    differing
}

fn differing<'a>(steps: &Matched<'a>) -> Vec<Difference<&'a Step>> {
    let gone = steps.gone.iter().map(|old| Difference::Gone { old: *old });
    let new = steps.new.iter().map(|new| Difference::New { new: *new });
    let changed = steps.both.iter().filter(|(old, new)| !same(old, new));
    let changed = changed.map(|&(old, new)| Difference::Changed { old, new });
    gone.chain(new).chain(changed).collect()
}

/// Whether two steps have the same effect.
fn same(old: &Step, new: &Step) -> bool {
    old.vm == new.vm && rows(old) == rows(new) && effect(&old.act) == effect(&new.act)
}

/// What changes from what to what, and whether at once. Whether the file or the host moved is a reason, not an effect.
fn rows(step: &Step) -> Vec<(&Subject, Option<&str>, Option<&str>, bool)> {
    let rows = step.changes.iter();
    rows.map(|row| {
        let (before, after) = (row.before.as_deref(), row.after.as_deref());
        (&row.what, before, after, row.waits.is_some())
    })
    .collect()
}

/// An act without what it was planned on.
fn effect(act: &Act) -> Act {
    let mut act = act.clone();
    match &mut act {
        Act::Define {
            base: Base::Stored(digest),
            ..
        }
        | Act::Undefine { digest, .. } => digest.clear(),
        Act::CreateDisk {
            content: DiskContent::CopyOf(base),
            ..
        } if base.sha256.is_some() => {
            // Its bytes are known by their SHA-256.
            (base.ino, base.mtime_ns) = (0, 0);
        }
        Act::WriteRecord { record, .. } => without_places(record),
        _ => {}
    }
    act
}

/// Leaves out of a record what was at the paths when the plan was made, and who applied.
fn without_places(record: &mut Record) {
    for device in record.applied.devices.values_mut() {
        (device.place, device.base) = (None, None);
    }
    record.applied.guarded.clear();
    record.boot.ways.clear();
    record.applied_by = None;
}

/// Among steps that both plans have; what waits for a step that came or went is told by that one.
fn reordered<'a>(steps: &Matched<'a>) -> Vec<Reordered<'a>> {
    let both: BTreeSet<&StepId> = steps.both.iter().map(|(step, _)| &step.id).collect();
    let needs = |step: &'a Step| -> BTreeSet<&'a StepId> {
        let needs = step.needs.iter();
        needs.filter(|need| both.contains(need)).collect()
    };
    let reordered = steps.both.iter().filter_map(|(old, new)| {
        let (before, after) = (needs(old), needs(new));
        (before != after).then(|| Reordered {
            step: new,
            no_longer_after: before.difference(&after).copied().collect(),
            now_after: after.difference(&before).copied().collect(),
        })
    });
    reordered.collect()
}

/// A check of the host that still fails is the same refusal, whatever numbers it gives: those move with the host.
fn refusals<'a>(old: &'a Plan, new: &'a Plan) -> Vec<Difference<&'a Refusal>> {
    let key = |refusal: &Refusal| {
        let check = refusal.check.map(|check| check.name().to_owned());
        let what = check.unwrap_or_else(|| refusal.why.clone());
        (refusal.subject.to_string(), what)
    };
    let mut before: BTreeMap<_, Vec<&Refusal>> = BTreeMap::new();
    for refusal in old.refusals.iter().rev() {
        before.entry(key(refusal)).or_default().push(refusal);
    }
    let mut is_new = |refusal: &Refusal| {
        let same = before.get_mut(&key(refusal)).and_then(Vec::pop);
        same.is_none()
    };
    let new = new.refusals.iter();
    let new: Vec<_> = new.filter(|refusal| is_new(refusal)).collect();
    let gone = before.into_values().flatten();
    let gone = gone.map(|old| Difference::Gone { old });
    let new = new.into_iter().map(|new| Difference::New { new });
    new.chain(gone).collect()
}

impl<T> Difference<T> {
    /// The same of something else, which may be told by the plan that has it.
    pub fn map<U>(&self, of_old: impl Fn(&T) -> U, of_new: impl Fn(&T) -> U) -> Difference<U> {
        match self {
            Self::Gone { old } => Difference::Gone { old: of_old(old) },
            Self::New { new } => Difference::New { new: of_new(new) },
            Self::Changed { old, new } => Difference::Changed {
                old: of_old(old),
                new: of_new(new),
            },
        }
    }

    /// What the new plan has; what the old one had where that is nothing.
    pub const fn latest(&self) -> &T {
        match self {
            Self::Gone { old: one } | Self::New { new: one } | Self::Changed { new: one, .. } => {
                one
            }
        }
    }
}
