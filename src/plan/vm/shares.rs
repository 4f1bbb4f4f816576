//! A VM's further shares: folders that it may have in common with other VMs.

use super::identity::applied_at;
use super::storage::SHARE_MODE;
use crate::fleet::{FurtherShare, ShareAccess};
use crate::inventory::{Fact, FileKind, RawStat};
use crate::mark::Record;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::step::{Act, StepId};
use crate::problem::HostCheck;

const READ: u32 = 0o5;
const WRITE: u32 = 0o7;

impl VmPlanner<'_> {
    /// Makes a further share that is not there, and refuses one that QEMU cannot give its guest.
    pub(super) fn further_share(
        &self,
        share: &FurtherShare,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<Option<StepId>, Blocked> {
        let (name, path) = (&self.vm.name, &share.path);
        self.access_works(share, builder)?;
        let file = match self.input.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => return self.new_further_share(share, record, builder).map(Some),
            fact => return Err(builder.unreadable(name, path, fact.unknown())),
        };
        if file.stat.kind != FileKind::Folder {
            let why = format!("its share {path} is not a folder");
            builder.refuse(name, why, "name the folder itself");
            return Err(Blocked);
        }
        self.same_as_applied("share", path, file, record, builder)?;
        self.qemu_reaches(share, &file.stat, builder)?;
        Ok(None)
    }

    fn new_further_share(
        &self,
        share: &FurtherShare,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<StepId, Blocked> {
        let (name, path) = (&self.vm.name, &share.path);
        let refusal = if applied_at(record, path).is_some() {
            let accepted = self.acceptance(path, record);
            Some((
                "is gone; it was there at the last apply",
                format!("restore it and {accepted}, or begin anew: mkdir {path}; {accepted}"),
            ))
        } else if is_readonly(share) {
            let remedy = format!("mkdir -p {path}, and put there what the guest is to read");
            Some(("is not there", remedy))
        } else {
            None
        };
        if let Some((why, remedy)) = refusal {
            builder.refuse(name, format!("its share {path} {why}"), remedy);
            return Err(Blocked);
        }
        self.parent_exists(path, builder)?;
        let mut steps = builder.steps.iter();
        let made = steps
            .find(|step| matches!(&step.act, Act::CreateShare { path: made, .. } if made == path));
        if let Some(made) = made {
            return Ok(made.id.clone());
        }
        let act = Act::CreateShare {
            path: path.clone(),
            mode: SHARE_MODE,
            owner: self.input.libvirt.qemu_owner,
        };
        let id = StepId::new("share", format_args!("{name}/{}", share.tag));
        let reason = format!("new and empty, mounted as {}", share.tag);
        Ok(builder.step(id, Some(name), reason, &[], Vec::new(), act))
    }

    /// Refuses a folder that QEMU's user has no right to: its guest would see nothing, or not start.
    fn qemu_reaches(
        &self,
        share: &FurtherShare,
        stat: &RawStat,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let (path, readonly) = (&share.path, is_readonly(share));
        let (what, bits, needs) = match readonly {
            true => ("read", "rx", READ),
            false => ("write in", "rwx", WRITE),
        };
        let Some((uid, gid)) = self.qemu_user().filter(|user| !may(*user, stat, needs)) else {
            return Ok(());
        };
        let why = format!("QEMU's user ({uid}) cannot {what} its share {path}");
        let remedy = format!("setfacl -m u:{uid}:{bits} {path}, or chown {uid}:{gid} {path}");
        builder.refuse_on(HostCheck::ShareAccess, &self.vm.name, why, remedy);
        Err(Blocked)
    }

    /// Refuses to have a guest's owners kept by a QEMU that cannot change the owner of a file.
    fn access_works(&self, share: &FurtherShare, builder: &mut PlanBuilder) -> Result<(), Blocked> {
        let keeps_owners = share.access == ShareAccess::Passthrough && !is_readonly(share);
        if !keeps_owners || self.qemu_user().is_none() {
            return Ok(());
        }
        let why = format!(
            "its share {} has `access: passthrough`, with which a guest can write only where QEMU runs as root",
            share.path
        );
        let remedy = "set access: mapped, access: squash, or readonly: true";
        builder.refuse_on(HostCheck::ShareAccess, &self.vm.name, why, remedy);
        Err(Blocked)
    }

    /// As whom QEMU opens files, if that is not root.
    fn qemu_user(&self) -> Option<(u32, u32)> {
        self.input.libvirt.qemu_owner.filter(|(uid, _)| *uid != 0)
    }
}

/// Whether its guest can only read.
fn is_readonly(share: &FurtherShare) -> bool {
    share.readonly == Some(true)
}

/// Whether QEMU's user may do this with a folder, as far as its mode tells. The group's bits may be those of an access
/// control list, or of a group that the user is in besides its own.
const fn may(user: (u32, u32), stat: &RawStat, needs: u32) -> bool {
    stat.allows(user, needs) || stat.allows((user.0, stat.gid), needs)
}
