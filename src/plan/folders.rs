//! armfleet's own folders: root's, passable for QEMU, and no links.

use super::hook::Hook;
use super::planner::{Draft, Sight};
use super::step::{Act, StepId};
use super::vm::{Stuck, VmPlanner};
use crate::domain::Cause;
use crate::inventory::{Fact, FileKind};
use crate::paths;
use crate::values::VmName;

/// What others than root must not have: leave to write.
const OTHERS_WRITE: u32 = 0o022;

/// Plans the folders that all VMs of the host share. Without them nothing can be started.
pub(super) fn plan(sight: &Sight<'_>, hook: &mut Hook, draft: &mut Draft) {
    for path in [paths::STATE, paths::VMS] {
        // The first may be a link of root's own, to where there is room.
        let may_be_link = path == paths::STATE;
        match folder(sight, path, None, may_be_link, draft) {
            Ok(step) => hook.needs.extend(step),
            Err(Stuck) => hook.blocked = true,
        }
    }
}

impl VmPlanner<'_> {
    /// Plans the VM's own folders.
    pub(super) fn folders(&self, draft: &mut Draft) -> Result<Vec<StepId>, Stuck> {
        let name = &self.vm.name;
        let vms = self.sight.inventory.path(paths::VMS).present();
        if vms.is_some_and(|file| file.stat.kind != FileKind::Folder) {
            // The host's own line says so.
            return Err(Stuck);
        }
        let paths = [
            paths::vm_folder(name),
            paths::boot_folder(name),
            paths::generations(name),
        ];
        let mut steps = Vec::new();
        for path in &paths {
            steps.extend(folder(self.sight, path, Some(name), false, draft)?);
        }
        for path in [paths::current(name), paths::previous(name)] {
            self.is_link(&path, draft)?;
        }
        Ok(steps)
    }

    /// Refuses what is not the link that is to be there: the hook replaces nothing else.
    fn is_link(&self, path: &str, draft: &mut Draft) -> Result<(), Stuck> {
        let seen = self.sight.inventory.path(path).present();
        let other = seen.filter(|file| file.stat.kind != FileKind::Symlink);
        let Some(file) = other else {
            return Ok(());
        };
        let kind = file.stat.kind.describe();
        let why = format!("{path} is {kind}, and armfleet keeps a link there");
        draft.refuse(&self.vm.name, why, format!("mv {path} {path}.old"));
        Err(Stuck)
    }
}

fn folder(
    sight: &Sight<'_>,
    path: &str,
    vm: Option<&VmName>,
    may_be_link: bool,
    draft: &mut Draft,
) -> Result<Option<StepId>, Stuck> {
    let subject = vm.map_or_else(|| path.to_owned(), ToString::to_string);
    let stat = match sight.inventory.path(path) {
        Fact::Present(file) => &file.stat,
        // It is made by who needs it; of a host that was looked at by an older version nothing is known.
        Fact::Absent | Fact::NotObserved => return Ok(None),
        Fact::Unreadable(why) => {
            // Of the folder of records, each VM says it.
            if vm.is_some() {
                draft.unknown(subject, format!("{path} could not be seen: {why}"));
            }
            return Err(Stuck);
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
            draft.refuse(subject, why, format!("mv {path} {path}.old"));
            return Err(Stuck);
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
    let step = draft.step(id, vm, reason, &[], Vec::new(), act);
    Ok(draft.because(Some(Cause::Drifted), Some(step)))
}
