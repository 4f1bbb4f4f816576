//! `armfleet apply --wait`: from an installer that runs to the kernel that it has installed.

use super::caller::caller;
use super::exit::{Exit, outcome_exits};
use super::local::{host, reads};
use super::plan::failed;
use super::progress::Progress;
use super::terminal;
use crate::engine::{apply, observe_and_plan};
use crate::fleet::{Spec, Vm};
use crate::host::primitives::Reads as _;
use crate::host::system::{SystemHost, SystemReads};
use crate::host::{Executor, Observer};
use crate::inventory::Look;
use crate::plan::{About, Plan, Policy, installing};
use crate::report::{PlanReport, last_line, render_outcome, render_plan};
use crate::values::{VmName, render_duration};
use std::collections::BTreeSet;
use std::num::NonZero;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How often the installations are looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// How often a terminal shows that one goes on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// An installer that prints nothing for so long probably waits for an answer: it prints a line for each package that it unpacks.
const SILENCE: Duration = Duration::from_secs(300);

/// How installations are followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How many VMs may boot at once.
    pub parallel: Option<NonZero<usize>>,
    /// How long, at most.
    pub limit: Option<Duration>,
}

/// Follows every VM that is being installed until it runs its own kernel, or its installation has failed. No lock holds
/// the host meanwhile: other applies may go on.
pub(super) fn follow(
    spec: &Spec,
    patience: Patience,
    progress: &Progress,
    say: fn(&str),
) -> Result<Exit, Exit> {
    let policy = Policy::default();
    let began = Instant::now();
    let mut followed = BTreeSet::new();
    let mut told_silent = BTreeSet::new();
    let mut last_sign = began;
    loop {
        let observer = Observer(reads()?);
        let (plan, inventory) = observe_and_plan(&observer, spec, &policy).map_err(failed)?;
        let under_way = installing(spec, &inventory);
        for vm in &under_way {
            if followed.insert(vm.clone()) {
                terminal::remark(&begun(&spec.vms[vm]));
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
            let host = host.booting_at_once(patience.parallel.map(NonZero::get));
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
        if patience.limit.is_some_and(|limit| began.elapsed() >= limit) {
            out_of_time(&under_way, &consoles(&observer, spec, &under_way), began);
            return Ok(Exit::Failed);
        }
        if last_sign.elapsed() >= SIGN_OF_LIFE {
            last_sign = Instant::now();
            for (vm, said) in consoles(&observer, spec, &under_way) {
                progress.on_terminal(&sign(&vm, began, &said));
                if said.ago >= SILENCE && told_silent.insert((vm.clone(), said.at)) {
                    terminal::remark(&silent(&vm, &said));
                }
            }
        }
        std::thread::sleep(GLANCE);
    }
}

/// What a console's log ends with.
struct Said {
    line: String,
    /// Nanoseconds since 1970.
    at: i64,
    ago: Duration,
}

/// What the consoles of VMs said last; nothing of those that have no log, or none yet.
fn consoles(observer: &Observer<SystemReads>, spec: &Spec, vms: &[VmName]) -> Vec<(VmName, Said)> {
    let said = |vm: &VmName| {
        let log = spec.vms.get(vm)?.console.log.as_ref()?;
        let seen = observer.0.look(log.as_str(), Look::Tail);
        let file = seen.present()?;
        let at = file.stat.mtime_ns;
        let written = UNIX_EPOCH + Duration::from_nanos(at.try_into().ok()?);
        let said = Said {
            line: last_line(file.text.as_deref()?)?,
            at,
            ago: written.elapsed().unwrap_or_default(),
        };
        Some((vm.clone(), said))
    };
    vms.iter().filter_map(said).collect()
}

fn begun(vm: &Vm) -> String {
    let name = &vm.name;
    match vm.console.log {
        Some(_) => format!("{name} is being installed\n"),
        None => format!(
            "{name} is being installed; without console.log in the fleet file armfleet cannot tell how far it is\n  -> {}\n",
            watch(name)
        ),
    }
}

fn sign(vm: &VmName, began: Instant, Said { line, ago, .. }: &Said) -> String {
    let (time, ago) = (render_duration(began.elapsed()), render_duration(*ago));
    format!("  {vm} installing for {time}; its console, {ago} ago: {line}\n")
}

fn silent(vm: &VmName, Said { line, ago, .. }: &Said) -> String {
    let (ago, remedy) = (render_duration(*ago), watch(vm));
    format!(
        "{vm}: its console has been silent for {ago}, it may wait for an answer; it said last: {line}\n  -> {remedy}\n"
    )
}

fn out_of_time(vms: &[VmName], said: &[(VmName, Said)], began: Instant) {
    let time = render_duration(began.elapsed());
    let error = StillInstalling {
        vms: names(vms),
        time,
    };
    let consoles = vms.iter().map(watch).collect::<Vec<_>>().join(", ");
    let remedy =
        format!("the installation goes on; armfleet apply --wait follows it again; {consoles}");
    terminal::error(&error, Some(&remedy));
    for (vm, Said { line, ago, .. }) in said {
        terminal::remark(&format!(
            "  {vm}: its console, {} ago: {line}\n",
            render_duration(*ago)
        ));
    }
}

#[derive(Debug, thiserror::Error)]
#[error("still being installed after {time}: {vms}")]
struct StillInstalling {
    vms: String,
    time: String,
}

fn watch(vm: &VmName) -> String {
    format!("armfleet console {vm}")
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
