//! The one order of steps.

use super::step::{Step, StepId};
use std::collections::BTreeSet;

/// Sorts steps so that each comes after what it needs, and otherwise as they came. Needs that no step fulfils are
/// dropped: what they name is done already.
///
/// A circle, which the planner never makes, keeps its steps at the end in the order in which they came.
pub(super) fn sort(mut waiting: Vec<Step>) -> Vec<Step> {
    let known: BTreeSet<StepId> = waiting.iter().map(|step| step.id.clone()).collect();
    for step in &mut waiting {
        step.needs.retain(|need| known.contains(need));
    }
    let mut sorted: Vec<Step> = Vec::with_capacity(waiting.len());
    let mut done = BTreeSet::new();
    while !waiting.is_empty() {
        let next = waiting
            .iter()
            .position(|step| step.needs.iter().all(|need| done.contains(need)))
            .unwrap_or(0);
        let step = waiting.remove(next);
        done.insert(step.id.clone());
        sorted.push(step);
    }
    sorted
}
