//! What becomes of the names that a guest gives its disks and network interfaces.

use crate::domain::Comparison;
use crate::plan::builder::{PlanBuilder, VmPlanner};

impl VmPlanner<'_> {
    /// Refuses edits that would make another disk or interface the guest's first, and tells of other names that change.
    pub(super) fn numbering(&self, comparison: &Comparison, builder: &mut PlanBuilder) {
        let name = &self.vm.name;
        for held in &comparison.held {
            builder.refuse(name, &held.why, &held.remedy);
        }
        for device in &comparison.renumbered {
            let (source, before, after) = (&device.source, &device.before, &device.after);
            builder.notice(
                name,
                format!("its guest's {before} ({source}) will be {after}"),
                "from its next boot on; what names it so in the guest must be changed",
            );
        }
    }
}
