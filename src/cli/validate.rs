//! `armfleet validate`

use super::arguments::{FileArguments, Format};
use super::exit::Exit;
use super::fleet::Unset;
use super::{fleet, terminal};
use crate::fleet::Spec;
use crate::report::ProblemsReport;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    fleet: FileArguments,
    /// How to print it; as JSON it is armfleet-problems/1, with places and corrections for editors
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Do not ask for the values of secrets
    #[arg(long)]
    no_secrets: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let FileArguments { files, options } = &arguments.fleet;
    let unset = Unset::if_no_secrets(arguments.no_secrets);
    let named = fleet::named(files, options);
    match arguments.format {
        Format::Text => {
            let spec = fleet::check(files, options, unset)?;
            let spec = spec.map_err(|problems| fleet::invalid(&problems))?;
            terminal::prose(&valid(&spec, &named));
            Ok(Exit::Success)
        }
        Format::Json => {
            let checked = fleet::check(files, options, unset)?;
            let (report, exit) = match &checked {
                Ok(spec) => (ProblemsReport::valid(spec, named), Exit::Success),
                Err(problems) => (ProblemsReport::new(problems), Exit::Invalid),
            };
            terminal::json(&report)?;
            Ok(exit)
        }
    }
}

fn valid(spec: &Spec, named: &[String]) -> String {
    let count = match spec.vms.len() {
        1 => "1 VM".to_owned(),
        count => format!("{count} VMs"),
    };
    let files = named.join(", ");
    format!("{files}: valid, {count} in fleet {}\n", spec.fleet)
}
