//! `armfleet diff PLAN PLAN`

use super::arguments::PlanFormat;
use super::exit::Exit;
use super::{saved, terminal};
use crate::report::{ComparisonReport, render_comparison, render_comparison_in_markdown};
use std::path::Path;

/// Whether these files are saved plans: both, or none.
pub(super) fn are_plans(old: &Path, new: &Path) -> Result<bool, Exit> {
    let (plan, other) = match (saved::is_plan(old), saved::is_plan(new)) {
        (true, true) => return Ok(true),
        (false, false) => return Ok(false),
        (true, false) => (old, new),
        (false, true) => (new, old),
    };
    let [plan, other] = [plan, other].map(|path| path.display().to_string());
    let remedy = format!("save a plan of that file first: armfleet plan --out FILE {other}");
    terminal::error(&OnePlan { plan, other }, Some(&remedy));
    Err(Exit::Invalid)
}

/// Says whether two saved plans have the same effects. Whoever wrote them: they are only shown.
pub(super) fn run(
    old: &Path,
    new: &Path,
    format: PlanFormat,
    detailed_exitcode: bool,
) -> Result<Exit, Exit> {
    let (old, _) = saved::read_to_show(old)?;
    let (new, _) = saved::read_to_show(new)?;
    let report = ComparisonReport::new(&old, &new);
    match format {
        PlanFormat::Text => terminal::prose(&render_comparison(&report)),
        PlanFormat::Json => terminal::json(&report)?,
        PlanFormat::Markdown => terminal::result(&render_comparison_in_markdown(&report)),
    }
    let differ = detailed_exitcode && !report.same_effects;
    Ok(Exit::first([(Exit::Changes, differ)]))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{plan} is a saved plan, and {other} is none; diff compares two saved plans, or two fleet files"
)]
struct OnePlan {
    plan: String,
    other: String,
}
