//! What the journal says of an apply.

use crate::host::Traces;
use crate::mark::{Beginning, CalledFrom, Event, StepTrace};
use crate::plan::{Act, Ended, Plan, Step};
use std::time::Duration;

/// An apply begins. The host adds where it was called.
pub(super) fn began(plan: &Plan, digest: &str) -> Event {
    Event::Began(Beginning {
        plan: digest.to_owned(),
        fleet: plan.fleet.to_string(),
        host: plan.host.clone(),
        steps: plan.steps.len(),
        from: CalledFrom::default(),
    })
}

/// A step has ended.
pub(super) fn stepped(
    plan: Option<&str>,
    step: &Step,
    ended: &Ended,
    took: Duration,
    traces: Traces,
) -> Event {
    let (error, hook) = match ended {
        Ended::Failed(failure) => (failure.causes.clone(), failure.hook.clone()),
        Ended::Done | Ended::NotTried => (Vec::new(), None),
    };
    Event::Step(StepTrace {
        plan: plan.map(str::to_owned),
        id: step.id.to_string(),
        vm: step.vm.clone(),
        action: step.act.action(),
        kind: step.act.kind().to_owned(),
        subject: step.subject(),
        reason: step.reason.clone(),
        changes: changes(step),
        milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        error,
        hook,
        before: traces.before,
        after: traces.after,
    })
}

fn changes(step: &Step) -> Vec<String> {
    match &step.act {
        Act::GrowDisk { from, to, .. } => vec![format!("{from} -> {to}")],
        Act::SetAutostart { on, .. } => vec![if *on { "on" } else { "off" }.to_owned()],
        _ => step.changes.iter().map(ToString::to_string).collect(),
    }
}
