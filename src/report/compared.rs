//! How the effects of two saved plans differ.

use super::lines::described;
use super::markdown::fate;
use super::markdown_page::Page;
use super::markdown_text::{code, prose};
use super::model::{NamedStep, PlanReport, StepReport};
use super::stale::moved;
use super::style::printable;
use crate::mark::Action;
use crate::plan::{Comparison, Difference, Fate, Interruption, Refusal, SavedPlan, Step, StepId};
use crate::values::FleetName;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const FORMAT: &str = "armfleet-plan-comparison/1";

/// How the effects of two saved plans differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = FORMAT)]
pub struct ComparisonReport<'a> {
    /// The version of this format. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = FORMAT))]
    pub format: &'static str,
    /// The old plan.
    pub old: PlanName<'a>,
    /// The new plan.
    pub new: PlanName<'a>,
    /// Whether both do, interrupt and refuse the same, for the same fleet and host.
    pub same_effects: bool,
    /// Running VMs that only one of them stops, or that have another fate.
    pub interruptions: Vec<Difference<Interruption>>,
    /// What only one of them refuses.
    pub refusals: Vec<Difference<&'a Refusal>>,
    /// What only one of them does, or does otherwise.
    pub steps: Vec<Difference<StepEffect<'a>>>,
    /// Steps of both that wait for other steps of both.
    pub reordered: Vec<Waiting<'a>>,
    /// What moved on the host in between, which is no effect.
    pub moved: Vec<String>,
}

/// What a plan is for and known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanName<'a> {
    /// The fleet.
    #[schemars(with = "String")]
    pub fleet: &'a FleetName,
    /// The host.
    pub host: &'a str,
    /// libvirt's version there; null if libvirt was not seen.
    pub libvirt: Option<&'a str>,
    /// SHA-256 of its fleet, host and steps. Plans with different ones may have the same effects.
    pub digest: String,
}

/// What a step does, as a plan has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StepEffect<'a> {
    /// What it is.
    #[serde(flatten)]
    pub named: NamedStep<'a>,
    /// The same in a few words.
    pub detail: String,
    /// What it changes, property by property, and when that takes effect.
    pub changes: Vec<String>,
    /// Whether it only keeps armfleet's own books.
    #[serde(skip)]
    is_record: bool,
}

/// A step that waits for other steps than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Waiting<'a> {
    /// The step.
    #[schemars(with = "String")]
    pub step: &'a StepId,
    /// What it does not wait for any more.
    #[schemars(with = "Vec<String>")]
    pub no_longer_after: Vec<&'a StepId>,
    /// What it waits for, too.
    #[schemars(with = "Vec<String>")]
    pub now_after: Vec<&'a StepId>,
}

impl<'a> ComparisonReport<'a> {
    /// The report of a comparison of these plans.
    #[must_use]
    pub fn new(old: &'a SavedPlan, new: &'a SavedPlan) -> Self {
        let comparison = Comparison::new(old, new);
        let [of_old, of_new] = [old, new].map(StepEffect::all);
        let steps = comparison.steps.iter().map(|step| {
            step.map(
                |step| of_old[&step.id].clone(),
                |step| of_new[&step.id].clone(),
            )
        });
        let [old, new] = [old, new].map(|saved| &saved.plan);
        let names = [old, new].map(PlanName::new);
        let is_for_same = (&old.fleet, &old.host) == (&new.fleet, &new.host);
        let [old_name, new_name] = names;
        Self {
            format: FORMAT,
            same_effects: is_for_same && comparison.is_same(),
            old: old_name,
            new: new_name,
            steps: steps.collect(),
            interruptions: comparison.interruptions,
            refusals: comparison.refusals,
            reordered: comparison.reordered.iter().map(Waiting::new).collect(),
            moved: comparison.moved.iter().map(moved).collect(),
        }
    }

    /// The steps that differ, as people are told them: without the records of VMs of which another step differs.
    fn told_steps(&self) -> Vec<&Difference<StepEffect<'a>>> {
        let is_record = |step: &&Difference<StepEffect<'a>>| step.latest().is_record;
        let others = self.steps.iter().filter(|step| !is_record(step));
        let vms: BTreeSet<_> = others.map(|step| step.latest().named.vm).collect();
        let steps = self.steps.iter();
        let told = steps.filter(|step| !is_record(step) || !vms.contains(&step.latest().named.vm));
        told.collect()
    }

    /// In a line, without its full stop.
    fn words(&self) -> String {
        if self.same_effects {
            return "The same effects".to_owned();
        }
        let counts = [
            (self.interruptions.len(), "interruption", "interruptions"),
            (self.refusals.len(), "refusal", "refusals"),
            (self.told_steps().len(), "step", "steps"),
            (
                self.reordered.len(),
                "step in another order",
                "steps in another order",
            ),
        ];
        let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
        let counts = counts.map(|(count, one, several)| {
            let word = if count == 1 { one } else { several };
            format!("{count} {word}")
        });
        let mut parts: Vec<String> = counts.collect();
        if self.old.fleet != self.new.fleet {
            parts.insert(0, "the fleet".to_owned());
        }
        if self.old.host != self.new.host {
            parts.insert(0, "the host".to_owned());
        }
        format!("Other effects: {} differ", parts.join(", "))
    }
}

impl<'a> PlanName<'a> {
    fn new(plan: &'a crate::plan::Plan) -> Self {
        Self {
            fleet: &plan.fleet,
            host: &plan.host,
            libvirt: plan.libvirt.as_deref(),
            digest: plan.digest(),
        }
    }
}

impl<'a> StepEffect<'a> {
    fn all(saved: &'a SavedPlan) -> BTreeMap<&'a StepId, Self> {
        let report = PlanReport::new(&saved.plan, None);
        let steps = report.steps.into_iter();
        steps
            .map(|step| (step.named.id, Self::new(&step)))
            .collect()
    }

    fn new(step: &StepReport<'a>) -> Self {
        let changes = step.changes.iter().map(|change| {
            let line = format!("{} {}", change.row.what, change.values());
            match change.when() {
                now if now.is_empty() => line,
                when => format!("{line}, {when}"),
            }
        });
        Self {
            named: step.named.clone(),
            detail: described(step),
            changes: changes.collect(),
            is_record: step.is_record,
        }
    }

    fn words(&self) -> String {
        match self.changes.as_slice() {
            [] => self.detail.clone(),
            changes => changes.join("; "),
        }
    }
}

impl<'a> Waiting<'a> {
    fn new(reordered: &crate::plan::Reordered<'a>) -> Self {
        let step: &'a Step = reordered.step;
        Self {
            step: &step.id,
            no_longer_after: reordered.no_longer_after.clone(),
            now_after: reordered.now_after.clone(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let line = |how: &str, steps: &[&StepId]| {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            (!steps.is_empty()).then(|| format!("{} {how} {}", self.step, steps.join(", ")))
        };
        let lines = [
            line("does not wait any more for", &self.no_longer_after),
            line("now waits for", &self.now_after),
        ];
        lines.into_iter().flatten().collect()
    }
}

/// A difference, as people read it: a sign, what it is about, and what each plan says of it.
struct Line {
    sign: char,
    subject: String,
    says: Vec<String>,
}

impl Line {
    fn of<T>(
        difference: &Difference<T>,
        subject: impl Fn(&T) -> String,
        words: impl Fn(&T) -> String,
    ) -> Self {
        match difference {
            Difference::Gone { old } => Self {
                sign: '-',
                subject: subject(old),
                says: vec![words(old)],
            },
            Difference::New { new } => Self {
                sign: '+',
                subject: subject(new),
                says: vec![words(new)],
            },
            Difference::Changed { old, new } => {
                let (was, is) = (words(old), words(new));
                let says = match was == is {
                    true => vec![format!("{is}; what it writes differs")],
                    false => vec![format!("old: {was}"), format!("new: {is}")],
                };
                Self {
                    sign: '~',
                    subject: subject(new),
                    says,
                }
            }
        }
    }
}

/// The parts of a comparison, each with its heading.
fn sections(report: &ComparisonReport<'_>) -> [(&'static str, Vec<Line>); 4] {
    let interruptions = report.interruptions.iter().map(|interruption| {
        let words = |one: &Interruption| match one.fate {
            Fate::Stopped => format!("stopped: {}", one.why),
            other => format!("{}: {}", fate(other), one.why),
        };
        Line::of(interruption, |one| one.vm.to_string(), words)
    });
    let refusals = report.refusals.iter().map(|refusal| {
        let subject = |refusal: &&Refusal| refusal.subject.to_string();
        Line::of(refusal, subject, |refusal| refusal.why.clone())
    });
    let steps = report.told_steps().into_iter().map(|step| {
        let subject = |step: &StepEffect<'_>| {
            let named = &step.named;
            let action = named.action.word();
            match named.action {
                // A VM is started and stopped, not its start or stop.
                Action::Start | Action::Stop => format!("{action} {}", named.subject),
                _ => format!("{action} {} {}", named.kind, named.subject),
            }
        };
        Line::of(step, subject, StepEffect::words)
    });
    let reordered = report.reordered.iter().map(|waiting| Line {
        sign: '~',
        subject: waiting.step.to_string(),
        says: waiting.lines(),
    });
    [
        ("Interruptions", interruptions.collect()),
        ("Refusals", refusals.collect()),
        ("Steps", steps.collect()),
        ("Order", reordered.collect()),
    ]
}

/// What the two plans are for, where that is not the same.
fn made_for(report: &ComparisonReport<'_>) -> String {
    let (old, new) = (&report.old, &report.new);
    let pairs = [
        ("fleet", old.fleet.as_str(), new.fleet.as_str()),
        ("host", old.host, new.host),
        (
            "libvirt",
            old.libvirt.unwrap_or("not seen"),
            new.libvirt.unwrap_or("not seen"),
        ),
    ];
    let pairs = pairs.map(|(what, old, new)| match old == new {
        true => format!("{what} {new}"),
        false => format!("{what} {old} -> {new}"),
    });
    pairs.join(" · ")
}

/// A comparison as text.
#[must_use]
pub fn render_comparison(report: &ComparisonReport<'_>) -> String {
    let mut text = format!("{}\n", printable(&made_for(report)));
    for (heading, lines) in sections(report) {
        if !lines.is_empty() {
            let _ = write!(text, "\n{heading}:\n");
        }
        for Line {
            sign,
            subject,
            says,
        } in lines
        {
            let _ = writeln!(text, "  {sign} {}", printable(&subject));
            for line in says {
                let _ = writeln!(text, "      {}", printable(&line));
            }
        }
    }
    if !report.moved.is_empty() {
        text += "\nMoved on the host in between, which is no effect:\n";
    }
    for fact in &report.moved {
        let _ = writeln!(text, "  i {}", printable(fact));
    }
    let _ = write!(text, "\n{}.\n", report.words());
    text
}

/// A comparison as Markdown, within the limit of plans.
#[must_use]
pub fn render_comparison_in_markdown(report: &ComparisonReport<'_>) -> String {
    let mut page = Page::default();
    page.always(&format!(
        "### armfleet: is this still the plan that was reviewed?\n\n**{}.** {}.\n",
        report.words(),
        prose(&made_for(report))
    ));
    for (heading, lines) in sections(report) {
        if !lines.is_empty() {
            page.always(&format!("\n#### {heading}\n\n"));
        }
        for line in lines {
            let how = match line.sign {
                '-' => "no longer",
                '+' => "new",
                _ => "changed",
            };
            let says: Vec<String> = line.says.iter().map(|text| prose(text)).collect();
            let subject = code(&line.subject);
            page.block(
                "difference",
                &format!("- **{how}** {subject}: {}\n", says.join("; ")),
            );
        }
    }
    if !report.moved.is_empty() {
        let count = report.moved.len();
        page.always(&format!(
            "\n<details><summary>Moved on the host in between, which is no effect ({count})</summary>\n\n"
        ));
        for fact in &report.moved {
            page.block("fact", &format!("- {}\n", prose(fact)));
        }
        page.always("\n</details>\n");
    }
    page.finish(Some(&report.new.digest))
}
