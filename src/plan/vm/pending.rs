//! What a running VM has not got yet, and gets when it starts next.

use super::definitions::Definitions;
use crate::domain::{Comparison, Subject, differing_rows, edited};
use crate::fleet::DesiredState;
use crate::inventory::Domain;
use crate::mark::{Applied, Record};
use crate::plan::builder::{PlanBuilder, VmPlanner};
use crate::plan::kernels;
use crate::xml;
use std::fmt;

/// A property in which a process differs from the definition that its domain will have.
pub(super) struct Pending {
    what: Subject,
    live: String,
    defined: String,
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.what, self.live, self.defined)
    }
}

impl VmPlanner<'_> {
    /// The properties in which the VM's process will differ from its definition once that is what the plan makes it.
    /// Nothing if there is no process; `None` if that could not be seen.
    pub(super) fn pending(
        &self,
        domain: Option<&Domain>,
        record: Option<&Record>,
        definitions: &Definitions<'_>,
        comparison: &Comparison,
    ) -> Option<Vec<Pending>> {
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
        let pending = |(what, live, defined)| Pending {
            what,
            live,
            defined,
        };
        let scratch = self.fresh_pending(record);
        Some(rows.into_iter().chain(scratch).map(pending).collect())
    }

    /// Says what the VM runs with, as far as the plan's own changes do not, and which kernel it has not got.
    pub(super) fn notices(
        &self,
        domain: &Domain,
        comparison: &Comparison,
        pending: &[Pending],
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
        for row in pending {
            if !shown.iter().any(|shown| row.what.is_within(shown)) {
                let Pending {
                    what,
                    live,
                    defined,
                } = row;
                let what = format!("runs with {what} {live}, is defined with {defined}");
                builder.pending(name, what, "from its next boot on");
            }
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

/// Of the changes, leaves only those waiting for the next boot that the process has not got already.
pub(super) fn await_boot(comparison: &mut Comparison, pending: &[Pending]) {
    for change in &mut comparison.changes {
        if !pending.iter().any(|row| row.what.is_within(&change.what)) {
            change.waits = None;
        }
    }
}
