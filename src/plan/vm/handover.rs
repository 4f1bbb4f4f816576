//! The handover `link`: whether it holds on a host, and what a change of handover brings with it.

use crate::boot::keeps_what_it_takes;
use crate::fleet::Handover;
use crate::mark::{PropertyId, Record};
use crate::paths;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::problem::HostCheck;
use crate::trust::{End, Verdict};

const INSTEAD: &str = "take boot.handover: link from the VM, which then boots copies";

impl VmPlanner<'_> {
    /// Refuses links where they would not be what was checked, or would cost the guest its files. A VM that was applied before
    /// is told, and boots copies in their place.
    pub(super) fn links_hold(
        &self,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let name = &self.vm.name;
        if let Some(why) = self.why_no_links() {
            let was = record.map(|record| record.boot.handover);
            if was != Some(Handover::Link) {
                builder.refuse_on(HostCheck::LinkHandover, name, why, INSTEAD);
                return Err(Blocked);
            }
            builder.notice(name, format!("it boots copies, not links: {why}"), INSTEAD);
        }
        Ok(())
    }

    fn why_no_links(&self) -> Option<String> {
        if self.vm.boot.handover == Handover::Copy {
            return None;
        }
        let (share, inventory) = (&self.vm.boot.share, self.input.inventory);
        let folder = share.parent();
        let dev = |path: &str| Some(inventory.path(path).present()?.stat.dev);
        let conf = inventory.path(paths::QEMU_CONF).present();
        let conf = conf.and_then(|conf| conf.text.as_deref());
        let way = inventory.judged(share.as_str(), End::Share, &inventory.way_rules([]));
        if conf.is_some_and(keeps_what_it_takes) {
            let conf = paths::QEMU_CONF;
            Some(format!(
                "{conf} has remember_owner = 0, so a linked kernel becomes root's when the VM stops, and its guest loses it"
            ))
        } else if let (Some(inside), Some(outside)) = (dev(share.as_str()), dev(folder))
            && inside != outside
        {
            Some(format!(
                "its boot share {share} is a file system of its own, and no link leads from {folder} into it"
            ))
        } else if matches!(way, Verdict::Flawed(_)) {
            Some(format!(
                "others than root can replace what is in {folder}, where the links would be"
            ))
        } else {
            None
        }
    }

    /// Says what a change of handover brings with it.
    pub(super) fn handover_notice(&self, record: Option<&Record>, builder: &mut PlanBuilder) {
        let (name, boot) = (&self.vm.name, &self.vm.boot);
        let was = record.map(|record| record.boot.handover);
        let applied = record.and_then(|record| record.applied.rows.get(&KERNEL));
        let inside = record.map(|record| paths::in_share(&record.boot.share, paths::LINKED_KERNEL));
        let was_inside = inside
            .as_ref()
            .is_some_and(|inside| applied == Some(inside));
        if was != Some(boot.handover) && boot.handover == Handover::Link {
            builder.notice(
                name,
                    "handover: link boots its guest's own files, which the guest, and with it whoever runs as QEMU's user, can \
                     change after they were checked; libvirt changes their owner while it runs; without armfleet-hook, which \
                     alone can check them, it does not start",
                "handover: copy has none of this",
            );
        }
        let former = record.filter(|record| {
            record.boot.handover == Handover::Link && record.boot.share != boot.share
        });
        if let Some(record) = former.filter(|_| !was_inside) {
            let share = &record.boot.share;
            builder.notice(
                name,
                format!("it leaves its boot share {share}, which stays as it is"),
                format!(
                    "its next start removes the links in {}",
                    paths::beside(share)
                ),
            );
        }
        if was_inside {
            let share = &boot.share;
            let (kernel, initrd) = (paths::LINKED_KERNEL, paths::LINKED_INITRD);
            builder.notice(
                name,
                format!("its kernel is not named inside {share} any more, where QEMU's user could put another file in its place"),
                format!("{kernel} and {initrd} stay there; its guest may remove them after its next boot"),
            );
        }
    }
}

const KERNEL: PropertyId = PropertyId::new("kernel");
