//! `armfleet apply`

use super::exit::Exit;
use super::plan::{failed, plan_exits, print};
use super::{ApplyArguments, fleet, host, terminal};
use crate::engine::{Ended, Monitor, Outcome, apply, observe_and_plan};
use crate::host::Performer;
use crate::plan::{Act, Plan, Step};
use crate::report::{Paint, render_begin, render_outcome, render_step};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) fn run(arguments: &ApplyArguments) -> Result<Exit, Exit> {
    let spec = fleet::read(&arguments.fleet.files, &arguments.fleet.options)?;
    let ask = !arguments.auto_approve;
    if ask && !terminal::can_ask() {
        terminal::error(&NobodyToAsk, Some("--auto-approve applies without asking"));
        return Err(Exit::Invalid);
    }
    let options = &arguments.options;
    let policy = options.policy(ask);
    let host = Performer::locked(host()?).map_err(failed)?;
    let (plan, inventory) = observe_and_plan(&host, &spec, &policy).map_err(failed)?;
    print(&plan, &inventory, options);
    if plan.is_empty() {
        return Ok(Exit::first(plan_exits(&plan, options)));
    }
    if ask && !terminal::asked_yes("\nApply this? Only `yes` is taken for it: ") {
        terminal::remark("Nothing was done.\n");
        return Ok(Exit::Refused);
    }
    let progress = Progress::new();
    let outcome = apply(&host, &spec, &policy, &plan, &progress).map_err(failed)?;
    terminal::result(&format!("\n{}", render_outcome(&plan, &outcome)));
    Ok(Exit::first(
        outcome_exits(&plan, &outcome)
            .into_iter()
            .chain(plan_exits(&plan, options)),
    ))
}

fn outcome_exits(plan: &Plan, outcome: &Outcome) -> [(Exit, bool); 4] {
    let failed = outcome
        .ended
        .values()
        .any(|ended| matches!(ended, Ended::Failed(_)));
    [
        (
            Exit::Interrupted,
            outcome.interrupted && !outcome.all_done(),
        ),
        (Exit::Failed, failed || !outcome.residual.is_complete()),
        (
            Exit::Refused,
            !outcome.residual.refusals.is_empty() && plan.refusals.is_empty(),
        ),
        (
            Exit::Unsettled,
            outcome.all_done() && !outcome.residual.is_empty(),
        ),
    ]
}

/// Whether a step takes long enough to be announced.
fn waits(act: &Act) -> bool {
    matches!(
        act,
        Act::Start { .. } | Act::Stop { .. } | Act::AwaitOff { .. }
    )
}

/// Tells how steps end, and hears of an interruption.
struct Progress {
    interrupted: Arc<AtomicBool>,
    /// Only a terminal gets progress; failures everybody gets.
    on_terminal: bool,
    paint: Paint,
}

impl Progress {
    fn new() -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&interrupted)) {
                tracing::warn!(%error, "an interruption will not wait for the step under way");
            }
        }
        Self {
            interrupted,
            on_terminal: std::io::stderr().is_terminal(),
            paint: terminal::paint(&std::io::stderr()),
        }
    }
}

impl Monitor for Progress {
    fn begins(&self, step: &Step) {
        tracing::debug!(step = %step.id, "begins");
        if self.on_terminal && waits(&step.act) {
            terminal::remark(&render_begin(step));
        }
    }

    fn ended(&self, step: &Step, ended: &Ended) {
        if self.on_terminal || matches!(ended, Ended::Failed(_)) {
            terminal::remark(&render_step(step, ended, self.paint));
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask on")]
struct NobodyToAsk;
