//! What a plan does to domains' definitions, as unified XML diffs.

use super::style::{Paint, Tone};
use crate::domain::apply_edits;
use crate::inventory::{Fact, Inventory};
use crate::plan::{Act, Base, Plan};
use similar::{ChangeTag, TextDiff};

/// The diffs of every definition that a plan makes or edits.
#[must_use]
pub fn render_diff(plan: &Plan, inventory: &Inventory, paint: Paint) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let (Act::Define { base, edits, .. }, Some(vm)) = (&step.act, &step.vm) else {
            continue;
        };
        let stored = match &inventory.domains {
            Fact::Present(domains) => domains
                .get(vm.as_str())
                .and_then(|domain| domain.raw.inactive.present()),
            _ => None,
        };
        let (before, after) = match (base, stored) {
            (Base::Skeleton(skeleton), _) => ("", apply_edits(skeleton, edits)),
            (Base::Stored(_), Some(stored)) => (stored.as_str(), apply_edits(stored, edits)),
            (Base::Stored(_), None) => continue,
        };
        // A plan's edits come from the very text they are applied to here.
        let Ok(after) = after else { continue };
        text.push('\n');
        text += &unified(vm.as_str(), before, &after, paint);
    }
    text
}

fn unified(name: &str, before: &str, after: &str, paint: Paint) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut text = format!("--- {name} as it is\n+++ {name} as planned\n");
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        text += &format!("{}\n", hunk.header());
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            text += &match change.tag() {
                ChangeTag::Equal => format!(" {line}"),
                ChangeTag::Delete => paint.tone(Tone::Bad, &format!("-{line}")),
                ChangeTag::Insert => paint.tone(Tone::Good, &format!("+{line}")),
            };
            text.push('\n');
        }
    }
    text
}
