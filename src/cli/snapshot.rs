//! `armfleet snapshot`

use super::arguments::FileArguments;
use super::exit::Exit;
use super::fleet::Unset;
use super::local::reads;
use super::plan::failed;
use super::{fleet, output, terminal};
use crate::engine::observe_all;
use crate::fleet::Spec;
use crate::host::{HostError, Inspect, Observer};
use crate::inventory::{Query, RawInventory, Snapshot, query};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Args)]
pub(super) struct SnapshotArguments {
    #[command(flatten)]
    fleet: FileArguments,
    /// Record also what plans for other fleets need whose VMs are on this host; without FILE no fleet file is read
    #[arg(long)]
    all: bool,
    /// Write the snapshot into a file instead of to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &SnapshotArguments) -> Result<Exit, Exit> {
    let FileArguments { files, options } = &arguments.fleet;
    let reads_fleet = !arguments.all || !files.is_empty() || !options.file.is_empty();
    let spec = reads_fleet.then(|| fleet::read(files, options, Unset::Ignored));
    let spec = spec.transpose()?;
    let host = Observer(reads()?);
    let seen = match (&spec, arguments.all) {
        (Some(spec), false) => see(&host, spec),
        (spec, _) => observe_all(&host, spec.as_ref()),
    };
    let (query, seen) = seen.map_err(failed)?;
    check_libvirt(&seen)?;
    let (snapshot, redaction) = Snapshot::new(query, seen, spec.as_ref());
    host.redact(&Arc::new(redaction));
    let text = snapshot.render().map_err(|error| {
        terminal::error(&error, None);
        Exit::Failed
    })?;
    match &arguments.out {
        Some(path) => output::write(path, terminal::redacted(&text).as_bytes())?,
        None => terminal::result(&text),
    }
    Ok(Exit::Success)
}

/// Looks at what plans for a fleet look at.
fn see(host: &dyn Inspect, spec: &Spec) -> Result<(Query, RawInventory), HostError> {
    let query = Query {
        addresses: spec.vms.keys().map(ToString::to_string).collect(),
        ..query(spec)
    };
    let seen = host.observe(&query)?;
    Ok((query, seen))
}

/// Without libvirt's answer there is nothing to plan on, and an earlier snapshot is worth more.
fn check_libvirt(seen: &RawInventory) -> Result<(), Exit> {
    let libvirt = seen.libvirt.unknown().or(seen.domains.unknown());
    libvirt.map_or(Ok(()), |why| {
        terminal::error(&NotSeen(why.to_owned()), None);
        Err(Exit::Failed)
    })
}

#[derive(Debug, thiserror::Error)]
#[error("libvirt could not be seen, so nothing was recorded: {0}")]
struct NotSeen(String);
