//! Reconciling: observe, plan, perform, and plan again to see that nothing is left.

mod journal;
mod order;
mod run;

pub(crate) use journal::chain;
pub use run::{Ended, Ran, run};

use crate::fleet::Spec;
use crate::host::waits::Wait;
use crate::host::{Host, HostError, Inspect};
use crate::inventory::{Inventory, query};
use crate::mark::Event;
use crate::plan::{Plan, Policy, Step, StepId, plan};
use std::collections::BTreeMap;
use std::time::Duration;

/// Sees what happens while steps are performed.
pub trait Monitor: Sync {
    /// A step begins.
    fn begins(&self, step: &Step);
    /// A step has ended.
    fn ended(&self, step: &Step, ended: &Ended);
    /// Waits that have become worth a line: each after ten seconds, and again from time to time.
    fn waits(&self, _: &[Wait]) {}
    /// Whether somebody wants it to end.
    fn interruption(&self) -> Interruption;
}

/// How an apply is to end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// It is not.
    None,
    /// The steps under way are finished, and no others are begun.
    Finish,
    /// At once: the process is about to end, and what steps under way come to will not be seen.
    Leave,
}

/// What an apply came to.
#[derive(Debug)]
pub struct Outcome {
    /// How each step ended.
    pub ended: BTreeMap<StepId, Ended>,
    /// How long each step took that was begun.
    pub took: BTreeMap<StepId, Duration>,
    /// Whether somebody interrupted it.
    pub interrupted: bool,
    /// Why something is missing in the journal or the history; what was done was done nevertheless.
    pub untold: Vec<HostError>,
    /// What a plan made afterwards still has to do.
    pub residual: Plan,
}

/// Looks at a host and plans.
///
/// # Errors
/// When the host cannot be looked at at all.
pub fn observe_and_plan(
    host: &dyn Inspect,
    spec: &Spec,
    policy: &Policy,
) -> Result<(Plan, Inventory), HostError> {
    let inventory = Inventory::read(host.observe(&query(spec))?);
    Ok((plan(spec, &inventory, policy), inventory))
}

/// Performs a plan and plans again: success is an empty residual, and nothing else.
///
/// # Errors
/// When the host cannot be looked at afterwards.
pub fn apply(
    host: &dyn Host,
    spec: &Spec,
    policy: &Policy,
    plan: &Plan,
    monitor: &dyn Monitor,
) -> Result<Outcome, HostError> {
    // Where nothing is to be done, a journal has nothing to tell.
    let ran = if plan.is_empty() {
        Ran::default()
    } else {
        run_and_tell(host, plan, monitor)
    };
    let interrupted = is_interrupted(monitor);
    // What was to be done once is not to be done again.
    let after = Policy {
        reinstall: None,
        ..policy.clone()
    };
    let (residual, _) = observe_and_plan(host, spec, &after)?;
    Ok(Outcome {
        ended: ran.ended,
        took: ran.took,
        interrupted,
        untold: ran.untold,
        residual,
    })
}

fn is_interrupted(monitor: &dyn Monitor) -> bool {
    monitor.interruption() != Interruption::None
}

/// Performs a plan, and has the journal tell when that began and ended.
fn run_and_tell(host: &dyn Host, plan: &Plan, monitor: &dyn Monitor) -> Ran {
    let digest = plan.digest();
    let began = host.note(journal::began(plan, &digest));
    let mut ran = run(host, &plan.steps, &digest, monitor);
    let ended = host.note(Event::Ended {
        plan: digest,
        interrupted: is_interrupted(monitor),
    });
    ran.untold
        .extend([began, ended].into_iter().filter_map(Result::err));
    ran
}

impl Outcome {
    /// Whether every step was done.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.ended
            .values()
            .all(|ended| matches!(ended, Ended::Done))
    }
}
