//! What the engine adds to steps: those of 10,000 new VMs, each of which needs the one before, against as many that need
//! nothing.

use armfleet::engine::run;
use armfleet::host::{Begun, Host, HostError, Inspect, Traces, Waiting};
use armfleet::inventory::{Query, RawInventory};
use armfleet::mark::{Event, Moment};
use armfleet::plan::Step;
use std::time::Duration;

pub(super) const VMS: usize = 10_000;
const EACH: usize = 4;

/// A host on which every step is nothing to do.
struct Nothing;

impl Inspect for Nothing {
    fn observe(&self, _: &Query) -> Result<RawInventory, HostError> {
        Err(HostError::plain("there is nothing to see"))
    }
}

impl Host for Nothing {
    fn begin(&self, _: &Step) -> Result<Begun, HostError> {
        Ok(Begun::Done(Traces::default()))
    }
    fn look_again(&self, _: &mut Waiting) -> Option<Result<(), HostError>> {
        None
    }
    fn moment(&self) -> Moment {
        Moment(0)
    }
    fn pause(&self, _: Duration) {}
    fn boots_at_once(&self) -> usize {
        1
    }
    fn note(&self, _: Event) -> Result<(), HostError> {
        Ok(())
    }
}

/// The steps of all VMs, in a plan's order; chained or on their own.
pub(super) fn steps(chained: bool) -> Vec<Step> {
    let id = |vm: usize, at: usize| format!("record/vm-{vm}-{at}");
    let step = |(vm, at): (usize, usize)| {
        let needs: Vec<_> = (chained && at > 0)
            .then(|| id(vm, at - 1))
            .into_iter()
            .collect();
        let step = serde_json::json!({
            "id": id(vm, at), "vm": null, "reason": "", "cause": null, "needs": needs,
            "expects": null, "changes": [], "act": "forget",
        });
        serde_json::from_value(step).unwrap()
    };
    let places = (0..VMS).flat_map(|vm| (0..EACH).map(move |at| (vm, at)));
    places.map(step).collect()
}

/// Performs them all.
pub(super) fn perform(steps: &[Step]) -> usize {
    let ran = run(&Nothing, steps, None, &());
    assert_eq!(ran.ended.len(), VMS * EACH);
    ran.ended.len()
}
