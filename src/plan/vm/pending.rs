//! What a running VM has not got yet, and gets when it starts next.

use super::definitions::Definitions;
use crate::domain::{Comparison, Differing, Subject, differing_rows, edited};
use crate::fleet::DesiredState;
use crate::inventory::Domain;
use crate::mark::{Applied, Record};
use crate::plan::builder::{PlanBuilder, VmPlanner};
use crate::plan::kernels;
use crate::xml;

impl VmPlanner<'_> {
    /// The properties in which the VM's process will differ from its definition once that is what the plan makes it.
    /// Nothing if there is no process; `None` if that could not be seen.
    pub(super) fn pending(
        &self,
        domain: Option<&Domain>,
        record: Option<&Record>,
        definitions: &Definitions<'_>,
        comparison: &Comparison,
    ) -> Option<Vec<Differing>> {
        if !domain.is_some_and(|domain| domain.state.has_process()) {
            return Some(Vec::new());
        }
        let live = definitions.live()?;
        let mut devices = comparison.applied.devices.clone();
        for (id, device) in record
            .into_iter()
            .flat_map(|record| &record.applied.devices)
        {
            devices.entry(id.clone()).or_insert_with(|| device.clone());
        }
        let known = Applied {
            devices,
            ..Applied::default()
        };
        let rows = if comparison.edits.is_empty() {
            differing_rows(live, &definitions.stored, &known)
        } else {
            let planned = edited(&definitions.stored, &comparison.edits).ok()?;
            differing_rows(live, &xml::parse(&planned).ok()?, &known)
        };
        let scratch = self.fresh_pending(record);
        Some(rows.into_iter().chain(scratch).collect())
    }

    /// Says what the VM runs with, as far as the plan's own changes do not, and which kernel it has not got.
    pub(super) fn notices(
        &self,
        domain: &Domain,
        comparison: &Comparison,
        pending: &[Differing],
        builder: &mut PlanBuilder,
    ) {
        let name = &self.vm.name;
        let restarts = self.restarts(domain.state, pending) && !self.vm.protect;
        if self.vm.state == DesiredState::Stopped || !domain.state.has_process() || restarts {
            return;
        }
        let steps = builder.latest_of(name).flat_map(|step| &step.changes);
        let shown: Vec<_> = steps
            .chain(&comparison.changes)
            .map(|change| change.what.clone())
            .collect();
        let told = |row: &&Differing| !shown.iter().any(|shown| is_about(row, shown));
        let untold: Vec<_> = pending.iter().filter(told).collect();
        let of_same = |one: &&Differing, other: &&Differing| {
            let device = one.what.device();
            device.is_some() && device == other.what.device()
        };
        for rows in untold.chunk_by(of_same) {
            builder.pending(name, running_with(rows), "from its next boot on");
        }
        let passed_over = kernels::passed_over(self.input.inventory, self.vm);
        let kernels = kernels::kernels(self.input.inventory, self.vm);
        if let (Some(staged), Some(offered)) = (kernels.staged, kernels.offered) {
            let outlook = match passed_over.is_empty() {
                true => "boots at its next restart",
                false => "its next restart tries it again",
            };
            let what = format!("runs {staged}, its share has {offered}");
            builder.pending(name, what, outlook);
        }
        for what in passed_over {
            builder.notice(name, format!("its last start passed over {what}"), "");
        }
    }
}

/// Whether what differs is about a change. A device that got another key is one that its process lacks, by that key.
fn is_about(row: &Differing, change: &Subject) -> bool {
    match &row.what {
        Subject::Device(device) => change.device() == Some(device),
        what => what.is_within(change),
    }
}

/// With what a VM runs that is defined otherwise: one property, or what differs of one device.
fn running_with(rows: &[&Differing]) -> String {
    let device = rows.first().and_then(|row| row.what.device());
    match (rows, device) {
        ([row], _) => match (&row.what, &row.live) {
            (Subject::Device(device), None) => {
                format!("runs without {device}, is defined with it")
            }
            (Subject::Device(device), Some(_)) => {
                format!("runs with {device}, is defined without it")
            }
            (what, _) => {
                let (live, defined) = (row.live_words(), row.defined_words());
                format!("runs with {what} {live}, is defined with {defined}")
            }
        },
        (rows, device) => {
            let device = device.map_or(String::new(), |device| format!("{device} "));
            let live = listed(rows, Differing::live_words);
            let defined = listed(rows, Differing::defined_words);
            format!("runs with {device}{live}, is defined with {defined}")
        }
    }
}

/// The values of one side, each with its property.
fn listed(rows: &[&Differing], side: fn(&Differing) -> &str) -> String {
    let each = rows.iter().map(|row| match row.what.property() {
        Some(property) => format!("{property} {}", side(row)),
        None => side(row).to_owned(),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Of the changes, leaves only those waiting for the next boot that the process has not got already.
pub(super) fn await_boot(comparison: &mut Comparison, pending: &[Differing]) {
    for change in &mut comparison.changes {
        if !pending.iter().any(|row| is_about(row, &change.what)) {
            change.waits = None;
        }
    }
}
