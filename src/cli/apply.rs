//! `armfleet apply`

use super::arguments::{Asked, FileArguments, Format, PlanFormat, PlanOptions, commit, sha256};
use super::caller::caller;
use super::exit::{Exit, outcome_exits};
use super::follow::{Patience, follow};
use super::local::host;
use super::plan::{failed, plan_exits, print};
use super::progress::Progress;
use super::{fleet, history, saved, terminal};
use crate::engine::{apply, observe_and_plan};
use crate::fleet::Spec;
use crate::host::Executor;
use crate::host::system::SystemHost;
use crate::plan::Outcome;
use crate::plan::{Plan, Policy, SavedPlan, Staleness};
use crate::report::{
    ApplyEnd, ApplyReport, Paint, PlanReport, render_applied, render_outcome, render_plan,
    render_staleness,
};
use crate::values::parse_duration;
use clap::Args;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    #[command(flatten)]
    fleet: FileArguments,
    #[command(flatten)]
    options: PlanOptions,
    /// Do not ask
    #[arg(long)]
    auto_approve: bool,
    /// Apply a plan that plan --out saved, without asking, if nothing has changed since; `-` reads it from standard
    /// input and needs --plan-sha256
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "file", "var", "allow_removal", "vm", "host", "drift_only", "reinstall", "accept", "allow_replace"])]
    plan: Option<PathBuf>,
    /// Accept the plan's file only with this SHA-256, which plan --out printed; its owner and mode do not matter then
    #[arg(long, value_name = "HEX", requires = "plan", value_parser = sha256)]
    plan_sha256: Option<String>,
    /// Apply the plan only if it was made from this commit (plan --commit), such as the newest one of its branch
    #[arg(long, value_name = "COMMIT", requires = "plan", value_parser = commit)]
    commit: Option<String>,
    /// How to print the result; with json, the plan is printed only when apply asks for confirmation
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// How many VMs may be starting at once [default: as many as the host has processors, at least 4; at most one for
    /// each 256 MiB of its memory]
    #[arg(long, value_name = "N")]
    parallel: Option<NonZero<usize>>,
    /// Wait until VMs that are being installed run their own kernels
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this (90s, 45min, 2h); installations that are not over then go on
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = parse_duration)]
    wait_timeout: Option<Duration>,
}

pub(super) fn run(arguments: &ApplyArguments) -> Result<Exit, Exit> {
    match &arguments.plan {
        Some(path) => run_saved(path, arguments),
        None => run_file(arguments),
    }
}

/// Plans, asks and applies.
fn run_file(arguments: &ApplyArguments) -> Result<Exit, Exit> {
    let FileArguments { files, options } = &arguments.fleet;
    let spec = fleet::read(files, options, fleet::Unset::Refused)?;
    if let Some(vm) = &arguments.options.reinstall {
        fleet::vm(&spec, vm.as_str())?;
    }
    let ask = !arguments.auto_approve;
    let asked = match ask {
        true => Asked::Everything,
        false => Asked::Nothing,
    };
    if ask && !terminal::can_ask() {
        terminal::error(&NobodyToAsk, Some("--auto-approve applies without asking"));
        return Err(Exit::Invalid);
    }
    let options = &arguments.options;
    options.check_hosts()?;
    let policy = options.policy(asked);
    let files = fleet::named(&arguments.fleet.files, &arguments.fleet.options);
    let host = Executor::locked(host()?).map_err(failed)?;
    let (plan, inventory) = observe_and_plan(&host, &spec, &policy).map_err(failed)?;
    let host = host.called_by(caller(files.iter().map(String::as_str)));
    let definitions = options.diff.then(|| plan.definitions(&inventory));
    let mut report = PlanReport::new(&plan, definitions.as_ref());
    match arguments.format {
        Format::Text => print(&mut report, PlanFormat::Text)?,
        Format::Json if ask => terminal::remark(&render_plan(&report, Paint::Plain)),
        Format::Json => {}
    }
    let to_confirm = ask && !plan.is_empty();
    let question = match plan.refusals.is_empty() {
        true => "\nApply these changes? Only 'yes' is accepted: ",
        false => "\nApply the other changes? Only 'yes' is accepted: ",
    };
    if to_confirm && !terminal::asked_yes(question) {
        terminal::remark("Nothing was done.\n");
        tell(&plan, None, arguments.format)?;
        return Ok(Exit::Failed);
    }
    perform(host, &spec, &policy, &plan, arguments)
}

/// Applies a saved plan, if planning again gives the same steps.
fn run_saved(path: &Path, arguments: &ApplyArguments) -> Result<Exit, Exit> {
    let (saved, spec) = saved::read_to_apply(path, arguments.plan_sha256.as_deref())?;
    check_commit(path, &saved, arguments)?;
    let host = Executor::locked(host()?).map_err(failed)?;
    let (again, inventory) = observe_and_plan(&host, &spec, &saved.policy).map_err(failed)?;
    let host = host.called_by(caller(path.to_str()));
    if let Some(staleness) = saved.staleness(&again, &inventory) {
        refuse_stale(path, &saved.plan, &staleness);
        tell(&saved.plan, None, arguments.format)?;
        return Ok(Exit::Refused);
    }
    if arguments.format == Format::Text {
        let mut report = saved::report(&saved, &spec, arguments.options.diff);
        print(&mut report, PlanFormat::Text)?;
    }
    perform(host, &spec, &saved.policy, &again, arguments)
}

/// Fails if a saved plan was made from another commit than it has to be.
fn check_commit(path: &Path, saved: &SavedPlan, arguments: &ApplyArguments) -> Result<(), Exit> {
    let Some(wanted) = &arguments.commit else {
        return Ok(());
    };
    if saved.commit.as_ref() == Some(wanted) {
        return Ok(());
    }
    let error = OtherCommit {
        path: path.display().to_string(),
        made_from: match &saved.commit {
            Some(commit) => format!("was made from commit {commit}"),
            None => "names no commit".to_owned(),
        },
        wanted: wanted.clone(),
    };
    let remedy = format!(
        "nothing was done; check out {wanted} and plan again: armfleet plan --commit {wanted} --out FILE"
    );
    terminal::error(&error, Some(&remedy));
    tell(&saved.plan, None, arguments.format)?;
    Err(Exit::Refused)
}

/// Says why a saved plan is not applied: it was before, or something else moved.
fn refuse_stale(path: &Path, plan: &Plan, staleness: &Staleness) {
    let remedy = "nothing was done; plan again: armfleet plan --out FILE";
    let path = path.display().to_string();
    // A journal that cannot be read tells nothing of this plan.
    let past = history::past().ok();
    let Some(act) = past
        .as_ref()
        .and_then(|past| past.last_apply(&plan.digest()))
    else {
        terminal::error(&Stale(path), Some(remedy));
        terminal::remark_prose(&render_staleness(staleness));
        return;
    };
    let applied = render_applied(act);
    terminal::error(&AppliedBefore { path, applied }, Some(remedy));
    let all_done = act
        .apply
        .as_ref()
        .is_some_and(|apply| apply.end == ApplyEnd::Done);
    if !all_done {
        terminal::remark_prose(&render_staleness(staleness));
    }
}

/// Performs a plan and says what it came to.
fn perform(
    host: Executor<SystemHost>,
    spec: &Spec,
    policy: &Policy,
    plan: &Plan,
    arguments: &ApplyArguments,
) -> Result<Exit, Exit> {
    let of_plan = plan_exits(plan, arguments.options.detailed_exitcode);
    let progress = Progress::new(plan.steps.len(), "apply again")?;
    let parallel = arguments.parallel.map(NonZero::get);
    let host = host.booting_at_once(parallel);
    let exit = if plan.is_empty() {
        tell(plan, None, arguments.format)?;
        Exit::first(of_plan)
    } else {
        let outcome = apply(&host, spec, policy, plan, &progress).map_err(failed)?;
        outcome.untold.iter().for_each(terminal::warning);
        tell(plan, Some(&outcome), arguments.format)?;
        let of_outcome = outcome_exits(plan, &outcome);
        Exit::first(of_outcome.into_iter().chain(of_plan))
    };
    drop(host);
    followed(exit, arguments, spec, &progress)
}

/// Says what an apply came to.
fn tell(plan: &Plan, outcome: Option<&Outcome>, format: Format) -> Result<(), Exit> {
    match (format, outcome) {
        (Format::Json, _) => terminal::json(&ApplyReport::new(plan, outcome))?,
        (Format::Text, Some(outcome)) => {
            terminal::prose(&format!("\n{}", render_outcome(plan, outcome)));
        }
        (Format::Text, None) => {}
    }
    Ok(())
}

/// With `--wait`, what came of the installations, too; unless something is wrong already.
fn followed(
    exit: Exit,
    arguments: &ApplyArguments,
    spec: &Spec,
    progress: &Progress,
) -> Result<Exit, Exit> {
    let fine = matches!(exit, Exit::Success | Exit::Changes);
    if !arguments.wait || !fine {
        return Ok(exit);
    }
    // A report in JSON is one document; what comes after it goes to standard error.
    let say = match arguments.format {
        Format::Text => terminal::result,
        Format::Json => terminal::remark,
    };
    let patience = Patience {
        parallel: arguments.parallel,
        limit: arguments.wait_timeout,
    };
    let end = follow(spec, patience, progress, say)?;
    Ok(if end == Exit::Success { exit } else { end })
}

#[derive(Debug, thiserror::Error)]
#[error("the plan in {0} is stale")]
struct Stale(String);

#[derive(Debug, thiserror::Error)]
#[error("the plan in {path} was applied before, {applied}")]
struct AppliedBefore {
    path: String,
    applied: String,
}

#[derive(Debug, thiserror::Error)]
#[error("the plan in {path} {made_from}; {wanted} was asked for")]
struct OtherCommit {
    path: String,
    made_from: String,
    wanted: String,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask on")]
struct NobodyToAsk;
