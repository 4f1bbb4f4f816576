//! The disk and the share of a VM, for a command that is no plan and works at them.

use crate::fleet::Vm;
use crate::inventory::Fact;
use crate::mark::Phase;
use crate::plan::builder::{Blocked, Hook, PlanBuilder, PlanInput, Removals, VmPlanner};
use crate::trust::Ways;

/// By what their ways are judged. The builder refuses what a plan would: what others can swap or have, and what is not
/// what was applied.
pub(in crate::plan) fn reached(
    input: &PlanInput<'_>,
    vm: &Vm,
    builder: &mut PlanBuilder,
) -> Result<Ways, Blocked> {
    let hook = Hook {
        needs: Vec::new(),
        blocked: false,
    };
    let planner = VmPlanner {
        input,
        vm,
        hook: &hook,
        removals: &Removals::new(),
        phase: Phase::Own,
    };
    let domain = planner.own_domain(builder)?;
    let record = input.inventory.record(&vm.name);
    let record = record.present().and_then(|seen| seen.good());
    let ways = planner.ways(record, builder)?;
    planner.freed(domain, record, builder)?;
    let disk = vm.system_disk().map(|disk| ("disk", &disk.path));
    for (what, path) in disk.into_iter().chain([("boot share", &vm.boot.share)]) {
        if let Fact::Present(file) = input.inventory.path(path.as_str()) {
            planner.same_as_applied(what, path, file, record, builder)?;
        }
    }
    Ok(ways)
}
