//! `armfleet apply --wait`: from an installer that runs to the kernel that it has installed.

use super::caller::caller;
use super::exit::{Exit, outcome_exits};
use super::local::{host, reads};
use super::plan::failed;
use super::progress::Progress;
use super::terminal;
use crate::engine::{apply, observe_and_plan};
use crate::fleet::Spec;
use crate::host::system::SystemHost;
use crate::host::{Executor, Observer};
use crate::plan::{About, Plan, Policy, installing};
use crate::report::{PlanReport, render_outcome, render_plan};
use crate::values::{VmName, render_duration};
use std::collections::BTreeSet;
use std::num::NonZero;
use std::time::{Duration, Instant};

/// How often the installations are looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// How often a terminal shows that one goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// Follows every VM that is being installed until it runs its own kernel, or its installation has failed. No lock holds
/// the host meanwhile: other applies may go on.
pub(super) fn follow(
    spec: &Spec,
    parallel: Option<NonZero<usize>>,
    progress: &Progress,
    say: fn(&str),
) -> Result<Exit, Exit> {
    let policy = Policy::default();
    let began = Instant::now();
    let mut followed = BTreeSet::new();
    let mut last_sign = began;
    loop {
        let observer = Observer(reads()?);
        let (plan, inventory) = observe_and_plan(&observer, spec, &policy).map_err(failed)?;
        let under_way = installing(spec, &inventory);
        for vm in &under_way {
            if followed.insert(vm.clone()) {
                terminal::remark(&format!("{vm} is being installed\n"));
            }
        }
        let ended: BTreeSet<VmName> = followed
            .iter()
            .filter(|vm| !under_way.contains(vm))
            .cloned()
            .collect();
        let plan = about(plan, &ended);
        if !plan.is_empty() {
            let host = Executor::locked(host()?).map_err(failed)?;
            let host = host.called_by(caller([]));
            let host = host.booting_at_once(parallel.map(NonZero::get));
            boot_own(&host, spec, &policy, &plan, progress, say)?;
        } else if under_way.is_empty() {
            say(&refused(&plan));
            let refused = !plan.refusals.is_empty();
            return Ok(Exit::first([
                (Exit::Failed, !plan.is_complete()),
                (Exit::Refused, refused),
            ]));
        }
        if progress.is_interrupted() {
            return Ok(Exit::Interrupted);
        }
        if last_sign.elapsed() >= SIGN_OF_LIFE {
            last_sign = Instant::now();
            let time = render_duration(Duration::from_secs(began.elapsed().as_secs()));
            progress.on_terminal(&format!("  {} installing for {time}\n", names(&under_way)));
        }
        std::thread::sleep(GLANCE);
    }
}

/// Applies what is left to do for VMs whose installations have ended.
fn boot_own(
    host: &Executor<SystemHost>,
    spec: &Spec,
    policy: &Policy,
    plan: &Plan,
    progress: &Progress,
    say: fn(&str),
) -> Result<(), Exit> {
    say(&format!(
        "\n{}",
        render_plan(&PlanReport::new(plan, None), progress.paint())
    ));
    let mut outcome = apply(host, spec, policy, plan, progress).map_err(failed)?;
    let vms = plan.steps.iter().filter_map(|step| step.vm.clone());
    outcome.residual = about(outcome.residual, &vms.collect());
    say(&format!("\n{}", render_outcome(plan, &outcome)));
    match Exit::first(outcome_exits(plan, &outcome)) {
        Exit::Success => Ok(()),
        exit => Err(exit),
    }
}

/// Of a plan what is about these VMs, and the host.
fn about(mut plan: Plan, vms: &BTreeSet<VmName>) -> Plan {
    let is_meant = |subject: &About| vms.iter().any(|vm| subject.is_vm(vm));
    plan.refusals.retain(|refusal| is_meant(&refusal.subject));
    plan.unknowns.retain(|unknown| is_meant(&unknown.subject));
    plan.notices.retain(|notice| is_meant(&notice.subject));
    let kept = |vm: &Option<VmName>| vm.as_ref().is_some_and(|vm| vms.contains(vm));
    let needed: BTreeSet<_> = plan
        .steps
        .iter()
        .filter(|step| kept(&step.vm))
        .flat_map(|step| step.needs.clone())
        .collect();
    plan.steps
        .retain(|step| kept(&step.vm) || (step.vm.is_none() && needed.contains(&step.id)));
    plan
}

fn refused(plan: &Plan) -> String {
    let lines = plan.refusals.iter().map(|refusal| {
        let (vm, why, remedy) = (&refusal.subject, &refusal.why, &refusal.remedy);
        format!("! {vm}: {why}\n  -> {remedy}\n")
    });
    lines.collect()
}

fn names(vms: &[VmName]) -> String {
    let names: Vec<&str> = vms.iter().map(VmName::as_str).collect();
    names.join(", ")
}
