//! A plan as Markdown, for a comment on a pull request: what is interrupted first, what is refused, then what changes, VM by
//! VM; details to unfold. VMs of which the same is said are one, and armfleet's own records are only counted.
//!
//! Whatever comes from outside (names, paths, versions that a guest wrote) is escaped: it can end no code span, table or
//! HTML element, mention no user and link nowhere.

use super::basis::short;
use super::fold::{Alike, fold};
use super::graph;
use super::markdown_page::Page;
use super::markdown_steps::{details, steps};
use super::markdown_text::{called, code, prose, shortened};
use super::model::{OnHost, PlanReport, Summary};
use crate::plan::{About, Fate, Interruption, Notice, Refusal};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A reason within a table, in characters; the values that changed are in full below it.
const WHY_LIMIT: usize = 160;

/// A plan as Markdown of at most [`MARKDOWN_LIMIT`](super::MARKDOWN_LIMIT) characters; what does not fit is left out whole,
/// and counted. What is interrupted or refused is named even then.
#[must_use]
pub fn render_markdown(report: &PlanReport<'_>) -> String {
    let mut page = Page::default();
    page.always(&heading(report));
    interruptions(&mut page, report);
    refusals(&mut page, report);
    unknowns(&mut page, report);
    steps(&mut page, report);
    // Without a host, nothing is performed in any order.
    if let Some(picture) = graph::mermaid_in_markdown(report).filter(|_| report.has_host()) {
        page.block("picture", &picture);
    }
    details(&mut page, report);
    notices(&mut page, report);
    paths(&mut page, report);
    page.finish(report.has_host().then_some(&report.digest))
}

fn heading(report: &PlanReport<'_>) -> String {
    let mut text = format!(
        "### armfleet {} for fleet {}\n\n**{}.** {}.\n",
        if report.has_host() { "plan" } else { "diff" },
        code(report.fleet.as_str()),
        Summary::without_records(report).words(),
        rests_on(report),
    );
    for line in report.without_change() {
        let _ = write!(text, "\n{}.\n", prose(&line));
    }
    if !report.complete {
        text += "\n**This plan is incomplete**: something could not be seen, and nothing was planned that rests on it.\n";
    }
    text
}

/// What the report rests on.
fn rests_on(report: &PlanReport<'_>) -> String {
    let basis = report.basis.as_ref().map(|basis| prose(&basis.words()));
    if !report.has_host() {
        return basis.unwrap_or_default();
    }
    let libvirt = report.libvirt.as_ref().map_or_else(
        || ", whose libvirt could not be seen".to_owned(),
        |version| format!(", libvirt {}", prose(version)),
    );
    let basis = basis.map_or_else(String::new, |basis| format!(", {basis}"));
    let commit = report.commit.map_or_else(String::new, |commit| {
        format!(", commit {}", code(short(commit)))
    });
    format!("On host {}{libvirt}{basis}{commit}", code(report.host))
}

fn interruptions(page: &mut Page, report: &PlanReport<'_>) {
    if report.interruptions.is_empty() {
        page.always(match report.has_host() {
            true => "\nNo running VM is interrupted.\n",
            false => "\nNo VM would be interrupted.\n",
        });
        return;
    }
    let vms = report.interruptions.iter();
    let vms: usize = vms.map(|one| report.names(&one.vm).len()).sum();
    let count = match (vms, report.has_host()) {
        (1, true) => "1 running VM".to_owned(),
        (count, true) => format!("{count} running VMs"),
        (1, false) => "1 VM if it runs".to_owned(),
        (count, false) => format!("{count} VMs if they run"),
    };
    page.always(&format!("\n#### Interrupts {count}\n\n"));
    let alike = fold(
        &report.interruptions,
        |interruption| report.names(&interruption.vm),
        |interruption, say| (interruption.fate.word(), say(&interruption.why)),
    );
    page.named(
        "| VM | will be | because |\n|---|---|---|\n",
        alike.iter().map(interruption_row),
        |shown| {
            let rest = alike.iter().skip(shown);
            let fates = [Fate::Removed, Fate::Stopped, Fate::Restarted];
            let of = fates.map(|fate| {
                let same = rest.clone().filter(|group| group.first.fate == fate);
                let names: Vec<&str> = same.flat_map(|group| group.names.clone()).collect();
                (fate.word(), names)
            });
            more(&of)
        },
    );
    let ways = report.interruptions.iter();
    let ways: BTreeSet<_> = ways.map(|one| (one.fate.word(), one.avoid)).collect();
    for (fate, avoid) in ways {
        page.always(&format!(
            "\nTo keep a VM from being {fate}: {}.\n",
            prose(avoid)
        ));
    }
}

fn interruption_row(group: &Alike<'_, Interruption>) -> String {
    let interruption = group.first;
    format!(
        "| {} | **{}** | {} |\n",
        called(&group.names),
        fate(interruption.fate),
        prose(&shortened(&group.told(&interruption.why), WHY_LIMIT))
    )
}

pub(super) fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Removed => "stopped and removed; its disks and boot share stay",
        Fate::Restarted | Fate::Stopped => fate.word(),
    }
}

/// Names alone, for what there is no room to say more about.
fn more(of: &[(&str, Vec<&str>)]) -> String {
    let named = of.iter().filter(|(_, names)| !names.is_empty());
    named.fold(String::new(), |mut text, (what, names)| {
        let _ = write!(text, "\n**Also {what}**: {}.\n", called(names));
        text
    })
}

fn refusals(page: &mut Page, report: &PlanReport<'_>) {
    if report.refusals.is_empty() {
        return;
    }
    page.always("\n#### Refused\n\n");
    let subjects = subjects(report, &report.refusals, |refusal| &refusal.subject);
    let alike = fold(&subjects, Remark::names, |remark, say| {
        let refusal = remark.part;
        let check = refusal.check.map(|check| check.name());
        (say(&refusal.why), say(&refusal.remedy), check)
    });
    page.named("", alike.iter().map(refusal_line), |shown| {
        let rest = alike.iter().skip(shown);
        let names = rest.flat_map(|group| group.names.clone()).collect();
        more(&[("refused", names)])
    });
}

fn refusal_line(group: &Alike<'_, Remark<'_, Refusal>>) -> String {
    let refusal = group.first.part;
    let mut line = format!(
        "- {}: {}",
        called(&group.names),
        prose(&group.told(&refusal.why))
    );
    if let Some(check) = refusal.check {
        let _ = write!(line, " ({})", code(check.name()));
    }
    if !refusal.remedy.is_empty() {
        let _ = write!(line, ". To do: {}", prose(&group.told(&refusal.remedy)));
    }
    line + "\n"
}

/// A remark with what it is about.
struct Remark<'a, T> {
    /// With those of VMs that it stands for.
    names: Vec<String>,
    part: &'a T,
}

impl<T> Remark<'_, T> {
    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

fn subjects<'a, T>(
    report: &PlanReport<'_>,
    remarks: &[OnHost<'a, T>],
    subject: impl Fn(&T) -> &About,
) -> Vec<Remark<'a, T>> {
    let names = |about: &About| match about.vm() {
        Some(vm) => report.names(&vm).into_iter().map(str::to_owned).collect(),
        None => vec![about.to_string()],
    };
    let remarks = remarks.iter().map(|remark| Remark {
        names: names(subject(remark.part)),
        part: remark.part,
    });
    remarks.collect()
}

fn unknowns(page: &mut Page, report: &PlanReport<'_>) {
    if report.unknowns.is_empty() {
        return;
    }
    page.always("\n#### Could not be seen\n\n");
    let subjects = subjects(report, &report.unknowns, |unknown| &unknown.subject);
    let alike = fold(&subjects, Remark::names, |remark, say| {
        say(&remark.part.why)
    });
    for group in &alike {
        let why = prose(&group.told(&group.first.part.why));
        let line = format!("- {}: {why}\n", called(&group.names));
        page.block("unseen thing", &line);
    }
}

fn notices(page: &mut Page, report: &PlanReport<'_>) {
    if report.notices.is_empty() {
        return;
    }
    let subjects = subjects(report, &report.notices, |notice| &notice.subject);
    let alike = fold(&subjects, Remark::names, |remark, say| {
        (say(&remark.part.what), say(&remark.part.outlook))
    });
    let lines: Vec<String> = alike.iter().map(notice_line).collect();
    page.folded("notice", "Worth knowing", &lines);
}

fn notice_line(group: &Alike<'_, Remark<'_, Notice>>) -> String {
    let notice = group.first.part;
    let mut line = format!(
        "- {}: {}",
        called(&group.names),
        prose(&group.told(&notice.what))
    );
    if !notice.outlook.is_empty() {
        let _ = write!(line, "; {}", prose(&group.told(&notice.outlook)));
    }
    line + "\n"
}

/// What a saved plan touches; in full view, since it is applied without a question.
fn paths(page: &mut Page, report: &PlanReport<'_>) {
    let Some(paths) = report.paths.as_ref().filter(|paths| !paths.is_empty()) else {
        return;
    };
    page.always("\n#### Touches\n\n");
    for touched in paths {
        let line = format!("- {}: {}\n", code(&touched.path), prose(&touched.what));
        page.block("path", &line);
    }
}
