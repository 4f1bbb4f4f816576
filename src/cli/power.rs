//! `armfleet start`, `armfleet stop` and `armfleet restart`

use super::arguments::Format;
use super::caller::caller;
use super::exit::Exit;
use super::local::{HOST, host};
use super::plan::failed;
use super::progress::Progress;
use super::terminal;
use crate::engine::{observe_kept, perform};
use crate::host::Executor;
use crate::plan::{Ended, Power, PowerOutcome, PowerPlan, PowerRequest, power};
use crate::report::{PowerReport, render_power, render_remarks};
use crate::values::{Pattern, parse_duration};
use clap::Args;
use std::num::NonZero;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct StartArguments {
    /// The VMs, by name or pattern (`obs-*`, `obs-[01-12]`)
    #[arg(value_name = "VM", required = true)]
    vms: Vec<Pattern>,
    #[command(flatten)]
    boots: BootOptions,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
pub(super) struct StopArguments {
    /// The VMs, by name or pattern (`obs-*`, `obs-[01-12]`)
    #[arg(value_name = "VM", required = true)]
    vms: Vec<Pattern>,
    /// Cut their power at once: what a guest has not written yet is lost
    #[arg(long, conflicts_with = "timeout")]
    force: bool,
    #[command(flatten)]
    stops: StopOptions,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
pub(super) struct RestartArguments {
    /// The VMs, by name or pattern (`obs-*`, `obs-[01-12]`); with --pending, all where none is given
    #[arg(value_name = "VM", required_unless_present = "pending")]
    vms: Vec<Pattern>,
    /// Only VMs that run and have something to gain: a changed definition or a new kernel that waits for a boot
    #[arg(long)]
    pending: bool,
    #[command(flatten)]
    stops: StopOptions,
    #[command(flatten)]
    boots: BootOptions,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct StopOptions {
    /// How long a guest may take to power off (90s, 5min) [default: its stop_timeout]; one that takes longer keeps running
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

#[derive(Debug, Args)]
struct BootOptions {
    /// How many VMs may be starting at once [default: as many as the host has processors, at least 4; at most one for
    /// each 256 MiB of its memory]
    #[arg(long, value_name = "N")]
    parallel: Option<NonZero<usize>>,
}

#[derive(Debug, Args)]
struct OutputOptions {
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn start(arguments: &StartArguments) -> Result<Exit, Exit> {
    let request = PowerRequest {
        power: Power::Start,
        vms: arguments.vms.clone(),
        pending: false,
        timeout: None,
    };
    run(&request, Some(&arguments.boots), &arguments.output)
}

pub(super) fn stop(arguments: &StopArguments) -> Result<Exit, Exit> {
    let power = match arguments.force {
        true => Power::PowerOff,
        false => Power::Stop,
    };
    let request = PowerRequest {
        power,
        vms: arguments.vms.clone(),
        pending: false,
        timeout: arguments.stops.timeout,
    };
    run(&request, None, &arguments.output)
}

pub(super) fn restart(arguments: &RestartArguments) -> Result<Exit, Exit> {
    let request = PowerRequest {
        power: Power::Restart,
        vms: arguments.vms.clone(),
        pending: arguments.pending,
        timeout: arguments.stops.timeout,
    };
    run(&request, Some(&arguments.boots), &arguments.output)
}

fn run(
    request: &PowerRequest,
    boots: Option<&BootOptions>,
    output: &OutputOptions,
) -> Result<Exit, Exit> {
    let parallel = boots.and_then(|boots| boots.parallel);
    let host = Executor::unlocked(host()?)
        .called_by(caller([]))
        .booting_at_once(parallel.map(NonZero::get));
    let inventory = observe_kept(&host, request).map_err(failed)?;
    let plan = power(&inventory, request);
    if output.format == Format::Text {
        terminal::result(&render_remarks(&plan, terminal::paint()));
    }
    let again = format!("{} again", request.power.command());
    let progress = Progress::new(plan.steps.len(), again)?;
    let outcome = perform(&host, &plan, &progress);
    outcome.untold.iter().for_each(terminal::warning);
    match output.format {
        Format::Json => terminal::json(&PowerReport::new(&plan, HOST, &outcome))?,
        Format::Text => terminal::result(&render_power(&plan, request.power, &outcome)),
    }
    Ok(Exit::first(exits(&plan, &outcome)))
}

fn exits(plan: &PowerPlan, outcome: &PowerOutcome) -> [(Exit, bool); 3] {
    let ended = || outcome.ended.values();
    let all_done = ended().all(|ended| matches!(ended, Ended::Done));
    let any_failed = ended().any(|ended| matches!(ended, Ended::Failed(_)));
    [
        (Exit::Interrupted, outcome.interrupted && !all_done),
        (Exit::Failed, any_failed || !plan.unknowns.is_empty()),
        (Exit::Refused, !plan.refusals.is_empty()),
    ]
}
