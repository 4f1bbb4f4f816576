//! Hosts on which fleets of several VMs were applied, and plans for them.

use super::kernels::whole;
use super::{new_host, observe_for, perform_steps, plan_of};
use armfleet::fleet::{FleetSource, KeptFile, Spec, read_fleet};
use armfleet::host::memory::Memory;
use armfleet::inventory::Inventory;
use armfleet::plan::{Plan, Policy, SavedPlan};
use armfleet::values::Secrets;
use std::collections::BTreeMap;

pub(crate) fn spec(yaml: &str) -> Spec {
    read_fleet(yaml.as_bytes(), "fleet.yaml", "/home/me/fleet").unwrap()
}

/// A VM of a fleet file.
pub(crate) fn vm(name: &str, memory: &str, rest: &str) -> String {
    format!(
        "  {name}: {{ arch: armhf, memory: {memory}, boot: {{ cmdline: console=ttyAMA0 root=/dev/vda1, seed: {{ kernel: /srv/seed/vmlinuz, \
         initrd: /srv/seed/initrd.img }} }}, disks: [{{ path: /srv/{name}.img, size: 8GiB }}], on_guest_reboot: stop{rest} }}\n"
    )
}

/// A host on which armfleet never was, with the seed of these VMs.
pub(crate) fn empty_host() -> Memory {
    let host = new_host();
    for name in ["vmlinuz", "initrd.img"] {
        host.put_file(&format!("/srv/seed/{name}"), whole(name, name))
            .unwrap();
    }
    host
}

/// What planning sees of a host.
pub(crate) fn see(spec: &Spec, host: &Memory) -> Inventory {
    Inventory::read(observe_for(host, spec), spec)
}

pub(crate) fn plan_on(spec: &Spec, host: &Memory) -> Plan {
    plan_of(host, spec, &Policy::default())
}

/// The file of a plan for a fleet file on a host.
pub(crate) fn saved_plan(yaml: &str, host: &Memory) -> String {
    let source = FleetSource {
        files: vec![KeptFile {
            name: "fleet.yaml".to_owned(),
            folder: "/home/me/fleet".to_owned(),
            text: yaml.to_owned(),
        }],
        vars: BTreeMap::new(),
        texts: BTreeMap::new(),
    };
    let spec = source.read(Secrets::default(), None).unwrap();
    let plan = plan_on(&spec, host);
    let saved = SavedPlan::new(source, &Policy::default(), &plan, &see(&spec, host));
    saved.unwrap().render().unwrap()
}

/// Another host, as this one is after the plan was performed.
pub(crate) fn perform(host: &Memory, plan: &Plan) -> Memory {
    let host = host.fork();
    perform_steps(&host, plan);
    host
}

/// A host on which a fleet has been applied.
pub(crate) fn applied(spec: &Spec) -> Memory {
    applied_on(&empty_host(), spec)
}

/// A host as this one is after a fleet was applied on it.
pub(crate) fn applied_on(host: &Memory, spec: &Spec) -> Memory {
    let planned = plan_on(spec, host);
    assert!(
        planned.refusals.is_empty() && planned.is_complete(),
        "{planned:#?}"
    );
    perform(host, &planned)
}

/// Changes a domain's definition as somebody with virsh would.
#[track_caller]
pub(crate) fn edit_domain(host: &Memory, name: &str, from: &str, to: &str) {
    let replaced = |text: &str| {
        assert!(text.contains(from), "{from} in {text}");
        text.replace(from, to)
    };
    host.edit_domain(name, replaced).unwrap();
}

/// Applies another fleet file, after which nothing is left to do; the plan, and the host then.
#[track_caller]
pub(crate) fn settle(host: &Memory, spec: &Spec) -> (Plan, Memory) {
    let planned = plan_on(spec, host);
    let host = perform(host, &planned);
    let again = plan_on(spec, &host);
    let left = (again.steps.len(), again.refusals.len());
    assert_eq!(left, (0, 0), "{}", super::text(&again));
    (planned, host)
}
