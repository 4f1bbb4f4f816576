//! A plan as Markdown, for a comment on a pull request: what is interrupted first, one line a step, details to unfold.
//!
//! Whatever comes from outside (names, paths, versions that a guest wrote) is escaped: it can end no code span, table or
//! HTML element, mention no user and link nowhere.

use super::graph;
use super::lines::{described, when};
use super::markdown_text::{code, html, prose};
use super::model::{Effect, OnHost, PlanReport, StepReport};
use super::style::Paint;

use crate::mark::Action;
use crate::plan::Fate;
use std::fmt::Write as _;

/// The longest text, in characters. GitHub takes 65,536 for a comment; what posts it may add some.
pub const MARKDOWN_LIMIT: usize = 60_000;
/// Kept free for saying what was cut off.
const CUT_RESERVE: usize = 400;

/// A plan as Markdown of at most [`MARKDOWN_LIMIT`] characters; what does not fit is left out whole, and counted.
#[must_use]
pub fn render_markdown(report: &PlanReport<'_>) -> String {
    let mut page = Page::default();
    page.always(&heading(report));
    interruptions(&mut page, report);
    remarks(&mut page, report);
    steps(&mut page, report);
    if let Some(picture) = graph::mermaid_in_markdown(report) {
        page.block("picture", &picture);
    }
    details(&mut page, report);
    notices(&mut page, report);
    paths(&mut page, report);
    page.finish(report)
}

/// A text that grows block by block up to the limit.
#[derive(Default)]
struct Page {
    text: String,
    characters: usize,
    /// What did not fit: its kind, and how often.
    cut: Vec<(&'static str, usize)>,
}

impl Page {
    /// Adds what is always short enough.
    fn always(&mut self, block: &str) {
        self.text += block;
        self.characters += block.chars().count();
    }

    /// Adds a block if it fits.
    fn block(&mut self, kind: &'static str, block: &str) {
        let characters = block.chars().count();
        if self.characters + characters + CUT_RESERVE <= MARKDOWN_LIMIT {
            self.text += block;
            self.characters += characters;
        } else {
            match self.cut.iter_mut().find(|(cut, _)| *cut == kind) {
                Some((_, count)) => *count += 1,
                None => self.cut.push((kind, 1)),
            }
        }
    }

    fn finish(mut self, report: &PlanReport<'_>) -> String {
        if !self.cut.is_empty() {
            let cut = self.cut.iter().map(|(kind, count)| match count {
                1 => format!("1 {kind}"),
                count => format!("{count} {kind}s"),
            });
            let cut: Vec<String> = cut.collect();
            let _ = write!(
                self.text,
                "\n**Cut at {MARKDOWN_LIMIT} characters: {} left out.** `armfleet plan` shows everything.\n",
                cut.join(", ")
            );
        }
        let _ = write!(
            self.text,
            "\n<sub>plan <code>{}</code></sub>\n",
            short(&report.digest)
        );
        self.text
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn heading(report: &PlanReport<'_>) -> String {
    let mut text = format!(
        "### armfleet {} for fleet {}\n\n**{}.** {}.\n",
        if report.has_host() { "plan" } else { "diff" },
        code(report.fleet.as_str()),
        report.summary.words(),
        rests_on(report),
    );
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
    format!("On host {}{libvirt}{basis}", code(report.host))
}

fn interruptions(page: &mut Page, report: &PlanReport<'_>) {
    if report.interruptions.is_empty() {
        page.always("\nNo running VM is interrupted.\n");
        return;
    }
    let count = match (report.interruptions.len(), report.has_host()) {
        (1, true) => "1 running VM".to_owned(),
        (count, true) => format!("{count} running VMs"),
        (1, false) => "1 VM if it runs".to_owned(),
        (count, false) => format!("{count} VMs if they run"),
    };
    page.always(&format!(
        "\n#### Interrupts {count}\n\n| VM | will be | because | to avoid it |\n|---|---|---|---|\n"
    ));
    for interruption in &report.interruptions {
        let row = format!(
            "| {} | **{}** | {} | {} |\n",
            code(interruption.vm.as_str()),
            fate(interruption.fate),
            prose(&interruption.why),
            prose(interruption.avoid)
        );
        page.block("interruption", &row);
    }
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Removed => "stopped and removed; its disks and boot share stay",
        Fate::Restarted | Fate::Stopped => fate.word(),
    }
}

fn remarks(page: &mut Page, report: &PlanReport<'_>) {
    if !report.refusals.is_empty() {
        page.always("\n#### Refused\n\n");
    }
    for OnHost { part: refusal, .. } in &report.refusals {
        let mut line = format!(
            "- {}: {}",
            code(&refusal.subject.to_string()),
            prose(&refusal.why)
        );
        if let Some(check) = refusal.check {
            let _ = write!(line, " ({})", code(check.name()));
        }
        if !refusal.remedy.is_empty() {
            let _ = write!(line, ". To do: {}", prose(&refusal.remedy));
        }
        page.block("refusal", &format!("{line}\n"));
    }
    if !report.unknowns.is_empty() {
        page.always("\n#### Could not be seen\n\n");
    }
    for OnHost { part: unknown, .. } in &report.unknowns {
        let line = format!(
            "- {}: {}\n",
            code(&unknown.subject.to_string()),
            prose(&unknown.why)
        );
        page.block("unseen thing", &line);
    }
}

fn steps(page: &mut Page, report: &PlanReport<'_>) {
    if report.steps.is_empty() {
        return;
    }
    page.always("\n#### Steps\n\n");
    for step in &report.steps {
        page.block("step", &format!("- {}\n", step_line(step)));
    }
}

/// A step in a line: what it does to what, and what changes.
fn step_line(step: &StepReport<'_>) -> String {
    let (action, subject) = (step.named.action, &step.named.subject);
    let mut text = format!("**{}** ", action.word());
    // A VM is started and stopped, not its start or stop.
    if !matches!(action, Action::Start | Action::Stop) {
        let _ = write!(text, "{} ", step.named.kind);
    }
    let described = prose(&described(step));
    let _ = match changed(step) {
        changed if changed.is_empty() => write!(text, "{} — {described}", code(subject)),
        changed => write!(text, "{} — {changed} {described}", code(subject)),
    };
    text
}

/// What changes, in the step's own line.
fn changed(step: &StepReport<'_>) -> String {
    let changes = step.changes.iter().map(|change| {
        let (what, values) = (prose(&change.row.what.to_string()), prose(&change.values()));
        match change.effect {
            Effect::AtNextBoot => format!("{what} {values} at its next boot"),
            Effect::Now | Effect::AtPlannedStart => format!("{what} {values}"),
        }
    });
    changes.collect::<Vec<_>>().join("; ")
}

fn details(page: &mut Page, report: &PlanReport<'_>) {
    for step in &report.steps {
        if step.changes.is_empty() && step.diff.is_none() {
            continue;
        }
        let mut block = format!(
            "\n<details><summary>{} <code>{}</code>{}</summary>\n\n",
            step.named.kind,
            html(&step.named.subject),
            html(&contents(step))
        );
        if !step.changes.is_empty() {
            block += "| property | is | will be | when |\n|---|---|---|---|\n";
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
        block += "\n</details>\n";
        page.block("detail", &block);
    }
}

/// What a step's details are about, as the line that unfolds them.
fn contents(step: &StepReport<'_>) -> String {
    let names = step
        .changes
        .iter()
        .map(|change| change.row.what.to_string());
    let mut names: Vec<String> = names.collect();
    names.extend(step.diff.as_ref().map(|_| "XML".to_owned()));
    format!(": {}", names.join(", "))
}

fn notices(page: &mut Page, report: &PlanReport<'_>) {
    if report.notices.is_empty() {
        return;
    }
    let count = report.notices.len();
    page.always(&format!(
        "\n<details><summary>Worth knowing ({count})</summary>\n\n"
    ));
    for OnHost { part: notice, .. } in &report.notices {
        let mut line = format!(
            "- {}: {}",
            code(&notice.subject.to_string()),
            prose(&notice.what)
        );
        if !notice.outlook.is_empty() {
            let _ = write!(line, "; {}", prose(&notice.outlook));
        }
        page.block("notice", &format!("{line}\n"));
    }
    page.always("\n</details>\n");
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

/// A code block that its contents cannot end.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("\n{fence}{language}\n{text}{fence}\n")
}
