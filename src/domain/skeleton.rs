//! What a new domain begins as; the rows do the rest.

use crate::mark::render_mark;
use crate::values::{Arch, FleetName, Uuid, VmName};

/// The skeleton of a new domain: whose it is, what no row manages, and what libvirt would otherwise choose.
///
/// No memory balloon, since nothing would drive it. Everything virtio gets its address from the transport row: libvirt
/// attaches a 9p share to PCI, where an ARM kernel without LPAE finds nothing, even beside devices on virtio-mmio
/// (`qemuDomainAssignVirtioMMIOAddresses`).
#[must_use]
pub fn skeleton(arch: Arch, fleet: &FleetName, vm: &VmName, uuid: &Uuid) -> String {
    let mark = render_mark(fleet, vm, uuid);
    let arch = arch.libvirt;
    format!(
        "<domain type='qemu'>
  <name>{vm}</name>
  <uuid>{uuid}</uuid>
  <metadata>
    {mark}
  </metadata>
  <memory unit='KiB'>0</memory>
  <currentMemory unit='KiB'>0</currentMemory>
  <vcpu>1</vcpu>
  <os>
    <type arch='{arch}' machine='virt'>hvm</type>
  </os>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <serial type='pty'/>
    <console type='pty'/>
    <memballoon model='none'/>
  </devices>
</domain>
"
    )
}
