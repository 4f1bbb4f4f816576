//! A plan as text, for people.

use super::basis::short;
use super::fold::{fold, ranges};
use super::lines::{RemarkLines, StepLines};
use super::model::{PlanReport, StepReport, Summary};
use super::style::{Paint, printable};
use crate::domain::Cause;
use crate::plan::TouchedPath;
use crate::values::VmName;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A plan as text, with the diffs that its report holds at the end. Where no host was looked at, what is told of several VMs
/// in the same words is told once.
#[must_use]
pub fn render_plan(report: &PlanReport<'_>, paint: Paint) -> String {
    let mut text = header(report);
    let steps = listed(report);
    let all = Told {
        steps: steps.iter().map(|step| StepLines::of(step)).collect(),
        remarks: RemarkLines::all(report),
    };
    match report.has_host() {
        true => all.folded().render(&mut text, paint),
        false => render_by_vm(&mut text, report, &steps, all, paint),
    }
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    text + &summary(report, &steps) + &paths(report) + &render_diffs(report, paint)
}

/// The steps that are listed: a record that follows from what else is done to its VM is not news.
fn listed<'r, 'p>(report: &'r PlanReport<'p>) -> Vec<&'r StepReport<'p>> {
    let others = report.steps.iter().filter(|step| !step.is_record);
    let changed: BTreeSet<_> = others.filter_map(|step| step.named.vm).collect();
    let follows = |step: &StepReport<'_>| {
        let is_plain = step.cause == Some(Cause::FileChanged) && step.changes.is_empty();
        step.is_record && is_plain && step.named.vm.is_some_and(|vm| changed.contains(vm))
    };
    let steps = report.steps.iter();
    let listed = steps.filter(|step| report.lists_records || !follows(step));
    listed.collect()
}

/// Steps and remarks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    steps: Vec<StepLines>,
    remarks: Vec<RemarkLines>,
}

impl Told {
    fn render(&self, text: &mut String, paint: Paint) {
        let width = self.steps.iter().map(StepLines::width).max().unwrap_or(0);
        for step in &self.steps {
            step.render(text, width, paint);
        }
        for remark in &self.remarks {
            remark.render(text, paint);
        }
    }

    /// With what is remarked on several VMs in the same words told once.
    fn folded(self) -> Self {
        let subjects: Vec<_> = self
            .remarks
            .into_iter()
            .map(|remark| (remark.about.to_string(), remark))
            .collect();
        let alike = fold(
            &subjects,
            |(name, remark)| match remark.about.vm() {
                Some(_) => vec![name],
                // What is about no VM has no name to leave out.
                None => Vec::new(),
            },
            |(_, remark), say| remark.map(say).key(),
        );
        let remarks = alike.iter().map(|alike| {
            let (_, remark) = alike.first;
            match alike.names.as_slice() {
                [] | [_] => remark.clone(),
                names => remark
                    .map(|text| alike.told(text))
                    .about_all(&ranges(names).join(", ")),
            }
        });
        Self {
            steps: self.steps,
            remarks: remarks.collect(),
        }
    }

    /// The same with other words.
    fn map(&self, say: &dyn Fn(&str) -> String) -> Self {
        Self {
            steps: self.steps.iter().map(|step| step.map(say)).collect(),
            remarks: self.remarks.iter().map(|remark| remark.map(say)).collect(),
        }
    }
}

/// The VMs one after the other, those alike together, and then what is about none of them.
fn render_by_vm(
    text: &mut String,
    report: &PlanReport<'_>,
    steps: &[&StepReport<'_>],
    all: Told,
    paint: Paint,
) {
    let mut of_vms: BTreeMap<VmName, Told> = BTreeMap::new();
    let mut of_none = Told::default();
    for (step, lines) in steps.iter().zip(all.steps) {
        let told = match step.named.vm {
            Some(vm) => of_vms.entry(vm.clone()).or_default(),
            None => &mut of_none,
        };
        told.steps.push(lines);
    }
    for remark in all.remarks {
        let told = match remark.about.vm() {
            Some(vm) => of_vms.entry(vm).or_default(),
            None => &mut of_none,
        };
        told.remarks.push(remark);
    }
    let of_vms: Vec<_> = of_vms.into_iter().collect();
    let in_words = |told: Told| {
        let mut text = String::new();
        told.render(&mut text, Paint::Plain);
        text
    };
    let alike = fold(
        &of_vms,
        |(vm, _)| report.names(vm),
        |(_, told), say| in_words(told.map(say)),
    );
    for alike in alike {
        let names = printable(&ranges(&alike.names).join(", "));
        let _ = match alike.names.len() {
            1 => writeln!(text, "{names}"),
            count => writeln!(text, "{names} ({count} VMs)"),
        };
        let (_, told) = alike.first;
        told.map(&|words| alike.told(words)).render(text, paint);
        text.push('\n');
    }
    of_none.render(text, paint);
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
    let fleet = report.fleet;
    let basis = report.basis.as_ref();
    let basis = basis.map_or_else(String::new, |basis| format!(" · {}", basis.words()));
    if !report.has_host() {
        return format!("fleet {fleet}{basis}\n\n");
    }
    let libvirt = report
        .libvirt
        .as_ref()
        .map_or_else(String::new, |version| format!(" · libvirt {version}"));
    let commit = report
        .commit
        .map_or_else(String::new, |commit| format!(" · commit {}", short(commit)));
    let host = report.host;
    format!("fleet {fleet} · host {host}{libvirt}{basis}{commit}\n\n")
}

fn summary(report: &PlanReport<'_>, listed: &[&StepReport<'_>]) -> String {
    let without_change = report.without_change().into_iter();
    let without_change: String = without_change
        .map(|line| printable(&line) + ".\n")
        .collect();
    let interrupted = interrupted(report);
    let counts = Summary::of_listed(report, listed);
    format!("{}.\n{without_change}{interrupted}", counts.words())
}

/// The VMs that are stopped, where a host was looked at; else those that would be if they run.
fn interrupted(report: &PlanReport<'_>) -> String {
    let all = &report.interruptions;
    let (what, vms): (_, Vec<String>) = match report.has_host() {
        true => {
            let each = all.iter();
            let each = each.map(|one| format!("{} ({})", one.vm, one.fate.word()));
            ("Interrupts", each.collect())
        }
        false => {
            let groups = fold(all, |one| report.names(&one.vm), |one, _| one.fate.word());
            let groups = groups.iter().map(|alike| {
                let fate = alike.first.fate.word();
                format!("{} ({fate})", ranges(&alike.names).join(", "))
            });
            ("Interrupts if running", groups.collect())
        }
    };
    match vms.is_empty() {
        true => String::new(),
        false => format!("{what}: {}.\n", vms.join(", ")),
    }
}
