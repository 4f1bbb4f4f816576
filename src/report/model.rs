//! The one model behind every format of a plan: what text and Markdown show is what the JSON holds.
//!
//! The parts of a plan are the plan's own, in an envelope with what is worked out for the report. A step's act is not
//! reported: it may be as long as a definition, and is for whoever performs it.

use super::basis::Basis;
use super::diff::Diff;
use crate::domain::{Cause, RowChange};
use crate::mark::Action;
use crate::plan::{
    About, Act, Definitions, Interruption, Notice, Plan, Refusal, Step, StepId, TouchedPath,
    Unknown, WithoutChange,
};
use crate::values::{FleetName, VmName};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const FORMAT: &str = "armfleet-plan/1";
/// How many steps are named in a sentence.
const NAMED_LIMIT: usize = 12;

/// A plan as it is reported.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = FORMAT)]
pub struct PlanReport<'a> {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = FORMAT))]
    pub format: &'static str,
    /// The fleet.
    #[schemars(with = "String")]
    pub fleet: &'a FleetName,
    /// The host.
    pub host: &'a str,
    /// What it rests on; absent where that is the host as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The commit that the fleet files are of, where whoever planned named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<&'a str>,
    /// libvirt's version there; null if libvirt was not seen.
    pub libvirt: Option<&'a str>,
    /// What the plan is known by: SHA-256 of its fleet, host and steps. Equal plans have equal digests.
    pub digest: String,
    /// Whether everything that matters could be seen.
    pub complete: bool,
    /// How much there is of what.
    pub summary: Summary,
    /// The running VMs that the plan stops.
    pub interruptions: Vec<Interruption>,
    /// The steps, in the order in which they are performed.
    pub steps: Vec<StepReport<'a>>,
    /// What is wanted and will not be done.
    pub refusals: Vec<OnHost<'a, Refusal>>,
    /// What could not be seen, so that nothing was planned that rests on it.
    pub unknowns: Vec<OnHost<'a, Unknown>>,
    /// What is worth knowing, and changes nothing.
    pub notices: Vec<OnHost<'a, Notice>>,
    /// Every path of the host that the plan touches; of saved plans only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<TouchedPath>>,
    /// What the fleet file before the change has to do with it; of diffs with a snapshot only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_change: Option<WithoutChange<'a>>,
    /// VMs that each VM stands for, of which the same is told.
    #[serde(skip)]
    pub(super) alike: BTreeMap<VmName, Vec<VmName>>,
    /// Whether text lists every step that only keeps armfleet's own books.
    #[serde(skip)]
    pub lists_records: bool,
}

/// How many steps of each action a plan has, and how many remarks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Steps that create something.
    pub create: usize,
    /// Steps that change something.
    pub change: usize,
    /// Steps that remove something.
    pub remove: usize,
    /// Steps that start a VM.
    pub start: usize,
    /// Steps that stop a VM, or wait until it has stopped.
    pub stop: usize,
    /// Refusals.
    pub refused: usize,
    /// What could not be seen.
    pub unseen: usize,
}

/// A part of a plan, with its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "{T}", description = "")]
pub struct OnHost<'a, T> {
    /// The host.
    pub host: &'a str,
    /// The part.
    #[serde(flatten)]
    pub part: &'a T,
}

/// What a step is, in the report of a plan and in that of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NamedStep<'a> {
    /// What it is called, uniquely within the plan.
    #[schemars(with = "String")]
    pub id: &'a StepId,
    /// The host on which it is performed.
    pub host: &'a str,
    /// The VM it belongs to; null for steps of the host.
    #[schemars(with = "Option<String>")]
    pub vm: Option<&'a VmName>,
    /// What it does.
    pub action: Action,
    /// The kind of thing that it does it to: hook, libvirtd, share, seed, disk, domain, record, autostart, start, stop.
    pub kind: &'static str,
    /// Which one: a VM or a path.
    pub subject: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StepReport<'a> {
    /// What it is.
    #[serde(flatten)]
    pub named: NamedStep<'a>,
    /// The same in a few words, with the reason.
    pub detail: String,
    /// Why it is taken.
    pub reason: &'a str,
    /// Whether the file changed since the last apply, or the host; null where neither did, or that is not known.
    pub cause: Option<Cause>,
    /// What changes, property by property; empty for things that come or go as a whole.
    pub changes: Vec<Change<'a>>,
    /// When all that it changes takes effect.
    pub effect: Effect,
    /// Whether a running VM is interrupted by this step.
    pub interrupts: bool,
    /// The steps that must have been done before.
    #[schemars(with = "Vec<String>")]
    pub needs: &'a [StepId],
    /// SHA-256 of what the step was planned on; it is not performed on anything else. Null where that follows from the
    /// steps before.
    pub planned_on: Option<&'a str>,
    /// The unified diff of the domain's definition; null unless asked for, and for steps that edit none.
    #[serde(serialize_with = "Diff::serialize")]
    #[schemars(with = "Option<String>")]
    pub diff: Option<Diff>,
    /// The cause where the detail does not say it, and it has to be said: drift is not expected.
    #[serde(skip)]
    pub(super) untold_cause: Option<Cause>,
    /// Whether it only keeps armfleet's own books.
    #[serde(skip)]
    pub(super) is_record: bool,
}

/// One property that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change<'a> {
    /// What changes, and how.
    #[serde(flatten)]
    pub row: &'a RowChange,
    /// When it takes effect.
    pub effect: Effect,
}

/// When a change takes effect, the soonest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// When the step is done.
    Now,
    /// When this plan starts the VM.
    AtPlannedStart,
    /// When the VM is started for the next time, by any means.
    AtNextBoot,
}

impl<'a> PlanReport<'a> {
    /// The report of a plan. With the definitions that the plan edits, it holds their diffs.
    #[must_use]
    pub fn new(plan: &'a Plan, definitions: Option<&Definitions>) -> Self {
        let starting = plan
            .steps
            .iter()
            .filter(|step| matches!(step.act, Act::Start { .. }));
        let starting: BTreeSet<_> = starting.filter_map(|step| step.vm.as_ref()).collect();
        let report = |step: &'a Step| {
            let starts = step.vm.as_ref().is_some_and(|vm| starting.contains(vm));
            let diff = definitions.and_then(|definitions| Diff::of(step, definitions));
            StepReport::new(step, &plan.host, starts, diff)
        };
        let steps: Vec<_> = plan.steps.iter().map(report).collect();
        Self {
            format: FORMAT,
            fleet: &plan.fleet,
            host: &plan.host,
            basis: None,
            commit: None,
            libvirt: plan.libvirt.as_deref(),
            digest: plan.digest(),
            complete: plan.is_complete(),
            summary: Summary::new(plan),
            interruptions: plan.interruptions(),
            steps,
            refusals: OnHost::all(&plan.host, &plan.refusals),
            unknowns: OnHost::all(&plan.host, &plan.unknowns),
            notices: OnHost::all(&plan.host, &plan.notices),
            paths: None,
            without_change: None,
            alike: BTreeMap::new(),
            lists_records: false,
        }
    }
}

impl PlanReport<'_> {
    /// The same, where VMs stand for others that change alike. Text and Markdown can tell of them.
    #[must_use]
    pub fn standing_for(mut self, alike: BTreeMap<VmName, Vec<VmName>>) -> Self {
        let others = |vm: Option<&VmName>| vm.and_then(|vm| alike.get(vm)).map_or(0, Vec::len);
        for step in &self.steps {
            *self.summary.of(step.named.action) += others(step.named.vm);
        }
        let of = |about: &About| others(about.vm().as_ref());
        let refused = self
            .refusals
            .iter()
            .map(|refusal| of(&refusal.part.subject));
        self.summary.refused += refused.sum::<usize>();
        self.alike = alike;
        self
    }

    /// What would be due without the change, in sentences.
    pub(super) fn without_change(&self) -> Vec<String> {
        let Some(WithoutChange { also, instead }) = &self.without_change else {
            return Vec::new();
        };
        let said = [
            (also, "due without the change, too"),
            (instead, "due without the change, and not with it"),
        ];
        let said = said.into_iter().filter(|(steps, _)| !steps.is_empty());
        let said = said.map(|(steps, when)| {
            let named = steps.iter().take(NAMED_LIMIT).map(ToString::to_string);
            let mut named = named.collect::<Vec<_>>().join(", ");
            if steps.len() > NAMED_LIMIT {
                let _ = write!(named, " and {} more", steps.len() - NAMED_LIMIT);
            }
            match steps.len() {
                1 => format!("1 step is {when}: {named}"),
                count => format!("{count} steps are {when}: {named}"),
            }
        });
        said.collect()
    }

    /// The names of a VM and of those that it stands for.
    pub(super) fn names<'r>(&'r self, vm: &'r VmName) -> Vec<&'r str> {
        let others = self.alike.get(vm).into_iter().flatten();
        [vm].into_iter().chain(others).map(VmName::as_str).collect()
    }

    /// Whether it says something of a host.
    #[must_use]
    pub fn has_host(&self) -> bool {
        self.basis.as_ref().is_none_or(Basis::has_host)
    }
}

impl<'a, T> OnHost<'a, T> {
    pub(super) fn all(host: &'a str, parts: &'a [T]) -> Vec<Self> {
        parts.iter().map(|part| Self { host, part }).collect()
    }
}

impl Summary {
    fn new(plan: &Plan) -> Self {
        let mut summary = Self {
            refused: plan.refusals.len(),
            unseen: plan.unknowns.len(),
            ..Self::default()
        };
        for step in &plan.steps {
            *summary.of(step.act.action()) += 1;
        }
        summary
    }

    /// How many steps of an action there are.
    const fn of(&mut self, action: Action) -> &mut usize {
        match action {
            Action::Create => &mut self.create,
            Action::Change => &mut self.change,
            Action::Remove => &mut self.remove,
            Action::Start => &mut self.start,
            Action::Stop => &mut self.stop,
        }
    }

    /// The same without the steps that only keep armfleet's own books.
    pub(super) fn without_records(report: &PlanReport<'_>) -> Self {
        let steps = report.steps.iter().filter(|step| !step.is_record);
        Self::of_listed(report, &steps.collect::<Vec<_>>())
    }

    /// Of these steps alone, and of all remarks.
    pub(super) fn of_listed(report: &PlanReport<'_>, listed: &[&StepReport<'_>]) -> Self {
        let mut summary = Self {
            refused: report.summary.refused,
            unseen: report.summary.unseen,
            ..Self::default()
        };
        for step in listed {
            let count = step.named.vm.map_or(1, |vm| report.names(vm).len());
            *summary.of(step.named.action) += count;
        }
        summary
    }

    /// In a line, without its full stop.
    #[must_use]
    pub fn words(&self) -> String {
        let counts = [
            (self.create, "to create"),
            (self.change, "to change"),
            (self.remove, "to remove"),
            (self.start, "to start"),
            (self.stop, "to stop"),
        ];
        let shown = counts.iter().filter(|(count, _)| *count > 0);
        let mut parts: Vec<String> = shown
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if parts.is_empty() {
            parts.push("No changes".to_owned());
        }
        let remarks = [
            (self.refused, "refused"),
            (self.unseen, "could not be seen"),
        ];
        let remarks = remarks.iter().filter(|(count, _)| *count > 0);
        parts.extend(remarks.map(|(count, what)| format!("{count} {what}")));
        parts.join(", ")
    }
}

impl<'a> NamedStep<'a> {
    pub(super) fn new(step: &'a Step, host: &'a str) -> Self {
        Self {
            id: &step.id,
            host,
            vm: step.vm.as_ref(),
            action: step.act.action(),
            kind: step.act.kind(),
            subject: step.subject(),
        }
    }
}

impl<'a> StepReport<'a> {
    fn new(step: &'a Step, host: &'a str, starts: bool, diff: Option<Diff>) -> Self {
        let change = |row| Change::new(row, starts);
        let changes: Vec<_> = step.changes.iter().map(change).collect();
        let effects = changes.iter().map(|change| change.effect);
        let drift = step.cause.filter(|cause| cause.is_drift());
        Self {
            named: NamedStep::new(step, host),
            detail: detail(step),
            reason: &step.reason,
            cause: step.cause,
            effect: effects.max().unwrap_or(Effect::Now),
            changes,
            interrupts: matches!(step.act, Act::Stop { .. } | Act::PowerOff { .. }),
            needs: &step.needs,
            planned_on: step.planned_on(),
            diff,
            untold_cause: drift.filter(|_| step.edited().is_none()),
            is_record: step.act.is_record(),
        }
    }
}

impl<'a> Change<'a> {
    fn new(row: &'a RowChange, starts: bool) -> Self {
        let effect = match &row.waits {
            None => Effect::Now,
            Some(_) if starts => Effect::AtPlannedStart,
            Some(_) => Effect::AtNextBoot,
        };
        Self { row, effect }
    }

    /// From what to what.
    #[must_use]
    pub fn values(&self) -> String {
        match (&self.row.before, &self.row.after) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            (None, Some(after)) => format!("+ {after}"),
            (Some(before), None) => format!("- {before}"),
            (None, None) => String::new(),
        }
    }

    /// When it takes effect, and why not at once; empty if it does at once.
    #[must_use]
    pub fn when(&self) -> String {
        match (self.effect, &self.row.waits) {
            (Effect::AtNextBoot, Some(why)) => format!("at next boot: {why}"),
            (Effect::AtPlannedStart, _) => "when this plan starts it".to_owned(),
            _ => String::new(),
        }
    }
}

/// What a step does, in a few words.
fn detail(step: &Step) -> String {
    let reason = &step.reason;
    match &step.act {
        Act::CreateShare { mode, owner, .. } => {
            let owner = owner.map_or_else(String::new, |(uid, gid)| format!(" {uid}:{gid}"));
            format!("{mode:04o}{owner}, {reason}")
        }
        Act::CreateDisk { size, format, .. } => format!("{size} {format}, {reason}"),
        Act::GrowDisk { from, to, .. } => format!("{from} -> {to}"),
        Act::Define { .. } if step.edited().is_some() => format!("({reason})"),
        Act::SetAutostart { on, .. } => format!("{}: {reason}", if *on { "on" } else { "off" }),
        Act::Undefine { .. } => "disks and boot share stay".to_owned(),
        _ => reason.clone(),
    }
}
