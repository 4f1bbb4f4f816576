use super::*;
use crate::host::{HostError, Inspect};
use crate::inventory::{Query, RawInventory};
use crate::mark::Event;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

/// A host on which every step is done at once, but for those that hang until they are released.
#[derive(Default)]
struct Trivial {
    begun: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    threads: Mutex<Vec<ThreadId>>,
    noted: Mutex<Vec<Event>>,
    hangs: Option<&'static str>,
    released: AtomicBool,
    /// How long a start takes.
    start: Duration,
}

impl Inspect for Trivial {
    fn observe(&self, _: &Query) -> Result<RawInventory, HostError> {
        Err(HostError::plain("there is nothing to see"))
    }
}

impl Host for Trivial {
    fn begin(&self, step: &Step) -> Result<Begun, HostError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.threads.lock().unwrap().push(thread::current().id());
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        if Queue::of(step) == Queue::Boot {
            thread::sleep(self.start);
        }
        while self.hangs == Some(step.id.to_string().as_str())
            && !self.released.load(Ordering::SeqCst)
        {
            thread::sleep(Duration::from_millis(5));
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        Ok(Begun::Done(Traces::default()))
    }

    fn look_again(&self, _: &mut Waiting) -> Option<Result<(), HostError>> {
        Some(Ok(()))
    }

    fn moment(&self) -> Moment {
        Moment(0)
    }

    fn pause(&self, _: Duration) {}

    fn boots_at_once(&self) -> usize {
        3
    }

    fn note(&self, event: Event) -> Result<(), HostError> {
        self.noted.lock().unwrap().push(event);
        // The process would end now.
        self.released.store(true, Ordering::SeqCst);
        Ok(())
    }
}

fn step(id: String, needs: &[String], act: serde_json::Value) -> Step {
    serde_json::from_value(serde_json::json!({
        "id": id, "vm": null, "reason": "", "cause": null, "needs": needs, "expects": null,
        "changes": [], "act": act,
    }))
    .unwrap()
}

/// Steps of so many VMs, each of which needs the one before.
fn chains(vms: usize, each: usize) -> Vec<Step> {
    let id = |vm: usize, at: usize| format!("record/vm-{vm}-{at}");
    let step = |(vm, at): (usize, usize)| {
        let needs: Vec<_> = (at > 0).then(|| id(vm, at - 1)).into_iter().collect();
        step(id(vm, at), &needs, serde_json::json!("forget"))
    };
    (0..vms)
        .flat_map(|vm| (0..each).map(move |at| (vm, at)))
        .map(step)
        .collect()
}

#[test]
fn forty_thousand_steps_are_each_performed_once() {
    let (host, steps) = (Trivial::default(), chains(10_000, 4));
    let ran = run(&host, &steps, None, &());
    assert_eq!(host.begun.load(Ordering::SeqCst), 40_000);
    assert!(ran.ended.values().all(|ended| matches!(ended, Ended::Done)));
    assert_eq!((ran.ended.len(), ran.took.len()), (40_000, 40_000));
    let most = host.most_at_once.load(Ordering::SeqCst);
    assert!(most <= WORK_AT_ONCE, "{most}");
}

#[test]
fn starts_have_a_limit_of_their_own_and_keep_nothing_else_waiting() {
    let host = Trivial {
        start: Duration::from_millis(50),
        ..Trivial::default()
    };
    let uuid = "5a0191cc-14b5-8260-9822-11f28f323c82";
    let start = serde_json::json!({ "start": { "uuid": uuid } });
    let steps: Vec<_> = (0..9)
        .map(|vm| step(format!("start/vm-{vm}"), &[], start.clone()))
        .collect();
    let ran = run(&host, &steps, None, &());
    assert_eq!(ran.ended.len(), 9);
    assert_eq!(host.most_at_once.load(Ordering::SeqCst), 3);
}

#[test]
fn without_threads_steps_are_performed_one_after_another() {
    let (host, steps) = (Trivial::default(), chains(3, 4));
    let ran = run_on_threads(&host, &steps, None, &(), usize::MAX / 4);
    assert!(ran.ended.values().all(|ended| matches!(ended, Ended::Done)));
    let here = thread::current().id();
    assert_eq!(*host.threads.lock().unwrap(), [here; 12]);
}

#[test]
fn who_leaves_at_once_finds_in_the_journal_what_was_under_way() {
    let steps = chains(2, 2);
    let host = Trivial {
        hangs: Some("record/vm-1-0"),
        ..Trivial::default()
    };
    let leaving = Leaving(AtomicBool::new(false));
    let ran = run(&host, &steps[2..], None, &leaving);
    let noted = host.noted.lock().unwrap();
    let [Event::Step(trace)] = noted.as_slice() else {
        panic!("{noted:?}")
    };
    assert_eq!(trace.id, "record/vm-1-0");
    assert!(trace.error[0].starts_with("outcome unknown"), "{trace:?}");
    assert_eq!(ran.ended.len(), 2);
}

/// Leaves as soon as a step has begun.
struct Leaving(AtomicBool);

impl Monitor for Leaving {
    fn begins(&self, _: &Step) {
        self.0.store(true, Ordering::SeqCst);
    }
    fn ended(&self, _: &Step, _: &Ended) {}
    fn interruption(&self) -> Interruption {
        match self.0.load(Ordering::SeqCst) {
            true => Interruption::Leave,
            false => Interruption::None,
        }
    }
}
