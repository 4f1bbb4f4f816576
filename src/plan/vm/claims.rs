//! Whether what a VM is to use is another's.

use super::console_log::is_applied;
use crate::domain::boot_share_of;
use crate::inventory::Domain;
use crate::mark::Record;
use crate::plan::builder::{Blocked, PlanBuilder, VmPlanner};
use crate::plan::claims::{Claimant, Conflict, Meeting};
use crate::plan::step::StepId;
use crate::problem::HostCheck;
use crate::values::HostPath;

/// What a plan calls a further share.
const SHARE: &str = "share";

impl VmPlanner<'_> {
    /// What the VM's disks, share and log wait for: domains that use them and are removed.
    pub(super) fn freed(
        &self,
        domain: Option<&Domain>,
        record: Option<&Record>,
        builder: &mut PlanBuilder,
    ) -> Result<Vec<StepId>, Blocked> {
        let mut needs = Vec::new();
        let disks = self.vm.disks.iter().map(|disk| ("disk", &disk.path));
        let log = self.vm.console.log.iter();
        let log = log.filter(|log| !is_applied(log, domain, record));
        let shares = self.vm.shares.iter().map(|share| (SHARE, &share.path));
        let paths = disks
            .chain([("boot share", &self.vm.boot.share)])
            .chain(shares)
            .chain(log.map(|log| ("console log", log)));
        for (what, path) in paths {
            let way = self.input.inventory.way(path.as_str());
            let may_have = |conflict: &Conflict<'_>| what == SHARE && self.in_common(conflict);
            for conflict in self.input.claims.against(self.vm, path, &way, may_have) {
                let user = conflict.claim.by;
                match self.removals.get(user.name()) {
                    Some(freed) if matches!(user, Claimant::Domain(_)) => needs.push(freed.clone()),
                    _ => self.share_with(what, path, &conflict, domain, builder)?,
                }
            }
        }
        Ok(needs)
    }

    /// Whether another has the same folder as a further share: then it is meant for both.
    fn in_common(&self, conflict: &Conflict<'_>) -> bool {
        let path = conflict.claim.path;
        let boot_share = match conflict.claim.by {
            Claimant::Domain(name) => {
                let domain = self.input.domains.get(name);
                let definition = domain.and_then(|domain| domain.raw.inactive.present());
                definition.and_then(|definition| boot_share_of(definition))
            }
            Claimant::Vm(name) => {
                let mut vms = self.input.spec.vms.values();
                let vm = vms.find(|vm| vm.name.as_str() == name);
                vm.map(|vm| vm.boot.share.to_string())
            }
            Claimant::Armfleet => return false,
        };
        conflict.meeting == Meeting::Same && boot_share.as_deref() != Some(path)
    }

    /// Another domain that stays uses a path of this VM, too. Most often it is a copy of this one:
    /// what the VM has stays its own, but both never run, and nothing that another domain has is taken.
    fn share_with(
        &self,
        what: &str,
        path: &HostPath,
        conflict: &Conflict<'_>,
        domain: Option<&Domain>,
        builder: &mut PlanBuilder,
    ) -> Result<(), Blocked> {
        let name = &self.vm.name;
        let why = conflict.describe(name.as_str());
        let has = |domain: &Domain| domain.sources.iter().any(|source| source == path.as_str());
        let runs = |domain: &Domain| domain.state.has_process();
        let user = match conflict.claim.by {
            Claimant::Domain(user) => self.input.domains.get(user),
            // What the VM has is refused to the other.
            Claimant::Vm(user) if user != name.as_str() && domain.is_some_and(has) => return Ok(()),
            Claimant::Vm(_) | Claimant::Armfleet => None,
        };
        let stays =
            |user: &Domain| domain.is_some_and(|own| has(own) && (runs(own) || !runs(user)));
        if user.is_some_and(stays) {
            let what = match (conflict.meeting, conflict.is_in_text) {
                (Meeting::Same, true) => {
                    format!("domain {} uses {path}, too", conflict.claim.by.name())
                }
                _ => format!("its {what} {path} {why}"),
            };
            builder.notice(
                name,
                what,
                "left alone; two guests would destroy each other's files, so never run both",
            );
            return Ok(());
        }
        let why = match (conflict.meeting, conflict.is_in_text) {
            (Meeting::Same, true) => format!("{path} {why}"),
            _ => format!("its {what} {path} {why}"),
        };
        let remedy = match conflict.claim.by {
            Claimant::Armfleet => "give this VM a path of its own",
            _ => "give this VM a path of its own; two guests would destroy each other's files",
        };
        builder.refuse_on(HostCheck::PathInUse, name, why, remedy);
        Err(Blocked)
    }
}
