//! The state of VMs as numbers: OpenMetrics, which Prometheus and its node exporter's textfile collector read.

use super::status::{StatusReport, VmStatus, WatcherState};
use super::style::printable;
use std::fmt::Write as _;

/// A number that each VM has.
struct Metric {
    name: &'static str,
    help: &'static str,
    value: fn(&VmStatus) -> usize,
}

const METRICS: [Metric; 8] = [
    Metric {
        name: "armfleet_vm_running",
        help: "Whether the VM runs.",
        value: |vm| vm.running.into(),
    },
    Metric {
        name: "armfleet_vm_wanted_running",
        help: "Whether the fleet file has it run.",
        value: |vm| vm.wanted_running.into(),
    },
    Metric {
        name: "armfleet_vm_changes",
        help: "How many changes would make it what the fleet file says.",
        value: |vm| vm.steps,
    },
    Metric {
        name: "armfleet_vm_drifted",
        help: "Whether something of it was changed outside armfleet since the last apply.",
        value: |vm| vm.drifted.into(),
    },
    Metric {
        name: "armfleet_vm_refusals",
        help: "How many changes are refused.",
        value: |vm| vm.refusals.len(),
    },
    Metric {
        name: "armfleet_vm_unknowns",
        help: "How much of it could not be seen.",
        value: |vm| vm.unknowns.len(),
    },
    Metric {
        name: "armfleet_vm_kernel_pending",
        help: "Whether its next start boots another kernel than the last one did.",
        value: |vm| vm.next_kernel.is_some().into(),
    },
    Metric {
        name: "armfleet_vm_kernel_rolled_back",
        help: "Whether the kernel that its guest installed failed, and another one boots.",
        value: |vm| vm.failed_kernel.is_some().into(),
    },
];

/// The state of VMs as OpenMetrics.
#[must_use]
pub fn render_metrics(report: &StatusReport) -> String {
    let mut text = String::new();
    let fleet = label(&report.fleet);
    for Metric { name, help, value } in METRICS {
        head(&mut text, name, help);
        for vm in &report.vms {
            let (vm_name, value) = (label(&vm.name), value(vm));
            let _ = writeln!(text, "{name}{{fleet=\"{fleet}\",vm=\"{vm_name}\"}} {value}");
        }
    }
    let watches = report.watcher.as_ref().map(|watcher| watcher.state);
    // A watcher that could not be seen, or that no VM relies on, has no number.
    if let Some(state @ (WatcherState::AtWork | WatcherState::NotRunning)) = watches {
        let name = "armfleet_watcher_running";
        head(
            &mut text,
            name,
            "Whether armfleet watch, on which a VM relies, runs.",
        );
        let value = usize::from(state == WatcherState::AtWork);
        let _ = writeln!(text, "{name}{{fleet=\"{fleet}\"}} {value}");
    }
    text += "# EOF\n";
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}");
}

/// The text of a label between its quotes.
fn label(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}
