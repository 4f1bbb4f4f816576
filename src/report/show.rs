//! One VM with everything filled in.

use super::basis::Basis;
use crate::domain::render_new;
use crate::fleet::Vm;
use crate::inventory::Libvirt;
use crate::values::FleetName;
use serde::Serialize;
use std::fmt::Write as _;

/// A VM with everything filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmReport<'a> {
    /// The version of this format.
    pub format: &'static str,
    /// What it rests on; absent where that is the host as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The fleet.
    pub fleet: &'a FleetName,
    /// The VM with everything filled in.
    pub vm: &'a Vm,
    /// The definition of its domain if it were created now.
    pub domain: String,
}

impl<'a> VmReport<'a> {
    /// A VM as the fleet file means it, and the definition of its domain if it were created now.
    #[must_use]
    pub fn new(fleet: &'a FleetName, vm: &'a Vm, libvirt: &Libvirt) -> Self {
        Self {
            format: "armfleet-vm/1",
            basis: None,
            fleet,
            vm,
            domain: render_new(fleet, vm, libvirt),
        }
    }
}

/// The same as text.
#[must_use]
pub fn render_vm(report: &VmReport<'_>) -> String {
    let mut text = String::new();
    if let Some(basis) = &report.basis {
        let _ = write!(text, "{}\n\n", basis.words());
    }
    let _ = writeln!(text, "{}:", report.vm.name);
    for (key, value) in report.vm.written() {
        let _ = writeln!(text, "  {key}: {value}");
    }
    text.push('\n');
    text + &report.domain
}
