//! `armfleet snapshot`

use super::arguments::FileArguments;
use super::exit::Exit;
use super::fleet::Unset;
use super::local::reads;
use super::plan::failed;
use super::{fleet, output, terminal};
use crate::fleet::Spec;
use crate::host::{Inspect, Observer};
use crate::inventory::{Query, RawInventory, Snapshot, query, query_all, query_host};
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
    let spec = reads_fleet.then(|| fleet::read_with_source(files, options, Unset::Ignored));
    let spec = spec.transpose()?.map(|(spec, _)| spec);
    let host = Observer(reads()?);
    let (query, seen) = match (&spec, arguments.all) {
        (Some(spec), false) => {
            let addresses = spec.vms.keys().map(ToString::to_string).collect();
            let query = Query {
                addresses,
                ..query(spec)
            };
            let seen = see(&host, &query)?;
            (query, seen)
        }
        (spec, _) => see_all(&host, spec.as_ref())?,
    };
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

/// Looks at what plans for any fleet look at. What there is has to be seen before it is known what else to look at.
fn see_all(host: &impl Inspect, spec: Option<&Spec>) -> Result<(Query, RawInventory), Exit> {
    let mut query = query_host();
    loop {
        let seen = see(host, &query)?;
        let more = query_all(&seen, spec);
        if more.paths.keys().all(|path| query.paths.contains_key(path)) {
            return Ok((query, seen));
        }
        query = more;
    }
}

/// Looks at a host. Without libvirt's answer there is nothing to plan on, and an earlier snapshot is worth more.
fn see(host: &impl Inspect, query: &Query) -> Result<RawInventory, Exit> {
    let seen = host.observe(query).map_err(failed)?;
    let libvirt = seen.libvirt.unknown().or(seen.domains.unknown());
    match libvirt {
        Some(why) => {
            terminal::error(&NotSeen(why.to_owned()), None);
            Err(Exit::Failed)
        }
        None => Ok(seen),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("libvirt could not be seen, so nothing was recorded: {0}")]
struct NotSeen(String);
