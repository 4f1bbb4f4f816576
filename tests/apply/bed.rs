//! A host in memory to apply fleets to.

use armfleet::engine::{self, Ended, Monitor, Outcome};
use armfleet::host::memory::Memory;
use armfleet::host::primitives::Primitives;
use armfleet::host::watched::{Recording, Watch, Watched};
use armfleet::host::{Observer, Performer};
use armfleet::inventory::RawLibvirt;
use armfleet::plan::{Plan, Policy, Step};
use armfleet::report::{Paint, render_plan};
use armfleet::spec::{Spec, read_fleet};

/// A fleet of one VM that uses every key.
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
    host
}

/// Plans without any means to change the host.
pub(crate) fn plan(host: &Memory, fleet: &str) -> Plan {
    plan_with(host, fleet, &Policy::default())
}

pub(crate) fn plan_with(host: &Memory, fleet: &str, policy: &Policy) -> Plan {
    let watched = Watched {
        calls: host.clone(),
        watch: Recording::default(),
    };
    let observer = Observer(watched);
    let (plan, _) = engine::observe_and_plan(&observer, &spec(fleet), policy).unwrap();
    assert_eq!(observer.0.watch.changes(), Vec::<String>::new());
    plan
}

pub(crate) fn text(plan: &Plan) -> String {
    render_plan(plan, Paint::Plain)
}

/// An apply, and the calls it made that change something, sorted.
pub(crate) struct Applied {
    pub(crate) plan: Plan,
    pub(crate) outcome: Outcome,
    pub(crate) changes: Vec<String>,
}

pub(crate) fn apply(host: &Memory, fleet: &str) -> Applied {
    apply_with(host, fleet, &Policy::default())
}

pub(crate) fn apply_with(host: &Memory, fleet: &str, policy: &Policy) -> Applied {
    let watched = Watched {
        calls: host.clone(),
        watch: Recording::default(),
    };
    let performer = Performer::locked(watched).unwrap();
    let (plan, outcome) = apply_over(&performer, fleet, policy);
    Applied {
        plan,
        outcome,
        changes: performer.calls().watch.changes(),
    }
}

/// Applies until nothing is left, and fails if anything is.
#[track_caller]
pub(crate) fn converge(host: &Memory, fleet: &str) -> Applied {
    let applied = apply(host, fleet);
    applied.assert_converged();
    applied
}

pub(crate) fn apply_over<W: Watch>(
    performer: &Performer<Watched<Memory, W>>,
    fleet: &str,
    policy: &Policy,
) -> (Plan, Outcome) {
    let spec = spec(fleet);
    let (plan, _) = engine::observe_and_plan(performer, &spec, policy).unwrap();
    let outcome = engine::apply(performer, &spec, policy, &plan, &Silent).unwrap();
    (plan, outcome)
}

impl Applied {
    #[track_caller]
    pub(crate) fn assert_converged(&self) {
        assert!(self.outcome.all_done(), "{:#?}", self.outcome.ended);
        let left = &self.outcome.residual;
        assert!(left.is_empty() && left.is_complete(), "{}", text(left));
    }
}

/// A monitor that sees nothing and never interrupts.
pub(crate) struct Silent;

impl Monitor for Silent {
    fn begins(&self, _: &Step) {}
    fn ended(&self, _: &Step, _: &Ended) {}
    fn interrupted(&self) -> bool {
        false
    }
}
