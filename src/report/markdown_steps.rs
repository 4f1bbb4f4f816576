//! The steps of a plan as Markdown, VM by VM.

use super::fold::{Alike, fold};
use super::lines::{described, when};
use super::markdown_page::Page;
use super::markdown_text::{called, code, html, prose};
use super::model::{Effect, PlanReport, StepReport};
use super::style::Paint;
use crate::mark::Action;
use crate::values::VmName;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The steps that belong together: those of a VM, or of the host itself.
struct Group<'r, 'p> {
    report: &'r PlanReport<'p>,
    vm: Option<&'p VmName>,
    /// Without those of armfleet's own records.
    steps: Vec<&'r StepReport<'p>>,
}

impl<'r, 'p> Group<'r, 'p> {
    /// In the order in which their first steps are performed.
    fn all(report: &'r PlanReport<'p>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        let mut places = BTreeMap::new();
        for step in &report.steps {
            let vm = step.named.vm;
            let at = *places.entry(vm).or_insert(groups.len());
            if at == groups.len() {
                let steps = Vec::new();
                groups.push(Self { report, vm, steps });
            }
            if let Some(group) = groups.get_mut(at).filter(|_| !step.is_record) {
                group.steps.push(step);
            }
        }
        groups
    }

    /// The names of its VM and of those that it stands for.
    fn names(&self) -> Vec<&str> {
        self.vm.map_or_else(Vec::new, |vm| self.report.names(vm))
    }

    fn lines(&self, say: &dyn Fn(&str) -> String) -> String {
        let lines = self.steps.iter().map(|step| step_line(step, say));
        lines.collect()
    }
}

/// What is done, VM by VM, and how many records are written.
pub(super) fn steps(page: &mut Page, report: &PlanReport<'_>) {
    let groups = Group::all(report);
    if groups.is_empty() {
        return;
    }
    let (of_host, of_vms): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| group.vm.is_none());
    if let Some(host) = of_host.first() {
        let lines = host.lines(&str::to_owned);
        page.block("part", &format!("\n#### On the host itself\n\n{lines}"));
    }
    let (only_records, changed): (Vec<_>, Vec<_>) =
        of_vms.iter().partition(|group| group.steps.is_empty());
    if !changed.is_empty() {
        page.always("\n#### Changes\n\n");
    }
    let alike = fold(
        changed,
        |group| group.names(),
        |group, say| group.lines(say),
    );
    let mut left_out: Vec<&str> = Vec::new();
    for group in &alike {
        if !page.block("change", &changes(group)) {
            left_out.extend(&group.names);
        }
    }
    if !left_out.is_empty() {
        let line = format!("\nAlso changed: {}.\n", called(&left_out));
        page.block("list of names", &line);
    }
    records(page, report, &only_records);
}

fn changes(group: &Alike<'_, Group<'_, '_>>) -> String {
    let lines = group.first.lines(&|text| group.told(text));
    let lines = lines.lines().fold(String::new(), |mut indented, line| {
        let _ = writeln!(indented, "  {line}");
        indented
    });
    format!("- {}\n{lines}", called(&group.names))
}

/// armfleet's own bookkeeping, which a reviewer needs not read.
fn records(page: &mut Page, report: &PlanReport<'_>, only_records: &[&Group<'_, '_>]) {
    if !only_records.is_empty() {
        let names: Vec<&str> = only_records
            .iter()
            .flat_map(|group| group.names())
            .collect();
        let line = format!(
            "\nNothing but what armfleet keeps about them changes: {}.\n",
            called(&names)
        );
        page.block("list of names", &line);
    }
    let records = report.steps.iter().filter(|step| step.is_record);
    let names = records.map(|step| step.named.vm.map_or(1, |vm| report.names(vm).len()));
    let count: usize = names.sum();
    if count > 0 {
        let records = if count == 1 { "record" } else { "records" };
        page.block(
            "line",
            &format!("\n<sub>armfleet also updates {count} {records} of its own.</sub>\n"),
        );
    }
}

/// A step in a line: what it does to what, and what changes.
fn step_line(step: &StepReport<'_>, say: &dyn Fn(&str) -> String) -> String {
    let named = &step.named;
    let mut text = format!("- **{}**", named.action.word());
    // A VM is started and stopped, not its start or stop.
    if !matches!(named.action, Action::Start | Action::Stop) {
        let _ = write!(text, " {}", named.kind);
    }
    // The VM is named above.
    if named.vm.is_none_or(|vm| vm.as_str() != named.subject) {
        let _ = write!(text, " {}", code(&say(&named.subject)));
    }
    let described = prose(&say(&described(step)));
    let parts = [changed(step, say), described];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{text} — {}\n", parts.join(" "))
}

/// What changes, in the step's own line.
fn changed(step: &StepReport<'_>, say: &dyn Fn(&str) -> String) -> String {
    let changes = step.changes.iter().map(|change| {
        let what = prose(&say(&change.row.what.to_string()));
        let values = prose(&say(&change.values()));
        match change.effect {
            Effect::AtNextBoot => format!("{what} {values} at its next boot"),
            Effect::Now | Effect::AtPlannedStart => format!("{what} {values}"),
        }
    });
    changes.collect::<Vec<_>>().join("; ")
}

/// Of each group, when its properties change, and how the definition of its first VM does.
pub(super) fn details(page: &mut Page, report: &PlanReport<'_>) {
    let groups = Group::all(report);
    let alike = fold(&groups, Group::names, |group, say| group.lines(say));
    for group in &alike {
        for step in &group.first.steps {
            if !step.changes.is_empty() || step.diff.is_some() {
                page.block("detail", &detail(group, step));
            }
        }
    }
}

fn detail(group: &Alike<'_, Group<'_, '_>>, step: &StepReport<'_>) -> String {
    let mut block = format!(
        "\n<details><summary>{} <code>{}</code>{}</summary>\n",
        step.named.kind,
        html(&step.named.subject),
        html(&contents(group, step))
    );
    if !step.changes.is_empty() {
        block += "\n| property | is | will be | when |\n|---|---|---|---|\n";
    }
    for change in &step.changes {
        let value = |value: &Option<String>| value.as_deref().map_or_else(String::new, code);
        let when = match when(change, step) {
            nothing if nothing.is_empty() => "at once".to_owned(),
            when => when,
        };
        let _ = writeln!(
            block,
            "| {} | {} | {} | {} |",
            prose(&change.row.what.to_string()),
            value(&change.row.before),
            value(&change.row.after),
            prose(&when)
        );
    }
    if let Some(diff) = &step.diff {
        block += &fenced("diff", &diff.text(Paint::Plain));
    }
    block + "\n</details>\n"
}

/// What a step's details are about, as the line that unfolds them.
fn contents(group: &Alike<'_, Group<'_, '_>>, step: &StepReport<'_>) -> String {
    let names = step
        .changes
        .iter()
        .map(|change| change.row.what.to_string());
    let mut names: Vec<String> = names.collect();
    names.extend(step.diff.as_ref().map(|_| "XML".to_owned()));
    let others = match group.names.len() {
        0 | 1 => String::new(),
        count => format!(", one of {count} alike"),
    };
    format!("{others}: {}", names.join(", "))
}

/// A code block that its contents cannot end.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("\n{fence}{language}\n{text}{fence}\n")
}
