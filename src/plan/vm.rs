//! One VM: what it needs on its host, part by part.

use super::boot::{self, Bootable};
use super::hook::Hook;
use super::planner::{Draft, Sight};
use super::removal::{Removals, users_of};
use super::run::{Calls, calls};
use super::step::{Act, Base, StepId};
use crate::domain::{Cause, Comparison, compare, differing_rows, skeleton};
use crate::inventory::{self, Domain, Fact, FileKind, Ownership, RunState, SeenRecord};
use crate::mark::{BootRecord, Record, Wanted};
use crate::spec::{DesiredState, Disk, HostPath, Uuid, Vm, domain_uuid};

/// Nothing further is planned for this VM; the draft says why.
pub(super) struct Stuck;

/// A boot share is QEMU's alone: what is in it the guest wrote.
const SHARE_MODE: u32 = 0o700;

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

struct VmPlanner<'a> {
    sight: &'a Sight<'a>,
    vm: &'a Vm,
    hook: &'a Hook,
    removals: &'a Removals,
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
        let mut needs = self.freed(draft)?;
        needs.extend(self.share(draft)?);
        for disk in &self.vm.disks {
            needs.extend(self.disk(disk, domain, remembered.record, draft)?);
        }
        needs.extend(boot::seed(self.sight, self.vm, draft)?);
        let uuid = self.uuid(domain);
        let comparison = self.compared(domain, remembered.record, &uuid, draft)?;
        needs.extend(self.define(domain, &uuid, &comparison, &needs, draft));
        needs.extend(self.record(
            &remembered,
            &uuid,
            comparison,
            domain.is_none(),
            &needs,
            draft,
        ));
        needs.extend(self.autostart(domain, &uuid, &needs, draft));
        self.run_state(domain, &uuid, &needs, draft);
        if let Some(domain) = domain {
            self.notices(domain, remembered.record, draft);
        }
        Ok(())
    }

    /// The VM's domain, if there is one and it is this fleet's.
    fn own_domain(&self, draft: &mut Draft) -> Result<Option<&Domain>, Stuck> {
        let name = &self.vm.name;
        let Some(domain) = self.sight.domains.get(name.as_str()) else {
            return self.none_elsewhere(draft);
        };
        let (why, remedy) = match self.sight.ownership(domain) {
            Ownership::Ours(_) => return Ok(Some(domain)),
            Ownership::Unknown(why) => {
                draft.unknown(name, format!("its domain could not be read: {why}"));
                return Err(Stuck);
            }
            Ownership::Renamed(vm) => (
                format!("its domain is {vm}, renamed by hand"),
                format!("virsh domrename {name} {vm}"),
            ),
            Ownership::CopiedMark => (
                "its domain is foreign, with a copied mark: a clone".to_owned(),
                format!("virsh domrename {name} OTHER-NAME, or call this VM something else"),
            ),
            Ownership::OtherFleet(fleet) => (
                format!("its domain belongs to fleet {fleet}"),
                "call this VM something else".to_owned(),
            ),
            Ownership::Unmarked => (
                "a domain of this name exists, and armfleet did not create it".to_owned(),
                format!("virsh domrename {name} OTHER-NAME, or call this VM something else"),
            ),
        };
        draft.refuse(name, why, remedy);
        Err(Stuck)
    }

    /// There is no domain of this VM's name; one under another name, or one with its UUID, forbids creating it.
    fn none_elsewhere(&self, draft: &mut Draft) -> Result<Option<&Domain>, Stuck> {
        let name = &self.vm.name;
        let uuid = self.uuid(None);
        for (other, domain) in self.sight.domains {
            let (why, remedy) = if self.sight.ownership(domain) == Ownership::Renamed(name.clone())
            {
                (
                    format!("its domain was renamed to {other} by hand"),
                    format!("virsh domrename {other} {name}"),
                )
            } else if domain.raw.uuid == uuid.as_str() {
                (
                    format!("domain {other} has the UUID that this VM would get"),
                    "give the VM another name".to_owned(),
                )
            } else {
                continue;
            };
            draft.refuse(name, why, remedy);
            return Err(Stuck);
        }
        Ok(None)
    }

    fn uuid(&self, domain: Option<&Domain>) -> Uuid {
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

    fn changeable(&self, domain: &Domain, draft: &mut Draft) -> Result<(), Stuck> {
        let name = &self.vm.name;
        let (why, remedy) = if !domain.raw.persistent {
            (
                "not planned: its domain is transient and vanishes when it stops",
                format!("virsh shutdown {name}"),
            )
        } else if domain.raw.managed_save {
            (
                "not planned: its managed save image would ignore the new kernel",
                format!("virsh managedsave-remove {name}"),
            )
        } else {
            return Ok(());
        };
        draft.refuse(name, why, remedy);
        Err(Stuck)
    }

    /// A new domain would take over what an old one of its name left.
    fn no_leftovers(&self, draft: &mut Draft) -> Result<(), Stuck> {
        let leftovers = [
            (inventory::managed_save(self.vm), "a managed save image"),
            (inventory::nvram(self.vm), "firmware variables"),
        ];
        for (path, what) in leftovers {
            let fact = self.sight.inventory.path(&path);
            if fact.present().is_some() {
                let why = format!("{what} of an earlier domain of this name is left in {path}");
                draft.refuse(&self.vm.name, why, "move it away");
                return Err(Stuck);
            }
            if let Some(why) = fact.unknown() {
                draft.unknown(
                    &self.vm.name,
                    format!("whether {path} is left over could not be seen: {why}"),
                );
                return Err(Stuck);
            }
        }
        Ok(())
    }

    /// What the VM's disks and share wait for: domains that use them and are removed.
    fn freed(&self, draft: &mut Draft) -> Result<Vec<StepId>, Stuck> {
        let mut needs = Vec::new();
        let disks = self.vm.disks.iter().map(|disk| &disk.path);
        for path in disks.chain([&self.vm.boot.share]) {
            match users_of(self.sight, path, self.vm.name.as_str(), self.removals) {
                Ok(freed) => needs.extend(freed),
                Err(user) => {
                    let why = format!("{path} is used by domain {user}");
                    draft.refuse(
                        &self.vm.name,
                        why,
                        "give this VM a path of its own; two guests would destroy each other's",
                    );
                    return Err(Stuck);
                }
            }
        }
        Ok(needs)
    }

    fn share(&self, draft: &mut Draft) -> Result<Option<StepId>, Stuck> {
        let (name, path) = (&self.vm.name, &self.vm.boot.share);
        let id = StepId::new("share", name);
        let owner = self.sight.libvirt.qemu_owner;
        let file = match self.sight.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => {
                self.parent_exists(path, draft)?;
                let act = Act::CreateShare {
                    path: path.clone(),
                    mode: SHARE_MODE,
                    owner,
                };
                return Ok(Some(draft.step(
                    id,
                    Some(name),
                    "the guest's /boot",
                    &[],
                    Vec::new(),
                    act,
                )));
            }
            fact => {
                draft.unknown(
                    name,
                    format!(
                        "{path} could not be read: {}",
                        fact.unknown().unwrap_or_default()
                    ),
                );
                return Err(Stuck);
            }
        };
        if file.stat.kind != FileKind::Folder {
            draft.refuse(
                name,
                format!("its boot share {path} is not a folder"),
                "move it away, or set boot.share",
            );
            return Err(Stuck);
        }
        let Some((uid, gid)) = owner else {
            return Ok(None);
        };
        if (file.stat.uid, file.stat.gid, file.stat.mode) == (uid, gid, SHARE_MODE) {
            return Ok(None);
        }
        let stat = &file.stat;
        let reason = format!(
            "it is {:04o} {}:{}, so QEMU cannot work in it alone",
            stat.mode, stat.uid, stat.gid
        );
        let act = Act::OwnShare {
            path: path.clone(),
            mode: SHARE_MODE,
            owner: (uid, gid),
        };
        Ok(Some(draft.step(
            id,
            Some(name),
            reason,
            &[],
            Vec::new(),
            act,
        )))
    }

    fn disk(
        &self,
        disk: &Disk,
        domain: Option<&Domain>,
        record: Option<&Record>,
        draft: &mut Draft,
    ) -> Result<Option<StepId>, Stuck> {
        let (name, path) = (&self.vm.name, &disk.path);
        let id = StepId::new("disk", format_args!("{name}/{}", disk.name));
        let file = match self.sight.inventory.path(path.as_str()) {
            Fact::Present(file) => file,
            Fact::Absent => {
                let recorded = record
                    .and_then(|record| record.applied.devices.get(&format!("disk {}", disk.name)));
                if recorded.is_some_and(|device| {
                    device.rows.get("file").map(String::as_str) == Some(path.as_str())
                }) {
                    let why = format!("its disk {path} is gone; it was there at the last apply");
                    let anew = disk.size.map(|size| {
                        format!(", or begin anew: truncate -s {} {path}", size.bytes())
                    });
                    draft.refuse(name, why, format!("restore it{}", anew.unwrap_or_default()));
                    return Err(Stuck);
                }
                let Some(size) = disk.size else {
                    let why = format!("its disk {path} is not there");
                    draft.refuse(
                        name,
                        why,
                        "put the image there, or give the disk a size to have it created",
                    );
                    return Err(Stuck);
                };
                self.parent_exists(path, draft)?;
                let act = Act::CreateDisk {
                    path: path.clone(),
                    size,
                };
                return Ok(Some(draft.step(
                    id,
                    Some(name),
                    "new and empty",
                    &[],
                    Vec::new(),
                    act,
                )));
            }
            fact => {
                draft.unknown(
                    name,
                    format!(
                        "{path} could not be read: {}",
                        fact.unknown().unwrap_or_default()
                    ),
                );
                return Err(Stuck);
            }
        };
        if file.stat.kind != FileKind::File {
            draft.refuse(
                name,
                format!("its disk {path} is not a plain file"),
                "name the image itself",
            );
            return Err(Stuck);
        }
        let from = crate::spec::Size::from_bytes(file.stat.size);
        let Some(to) = disk.size.filter(|size| *size > from) else {
            return Ok(None);
        };
        let running = domain
            .filter(|domain| domain.state.has_process())
            .map(|domain| self.uuid(Some(domain)));
        let act = Act::GrowDisk {
            path: path.clone(),
            from,
            to,
            running,
        };
        Ok(Some(draft.step(
            id,
            Some(name),
            format!("it has {from}"),
            &[],
            Vec::new(),
            act,
        )))
    }

    fn parent_exists(&self, path: &HostPath, draft: &mut Draft) -> Result<(), Stuck> {
        let parent = path.parent();
        if parent == "/" {
            return Ok(());
        }
        match self.sight.inventory.path(parent) {
            Fact::Present(file)
                if matches!(file.stat.kind, FileKind::Folder | FileKind::Symlink) =>
            {
                Ok(())
            }
            fact => {
                match fact.unknown() {
                    Some(why) => {
                        draft.unknown(&self.vm.name, format!("{parent} could not be seen: {why}"))
                    }
                    None => {
                        let why =
                            format!("{parent} is not a folder, so {path} cannot be created in it");
                        draft.refuse(&self.vm.name, why, format!("mkdir -p {parent}"));
                    }
                }
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
        comparison: Comparison,
        new: bool,
        needs: &[StepId],
        draft: &mut Draft,
    ) -> Option<StepId> {
        let vm = self.vm;
        let wanted = Record {
            fleet: self.sight.spec.fleet.clone(),
            vm: vm.name.clone(),
            uuid: uuid.clone(),
            applied: comparison.applied,
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
        let reason = match &remembered.repair {
            Some(why) => why.clone(),
            None if new => "what the hook must know".to_owned(),
            None => "it says what was applied".to_owned(),
        };
        let act = Act::WriteRecord {
            record: Box::new(wanted),
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
        match calls(state, self.vm.state, name.as_str()) {
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
                    "it is stopping",
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
                draft.step(stop, Some(name), "it is stopping", &needs, Vec::new(), act);
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

    /// What a running VM has not got yet.
    fn notices(&self, domain: &Domain, record: Option<&Record>, draft: &mut Draft) {
        let name = &self.vm.name;
        if self.vm.state == DesiredState::Stopped || !domain.state.has_process() {
            return;
        }
        let (Some(live), Some(defined), Some(record)) = (
            domain.raw.live.present(),
            domain.raw.inactive.present(),
            record,
        ) else {
            return;
        };
        for (what, live, defined) in
            differing_rows(live, defined, &record.applied).unwrap_or_default()
        {
            draft.notice(
                name,
                format!("runs with {what} {live}, is defined with {defined}"),
                "from its next boot on",
            );
        }
        let kernels = boot::kernels(self.sight.inventory, self.vm);
        if let (Some(staged), Some(offered)) = (kernels.staged, kernels.offered) {
            draft.notice(
                name,
                format!("runs {staged}, its share has {offered}"),
                "boots at its next restart",
            );
        }
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
