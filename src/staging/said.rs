//! What the hook says of a start.

use crate::boot::HookNote;
use std::fmt;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What happened.
    Plain,
    /// A pair of the guest's that does not boot, and why.
    PassedOver,
    /// What `status` shows until the next start.
    Attention,
    /// The same, since a limit of one start was reached.
    UsedUp,
}

/// Lines in their order, and what to do where the host is at fault.
#[derive(Debug, Default)]
pub struct Said {
    lines: Vec<Line>,
    remedy: Option<String>,
}

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

    /// What boots. A reader of what went wrong wants to know that, too.
    pub fn boots(&mut self, what: impl fmt::Display) {
        let line = format!("boots {what}");
        if self.calls_for_attention() {
            self.warn(line);
        } else {
            self.say(line);
        }
    }

    /// What to do, where it is not the guest that is at fault. The first one counts.
    pub fn advise(&mut self, remedy: Option<String>) {
        self.remedy = self.remedy.take().or(remedy);
    }

    /// What to do, where it is not the guest that is at fault.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// A limit of one start that was reached, and what follows from it.
    pub fn use_up(&mut self, text: impl Into<String>) {
        self.add(text.into(), Kind::UsedUp);
    }

    /// A pair of the guest's that does not boot.
    pub fn pass_over(&mut self, text: impl Into<String>) {
        self.add(text.into(), Kind::PassedOver);
    }

    fn add(&mut self, text: String, kind: Kind) {
        self.lines.push(Line { text, kind });
    }

    /// The same as the note that is left for `status`.
    #[must_use]
    pub fn note(&self) -> HookNote {
        let of = |is: fn(&Line) -> bool| {
            let lines = self.lines.iter().filter(|line| is(line));
            lines.map(|line| line.text.clone()).collect()
        };
        HookNote {
            said: self.lines().map(str::to_owned).collect(),
            attention: of(Line::calls_for_attention),
            passed_over: of(|line| line.kind == Kind::PassedOver),
            used_up: self.lines.iter().any(|line| line.kind == Kind::UsedUp),
        }
    }

    /// All lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.text.as_str())
    }

    /// Whether a person should look at any of them.
    #[must_use]
    pub fn calls_for_attention(&self) -> bool {
        self.lines.iter().any(Line::calls_for_attention)
    }
}

impl Line {
    fn calls_for_attention(&self) -> bool {
        matches!(self.kind, Kind::Attention | Kind::UsedUp)
    }
}
