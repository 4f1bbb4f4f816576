//! A plan and an outcome as text, for people.

use super::style::{Paint, Tone};
use crate::domain::RowChange;
use crate::plan::{Act, Plan, Step};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a step does, in one sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Create,
    Change,
    Remove,
    Start,
    Stop,
}

impl Sign {
    fn of(act: &Act) -> Self {
        match act {
            Act::InstallHook {
                replaces: false, ..
            }
            | Act::CreateShare { .. }
            | Act::StageSeed {
                replaces: false, ..
            }
            | Act::WriteRecord {
                replaces: false, ..
            }
            | Act::CreateDisk { .. }
            | Act::Define {
                base: crate::plan::Base::Skeleton(_),
                ..
            } => Self::Create,
            Act::InstallHook { .. }
            | Act::ReloadDaemon { .. }
            | Act::OwnShare { .. }
            | Act::GrowDisk { .. }
            | Act::Define { .. }
            | Act::StageSeed { .. }
            | Act::WriteRecord { .. }
            | Act::SetAutostart { .. } => Self::Change,
            Act::Undefine { .. } | Act::Forget => Self::Remove,
            Act::Start { .. } => Self::Start,
            Act::Stop { .. } | Act::AwaitOff { .. } => Self::Stop,
        }
    }

    fn text(self) -> (&'static str, Tone, &'static str) {
        match self {
            Self::Create => ("+", Tone::Good, "to create"),
            Self::Change => ("~", Tone::Attention, "to change"),
            Self::Remove => ("-", Tone::Bad, "to remove"),
            Self::Start => (">", Tone::Good, "to start"),
            Self::Stop => ("<", Tone::Bad, "to stop"),
        }
    }
}

/// A line of a plan: sign, kind, subject, detail.
struct Line {
    sign: &'static str,
    tone: Tone,
    kind: &'static str,
    subject: String,
    detail: String,
}

/// A plan as text.
#[must_use]
pub fn render_plan(plan: &Plan, paint: Paint) -> String {
    let mut text = header(plan);
    let lines: Vec<(Line, &[RowChange])> = plan
        .steps
        .iter()
        .map(|step| (line(step), &step.changes[..]))
        .collect();
    let width = lines
        .iter()
        .map(|(line, _)| line.subject.chars().count())
        .max()
        .unwrap_or(0);
    for (line, changes) in &lines {
        let sign = paint.tone(line.tone, line.sign);
        let _ = writeln!(
            text,
            "{}",
            format!(
                "  {sign} {:<9} {:<width$}    {}",
                line.kind, line.subject, line.detail
            )
            .trim_end()
        );
        render_changes(&mut text, changes);
    }
    render_remarks(&mut text, plan, paint);
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    text + &summary(plan)
}

fn header(plan: &Plan) -> String {
    let libvirt = plan
        .libvirt
        .as_ref()
        .map_or_else(String::new, |version| format!(" · libvirt {version}"));
    format!("fleet {} · host {}{libvirt}\n\n", plan.fleet, plan.host)
}

fn render_changes(text: &mut String, changes: &[RowChange]) {
    let values = |change: &RowChange| match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (None, Some(after)) => format!("+ {after}"),
        (Some(before), None) => format!("- {before}"),
        (None, None) => String::new(),
    };
    let width = |texts: &mut dyn Iterator<Item = String>| {
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let what_width = width(&mut changes.iter().map(|change| change.what.clone()));
    let values_width = width(&mut changes.iter().map(values));
    for change in changes {
        let when = change
            .waits
            .as_ref()
            .map_or_else(String::new, |why| format!("at next boot: {why}"));
        let line = format!(
            "      {:<what_width$}  {:<values_width$}    {when}",
            change.what,
            values(change)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// Refusals, unknowns and notices.
fn render_remarks(text: &mut String, plan: &Plan, paint: Paint) {
    let remark = |text: &mut String, sign: String, subject: &str, what: &str, more: &str| {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!("\n      {more}")
        };
        let _ = writeln!(text, "  {sign} {subject}: {what}{more}");
    };
    for refusal in &plan.refusals {
        let remedy = if refusal.remedy.is_empty() {
            String::new()
        } else {
            format!("-> {}", refusal.remedy)
        };
        remark(
            text,
            paint.tone(Tone::Bad, "!"),
            &refusal.subject,
            &refusal.why,
            &remedy,
        );
    }
    for unknown in &plan.unknowns {
        remark(
            text,
            paint.tone(Tone::Bad, "?"),
            &unknown.subject,
            &unknown.why,
            "nothing is planned that rests on it",
        );
    }
    for notice in &plan.notices {
        remark(
            text,
            paint.tone(Tone::Quiet, "i"),
            &notice.subject,
            &notice.what,
            &notice.outlook,
        );
    }
}

fn line(step: &Step) -> Line {
    let (sign, tone, _) = Sign::of(&step.act).text();
    let (kind, subject) = kind_and_subject(step);
    Line {
        sign,
        tone,
        kind,
        subject,
        detail: detail(step),
    }
}

/// What a step is about: the kind of thing, and which.
pub(super) fn kind_and_subject(step: &Step) -> (&'static str, String) {
    let vm = || {
        step.vm
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    match &step.act {
        Act::InstallHook { .. } => ("hook", crate::spec::layout::SHIM.to_owned()),
        Act::ReloadDaemon { .. } => ("libvirtd", "reload".to_owned()),
        Act::CreateShare { path, .. } | Act::OwnShare { path, .. } => ("share", path.to_string()),
        Act::StageSeed { .. } => ("seed", vm()),
        Act::CreateDisk { path, .. } | Act::GrowDisk { path, .. } => ("disk", path.to_string()),
        Act::Define { .. } | Act::Undefine { .. } => ("domain", vm()),
        Act::WriteRecord { .. } | Act::Forget => ("record", vm()),
        Act::SetAutostart { .. } => ("autostart", vm()),
        Act::Start { .. } => ("start", vm()),
        Act::Stop { .. } | Act::AwaitOff { .. } => ("stop", vm()),
    }
}

fn detail(step: &Step) -> String {
    let reason = &step.reason;
    match &step.act {
        Act::CreateShare { mode, owner, .. } => {
            let owner = owner.map_or_else(String::new, |(uid, gid)| format!(" {uid}:{gid}"));
            format!("{mode:04o}{owner}, {reason}")
        }
        Act::CreateDisk { size, .. } => format!("{size} raw, {reason}"),
        Act::GrowDisk { from, to, .. } => format!("{from} -> {to}"),
        Act::Define {
            base: crate::plan::Base::Stored(_),
            ..
        } => format!("({reason})"),
        Act::SetAutostart { on, .. } => format!("{}: {reason}", if *on { "on" } else { "off" }),
        Act::Undefine { .. } => "disks and boot share stay".to_owned(),
        _ => reason.clone(),
    }
}

fn summary(plan: &Plan) -> String {
    let mut counts: BTreeMap<Sign, usize> = BTreeMap::new();
    for step in &plan.steps {
        *counts.entry(Sign::of(&step.act)).or_default() += 1;
    }
    let mut parts: Vec<String> = counts
        .iter()
        .map(|(sign, count)| format!("{count} {}", sign.text().2))
        .collect();
    if parts.is_empty() {
        parts.push("No changes".to_owned());
    }
    if !plan.refusals.is_empty() {
        parts.push(format!("{} refused", plan.refusals.len()));
    }
    if !plan.unknowns.is_empty() {
        parts.push(format!("{} could not be seen", plan.unknowns.len()));
    }
    let interrupted = interruptions(plan);
    let interrupts = if interrupted.is_empty() {
        String::new()
    } else {
        format!("Interrupts: {}.\n", interrupted.join(", "))
    };
    format!("{}.\n{interrupts}", parts.join(", "))
}

/// The VMs that the plan stops, and why.
fn interruptions(plan: &Plan) -> Vec<String> {
    let removed = |step: &Step| {
        plan.steps
            .iter()
            .any(|other| other.vm == step.vm && matches!(other.act, Act::Undefine { .. }))
    };
    let stops = plan
        .steps
        .iter()
        .filter(|step| matches!(step.act, Act::Stop { .. }));
    stops
        .filter_map(|step| {
            let why = if removed(step) { "removed" } else { "stopped" };
            Some(format!("{} ({why})", step.vm.as_ref()?))
        })
        .collect()
}
