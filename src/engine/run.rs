//! Performing steps: in their order, some at once, and of a failed one only what needs it left out.
//!
//! Three queues run at the same time. Files and short calls: four steps at a time. Starts, which keep libvirt busy while the
//! hook and QEMU run: as many as the host boots at once. Steps that wait for a guest: checked when they are due, so that
//! they delay no other step.

use super::journal::stepped;
use super::order::{Order, Queue};
use super::{Interruption, Monitor};
use crate::host::waits::{Pace, Wait};
use crate::host::{Begun, Host, Traces, Waiting};
use crate::mark::Moment;
use crate::plan::{Ended, Failure, Step, StepId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

/// More at once made no apply faster: what they do is the same disk's and the same daemon's work.
const WORK_AT_ONCE: usize = 4;
/// How many waits are looked at at once. A look is short, but for one that libvirt leaves without an answer.
const WATCH_AT_ONCE: usize = 8;
/// The longest that a look which is not due yet keeps others from being taken.
const GLANCE: Duration = Duration::from_millis(250);
/// How often interruptions and long waits are looked for.
const TICK: Duration = Duration::from_millis(200);
/// Enough for a step, as for any thread.
const STACK: usize = 2 << 20;

/// How steps ended, by id.
#[derive(Debug, Default)]
pub struct Ran {
    /// How each ended.
    pub ended: BTreeMap<StepId, Ended>,
    /// How long each took that was begun.
    pub took: BTreeMap<StepId, Duration>,
    /// Why something is missing in the journal or the history, and what steps left lying.
    pub untold: Vec<Failure>,
}

/// Steps, and how far they are.
struct Run<'a> {
    host: &'a dyn Host,
    steps: &'a [Step],
    plan: Option<&'a str>,
    monitor: &'a dyn Monitor,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    order: Order,
    /// The steps that have not ended, and those of them that were begun.
    left: usize,
    begun: usize,
    /// When each was begun that has not ended, nor was given up.
    under_way: BTreeMap<usize, Instant>,
    waits: BTreeMap<usize, (Waiting, Pace)>,
    /// The waits that no thread looks at now, the first that is due first.
    queue: BTreeSet<(Moment, usize)>,
    /// Lanes that got no thread of their own.
    orphaned: Vec<Queue>,
    ended: Vec<Option<Ended>>,
    took: Vec<Option<Duration>>,
    untold: Vec<Failure>,
}

/// What a worker does next.
enum Next {
    Begin(usize),
    Look(usize, Waiting),
    /// Nothing can be done until another step ends.
    Rest,
    Finish,
}

/// Performs the steps of the plan that has this digest, or of no plan, and tells how each ended.
pub fn run(host: &dyn Host, steps: &[Step], plan: Option<&str>, monitor: &dyn Monitor) -> Ran {
    run_on_threads(host, steps, plan, monitor, STACK)
}

fn run_on_threads(
    host: &dyn Host,
    steps: &[Step],
    plan: Option<&str>,
    monitor: &dyn Monitor,
    stack: usize,
) -> Ran {
    let run = Run {
        host,
        steps,
        plan,
        monitor,
        state: Mutex::new(State::new(steps)),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        run.spawn(scope, stack);
        run.attend();
    });
    let state = run.state.into_inner();
    state.unwrap_or_else(PoisonError::into_inner).ran(steps)
}

impl<'a> Run<'a> {
    /// Makes the threads of each queue. Without any, the steps are performed right here, one after another.
    fn spawn<'scope>(&'scope self, scope: &'scope Scope<'scope, 'a>, stack: usize) {
        let mut made = 0;
        for queue in Queue::ALL {
            let before = made;
            for _ in 0..self.threads(queue) {
                let thread = Builder::new().name("step".to_owned()).stack_size(stack);
                match thread.spawn_scoped(scope, move || self.work(queue)) {
                    Ok(_) => made += 1,
                    Err(error) => {
                        tracing::warn!(%error, "too few threads: steps are performed one after another");
                        break;
                    }
                }
            }
            if made == before {
                self.lock().orphaned.push(queue);
            }
        }
        self.changed.notify_all();
        if made == 0 {
            self.work(Queue::Work);
        }
    }

    /// How many threads a queue can use.
    fn threads(&self, queue: Queue) -> usize {
        let state = self.lock();
        let (boots, watched) = (
            state.order.count(Queue::Boot),
            state.order.count(Queue::Watch),
        );
        match queue {
            Queue::Work => state.order.count(Queue::Work).min(WORK_AT_ONCE),
            Queue::Boot => boots.min(self.host.boots_at_once()),
            Queue::Watch => (boots + watched).min(WATCH_AT_ONCE),
        }
    }

    fn work(&self, queue: Queue) {
        let mut state = self.lock();
        loop {
            if self.monitor.interruption() != Interruption::None {
                state.stop();
            }
            match state.next(queue) {
                Next::Finish => break,
                Next::Rest => state = self.wait(state, TICK),
                Next::Begin(place) => {
                    state.under_way.insert(place, Instant::now());
                    drop(state);
                    self.begin(place);
                    state = self.lock();
                }
                Next::Look(place, waiting) => {
                    drop(state);
                    self.look(place, waiting);
                    state = self.lock();
                }
            }
        }
        self.changed.notify_all();
    }

    fn begin(&self, place: usize) {
        let step = &self.steps[place];
        self.monitor.begins(step);
        match self.host.begin(step) {
            Ok(Begun::Done(traces)) => self.end(place, Ended::Done, traces),
            Ok(Begun::Waits(waiting)) => self.put_back(place, waiting),
            Err(error) => self.end(place, Ended::Failed(error.failure()), Traces::default()),
        }
    }

    /// Looks at what a step waits for, when that is due.
    fn look(&self, place: usize, mut waiting: Waiting) {
        let due_in = |waiting: &Waiting| waiting.due().since(self.host.moment());
        self.host.pause(due_in(&waiting).min(GLANCE));
        if !due_in(&waiting).is_zero() {
            return self.put_back(place, waiting);
        }
        match self.host.look_again(&mut waiting) {
            None => self.put_back(place, waiting),
            Some(Ok(())) => self.end(place, Ended::Done, Traces::default()),
            Some(Err(error)) => {
                self.end(place, Ended::Failed(error.failure()), Traces::default());
            }
        }
    }

    fn put_back(&self, place: usize, waiting: Waiting) {
        let mut state = self.lock();
        state.queue.insert((waiting.due(), place));
        let (known, _) = state
            .waits
            .entry(place)
            .or_insert_with(|| (waiting.clone(), Pace::default()));
        *known = waiting;
        self.changed.notify_all();
    }

    /// A step has ended; one that was given up has its entry in the journal already.
    fn end(&self, place: usize, ended: Ended, mut traces: Traces) {
        let begun = self.lock().under_way.remove(&place);
        let (mut took, mut untold) = (None, std::mem::take(&mut traces.warnings));
        if let Some(begun) = begun {
            let step = &self.steps[place];
            let time = begun.elapsed();
            let event = stepped(self.plan, step, &ended, time, traces);
            took = Some(time);
            let note = self.host.note(event).err();
            self.monitor.ended(step, &ended);
            let mut state = self.lock();
            let errors = untold.drain(..).chain(note);
            state.untold.extend(errors.map(|error| error.failure()));
        }
        let mut state = self.lock();
        state.end(place, ended, took);
        drop(state);
        self.changed.notify_all();
    }

    /// Looks for interruptions and long waits while the steps are under way.
    fn attend(&self) {
        let mut state = self.lock();
        while state.left > 0 {
            state = self.wait(state, TICK);
            let interruption = self.monitor.interruption();
            if interruption != Interruption::None {
                state.stop();
                self.changed.notify_all();
            }
            let given_up = match interruption {
                Interruption::Leave => std::mem::take(&mut state.under_way),
                Interruption::None | Interruption::Finish => BTreeMap::new(),
            };
            let waits = state.waits_to_say(self.host.moment());
            drop(state);
            self.give_up(given_up);
            if !waits.is_empty() {
                self.monitor.waits(&waits);
            }
            state = self.lock();
        }
    }

    /// Writes into the journal that steps were begun whose end will not be seen.
    fn give_up(&self, steps: BTreeMap<usize, Instant>) {
        for (place, begun) in steps {
            let ended = Ended::Failed(Failure {
                causes: vec!["outcome unknown: interrupted while it was under way".to_owned()],
                remedy: Some("apply again".to_owned()),
                hook: None,
            });
            let step = &self.steps[place];
            let event = stepped(self.plan, step, &ended, begun.elapsed(), Traces::default());
            if let Err(error) = self.host.note(event) {
                self.lock().untold.push(error.failure());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, time: Duration) -> MutexGuard<'s, State> {
        let waited = self.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    fn new(steps: &[Step]) -> Self {
        Self {
            order: Order::new(steps),
            left: steps.len(),
            begun: 0,
            under_way: BTreeMap::new(),
            waits: BTreeMap::new(),
            queue: BTreeSet::new(),
            orphaned: Vec::new(),
            ended: steps.iter().map(|_| None).collect(),
            took: vec![None; steps.len()],
            untold: Vec::new(),
        }
    }

    fn next(&mut self, queue: Queue) -> Next {
        if self.order.is_dry() && self.begun == 0 {
            // What is left needs something that is no step.
            self.stop();
        }
        if self.left == 0 {
            return Next::Finish;
        }
        for queue in [queue].into_iter().chain(self.orphaned.clone()) {
            if let Some(place) = self.order.take(queue) {
                self.begun += 1;
                return Next::Begin(place);
            }
            if queue == Queue::Watch
                && let Some((_, place)) = self.queue.pop_first()
                && let Some((waiting, _)) = self.waits.get(&place)
            {
                return Next::Look(place, waiting.clone());
            }
        }
        Next::Rest
    }

    fn stop(&mut self) {
        for place in self.order.stop() {
            self.end_one(place, Ended::NotTried);
        }
    }

    fn end(&mut self, place: usize, ended: Ended, took: Option<Duration>) {
        self.waits.remove(&place);
        self.begun -= 1;
        match &ended {
            Ended::Done => self.order.done(place),
            Ended::Failed(_) | Ended::NotTried => {
                for left_out in self.order.failed(place) {
                    self.end_one(left_out, Ended::NotTried);
                }
            }
        }
        self.took[place] = took;
        self.end_one(place, ended);
    }

    fn end_one(&mut self, place: usize, ended: Ended) {
        self.left -= 1;
        self.ended[place] = Some(ended);
    }

    /// The waits that have become worth a line.
    fn waits_to_say(&mut self, now: Moment) -> Vec<Wait> {
        let waits = self.waits.values_mut().filter_map(|(waiting, pace)| {
            let wait = waiting.wait(now);
            (pace.is_due(wait.already) && wait.already < wait.limit).then_some(wait)
        });
        waits.collect()
    }

    fn ran(self, steps: &[Step]) -> Ran {
        let ids = || steps.iter().map(|step| step.id.clone());
        let ended = ids().zip(self.ended);
        let took = ids().zip(self.took);
        Ran {
            ended: ended.filter_map(|(id, ended)| Some((id, ended?))).collect(),
            took: took.filter_map(|(id, took)| Some((id, took?))).collect(),
            untold: self.untold,
        }
    }
}

#[cfg(test)]
mod tests;
