//! What an apply came to, for programs.

use super::model::{NamedStep, OnHost};
use crate::plan::{About, Ended, Outcome, Plan, Refusal, Step, StepId, Unknown};
use crate::values::FleetName;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

const FORMAT: &str = "armfleet-apply/1";

/// What an apply came to.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = FORMAT)]
pub struct ApplyReport<'a> {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = FORMAT))]
    pub format: &'static str,
    /// The fleet.
    #[schemars(with = "String")]
    pub fleet: &'a FleetName,
    /// The host.
    pub host: &'a str,
    /// The digest of the plan that was applied.
    pub plan: String,
    /// Whether at least one step was done.
    pub changed: bool,
    /// Whether a step failed, or the host could not be looked at.
    pub failed: bool,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether a plan made afterwards has no steps.
    pub settled: bool,
    /// What is wanted and was not done.
    pub refused: Vec<OnHost<'a, Refusal>>,
    /// What could not be seen.
    pub unknowns: Vec<OnHost<'a, Unknown>>,
    /// What running VMs get at their next boot only.
    pub pending_restart: Vec<Pending<'a>>,
    /// The steps, in their order.
    pub steps: Vec<AppliedStep<'a>>,
    /// The ids of the steps that a plan made afterwards has.
    #[schemars(with = "Vec<String>")]
    pub residual: Vec<&'a StepId>,
    /// Why something is missing in the journal or the history, and what steps left lying; what was done was done nevertheless.
    pub untold: Vec<String>,
}

/// What a running VM gets at its next boot only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pending<'a> {
    /// The host.
    pub host: &'a str,
    /// The VM.
    pub vm: &'a About,
    /// What waits.
    pub what: &'a str,
    /// Until when.
    pub outlook: &'a str,
}

/// One step, and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AppliedStep<'a> {
    /// What it is.
    #[serde(flatten)]
    pub named: NamedStep<'a>,
    /// How it ended.
    pub result: StepResult,
    /// How long it took; null if it was not begun.
    pub seconds: Option<f64>,
    /// Why it failed, the outermost error first; empty unless it failed.
    pub error: &'a [String],
    /// What to do about the failure; null where there is nothing to say.
    pub remedy: Option<&'a str>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// It was done.
    Done,
    /// It failed.
    Failed,
    /// It was not begun.
    NotTried,
}

impl<'a> ApplyReport<'a> {
    /// The report of an apply; without an outcome, of a plan that was not begun.
    #[must_use]
    pub fn new(plan: &'a Plan, outcome: Option<&'a Outcome>) -> Self {
        let after = outcome.map_or(plan, |outcome| &outcome.residual);
        let step = |step: &'a Step| {
            let ended = outcome.and_then(|outcome| outcome.ended.get(&step.id));
            let took = outcome.and_then(|outcome| outcome.took.get(&step.id));
            AppliedStep::new(step, &plan.host, ended, took)
        };
        let steps: Vec<_> = plan.steps.iter().map(step).collect();
        let any = |result| steps.iter().any(|step| step.result == result);
        let pending = after.notices.iter().filter(|notice| notice.pending_restart);
        let pending = pending.map(|notice| Pending {
            host: &plan.host,
            vm: &notice.subject,
            what: &notice.what,
            outlook: &notice.outlook,
        });
        Self {
            format: FORMAT,
            fleet: &plan.fleet,
            host: &plan.host,
            plan: plan.digest(),
            changed: any(StepResult::Done),
            failed: any(StepResult::Failed) || !after.is_complete(),
            interrupted: outcome.is_some_and(|outcome| outcome.interrupted),
            settled: after.is_empty(),
            refused: OnHost::all(&plan.host, &after.refusals),
            unknowns: OnHost::all(&plan.host, &after.unknowns),
            pending_restart: pending.collect(),
            residual: after.steps.iter().map(|step| &step.id).collect(),
            untold: outcome.map(untold).unwrap_or_default(),
            steps,
        }
    }
}

fn untold(outcome: &Outcome) -> Vec<String> {
    let errors = outcome.untold.iter();
    errors.map(|error| error.causes.join(": ")).collect()
}

impl<'a> AppliedStep<'a> {
    pub(super) fn new(
        step: &'a Step,
        host: &'a str,
        ended: Option<&'a Ended>,
        took: Option<&Duration>,
    ) -> Self {
        let error = match ended {
            Some(Ended::Failed(error)) => Some(error),
            _ => None,
        };
        Self {
            named: NamedStep::new(step, host),
            result: match ended {
                Some(Ended::Done) => StepResult::Done,
                Some(Ended::Failed(_)) => StepResult::Failed,
                Some(Ended::NotTried) | None => StepResult::NotTried,
            },
            // To the millisecond: more would only be noise.
            seconds: took.map(|took| (took.as_secs_f64() * 1000.0).round() / 1000.0),
            error: error.map_or(&[], |error| &error.causes),
            remedy: error.and_then(|error| error.remedy.as_deref()),
        }
    }
}
