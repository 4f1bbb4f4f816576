//! `armfleet boot`

use super::arguments::FleetOptions;
use super::exit::Exit;
use super::local::{host, reads};
use super::plan::failed;
use super::{fleet, terminal};
use crate::boot::{Generation, Standing};
use crate::engine::observe_and_plan;
use crate::host::system::Extracted;
use crate::host::{Executor, generations};
use crate::mark::Wanted;
use crate::plan::{Policy, extraction};
use crate::report::render_generations;
use crate::values::VmName;
use clap::{Args, Subcommand};

/// What can be asked of a VM's kernels; all but `extract` take effect at its next start.
#[derive(Debug, Subcommand)]
pub(super) enum BootCommand {
    /// Show a VM's generations: the kernels that it booted, and how they did
    List(BootListArguments),
    /// Boot this generation from the VM's next start on, instead of what its share has
    Use(BootUseArguments),
    /// Give kernels that failed another chance
    Retry(BootVm),
    /// Take the first kernel out of a stopped VM's disk, into its boot share, where that has none
    Extract(BootExtractArguments),
}

#[derive(Debug, Args)]
pub(super) struct BootVm {
    /// The VM
    vm: String,
}

#[derive(Debug, Args)]
pub(super) struct BootExtractArguments {
    #[command(flatten)]
    vm: BootVm,
    #[command(flatten)]
    fleet: FleetOptions,
}

#[derive(Debug, Args)]
pub(super) struct BootListArguments {
    #[command(flatten)]
    vm: BootVm,
    /// How to show them
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(super) enum ListFormat {
    /// A table
    #[default]
    Text,
    /// A list of objects
    Json,
}

#[derive(Debug, Args)]
pub(super) struct BootUseArguments {
    #[command(flatten)]
    vm: BootVm,
    /// The generation, by its name or its kernel's version; `auto` for what the guest installed
    generation: String,
}

pub(super) fn run(command: &BootCommand) -> Result<Exit, Exit> {
    match command {
        BootCommand::List(arguments) => list(arguments),
        BootCommand::Use(arguments) => use_generation(arguments),
        BootCommand::Retry(vm) => retry(vm),
        BootCommand::Extract(arguments) => extract(arguments),
    }
}

fn list(BootListArguments { vm, format }: &BootListArguments) -> Result<Exit, Exit> {
    let vm = name(vm)?;
    let generations = generations(&reads()?, &vm).map_err(failed)?;
    match format {
        ListFormat::Json => {
            let text = serde_json::to_string_pretty(&generations);
            terminal::result(&(text.map_err(|error| broken(&error))? + "\n"));
        }
        ListFormat::Text if generations.is_empty() => {
            terminal::remark(&format!("{vm} has not booted a kernel of its own yet\n"));
        }
        ListFormat::Text => terminal::prose(&render_generations(&generations)),
    }
    Ok(Exit::Success)
}

fn use_generation(arguments: &BootUseArguments) -> Result<Exit, Exit> {
    let vm = name(&arguments.vm)?;
    let host = Executor::unlocked(host()?);
    let (wanted, what) = match arguments.generation.as_str() {
        "auto" => (Wanted::Auto, "what its share has".to_owned()),
        written => {
            let known = generations(host.calls(), &vm).map_err(failed)?;
            let Generation { id, trial, .. } = chosen(&vm, written, &known)?;
            let what = match &trial.version {
                Some(version) => format!("{version} (generation {id})"),
                None => format!("generation {id}"),
            };
            (Wanted::Generation(id.to_string()), what)
        }
    };
    host.want(&vm, wanted).map_err(failed)?;
    terminal::result(&format!("{vm} boots {what}, from its next start on.\n"));
    Ok(Exit::Success)
}

/// The one staged generation of this name or version.
fn chosen<'g>(vm: &VmName, written: &str, known: &'g [Generation]) -> Result<&'g Generation, Exit> {
    let is_meant = |generation: &&Generation| {
        let version = generation.trial.version.as_ref();
        generation.id.as_str() == written
            || version.is_some_and(|version| version.as_str() == written)
    };
    let staged = known.iter().filter(|generation| generation.staged);
    let meant: Vec<_> = staged.filter(is_meant).collect();
    match meant.as_slice() {
        [one] => Ok(one),
        several => {
            let count = several.len();
            let (vm, written) = (vm.clone(), written.to_owned());
            let error = NotOne { vm, written, count };
            terminal::error(&error, Some(&format!("armfleet boot list {}", error.vm)));
            Err(Exit::Invalid)
        }
    }
}

fn retry(vm: &BootVm) -> Result<Exit, Exit> {
    let vm = name(vm)?;
    let host = Executor::unlocked(host()?);
    let known = generations(host.calls(), &vm).map_err(failed)?;
    let failures = known
        .iter()
        .filter(|generation| matches!(generation.trial.standing, Standing::Failed(_)));
    if failures.count() == 0 {
        terminal::remark(&format!("No kernel of {vm} has failed.\n"));
        return Ok(Exit::Success);
    }
    let retried = host.retry(&vm).map_err(failed)?;
    let retried = retried.join(", ");
    terminal::result(&format!(
        "{vm} tries {retried} again, from its next start on.\n"
    ));
    Ok(Exit::Success)
}

fn extract(arguments: &BootExtractArguments) -> Result<Exit, Exit> {
    let spec = fleet::read(&[], &arguments.fleet, fleet::Unset::Refused)?;
    let vm = fleet::vm(&spec, &arguments.vm.vm)?;
    let host = Executor::locked(host()?).map_err(failed)?;
    let (_, inventory) = observe_and_plan(&host, &spec, &Policy::default()).map_err(failed)?;
    let wanted = extraction(&inventory, &spec, vm).map_err(|no| {
        let remedy = Some(no.remedy.as_str()).filter(|remedy| !remedy.is_empty());
        terminal::error(&no, remedy);
        Exit::Refused
    })?;
    terminal::remark(&format!(
        "Looking into {}, which may take a minute.\n",
        wanted.disk
    ));
    let Extracted {
        version,
        filesystem,
    } = host.extract(&wanted, vm.arch).map_err(failed)?;
    terminal::result(&format!(
        "{} has {version}, out of {filesystem} of {}. `armfleet apply` goes on with it.\n",
        wanted.share, wanted.disk
    ));
    Ok(Exit::Success)
}

fn name(vm: &BootVm) -> Result<VmName, Exit> {
    vm.vm.parse().map_err(|why: crate::values::Unacceptable| {
        terminal::error(&why, None);
        Exit::Invalid
    })
}

fn broken(error: &serde_json::Error) -> Exit {
    terminal::error(error, None);
    Exit::Failed
}

#[derive(Debug, thiserror::Error)]
#[error("{vm} has {} called {written:?}", if *count == 0 { "no generation" } else { "several generations" })]
struct NotOne {
    vm: VmName,
    written: String,
    count: usize,
}
