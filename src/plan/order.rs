//! The one order of steps.

use super::step::{Step, StepId};
use std::collections::{BTreeMap, BTreeSet};

/// Sorts steps so that each comes after what it needs, and otherwise as they came. Needs that no step fulfils are
/// dropped: what they name is done already.
///
/// A circle, which the planner never makes, keeps its steps at the end in the order in which they came.
pub(super) fn sort(mut steps: Vec<Step>) -> Vec<Step> {
    let known: BTreeSet<StepId> = steps.iter().map(|step| step.id.clone()).collect();
    for step in &mut steps {
        step.needs.retain(|need| known.contains(need));
        step.needs.sort();
        step.needs.dedup();
    }
    let order = order(&steps);
    let mut unsorted: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    let sorted = order
        .into_iter()
        .filter_map(|at| unsorted.get_mut(at)?.take());
    let mut sorted: Vec<Step> = sorted.collect();
    sorted.extend(unsorted.into_iter().flatten());
    sorted
}

/// The places of the steps in their order; those of a circle are left out.
fn order(steps: &[Step]) -> Vec<usize> {
    let mut open: Vec<usize> = steps.iter().map(|step| step.needs.len()).collect();
    let mut dependants: BTreeMap<&StepId, Vec<usize>> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        for need in &step.needs {
            dependants.entry(need).or_default().push(at);
        }
    }
    let free = open.iter().enumerate().filter(|(_, open)| **open == 0);
    let mut ready: BTreeSet<usize> = free.map(|(at, _)| at).collect();
    let mut order = Vec::with_capacity(steps.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for dependant in dependants.get(&steps[at].id).into_iter().flatten() {
            open[*dependant] -= 1;
            if open[*dependant] == 0 {
                ready.insert(*dependant);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Act;

    fn step(id: &str, needs: &[&str]) -> Step {
        Step {
            id: StepId::new("x", id),
            vm: None,
            reason: String::new(),
            cause: None,
            needs: needs.iter().map(|need| StepId::new("x", need)).collect(),
            expects: None,
            changes: Vec::new(),
            ways: None,
            act: Act::Forget,
        }
    }

    fn sorted(steps: Vec<Step>) -> Vec<String> {
        sort(steps).iter().map(|step| step.id.to_string()).collect()
    }

    #[test]
    fn steps_keep_their_order_but_for_what_they_need() {
        let steps = vec![step("a", &["c"]), step("b", &[]), step("c", &["gone"])];
        assert_eq!(sorted(steps), ["x/b", "x/c", "x/a"]);
    }

    #[test]
    fn a_circle_loses_no_step() {
        let steps = vec![step("a", &["b"]), step("b", &["a"]), step("c", &["c", "c"])];
        assert_eq!(sorted(steps), ["x/a", "x/b", "x/c"]);
    }
}
