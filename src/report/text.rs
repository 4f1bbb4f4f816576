//! A plan as text, for people.

use super::fold::{Alike, fold, in_short};
use super::lines::{RemarkLines, StepLines};
use super::model::PlanReport;
use super::style::{Paint, printable};
use crate::plan::TouchedPath;
use crate::values::{VmName, without_name};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A plan as text, with the diffs that its report holds at the end. Where no host was looked at, what is told of several VMs
/// in the same words is told once.
#[must_use]
pub fn render_plan(report: &PlanReport<'_>, paint: Paint) -> String {
    let mut text = header(report);
    let steps = report.steps.iter().map(StepLines::of).collect();
    let all = Told {
        steps,
        remarks: RemarkLines::all(report),
    };
    match report.has_host() {
        true => all.render(&mut text, paint),
        false => render_by_vm(&mut text, report, all, paint),
    }
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    text + &summary(report) + &paths(report) + &render_diffs(report, paint)
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

    fn without_name(&self, vm: &VmName) -> Self {
        let say = |text: &str| without_name(text, vm);
        Self {
            steps: self.steps.iter().map(|step| step.map(say)).collect(),
            remarks: self.remarks.iter().map(|remark| remark.map(say)).collect(),
        }
    }
}

/// The VMs one after the other, those alike together, and then what is about none of them.
fn render_by_vm(text: &mut String, report: &PlanReport<'_>, all: Told, paint: Paint) {
    let mut of_vms: BTreeMap<VmName, Told> = BTreeMap::new();
    let mut of_none = Told::default();
    for (step, lines) in report.steps.iter().zip(all.steps) {
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
    for (first, others) in &report.alike {
        let told = of_vms.get(first).map(|told| told.without_name(first));
        let others = others.iter().cloned();
        of_vms.extend(others.filter_map(|vm| Some((vm, told.clone()?))));
    }
    for Alike { vms, told } in fold(of_vms, |vm, told| told.without_name(vm)) {
        let names = printable(&in_short(&vms));
        let _ = match vms.len() {
            1 => writeln!(text, "{names}"),
            count => writeln!(text, "{names} ({count} VMs)"),
        };
        told.render(text, paint);
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
    format!("fleet {fleet} · host {}{libvirt}{basis}\n\n", report.host)
}

fn summary(report: &PlanReport<'_>) -> String {
    format!("{}.\n{}", report.summary.words(), interrupted(report))
}

/// The VMs that are stopped, where a host was looked at; else those that would be if they run.
fn interrupted(report: &PlanReport<'_>) -> String {
    let all = report.interruptions.iter();
    let (what, vms) = match report.has_host() {
        true => {
            let each = all.map(|one| format!("{} ({})", one.vm, one.fate.word()));
            ("Interrupts", each.collect::<Vec<_>>())
        }
        false => {
            let fates = all.flat_map(|one| {
                let others = report.alike.get(&one.vm).into_iter().flatten();
                let vms = [&one.vm].into_iter().chain(others);
                vms.map(|vm| (vm.clone(), one.fate))
            });
            let groups = fold(fates, |_, fate| *fate).into_iter();
            let groups =
                groups.map(|alike| format!("{} ({})", in_short(&alike.vms), alike.told.word()));
            ("Interrupts if running", groups.collect())
        }
    };
    match vms.is_empty() {
        true => String::new(),
        false => format!("{what}: {}.\n", vms.join(", ")),
    }
}
