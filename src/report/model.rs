//! The one model behind every format of a plan: what text and Markdown show is what the JSON holds.

use super::diff::Diff;
use crate::domain::{Cause, RowChange};
use crate::mark::Action;
use crate::plan::{self, Act, Base, Definitions, Fate, Plan, Step, TouchedPath};
use crate::problem::HostCheck;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// A plan as it is reported.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "armfleet-plan/1")]
pub struct PlanReport {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    pub format: PlanFormat,
    /// The fleet.
    pub fleet: String,
    /// The host.
    pub host: String,
    /// libvirt's version there; null if libvirt was not seen.
    pub libvirt: Option<String>,
    /// What the plan is known by: SHA-256 of its fleet, host and steps. Equal plans have equal digests.
    pub digest: String,
    /// Whether everything that matters could be seen.
    pub complete: bool,
    /// How much there is of what.
    pub summary: Summary,
    /// The running VMs that the plan stops.
    pub interruptions: Vec<Interruption>,
    /// The steps, in the order in which they are performed.
    pub steps: Vec<StepReport>,
    /// What is wanted and will not be done.
    pub refusals: Vec<Refusal>,
    /// What could not be seen, so that nothing was planned that rests on it.
    pub unknowns: Vec<Unknown>,
    /// What is worth knowing, and changes nothing.
    pub notices: Vec<Notice>,
    /// Every path of the host that the plan touches; of saved plans only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<TouchedPath>>,
}

/// The format of a plan's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum PlanFormat {
    /// The first.
    #[serde(rename = "armfleet-plan/1")]
    V1,
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

/// A running VM that the plan stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Interruption {
    /// The VM.
    pub vm: String,
    /// What becomes of it.
    pub fate: FateReport,
    /// Why.
    pub why: String,
    /// What to change so that it does not happen.
    pub avoid: String,
}

/// What becomes of a VM that the plan stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FateReport {
    /// It is started again by the same plan.
    Restarted,
    /// It stays off.
    Stopped,
    /// Its domain goes, too; disks and boot share stay.
    Removed,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StepReport {
    /// What it is called, uniquely within the plan.
    pub id: String,
    /// The host on which it is performed.
    pub host: String,
    /// The VM it belongs to; null for steps of the host.
    pub vm: Option<String>,
    /// What it does.
    pub action: Action,
    /// The kind of thing that it does it to: hook, libvirtd, share, seed, disk, domain, record, autostart, start, stop.
    pub kind: String,
    /// Which one: a VM or a path.
    pub subject: String,
    /// The same in a few words, with the reason.
    pub detail: String,
    /// Why it is taken.
    pub reason: String,
    /// Whether the file changed since the last apply, or the host; null where neither did, or that is not known.
    pub cause: Option<CauseReport>,
    /// What changes, property by property; empty for things that come or go as a whole.
    pub changes: Vec<Change>,
    /// When all that it changes takes effect.
    pub effect: Effect,
    /// Whether a running VM is interrupted by this step.
    pub interrupts: bool,
    /// The steps that must have been done before.
    pub needs: Vec<String>,
    /// SHA-256 of what the step was planned on; it is not performed on anything else. Null where that follows from the
    /// steps before.
    pub planned_on: Option<String>,
    /// The unified diff of the domain's definition; null unless asked for, and for steps that edit none.
    #[serde(serialize_with = "Diff::serialize")]
    #[schemars(with = "Option<String>")]
    pub diff: Option<Diff>,
}

/// Whether the file changed since the last apply, or the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CauseReport {
    /// The fleet file wants something else than at the last apply.
    FileChanged,
    /// The host has something else than the last apply left there.
    Drifted,
    /// Both.
    Both,
}

/// One property that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Change {
    /// The property, with its device.
    pub what: String,
    /// What is there; null if nothing is.
    pub before: Option<String>,
    /// What will be there; null if nothing will be.
    pub after: Option<String>,
    /// Whether the file changed, or the host.
    pub cause: Option<CauseReport>,
    /// When it takes effect.
    pub effect: Effect,
    /// Why a running VM does not get it at once; null where it does, or is off.
    pub waits: Option<String>,
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

/// Something wanted that will not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusal {
    /// The host.
    pub host: String,
    /// What it is about: a VM, or a part of the host.
    pub subject: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
    /// The check of the host that failed, which `armfleet explain` explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<&'static str>,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unknown {
    /// The host.
    pub host: String,
    /// What it is about: a VM, or a part of the host.
    pub subject: String,
    /// What could not be seen, and why.
    pub why: String,
}

/// Something worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Notice {
    /// The host.
    pub host: String,
    /// What it is about.
    pub subject: String,
    /// What there is to know.
    pub what: String,
    /// When or how it will change, if it will.
    pub outlook: String,
    /// Whether it waits for the VM's next boot.
    pub pending_restart: bool,
}

impl PlanReport {
    /// The report of a plan. With the definitions that the plan edits, it holds their diffs.
    #[must_use]
    pub fn new(plan: &Plan, definitions: Option<&Definitions>) -> Self {
        let starting = plan
            .steps
            .iter()
            .filter(|step| matches!(step.act, Act::Start { .. }));
        let starting: BTreeSet<_> = starting.filter_map(|step| step.vm.as_ref()).collect();
        let report = |step: &Step| {
            let starts = step.vm.as_ref().is_some_and(|vm| starting.contains(vm));
            let mut report = StepReport::new(step, &plan.host, starts);
            report.diff = definitions.and_then(|definitions| Diff::of(step, definitions));
            report
        };
        let steps: Vec<_> = plan.steps.iter().map(report).collect();
        Self {
            format: PlanFormat::V1,
            fleet: plan.fleet.to_string(),
            host: plan.host.clone(),
            libvirt: plan.libvirt.clone(),
            digest: plan.digest(),
            complete: plan.is_complete(),
            summary: Summary::new(&steps, plan),
            interruptions: plan.interruptions().iter().map(Interruption::new).collect(),
            steps,
            refusals: plan
                .refusals
                .iter()
                .map(|refusal| Refusal::new(refusal, &plan.host))
                .collect(),
            unknowns: plan
                .unknowns
                .iter()
                .map(|unknown| Unknown::new(unknown, &plan.host))
                .collect(),
            notices: plan
                .notices
                .iter()
                .map(|notice| Notice::new(notice, &plan.host))
                .collect(),
            paths: None,
        }
    }
}

impl Summary {
    fn new(steps: &[StepReport], plan: &Plan) -> Self {
        let count = |action| steps.iter().filter(|step| step.action == action).count();
        Self {
            create: count(Action::Create),
            change: count(Action::Change),
            remove: count(Action::Remove),
            start: count(Action::Start),
            stop: count(Action::Stop),
            refused: plan.refusals.len(),
            unseen: plan.unknowns.len(),
        }
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

impl Interruption {
    fn new(interruption: &plan::Interruption) -> Self {
        Self {
            vm: interruption.vm.to_string(),
            fate: match interruption.fate {
                Fate::Restarted => FateReport::Restarted,
                Fate::Stopped => FateReport::Stopped,
                Fate::Removed => FateReport::Removed,
            },
            why: interruption.why.clone(),
            avoid: interruption.fate.avoidance().to_owned(),
        }
    }
}

impl FateReport {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Restarted => "restarted",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
        }
    }
}

impl StepReport {
    fn new(step: &Step, host: &str, starts: bool) -> Self {
        let change = |change| Change::new(change, starts);
        let changes: Vec<_> = step.changes.iter().map(change).collect();
        let effects = changes.iter().map(|change| change.effect);
        Self {
            id: step.id.to_string(),
            host: host.to_owned(),
            vm: step.vm.as_ref().map(ToString::to_string),
            action: step.act.action(),
            kind: step.act.kind().to_owned(),
            subject: step.subject(),
            detail: detail(step),
            reason: step.reason.clone(),
            cause: step.cause.map(CauseReport::new),
            effect: effects.max().unwrap_or(Effect::Now),
            changes,
            interrupts: matches!(step.act, Act::Stop { .. }),
            needs: step.needs.iter().map(ToString::to_string).collect(),
            planned_on: planned_on(step),
            diff: None,
        }
    }
}

impl CauseReport {
    const fn new(cause: Cause) -> Self {
        match cause {
            Cause::FileChanged => Self::FileChanged,
            Cause::Drifted => Self::Drifted,
            Cause::Both => Self::Both,
        }
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::FileChanged => "file changed",
            Self::Drifted => "drifted",
            Self::Both => "changed in the file, and drifted",
        }
    }
}

impl Change {
    fn new(change: &RowChange, starts: bool) -> Self {
        let effect = match &change.waits {
            None => Effect::Now,
            Some(_) if starts => Effect::AtPlannedStart,
            Some(_) => Effect::AtNextBoot,
        };
        Self {
            what: change.what.to_string(),
            before: change.before.clone(),
            after: change.after.clone(),
            cause: change.cause.map(CauseReport::new),
            effect,
            waits: change.waits.clone(),
        }
    }

    /// From what to what.
    #[must_use]
    pub fn values(&self) -> String {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            (None, Some(after)) => format!("+ {after}"),
            (Some(before), None) => format!("- {before}"),
            (None, None) => String::new(),
        }
    }

    /// When it takes effect, and why not at once; empty if it does at once.
    #[must_use]
    pub fn when(&self) -> String {
        match (self.effect, &self.waits) {
            (Effect::AtNextBoot, Some(why)) => format!("at next boot: {why}"),
            (Effect::AtPlannedStart, _) => "when this plan starts it".to_owned(),
            _ => String::new(),
        }
    }
}

impl Refusal {
    pub(super) fn new(refusal: &plan::Refusal, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            subject: refusal.subject.clone(),
            why: refusal.why.clone(),
            remedy: refusal.remedy.clone(),
            check: refusal.check.map(HostCheck::name),
        }
    }
}

impl Unknown {
    pub(super) fn new(unknown: &plan::Unknown, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            subject: unknown.subject.clone(),
            why: unknown.why.clone(),
        }
    }
}

impl Notice {
    pub(super) fn new(notice: &plan::Notice, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            subject: notice.subject.clone(),
            what: notice.what.clone(),
            outlook: notice.outlook.clone(),
            pending_restart: notice.pending_restart,
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
        Act::CreateDisk { size, .. } => format!("{size} raw, {reason}"),
        Act::GrowDisk { from, to, .. } => format!("{from} -> {to}"),
        Act::Define {
            base: Base::Stored(_),
            ..
        } => format!("({reason})"),
        Act::SetAutostart { on, .. } => format!("{}: {reason}", if *on { "on" } else { "off" }),
        Act::Undefine { .. } => "disks and boot share stay".to_owned(),
        _ => reason.clone(),
    }
}

/// SHA-256 of what a step was planned on.
fn planned_on(step: &Step) -> Option<String> {
    match &step.act {
        Act::Define {
            base: Base::Stored(digest),
            ..
        }
        | Act::Undefine { digest, .. } => Some(digest.clone()),
        _ => step.expects.clone(),
    }
}
