//! Reconciling: observe, plan, perform, and plan again to see that nothing is left.

mod examine;
mod journal;
mod monitor;
mod order;
mod run;

pub use examine::examine;
pub use monitor::{Interruption, Monitor};
pub use run::{Ran, run};

use crate::domain::uses;
use crate::fleet::Spec;
use crate::host::{Host, HostError, Inspect};
use crate::inventory::{Inventory, Query, RawInventory, query, query_all, query_host, query_kept};
use crate::mark::Event;
use crate::plan::{Outcome, Plan, Policy, PowerOutcome, PowerPlan, PowerRequest, plan};

/// Looks at a host and plans.
///
/// # Errors
/// When the host cannot be looked at at all.
pub fn observe_and_plan(
    host: &dyn Inspect,
    spec: &Spec,
    policy: &Policy,
) -> Result<(Plan, Inventory), HostError> {
    observe_more_and_plan(host, &query(spec), spec, policy)
}

/// The same with a query that asks for more than planning needs.
///
/// # Errors
/// When the host cannot be looked at at all.
pub fn observe_more_and_plan(
    host: &dyn Inspect,
    query: &Query,
    spec: &Spec,
    policy: &Policy,
) -> Result<(Plan, Inventory), HostError> {
    let inventory = Inventory::read(host.observe(query)?, spec);
    host.redact(&inventory.redaction);
    Ok((plan(spec, &inventory, policy), inventory))
}

/// Looks at what plans for any fleet look at whose VMs are on a host, and for a certain fleet. What there is has to be seen
/// before it is known what else to look at.
///
/// # Errors
/// When the host cannot be looked at at all.
pub fn observe_all(
    host: &dyn Inspect,
    spec: Option<&Spec>,
) -> Result<(Query, RawInventory), HostError> {
    let mut query = query_host();
    loop {
        let seen = host.observe(&query)?;
        let more = query_all(&seen, spec, uses);
        if more.paths.keys().all(|path| query.paths.contains_key(path)) {
            return Ok((query, seen));
        }
        query = more;
    }
}

/// Looks at the VMs that armfleet keeps on a host, as far as a request about their power asks.
///
/// # Errors
/// When the host cannot be looked at at all.
pub fn observe_kept(host: &dyn Inspect, request: &PowerRequest) -> Result<Inventory, HostError> {
    let seen = host.observe(&query_host())?;
    let query = query_kept(&seen, |vm| request.selects(vm), request.pending);
    let inventory = Inventory::of_host(host.observe(&query)?);
    host.redact(&inventory.redaction);
    Ok(inventory)
}

/// Performs what a request about the power of VMs came to. No plan has it in the journal: each step stands for itself.
pub fn perform(host: &dyn Host, plan: &PowerPlan, monitor: &dyn Monitor) -> PowerOutcome {
    let ran = match plan.steps.is_empty() {
        true => Ran::default(),
        false => run(host, &plan.steps, None, monitor),
    };
    PowerOutcome {
        ended: ran.ended,
        took: ran.took,
        interrupted: is_interrupted(monitor),
        untold: ran.untold,
    }
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
    host.redact(&plan.redaction);
    // An apply without steps is not journalled.
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
    let mut ran = run(host, &plan.steps, Some(&digest), monitor);
    let ended = host.note(Event::Ended {
        plan: digest,
        interrupted: is_interrupted(monitor),
    });
    ran.untold.extend(
        [began, ended]
            .into_iter()
            .filter_map(Result::err)
            .map(|error| error.failure()),
    );
    ran
}
