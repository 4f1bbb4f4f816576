//! Why a saved plan is not applied.

use super::style::printable;
use crate::plan::{MovedFact, MovedStep, Staleness};
use std::fmt::Write as _;

/// The steps that differ and the facts that moved, a line each.
#[must_use]
pub fn render_staleness(staleness: &Staleness) -> String {
    let mut lines: Vec<String> = Vec::new();
    let gone = staleness.gone.iter();
    lines.extend(gone.map(|id| format!("{id} was planned, and is no longer needed")));
    let mut steps = |what: &str, steps: &[MovedStep]| {
        for step in steps {
            lines.push(format!("{} {what}", step.id));
            let changes = step.changes.iter();
            lines.extend(changes.map(|change| format!("    {change}")));
        }
    };
    steps("was not planned, and is needed now", &staleness.new);
    steps("is not as it was planned", &staleness.different);
    let mut text = String::new();
    for line in &lines {
        let _ = writeln!(text, "  {}", printable(line));
    }
    if !staleness.moved.is_empty() {
        text += "changed on the host since:\n";
    }
    for fact in &staleness.moved {
        let _ = writeln!(text, "  {}", printable(&moved(fact)));
    }
    text
}

pub(super) fn moved(fact: &MovedFact) -> String {
    let subject = &fact.subject;
    match (&fact.what, &fact.values) {
        (Some(what), Some((then, now))) => format!("{subject}: {what} {then} -> {now}"),
        (None, Some((then, now))) => format!("{subject}: {then} -> {now}"),
        (Some(what), None) => format!("{subject}: {what} changed"),
        (None, None) => format!("{subject}: changed"),
    }
}
