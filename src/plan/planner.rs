//! The pure function, and what its parts share.

use super::step::{Act, Step, StepId};
use super::{
    Notice, Plan, Policy, Refusal, Unknown, folders, hook, order, removal, room, vm, watch,
};
use crate::domain::{Cause, RowChange};
use crate::fleet::{Spec, Vm};
use crate::inventory::{Domain, Fact, Inventory, Libvirt, Ownership};
use crate::problem::HostCheck;
use crate::values::VmName;
use std::collections::{BTreeMap, BTreeSet};

/// Plans: what differs between a spec and what was seen, and the steps that would end it.
///
/// It reads no clock, no environment and no file, and gives the same plan for the same arguments.
#[must_use]
pub fn plan(spec: &Spec, inventory: &Inventory, policy: &Policy) -> Plan {
    let mut draft = Draft::default();
    let libvirt = inventory.libvirt.present();
    match (libvirt, &inventory.domains) {
        (Some(libvirt), Fact::Present(domains)) => {
            let sight = Sight {
                spec,
                inventory,
                libvirt,
                domains,
                users: users(domains),
                policy,
            };
            plan_host(&sight, &mut draft);
        }
        (_, domains) => {
            let why = inventory
                .libvirt
                .unknown()
                .or(domains.unknown())
                .unwrap_or("it is not there");
            draft.unknown("libvirt", why);
        }
    }
    let mut secrets = spec.secrets.clone();
    inventory.keep_former(spec, &mut secrets);
    Plan {
        fleet: spec.fleet.clone(),
        host: "local".to_owned(),
        libvirt: libvirt.map(Libvirt::version_text),
        steps: expecting(order::sort(draft.steps), &inventory.domains),
        refusals: draft.refusals,
        unknowns: draft.unknowns,
        notices: draft.notices,
        secrets,
    }
}

/// Has the first step that touches a domain expect the definition that was seen. Edits and removals say it themselves.
fn expecting(mut steps: Vec<Step>, domains: &Fact<BTreeMap<String, Domain>>) -> Vec<Step> {
    let Fact::Present(domains) = domains else {
        return steps;
    };
    let mut touched = BTreeSet::new();
    for step in &mut steps {
        let (Some(vm), Some(_)) = (&step.vm, step.act.domain()) else {
            continue;
        };
        let says_itself = matches!(step.act, Act::Define { .. } | Act::Undefine { .. });
        if touched.insert(vm.clone()) && !says_itself {
            step.expects = domains
                .get(vm.as_str())
                .and_then(|domain| domain.digest.clone());
        }
    }
    steps
}

fn plan_host(sight: &Sight<'_>, draft: &mut Draft) {
    let mut hook = hook::plan(sight, draft);
    folders::plan(sight, &mut hook, draft);
    // Removals are decided first, since creations wait for those that free what they need, and are shown last.
    let mut leaving = Draft::default();
    let removals = removal::plan(sight, &mut leaving);
    for vm in sight.selected() {
        watch::unless_held(sight, &vm.name, draft, |draft| {
            vm::plan(sight, vm, &hook, &removals, draft);
        });
    }
    draft.append(leaving);
    if sight.policy.drift_only {
        drop_file_changes(draft);
    }
    refuse_idle_patterns(sight, draft);
    watch::plan(sight, draft);
    room::plan(sight, draft);
    note_clones(sight, draft);
}

/// Leaves only the steps that drift calls for, and those that they need and that rest on no change of the file.
fn drop_file_changes(draft: &mut Draft) {
    let drifted = |step: &Step| step.cause.is_some_and(Cause::is_drift);
    let mut wanted: BTreeSet<StepId> = BTreeSet::new();
    for step in draft.steps.iter().rev() {
        let needed = step.cause.is_none() && wanted.contains(&step.id);
        if drifted(step) || needed {
            wanted.insert(step.id.clone());
            wanted.extend(step.needs.iter().cloned());
        }
    }
    draft
        .steps
        .retain(|step| drifted(step) || (step.cause.is_none() && wanted.contains(&step.id)));
}

/// A pattern that chooses no VM is most likely a mistake, which would otherwise look like success.
fn refuse_idle_patterns(sight: &Sight<'_>, draft: &mut Draft) {
    let owned = sight.domains.iter().filter(|(_, domain)| {
        matches!(
            sight.ownership(domain),
            Ownership::Ours(_) | Ownership::Renamed(_)
        )
    });
    let mut names = sight
        .spec
        .vms
        .keys()
        .map(VmName::as_str)
        .collect::<BTreeSet<_>>();
    names.extend(owned.map(|(name, _)| name.as_str()));
    for pattern in &sight.policy.vms {
        if !names.iter().any(|name| pattern.matches(name)) {
            let why = "no VM of the file or of this host has such a name".to_owned();
            draft.refuse(
                format!("--vm {pattern}"),
                why,
                "armfleet status lists the VMs",
            );
        }
    }
}

/// Clones carry their original's mark, and are nobody's.
fn note_clones(sight: &Sight<'_>, draft: &mut Draft) {
    for (name, domain) in sight.domains {
        let Fact::Present(mark) = &domain.mark else {
            continue;
        };
        if !removal::in_file(sight, name)
            && mark.fleet == sight.spec.fleet.as_str()
            && sight.ownership(domain) == Ownership::CopiedMark
        {
            draft.notice(
                name,
                format!("foreign, with a copied mark of {}", mark.vm),
                "left alone",
            );
        }
    }
}

fn users(domains: &BTreeMap<String, Domain>) -> BTreeMap<&str, Vec<&str>> {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, domain) in domains {
        for path in &domain.sources {
            users.entry(path).or_default().push(name);
        }
    }
    users
}

/// Everything that planning looks at.
pub(super) struct Sight<'a> {
    pub spec: &'a Spec,
    pub inventory: &'a Inventory,
    pub libvirt: &'a Libvirt,
    pub domains: &'a BTreeMap<String, Domain>,
    /// Path to the names of the domains that use it.
    pub users: BTreeMap<&'a str, Vec<&'a str>>,
    pub policy: &'a Policy,
}

impl Sight<'_> {
    /// The VMs that are to be planned.
    pub(super) fn selected(&self) -> impl Iterator<Item = &Vm> {
        let vms = self.spec.vms.values();
        vms.filter(|vm| self.policy.selects(vm.name.as_str()))
    }

    /// Whose a domain is, seen from this fleet.
    pub(super) fn ownership(&self, domain: &Domain) -> Ownership {
        domain.ownership(&self.spec.fleet)
    }
}

/// What planning has come to so far.
#[derive(Default)]
pub(super) struct Draft {
    pub steps: Vec<Step>,
    refusals: Vec<Refusal>,
    unknowns: Vec<Unknown>,
    notices: Vec<Notice>,
}

impl Draft {
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
        let step = Step {
            id: id.clone(),
            vm: vm.cloned(),
            reason: reason.into(),
            cause: None,
            needs: needs.to_vec(),
            expects: None,
            changes,
            act,
        };
        self.steps.push(step);
        id
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
        subject: impl ToString,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.refusals.push(Refusal {
            subject: subject.to_string(),
            why: why.into(),
            remedy: remedy.into(),
            check: None,
        });
    }

    /// Says that something wanted will not be done, since the host fails a check.
    pub(super) fn refuse_on(
        &mut self,
        check: HostCheck,
        vm: &VmName,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.refusals.push(Refusal {
            subject: vm.to_string(),
            why: why.into(),
            remedy: remedy.into(),
            check: Some(check),
        });
    }

    /// Says that something could not be seen.
    pub(super) fn unknown(&mut self, subject: impl ToString, why: impl Into<String>) {
        self.unknowns.push(Unknown {
            subject: subject.to_string(),
            why: why.into(),
        });
    }

    /// Says something worth knowing.
    pub(super) fn notice(
        &mut self,
        subject: impl ToString,
        what: impl Into<String>,
        outlook: impl Into<String>,
    ) {
        self.notices.push(Notice {
            subject: subject.to_string(),
            what: what.into(),
            outlook: outlook.into(),
            pending_restart: false,
        });
    }

    /// Says what a running VM gets at its next boot only.
    pub(super) fn pending(
        &mut self,
        vm: &VmName,
        what: impl Into<String>,
        outlook: impl Into<String>,
    ) {
        self.notices.push(Notice {
            subject: vm.to_string(),
            what: what.into(),
            outlook: outlook.into(),
            pending_restart: true,
        });
    }

    pub(super) fn append(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.refusals.extend(other.refusals);
        self.unknowns.extend(other.unknowns);
        self.notices.extend(other.notices);
    }
}
