//! `armfleet status`

use super::arguments::{FleetOptions, StatusFormat};
use super::exit::Exit;
use super::fleet::Unset;
use super::from_snapshot::SnapshotOption;
use super::plan::failed;
use super::{fleet, terminal};
use crate::engine::observe_more_and_plan;
use crate::fleet::Vm;
use crate::inventory::{Query, query};
use crate::plan::Policy;
use crate::report::{StatusReport, render_metrics, render_status};

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// The VMs [default: all of the file]
    vms: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = StatusFormat::Text)]
    format: StatusFormat,
    #[command(flatten)]
    snapshot: SnapshotOption,
    #[command(flatten)]
    fleet: FleetOptions,
}

pub(super) fn run(arguments: &StatusArguments) -> Result<Exit, Exit> {
    let unset = arguments.snapshot.unset(Unset::Refused);
    let spec = fleet::read(&[], &arguments.fleet, unset)?;
    let vms: Vec<&Vm> = if arguments.vms.is_empty() {
        spec.vms.values().collect()
    } else {
        arguments
            .vms
            .iter()
            .map(|name| fleet::vm(&spec, name))
            .collect::<Result<_, _>>()?
    };
    let looked = arguments.snapshot.look()?;
    let query = Query {
        addresses: vms.iter().map(|vm| vm.name.to_string()).collect(),
        ..query(&spec)
    };
    let policy = Policy::default();
    let (plan, inventory) =
        observe_more_and_plan(looked.host.as_ref(), &query, &spec, &policy).map_err(failed)?;
    let mut report = StatusReport::new(&vms, &plan, &inventory);
    report.basis = looked.basis;
    match arguments.format {
        StatusFormat::Openmetrics => terminal::result(&render_metrics(&report)),
        StatusFormat::Json => terminal::json(&report)?,
        StatusFormat::Text => {
            let paint = terminal::paint();
            terminal::prose(&render_status(&report, paint));
        }
    }
    Ok(Exit::first([(Exit::Failed, !plan.is_complete())]))
}
