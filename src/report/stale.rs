//! Why a saved plan is not applied.

use super::style::printable;
use crate::plan::Staleness;
use std::fmt::Write as _;

/// The steps that differ and the facts that moved, a line each.
#[must_use]
pub fn render_staleness(staleness: &Staleness) -> String {
    let mut text = String::new();
    let mut steps = |what: &str, ids: &[String]| {
        for id in ids {
            let _ = writeln!(text, "  {} {what}", printable(id));
        }
    };
    steps(
        "was planned, and is not to be done any more",
        &staleness.gone,
    );
    steps("was not planned, and is to be done now", &staleness.new);
    steps("is not what was planned", &staleness.different);
    if !staleness.moved.is_empty() {
        text += "what moved on the host since:\n";
    }
    for (fact, then, now) in &staleness.moved {
        let line = format!("  {fact}: {then} -> {now}");
        let _ = writeln!(text, "{}", printable(&line));
    }
    text
}
