//! Performing steps: in their order, some at once, and of a failed one only what needs it left out.

use super::Monitor;
use super::journal::stepped;
use crate::host::{Host, HostError, Traces};
use crate::plan::{Step, StepId};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// libvirt's daemon takes five requests of a client at a time (`max_client_requests`); more would only queue.
const AT_ONCE: usize = 4;

/// How a step ended.
#[derive(Debug)]
pub enum Ended {
    /// It was done.
    Done,
    /// It failed.
    Failed(HostError),
    /// It was not begun, since something that it needs was not done, or since somebody interrupted.
    NotTried,
}

/// How steps ended, by id.
#[derive(Debug, Default)]
pub struct Ran {
    /// How each ended.
    pub ended: BTreeMap<StepId, Ended>,
    /// How long each took that was begun.
    pub took: BTreeMap<StepId, Duration>,
    /// Why something is missing in the journal or the history, and what steps left lying.
    pub untold: Vec<HostError>,
}

/// The steps that wait, and those that are under way or have ended.
struct Progress<'a> {
    waiting: Vec<&'a Step>,
    under_way: usize,
    ran: Ran,
}

/// What a worker does next.
enum Next<'a> {
    Perform(&'a Step),
    Wait,
    Finish,
}

/// Performs the steps of the plan that has this digest, at most four at once, and tells how each ended. They are sorted:
/// each comes after its needs.
pub fn run(host: &dyn Host, steps: &[Step], plan: &str, monitor: &dyn Monitor) -> Ran {
    let progress = Progress {
        waiting: steps.iter().collect(),
        under_way: 0,
        ran: Ran::default(),
    };
    let (progress, changed) = (Mutex::new(progress), Condvar::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(steps.len()) {
            scope.spawn(|| work((host, plan), monitor, &progress, &changed));
        }
    });
    progress
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .ran
}

fn work(
    (host, plan): (&dyn Host, &str),
    monitor: &dyn Monitor,
    progress: &Mutex<Progress<'_>>,
    changed: &Condvar,
) {
    let mut state = lock(progress);
    loop {
        match state.next(monitor) {
            Next::Finish => break,
            Next::Wait => state = changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Next::Perform(step) => {
                drop(state);
                monitor.begins(step);
                let begun = Instant::now();
                let (ended, mut traces) = perform(host, step);
                let took = begun.elapsed();
                let warnings = std::mem::take(&mut traces.warnings);
                let untold = host.note(stepped(plan, step, &ended, took, traces));
                monitor.ended(step, &ended);
                state = lock(progress);
                state.under_way -= 1;
                state
                    .ran
                    .untold
                    .extend(warnings.into_iter().chain(untold.err()));
                state.ran.took.insert(step.id.clone(), took);
                state.ran.ended.insert(step.id.clone(), ended);
                changed.notify_all();
            }
        }
    }
    changed.notify_all();
}

fn perform(host: &dyn Host, step: &Step) -> (Ended, Traces) {
    match host.perform(step) {
        Ok(traces) => (Ended::Done, traces),
        Err(error) => (Ended::Failed(error), Traces::default()),
    }
}

fn lock<'m, 'a>(progress: &'m Mutex<Progress<'a>>) -> MutexGuard<'m, Progress<'a>> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Progress<'a> {
    fn next(&mut self, monitor: &dyn Monitor) -> Next<'a> {
        self.leave_out(monitor);
        let ready = |step: &&Step| {
            step.needs
                .iter()
                .all(|need| matches!(self.ran.ended.get(need), Some(Ended::Done)))
        };
        match self.waiting.iter().position(ready) {
            Some(at) => {
                self.under_way += 1;
                Next::Perform(self.waiting.remove(at))
            }
            None if self.waiting.is_empty() || self.under_way == 0 => Next::Finish,
            None => Next::Wait,
        }
    }

    /// Gives up steps that can no longer be begun, and what needs them in turn.
    fn leave_out(&mut self, monitor: &dyn Monitor) {
        let interrupted = monitor.interrupted();
        for step in std::mem::take(&mut self.waiting) {
            let hopeless = |need| {
                matches!(
                    self.ran.ended.get(need),
                    Some(Ended::Failed(_) | Ended::NotTried)
                )
            };
            if interrupted || step.needs.iter().any(hopeless) {
                self.ran.ended.insert(step.id.clone(), Ended::NotTried);
            } else {
                self.waiting.push(step);
            }
        }
    }
}
