//! One VM: what it needs on its host, part by part.

use super::boot::{self, Bootable};
use super::hook::Hook;
use super::pending::await_boot;
use super::planner::{Draft, Sight};
use super::removal::Removals;
use super::run::{Calls, calls};
use super::step::{Act, Base, StepId};
use crate::domain::{Cause, Comparison, compare, skeleton};
use crate::inventory::{Domain, Fact, RunState, SeenRecord};
use crate::mark::{BootRecord, Record, Wanted};
use crate::spec::{Uuid, Vm, domain_uuid};

/// Nothing further is planned for this VM; the draft says why.
pub(super) struct Stuck;

pub(super) fn plan(
    sight: &Sight<'_>,
    vm: &Vm,
    hook: &Hook,
    removals: &Removals,
    draft: &mut Draft,
) {
    let planner = VmPlanner {
        sight,
        vm,
        hook,
        removals,
    };
    // A stuck VM keeps the steps planned so far: each is right in itself, and the next apply goes on from there.
    let _ = planner.plan(draft);
}

/// What planning one VM looks at.
pub(super) struct VmPlanner<'a> {
    pub(super) sight: &'a Sight<'a>,
    pub(super) vm: &'a Vm,
    pub(super) hook: &'a Hook,
    pub(super) removals: &'a Removals,
}

/// What the record says of this VM.
struct Remembered<'a> {
    record: Option<&'a Record>,
    /// Why the record is to be written even if it says the right thing.
    repair: Option<String>,
}

impl VmPlanner<'_> {
    fn plan(&self, draft: &mut Draft) -> Result<(), Stuck> {
        let domain = self.own_domain(draft)?;
        let remembered = self.remembered(domain, draft)?;
        if let Some(domain) = domain {
            self.changeable(domain, draft)?;
        } else {
            self.no_leftovers(draft)?;
        }
        self.host_can(draft)?;
        let mut needs = self.freed(domain, draft)?;
        needs.extend(self.share(remembered.record, draft)?);
        for disk in &self.vm.disks {
            needs.extend(self.disk(disk, domain, remembered.record, draft)?);
        }
        needs.extend(boot::seed(self.sight, self.vm, draft)?);
        let uuid = self.uuid(domain);
        let mut comparison = self.compared(domain, remembered.record, &uuid, draft)?;
        let pending = self.pending(domain, remembered.record, &comparison);
        if let Some(pending) = &pending {
            await_boot(&mut comparison, pending);
        }
        needs.extend(self.define(domain, &uuid, &comparison, &needs, draft));
        needs.extend(self.record(&remembered, &uuid, &comparison, &needs, draft));
        needs.extend(self.autostart(domain, &uuid, &needs, draft));
        self.run_state(domain, &uuid, &needs, draft);
        if let Some(domain) = domain {
            let pending = pending.unwrap_or_default();
            self.notices(domain, &comparison, &pending, draft);
        }
        Ok(())
    }

    pub(super) fn uuid(&self, domain: Option<&Domain>) -> Uuid {
        domain
            .and_then(|domain| domain.raw.uuid.parse().ok())
            .unwrap_or_else(|| domain_uuid(&self.sight.spec.fleet, &self.vm.name))
    }

    fn remembered(
        &self,
        domain: Option<&Domain>,
        draft: &mut Draft,
    ) -> Result<Remembered<'_>, Stuck> {
        let name = &self.vm.name;
        let repair = |why: String| {
            Ok(Remembered {
                record: None,
                repair: Some(why),
            })
        };
        match self.sight.inventory.record(name) {
            Fact::Present(SeenRecord::Good(record)) => {
                let foreign = record.fleet != self.sight.spec.fleet;
                match domain {
                    None if foreign => {
                        let why = format!(
                            "there is a record of fleet {} under this name",
                            record.fleet
                        );
                        draft.refuse(
                            name,
                            why,
                            "remove the VM with that fleet's file, or call this one something else",
                        );
                        Err(Stuck)
                    }
                    Some(domain)
                        if foreign
                            || record.uuid.as_str() != domain.raw.uuid
                            || record.vm != *name =>
                    {
                        repair("its record is another domain's: written again".to_owned())
                    }
                    _ => Ok(Remembered {
                        record: Some(&**record),
                        repair: None,
                    }),
                }
            }
            Fact::Present(SeenRecord::Damaged(why)) => {
                repair(format!("damaged ({why}): written again"))
            }
            Fact::Absent if domain.is_some() => {
                repair("lost: written again from what is seen".to_owned())
            }
            Fact::Absent => Ok(Remembered {
                record: None,
                repair: None,
            }),
            fact @ (Fact::NotObserved | Fact::Unreadable(_)) => {
                let why = fact.unknown().unwrap_or_default();
                draft.unknown(name, format!("its record could not be read: {why}"));
                Err(Stuck)
            }
        }
    }

    fn compared(
        &self,
        domain: Option<&Domain>,
        record: Option<&Record>,
        uuid: &Uuid,
        draft: &mut Draft,
    ) -> Result<Comparison, Stuck> {
        if let Some(log) = &self.vm.console_log {
            self.parent_exists(log, draft)?;
        }
        let skeleton = skeleton(self.vm.arch, &self.sight.spec.fleet, &self.vm.name, uuid);
        let definition = domain
            .and_then(|domain| domain.raw.inactive.present())
            .unwrap_or(&skeleton);
        let comparison = compare(
            self.vm,
            self.sight.libvirt,
            record,
            definition,
            domain.is_none(),
        )
        .map_err(|error| {
            draft.unknown(
                &self.vm.name,
                format!("its domain could not be read: {error}"),
            );
            Stuck
        })?;
        for why in &comparison.refusals {
            draft.refuse(&self.vm.name, why, "");
        }
        for what in &comparison.notices {
            draft.notice(&self.vm.name, what, "");
        }
        Ok(comparison)
    }

    fn define(
        &self,
        domain: Option<&Domain>,
        uuid: &Uuid,
        comparison: &Comparison,
        needs: &[StepId],
        draft: &mut Draft,
    ) -> Option<StepId> {
        let name = &self.vm.name;
        let (base, reason, changes) = match domain {
            None => {
                let skeleton = skeleton(self.vm.arch, &self.sight.spec.fleet, name, uuid);
                (
                    Base::Skeleton(skeleton),
                    self.summary(comparison),
                    Vec::new(),
                )
            }
            Some(_) if comparison.edits.is_empty() => return None,
            Some(domain) => (
                Base::Stored(domain.digest.clone()?),
                reason_of(comparison).to_owned(),
                comparison.changes.clone(),
            ),
        };
        let act = Act::Define {
            uuid: uuid.clone(),
            base,
            edits: comparison.edits.clone(),
        };
        Some(draft.step(
            StepId::new("domain", name),
            Some(name),
            reason,
            needs,
            changes,
            act,
        ))
    }

    /// A new domain in a line.
    fn summary(&self, comparison: &Comparison) -> String {
        let rows = &comparison.applied.rows;
        let accel = if rows.get("accel").is_some_and(|accel| accel == "kvm") {
            "KVM"
        } else {
            "emulated"
        };
        let vcpus = if self.vm.vcpus == 1 {
            "1 vCPU".to_owned()
        } else {
            format!("{} vCPUs", self.vm.vcpus)
        };
        format!(
            "{}, {accel}, {}, {vcpus}, virtio-mmio, boots from its share",
            self.vm.arch, self.vm.memory
        )
    }

    fn record(
        &self,
        remembered: &Remembered<'_>,
        uuid: &Uuid,
        comparison: &Comparison,
        needs: &[StepId],
        draft: &mut Draft,
    ) -> Option<StepId> {
        let vm = self.vm;
        let wanted = Record {
            fleet: self.sight.spec.fleet.clone(),
            vm: vm.name.clone(),
            uuid: uuid.clone(),
            applied: comparison.applied.clone(),
            state: vm.state,
            autostart: vm.autostart,
            on_guest_reboot: vm.on_guest_reboot,
            boot: BootRecord {
                share: vm.boot.share.clone(),
                handover: vm.boot.handover,
                seed: vm.boot.seed.is_some(),
                wanted: remembered
                    .record
                    .map_or(Wanted::Auto, |record| record.boot.wanted.clone()),
            },
            applied_by: remembered
                .record
                .and_then(|record| record.applied_by.clone()),
        };
        if remembered.repair.is_none() && remembered.record == Some(&wanted) {
            return None;
        }
        let reason = remembered
            .repair
            .clone()
            .unwrap_or_else(|| "what the hook and later plans go by".to_owned());
        let act = Act::WriteRecord {
            record: Box::new(wanted),
            replaces: !self.sight.inventory.record(&vm.name).is_absent(),
        };
        Some(draft.step(
            StepId::new("record", &vm.name),
            Some(&vm.name),
            reason,
            needs,
            Vec::new(),
            act,
        ))
    }

    fn autostart(
        &self,
        domain: Option<&Domain>,
        uuid: &Uuid,
        needs: &[StepId],
        draft: &mut Draft,
    ) -> Option<StepId> {
        let name = &self.vm.name;
        let on = self.vm.autostart;
        if domain.map_or(!on, |domain| domain.raw.autostart == on) {
            return None;
        }
        let reason = if on {
            "it starts with the host"
        } else {
            "it does not start with the host"
        };
        let act = Act::SetAutostart {
            uuid: uuid.clone(),
            on,
        };
        Some(draft.step(
            StepId::new("autostart", name),
            Some(name),
            reason,
            needs,
            Vec::new(),
            act,
        ))
    }

    fn run_state(&self, domain: Option<&Domain>, uuid: &Uuid, needs: &[StepId], draft: &mut Draft) {
        let name = &self.vm.name;
        let state = domain.map_or(RunState::Off, |domain| domain.state);
        let uuid = uuid.clone();
        let timeout = self.vm.stop_timeout;
        let mut needs = needs.to_vec();
        let stop = StepId::new("stop", name);
        let image = self.vm.disks.first().map(|disk| disk.path.as_str());
        match calls(state, self.vm.state, name.as_str(), image) {
            Calls::Nothing => {}
            Calls::Start => self.start(uuid, needs, draft),
            Calls::AwaitThenStart => {
                let act = Act::AwaitOff {
                    uuid: uuid.clone(),
                    timeout,
                };
                needs.push(draft.step(
                    stop,
                    Some(name),
                    "it is stopping already",
                    &needs.clone(),
                    Vec::new(),
                    act,
                ));
                self.start(uuid, needs, draft);
            }
            Calls::Stop => {
                let act = Act::Stop { uuid, timeout };
                draft.step(stop, Some(name), "state: stopped", &needs, Vec::new(), act);
            }
            Calls::Await => {
                let act = Act::AwaitOff { uuid, timeout };
                draft.step(
                    stop,
                    Some(name),
                    "it is stopping already",
                    &needs,
                    Vec::new(),
                    act,
                );
            }
            Calls::Notice(what, outlook) => draft.notice(name, what, outlook),
            Calls::Refuse(why, remedy) => draft.refuse(name, why, remedy),
        }
    }

    fn start(&self, uuid: Uuid, mut needs: Vec<StepId>, draft: &mut Draft) {
        let name = &self.vm.name;
        if self.hook.blocked {
            draft.refuse(
                name,
                "not started: the libvirt hook could not hand over its kernel",
                "see the hook's own line",
            );
            return;
        }
        match boot::bootable(self.sight, self.vm) {
            Bootable::Yes => {}
            Bootable::No { why, remedy } => {
                return draft.refuse(name, format!("not started: {why}"), remedy);
            }
            Bootable::Unknown(why) => return draft.unknown(name, why),
        }
        needs.extend(self.hook.needs.iter().cloned());
        draft.step(
            StepId::new("start", name),
            Some(name),
            "state: running",
            &needs,
            Vec::new(),
            Act::Start { uuid },
        );
    }
}

/// Why a domain is edited, all its properties taken together.
fn reason_of(comparison: &Comparison) -> &'static str {
    let causes: Vec<_> = comparison
        .changes
        .iter()
        .map(|change| change.cause)
        .collect();
    let all = |cause| causes.iter().all(|seen| *seen == Some(cause));
    if all(Cause::FileChanged) {
        "file changed"
    } else if all(Cause::Drifted) {
        "drifted"
    } else if causes.contains(&Some(Cause::Drifted)) || causes.contains(&Some(Cause::Both)) {
        "file changed, and drifted"
    } else {
        "differs from the file"
    }
}
