//! armfleet's own folders: root's, passable for QEMU, and no links.

use super::About;
use super::builder::{Blocked, Hook, PlanBuilder, PlanInput, VmPlanner};
use super::step::{Act, StepId};
use crate::domain::Cause;
use crate::inventory::{Fact, FileKind};
use crate::paths;
use crate::values::VmName;

/// What others than root must not have: leave to write.
const OTHERS_WRITE: u32 = 0o022;

/// Plans the folders that all VMs of the host share. Without them nothing can be started.
pub(super) fn plan(input: &PlanInput<'_>, hook: &mut Hook, builder: &mut PlanBuilder) {
    for path in [paths::STATE, paths::VMS] {
        // The first may be a link of root's own, to where there is room.
        let may_be_link = path == paths::STATE;
        match folder(input, path, None, may_be_link, builder) {
            Ok(step) => hook.needs.extend(step),
            Err(Blocked) => hook.blocked = true,
        }
    }
}

impl VmPlanner<'_> {
    /// Plans the VM's own folders.
    pub(super) fn folders(&self, builder: &mut PlanBuilder) -> Result<Vec<StepId>, Blocked> {
        let name = &self.vm.name;
        let vms = self.input.inventory.path(paths::VMS).present();
        if vms.is_some_and(|file| file.stat.kind != FileKind::Folder) {
            // The host's own line says so.
            return Err(Blocked);
        }
        let paths = [
            paths::vm_folder(name),
            paths::boot_folder(name),
            paths::generations(name),
        ];
        let mut steps = Vec::new();
        for path in &paths {
            steps.extend(folder(self.input, path, Some(name), false, builder)?);
        }
        for path in [paths::current(name), paths::previous(name)] {
            self.is_link(&path, builder)?;
        }
        Ok(steps)
    }

    /// Refuses what is not the link that is to be there: the hook replaces nothing else.
    fn is_link(&self, path: &str, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        let seen = self.input.inventory.path(path).present();
        let other = seen.filter(|file| file.stat.kind != FileKind::Symlink);
        let Some(file) = other else {
            return Ok(());
        };
        let kind = file.stat.kind.describe();
        let why = format!("{path} is {kind}, and armfleet keeps a link there");
        builder.refuse(&self.vm.name, why, format!("mv {path} {path}.old"));
        Err(Blocked)
    }
}

fn folder(
    input: &PlanInput<'_>,
    path: &str,
    vm: Option<&VmName>,
    may_be_link: bool,
    builder: &mut PlanBuilder,
) -> Result<Option<StepId>, Blocked> {
    let subject = vm.map_or_else(|| About::Path(path.to_owned()), About::from);
    let stat = match input.inventory.path(path) {
        Fact::Present(file) => &file.stat,
        // It is made by who needs it; of a host that was looked at by an older version nothing is known.
        Fact::Absent | Fact::NotObserved => return Ok(None),
        Fact::Unreadable(why) => {
            // Of the folder of records, each VM says it.
            if vm.is_some() {
                builder.unknown(subject, format!("{path} could not be seen: {why}"));
            }
            return Err(Blocked);
        }
    };
    match stat.kind {
        FileKind::Folder => {}
        FileKind::Symlink if may_be_link => return Ok(None),
        other => {
            let why = format!(
                "{path} is {}, and armfleet works in a folder there",
                other.describe()
            );
            builder.refuse(subject, why, format!("mv {path} {path}.old"));
            return Err(Blocked);
        }
    }
    let mode = (stat.mode | paths::PASSAGE) & !OTHERS_WRITE;
    let owned = stat.uid == 0;
    if mode == stat.mode && owned {
        return Ok(None);
    }
    let reason = if !owned {
        format!(
            "it belongs to user {}, who could replace what root boots",
            stat.uid
        )
    } else if stat.mode & OTHERS_WRITE != 0 {
        format!(
            "its mode {:04o} lets others than root write there",
            stat.mode
        )
    } else {
        format!("its mode {:04o} does not let QEMU pass", stat.mode)
    };
    let act = Act::MendFolder {
        path: path.to_owned(),
        mode,
    };
    let id = StepId::new("folder", path);
    let step = builder.step(id, vm, reason, &[], Vec::new(), act);
    Ok(builder.because(Some(Cause::Drifted), Some(step)))
}
