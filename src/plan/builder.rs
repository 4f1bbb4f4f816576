//! What all parts of planning share: what they look at, and what they add to the plan.

use super::claims::Claims;
use super::step::{Act, Step, StepId};
use super::{About, Notice, Permission, Policy, Refusal, Unknown};
use crate::domain::{Cause, RowChange};
use crate::fleet::{Spec, Vm};
use crate::inventory::{Domain, Inventory, Libvirt, Ownership};
use crate::mark::Phase;
use crate::problem::HostCheck;
use crate::values::{HostPath, Uuid, VmName, domain_uuid};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that planning looks at.
pub(super) struct PlanInput<'a> {
    pub spec: &'a Spec,
    pub inventory: &'a Inventory,
    pub libvirt: &'a Libvirt,
    pub domains: &'a BTreeMap<String, Domain>,
    /// What domains and VMs use.
    pub claims: Claims<'a>,
    /// The domains that have a MAC address.
    pub macs: BTreeMap<&'a str, Vec<&'a str>>,
    pub policy: &'a Policy,
    /// VMs that are known to be as the spec wants them.
    pub settled: &'a BTreeSet<VmName>,
}

impl<'a> PlanInput<'a> {
    /// What planning looks at of a host whose libvirt and domains were seen.
    pub(super) fn new(
        spec: &'a Spec,
        inventory: &'a Inventory,
        policy: &'a Policy,
        settled: &'a BTreeSet<VmName>,
    ) -> Option<Self> {
        let domains = inventory.domains.present()?;
        Some(Self {
            spec,
            inventory,
            libvirt: inventory.libvirt.present()?,
            domains,
            claims: Claims::new(spec, domains, inventory),
            macs: by_mac(domains),
            policy,
            settled,
        })
    }
}

impl PlanInput<'_> {
    /// The VMs that are to be planned.
    pub(super) fn selected(&self) -> impl Iterator<Item = &Vm> {
        let vms = self.spec.vms.values();
        vms.filter(|vm| self.policy.selects(vm.name.as_str()) && !self.settled.contains(&vm.name))
    }

    /// Whose a domain is, seen from this fleet.
    pub(super) fn ownership(&self, domain: &Domain) -> Ownership {
        domain.ownership(&self.spec.fleet)
    }

    /// Whether the file has a VM of this name.
    pub(super) fn in_file(&self, name: &str) -> bool {
        name.parse()
            .is_ok_and(|vm: VmName| self.spec.vms.contains_key(&vm))
    }
}

fn by_mac(domains: &BTreeMap<String, Domain>) -> BTreeMap<&str, Vec<&str>> {
    let mut macs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, domain) in domains {
        for mac in &domain.macs {
            macs.entry(mac).or_default().push(name);
        }
    }
    macs
}

/// What planning has come to so far.
#[derive(Default)]
pub(super) struct PlanBuilder {
    pub steps: Vec<Step>,
    pub refusals: Vec<Refusal>,
    pub unknowns: Vec<Unknown>,
    pub notices: Vec<Notice>,
    /// The images and shares that steps make, grow or erase.
    changed: BTreeSet<HostPath>,
}

impl PlanBuilder {
    /// Adds a step and gives its id.
    pub(super) fn step(
        &mut self,
        id: StepId,
        vm: Option<&VmName>,
        reason: impl Into<String>,
        needs: &[StepId],
        changes: Vec<RowChange>,
        act: Act,
    ) -> StepId {
        let made = act
            .works_at()
            .filter(|_| !matches!(act, Act::OwnShare { .. }));
        self.changed.extend(made.cloned());
        let step = Step {
            id: id.clone(),
            vm: vm.cloned(),
            reason: reason.into(),
            cause: None,
            needs: needs.to_vec(),
            expects: None,
            changes,
            ways: None,
            act,
        };
        self.steps.push(step);
        id
    }

    /// The steps of the VM that is being planned.
    pub(super) fn latest_of(&self, vm: &VmName) -> impl Iterator<Item = &Step> {
        let latest = self.steps.iter().rev();
        latest.take_while(move |step| step.vm.as_ref() == Some(vm))
    }

    /// Takes all steps back.
    pub(super) fn drop_steps(&mut self) {
        self.steps.clear();
        self.changed.clear();
    }

    /// Whether a step makes, grows or erases what is at a path.
    pub(super) fn changes(&self, path: &HostPath) -> bool {
        self.changed.contains(path)
    }

    /// Says of a step whether the file changed or the host drifted, and gives its id again.
    pub(super) fn because(&mut self, cause: Option<Cause>, step: Option<StepId>) -> Option<StepId> {
        let id = step?;
        if let Some(step) = self.steps.iter_mut().rev().find(|step| step.id == id) {
            step.cause = cause;
        }
        Some(id)
    }

    /// Says that something wanted will not be done.
    pub(super) fn refuse(
        &mut self,
        subject: impl Into<About>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.refusals.push(Refusal {
            subject: subject.into(),
            why: why.into(),
            remedy: remedy.into(),
            check: None,
            allowed_by: None,
        });
    }

    /// Says that something wanted will not be done without the user's permission.
    pub(super) fn refuse_without(
        &mut self,
        permission: Permission,
        subject: impl Into<About>,
        why: impl Into<String>,
        effect: &str,
    ) {
        self.refusals.push(Refusal {
            subject: subject.into(),
            why: why.into(),
            remedy: format!("{permission}; {effect}"),
            check: None,
            allowed_by: Some(permission),
        });
    }

    /// Says that something wanted will not be done, since the host fails a check.
    pub(super) fn refuse_on(
        &mut self,
        check: HostCheck,
        subject: impl Into<About>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.refusals.push(Refusal {
            subject: subject.into(),
            why: why.into(),
            remedy: remedy.into(),
            check: Some(check),
            allowed_by: None,
        });
    }

    /// Says that something could not be seen.
    pub(super) fn unknown(&mut self, subject: impl Into<About>, why: impl Into<String>) {
        self.unknowns.push(Unknown {
            subject: subject.into(),
            why: why.into(),
        });
    }

    /// Says that a path of a VM could not be read.
    pub(super) fn unreadable(
        &mut self,
        vm: &VmName,
        path: impl std::fmt::Display,
        why: Option<&str>,
    ) -> Blocked {
        let why = why.unwrap_or_default();
        self.unknown(vm, format!("{path} could not be read: {why}"));
        Blocked
    }

    /// Says something worth knowing.
    pub(super) fn notice(
        &mut self,
        subject: impl Into<About>,
        what: impl Into<String>,
        outlook: impl Into<String>,
    ) {
        self.notices.push(Notice {
            subject: subject.into(),
            what: what.into(),
            outlook: outlook.into(),
            pending_restart: false,
        });
    }

    /// Says that the value of a variable, which a part of a VM has, is not known here, as in a snapshot it never is.
    pub(super) fn unknown_value(&mut self, vm: &VmName, part: &str, variable: &str) {
        let what = format!("the value of {{env.{variable}}} in its {part} was not observed");
        self.notice(vm, what, "it is not known here, and was not compared");
    }

    /// Says what a running VM gets at its next boot only.
    pub(super) fn pending(
        &mut self,
        vm: &VmName,
        what: impl Into<String>,
        outlook: impl Into<String>,
    ) {
        self.notices.push(Notice {
            subject: vm.into(),
            what: what.into(),
            outlook: outlook.into(),
            pending_restart: true,
        });
    }

    pub(super) fn append(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.changed.extend(other.changed);
        self.refusals.extend(other.refusals);
        self.unknowns.extend(other.unknowns);
        self.notices.extend(other.notices);
    }
}

/// Nothing further is planned for this VM; the builder says why.
pub(super) struct Blocked;

/// What a start needs of the hook.
pub(super) struct Hook {
    /// The steps that must come before any start.
    pub needs: Vec<StepId>,
    /// Whether nothing may be started, because no kernel would be handed over.
    pub blocked: bool,
}

/// The undefine step of each domain that is removed, by the domain's name.
pub(super) type Removals = BTreeMap<String, StepId>;

/// What planning one VM looks at.
pub(super) struct VmPlanner<'a> {
    pub(super) input: &'a PlanInput<'a>,
    pub(super) vm: &'a Vm,
    pub(super) hook: &'a Hook,
    pub(super) removals: &'a Removals,
    /// Whether its guest is there yet.
    pub(super) phase: Phase,
}

impl VmPlanner<'_> {
    pub(super) fn uuid(&self, domain: Option<&Domain>) -> Uuid {
        domain
            .and_then(|domain| domain.raw.uuid.parse().ok())
            .unwrap_or_else(|| domain_uuid(&self.input.spec.fleet, &self.vm.name))
    }
}
