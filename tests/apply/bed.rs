//! A host in memory to apply fleets to.

use crate::case::{self, Case};
use armfleet::engine::{self, Interruption, Monitor};
use armfleet::fleet::{Spec, read_fleet};
use armfleet::host::intercept::{Intercept, Intercepted, Recording};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;
use armfleet::host::{Executor, Host, Inspect, Observer};
use armfleet::inventory::{RawInventory, RawLibvirt, query};
use armfleet::paths;
use armfleet::plan::{Ended, Outcome, Plan, Policy, Step};
use armfleet::report::{Paint, PlanReport, render_plan};
use std::time::Duration;

/// A fleet of one VM.
pub(crate) const FLEET: &str = "\
fleet: lab
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    vcpus: 1
    boot:
      share: /srv/armhf-vm-boot
      cmdline: console=ttyAMA0 root=/dev/vda1
      seed: { kernel: /srv/seed/vmlinuz-6.1.0-48-armmp, initrd: /srv/seed/initrd.img-6.1.0-48-armmp }
    disks: [{ path: /srv/armhf-vm.img, size: 8GiB }]
    console: { log: /var/log/armhf-vm.log }
";

pub(crate) const VM: &str = "armhf-vm";
pub(crate) const SHARE: &str = "/srv/armhf-vm-boot";
pub(crate) const IMAGE: &str = "/srv/armhf-vm.img";
pub(crate) const RECORD: &str = "/var/lib/armfleet/vms/armhf-vm/record.json";
pub(crate) const UUID: &str = "5a0191cc-14b5-8260-9822-11f28f323c82";
pub(crate) const EMPTY: &str = "fleet: lab\nvms: {}\n";

pub(crate) fn spec(fleet: &str) -> Spec {
    read_fleet(fleet.as_bytes(), "fleet.yaml", "/fleet")
        .unwrap_or_else(|problems| panic!("{problems:?}\n{fleet}"))
}

/// A host on which armfleet never was, with a seed for its VMs.
pub(crate) fn new_host() -> Memory {
    let host = Memory::new(RawLibvirt {
        version: 9_000_000,
        capabilities: include_str!("../fixtures/capabilities-9.0.xml").to_owned(),
    });
    host.make_folder("/srv/seed", 0o755, None).unwrap();
    for (name, text) in [("vmlinuz", "kernel 48"), ("initrd.img", "initrd 48")] {
        host.put_file(&format!("/srv/seed/{name}-6.1.0-48-armmp"), text)
            .unwrap();
    }
    watch(&host);
    host
}

/// Has a watcher be at work for as long as the host is there.
fn watch(host: &Memory) {
    let note = "pid 7, user root, since 2023-11-14 22:13 UTC";
    std::mem::forget(host.lock(paths::WATCH_LOCK, note, Duration::ZERO).unwrap());
}

/// A host on which the fleet was applied, and its guest has written to its disk. It is the same every time: steps are
/// performed one by one.
pub(crate) fn settled_host() -> Memory {
    let host = new_host();
    perform_in_order(&host, FLEET);
    host.write_image(IMAGE, DATA).unwrap();
    host
}

/// What the guest wrote to its disk.
pub(crate) const DATA: &str = "the guest's data";

pub(crate) fn perform_in_order(host: &Memory, fleet: &str) {
    let performer = Executor::locked(host.clone()).unwrap();
    for step in plan(host, fleet, &Policy::default()).steps {
        performer.perform(&step).unwrap();
    }
}

/// What planning sees of a host.
pub(crate) fn observe(host: &Memory, fleet: &str) -> RawInventory {
    Observer(host.clone())
        .observe(&query(&spec(fleet)))
        .unwrap()
}

/// Plans without any means to change the host.
pub(crate) fn plan(host: &Memory, fleet: &str, policy: &Policy) -> Plan {
    let intercepted = Intercepted {
        calls: host.clone(),
        by: Recording::default(),
    };
    let observer = Observer(intercepted);
    let (plan, _) = engine::observe_and_plan(&observer, &spec(fleet), policy).unwrap();
    assert_eq!(observer.0.by.changes(), Vec::<String>::new());
    plan
}

pub(crate) fn text(plan: &Plan) -> String {
    render_plan(&PlanReport::new(plan, None), Paint::Plain)
}

/// An apply, and what it did.
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    /// The calls that change something, but for the journal, the history and the locks of VMs.
    pub(crate) changes: Vec<String>,
}

/// What an apply does that has nothing to do.
pub(crate) const ONLY_THE_LOCK: [&str; 1] = ["lock /run/armfleet/apply.lock"];

pub(crate) fn apply(host: &Memory, fleet: &str, policy: &Policy) -> Applied {
    let intercepted = Intercepted {
        calls: host.clone(),
        by: Recording::default(),
    };
    let performer = Executor::locked(intercepted).unwrap();
    let outcome = apply_over(&performer, fleet, policy);
    let mut changes = performer.calls().by.changes();
    changes.retain(|call| !is_bookkeeping(call));
    Applied { outcome, changes }
}

fn is_bookkeeping(call: &str) -> bool {
    call.starts_with("append_line ")
        || call.contains(" /var/lib/armfleet/history")
        || call.starts_with("lock /run/armfleet/vm/")
        || call.starts_with("lock /run/armfleet/staging/")
}

pub(crate) fn apply_over<W: Intercept>(
    performer: &Executor<Intercepted<Memory, W>>,
    fleet: &str,
    policy: &Policy,
) -> Outcome {
    let spec = spec(fleet);
    let (plan, _) = engine::observe_and_plan(performer, &spec, policy).unwrap();
    engine::apply(performer, &spec, policy, &plan, &Silent).unwrap()
}

/// Finds a host on which something happened since the fleet was applied: as the case of this name, which tells how it is
/// planned, and then by an apply.
#[track_caller]
pub(crate) fn found(case: &str, fleet: &str, happened: impl FnOnce(&Memory)) -> (Memory, Applied) {
    found_with(case, None, fleet, happened)
}

/// The same with options of the command line.
#[track_caller]
pub(crate) fn found_with(
    case: &str,
    options: Option<&str>,
    fleet: &str,
    happened: impl FnOnce(&Memory),
) -> (Memory, Applied) {
    let host = settled_host();
    happened(&host);
    found_on(host, case, options, fleet)
}

/// The same on any host.
#[track_caller]
pub(crate) fn found_on(
    host: Memory,
    case: &str,
    options: Option<&str>,
    fleet: &str,
) -> (Memory, Applied) {
    let case = Case::new(case);
    case.assert("fleet.yaml", fleet);
    case.assert_host(&observe(&host, fleet));
    if let Some(options) = options {
        case.assert("options", &format!("{options}\n"));
    }
    let policy = case::policy(options);
    // Planning has no means to change anything, and tries none.
    plan(&host, fleet, &policy);
    let applied = apply(&host, fleet, &policy);
    (host, applied)
}

impl Applied {
    /// Everything planned was done, and nothing is left to do.
    #[track_caller]
    pub(crate) fn assert_converged(&self) {
        assert!(self.outcome.all_done(), "{:#?}", self.outcome.ended);
        let left = &self.outcome.residual;
        assert!(left.is_empty() && left.is_complete(), "{}", text(left));
    }

    /// It converged by these calls.
    #[track_caller]
    pub(crate) fn assert_did(&self, changes: &[&str]) {
        assert_eq!(self.changes[0], ONLY_THE_LOCK[0]);
        assert_eq!(self.changes[1..], *changes);
        self.assert_converged();
    }

    /// Nothing was to be done.
    #[track_caller]
    pub(crate) fn assert_did_nothing(&self) {
        assert_eq!(self.changes, ONLY_THE_LOCK);
        assert!(self.outcome.residual.is_empty());
    }

    /// What was wanted and not done, a line each.
    pub(crate) fn refused(&self) -> String {
        let refusals = self.outcome.residual.refusals.iter();
        refusals
            .map(|refusal| format!("{}: {}\n", refusal.subject, refusal.why))
            .collect()
    }
}

/// A monitor that sees nothing and never interrupts.
pub(crate) struct Silent;

impl Monitor for Silent {
    fn begins(&self, _: &Step) {}
    fn ended(&self, _: &Step, _: &Ended) {}
    fn interruption(&self) -> Interruption {
        Interruption::None
    }
}
