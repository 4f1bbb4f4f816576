//! The order of a plan's steps as a picture: Mermaid within Markdown, Mermaid and DOT as files.

use super::model::{PlanReport, StepReport};
use super::style::printable;
use crate::mark::Action;
use crate::plan::StepId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// More steps than this cannot be followed in a comment.
const MERMAID_LIMIT: usize = 40;
/// A label is cut after so many characters.
const LABEL_LIMIT: usize = 34;
/// The steps and their needs, without those that follow from others.
struct Graph<'a> {
    steps: Vec<&'a StepReport<'a>>,
    /// Of each step: the places of the steps that it needs directly.
    needs: Vec<BTreeSet<usize>>,
}

impl<'a> Graph<'a> {
    /// The graph of some steps, which are in their order.
    fn new(steps: Vec<&'a StepReport<'a>>) -> Self {
        let places: BTreeMap<&StepId, usize> = steps
            .iter()
            .enumerate()
            .map(|(at, step)| (step.named.id, at))
            .collect();
        let mut before: Vec<BTreeSet<usize>> = Vec::with_capacity(steps.len());
        let mut needs = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let named = step.needs.iter().filter_map(|need| places.get(need));
            let named: BTreeSet<usize> = named.copied().filter(|need| *need < at).collect();
            let implied: BTreeSet<usize> = named
                .iter()
                .flat_map(|need| before[*need].iter().copied())
                .collect();
            needs.push(named.difference(&implied).copied().collect());
            before.push(named.union(&implied).copied().collect());
        }
        Self { steps, needs }
    }

    /// From step to step that needs it, by place.
    fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.needs
            .iter()
            .enumerate()
            .flat_map(|(at, needs)| needs.iter().map(move |need| (*need, at)))
    }

    /// The picture in Mermaid's words.
    fn flowchart(&self) -> String {
        let mut text = "flowchart LR\n".to_owned();
        for (at, step) in self.steps.iter().enumerate() {
            let _ = writeln!(text, "  s{at}[\"{}\"]", mermaid_text(&label(step)));
        }
        for (from, to) in self.edges() {
            let _ = writeln!(text, "  s{from} --> s{to}");
        }
        text
    }
}

/// The order of the steps as a Mermaid picture, where it is worth one: where steps of one VM wait for something other
/// than that VM's own.
pub(super) fn mermaid_in_markdown(report: &PlanReport<'_>) -> Option<String> {
    let whole = Graph::new(report.steps.iter().collect());
    let owner = |at: usize| whole.steps[at].named.vm;
    let crossing: Vec<_> = whole
        .edges()
        .filter(|(from, to)| owner(*from) != owner(*to))
        .collect();
    if crossing.is_empty() {
        return None;
    }
    let ends = || crossing.iter().flat_map(|(from, to)| [*from, *to]);
    let owners: BTreeSet<_> = ends().map(owner).collect();
    let ends: BTreeSet<usize> = ends().collect();
    let of_owners = report
        .steps
        .iter()
        .filter(|step| owners.contains(&step.named.vm));
    let mut shown: Vec<&StepReport<'_>> = of_owners.collect();
    if shown.len() > MERMAID_LIMIT {
        shown = ends.iter().map(|at| whole.steps[*at]).collect();
    }
    if shown.len() > MERMAID_LIMIT {
        return Some(format!(
            "\nThe order of the {} steps is too large for a picture here: `armfleet plan --graph FILE.dot` draws it.\n",
            report.steps.len()
        ));
    }
    let flowchart = Graph::new(shown).flowchart();
    Some(format!(
        "\n<details><summary>Order of the steps</summary>\n\n```mermaid\n{flowchart}```\n\n</details>\n"
    ))
}

/// The order of the steps as Mermaid reads it.
#[must_use]
pub fn render_mermaid(report: &PlanReport<'_>) -> String {
    Graph::new(report.steps.iter().collect()).flowchart()
}

/// The order of the steps as Graphviz reads it.
#[must_use]
pub fn render_dot(report: &PlanReport<'_>) -> String {
    let graph = Graph::new(report.steps.iter().collect());
    let mut text =
        "digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned();
    for (at, step) in graph.steps.iter().enumerate() {
        let label = label(step).replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(
            text,
            "  s{at} [label=\"{label}\", color=\"{}\"];",
            colour(step.named.action)
        );
    }
    for (from, to) in graph.edges() {
        let _ = writeln!(text, "  s{from} -> s{to};");
    }
    text + "}\n"
}

fn colour(action: Action) -> &'static str {
    match action {
        Action::Create | Action::Start => "#1a7f37",
        Action::Change => "#9a6700",
        Action::Remove | Action::Stop => "#cf222e",
    }
}

fn label(step: &StepReport<'_>) -> String {
    let step = &step.named;
    let label = printable(&format!(
        "{} {} {}",
        step.action.sign(),
        step.kind,
        step.subject
    ));
    let count = label.chars().count();
    if count <= LABEL_LIMIT {
        return label;
    }
    let head: String = label.chars().take(LABEL_LIMIT / 2).collect();
    let tail: String = label.chars().skip(count - LABEL_LIMIT / 2).collect();
    format!("{head}…{tail}")
}

/// Text within a quoted Mermaid label: anything but letters, digits and a few harmless signs as a character reference.
fn mermaid_text(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | '/' | '_' | '-' | '+' | '…') {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}
