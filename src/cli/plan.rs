//! `armfleet plan`

use super::exit::Exit;
use super::{PlanArguments, PlanOptions, fleet, reads, terminal};
use crate::engine::observe_and_plan;
use crate::host::{HostError, Observer};
use crate::inventory::Inventory;
use crate::plan::Plan;
use crate::report::{render_diff, render_plan};

pub(super) fn run(arguments: &PlanArguments) -> Result<Exit, Exit> {
    let spec = fleet::read(&arguments.fleet.files, &arguments.fleet.options)?;
    let host = Observer(reads()?);
    let policy = arguments.options.policy(true);
    let (plan, inventory) = observe_and_plan(&host, &spec, &policy).map_err(failed)?;
    print(&plan, &inventory, &arguments.options);
    Ok(Exit::first(plan_exits(&plan, &arguments.options)))
}

/// Prints a plan.
pub(super) fn print(plan: &Plan, inventory: &Inventory, options: &PlanOptions) {
    let paint = terminal::paint(&std::io::stdout());
    let mut text = render_plan(plan, paint);
    if options.diff {
        text += &render_diff(plan, inventory, paint);
    }
    terminal::result(&text);
}

/// What a plan by itself says about the exit code.
pub(super) fn plan_exits(plan: &Plan, options: &PlanOptions) -> [(Exit, bool); 3] {
    [
        (Exit::Failed, !plan.is_complete()),
        (Exit::Refused, !plan.refusals.is_empty()),
        (Exit::Changes, options.detailed_exitcode && !plan.is_empty()),
    ]
}

/// Prints why a host failed.
pub(super) fn failed(error: HostError) -> Exit {
    terminal::error(&error, error.remedy());
    if error.is_refusal() {
        Exit::Refused
    } else {
        Exit::Failed
    }
}
