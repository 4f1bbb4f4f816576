//! The order of steps: which can be begun, and which no longer can. Each step knows how many of its needs are not done
//! yet, so that one that ends costs no more than those that need it.

use crate::plan::{Act, Step, StepId};
use std::collections::{BTreeMap, BTreeSet};

/// What a step keeps busy while it is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Files, or a short call of libvirt.
    Work,
    /// A start: libvirt, the hook and QEMU.
    Boot,
    /// A look at what is waited for.
    Watch,
}

impl Queue {
    pub(super) const ALL: [Self; 3] = [Self::Work, Self::Boot, Self::Watch];

    pub(super) fn of(step: &Step) -> Self {
        match step.act {
            Act::Start { .. } => Self::Boot,
            Act::Stop { .. } | Act::AwaitOff { .. } => Self::Watch,
            _ => Self::Work,
        }
    }
}

/// Steps by their place in the plan.
#[derive(Debug)]
pub(super) struct Order {
    queues: Vec<Queue>,
    /// How many needs of a step are not done yet; none for one that was begun or left out.
    unmet: Vec<Option<usize>>,
    dependants: Vec<Vec<usize>>,
    ready: [BTreeSet<usize>; 3],
}

impl Order {
    /// The order of these steps. One that needs what is no step can never be begun.
    pub(super) fn new(steps: &[Step]) -> Self {
        let places: BTreeMap<&StepId, usize> = steps.iter().map(|step| &step.id).zip(0..).collect();
        let mut order = Self {
            queues: steps.iter().map(Queue::of).collect(),
            unmet: Vec::with_capacity(steps.len()),
            dependants: vec![Vec::new(); steps.len()],
            ready: [const { BTreeSet::new() }; 3],
        };
        for (place, step) in steps.iter().enumerate() {
            for need in &step.needs {
                if let Some(dependants) = places
                    .get(need)
                    .and_then(|at| order.dependants.get_mut(*at))
                {
                    dependants.push(place);
                }
            }
            order.unmet.push(Some(step.needs.len()));
            order.enlist(place);
        }
        order
    }

    /// How many steps go through a queue.
    pub(super) fn count(&self, queue: Queue) -> usize {
        self.queues.iter().filter(|of| **of == queue).count()
    }

    /// Takes the next step of a queue that can be begun.
    pub(super) fn take(&mut self, queue: Queue) -> Option<usize> {
        let place = self.ready[queue as usize].pop_first()?;
        self.unmet[place] = None;
        Some(place)
    }

    /// Whether no step can be begun until one ends.
    pub(super) fn is_dry(&self) -> bool {
        self.ready.iter().all(BTreeSet::is_empty)
    }

    /// A step was done.
    pub(super) fn done(&mut self, place: usize) {
        for dependant in std::mem::take(&mut self.dependants[place]) {
            if let Some(unmet) = &mut self.unmet[dependant] {
                *unmet -= 1;
                self.enlist(dependant);
            }
        }
    }

    /// A step failed: what needs it, however remotely, is left out.
    pub(super) fn failed(&mut self, place: usize) -> Vec<usize> {
        let (mut out, mut hopeless) = (Vec::new(), vec![place]);
        while let Some(place) = hopeless.pop() {
            for dependant in std::mem::take(&mut self.dependants[place]) {
                if self.unmet[dependant].take().is_some() {
                    out.push(dependant);
                    hopeless.push(dependant);
                }
            }
        }
        out
    }

    /// Nothing is begun any more: what was not is left out.
    pub(super) fn stop(&mut self) -> Vec<usize> {
        self.ready.iter_mut().for_each(BTreeSet::clear);
        let unmet = self.unmet.iter_mut().enumerate();
        unmet
            .filter_map(|(place, unmet)| unmet.take().map(|_| place))
            .collect()
    }

    fn enlist(&mut self, place: usize) {
        if self.unmet[place] == Some(0) {
            self.ready[self.queues[place] as usize].insert(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that keep no queue but the first busy, with the needs of each by place.
    fn steps(needs: &[&[usize]]) -> Vec<Step> {
        let step = |(place, needs): (usize, &&[usize])| {
            let needs: Vec<_> = needs
                .iter()
                .map(|need| format!("record/vm-{need}"))
                .collect();
            let step = serde_json::json!({
                "id": format!("record/vm-{place}"), "vm": null, "reason": "", "cause": null,
                "needs": needs, "expects": null, "changes": [], "act": "forget",
            });
            serde_json::from_value(step).unwrap()
        };
        needs.iter().enumerate().map(step).collect()
    }

    #[test]
    fn a_step_is_ready_when_all_that_it_needs_is_done() {
        let mut order = Order::new(&steps(&[&[], &[0], &[0, 1], &[]]));
        assert_eq!(order.take(Queue::Work), Some(0));
        assert_eq!(order.take(Queue::Work), Some(3));
        assert_eq!((order.take(Queue::Work), order.is_dry()), (None, true));
        order.done(0);
        assert_eq!(order.take(Queue::Work), Some(1));
        order.done(3);
        assert!(order.is_dry());
        order.done(1);
        assert_eq!(order.take(Queue::Work), Some(2));
        assert_eq!(order.stop(), Vec::<usize>::new());
    }

    #[test]
    fn what_needs_a_failed_step_is_left_out_once_and_nothing_else() {
        let mut order = Order::new(&steps(&[&[], &[0], &[0, 1], &[], &[3, 2], &[3]]));
        assert_eq!(order.take(Queue::Work), Some(0));
        let mut out = order.failed(0);
        out.sort_unstable();
        assert_eq!(out, [1, 2, 4]);
        assert_eq!(order.take(Queue::Work), Some(3));
        order.done(3);
        assert_eq!(order.take(Queue::Work), Some(5));
        assert_eq!(order.stop(), Vec::<usize>::new());
    }

    #[test]
    fn a_stop_leaves_out_what_was_not_begun_also_what_never_could_be() {
        let mut order = Order::new(&steps(&[&[], &[], &[7], &[0]]));
        assert_eq!(order.take(Queue::Work), Some(0));
        assert_eq!(order.stop(), [1, 2, 3]);
        order.done(0);
        assert!(order.is_dry());
    }
}
