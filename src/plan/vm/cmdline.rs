//! Command lines with which a guest most likely does not come up, or is not heard.

use crate::plan::builder::{PlanBuilder, VmPlanner};
use crate::values::Cmdline;

impl VmPlanner<'_> {
    /// Says what looks wrong in the VM's command lines. It is only likely: an initrd may know better.
    pub(super) fn cmdline_notices(&self, builder: &mut PlanBuilder) {
        let own = &self.vm.boot.cmdline;
        self.root_notice(own, builder);
        self.console_notice(own, "boot.cmdline", builder);
        if let Some(install) = &self.vm.install {
            self.console_notice(&install.cmdline, "install.cmdline", builder);
        }
    }

    fn root_notice(&self, cmdline: &Cmdline, builder: &mut PlanBuilder) {
        if self.vm.disks.is_empty() {
            return;
        }
        let roots: Vec<&str> = values(cmdline, "root=").collect();
        let is_elsewhere = |root: &&&str| {
            ["/dev/sd", "/dev/hd", "/dev/mmcblk", "/dev/nvme"]
                .iter()
                .any(|begin| root.starts_with(begin))
        };
        let (what, outlook) = match roots.iter().find(is_elsewhere) {
            Some(root) => (
                format!("boot.cmdline has root={root}, and a guest's disks are virtio here"),
                "its first disk is /dev/vda, and that one's first partition /dev/vda1",
            ),
            None if roots.is_empty() && values(cmdline, "boot=").next().is_none() => (
                "boot.cmdline has no root=, so the kernel is not told where its root file system is"
                    .to_owned(),
                "the first partition of its first disk is root=/dev/vda1, and the whole disk root=/dev/vda",
            ),
            None => return,
        };
        builder.notice(&self.vm.name, what, outlook);
    }

    fn console_notice(&self, cmdline: &Cmdline, key: &str, builder: &mut PlanBuilder) {
        const CONSOLE: &str = "ttyAMA0";
        let mut consoles: Vec<&str> = values(cmdline, "console=")
            .map(|console| console.split(',').next().unwrap_or_default())
            .collect();
        let has_ours = consoles.contains(&CONSOLE);
        consoles.retain(|console| console.starts_with("ttyS"));
        if let (Some(console), false) = (consoles.first(), has_ours) {
            builder.notice(
                &self.vm.name,
                format!(
                    "{key} has console={console}, which machine {} does not have",
                    self.vm.machine
                ),
                format!("its serial console is console={CONSOLE}"),
            );
        }
    }
}

/// The values of a parameter, in their order.
fn values<'c>(cmdline: &'c Cmdline, parameter: &'c str) -> impl Iterator<Item = &'c str> {
    let words = cmdline.as_str().split_ascii_whitespace();
    words.filter_map(move |word| word.strip_prefix(parameter))
}
