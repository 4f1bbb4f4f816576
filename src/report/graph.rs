//! The order of a plan's steps as a picture: Mermaid within Markdown, DOT and SVG as files.

use super::model::{PlanReport, StepReport};
use super::style::printable;
use crate::mark::Action;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// More steps than this nobody can follow in a comment.
const MERMAID_LIMIT: usize = 40;
/// A label is cut after so many characters.
const LABEL_LIMIT: usize = 34;
/// Sizes of the SVG, in pixels.
const BOX: (usize, usize) = (250, 40);
const GAP: (usize, usize) = (50, 14);
const MARGIN: usize = 20;

/// The steps and their needs, without those that follow from others.
struct Graph<'a> {
    steps: Vec<&'a StepReport>,
    /// Of each step: the places of the steps that it needs directly.
    needs: Vec<BTreeSet<usize>>,
}

impl<'a> Graph<'a> {
    /// The graph of some steps, which are in their order.
    fn new(steps: Vec<&'a StepReport>) -> Self {
        let places: BTreeMap<&str, usize> = steps
            .iter()
            .enumerate()
            .map(|(at, step)| (step.id.as_str(), at))
            .collect();
        let mut before: Vec<BTreeSet<usize>> = Vec::with_capacity(steps.len());
        let mut needs = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let named = step
                .needs
                .iter()
                .filter_map(|need| places.get(need.as_str()));
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

    /// Of each step, how many steps come one after another before it.
    fn depths(&self) -> Vec<usize> {
        let mut depths = Vec::with_capacity(self.steps.len());
        for needs in &self.needs {
            let before = needs.iter().filter_map(|need| depths.get(*need));
            depths.push(before.max().map_or(0, |depth: &usize| depth + 1));
        }
        depths
    }
}

/// The order of the steps as a Mermaid picture, where it is worth one: where steps of one VM wait for something other
/// than that VM's own.
pub(super) fn mermaid(report: &PlanReport) -> Option<String> {
    let whole = Graph::new(report.steps.iter().collect());
    let owner = |at: usize| whole.steps[at].vm.as_deref();
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
        .filter(|step| owners.contains(&step.vm.as_deref()));
    let mut shown: Vec<&StepReport> = of_owners.collect();
    if shown.len() > MERMAID_LIMIT {
        shown = ends.iter().map(|at| whole.steps[*at]).collect();
    }
    if shown.len() > MERMAID_LIMIT {
        return Some(format!(
            "\nThe order of the {} steps is too large for a picture here: `armfleet plan --graph FILE.svg` draws it.\n",
            report.steps.len()
        ));
    }
    let graph = Graph::new(shown);
    let mut text =
        "\n<details><summary>Order of the steps</summary>\n\n```mermaid\nflowchart LR\n".to_owned();
    for (at, step) in graph.steps.iter().enumerate() {
        let _ = writeln!(text, "  s{at}[\"{}\"]", mermaid_text(&label(step)));
    }
    for (from, to) in graph.edges() {
        let _ = writeln!(text, "  s{from} --> s{to}");
    }
    text += "```\n\n</details>\n";
    Some(text)
}

/// The order of the steps as Graphviz reads it.
#[must_use]
pub fn render_dot(report: &PlanReport) -> String {
    let graph = Graph::new(report.steps.iter().collect());
    let mut text =
        "digraph plan {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned();
    for (at, step) in graph.steps.iter().enumerate() {
        let label = label(step).replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(
            text,
            "  s{at} [label=\"{label}\", color=\"{}\"];",
            colour(step.action)
        );
    }
    for (from, to) in graph.edges() {
        let _ = writeln!(text, "  s{from} -> s{to};");
    }
    text + "}\n"
}

/// The order of the steps as a picture: one lane for the host and for each VM, time from left to right.
#[must_use]
pub fn render_svg(report: &PlanReport) -> String {
    let graph = Graph::new(report.steps.iter().collect());
    let places = places(&graph);
    let far = |of: fn(&(usize, usize)) -> usize| places.iter().map(of).max().unwrap_or(0);
    let width = far(|place| place.0) + BOX.0 + MARGIN;
    let height = far(|place| place.1) + BOX.1 + MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>Plan of fleet {}, {} steps</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        xml_text(&report.fleet),
        graph.steps.len()
    );
    for (from, to) in graph.edges() {
        let ((x1, y1), (x2, y2)) = (places[from], places[to]);
        let (x1, y1, y2) = (x1 + BOX.0, y1 + BOX.1 / 2, y2 + BOX.1 / 2);
        let bend = (x1 + x2) / 2;
        let _ = writeln!(
            text,
            "<path d=\"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#888888\"/>"
        );
    }
    for (step, (x, y)) in graph.steps.iter().zip(&places) {
        let _ = writeln!(
            text,
            "<g><title>{}: {}</title><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"#ffffff\" \
             stroke=\"{}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{}\" fill=\"#111111\">{}</text></g>",
            xml_text(&step.id),
            xml_text(&step.detail),
            BOX.0,
            BOX.1,
            colour(step.action),
            x + 10,
            y + BOX.1 / 2 + 4,
            xml_text(&label(step))
        );
    }
    text + "</svg>\n"
}

/// Where each step's box begins: its column is its depth, its lane its VM's.
fn places(graph: &Graph<'_>) -> Vec<(usize, usize)> {
    let depths = graph.depths();
    let owners = || graph.steps.iter().map(|step| step.vm.as_deref());
    let mut taken: BTreeMap<(Option<&str>, usize), usize> = BTreeMap::new();
    let mut heights: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    let mut rows = Vec::with_capacity(depths.len());
    for (owner, depth) in owners().zip(&depths) {
        let row = taken.entry((owner, *depth)).or_default();
        rows.push(*row);
        *row += 1;
        let height = heights.entry(owner).or_default();
        *height = (*height).max(*row);
    }
    let mut tops = BTreeMap::new();
    let mut top = 0;
    for (owner, height) in heights {
        tops.insert(owner, top);
        top += height;
    }
    let place = |((owner, depth), row): ((Option<&str>, &usize), usize)| {
        let line = tops.get(&owner).copied().unwrap_or(0) + row;
        (
            MARGIN + depth * (BOX.0 + GAP.0),
            MARGIN + line * (BOX.1 + GAP.1),
        )
    };
    owners().zip(&depths).zip(rows).map(place).collect()
}

fn colour(action: Action) -> &'static str {
    match action {
        Action::Create | Action::Start => "#1a7f37",
        Action::Change => "#9a6700",
        Action::Remove | Action::Stop => "#cf222e",
    }
}

fn label(step: &StepReport) -> String {
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

fn xml_text(text: &str) -> String {
    let text = printable(text);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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
