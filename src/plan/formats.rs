//! Files that a later version of armfleet wrote: nothing is planned for their VM, since nothing of it can be judged.

use super::builder::{Blocked, PlanBuilder, PlanInput};
use crate::boot::{DTB_FORMAT, STAGED_FILES};
use crate::format::{Format, UPGRADE};
use crate::inventory::{Fact, Inventory, SeenRecord};
use crate::mark::{CLOUD_INIT_FORMAT, FRESH_FORMAT, HOLD_FORMAT};
use crate::paths::{self, PathOf};
use crate::values::VmName;

/// Refuses a VM that has a file of a later version of armfleet.
pub(super) fn refuse_later(
    input: &PlanInput<'_>,
    vm: &VmName,
    builder: &mut PlanBuilder,
) -> Result<(), Blocked> {
    match later(input.inventory, vm) {
        Some(why) => {
            builder.refuse(vm, why, UPGRADE);
            Err(Blocked)
        }
        None => Ok(()),
    }
}

/// The file of a later version about a VM, and what that says.
pub(super) fn later(inventory: &Inventory, vm: &VmName) -> Option<String> {
    if let Fact::Present(SeenRecord::Later(why)) = inventory.record(vm) {
        return Some(format!("{} stays as it is: {why}", paths::record(vm)));
    }
    let own: [(PathOf, Format); 4] = [
        (paths::hold, HOLD_FORMAT),
        (paths::cloud_init_receipt, CLOUD_INIT_FORMAT),
        (paths::fresh_receipt, FRESH_FORMAT),
        (paths::dtb_receipt, DTB_FORMAT),
    ];
    let mut files = own.into_iter().chain(STAGED_FILES);
    files.find_map(|(path, format)| {
        let path = path(vm);
        let text = inventory.path(&path).present()?.text.as_deref()?;
        let why = format.later(text.as_bytes())?;
        Some(format!("{path} stays as it is: {why}"))
    })
}
