//! Looking into a host: what is there tells what else to look at.

use super::observe_and_plan;
use crate::doctor::{Facts, Finding, examine as judge, programs, query};
use crate::fleet::Spec;
use crate::host::{HostError, Inspect};
use crate::inventory::Inventory;
use crate::plan::Policy;

/// What there is to say about a host, and about what a fleet needs of it; `apply` is the command that applies that fleet.
///
/// # Errors
/// When the host cannot be looked at at all.
pub fn examine(
    host: &dyn Inspect,
    spec: Option<&Spec>,
    apply: Option<&str>,
) -> Result<Vec<Finding>, HostError> {
    let inventory = see(host, spec)?;
    host.redact(&inventory.redaction);
    let health = host.ask(&programs(&inventory));
    let planned = spec.map(|spec| observe_and_plan(host, spec, &Policy::default()));
    let planned = planned.transpose()?;
    Ok(judge(&Facts {
        inventory: &inventory,
        health: &health,
        spec,
        plan: planned.as_ref().map(|(plan, _)| plan),
        apply,
    }))
}

fn see(host: &dyn Inspect, spec: Option<&Spec>) -> Result<Inventory, HostError> {
    let read = |raw| match spec {
        Some(spec) => Inventory::read(raw, spec),
        None => Inventory::of_host(raw),
    };
    let mut asked = query(spec, None);
    loop {
        let seen = read(host.observe(&asked)?);
        let more = query(spec, Some(&seen));
        if more.paths.keys().all(|path| asked.paths.contains_key(path)) {
            return Ok(seen);
        }
        asked = more;
    }
}
