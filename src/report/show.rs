//! One VM with everything filled in.

use crate::domain::render_new;
use crate::fleet::Vm;
use crate::inventory::Libvirt;
use crate::values::FleetName;
use serde::Serialize;
use std::fmt::Write as _;

/// A VM as the fleet file means it, and the definition of its domain if it were created now.
#[must_use]
pub fn render_vm(fleet: &FleetName, vm: &Vm, libvirt: &Libvirt) -> String {
    let mut text = format!("{}:\n", vm.name);
    for (key, value) in vm.written() {
        let _ = writeln!(text, "  {key}: {value}");
    }
    text.push('\n');
    text + &render_new(fleet, vm, libvirt)
}

/// The same for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmReport<'a> {
    /// The version of this format.
    pub format: &'static str,
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
            fleet,
            vm,
            domain: render_new(fleet, vm, libvirt),
        }
    }
}
