//! A Markdown text that stays within what forges take.

use std::fmt::Write as _;

/// The longest text, in characters. GitHub takes 65,536 for a comment, GitLab 1,000,000; what posts it may add some.
pub const MARKDOWN_LIMIT: usize = 60_000;
/// Kept free for saying what was cut off.
const CUT_RESERVE: usize = 400;
/// What may be said in full of everything that is interrupted, and again of everything that is refused. Beyond it, names
/// alone follow, for which there is room then.
const NAMED_LIMIT: usize = 10_000;

/// A text that grows block by block up to the limit.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    characters: usize,
    /// What did not fit: its kind, and how often.
    cut: Vec<(&'static str, usize)>,
}

impl Page {
    /// Adds what is always short enough.
    pub(super) fn always(&mut self, block: &str) {
        self.text += block;
        self.characters += block.chars().count();
    }

    /// Adds a block if it fits; tells whether it did.
    pub(super) fn block(&mut self, kind: &'static str, block: &str) -> bool {
        let fits = self.fits(block);
        if fits {
            self.always(block);
        } else {
            self.leave_out(kind);
        }
        fits
    }

    fn fits(&self, block: &str) -> bool {
        self.characters + block.chars().count() + CUT_RESERVE <= MARKDOWN_LIMIT
    }

    fn leave_out(&mut self, kind: &'static str) {
        match self.cut.iter_mut().find(|(cut, _)| *cut == kind) {
            Some((_, count)) => *count += 1,
            None => self.cut.push((kind, 1)),
        }
    }

    /// Adds lines below their head, as many as there is room for; the rest is told how many those are.
    pub(super) fn named(
        &mut self,
        head: &str,
        lines: impl Iterator<Item = String>,
        rest: impl FnOnce(usize) -> String,
    ) {
        let begun = self.characters;
        self.always(head);
        let mut shown = 0;
        for line in lines {
            if self.characters + line.chars().count() > begun + NAMED_LIMIT {
                break;
            }
            self.always(&line);
            shown += 1;
        }
        let rest = rest(shown);
        if !rest.is_empty() {
            self.block("list of names", &rest);
        }
    }

    /// The text, with what was left out and what the plan is known by.
    pub(super) fn finish(mut self, digest: Option<&String>) -> String {
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
        if let Some(digest) = digest {
            let digest = digest.get(..12).unwrap_or(digest);
            let _ = write!(self.text, "\n<sub>plan <code>{digest}</code></sub>\n");
        }
        self.text
    }
}
