//! `armfleet validate`

use super::exit::Exit;
use super::{FileArgument, fleet, terminal};

pub(super) fn run(arguments: &FileArgument) -> Result<Exit, Exit> {
    let spec = fleet::read(&arguments.file)?;
    let count = match spec.vms.len() {
        1 => "1 VM".to_owned(),
        count => format!("{count} VMs"),
    };
    terminal::result(&format!(
        "{}: valid, {count} in fleet {}\n",
        arguments.file.display(),
        spec.fleet
    ));
    Ok(Exit::Success)
}
