//! What a new domain begins as; the rows do the rest.

use crate::fleet::Arch;
use crate::mark::render_mark;
use crate::values::{FleetName, Uuid, VmName};

/// The skeleton of a new domain: whose it is, and what its architecture has.
#[must_use]
pub fn skeleton(arch: Arch, fleet: &FleetName, vm: &VmName, uuid: &Uuid) -> String {
    let mark = render_mark(fleet, vm, uuid);
    let rest = arch.skeleton;
    format!(
        "<domain type='qemu'>
  <name>{vm}</name>
  <uuid>{uuid}</uuid>
  <metadata>
    {mark}
  </metadata>
{rest}</domain>
"
    )
}
