//! What an apply came to.

use super::style::{Paint, Tone};
use crate::plan::{Ended, Outcome, Plan, Step};
use std::fmt::Write as _;

/// A step that begins and will take a while.
#[must_use]
pub fn render_begin(step: &Step) -> String {
    let (kind, subject) = (step.act.kind(), step.subject());
    format!("  {kind} {subject} …\n")
}

/// A step that ended, in a line, with what went wrong below it.
#[must_use]
pub fn render_step(step: &Step, ended: &Ended, paint: Paint) -> String {
    let (kind, subject) = (step.act.kind(), step.subject());
    match ended {
        Ended::Done => format!("  {} {kind} {subject}\n", paint.tone(Tone::Good, "done")),
        Ended::NotTried => format!(
            "  {} {kind} {subject}\n",
            paint.tone(Tone::Quiet, "not tried")
        ),
        Ended::Failed(error) => {
            let mut text = format!(
                "  {} {kind} {subject}: {error}\n",
                paint.tone(Tone::Bad, "failed")
            );
            for cause in error.causes.iter().skip(1) {
                let _ = writeln!(text, "      {}", cause.replace('\n', "\n      "));
            }
            if let Some(remedy) = &error.remedy {
                let _ = writeln!(text, "      -> {remedy}");
            }
            text
        }
    }
}

/// An apply in a few lines: what was done, and what is left.
#[must_use]
pub fn render_outcome(plan: &Plan, outcome: &Outcome) -> String {
    let count =
        |wanted: fn(&Ended) -> bool| outcome.ended.values().filter(|ended| wanted(ended)).count();
    let done = count(|ended| matches!(ended, Ended::Done));
    let failed = count(|ended| matches!(ended, Ended::Failed(_)));
    let left_out = count(|ended| matches!(ended, Ended::NotTried));
    let mut text = format!("{done} of {} steps done", plan.steps.len());
    if failed > 0 {
        let _ = write!(text, ", {failed} failed");
    }
    if left_out > 0 {
        let _ = write!(text, ", {left_out} not tried");
    }
    text.push_str(".\n");
    if outcome.interrupted {
        text.push_str("Interrupted: the steps under way were finished, no others were begun.\n");
    }
    let left = outcome.residual.steps.len();
    let refused = outcome.residual.refusals.len();
    let unseen = outcome.residual.unknowns.len();
    text += &match (left, outcome.all_done()) {
        (0, _) if refused > 0 => String::new(),
        (0, true) if unseen == 1 => "1 thing could not be seen; see its `?` line.\n".to_owned(),
        (0, true) if unseen > 1 => {
            format!("{unseen} things could not be seen; see their `?` lines.\n")
        }
        (0, true) => "The host is as the fleet file says.\n".to_owned(),
        (0, false) => "A new plan has no steps: nothing is left to do.\n".to_owned(),
        (1, true) => "A new plan still has 1 step; see armfleet plan.\n".to_owned(),
        (_, true) => format!("A new plan still has {left} steps; see armfleet plan.\n"),
        (_, false) => "Run armfleet apply again to complete it.\n".to_owned(),
    };
    text += &match refused {
        0 => String::new(),
        1 => "1 change was refused; see its `!` line above.\n".to_owned(),
        _ => format!("{refused} changes were refused; see their `!` lines above.\n"),
    };
    text
}
