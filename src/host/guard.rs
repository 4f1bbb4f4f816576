//! The ways that a step rests on, judged right before it: since it was planned, another user may have got write access.

use super::HostError;
use super::executor::Executor;
use super::primitives::Primitives;
use crate::plan::{Act, Step};
use crate::trust::{End, Rules};
use crate::values::HostPath;

impl<P: Primitives> Executor<P> {
    /// Judges the ways of a step that hands them to libvirt, which opens by path.
    pub(super) fn guarded(&self, step: &Step) -> Result<(), HostError> {
        let hands_on = matches!(
            step.act,
            Act::Define { .. } | Act::Start { .. } | Act::EraseDisk { .. }
        );
        let Some(ways) = step.ways.as_ref().filter(|_| hands_on) else {
            return Ok(());
        };
        for (path, end) in &ways.paths {
            self.way(path, *end, &ways.rules)?;
        }
        Ok(())
    }

    /// Where a path that a step works at leads to.
    pub(super) fn place_of(
        &self,
        step: &Step,
        path: &HostPath,
        end: End,
    ) -> Result<String, HostError> {
        let none = Rules::default();
        let rules = step.ways.as_ref().map_or(&none, |ways| &ways.rules);
        self.way(path.as_str(), end, rules)
    }

    /// Where a path leads to, if only root decides about that.
    pub(in crate::host) fn way(
        &self,
        path: &str,
        end: End,
        rules: &Rules,
    ) -> Result<String, HostError> {
        let way = self.calls.way(path, end, rules);
        way.map_err(|error| {
            HostError::new(format!("cannot use {path}"), error)
                .with_remedy("armfleet plan says what to do about it")
        })
    }
}
