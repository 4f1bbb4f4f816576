//! What a plan does to domains' definitions, as unified XML diffs.

use super::style::{Paint, Tone, printable};
use crate::domain::apply_edits;
use crate::plan::{Act, Base, Definitions, Step};
use serde::{Serialize, Serializer};
use similar::udiff::UnifiedHunkHeader;
use similar::{ChangeTag, TextDiff};

/// So many unchanged lines are shown around a change.
const CONTEXT: usize = 3;

/// The difference between two texts, line by line, with the words that differ inside of changed lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    from: String,
    to: String,
    hunks: Vec<Hunk>,
}

#[derive(Debug, Clone, PartialEq)]
struct Hunk {
    header: String,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
struct Line {
    tag: ChangeTag,
    /// Its pieces, and whether each is what differs.
    pieces: Vec<(bool, String)>,
}

impl Diff {
    /// What a step makes of a definition; none if it makes or edits none.
    pub(super) fn of(step: &Step, definitions: &Definitions) -> Option<Self> {
        let (Act::Define { base, edits, .. }, Some(vm)) = (&step.act, &step.vm) else {
            return None;
        };
        let (before, start) = match base {
            Base::Skeleton(skeleton) => ("", skeleton.as_str()),
            Base::Stored(_) => {
                let stored = definitions.get(vm.as_str())?;
                (stored.as_str(), stored.as_str())
            }
        };
        // A plan's edits come from the very text they are applied to here.
        let after = apply_edits(start, edits).ok()?;
        Some(Self::between(
            (&format!("{vm} as it is"), before),
            (&format!("{vm} as planned"), &after),
        ))
    }

    /// The difference between two texts, each after its name.
    pub(super) fn between((from, before): (&str, &str), (to, after): (&str, &str)) -> Self {
        let diff = TextDiff::from_lines(before, after);
        let hunks = diff.grouped_ops(CONTEXT).into_iter().map(|ops| Hunk {
            header: UnifiedHunkHeader::new(&ops).to_string(),
            lines: ops
                .iter()
                .flat_map(|op| diff.iter_inline_changes(op))
                .map(|change| Line {
                    tag: change.tag(),
                    pieces: pieces(change.iter_strings_lossy()),
                })
                .collect(),
        });
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            hunks: hunks.collect(),
        }
    }

    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hunks.is_empty()
    }

    /// As a unified diff; with colours, the words that differ are marked.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        let mut text = format!("--- {}\n+++ {}\n", self.from, self.to);
        for hunk in &self.hunks {
            text += &hunk.header;
            text.push('\n');
            for line in &hunk.lines {
                text += &line.text(paint);
                text.push('\n');
            }
        }
        text
    }

    /// As a text, or nothing.
    ///
    /// # Errors
    /// As the serializer says.
    pub(super) fn serialize<S: Serializer>(
        diff: &Option<Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        diff.as_ref()
            .map(|diff| diff.text(Paint::Plain))
            .serialize(serializer)
    }
}

impl Line {
    fn text(&self, paint: Paint) -> String {
        let (sign, tone) = match self.tag {
            ChangeTag::Equal => (" ", None),
            ChangeTag::Delete => ("-", Some(Tone::Bad)),
            ChangeTag::Insert => ("+", Some(Tone::Good)),
        };
        let Some(tone) = tone else {
            let pieces: Vec<&str> = self.pieces.iter().map(|(_, piece)| &**piece).collect();
            return format!("{sign}{}", pieces.concat());
        };
        let mut text = paint.tone(tone, sign);
        for (differs, piece) in &self.pieces {
            text += &if *differs {
                paint.mark(tone, piece)
            } else {
                paint.tone(tone, piece)
            };
        }
        text
    }
}

/// A line's pieces without its end, fit for printing.
fn pieces<'a>(
    strings: impl Iterator<Item = (bool, std::borrow::Cow<'a, str>)>,
) -> Vec<(bool, String)> {
    strings
        .map(|(differs, piece)| (differs, printable(piece.trim_end_matches('\n'))))
        .filter(|(_, piece)| !piece.is_empty())
        .collect()
}
