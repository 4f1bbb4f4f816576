//! A plan as text, for people.

use super::model::{Change, OnHost, PlanReport, StepReport};
use super::style::{Paint, Tone, printable};
use crate::mark::Action;
use crate::plan::{About, TouchedPath};
use std::fmt::Write as _;

/// A plan as text, with the diffs that its report holds at the end.
#[must_use]
pub fn render_plan(report: &PlanReport<'_>, paint: Paint) -> String {
    let mut text = header(report);
    let subjects = report.steps.iter();
    let subjects = subjects.map(|step| step.named.subject.chars().count());
    let width = subjects.max().unwrap_or(0);
    for step in &report.steps {
        render_step_line(&mut text, step, width, paint);
        render_changes(&mut text, step);
    }
    render_remarks(&mut text, report, paint);
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    text + &summary(report) + &paths(report) + &render_diffs(report, paint)
}

/// The paths that a plan's report names.
fn paths(report: &PlanReport<'_>) -> String {
    let Some(paths) = report.paths.as_ref().filter(|paths| !paths.is_empty()) else {
        return String::new();
    };
    let width = paths.iter().map(|touched| touched.path.chars().count());
    let width = width.max().unwrap_or(0);
    let mut text = "\nTouches:\n".to_owned();
    for TouchedPath { path, what } in paths {
        let line = format!("  {path:<width$}    {what}");
        let _ = writeln!(text, "{}", printable(&line));
    }
    text
}

/// The diffs that a plan's report holds.
#[must_use]
pub fn render_diffs(report: &PlanReport<'_>, paint: Paint) -> String {
    let diffs = report.steps.iter().filter_map(|step| step.diff.as_ref());
    diffs
        .map(|diff| format!("\n{}", diff.text(paint)))
        .collect()
}

fn header(report: &PlanReport<'_>) -> String {
    let libvirt = report
        .libvirt
        .as_ref()
        .map_or_else(String::new, |version| format!(" · libvirt {version}"));
    let basis = report.basis.as_ref();
    let basis = basis.map_or_else(String::new, |basis| format!(" · {}", basis.words()));
    let (fleet, host) = (&report.fleet, &report.host);
    format!("fleet {fleet} · host {host}{libvirt}{basis}\n\n")
}

fn tone(action: Action) -> Tone {
    match action {
        Action::Create | Action::Start => Tone::Good,
        Action::Change => Tone::Attention,
        Action::Remove | Action::Stop => Tone::Bad,
    }
}

fn render_step_line(text: &mut String, step: &StepReport<'_>, width: usize, paint: Paint) {
    let sign = paint.tone(tone(step.named.action), step.named.action.sign());
    let subject = printable(&step.named.subject);
    let line = format!(
        "  {sign} {:<9} {subject:<width$}    {}",
        step.named.kind,
        printable(&described(step))
    );
    let _ = writeln!(text, "{}", line.trim_end());
}

/// A step's detail; drift is named, since it is not expected.
pub(super) fn described(step: &StepReport<'_>) -> String {
    match step.untold_cause {
        Some(cause) => format!("{} ({})", step.detail, cause.words()),
        None => step.detail.clone(),
    }
}

fn render_changes(text: &mut String, step: &StepReport<'_>) {
    let width = |shown: fn(&Change<'_>) -> String| {
        let widths = step
            .changes
            .iter()
            .map(|change| shown(change).chars().count());
        widths.max().unwrap_or(0)
    };
    let (names, values) = (
        width(|change| change.row.what.to_string()),
        width(|change| change.values()),
    );
    for change in &step.changes {
        let line = format!(
            "      {:<names$}  {:<values$}    {}",
            change.row.what.to_string(),
            change.values(),
            when(change, step)
        );
        let _ = writeln!(text, "{}", printable(line.trim_end()));
    }
}

/// When a change takes effect, and its cause where that is not its whole step's.
pub(super) fn when(change: &Change<'_>, step: &StepReport<'_>) -> String {
    let cause = change.row.cause.filter(|cause| Some(*cause) != step.cause);
    let cause = cause.map(|cause| cause.words().to_owned());
    let parts = cause
        .into_iter()
        .chain([change.when()])
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("; ")
}

/// Refusals, unknowns and notices.
fn render_remarks(text: &mut String, report: &PlanReport<'_>, paint: Paint) {
    let mut remark = |tone, sign, subject: &About, what: &str, more: &str| {
        let sign = paint.tone(tone, sign);
        let _ = writeln!(
            text,
            "  {sign} {}: {}",
            printable(&subject.to_string()),
            printable(what)
        );
        if !more.is_empty() {
            let _ = writeln!(text, "      {}", printable(more));
        }
    };
    for OnHost { part: refusal, .. } in &report.refusals {
        let remedy = match refusal.remedy.as_str() {
            "" => String::new(),
            remedy => format!("-> {remedy}"),
        };
        let check = refusal
            .check
            .map_or(String::new(), |check| format!(" [{check}]"));
        let why = format!("{}{check}", refusal.why);
        remark(Tone::Bad, "!", &refusal.subject, &why, &remedy);
    }
    for OnHost { part: unknown, .. } in &report.unknowns {
        let rests = "nothing is planned that rests on it";
        remark(Tone::Bad, "?", &unknown.subject, &unknown.why, rests);
    }
    for OnHost { part: notice, .. } in &report.notices {
        remark(
            Tone::Quiet,
            "i",
            &notice.subject,
            &notice.what,
            &notice.outlook,
        );
    }
}

fn summary(report: &PlanReport<'_>) -> String {
    let interrupted = report.interruptions.iter();
    let interrupted: Vec<String> = interrupted
        .map(|interruption| format!("{} ({})", interruption.vm, interruption.fate.word()))
        .collect();
    let interrupts = if interrupted.is_empty() {
        String::new()
    } else {
        format!("Interrupts: {}.\n", interrupted.join(", "))
    };
    format!("{}.\n{interrupts}", report.summary.words())
}
