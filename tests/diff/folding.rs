//! What is told of several VMs in the same words is told once, and nothing is lost by that.

use crate::{fleets, spec, text};
use armfleet::imagined::{diff, diff_in_short};
use armfleet::plan::Policy;
use armfleet::report::{Basis, Paint, PlanReport, render_markdown, render_plan};

const FLEET: &str = "\
fleet: obs
vars: { release: { default: bookworm } }
defaults: { memory: 2GiB }
profiles:
  worker: { vcpus: 2 }
vms:
  \"obs-[01-12]\":
    profile: worker
    arch: armhf
    boot: { cmdline: \"console=ttyAMA0 root=/dev/vda1 name={name}\", seed: { kernel: \"/srv/{var.release}/vmlinuz\", initrd: /srv/initrd.img } }
    disks: [{ path: \"/srv/{name}.img\", size: 8GiB }]
    networks: [{ network: farm }]
    cloud_init: { user_data: user-data }
  tv:
    arch: armhf
    boot: { cmdline: console=ttyAMA0 root=/dev/vda1 }
    disks: [{ path: /srv/tv.img }]
    restart: when-required
";

/// A change of the file, by what it is of.
const CHANGES: &[(&str, &str, &str)] = &[
    ("a default", "memory: 2GiB", "memory: 3GiB"),
    ("a profile", "vcpus: 2", "vcpus: 4"),
    ("a variable", "default: bookworm", "default: trixie"),
    ("a longer range", "obs-[01-12]", "obs-[01-14]"),
    ("a shorter range", "obs-[01-12]", "obs-[02-10]"),
    (
        "a network of a range",
        "network: farm }",
        "network: farm }, { bridge: br0 }",
    ),
    (
        "a text of cloud-init",
        "user_data: user-data",
        "user_data: user-data-2",
    ),
    (
        "a range that restarts",
        "    networks",
        "    restart: when-required\n    memory: 1GiB\n    networks",
    ),
    (
        "one VM of a range",
        "  tv:",
        "  obs-07: { vcpus: 8 }\n  tv:",
    ),
    ("nothing", "", ""),
];

#[test]
fn a_change_is_told_once_for_all_vms_that_it_reaches() {
    let mut told = String::new();
    for (what, before, after) in CHANGES {
        assert!(FLEET.contains(before), "{before}");
        let new = FLEET.replacen(before, after, 1);
        let (old, new) = (spec(FLEET), spec(&new));
        let whole = diff(fleets(Some(&old), &new), &Policy::default()).plan;
        let each = text(&whole);
        let (short, alike) = diff_in_short(fleets(Some(&old), &new), &Policy::default());
        let mut report = PlanReport::new(&short.plan, None).standing_for(alike);
        report.basis = Some(Basis::files("old.yaml".to_owned(), "new.yaml".to_owned()));
        assert_eq!(render_plan(&report, Paint::Plain), each, "{what}");
        let mut of_each = PlanReport::new(&whole, None);
        of_each.basis = report.basis.clone();
        let markdown = render_markdown(&of_each);
        assert_eq!(render_markdown(&report), markdown, "{what}");
        told += &format!("{what}\n\n{each}\n{markdown}\n");
    }
    snapbox::assert_data_eq!(told, snapbox::file!["folding.txt"].raw());
}
