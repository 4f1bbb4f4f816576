//! `armfleet doctor`

use super::arguments::{FileArguments, Format};
use super::caller::STDIN;
use super::exit::Exit;
use super::fleet::Unset;
use super::local::LIBVIRT;
use super::plan::failed;
use super::{fleet, terminal};
use crate::engine::examine;
use crate::fleet::Spec;
use crate::host::system::{SilentHost, SystemReads};
use crate::host::{Inspect, Observer};
use crate::report::{DoctorReport, FindingState, render_doctor};
use clap::Args;
use std::path::Path;

/// The exit codes, for monitoring.
const CODES: &str = "Ends with 0 where nothing is wrong (notices are fine), and with 1 where there is a problem or something could not be checked.";

#[derive(Debug, Args)]
#[command(after_help = CODES)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    fleet: FileArguments,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &DoctorArguments) -> Result<Exit, Exit> {
    let spec = fleet(&arguments.fleet)?;
    let apply = spec.as_ref().and_then(|_| apply(&arguments.fleet));
    let findings = examine(host().as_ref(), spec.as_ref(), apply.as_deref()).map_err(failed)?;
    let fleet = spec.map(|spec| spec.fleet.to_string());
    let report = DoctorReport::new("local", fleet, &findings);
    match arguments.format {
        Format::Json => terminal::json(&report)?,
        Format::Text => terminal::prose(&render_doctor(&report, terminal::paint())),
    }
    let found = report.count(FindingState::Problem) + report.count(FindingState::NotChecked);
    Ok(Exit::first([(Exit::Failed, found > 0)]))
}

/// The fleet that was named, or that is here; a host can be looked into without one.
fn fleet(arguments: &FileArguments) -> Result<Option<Spec>, Exit> {
    let FileArguments { files, options } = arguments;
    let is_named = !files.is_empty() || !options.file.is_empty();
    (is_named || fleet::has_default())
        .then(|| fleet::read(files, options, Unset::Unknown))
        .transpose()
}

/// The command that applies that fleet, as a shell reads it; none where it was read from a pipe.
fn apply(arguments: &FileArguments) -> Option<String> {
    let FileArguments { files, options } = arguments;
    let files = fleet::named(files, options);
    let is_gone =
        |file: &String| file == STDIN || file.starts_with("/dev/") || file.starts_with("/proc/");
    if files.iter().any(is_gone) {
        return None;
    }
    let files = files.iter().map(|file| quoted(file));
    let vars = options.var.iter();
    let vars = vars.map(|(name, value)| quoted(&format!("--var={name}={value}")));
    let words = ["armfleet".to_owned(), "apply".to_owned()];
    Some(Vec::from_iter(words.into_iter().chain(files).chain(vars)).join(" "))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=,:@+".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The host; one whose libvirt does not answer is looked into, too.
fn host() -> Box<dyn Inspect> {
    match SystemReads::open(LIBVIRT, Path::new("/")) {
        Ok(reads) => Box::new(Observer(reads)),
        Err(why) => Box::new(Observer(SilentHost::new(Path::new("/"), why))),
    }
}
