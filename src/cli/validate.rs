//! `armfleet validate`

use super::exit::Exit;
use super::{FileArguments, fleet, terminal};

pub(super) fn run(arguments: &FileArguments) -> Result<Exit, Exit> {
    let spec = fleet::read(&arguments.files, &arguments.options)?;
    let count = match spec.vms.len() {
        1 => "1 VM".to_owned(),
        count => format!("{count} VMs"),
    };
    terminal::result(&format!(
        "{}: valid, {count} in fleet {}\n",
        fleet::named(&arguments.files, &arguments.options),
        spec.fleet
    ));
    Ok(Exit::Success)
}
