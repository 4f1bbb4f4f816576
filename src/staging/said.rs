//! What the hook says of a start.

use crate::boot::HookNote;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What happened.
    Plain,
    /// A pair of the guest's that does not boot, and why.
    PassedOver,
    /// What `status` shows until the next start.
    Attention,
}

/// Lines in their order.
#[derive(Debug, Default)]
pub struct Said(Vec<Line>);

#[derive(Debug)]
struct Line {
    text: String,
    kind: Kind,
}

impl Said {
    /// Something that happened.
    pub fn say(&mut self, text: impl Into<String>) {
        self.add(text.into(), Kind::Plain);
    }

    /// Something that a person should look at.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(text.into(), Kind::Attention);
    }

    /// A pair of the guest's that does not boot.
    pub fn pass_over(&mut self, text: impl Into<String>) {
        self.add(text.into(), Kind::PassedOver);
    }

    fn add(&mut self, text: String, kind: Kind) {
        self.0.push(Line { text, kind });
    }

    /// The same as the note that is left for `status`.
    #[must_use]
    pub fn note(&self) -> HookNote {
        let of = |kind| {
            let lines = self.0.iter().filter(move |line| line.kind == kind);
            lines.map(|line| line.text.clone()).collect()
        };
        HookNote {
            said: self.lines().map(str::to_owned).collect(),
            attention: of(Kind::Attention),
            passed_over: of(Kind::PassedOver),
        }
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|line| line.text.as_str())
    }

    /// Whether a person should look at any of them.
    #[must_use]
    pub fn calls_for_attention(&self) -> bool {
        self.0.iter().any(|line| line.kind == Kind::Attention)
    }
}
