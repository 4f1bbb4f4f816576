//! What a change of a fleet file means, without a host.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::panic, clippy::unwrap_used)]

#[path = "diff/called.rs"]
mod called;
#[path = "diff/folding.rs"]
mod folding;
#[path = "diff/git.rs"]
mod git;
#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;
#[path = "harness/key_changes.rs"]
mod key_table;
#[path = "diff/keys.rs"]
mod keys;
#[path = "diff/same.rs"]
mod same;

use armfleet::fleet::Spec;
use armfleet::imagined::{Diff, Fleets, diff};
use armfleet::plan::{Plan, Policy};
use armfleet::report::{Basis, Paint, PlanReport, render_plan};
use armfleet::values::{HostPath, Secrets};
use harness::spec_with;
use std::collections::BTreeSet;

/// The VM of the tests on a real host.
const RECIPE: &str = "\
fleet: recipe
vms:
  armhf-vm:
    arch: armhf
    memory: 512MiB
    on_guest_reboot: stop
    boot:
      share: \"/srv/{name}-boot\"
      cmdline: console=ttyAMA0 root=/dev/vda1
      seed: { kernel: /srv/seed/vmlinuz-1, initrd: /srv/seed/initrd.img-1 }
    disks: [{ path: \"/srv/{name}.img\", size: 64MiB }]
    console: { log: /var/log/armhf-vm.log }
";

/// The files of cloud-init that the fleets name.
const TEXTS: [(&str, &str); 6] = [
    ("user-data", "#cloud-config\n# one\n"),
    ("user-data-2", "#cloud-config\n# two\n"),
    ("meta-data", "local-hostname: x\n# one\n"),
    ("meta-data-2", "local-hostname: x\n# two\n"),
    ("network", "version: 2\n# one\n"),
    ("network-2", "version: 2\n# two\n"),
];

fn spec(fleet: &str) -> Spec {
    let secrets = Secrets::stand_ins(["A".to_owned(), "B".to_owned()]);
    spec_with(fleet, &TEXTS, secrets)
}

fn fleets<'s>(old: Option<&'s Spec>, new: &'s Spec) -> Fleets<'s> {
    static NONE: BTreeSet<HostPath> = BTreeSet::new();
    Fleets {
        old,
        new,
        changed: &NONE,
    }
}

fn diff_of(old: &str, new: &str) -> Diff {
    diff(fleets(Some(&spec(old)), &spec(new)), &Policy::default())
}

fn text(plan: &Plan) -> String {
    let mut report = PlanReport::new(plan, None);
    report.basis = Some(Basis::files("old.yaml".to_owned(), "new.yaml".to_owned()));
    render_plan(&report, Paint::Plain)
}
