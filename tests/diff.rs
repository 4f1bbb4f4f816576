//! What a change of a fleet file means, without a host.

// Clippy's allowance for tests covers test functions only, not what they share.
#![allow(clippy::panic, clippy::unwrap_used)]

#[expect(dead_code, reason = "other parts are for other tests")]
mod harness;
#[expect(dead_code, reason = "other parts are for tests/e2e")]
#[path = "harness/key_changes.rs"]
mod key_table;

use armfleet::imagined::{Diff, diff};
use armfleet::plan::Policy;
use harness::{spec, text};
use std::fmt::Write as _;

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

fn diff_of(old: &str, new: &str) -> Diff {
    diff(Some(&spec(old)), &spec(new), &Policy::default())
}

#[track_caller]
fn assert_nothing(diff: &Diff, what: &str) {
    let plan = &diff.plan;
    let told = text(plan);
    assert_eq!(diff.refused_before, [], "{what}");
    assert!(plan.is_empty() && plan.is_complete(), "{what}: {told}");
    assert_eq!(
        (&plan.refusals[..], &plan.notices[..]),
        (&[][..], &[][..]),
        "{what}: {told}"
    );
}

#[test]
fn the_same_fleet_twice_is_no_change() {
    let recipe = key_table::fleet(RECIPE, false);
    assert_nothing(&diff_of(&recipe, &recipe), "every key of the table");
    for example in [
        "examples/every-key.yaml",
        "examples/recipe.yaml",
        "examples/language.yaml",
        "examples/arm64-kernel.yaml",
        "examples/build-farm/fleet.yaml",
        "examples/cloud-init/fleet.yaml",
        "examples/debian-armhf/fleet.yaml",
        "examples/quickstart/fleet.yaml",
    ] {
        let fleet = std::fs::read_to_string(example).unwrap();
        assert_nothing(&diff_of(&fleet, &fleet), example);
    }
}

#[test]
fn xx() {
    let mut fleet = key_table::fleet(RECIPE, false);
    let mut told = String::new();
    for change in key_table::CHANGES {
        assert_eq!(fleet.matches(change.before).count(), 1);
        let new = fleet.replace(change.before, change.after);
        writeln!(
            told,
            "{}: {} -> {}",
            change.key, change.before, change.after
        )
        .unwrap();
        told += &text(&diff_of(&fleet, &new).plan);
        fleet = new;
    }
    panic!("{told}");
}
