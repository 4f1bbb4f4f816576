//! Whether a host can run what a VM is to be.

use super::planner::Draft;
use super::vm::{Stuck, VmPlanner};
use crate::domain::arch_name;
use crate::spec::Accel;

impl VmPlanner<'_> {
    /// Refuses what libvirt would refuse when the domain is defined or started, before anything is made for it.
    pub(super) fn host_can(&self, draft: &mut Draft) -> Result<(), Stuck> {
        let (name, arch, machine) = (&self.vm.name, self.vm.arch, &self.vm.machine);
        let guest = self.sight.libvirt.guests.get(arch_name(arch));
        let (why, remedy) = match guest {
            None => (
                format!("this host has no emulator for {arch} guests"),
                "apt install qemu-system-arm, then restart libvirtd",
            ),
            Some(guest) if !guest.machines.contains_key(machine.as_str()) => (
                format!("this host's QEMU has no machine {machine} for {arch} guests"),
                "set machine: virt",
            ),
            Some(guest)
                if self.vm.accel == Accel::Kvm
                    && !guest.domain_types.iter().any(|kind| kind == "kvm") =>
            {
                (
                    format!("this host has no KVM for {arch} guests"),
                    "set accel: auto, or tcg to have it emulated",
                )
            }
            Some(_) => return Ok(()),
        };
        draft.refuse(name, why, remedy);
        Err(Stuck)
    }
}
