//! Hosts in memory to plan and apply fleets on, and the cases of `tests/cases`, whose scenarios make them.

pub(crate) mod applied;
pub(crate) mod case;
pub(crate) mod kernels;
pub(crate) mod scenario;

use armfleet::engine;
use armfleet::fleet::{FleetFile, Given, Spec, Text, read_files, texts_named};
use armfleet::host::intercept::{Intercept, Intercepted, Recording};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;
use armfleet::host::{Executor, Host, Inspect, Observer};
use armfleet::inventory::{RawInventory, RawLibvirt, Snapshot, query};
use armfleet::paths;
use armfleet::plan::{Outcome, Plan, Policy};
use armfleet::report::{Paint, PlanReport, render_plan};
use armfleet::values::Secrets;
use case::Case;
use kernels::whole;
use scenario::{Bits32, HostFacts};
use std::collections::BTreeMap;
use std::time::Duration;

/// A fleet of one VM.
pub(crate) const FLEET: &str = include_str!("../cases/no-op/fleet.yaml");

pub(crate) const VM: &str = "armhf-vm";
pub(crate) const SHARE: &str = "/srv/armhf-vm-boot";
pub(crate) const IMAGE: &str = "/srv/armhf-vm.img";
pub(crate) const RECORD: &str = "/var/lib/armfleet/vms/armhf-vm/record.json";
pub(crate) const UUID: &str = "5a0191cc-14b5-8260-9822-11f28f323c82";
pub(crate) const EMPTY: &str = "fleet: lab\nvms: {}\n";

pub(crate) fn spec(fleet: &str) -> Spec {
    spec_with(fleet, &[], Secrets::default())
}

/// What the files of `cloud_init` hold that a test says nothing of.
const USER_DATA: &str = "#cloud-config\nhostname: {name}\n";

/// The same with texts beside the fleet file, by their names, and with secrets.
pub(crate) fn spec_with(fleet: &str, texts: &[(&str, &str)], secrets: Secrets) -> Spec {
    let file = FleetFile {
        name: "fleet.yaml",
        folder: "/fleet",
        bytes: fleet.as_bytes(),
    };
    let named = texts_named(&[file], &BTreeMap::new()).into_iter();
    let texts = named.map(|named| {
        let name = named.path.file_name().to_owned();
        let known = texts.iter().find(|(known, _)| *known == name);
        let text = known.map_or(USER_DATA, |(_, text)| *text);
        let text = Text {
            name,
            content: Ok(text.as_bytes().to_vec()),
            identity: None,
        };
        (named.path, text)
    });
    let given = Given {
        vars: BTreeMap::new(),
        texts: Some(texts.collect()),
        secrets,
    };
    read_files(&[file], &given).unwrap_or_else(|problems| panic!("{problems:?}\n{fleet}"))
}

const CAPABILITIES: &str = include_str!("../captured/capabilities-9.0.xml");

/// The captured capabilities, changed to what this host has.
fn capabilities(facts: &HostFacts) -> String {
    let mut text = CAPABILITIES.to_owned();
    let mut change = |from: &str, to: &str| {
        assert!(text.contains(from), "no {from} among the capabilities");
        text = text.replace(from, to);
    };
    if let Some(memory) = facts.memory {
        let memory = format!("<memory unit='KiB'>{}<", memory.0 >> 10);
        change("<memory unit='KiB'>5597388<", &memory);
    }
    if let Some(vcpus) = facts.vcpus {
        let machine = |vcpus| format!("<machine canonical='virt-7.2' maxCpus='{vcpus}'>virt<");
        change(&machine(512), &machine(vcpus));
        let machine = |vcpus| format!("<machine maxCpus='{vcpus}'>virt-7.2<");
        change(&machine(512), &machine(vcpus));
    }
    if facts.kvm {
        let domain = "<domain type='qemu'/>";
        change(domain, &format!("{domain}<domain type='kvm'/>"));
    }
    if facts.no_emulator {
        change("<arch name='armv7l'>", "<arch name='riscv64'>");
    }
    text
}

/// A host on which armfleet never was, with a seed for its VMs.
pub(crate) fn new_host() -> Memory {
    new_host_with(&HostFacts::default())
}

/// The same, with other facts.
pub(crate) fn new_host_with(facts: &HostFacts) -> Memory {
    let host = Memory::new(RawLibvirt {
        version: 9_000_000,
        capabilities: capabilities(facts),
        bits32: facts.bits32.as_ref().map(Bits32::raw),
    });
    host.make_folder("/srv/seed", 0o755, None).unwrap();
    for (name, text) in [("vmlinuz", "kernel 48"), ("initrd.img", "initrd 48")] {
        host.put_file(
            &format!("/srv/seed/{name}-6.1.0-48-armmp"),
            whole(name, text),
        )
        .unwrap();
    }
    for bridge in &facts.bridges {
        host.put_network_device(bridge, true);
    }
    for network in &facts.networks {
        host.put_network(network, true, true);
    }
    for (folder, room) in &facts.free {
        host.leave_room(folder, room.0);
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
    host_of("no-op")
}

/// The host of a case.
#[track_caller]
pub(crate) fn host_of(case: &str) -> Memory {
    Case::new(case).host()
}

/// What the guest wrote to its disk.
pub(crate) const DATA: &str = "the guest's data";

pub(crate) fn perform_in_order(host: &Memory, fleet: &str) {
    perform_steps(host, &plan(host, fleet, &Policy::default()));
}

fn perform_steps(host: &Memory, plan: &Plan) {
    let performer = Executor::locked(host.clone()).unwrap();
    performer.redact(&plan.redaction);
    for step in &plan.steps {
        performer.perform(step).unwrap();
    }
}

/// What planning sees of a host.
pub(crate) fn observe(host: &Memory, fleet: &str) -> RawInventory {
    observe_for(host, &spec(fleet))
}

pub(crate) fn observe_for(host: &Memory, spec: &Spec) -> RawInventory {
    Observer(host.clone()).observe(&query(spec)).unwrap()
}

/// What a snapshot's file says of a host, taken for a fleet.
pub(crate) fn snapshot_of(host: &Memory, spec: &Spec) -> String {
    let query = query(spec);
    let seen = Observer(host.clone()).observe(&query).unwrap();
    Snapshot::new(query, seen, Some(spec)).0.render().unwrap()
}

/// The plan of a fleet from a snapshot's file.
pub(crate) fn plan_from(snapshot: &str, spec: &Spec, policy: &Policy) -> Plan {
    let snapshot = Snapshot::read(snapshot.as_bytes()).unwrap();
    let (plan, _) = engine::observe_and_plan(&snapshot, spec, policy).unwrap();
    plan
}

/// Plans without any means to change the host.
pub(crate) fn plan(host: &Memory, fleet: &str, policy: &Policy) -> Plan {
    plan_of(host, &spec(fleet), policy)
}

pub(crate) fn plan_of(host: &Memory, spec: &Spec, policy: &Policy) -> Plan {
    let intercepted = Intercepted {
        calls: host.clone(),
        by: Recording::default(),
    };
    let observer = Observer(intercepted);
    let (plan, _) = engine::observe_and_plan(&observer, spec, policy).unwrap();
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
    engine::apply(performer, &spec, policy, &plan, &()).unwrap()
}

/// Applies a case's fleet file on its host, the plan of which `tests/cases.rs` has looked at.
#[track_caller]
pub(crate) fn apply_case(name: &str) -> (Memory, Applied) {
    let case = Case::new(name);
    let host = case.host();
    let applied = apply(&host, &case.fleet, &case.policy);
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
